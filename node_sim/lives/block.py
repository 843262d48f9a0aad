"""Many nodes at once: physics, triage, lives, and the event tables of every set of arms.

**Models.** Nodes that can go down in some arm are *busy*, the others *quiet*; each kind has its own way to its rows.
Nodes are simulated in blocks of about equal work (``load.py``), so that memory follows neither nodes nor years.

**Leaves out.** Anything shared between nodes.

**Assumes.** Arms whose settings are equal where it matters for a node have equal rows there; they share a lane.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.columns import Columns
from node_sim.corrected.buckets import can_reach, runs_of
from node_sim.corrected.limits import count_together, shows_risky_pattern
from node_sim.corrected.windows import Windows
from node_sim.dram.faults import FaultTable, simulate_faults
from node_sim.dram.growth import grow
from node_sim.dram.rates import expected_per_dimm
from node_sim.draws import Seed
from node_sim.ecc.judgement import dimms_of
from node_sim.lives.busy_nodes import busy_tables, finish_lives, placed_faults
from node_sim.lives.decisions import decide
from node_sim.lives.load import FAULTS_AT_ONCE, Cuts, points_of_nodes
from node_sim.lives.ordered import Orders
from node_sim.lives.physics import Physics, simulate_physics
from node_sim.lives.quiet_nodes import quiet_tables
from node_sim.lives.rows import COMMON, ArmTables, fault_columns
from node_sim.lives.world import Block, World, arms_by, corrected_settings, shared_settings, world_of
from node_sim.orders import PolicyFunction
from node_sim.records import Flags, Ints
from node_sim.server.hardware import Hardware
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.server.policy import Policy


@dataclass(frozen=True)
class BlockRows:
    """Everything that happened to the nodes of a block.

    Attributes:
        nodes: How many nodes it has.
        faults: Rows of all their faults.
        parts: The other tables, by arms.
    """

    nodes: int
    faults: Columns
    parts: list[ArmTables]

    def own_rows(self) -> int:
        """Return how many rows belong to some arms only."""
        tables = (table for part in self.parts if part.arms != COMMON for table in part.tables.values())
        return sum(table["time_ns"].size for table in tables)


Functions = Mapping[str, PolicyFunction]


def simulate_nodes(
    seed: Seed,
    node_id: Ints,
    hardware: Hardware,
    policies: tuple[Policy, ...],
    horizon_ns: int,
    functions: Functions | None = None,
) -> Iterator[BlockRows]:
    """Simulate nodes of one group under all arms, block by block; see ``simulate_block``.

    Yields:
        The rows of one block after the other, in the order of the nodes.

    Raises:
        ModelError: One node has too many faults or events.
    """
    policies = tuple(policy.on(hardware.server) for policy in policies)
    cuts = Cuts(policies)
    per_node = expected_per_dimm(hardware, horizon_ns) * hardware.server.dimms
    at_once = max(1, int(min(node_id.size, FAULTS_AT_ONCE / max(per_node, 1e-12))))
    for first in range(0, node_id.size, at_once):
        some = node_id[first : first + at_once]
        faults = draw_all(seed, some, hardware, horizon_ns)
        points = points_of_nodes(some, faults, hardware, policies, horizon_ns)
        for nodes in cuts.blocks(points):
            mine = some[nodes]
            begin, end = np.searchsorted(faults.node_id, (mine[0], mine[-1] + 1))
            block = Block.of(seed, hardware, policies, mine, horizon_ns, faults.take(slice(begin, end)))
            rows = _simulate(block, functions)
            cuts.learn(float(points[nodes].sum()), rows.own_rows())
            yield rows
            del block, rows  # before the next block is simulated


def simulate_block(
    seed: Seed,
    node_id: Ints,
    hardware: Hardware,
    policies: tuple[Policy, ...],
    horizon_ns: int,
    functions: Functions | None = None,
) -> BlockRows:
    """Simulate nodes of one group under all arms, all of them together.

    Args:
        seed: Of the run.
        node_id: Ascending node numbers, shape ``(n,)``; any subset gives the same rows for its nodes.
        hardware: Of the group.
        policies: The group's settings in each arm.
        horizon_ns: Simulated time [ns], > 0.
        functions: Policies of one's own that the arms name, by ``own_policy.function``.

    Raises:
        ConfigError: An arm's settings do not suit the hardware.
        PolicyError: A policy of one's own has failed.
        ModelError: Too many faults or events.
    """
    policies = tuple(policy.on(hardware.server) for policy in policies)
    faults = draw_all(seed, node_id, hardware, horizon_ns)
    return _simulate(Block.of(seed, hardware, policies, node_id, horizon_ns, faults), functions)


def draw_all(seed: Seed, node_id: Ints, hardware: Hardware, horizon_ns: int) -> FaultTable:
    """Draw the faults of generation 0 and what they grow into, ordered by (node, time, tag)."""
    faults, _ = grow(seed, simulate_faults(seed, node_id, hardware, horizon_ns), hardware, horizon_ns)
    return faults.take(np.lexsort((faults.tag, faults.time_ns, faults.node_id)))


def _simulate(block: Block, functions: Functions | None) -> BlockRows:
    """Simulate a block whose faults of generation 0 are drawn."""
    policies, faults = block.policies, block.faults
    every = range(len(policies))
    calls = list(arms_by(lambda arm: shared_settings(policies[arm]), every).values())
    worlds: dict[int, World] = {}
    for arms in calls:
        worlds.update(dict.fromkeys(arms, world_of(block, policies[arms[0]])))
    physics: dict[int, Physics] = {}
    for arms in arms_by(lambda arm: corrected_settings(policies[arm]), every).values():
        physics.update(dict.fromkeys(arms, simulate_physics(worlds[arms[0]], faults)))
    ordered = _ordered(block, worlds, physics, functions or {})
    triage = _triage(block, physics, ordered)
    parts = quiet_tables(block, worlds, physics, ~triage.busy, triage.decided)
    quiet_fault = ~triage.busy[block.node_of_fault]
    fault_rows = [fault_columns(faults.take(quiet_fault), block.fault_seq()[quiet_fault])]
    nodes = np.flatnonzero(triage.busy)
    if nodes.size:
        finished = [
            finish_lives(
                block, worlds[arms[0]], physics[arms[0]], nodes, arms_by(lambda arm: policies[arm], arms), ordered
            )
            for arms in calls
        ]
        placed = placed_faults(finished, block)
        fault_rows.append(fault_columns(placed.table, placed.seq))
        for lives in finished:
            parts.extend(busy_tables(lives, placed))
    return BlockRows(block.node_id.size, _stack(fault_rows), [part for part in parts if part.tables])


def _stack(rows: list[Columns]) -> Columns:
    """Put the columns of several tables one after the other."""
    return {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}


def _can_be_asked_for(windows: Windows, asks: PageOffline) -> Flags:
    """Return which windows have errors enough for a daemon to ask for a page, or a row or bank that has all of them."""
    if asks.age_ns:
        return _can_fill(windows, asks)
    if asks.by is not OfflineScope.PAGE:
        least = min(count for count in (asks.ce_threshold, asks.row_columns) if count)
        enough: Flags = count_together(windows, windows.fault) >= least
        return enough
    past: Flags = windows.errors > (asks.ce_threshold - 1) * windows.n_pages
    return past


def _can_fill(windows: Windows, asks: PageOffline) -> Flags:
    """Return which windows are of runs with errors enough for a count with an age, of a page or of a row with all."""
    found = np.zeros(windows.fault.size, np.bool_)
    one_each = windows.soft & (asks.by is OfflineScope.PAGE) & (asks.ce_threshold > 1)  # of each page of a soft fault
    some = np.flatnonzero(~one_each)
    some = some[np.lexsort((windows.low_ns[some], windows.fault[some]))]
    mine = windows.take(some)
    run = runs_of(mine.fault, mine.low_ns, mine.high_ns, np.full(some.size, asks.age_ns))
    errors = mine.errors if asks.by is OfflineScope.ROW else -(-mine.errors // mine.n_pages)
    found[some] = can_reach(run, errors, np.full(some.size, asks.ce_threshold))
    return found


class Triage(NamedTuple):
    """Which nodes need what, arrays of shape ``(n_nodes,)``.

    Attributes:
        busy: It can go down: it has uncorrected errors, a fault of it reaches some arm's limit, or it gets orders.
        decided: Some arm decides about its corrected errors.
    """

    busy: Flags
    decided: Flags


def _ordered(
    block: Block, worlds: dict[int, World], physics: dict[int, Physics], functions: Functions
) -> dict[Policy, Orders]:
    """Return what policies of one's own order under the settings that name one."""
    found = {}
    for policy, arms in arms_by(lambda arm: block.policies[arm], range(len(block.policies))).items():
        name = policy.own_policy.function
        if name:
            found[policy] = decide(block, worlds[arms[0]], physics[arms[0]], policy, functions[name])
    return found


