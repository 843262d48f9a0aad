"""Many nodes at once: physics, triage, lanes, and the event tables of every set of arms.

**Models.** Nodes on which no policy decision arises in any arm are *common* and computed once. Nodes with
corrected errors past some arm's threshold have one lane per distinct threshold. Nodes with uncorrected errors, or
with a fault for which some arm replaces the DIMM, have one lane per distinct policy.

**Leaves out.** Anything shared between nodes.

**Assumes.** Arms whose settings are equal where it matters for a node have equal rows there; they share a lane.

**Sources.** None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.codes import ErrorKind, OfflineTrigger
from node_sim.columns import Columns
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.live_errors import count_live
from node_sim.corrected.offlining import find_offlines, observer_code, offline_columns
from node_sim.corrected.reports import log_reports
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.faults import FaultTable, simulate_faults
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.lives.physics import Physics, Store, World, simulate_physics
from node_sim.lives.policies import PolicyColumns
from node_sim.lives.repair import link_cordons
from node_sim.lives.rows import EventLog, Lanes, fault_columns, number_rows
from node_sim.lives.state import LaneState, Limits
from node_sim.lives.steps import Lives
from node_sim.memory.pages import Memory
from node_sim.records import Flags, Ints, join, take
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy

COMMON: tuple[int, ...] = ()
"""Arms of the rows that are the same in every arm."""


class Part(NamedTuple):
    """Event tables of some nodes under a set of arms; ``arms`` is ``COMMON`` for rows of all arms."""

    arms: tuple[int, ...]
    tables: dict[str, Columns]


@dataclass(frozen=True)
class BlockRows:
    """Everything that happened to the nodes of a block."""

    faults: Columns
    parts: list[Part]


class _Run(NamedTuple):
    """Finished lanes of one call, not numbered yet."""

    state: LaneState
    log: EventLog
    classes: list[tuple[int, ...]]
    nodes: Ints


def _shared_settings(policy: Policy) -> Policy:
    """Settings that decide the physics and the users of memory; arms that agree on them share a call."""
    return Policy(errors=policy.errors, ecc=policy.ecc, detection=policy.detection, workload=policy.workload)


def _corrected_settings(policy: Policy) -> tuple[object, ...]:
    """Settings that decide which corrected errors there are, before anything is taken offline."""
    return policy.errors, policy.ecc, policy.detection, policy.workload.use.free, policy.workload.use.kernel


def _classes(keys: list[object]) -> dict[object, tuple[int, ...]]:
    """Group arms by equal keys, in the order of first appearance."""
    found: dict[object, tuple[int, ...]] = {}
    for arm, key in enumerate(keys):
        found[key] = (*found.get(key, ()), arm)
    return found


def _corrected_rows(log: EventLog, eras: Eras, index: WindowIndex, faults: FaultTable, world: World) -> None:
    """Log the corrected errors and page offlinings of eras."""
    spans = spans_of(eras, index)
    if not spans.era.size:
        return
    share = (world.seed, world.policy.workload.use.kernel)
    offlines, before, after = find_offlines(eras, spans, index, faults, world.address_map, share)
    counts = count_live(eras, spans, index, offlines, before, after)
    row = np.flatnonzero(counts.errors > 0)
    windows = index.windows.take(spans.window[row])
    era = spans.era[row]
    fault = eras.fault[era]
    first_time = error_time_ns(windows, counts.first[row])
    page = (counts.first[row] - 1) % windows.n_pages
    name = log.add(
        "errors",
        lane=eras.lane[era],
        time_ns=first_time,
        fault=fault,
        cause=-1 - fault,
        kind=np.full(row.size, int(ErrorKind.CE)),
        observer=observer_code(windows),
        ce_count=counts.errors[row],
        n_pages=counts.n_pages[row],
        first_pfn=_pages_of(world.address_map, faults, fault, page),
        first_time_ns=first_time,
        last_time_ns=error_time_ns(windows, counts.last[row]),
    )
    name_of_span = np.full(spans.era.size, -1)
    name_of_span[row] = name
    log.add(
        "page_offlines",
        lane=eras.lane[offlines.era],
        time_ns=offlines.time_ns,
        fault=eras.fault[offlines.era],
        cause=name_of_span[offlines.span],
        pfn=offlines.pfn,
        trigger=np.full(offlines.page.size, int(OfflineTrigger.CE_THRESHOLD)),
        **offline_columns(offlines),
    )


def _pages_of(address_map: AddressMap, faults: FaultTable, fault: Ints, page: Ints) -> Ints:
    """Page numbers of pages of faults; the first page is known already."""
    pfn = faults.first_pfn[fault]
    later = np.flatnonzero(page)
    pfn[later] = address_map.page(faults.box.take(fault[later]), page[later])
    return pfn


def _split(tables: dict[str, Columns], classes: list[tuple[int, ...]], n_nodes: int) -> list[Part]:
    """Split tables ordered by lane (class-major) into one part per class."""
    parts = []
    for position, arms in enumerate(classes):
        cut = (position * n_nodes, (position + 1) * n_nodes)
        mine = {}
        for name, columns in tables.items():
            low, high = np.searchsorted(columns["lane"], cut)
            if low < high:
                mine[name] = {column: cells[low:high] for column, cells in columns.items() if column != "lane"}
        parts.append(Part(arms, mine))
    return parts


@dataclass(frozen=True)
class _Block:
    """Nodes of one group, their faults of generation 0, and the arms."""

    seed: Seed
    hardware: Hardware
    policies: tuple[Policy, ...]
    node_id: Ints
    horizon_ns: int
    faults: FaultTable
    node_of_fault: Ints

    def world(self, policy: Policy) -> World:
        """What lanes under this policy's shared settings have in common."""
        shared = _shared_settings(policy)
        address_map = AddressMap(self.hardware.server)
        return World(self.seed, self.hardware, shared, Memory.of(shared), address_map, self.horizon_ns)

    def mark_nodes(self, faults: Flags) -> Flags:
        """Nodes that have at least one of the marked faults."""
        found = np.zeros(self.node_id.size, np.bool_)
        found[self.node_of_fault[faults]] = True
        return found

    def fault_seq(self) -> Ints:
        """Number of each fault among those of its node."""
        start = np.searchsorted(self.node_of_fault, self.node_of_fault)
        return np.arange(self.node_of_fault.size) - start

    def corrected_part(
        self, physics: Physics, world: World, nodes: Flags, thresholds: list[int]
    ) -> tuple[dict[str, Columns], int]:
        """Rows of nodes that have corrected errors only: one lane per node and threshold."""
        picked = np.flatnonzero(nodes)
        rank = np.cumsum(nodes) - 1
        mine = np.flatnonzero(nodes[self.node_of_fault])
        lane = rank[self.node_of_fault[mine]]
        n, copies = picked.size, len(thresholds)
        shift = np.repeat(np.arange(copies) * n, mine.size)
        eras = Eras(
            lane=np.tile(lane, copies) + shift,
            fault=np.tile(mine, copies),
            from_ns=np.zeros(mine.size * copies, np.int64),
            to_ns=np.full(mine.size * copies, self.horizon_ns),
            threshold=np.repeat(np.asarray(thresholds, np.int64), mine.size),
        )
        log = EventLog()
        _corrected_rows(log, eras, WindowIndex(physics.windows, self.faults.time_ns.size), self.faults, world)
        log_reports(log, eras, physics.passes, self.faults, world.policy.ecc)
        first_seq = np.bincount(lane, minlength=n)
        lanes = Lanes(np.tile(picked, copies), np.repeat(np.arange(copies), n), np.tile(first_seq, copies))
        return number_rows(log, lanes, self.faults, self.fault_seq()), n


