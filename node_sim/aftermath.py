"""What follows from errors for the whole node: panic and reboot, cordon and DIMM replacement.

**Models.** A panic takes the node down until it has booted. Enough uncorrected or corrected errors cordon it; then it
is drained and the DIMMs that are due are replaced.

**Leaves out.** See ``repair.py``, which holds the rules and times.

**Assumes.** A panic that reaches the limit reboots first and is cordoned then.

**Sources.** ``repair.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import ErrorKind, LifecycleKind, LifecycleReason
from node_sim.events import EventLog
from node_sim.lane_state import LaneState
from node_sim.records import Index, Ints, take
from node_sim.repair import PolicyColumns, reaches_limit, repair_times

NULL = -1


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
        return end_ns

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
        nothing = np.full(limit.size, NULL)
        self._repair(mine.lane, mine.fault, cause, start_ns[limit], LifecycleReason.UE_LIMIT, nothing)

    def replace(self, lane: Ints, place: Ints, start_ns: Ints) -> None:
        """Cordon, drain and repair nodes with a fault in place that has had enough corrected errors."""
        fault = self.state.places.fault[place]
        slot = self.state.store.faults.box.slot[fault]
        self._repair(lane, fault, -1 - fault, start_ns, LifecycleReason.CE_LIMIT, slot)

    def _repair(
        self, lane: Ints, fault: Ints, cause: Ints, start_ns: Ints, reason: LifecycleReason, at_limit: Ints
    ) -> None:
        """Cordon and drain nodes and replace the DIMMs that are due: with UEs, or in slot ``at_limit`` (-1: none)."""
        state = self.state
        arm = state.arm_set[lane]
        times = repair_times(start_ns, self.policies.drain_ns[arm], self.policies.replace_ns[arm])
        reasons, nothing = np.full(lane.size, int(reason)), np.full(lane.size, NULL)
        cordon = self._lifecycle(
            lane, fault, cause, start_ns, times.drained_ns, LifecycleKind.CORDON, reasons, nothing, 0
        )
        by_limit = np.arange(state.had_ue.shape[1]) == at_limit[:, None]
        due = (state.had_ue[lane] | by_limit) & (times.drained_ns < state.world.horizon_ns)[:, None]
        which, slot = np.nonzero(due)
        for_limit = by_limit[which, slot]
        self._lifecycle(
            lane[which],
            fault[which],
            np.where(reason == LifecycleReason.CE_LIMIT, cordon[which], cause[which]),
            times.drained_ns[which],
            times.end_ns[which],
            LifecycleKind.DIMM_REPLACEMENT,
            np.where(for_limit, int(reason), int(LifecycleReason.DIMM_HAD_UE)),
            slot,
            0,
        )
        state.go_down(lane, start_ns, times.end_ns)
        state.remove_dimms(lane[which], slot, times.end_ns[which])
        state.ue_count[lane] = 0
        state.had_ue[lane] = False


def link_cordons(log: EventLog) -> None:
    """Name the row of corrected errors that reached the limit as the cause of each cordon, once these rows are logged.

    It is the row of the same lane and fault whose last error came a nanosecond before the cordon.
    """
    for chunk in log.chunks["lifecycle"]:
        mine = (chunk["kind"] == LifecycleKind.CORDON) & (chunk["reason"] == LifecycleReason.CE_LIMIT)
        if mine.any():
            break
    else:
        return
    errors = log.table("errors")
    corrected = np.flatnonzero(errors["kind"] == ErrorKind.CE)
    keys = zip(*(errors[name][corrected].tolist() for name in ("lane", "fault", "last_time_ns")), strict=True)
    row_of = dict(zip(keys, errors["name"][corrected].tolist(), strict=True))
    for chunk in log.chunks["lifecycle"]:
        mine = (chunk["kind"] == LifecycleKind.CORDON) & (chunk["reason"] == LifecycleReason.CE_LIMIT)
        keys = zip(*(chunk[name][mine].tolist() for name in ("lane", "fault", "time_ns")), strict=True)
        chunk["cause"][mine] = [row_of[lane, fault, time_ns - 1] for lane, fault, time_ns in keys]
