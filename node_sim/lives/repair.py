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
to replace a DIMM. With ``repair.map_out``, the boot after a panic maps out DIMMs (``memory_test.py``), and a technician
replaces them later: the visit is a repair of the same DIMMs as one that ends a cordon, and either ends what is mapped
out. A cordon replaces DIMMs at once, as it does without.

**Leaves out.** What becomes of a later fault that met the repaired one in a code word. Limits of sockets; a daemon
that forgets part of a count.

**Assumes.** A panic that reaches the limit reboots first; nothing runs then, so the node is drained at once, as it is
by a panic during the drain. The new DIMM is in place at the end of the repair. Corrected errors are counted per
DIMM, in whole windows since the last boot, and the fault whose error reaches the limit is answered; the cordon begins a
nanosecond after the error that reaches it. Of two faults that meet, the later one is repaired. Uncorrected errors of a
repaired row still count for the cordon. Work has left a node by the time a technician comes, who stays away from one
that is down, and from one that is cordoned, whose repair is coming.

**Sources.** Limits: ``catalog/numbers.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import LifecycleKind, LifecycleReason
from node_sim.lives.dimms import power_off, remove_dimms, spare_is_free, use_spare_rows
from node_sim.lives.mapped_out import MapOuts
from node_sim.lives.memory_test import end_map_outs, map_out_dimms
from node_sim.lives.places import accuse, go_down
from node_sim.lives.policies import PPR_OFF
from node_sim.lives.state import LaneState, Touches, forget_spells
from node_sim.records import NULL, Flags, Ints
from node_sim.units import FOREVER


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
    row = _log(state, lane, fault, cause, (time_ns, end_ns), LifecycleKind.PANIC, reason, nothing, lost)
    go_down(state, lane, time_ns, end_ns)
    _spare_rows(state, lane, time_ns, end_ns)
    map_out_dimms(state, lane, end_ns, row, fault)
    state.visit_ns[lane] = np.maximum(state.visit_ns[lane], end_ns)
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
    state.limit_ns[lane] = state.visit_ns[lane] = FOREVER
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


class _Replacements(NamedTuple):
    """Which DIMMs of nodes are replaced, and what the rows of that say; arrays of shape ``(n, slots)``."""

    due: Flags
    reason: Ints
    fault: Ints
    cause: Ints


def _replacements(state: LaneState, lane: Ints, due: Flags, fault: Ints, cause: Ints, out: MapOuts) -> _Replacements:
    """List DIMMs that had uncorrected errors; a row of ``map_out`` causes the replacement of its own.

    Args:
        state: Of the lanes.
        lane: Lanes, each once, shape ``(n,)``.
        due: DIMMs to be replaced.
        fault: Fault that the rows of the others name, shape ``(n,)``.
        cause: Row that causes theirs, shape ``(n,)``.
        out: What was mapped out in these lanes.
    """
    position = np.full(state.node_id.size, NULL)
    position[lane] = np.arange(lane.size)
    fault_of, cause_of = (np.repeat(one[:, None], due.shape[1], axis=1) for one in (fault, cause))
    at = position[out.lane], out.slot
    fault_of[at], cause_of[at] = out.fault, out.cause
    return _Replacements(due, np.full(due.shape, int(LifecycleReason.DIMM_HAD_UE)), fault_of, cause_of)


def repair(state: LaneState, lane: Ints) -> None:
    """Take nodes that have been drained down, and repair what is due."""
    policies, arm, drain = state.policies, state.arm_set[lane], state.drain
    fault, place, reason = drain.fault[lane], drain.place[lane], drain.reason[lane]
    start_ns, due = drain.end_ns[lane], _is_due(state, lane, place)
    end_ns = start_ns + np.where(due.any(axis=1), policies.replace_ns[arm], policies.reboot_ns[arm])
    cordoned = log_cordons(state, lane)
    due_now = _replacements(state, lane, due, fault, cordoned, end_map_outs(state, lane, end_ns))
    due_now.reason[state.ordered_dimm[lane]] = int(LifecycleReason.OWN_POLICY)
    of_place = np.flatnonzero(place >= 0)
    due_now.reason[of_place, state.store.faults.box.slot[fault[of_place]]] = reason[of_place]
    accuse(state, place[of_place], cordoned[of_place], reason[of_place])
    _replace(state, lane, (start_ns, end_ns), due_now)


def visit(state: LaneState, lane: Ints) -> None:
    """Let a technician replace the DIMMs that are due in nodes that go on without some: all that had errors by then."""
    start_ns, due = state.visit_ns[lane], state.had_ue[lane]
    end_ns = start_ns + state.policies.replace_ns[state.arm_set[lane]]
    out = end_map_outs(state, lane, end_ns)
    order = np.lexsort((out.slot, out.due_ns, out.lane))
    first = out.take(order[np.searchsorted(out.lane[order], lane)])  # what brings the technician
    _replace(state, lane, (start_ns, end_ns), _replacements(state, lane, due, first.fault, first.cause, out))


def _replace(state: LaneState, lane: Ints, interval_ns: tuple[Ints, Ints], due: _Replacements) -> None:
    """Take nodes down for a repair of DIMMs; they come up in service, and errors count anew."""
    start_ns, end_ns = interval_ns
    which, slot = np.nonzero(due.due)  # one element per (lane, DIMM) that is replaced
    at = which, slot
    interval, kind = (start_ns[which], end_ns[which]), LifecycleKind.DIMM_REPLACEMENT
    _log(state, lane[which], due.fault[at], due.cause[at], interval, kind, due.reason[at], slot, 0)
    go_down(state, lane, start_ns, end_ns)
    power_off(state, lane[which], end_ns[which])
    remove_dimms(state, lane[which], slot, end_ns[which])
    _spare_rows(state, lane, start_ns, end_ns)
    state.ue_count[lane] = 0
    state.had_ue[lane] = state.ordered_dimm[lane] = False
    state.drain.begin_ns[lane] = state.drain.end_ns[lane] = state.visit_ns[lane] = FOREVER
