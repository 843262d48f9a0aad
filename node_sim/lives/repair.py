"""What follows from errors for the whole node: panic and reboot, cordon, row repair, DIMM replacement.

**Models.** A panic takes the node down until it has booted. The node is cordoned after ``repair.cordon.ue`` uncorrected
errors (per page and boot) that a log shows since the last repair, after ``repair.replace_ce`` logged corrected errors
of a DIMM in one window, with ``repair.replace_risky`` at one with wrong bits in both halves of a device's pins, with
``repair.replace_ecs`` at a report of error check and scrub, or by order of a policy of one's own (``carry_out.py``). It
drains: it is up, its work ends bit by bit, and what still runs is exposed to errors. Then it goes down and every DIMM
that is due is replaced: those that had uncorrected errors in a log since the last repair, the one at the limit, and
those that were ordered. With ``repair.ppr``, a boot gives the spare row of its bank group to a hard fault that takes
one row of a device and had an uncorrected error or reached the limit of corrected ones; in that last case the DIMM
stays, and a reboot ends the repair. Hard repair uses the spare up; soft repair is undone when the node is powered off
to replace a DIMM.

**Leaves out.** What becomes of a later fault that met the repaired one in a code word. Limits of sockets; a daemon
that forgets part of a count.

**Assumes.** A panic that reaches the limit reboots first; nothing runs then, so the node is drained at once, as it is
by a panic during the drain. The new DIMM is in place at the end of the repair. Corrected errors are counted per
DIMM, in whole windows since the last boot, and the fault whose error reaches the limit is answered; the cordon begins a
nanosecond after the error that reaches it. Of two faults that meet, the later one is repaired. Uncorrected errors of a
repaired row still count for the cordon.

**Sources.** Limits: ``catalog/numbers.py``.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import LifecycleKind, LifecycleReason
from node_sim.lives.dimms import power_off, remove_dimms, spare_is_free, use_spare_rows
from node_sim.lives.places import accuse, go_down
from node_sim.lives.policies import PPR_OFF
from node_sim.lives.state import LaneState, Touches, forget_spells
from node_sim.records import NULL, Flags, Ints
from node_sim.units import FOREVER

_HAD_UE = int(LifecycleReason.DIMM_HAD_UE)


def panic(state: LaneState, lane: Ints, fault: Ints, time_ns: Ints, cause: Ints, reason: Ints) -> Ints:
    """Panic and reboot nodes; return when they are up again [ns].

    Args:
        state: Of the lanes; changed.
        lane: Lanes, each once, shape ``(n,)``.
        fault: Fault whose error is the last straw, shape ``(n,)``.
        time_ns: When [ns], shape ``(n,)``.
        cause: Row that causes it, shape ``(n,)``.
        reason: ``LifecycleReason``, shape ``(n,)``.
    """
    if not lane.size:
        return time_ns
    end_ns = time_ns + state.policies.reboot_ns[state.arm_set[lane]]
    nothing, lost = np.full(lane.size, NULL), _running(state, lane, time_ns)
    _log(state, lane, fault, cause, (time_ns, end_ns), LifecycleKind.PANIC, reason, nothing, lost)
    go_down(state, lane, time_ns, end_ns)
    _spare_rows(state, lane, time_ns, end_ns)
    drains = lane[state.drain.begin_ns[lane] < FOREVER]
    state.drain.end_ns[drains] = state.boot_ns[drains]
    return end_ns


def _running(state: LaneState, lane: Ints, time_ns: Ints) -> Ints:
    """Count the processes that run on nodes: all, but for those that have left one that drains."""
    processes, drain = state.world.memory.processes, state.drain
    every = np.arange(processes.count)
    leaves_ns = processes.leaves_ns(every, drain.begin_ns[lane][:, None], drain.end_ns[lane][:, None])
    running: Ints = (leaves_ns > time_ns[:, None]).sum(axis=1)
    return running


def cordon(state: LaneState, touches: Touches, row: Ints, down_ns: Ints) -> None:
    """Cordon nodes whose logs show enough uncorrected errors.

    Args:
        state: Of the lanes; changed.
        touches: Of this step.
        row: Machine check of each, -1 if its record was lost.
        down_ns: Until when each took the node down [ns], -1 if it did not.
    """
    limit = state.policies.cordon_ue[state.arm_set[touches.lane]]
    start_ns = np.maximum(touches.time_ns, down_ns)
    enough = (limit > 0) & (state.ue_count[touches.lane] >= limit) & (state.drain.begin_ns[touches.lane] == FOREVER)
    full = np.flatnonzero(enough & (start_ns < state.world.horizon_ns))
    if full.size:
        mine, nothing = touches.take(full), np.full(full.size, NULL)
        reason = np.full(full.size, int(LifecycleReason.UE_LIMIT))
        begin_drain(state, mine.lane, mine.fault, row[full], start_ns[full], nothing, reason)
        idle = mine.lane[down_ns[full] >= 0]
        state.drain.end_ns[idle] = state.drain.begin_ns[idle]


def cordon_at_limit(state: LaneState, lane: Ints) -> None:
    """Cordon nodes with a fault in place that has reached a limit."""
    place = state.limit_place[lane]
    fault = state.places.fault[place]
    begin_drain(state, lane, fault, -1 - fault, state.limit_ns[lane], place, state.limit_reason[lane])


def begin_drain(
    state: LaneState, lane: Ints, fault: Ints, cause: Ints, start_ns: Ints, place: Ints, reason: Ints
) -> None:
    """Cordon nodes: from now on their work ends."""
    drain = state.drain
    drain.begin_ns[lane] = start_ns
    drain.end_ns[lane] = start_ns + state.policies.drain_ns[state.arm_set[lane]]
    drain.fault[lane], drain.cause[lane], drain.place[lane], drain.reason[lane] = fault, cause, place, reason
    state.limit_ns[lane] = FOREVER
    state.stirred_ns[lane] = np.maximum(state.stirred_ns[lane], start_ns)
    begun = np.zeros(state.node_id.size, np.bool_)
    begun[lane] = True
    forget_spells(state, np.flatnonzero(begun[state.frames.lane]))


def _log(  # noqa: PLR0913, PLR0917 - the columns of the table
    state: LaneState,
    lane: Ints,
    fault: Ints,
    cause: Ints,
    interval_ns: tuple[Ints, Ints],
    kind: LifecycleKind,
    reason: Ints,
    dimm: Ints,
    lost: Ints | int,
) -> Ints:
    """Log intervals of the life of nodes and return the names of the rows."""
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
        processes_lost=np.broadcast_to(lost, lane.shape),
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
    """Return which DIMMs have to be replaced: with UEs, by order, or at a limit in a place no spare row repairs.

    Args:
        state: Of the lanes.
        lane: Lanes, shape ``(n,)``.
        place: Fault in place at a limit, -1 if none, shape ``(n,)``.

    Returns:
        By lane and slot, shape ``(n, slots)``.
    """
    due: Flags = state.had_ue[lane] | state.ordered_dimm[lane]
    some = np.flatnonzero(place >= 0)
    mine = place[some]
    spared = (state.policies.ppr[state.arm_set[lane[some]]] != PPR_OFF) & spare_is_free(state, mine)
    due[some, state.store.faults.box.slot[state.places.fault[mine]]] |= ~spared
    return due


def log_cordons(state: LaneState, lane: Ints) -> Ints:
    """Log the cordons of lanes, now that their ends are known; return the rows."""
    drain, nothing = state.drain, np.full(lane.size, NULL)
    interval = drain.begin_ns[lane], drain.end_ns[lane]
    fault, cause, reason = drain.fault[lane], drain.cause[lane], drain.reason[lane]
    names = _log(state, lane, fault, cause, interval, LifecycleKind.CORDON, reason, nothing, 0)
    ordered = reason == LifecycleReason.OWN_POLICY
    state.ordered_rows.append((names[ordered], state.cause_ns[lane[ordered]]))
    return names


def repair(state: LaneState, lane: Ints) -> None:
    """Take nodes that have been drained down, and repair what is due."""
    policies, arm, drain = state.policies, state.arm_set[lane], state.drain
    fault, place, reason = drain.fault[lane], drain.place[lane], drain.reason[lane]
    start_ns, due = drain.end_ns[lane], _is_due(state, lane, place)
    end_ns = start_ns + np.where(due.any(axis=1), policies.replace_ns[arm], policies.reboot_ns[arm])
    cordoned = log_cordons(state, lane)
    which, slot = np.nonzero(due)  # one element per (lane, DIMM) that is replaced
    of_place = place >= 0
    for_limit = of_place[which] & (slot == state.store.faults.box.slot[fault[which]])
    ordered = np.where(state.ordered_dimm[lane[which], slot], int(LifecycleReason.OWN_POLICY), _HAD_UE)
    _log(
        state,
        lane[which],
        fault[which],
        cordoned[which],
        (start_ns[which], end_ns[which]),
        LifecycleKind.DIMM_REPLACEMENT,
        np.where(for_limit, reason[which], ordered),
        slot,
        0,
    )
    accuse(state, place[of_place], cordoned[of_place], reason[of_place])
    go_down(state, lane, start_ns, end_ns)
    power_off(state, lane[which], end_ns[which])
    remove_dimms(state, lane[which], slot, end_ns[which])
    _spare_rows(state, lane, start_ns, end_ns)
    state.ue_count[lane] = 0
    state.had_ue[lane] = state.ordered_dimm[lane] = False
    drain.begin_ns[lane] = drain.end_ns[lane] = FOREVER
