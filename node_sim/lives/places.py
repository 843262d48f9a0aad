"""Faults in place: the eras in which they can show corrected errors, and the limits they reach.

**Models.** An era lasts from one boot to the next, or to the removal of the DIMM. In each boot of a lane the fault that
first reaches a limit of corrected errors, or has the first report of error check and scrub, is found in advance.

**Leaves out.** What follows from a limit; ``repair.py`` has it.

**Assumes.** Counts begin anew with each era.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import LifecycleReason
from node_sim.corrected.eras import Eras
from node_sim.corrected.limits import Limits, find_limits
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.reports import first_reports
from node_sim.lives.state import LaneState, huge_pages
from node_sim.records import NULL, Flags, Ints, join
from node_sim.units import FOREVER

_REASONS = np.asarray(
    [int(LifecycleReason.CE_LIMIT), int(LifecycleReason.RISKY_PATTERN), int(LifecycleReason.ECS_LIMIT)]
)
"""Of the rules that let a DIMM be replaced, in the order in which ties are decided."""
CORDON_DELAY_NS = 1
"""From the error or report that reaches a limit to the cordon [ns]."""


def accuse(state: LaneState, place: Ints, row: Ints, reason: Ints | int) -> None:
    """Make faults in place cases for post-package repair, for a reason that a row gives."""
    state.places.suspect[place], state.places.why[place] = row, reason


def open_eras(state: LaneState, place: Ints) -> Eras:
    """Return the present eras of faults in place, as if nothing happened until the horizon."""
    places = state.places
    lane = places.lane[place]
    to_ns = np.full(place.size, state.world.horizon_ns)
    arm = state.arm_set[lane]
    policies, nowhere = state.policies, state.store.faults.on_wires[places.fault[place]]  # those have no page to count
    return Eras(
        lane=lane,
        fault=places.fault[place],
        from_ns=places.era_from_ns[place],
        to_ns=to_ns,
        threshold=np.where(nowhere, 0, policies.ce_threshold[arm]),
        scope=policies.scope[arm],
        columns=np.where(nowhere, 0, policies.row_columns[arm]),
        age_ns=policies.count_age_ns[arm],
        answer=policies.offline_answer[arm],
    )


def _close_eras(state: LaneState, place: Ints, end_ns: Ints) -> None:
    """End the present eras of faults in place; eras without any time in them leave no trace."""
    begin_ns = state.places.era_from_ns[place]
    some = begin_ns < end_ns
    state.closed_eras.append(open_eras(state, place[some])._replace(to_ns=end_ns[some]))


def all_eras(state: LaneState) -> Eras:
    """Close the eras still open at the horizon and return all, ordered by lane and fault."""
    still_open = np.flatnonzero(state.places.removed_ns == FOREVER)
    _close_eras(state, still_open, np.full(still_open.size, state.world.horizon_ns))
    eras = join(state.closed_eras)
    return eras.take(np.lexsort((eras.from_ns, eras.fault, eras.lane)))


def poisoned_now(state: LaneState, lanes: Flags) -> Poisoned:
    """Return the pages of marked lanes that ``memory_failure()`` has marked or orders have taken in this boot."""
    frames = state.frames
    which = np.flatnonzero(lanes[frames.lane] & (frames.poisoned_ns < FOREVER))
    one_mark = ~state.policies.marks_huge_pages[state.arm_set[frames.lane[which]]]
    alone = one_mark | (frames.dissolved_ns[which] <= frames.poisoned_ns[which])
    whole = np.where(alone, 1, huge_pages(state, which))
    marked = Poisoned(frames.lane[which], frames.pfn[which], frames.poisoned_ns[which], frames.out_ns[which], whole)
    gone = state.withdrawn
    if not gone.lane.size:
        return marked
    gone, n = gone.take(lanes[gone.lane]), np.count_nonzero(lanes[gone.lane])
    return join([marked, Poisoned(gone.lane, gone.pfn, np.full(n, FOREVER), gone.time_ns, np.ones(n, np.int64))])


def go_down(state: LaneState, lane: Ints, start_ns: Ints, end_ns: Ints) -> None:
    """Take lanes down for an interval: eras end, tenancies end, what was pending is off."""
    places = state.places
    begin, until = np.full(state.node_id.size, -1), np.full(state.node_id.size, -1)
    begin[lane], until[lane] = start_ns, end_ns
    mine = np.flatnonzero((begin[places.lane] >= 0) & (places.removed_ns == FOREVER))
    _close_eras(state, mine, begin[places.lane[mine]])
    places.era_from_ns[mine] = until[places.lane[mine]]
    state.boot_ns[lane] = end_ns
    state.bank_busy_ns[lane] = 0
    state.queue_ns[lane] = 0
    state.pending = state.pending.take(begin[state.pending.lane] < 0)
    state.booted[lane] = True
    state.agenda.lose(lane, end_ns)
    state.downs.append((lane, start_ns, end_ns))


def watch(state: LaneState, lane: Ints) -> None:
    """Find out when, by which fault and in what, lanes in service reach a limit of faults in their present boot."""
    arm = state.arm_set[lane]
    policies = state.policies
    limited = (policies.replace_ce[arm] > 0) | policies.replace_risky[arm] | policies.replace_ecs[arm]
    lane = lane[limited & (state.drain.begin_ns[lane] == FOREVER)]
    if not lane.size:
        return
    places = state.places
    state.limit_ns[lane], state.limit_place[lane] = FOREVER, NULL
    watched = np.zeros(state.node_id.size, np.bool_)
    watched[lane] = True
    place = np.flatnonzero(watched[places.lane] & (places.removed_ns == FOREVER))
    eras = open_eras(state, place)
    by_rule = np.stack((*_ce_limits(state, eras), _ecs_limits(state, eras)))
    time_ns, rule = by_rule.min(axis=0), by_rule.argmin(axis=0)
    order = np.lexsort((place, time_ns, eras.lane))
    order = order[time_ns[order] < FOREVER]
    first, at = np.unique(eras.lane[order], return_index=True)  # the earliest fault of each lane
    which = order[at]
    state.limit_place[first] = place[which]
    state.limit_ns[first] = time_ns[which] + CORDON_DELAY_NS
    state.limit_reason[first] = _REASONS[rule[which]]


def _ce_limits(state: LaneState, eras: Eras) -> Limits:
    """Return when eras bring their DIMMs to a limit of corrected errors, or show the risky pattern [ns]."""
    world, store, arm = state.world, state.store, state.arm_set[eras.lane]
    never = np.full(eras.lane.size, FOREVER)
    found = Limits(never, never.copy())
    limit, by_pattern = state.policies.replace_ce[arm], state.policies.replace_risky[arm]
    some = np.flatnonzero((limit > 0) | by_pattern)
    marked = np.zeros(state.node_id.size, np.bool_)
    marked[eras.lane[some]] = True
    poisoned = poisoned_now(state, marked)
    mine = eras.take(some)
    limits = find_limits(mine, store.index, store.faults, world.ground(), poisoned, limit[some], by_pattern[some])
    for all_ns, some_ns in zip(found, limits, strict=True):
        all_ns[some] = some_ns
    return found


def _ecs_limits(state: LaneState, eras: Eras) -> Ints:
    """Return when eras have the first report that lets a DIMM be replaced [ns]."""
    found = np.full(eras.lane.size, FOREVER)
    some = np.flatnonzero(state.policies.replace_ecs[state.arm_set[eras.lane]])
    found[some] = first_reports(eras.take(some), state.store.passes)
    return found