def _triage(block: Block, physics: dict[int, Physics], ordered: dict[Policy, Orders]) -> Triage:
    """Sort nodes by what can happen to them in any arm."""
    node_of_fault = block.node_of_fault
    busy, decided = (np.zeros(block.node_id.size, np.bool_) for _ in range(2))
    if len({id(one) for one in physics.values()}) > 1:  # arms see different corrected errors of every fault
        decided = block.mark_nodes(np.ones(node_of_fault.size, np.bool_))

    def rules(arm: int) -> tuple[int, PageOffline, int, bool, bool]:
        policy, repair = block.policies[arm], block.policies[arm].repair
        return id(physics[arm]), policy.page_offline, repair.replace_ce, repair.replace_risky, repair.replace_ecs

    risky, dimm = shows_risky_pattern(block.faults), dimms_of(block.faults)
    for (_, asks, limit, by_pattern, by_report), arms in arms_by(rules, range(len(block.policies))).items():
        mine = physics[arms[0]]
        windows = mine.windows
        if limit:
            busy[node_of_fault[windows.fault[count_together(windows, dimm[windows.fault]) >= limit]]] = True
        if by_pattern:
            busy[node_of_fault[windows.fault[risky[windows.fault]]]] = True
        if by_report:
            busy[node_of_fault[mine.passes.fault]] = True
        busy[node_of_fault[mine.pages.fault]] = True
        if asks.counts:
            decided[node_of_fault[windows.fault[_can_be_asked_for(windows, asks)]]] = True
    for orders in ordered.values():
        busy[np.searchsorted(block.node_id, orders.node_id)] = True
    return Triage(busy, decided)
