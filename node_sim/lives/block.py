"""Many nodes at once: physics, triage, lives, and the event tables of every set of arms.

**Models.** Nodes that can go down in some arm are *busy*, the others *quiet*; each kind has its own way to its rows.
Physics and quiet nodes take the most memory, so they are done in pieces of about equal work (``load.py``), and their
rows leave as soon as they are many. Lives take the most steps, and a step costs much the same for few lanes as for
many, so the busy nodes of many pieces wait and are lived together: those pieces are a block.

**Leaves out.** Anything shared between nodes.

**Assumes.** Arms whose settings are equal where it matters for a node have equal rows there; they share a lane.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from node_sim.columns import Columns
from node_sim.dram.faults import FaultTable, simulate_faults
from node_sim.dram.growth import grow
from node_sim.dram.rates import expected_per_dimm
from node_sim.draws import Seed
from node_sim.lives.busy_nodes import FinishedLives, busy_tables, finish_lives, placed_faults
from node_sim.lives.decisions import decide
from node_sim.lives.load import FAULTS_AT_ONCE, cut_pieces, has_many_busy, has_many_rows, points_of_nodes
from node_sim.lives.ordered import Orders
from node_sim.lives.physics import Physics, join_physics, simulate_physics, take_physics
from node_sim.lives.quiet_nodes import quiet_tables
from node_sim.lives.rows import ArmTables, fault_columns
from node_sim.lives.triage import sort_nodes
from node_sim.lives.world import Block, World, arms_by, corrected_settings, join_blocks, shared_settings, world_of
from node_sim.orders import PolicyFunction
from node_sim.records import Flags, Ints, join
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy


@dataclass(frozen=True)
class BlockRows:
    """Everything that happened to some nodes.

    Attributes:
        nodes: How many nodes these are.
        done: How many of all nodes asked for, from the first on, have no rows still to come.
        faults: Rows of all their faults.
        parts: The other tables, by arms.
    """

    nodes: int
    done: int
    faults: Columns
    parts: list[ArmTables]


class _Busy(NamedTuple):
    """Nodes that can go down, with all that is known of them before they are lived.

    Attributes:
        block: The nodes.
        physics: Of all of them, for each distinct way to draw corrected errors.
        ordered: What policies of one's own order.
    """

    block: Block
    physics: list[Physics]
    ordered: dict[Policy, Orders]

    def windows(self) -> int:
        """Return how many windows with corrected errors they have, in all ways to draw them."""
        return sum(physics.windows.fault.size for physics in self.physics)


class _Rows(NamedTuple):
    """All rows of some nodes, by table and arms."""

    nodes: int
    faults: Columns
    parts: list[ArmTables]

    def size(self) -> int:
        """Return how many rows these are."""
        tables = (table for part in self.parts for table in part.tables.values())
        return int(self.faults["time_ns"].size) + sum(table["time_ns"].size for table in tables)


Functions = Mapping[str, PolicyFunction]


def simulate_nodes(
    seed: Seed,
    node_id: Ints,
    hardware: Hardware,
    policies: tuple[Policy, ...],
    horizon_ns: int,
    functions: Functions | None = None,
) -> Iterator[BlockRows]:
    """Simulate nodes of one group under all arms; see ``simulate_block``.

    Yields:
        All rows of some nodes after those of others: of quiet ones, or of all that are left of a block.

    Raises:
        ModelError: One node has too many faults or events.
    """
    policies = tuple(policy.on(hardware.server) for policy in policies)
    group, lanes = _Group(seed, hardware, policies, horizon_ns, functions or {}), len(set(policies))
    per_node = expected_per_dimm(hardware, horizon_ns) * hardware.server.dimms
    at_once = max(1, int(min(node_id.size, FAULTS_AT_ONCE / max(per_node, 1e-12))))
    quiet: list[_Rows] = []
    busy: list[_Busy] = []
    done = 0
    for first in range(0, node_id.size, at_once):
        some = node_id[first : first + at_once]
        faults = draw_all(seed, some, hardware, horizon_ns)
        points = points_of_nodes(some, faults, hardware, policies, horizon_ns)
        for nodes in cut_pieces(points, lanes):
            mine = some[nodes]
            begin, end = np.searchsorted(faults.node_id, (mine[0], mine[-1] + 1))
            rows, waiting = group.piece(mine, faults.take(slice(begin, end)))
            quiet.append(rows)
            busy.extend(waiting)
            reached = first + nodes.stop
            done = done if busy else reached
            full = has_many_busy(sum(one.windows() for one in busy), lanes)
            if full or has_many_rows(sum(one.size() for one in quiet)):
                yield group.finish(quiet, [], done)
                quiet = []
            if full:
                done = reached
                yield group.finish([], busy, done)
                busy = []
    if quiet:
        yield group.finish(quiet, [], done)
    if busy:
        yield group.finish([], busy, node_id.size)


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
    group = _Group(seed, hardware, policies, horizon_ns, functions or {})
    quiet, busy = group.piece(node_id, draw_all(seed, node_id, hardware, horizon_ns))
    return group.finish([quiet], busy, node_id.size)


def draw_all(seed: Seed, node_id: Ints, hardware: Hardware, horizon_ns: int) -> FaultTable:
    """Draw the faults of generation 0 and what they grow into, ordered by (node, time, tag)."""
    faults, _ = grow(seed, simulate_faults(seed, node_id, hardware, horizon_ns), hardware, horizon_ns)
    return faults.take(np.lexsort((faults.tag, faults.time_ns, faults.node_id)))


class _Group:
    """Nodes of one group under all arms: what they have in common, and the two ways to rows."""

    def __init__(
        self, seed: Seed, hardware: Hardware, policies: tuple[Policy, ...], horizon_ns: int, functions: Functions
    ) -> None:
        """Arguments as of ``simulate_block``; policies are settled on the server."""
        self.seed, self.hardware, self.horizon_ns, self.functions = seed, hardware, horizon_ns, functions
        self.policies, every = policies, range(len(policies))
        self.calls = list(arms_by(lambda arm: shared_settings(policies[arm]), every).values())
        self.worlds: dict[int, World] = {}
        for arms in self.calls:
            world = world_of(seed, hardware, policies[arms[0]], horizon_ns)
            self.worlds.update(dict.fromkeys(arms, world))
        # Arms that agree on corrected errors, and for each arm which of these sets it is in.
        self.alike = list(arms_by(lambda arm: corrected_settings(policies[arm]), every).values())
        self.kind = {arm: kind for kind, arms in enumerate(self.alike) for arm in arms}

    def piece(self, node_id: Ints, faults: FaultTable) -> tuple[_Rows, list[_Busy]]:
        """Draw what follows from the faults of some nodes: rows of the quiet ones, and the others, if there are any."""
        block = Block.of(self.seed, self.hardware, self.policies, node_id, self.horizon_ns, faults)
        drawn = [simulate_physics(self.worlds[arms[0]], faults) for arms in self.alike]
        physics = {arm: drawn[kind] for arm, kind in self.kind.items()}
        ordered = self._ordered(block, physics)
        triage = sort_nodes(block, physics, ordered)
        parts = quiet_tables(block, self.worlds, physics, ~triage.busy, triage.decided)
        quiet = ~triage.busy[block.node_of_fault]
        busy = [_busy(block, drawn, ordered, triage.busy)] if triage.busy.any() else []
        rows = fault_columns(faults.take(quiet), block.fault_seq()[quiet])
        return _Rows(int((~triage.busy).sum()), rows, [part for part in parts if part.tables]), busy

    def finish(self, quiet: list[_Rows], busy: list[_Busy], done: int) -> BlockRows:
        """Live busy nodes together, whose list is emptied, and put their rows and those of quiet ones together."""
        lived = [self._lived(_join(busy))] if busy else []
        nodes, faults, parts = zip(*quiet, *lived, strict=True)
        columns = {name: np.concatenate([part[name] for part in faults]) for name in faults[0]}
        return BlockRows(sum(nodes), done, columns, list(chain(*parts)))

    def _lived(self, busy: _Busy) -> _Rows:
        """Live busy nodes together; return their rows."""
        finished = [self._live(busy, arms) for arms in self.calls]
        placed = placed_faults(finished, busy.block)
        parts = [part for lives in finished for part in busy_tables(lives, placed) if part.tables]
        return _Rows(busy.block.node_id.size, fault_columns(placed.table, placed.seq), parts)

    def _live(self, busy: _Busy, arms: tuple[int, ...]) -> FinishedLives:
        """Live the busy nodes of a block under arms that share a call."""
        lanes = arms_by(lambda arm: self.policies[arm], arms)
        return finish_lives(busy.block, self.worlds[arms[0]], busy.physics[self.kind[arms[0]]], lanes, busy.ordered)

    def _ordered(self, block: Block, physics: dict[int, Physics]) -> dict[Policy, Orders]:
        """Return what policies of one's own order under the settings that name one."""
        found = {}
        for policy, arms in arms_by(lambda arm: self.policies[arm], range(len(self.policies))).items():
            name = policy.own_policy.function
            if name:
                arm = arms[0]
                found[policy] = decide(block, self.worlds[arm], physics[arm], policy, self.functions[name])
        return found


def _busy(block: Block, drawn: list[Physics], ordered: dict[Policy, Orders], busy: Flags) -> _Busy:
    """Select the busy nodes of a piece."""
    part, faults = block.take(np.flatnonzero(busy))
    return _Busy(part, [take_physics(physics, faults) for physics in drawn], ordered)


def _join(parts: list[_Busy]) -> _Busy:
    """Put the busy nodes of pieces together, which follow each other; the list is emptied: lives need the memory."""
    joined = _Busy(
        join_blocks([part.block for part in parts]),
        [join_physics(list(drawn)) for drawn in zip(*(part.physics for part in parts), strict=True)],
        {policy: join([part.ordered[policy] for part in parts]) for policy in parts[0].ordered},
    )
    parts.clear()
    return joined