def _run_lives(
    block: _Block, world: World, physics: Physics, nodes: Ints, classes: dict[Policy, tuple[int, ...]]
) -> _Run:
    """Run the lanes of nodes with uncorrected errors or DIMMs to be replaced under every distinct policy."""
    inside = np.zeros(block.node_id.size, np.bool_)
    inside[nodes] = True
    mine = np.flatnonzero(inside[block.node_of_fault])
    store = Store(world, _take_physics(physics, mine))
    lane_of_node = np.cumsum(inside) - 1
    lane = lane_of_node[block.node_of_fault[mine]]
    copies = len(classes)
    policies = PolicyColumns.of(list(classes))
    arm_set = np.repeat(np.arange(copies), nodes.size)
    lanes = np.tile(lane, copies) + np.repeat(np.arange(copies) * nodes.size, mine.size)
    state = LaneState.start(
        world,
        store,
        np.tile(block.node_id[nodes], copies),
        arm_set,
        Limits(policies.ce_threshold[arm_set], policies.replace_ce[arm_set], policies.replace_ecs[arm_set]),
        (lanes, np.tile(np.arange(mine.size), copies)),
    )
    log = EventLog()
    Lives(state, policies, log).run()
    return _Run(state, log, list(classes.values()), nodes)


def _take_physics(physics: Physics, faults: Ints) -> Physics:
    """Select the physics of some faults, which are in ascending order."""
    new = np.full(physics.faults.time_ns.size, -1)
    new[faults] = np.arange(faults.size)
    window = np.flatnonzero(new[physics.windows.fault] >= 0)
    page = np.flatnonzero(new[physics.pages.fault] >= 0)
    passes = physics.passes.take(np.flatnonzero(new[physics.passes.fault] >= 0))
    windows = physics.windows.take(window)
    pages = take(physics.pages, page)
    return Physics(
        physics.faults.take(faults),
        take(physics.judgement, faults),
        windows._replace(fault=new[windows.fault]),
        pages._replace(fault=new[pages.fault]),
        passes._replace(fault=new[passes.fault]),
    )


