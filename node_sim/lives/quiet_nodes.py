"""Nodes that never go down in any arm: their rows are corrected errors, and what follows from counting them.

**Models.** Nodes on which no policy decision arises in any arm are *common* and computed once. Nodes with corrected
errors past some arm's threshold have one lane per distinct threshold and answer of the kernel to soft offline.

**Leaves out.** Nodes with uncorrected errors or a DIMM to be replaced; ``busy_nodes.py`` has them.

**Assumes.** The one era of every fault lasts from the start to the horizon.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.columns import Columns
from node_sim.corrected.asking import OfflineQuestion
from node_sim.corrected.eras import Eras, WindowIndex
from node_sim.corrected.marks import Poisoned
from node_sim.lives.corrected_rows import log_corrected, log_reports
from node_sim.lives.physics import Physics
from node_sim.lives.policies import answers_of
from node_sim.lives.rows import COMMON, ArmTables, EventLog, number_rows, split_by_arms
from node_sim.lives.world import Block, World, arms_by
from node_sim.records import Flags
from node_sim.server.policy import Policy


def quiet_tables(
    block: Block, worlds: dict[int, World], physics: dict[int, Physics], quiet: Flags, decided: Flags
) -> list[ArmTables]:
    """Return the rows of nodes that never go down: common ones, and those decided by a threshold.

    Args:
        block: The nodes.
        worlds: By arm.
        physics: By arm; arms that agree on it share the object.
        quiet: Nodes that never go down in any arm, shape ``(n_nodes,)``.
        decided: Nodes with pages that some arm's threshold decides about, shape ``(n_nodes,)``.
    """
    common, n = _rows(block, physics[0], worlds[0], quiet & ~decided, [_IDLE])
    parts = split_by_arms(common, [COMMON], n)
    for arms in arms_by(lambda arm: id(physics[arm]), range(len(block.policies))).values():
        by_daemon = arms_by(lambda arm: _daemon(block.policies[arm]), arms)
        tables, n = _rows(block, physics[arms[0]], worlds[arms[0]], quiet & decided, list(by_daemon))
        parts.extend(split_by_arms(tables, list(by_daemon.values()), n))
    return parts


class _Daemon(NamedTuple):
    """When the daemon asks for a page, a row or a bank to go offline (0 = never), and what the kernel answers."""

    threshold: int
    scope: int
    columns: int
    age_ns: int
    answers: tuple[int, ...]


_IDLE = _Daemon(0, 0, 0, 0, (0,) * len(OfflineQuestion))


def _daemon(policy: Policy) -> _Daemon:
    """Return what decides about the pages of an arm; answers matter only if somebody asks."""
    asks = policy.page_offline
    if not asks.counts:
        return _IDLE
    return _Daemon(asks.ce_threshold, asks.by, asks.row_columns, asks.age_ns, answers_of(policy))


def _rows(
    block: Block, physics: Physics, world: World, nodes: Flags, daemons: list[_Daemon]
) -> tuple[dict[str, Columns], int]:
    """Return the rows of marked nodes, one lane per node and daemon, and how many nodes there are."""
    picked = np.flatnonzero(nodes)
    rank = np.cumsum(nodes) - 1
    mine = np.flatnonzero(nodes[block.node_of_fault])
    lane = rank[block.node_of_fault[mine]]
    n, copies = picked.size, len(daemons)
    nowhere = block.faults.on_wires
    shift = np.repeat(np.arange(copies) * n, mine.size)
    eras = Eras(
        lane=np.tile(lane, copies) + shift,
        fault=np.tile(mine, copies),
        from_ns=np.zeros(mine.size * copies, np.int64),
        to_ns=np.full(mine.size * copies, block.horizon_ns),
        threshold=np.concatenate([np.where(nowhere[mine], 0, daemon.threshold) for daemon in daemons]),
        scope=np.repeat(np.asarray([daemon.scope for daemon in daemons]), mine.size),
        columns=np.concatenate([np.where(nowhere[mine], 0, daemon.columns) for daemon in daemons]),
        age_ns=np.repeat(np.asarray([daemon.age_ns for daemon in daemons]), mine.size),
        answer=np.repeat(np.asarray([daemon.answers for daemon in daemons], np.int64), mine.size, axis=0),
    )
    log = EventLog()
    index = WindowIndex(physics.windows, block.faults.time_ns.size)
    log_corrected(log, eras, index, block.faults, world, Poisoned.none())
    log_reports(log, eras, physics.passes, block.faults, world.policy.ecc)
    first_seq = np.bincount(lane, minlength=n)
    return number_rows(log, np.tile(first_seq, copies), block.faults, block.fault_seq()), n
