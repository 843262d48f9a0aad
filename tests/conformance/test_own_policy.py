"""Policies of one's own against a slow player: what they see and what becomes of their orders, row for row."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from node_sim.codes import LifecycleKind, LifecycleReason, OfflineResult
from node_sim.columns import TABLE_NAMES
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.orders import (
    CordonNode,
    DrainNode,
    KnownNode,
    OfflinePage,
    OfflineRow,
    Order,
    Others,
    PolicyFunction,
    ReplaceDimm,
    looks_at,
)
from node_sim.server.own_policy import OwnPolicy
from node_sim.server.page_offline import PageOffline
from node_sim.units import NS_PER_HOUR
from tests.conformance.test_lanes_oracle import Tables, World, difference, draw_world, view_of
from tests.oracle.event_heap import number_rows
from tests.oracle.own_policy import Player

WORLDS, LONG_WORLDS, NODES = 30, 200, 2
CHUNK, LEAST = 5, 3
SLOW = (10, 15, 25)
"""Worlds from these on are like those before them; ``make test-long`` looks at them."""
SLOW_WORLDS = {1, 7}
"""So are these of the others."""
ORDERS_MAX = 8
"""On one node: the slow player lives it anew after each."""


def whimsical(node: KnownNode) -> list[Order]:
    """Order by lot whatever there is to order; lots are named by all that is known, so that nothing goes unseen."""
    known = (node.errors, node.failures, node.offlines, node.boots, node.repairs)
    rng = random.Random(repr([part.tolist() for part in known]) + repr((node.new, node.cordoned, len(node.orders))))
    later = None if rng.random() < 0.7 else node.now_ns + rng.randrange(200) * NS_PER_HOUR
    if len(node.orders) > ORDERS_MAX:
        return []
    if not len(node.errors) or rng.random() < 0.5:
        return [CordonNode(later)] if len(node.failures) and rng.random() < 0.05 else []
    which = rng.randrange(len(node.errors))
    error, pages = node.errors[which], node.pages(which)
    assert pages["count"].sum() == error["count"] * (error["pfn"] >= 0)
    orders: list[Order] = []
    if len(pages):
        some = pages[: rng.randint(1, 3)]
        orders += [OfflinePage(int(pfn), later) for pfn in some["pfn"]] if rng.random() < 0.7 else []
        if rng.random() < 0.15:
            orders.append(OfflineRow(*(int(error[name]) for name in ("dimm", "rank", "bank", "row")), time_ns=later))
    if rng.random() < 0.1:
        orders.append(rng.choice((ReplaceDimm(int(error["dimm"]), later), DrainNode(later), CordonNode(later))))
    return orders


@looks_at(lambda errors: errors["in_window"] >= 3)
def picky(node: KnownNode) -> list[Order]:
    """Look at the third error of a window and those that follow."""
    assert (node.errors["in_window"] >= 3).all()
    return whimsical(node)


def own_world(number: int) -> World:
    """Return a world of the event heap whose first policy is one of one's own, and counts no errors by itself."""
    world = draw_world(number)
    rng = random.Random(f"own policy {number}")
    own = OwnPolicy("whimsical", rng.choice((1.0, 6.0, 24.0)))
    policy = replace(world.policies[0], page_offline=PageOffline(), own_policy=own)
    return replace(world, policies=(policy, *world.policies[1:]), nodes=world.nodes[:NODES])


@pytest.fixture(scope="module")
def met() -> Counter[Any]:
    return Counter()


def check(number: int, met: Counter[Any]) -> None:
    """Compare the first arm of a world with the slow player."""
    world = own_world(number)
    seed, nodes = Seed.of(world.seed), np.asarray(world.nodes)
    function = picky if number % 3 == 0 else whimsical
    functions = {"whimsical": function}
    block = simulate_block(seed, nodes, world.hardware, world.policies[:1], world.horizon_ns, functions)
    view = view_of(block, 0)
    empty: Tables = {name: [] for name in TABLE_NAMES}
    for node in world.nodes:
        life = Player(seed, node, world.hardware, world.policies[0], world.horizon_ns).play(function)
        expected = number_rows(node, life.faults, life.rows)
        found = difference(expected, view.get(node, empty))
        assert found is None, f"own_world({number}), node {node}\n{found}"
        met.update(OfflineResult(row["result"] or 0) for row in expected["page_offlines"])
        met["huge page broken up"] += sum((row["pool_lost_bytes"] or 0) > 0 for row in expected["page_offlines"])
        met.update(
            (LifecycleKind(row["kind"] or 0), row["dimm"] is not None)
            for row in expected["lifecycle"]
            if row["reason"] == LifecycleReason.OWN_POLICY
        )


@pytest.mark.parametrize("first", [first for first in range(0, WORLDS, CHUNK) if first not in SLOW])
def test_what_a_policy_does_equals_the_slow_player(first: int, met: Counter[Any]) -> None:
    for number in sorted({*range(first, first + CHUNK)} - SLOW_WORLDS):
        check(number, met)


def test_the_worlds_have_what_can_come_of_orders(met: Counter[Any]) -> None:
    wanted = [OfflineResult.OFFLINED, OfflineResult.ALREADY_POISONED, OfflineResult.UNHANDLABLE, "huge page broken up"]
    wanted += [(LifecycleKind.CORDON, False), (LifecycleKind.DIMM_REPLACEMENT, True)]
    assert min(met[what] for what in wanted) >= LEAST, dict(met)


def simulate(world: World, nodes: list[int], function: PolicyFunction) -> dict[int, Tables]:
    """Return the rows of some nodes of a world in its first arm."""
    functions = {"whimsical": function}
    seed, some = Seed.of(world.seed), np.asarray(nodes)
    return view_of(simulate_block(seed, some, world.hardware, world.policies[:1], world.horizon_ns, functions), 0)


def copied(node: KnownNode) -> list[Order]:
    """Show ``whimsical`` a copy of what is known, from which nothing that comes later can be reached."""
    errors = node.errors.copy()
    others = Others(
        node.failures.copy(),
        node.offlines.copy(),
        node.boots.copy(),
        node.repairs.copy(),
        [(0, node.now_ns)] if node.cordoned else [],
        list(node.orders),
        node.pages,
    )
    return whimsical(KnownNode(node.node_id, node.now_ns, node.layout, errors, node.new, others))


@pytest.mark.parametrize("number", [4, 23, *(pytest.param(number, marks=pytest.mark.long) for number in (2, 7, 29))])
def test_neither_the_nodes_beside_nor_the_future_change_what_is_ordered(number: int) -> None:
    world = own_world(number)
    nodes = list(world.nodes)
    together = simulate(world, nodes, whimsical)
    assert sum(len(tables["page_offlines"]) + len(tables["lifecycle"]) for tables in together.values()) > 0
    assert together == simulate(world, nodes, copied)
    for node in nodes:
        assert simulate(world, [node], whimsical).get(node) == together.get(node)


@pytest.mark.long
@pytest.mark.parametrize("first", [*range(0, WORLDS, CHUNK), *range(1000, 1000 + LONG_WORLDS, CHUNK)])
def test_what_a_policy_does_equals_the_slow_player_in_more_worlds(first: int, met: Counter[Any]) -> None:
    for number in range(first, first + CHUNK):
        check(number, met)
