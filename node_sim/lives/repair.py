"""What follows from errors for the whole node: panic and reboot, cordon, row repair, DIMM replacement.

**Models.** A panic takes the node down until it has booted. After ``repair.cordon.ue`` uncorrected errors (per page and
boot) since the last repair, or ``repair.replace_ce`` logged corrected errors in one window, or with
``repair.replace_ecs`` a report of error check and scrub, the node is cordoned, drained, and every DIMM that is due is
replaced: those that had uncorrected errors since the last repair, and the one at the limit. With ``repair.ppr``, a boot
gives the spare row of its bank group to a hard fault that takes one row of a device and had an uncorrected error or
reached the limit of corrected ones; in that last case the DIMM stays, and a reboot ends the repair. Hard repair uses
the spare up; soft repair is undone when the node is powered off to replace a DIMM.

**Leaves out.** What becomes of a later fault that met the repaired one in a code word. Limits of sockets; a daemon
that forgets part of a count.

**Assumes.** A cordon does not wait: the node does no work from the limit until the repair ends. A panic that reaches
the limit reboots first and is cordoned then. The new DIMM is in place at the end of the repair. Corrected errors are
counted per fault, so two faults of a DIMM do not reach the limit together, in whole windows since the last boot; the
cordon begins a nanosecond after the error that reaches it. Of two faults that meet, the later one is repaired.
Uncorrected errors of a repaired row still count for the cordon.

**Sources.** Limits: ``catalog/numbers.py``.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import LifecycleKind, LifecycleReason
from node_sim.lives.dimms import power_off, remove_dimms, spare_is_free, use_spare_rows
from node_sim.lives.places import accuse, go_down
from node_sim.lives.policies import PPR_OFF
from node_sim.lives.state import AtLimit, LaneState, Touches
from node_sim.records import NULL, Flags, Ints


def panic(state: LaneState, touches: Touches, time_ns: Ints, cause: Ints, reason: Ints) -> Ints:
    """Panic and reboot nodes; return when they are up again [ns]."""
    if not touches.which.size:
        return time_ns
    end_ns = time_ns + state.policies.reboot_ns[state.arm_set[touches.lane]]
    nothing = np.full(touches.which.size, NULL)
    lost = state.world.memory.processes.count
    _log(state, touches.lane, touches.fault, cause, (time_ns, end_ns), LifecycleKind.PANIC, reason, nothing, lost)
    go_down(state, touches.lane, time_ns, end_ns)
    _spare_rows(state, touches.lane, time_ns, end_ns)
    return end_ns


def cordon(state: LaneState, touches: Touches, end_ns: Ints, down_ns: Ints) -> None:
    """Cordon, drain and repair nodes that have had enough uncorrected errors.

    Args:
        state: Of the lanes; changed.
        touches: Of this step.
        end_ns: When each is dealt with [ns].
        down_ns: Until when it took the node down [ns], -1 if it did not.
    """
    limit = state.policies.cordon_ue[state.arm_set[touches.lane]]
    start_ns = np.maximum(end_ns, down_ns)
    enough = (limit > 0) & (state.ue_count[touches.lane] >= limit)
    full = np.flatnonzero(enough & (start_ns < state.world.horizon_ns))
    if not full.size:
        return
    mine = touches.take(full)
    cause = state.pages.error[mine.which]
    limits = AtLimit(np.full(full.size, NULL), np.full(full.size, int(LifecycleReason.UE_LIMIT)))
    _repair(state, mine.lane, mine.fault, cause, start_ns[full], limits)


def replace_at_limit(state: LaneState, lane: Ints, limits: AtLimit, start_ns: Ints) -> None:
    """Cordon, drain and repair nodes with a fault in place that has reached a limit."""
    fault = state.places.fault[limits.place]
    _repair(state, lane, fault, -1 - fault, start_ns, limits)


def _log(  # noqa: PLR0913, PLR0917 - the columns of the table
    state: LaneState,
    lane: Ints,
    fault: Ints,
    cause: Ints,
    interval_ns: tuple[Ints, Ints],
    kind: LifecycleKind,
    reason: Ints,
    dimm: Ints,
    lost: int,
) -> Ints:
    """Log intervals down and return the names of the rows."""
    start_ns, end_ns = interval_ns
    return state.log.add(
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


def _spare_rows(state: LaneState, lane: Ints, start_ns: Ints, end_ns: Ints) -> None:
    """Repair suspected rows at the boot that ends an interval down."""
    kind = state.policies.ppr[state.arm_set[lane]]
    if not (kind != PPR_OFF).any():
        return
    places = state.places
    place = use_spare_rows(state, lane, end_ns, kind)
    start, end = (np.zeros(state.node_id.size, np.int64) for _ in range(2))
    start[lane], end[lane] = start_ns, end_ns
    mine, fault = places.lane[place], places.fault[place]
    repaired, slot = LifecycleKind.POST_PACKAGE_REPAIR, state.store.faults.box.slot[fault]
    interval = (start[mine], end[mine])
    _log(state, mine, fault, places.suspect[place], interval, repaired, places.why[place], slot, 0)
    places.suspect[place] = NULL


def _is_due(state: LaneState, lane: Ints, place: Ints) -> Flags:
    """Return which DIMMs have to be replaced: with UEs, or at a limit in a place no spare row repairs.

    Args:
        state: Of the lanes.
        lane: Lanes, shape ``(n,)``.
        place: Fault in place at a limit, -1 if none, shape ``(n,)``.

    Returns:
        By lane and slot, shape ``(n, slots)``.
    """
    due: Flags = state.had_ue[lane].copy()
    some = np.flatnonzero(place >= 0)
    mine = place[some]
    spared = (state.policies.ppr[state.arm_set[lane[some]]] != PPR_OFF) & spare_is_free(state, mine)
    due[some, state.store.faults.box.slot[state.places.fault[mine]]] |= ~spared
    return due


def _repair(state: LaneState, lane: Ints, fault: Ints, cause: Ints, start_ns: Ints, limits: AtLimit) -> None:
    """Cordon and drain nodes and repair what is due.

    Args:
        state: Of the lanes; changed.
        lane: Lanes, each once.
        fault: Fault that reached a limit.
        cause: Row that did.
        start_ns: When.
        limits: Which limit.
    """
    policies, arm, due = state.policies, state.arm_set[lane], _is_due(state, lane, limits.place)
    drained_ns = start_ns + policies.drain_ns[arm]
    end_ns = drained_ns + np.where(due.any(axis=1), policies.replace_ns[arm], policies.reboot_ns[arm])
    nothing = np.full(lane.size, NULL)
    cordoned = _log(state, lane, fault, cause, (start_ns, drained_ns), LifecycleKind.CORDON, limits.reason, nothing, 0)
    done = drained_ns < state.world.horizon_ns
    which, slot = np.nonzero(due & done[:, None])  # one element per (lane, DIMM) that is replaced
    of_place = limits.place >= 0
    for_limit = of_place[which] & (slot == state.store.faults.box.slot[fault[which]])
    _log(
        state,
        lane[which],
        fault[which],
        np.where(of_place, cordoned, cause)[which],
        (drained_ns[which], end_ns[which]),
        LifecycleKind.DIMM_REPLACEMENT,
        np.where(for_limit, limits.reason[which], int(LifecycleReason.DIMM_HAD_UE)),
        slot,
        0,
    )
    accuse(state, limits.place[of_place], cordoned[of_place], limits.reason[of_place])
    go_down(state, lane, start_ns, end_ns)
    power_off(state, lane[which], end_ns[which])
    remove_dimms(state, lane[which], slot, end_ns[which])
    _spare_rows(state, lane[done], drained_ns[done], end_ns[done])
    state.ue_count[lane] = 0
    state.had_ue[lane] = False
