"""What follows from uncorrected errors for the whole node: panic and reboot, cordon and DIMM replacement.

**Models.** A panic takes the node down until it has booted. Enough uncorrected errors cordon it; then it is
drained and the DIMMs that had one are replaced.

**Leaves out.** See ``repair.py``, which holds the rules and times.

**Assumes.** A panic that reaches the limit reboots first and is cordoned then.

**Sources.** ``repair.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import LifecycleKind, LifecycleReason
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
    ) -> None:
        self.log.add(
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
        mine, start = touches.take(limit), start_ns[limit]
        times = repair_times(start, self.policies.drain_ns[arm[limit]], self.policies.replace_ns[arm[limit]])
        cause = state.pages.error[mine.which]
        reason = np.full(limit.size, int(LifecycleReason.UE_LIMIT))
        nothing = np.full(limit.size, NULL)
        self._lifecycle(mine.lane, mine.fault, cause, start, times.drained_ns, LifecycleKind.CORDON, reason, nothing, 0)
        which, slot = np.nonzero(state.had_ue[mine.lane] & (times.drained_ns < state.world.horizon_ns)[:, None])
        reason = np.full(which.size, int(LifecycleReason.DIMM_HAD_UE))
        self._lifecycle(
            mine.lane[which],
            mine.fault[which],
            cause[which],
            times.drained_ns[which],
            times.end_ns[which],
            LifecycleKind.DIMM_REPLACEMENT,
            reason,
            slot,
            0,
        )
        state.go_down(mine.lane, start, times.end_ns)
        state.remove_dimms(mine.lane[which], slot, times.end_ns[which])
        state.ue_count[mine.lane] = 0
        state.had_ue[mine.lane] = False
