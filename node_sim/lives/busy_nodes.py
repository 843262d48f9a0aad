"""Nodes that can go down: one life per node and distinct policy, and the faults that were in place in any of them.

**Models.** Nodes with uncorrected errors, or with a fault for which some arm replaces the DIMM, have one lane per
distinct policy. A fault of a later DIMM generation is stored if it was in place in at least one lane.

**Leaves out.** All other nodes; ``quiet_nodes.py`` has them.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import LifecycleKind, LifecycleReason
from node_sim.columns import Columns
from node_sim.dram.faults import FaultTable
from node_sim.lives.carry_out import link_orders
from node_sim.lives.corrected_rows import log_corrected, log_reports
from node_sim.lives.ordered import Agenda, Orders
from node_sim.lives.physics import Physics, Store
from node_sim.lives.places import CORDON_DELAY_NS, all_eras
from node_sim.lives.policies import PolicyColumns
from node_sim.lives.rows import ArmTables, EventLog, last_rows, number_rows, split_by_arms
from node_sim.lives.state import LaneState
from node_sim.lives.steps import run_lives, start_lives
from node_sim.lives.world import Block, World
from node_sim.records import Ints, join
from node_sim.server.policy import Policy


class FinishedLives(NamedTuple):
    """Lanes of one call at the horizon, their rows not numbered yet.

    Attributes:
        state: Of the lanes, ordered by (policy, node).
        arms: Arms that share each policy.
        nodes: How many nodes there are.
    """

    state: LaneState
    arms: list[tuple[int, ...]]
    nodes: int


class PlacedFaults(NamedTuple):
    """Faults that were in place in at least one lane.

    Attributes:
        table: The faults, ordered by (node, generation, time).
        seq: Number of each among those of its node, shape ``(n_faults,)``.
        per_node: How many each node of the block has, shape ``(n_nodes,)``.
    """

    table: FaultTable
    seq: Ints
    per_node: Ints


def finish_lives(
    block: Block,
    world: World,
    physics: Physics,
    arms_of: dict[Policy, tuple[int, ...]],
    ordered: dict[Policy, Orders],
) -> FinishedLives:
    """Run the lanes of nodes that can go down, one per node and distinct policy.

    Args:
        block: The nodes.
        world: What the lanes share.
        physics: Of all of them.
        arms_of: Arms that share each policy.
        ordered: What policies of one's own order under some of them.
    """
    n, faults, copies = block.node_id.size, block.node_of_fault.size, len(arms_of)
    # Lanes are numbered policy by policy: that of node i under policy p is p * n + i.
    lanes = np.tile(block.node_of_fault, copies) + np.repeat(np.arange(copies) * n, faults)
    state = start_lives(
        world,
        Store(world, physics),
        np.tile(block.node_id, copies),
        np.repeat(np.arange(copies), n),
        PolicyColumns.of(list(arms_of)),
        (lanes, np.tile(np.arange(faults), copies)),
        _agenda(block.node_id, [ordered.get(policy) for policy in arms_of]),
    )
    run_lives(state)
    return FinishedLives(state, list(arms_of.values()), n)


def _agenda(node_id: Ints, ordered: list[Orders | None]) -> Agenda:
    """Lay out the orders of policies in the order of their lanes; those of other nodes are left out."""
    parts, lanes = [Orders.of([])], [np.empty(0, np.int64)]
    for position, orders in enumerate(ordered):
        if orders is not None:
            lane = np.minimum(np.searchsorted(node_id, orders.node_id), node_id.size - 1)
            mine = np.flatnonzero(node_id[lane] == orders.node_id)
            parts.append(orders.take(mine))
            lanes.append(position * node_id.size + lane[mine])
    return Agenda.of(join(parts), np.concatenate(lanes), len(ordered) * node_id.size)


def placed_faults(finished: list[FinishedLives], block: Block) -> PlacedFaults:
    """Collect the faults that were in place in at least one lane of any call."""
    tables = []
    for lives in finished:
        places, faults = lives.state.places, lives.state.store.faults
        alive = faults.time_ns[places.fault] < places.removed_ns
        tables.append(faults.take(np.unique(places.fault[alive])))
    table = join(tables)
    _, first = np.unique(table.fault_id, return_index=True)
    table = table.take(first)
    node = np.searchsorted(block.node_id, table.node_id)
    table = table.take(np.lexsort((table.tag, table.time_ns, table.generation, node)))
    node = np.searchsorted(block.node_id, table.node_id)
    seq = np.arange(node.size) - np.searchsorted(node, node)
    return PlacedFaults(table, seq, np.bincount(node, minlength=block.node_id.size))


def busy_tables(lives: FinishedLives, placed: PlacedFaults) -> list[ArmTables]:
    """Add the corrected errors and reports of finished lives and number all rows."""
    state, store = lives.state, lives.state.store
    eras = all_eras(state)
    seen = log_corrected(state.log, eras, store.index, store.faults, state.world, join(state.poisoned))
    log_reports(state.log, eras, store.passes, store.faults, state.world.policy.ecc)
    _link_cordons(state.log, seen)
    link_orders(state.log, state.ordered_rows)
    order = np.argsort(placed.table.fault_id)
    position = np.searchsorted(placed.table.fault_id[order], store.faults.fault_id)
    position = np.minimum(position, max(order.size - 1, 0))  # faults in place nowhere have no row that could ask
    fault_seq = placed.seq[order][position]
    rows = number_rows(state.log, np.tile(placed.per_node, len(lives.arms)), store.faults, fault_seq)
    return split_by_arms(rows, lives.arms, lives.nodes)


def _link_cordons(log: EventLog, seen: Columns) -> None:
    """Name the row that reached the limit of a fault as the cause of each cordon, once these rows are logged.

    It is the row of the same lane and fault with the error, or the report, that came ``CORDON_DELAY_NS`` before the
    cordon: the last that had begun by then.

    Args:
        log: Rows; changed.
        seen: Corrected errors, as ``log_corrected`` returns them.
    """
    for reason, rows in (
        (LifecycleReason.CE_LIMIT, seen),
        (LifecycleReason.RISKY_PATTERN, seen),
        (LifecycleReason.ECS_LIMIT, log.table("ecs_reports")),
    ):
        for chunk in log.chunks["lifecycle"]:
            mine = np.flatnonzero((chunk["kind"] == LifecycleKind.CORDON) & (chunk["reason"] == reason))
            if mine.size:
                lane, fault, time_ns = (chunk[name][mine].astype(np.int64) for name in ("lane", "fault", "time_ns"))
                chunk["cause"][mine] = last_rows(rows, lane, fault, time_ns - CORDON_DELAY_NS)