def _union_of_faults(runs: list[_Run], block: _Block) -> tuple[FaultTable, Ints, Ints]:
    """Faults that were in place in at least one lane: the table, each one's number, and how many each node has."""
    tables = []
    for run in runs:
        places, faults = run.state.places, run.state.store.faults
        alive = faults.time_ns[places.fault] < places.removed_ns
        tables.append(faults.take(np.unique(places.fault[alive])))
    table = join(tables)
    _, first = np.unique(table.fault_id, return_index=True)
    table = table.take(first)
    node = np.searchsorted(block.node_id, table.node_id)
    table = table.take(np.lexsort((table.tag, table.time_ns, table.generation, node)))
    node = np.searchsorted(block.node_id, table.node_id)
    seq = np.arange(node.size) - np.searchsorted(node, node)
    return table, seq, np.bincount(node, minlength=block.node_id.size)


def _finish_run(run: _Run, union: tuple[FaultTable, Ints, Ints]) -> list[Part]:
    """Add the corrected errors and reports of finished lanes and number all rows."""
    state, store = run.state, run.state.store
    eras = state.all_eras()
    _corrected_rows(run.log, eras, store.index, store.faults, state.world)
    log_reports(run.log, eras, store.passes, store.faults, state.world.policy.ecc)
    link_cordons(run.log)
    table, seq, per_node = union
    order = np.argsort(table.fault_id)
    position = np.searchsorted(table.fault_id[order], store.faults.fault_id)
    position = np.minimum(position, max(order.size - 1, 0))
    fault_seq = seq[order][position]
    copies = len(run.classes)
    lanes = Lanes(
        np.tile(run.nodes, copies),
        np.repeat(np.arange(copies), run.nodes.size),
        np.tile(per_node[run.nodes], copies),
    )
    return _split(number_rows(run.log, lanes, store.faults, fault_seq), run.classes, run.nodes.size)


