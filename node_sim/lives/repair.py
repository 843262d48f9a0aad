"""What follows from errors for the whole node: panic and reboot, cordon, row repair, DIMM replacement.

**Models.** A panic takes the node down until it has booted. Enough uncorrected or corrected errors, or a report of
error check and scrub, cordon it; then it is drained and the DIMMs that are due are replaced. A boot repairs rows
where the arm does so.

**Leaves out.** See ``repair.py``, which holds the rules and times.

**Assumes.** A panic that reaches the limit reboots first and is cordoned then.

**Sources.** ``repair.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import ErrorKind, LifecycleKind, LifecycleReason
from node_sim.lives.policies import PPR_OFF, PolicyColumns, reaches_limit, repair_times
from node_sim.lives.rows import EventLog
from node_sim.lives.state import LaneState
from node_sim.records import NULL, Flags, Index, Ints, take


class Touches(NamedTuple):
    """Touches of bad pages, at most one per lane; arrays of shape ``(n,)``."""

    which: Ints
    lane: Ints
    time_ns: Ints
    page: Ints
    fault: Ints
    observer: Ints
    mark: npt.NDArray[np.float64]

    def take(self, index: Index) -> Touches:
        """Select some."""
        return take(self, index)


class AtLimit(NamedTuple):
    """Limits reached in lanes: which (``LifecycleReason``), and by which fault in place, -1 if by none alone."""

    place: Ints
    reason: Ints


class Aftermath:
    """Takes nodes down and logs it."""

    def __init__(self, state: LaneState, policies: PolicyColumns, log: EventLog) -> None:
        """Act on lanes whose state is given; ``policies`` is indexed by the lanes' arm sets."""
        self.state = state
        self.policies = policies
        self.log = log

    def _lifecycle(  # noqa: PLR0913, PLR0917 - the columns of the table
        self,
        lane: Ints,
        fault: Ints,
        cause: Ints,
        start_ns: Ints,
        end_ns: Ints,
        kind: LifecycleKind,
        reason: Ints,
        dimm: Ints,
        lost: int,
    ) -> Ints:
        return self.log.add(
            "lifecycle",
            lane=lane,
            time_ns=start_ns,
            fault=fault,
            cause=cause,
            kind=np.full(lane.size, int(kind)),
            reason=reason,
            end_ns=end_ns,
            dimm=dimm,
            processes_lost=np.full(lane.size, lost),
        )

    def panic(self, touches: Touches, time_ns: Ints, cause: Ints, reason: Ints) -> Ints:
        """Panic and reboot nodes; return when they are up again."""
        state = self.state
        if not touches.which.size:
            return time_ns
        end_ns = time_ns + self.policies.reboot_ns[state.arm_set[touches.lane]]
        nothing = np.full(touches.which.size, NULL)
        lost = state.world.memory.processes.count
        self._lifecycle(touches.lane, touches.fault, cause, time_ns, end_ns, LifecycleKind.PANIC, reason, nothing, lost)
        state.go_down(touches.lane, time_ns, end_ns)
        self._spare_rows(touches.lane, time_ns, end_ns)
        return end_ns

    def _spare_rows(self, lane: Ints, start_ns: Ints, end_ns: Ints) -> None:
        """Repair suspected rows at the boot that ends an interval down."""
        state = self.state
        kind = self.policies.ppr[state.arm_set[lane]]
        if not (kind != PPR_OFF).any():
            return
        place = state.use_spare_rows(lane, end_ns, kind)
        start, end = (np.zeros(state.node_id.size, np.int64) for _ in range(2))
        start[lane], end[lane] = start_ns, end_ns
        mine, fault = state.places.lane[place], state.places.fault[place]
        self._lifecycle(
            mine,
            fault,
            state.places.suspect[place],
            start[mine],
            end[mine],
            LifecycleKind.POST_PACKAGE_REPAIR,
            state.places.why[place],
            state.store.faults.box.slot[fault],
            0,
        )
        state.places.suspect[place] = NULL

    def cordon(self, touches: Touches, end_ns: Ints, down_ns: Ints) -> None:
        """Cordon, drain and repair nodes that have had enough uncorrected errors."""
        state = self.state
        arm = state.arm_set[touches.lane]
        start_ns = np.maximum(end_ns, down_ns)
        full = reaches_limit(state.ue_count[touches.lane], self.policies.cordon_ue[arm])
        limit = np.flatnonzero(full & (start_ns < state.world.horizon_ns))
        if not limit.size:
            return
        mine = touches.take(limit)
        cause = state.pages.error[mine.which]
        limits = AtLimit(np.full(limit.size, NULL), np.full(limit.size, int(LifecycleReason.UE_LIMIT)))
        self._repair(mine.lane, mine.fault, cause, start_ns[limit], limits)

    def replace(self, lane: Ints, limits: AtLimit, start_ns: Ints) -> None:
        """Cordon, drain and repair nodes with a fault in place that has reached a limit."""
        fault = self.state.places.fault[limits.place]
        self._repair(lane, fault, -1 - fault, start_ns, limits)

    def _is_due(self, lane: Ints, place: Ints) -> Flags:
        """Return which DIMMs of lanes have to be replaced: with UEs, or at a limit in a place no spare row repairs."""
        state = self.state
        due: Flags = state.had_ue[lane].copy()
        some = np.flatnonzero(place >= 0)
        mine = place[some]
        spared = (self.policies.ppr[state.arm_set[lane[some]]] != PPR_OFF) & state.spare_is_free(mine)
        due[some, state.store.faults.box.slot[state.places.fault[mine]]] |= ~spared
        return due

    def _repair(self, lane: Ints, fault: Ints, cause: Ints, start_ns: Ints, limits: AtLimit) -> None:
        """Cordon and drain nodes and repair what is due.

        Args:
            lane: Lanes, each once.
            fault: Fault that reached a limit.
            cause: Row that did.
            start_ns: When.
            limits: Which limit.
        """
        state, horizon_ns = self.state, self.state.world.horizon_ns
        arm, due = state.arm_set[lane], self._is_due(lane, limits.place)
        last_ns = np.where(due.any(axis=1), self.policies.replace_ns[arm], self.policies.reboot_ns[arm])
        times = repair_times(start_ns, self.policies.drain_ns[arm], last_ns)
        nothing = np.full(lane.size, NULL)
        cordon = self._lifecycle(
            lane, fault, cause, start_ns, times.drained_ns, LifecycleKind.CORDON, limits.reason, nothing, 0
        )
        done = times.drained_ns < horizon_ns
        which, slot = np.nonzero(due & done[:, None])
        of_place = limits.place >= 0
        for_limit = of_place[which] & (slot == state.store.faults.box.slot[fault[which]])
        self._lifecycle(
            lane[which],
            fault[which],
            np.where(of_place, cordon, cause)[which],
            times.drained_ns[which],
            times.end_ns[which],
            LifecycleKind.DIMM_REPLACEMENT,
            np.where(for_limit, limits.reason[which], int(LifecycleReason.DIMM_HAD_UE)),
            slot,
            0,
        )
        state.places.accuse(limits.place[of_place], cordon[of_place], limits.reason[of_place])
        state.go_down(lane, start_ns, times.end_ns)
        state.power_off(lane[which], times.end_ns[which])
        state.remove_dimms(lane[which], slot, times.end_ns[which])
        self._spare_rows(lane[done], times.drained_ns[done], times.end_ns[done])
        state.ue_count[lane] = 0
        state.had_ue[lane] = False


def link_cordons(log: EventLog) -> None:
    """Name the row that reached the limit of a fault as the cause of each cordon, once these rows are logged.

    It is the row of the same lane and fault whose last error, or whose report, came a nanosecond before the cordon.
    """
    for reason, table, time in (
        (LifecycleReason.CE_LIMIT, "errors", "last_time_ns"),
        (LifecycleReason.ECS_LIMIT, "ecs_reports", "time_ns"),
    ):
        cordons = [
            (chunk, (chunk["kind"] == LifecycleKind.CORDON) & (chunk["reason"] == reason))
            for chunk in log.chunks["lifecycle"]
        ]
        if not any(mine.any() for _, mine in cordons):
            continue
        rows = log.table(table)
        counted = rows["kind"] == ErrorKind.CE if table == "errors" else slice(None)
        keys = zip(*(rows[name][counted].tolist() for name in ("lane", "fault", time)), strict=True)
        row_of = dict(zip(keys, rows["name"][counted].tolist(), strict=True))
        for chunk, mine in cordons:
            keys = zip(*(chunk[name][mine].tolist() for name in ("lane", "fault", "time_ns")), strict=True)
            chunk["cause"][mine] = [row_of[lane, fault, time_ns - 1] for lane, fault, time_ns in keys]