def simulate_block(
    seed: Seed, node_id: Ints, hardware: Hardware, policies: tuple[Policy, ...], horizon_ns: int
) -> BlockRows:
    """Simulate nodes of one group under all arms.

    Args:
        seed: Of the run.
        node_id: Ascending node numbers, shape ``(n,)``; any subset gives the same rows for its nodes.
        hardware: Of the group.
        policies: The group's settings in each arm.
        horizon_ns: Simulated time [ns], > 0.

    Raises:
        ConfigError: An arm's settings do not suit the hardware.
        ModelError: Too many faults or events.
    """
    policies = tuple(policy.on(hardware.server) for policy in policies)
    faults = simulate_faults(seed, node_id, hardware, horizon_ns)
    block = _Block(seed, hardware, policies, node_id, horizon_ns, faults, np.searchsorted(node_id, faults.node_id))
    by_shared = _classes([_shared_settings(policy) for policy in policies])
    worlds = {arms: block.world(policies[arms[0]]) for arms in by_shared.values()}
    by_corrected = _classes([_corrected_settings(policy) for policy in policies])
    physics_of: dict[int, Physics] = {}
    world_of: dict[int, World] = {arm: world for arms, world in worlds.items() for arm in arms}
    for arms in by_corrected.values():
        physics = simulate_physics(world_of[arms[0]], faults)
        physics_of.update(dict.fromkeys(arms, physics))
    uncorrected, decided = _triage(block, physics_of, several=len(by_corrected) > 1)
    parts = _corrected_parts(block, physics_of, world_of, uncorrected, decided)
    plain = faults.take(~uncorrected[block.node_of_fault])
    fault_rows = [fault_columns(plain, block.fault_seq()[~uncorrected[block.node_of_fault]])]
    nodes = np.flatnonzero(uncorrected)
    if nodes.size:
        runs = []
        for arms, world in worlds.items():
            mine = {policy: tuple(arms[a] for a in found) for policy, found in _by_policy(policies, arms).items()}
            runs.append(_run_lives(block, world, physics_of[arms[0]], nodes, mine))
        union = _union_of_faults(runs, block)
        fault_rows.append(fault_columns(union[0], union[1]))
        for run in runs:
            parts.extend(_finish_run(run, union))
    return BlockRows(_stack(fault_rows), [part for part in parts if part.tables])


def _by_policy(policies: tuple[Policy, ...], arms: tuple[int, ...]) -> dict[Policy, tuple[int, ...]]:
    """Group some arms by equal settings."""
    found: dict[Policy, tuple[int, ...]] = {}
    for position, arm in enumerate(arms):
        found[policies[arm]] = (*found.get(policies[arm], ()), position)
    return found


def _stack(rows: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}


def _triage(block: _Block, physics_of: dict[int, Physics], *, several: bool) -> tuple[Flags, Flags]:
    """Mark nodes that can go down, and those on which some arm decides about corrected errors of pages.

    A node can go down if it has uncorrected errors, or if a fault of it reaches some arm's limit.
    """
    uncorrected = np.zeros(block.node_id.size, np.bool_)
    decided = block.mark_nodes(np.ones(block.node_of_fault.size, np.bool_)) if several else uncorrected.copy()
    distinct = {
        (id(physics_of[arm]), p.page_offline.ce_threshold, p.repair.replace_ce, p.repair.replace_ecs): arm
        for arm, p in enumerate(block.policies)
    }
    for (_, threshold, limit, by_report), arm in distinct.items():
        physics = physics_of[arm]
        if limit:
            uncorrected[block.node_of_fault[physics.windows.fault[physics.windows.errors >= limit]]] = True
        if by_report:
            uncorrected[block.node_of_fault[physics.passes.fault]] = True
        uncorrected |= block.mark_nodes(physics.judgement.uncorrected)
        if threshold:
            windows = physics.windows
            past = windows.errors > (threshold - 1) * windows.n_pages
            decided[block.node_of_fault[windows.fault[past]]] = True
    return uncorrected, decided


def _corrected_parts(
    block: _Block,
    physics_of: dict[int, Physics],
    world_of: dict[int, World],
    uncorrected: Flags,
    decided: Flags,
) -> list[Part]:
    """Rows of the nodes without uncorrected errors: common ones, and those decided by a threshold."""
    common, n = block.corrected_part(physics_of[0], world_of[0], ~uncorrected & ~decided, [0])
    parts = _split(common, [COMMON], n)
    by_physics = _classes([id(physics_of[arm]) for arm in range(len(block.policies))])
    for arms in by_physics.values():
        thresholds = _classes([block.policies[arm].page_offline.ce_threshold for arm in arms])
        classes = [tuple(arms[position] for position in found) for found in thresholds.values()]
        keys = [int(str(key)) for key in thresholds]
        tables, n = block.corrected_part(physics_of[arms[0]], world_of[arms[0]], ~uncorrected & decided, keys)
        parts.extend(_split(tables, classes, n))
    return parts
