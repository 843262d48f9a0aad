"""Lives of nodes under arms, step by step to the horizon.

**Models.** One step takes the earliest event of every lane: a late kill, an I/O error or a call of the handler that
waited; the touch of a bad page; the corrected error or report that reaches a limit; the end of a drain; the visit of a
technician; an order. The lookup tables of the machine check and the handler decide; follow-ups are scheduled. A node
that goes down forgets what waited.

**Leaves out.** Corrected errors, which follow from the eras once a life is over; ``corrected_rows.py`` logs them.

**Assumes.** A lane that is more work than ``WORK_MAX`` has settings under which nothing ends its errors.

**Sources.** None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from node_sim.errors import ModelError
from node_sim.hwpoison.handler_table import handler_table
from node_sim.lives.bad_pages import look_on, start_pages
from node_sim.lives.carry_out import carry_out
from node_sim.lives.handling import handle_calls
from node_sim.lives.memory_test import end_map_outs
from node_sim.lives.ordered import Agenda, Orders
from node_sim.lives.pending import Waits
from node_sim.lives.physics import Store
from node_sim.lives.places import poisoned_now, watch
from node_sim.lives.policies import PPR_SOFT, PolicyColumns
from node_sim.lives.repair import cordon_at_limit, log_cordons, repair, visit
from node_sim.lives.rows import EventLog
from node_sim.lives.signals import kill_late, return_errors
from node_sim.lives.state import NEVER_KILLED, Drains, InPlace, LaneFrames, LanePages, LaneState, has_reads
from node_sim.lives.touches import touch_step
from node_sim.lives.world import World
from node_sim.records import NULL, Flags, Ints
from node_sim.units import FOREVER

WORK_MAX: Final = 500_000
"""Looks at bad pages that one lane may need: about 10 s, if it is the only one of its block."""
STEP_WORK: Final = 50
"""Looks at bad pages that take as long as a step of one lane."""


def start_lives(
    world: World,
    store: Store,
    node_id: Ints,
    arm_set: Ints,
    policies: PolicyColumns,
    place: tuple[Ints, Ints],
    agenda: Agenda | None = None,
) -> LaneState:
    """Put the faults of generation 0 in place at time 0.

    Args:
        world: What the lanes share.
        store: Their faults.
        node_id: Node of each lane.
        arm_set: Arm set of each lane, index into ``policies``.
        policies: Settings of the arms.
        place: Lane and fault of each fault in place.
        agenda: What policies of one's own have ordered in the lanes, if they have.
    """
    n, server = node_id.size, world.hardware.server
    lane, fault = place
    state = LaneState(
        world=world,
        store=store,
        policies=policies,
        handler=handler_table(policies.kernels),
        log=EventLog(),
        node_id=node_id,
        arm_set=arm_set,
        generation=np.zeros((n, server.dimms), np.int64),
        ue_count=np.zeros(n, np.int64),
        had_ue=np.zeros((n, server.dimms), np.bool_),
        boot_ns=np.zeros(n, np.int64),
        booted=np.zeros(n, np.bool_),
        stirred_ns=np.full(n, -1),
        turned=np.zeros(n, np.bool_),
        remarked_ns=np.full(n, -1),
        work=np.zeros(n),
        last_offline_ns=np.full(n, -1),
        killed_ns=np.full((n, world.memory.processes.count), NEVER_KILLED),
        bank_busy_ns=np.zeros((n, server.sockets * server.channels), np.int64),
        queue_ns=np.zeros((n, int(policies.queue_entries.max())), np.int64),
        queue_next=np.zeros(n, np.int64),
        limit_ns=np.full(n, FOREVER),
        limit_place=np.full(n, NULL),
        limit_reason=np.full(n, NULL),
        visit_ns=np.full(n, FOREVER),
        drain=Drains.none(n),
        agenda=agenda or Agenda.of(Orders.of([]), np.empty(0, np.int64), n),
        ordered_dimm=np.zeros((n, server.dimms), np.bool_),
        cause_ns=np.full(n, NULL),
        places=InPlace.of(lane, fault, np.zeros(lane.size, np.int64)),
        pages=LanePages.of(*(np.empty(0, np.int64) for _ in range(5))),
        frames=LaneFrames.of(*(np.empty(0, np.int64) for _ in range(4))),
    )
    start_pages(state)
    watch(state, np.arange(n))
    return state


@dataclass
class Looking:
    """What waits for a look at what comes next.

    Attributes:
        lanes: Lanes whose prospects have changed, shape ``(n_lanes,)``.
        touched: Bad pages that were touched, and when [ns].
    """

    lanes: Flags
    touched: list[tuple[Ints, Ints]] = field(default_factory=list)

    @classmethod
    def none(cls, state: LaneState) -> Looking:
        """Return that no lane waits."""
        return cls(np.zeros(state.node_id.size, np.bool_))


def run_lives(state: LaneState) -> None:
    """Advance all lanes to the horizon.

    Raises:
        ModelError: A lane is more work than ``WORK_MAX``.
    """
    live = np.arange(state.pages.lane.size)
    looking = Looking.none(state)
    while True:
        due = np.where(looking.lanes, FOREVER, _next_due(state, live))
        running = due < state.world.horizon_ns
        # Lanes are independent, so that those whose prospects have changed can wait until they are many.
        if np.count_nonzero(running) > np.count_nonzero(looking.lanes):
            _step(state, due, live, looking)
            state.work[running] += STEP_WORK
        elif looking.lanes.any():
            live = _look_on(state, looking, live)
            looking = Looking.none(state)
        else:
            _finish(state)
            return
        _check_work(state)


def _check_work(state: LaneState) -> None:
    """Raise where a lane is too much work."""
    most = int(state.work.argmax())
    if state.work[most] > WORK_MAX:
        mine = np.count_nonzero(state.pages.lane == most)
        msg = (
            f"node {int(state.node_id[most])}: more than {WORK_MAX:,} looks at its {mine:,} bad pages (an event counts "
            f"as {STEP_WORK}), expected the cordon to end them; set repair.cordon.ue, raise page_offline.ce_threshold, "
            f"or lower years or the rates"
        )
        raise ModelError(msg)


def _step(state: LaneState, due: Ints, live: Ints, looking: Looking) -> None:
    """Let the earliest event of every lane happen that does not wait for a look.

    Args:
        state: Of the lanes; changed.
        due: Time of that event [ns], shape ``(n_lanes,)``.
        live: Bad pages that can still be touched.
        looking: Lanes whose prospects have changed; changed.
    """
    busy = _pending_step(state, due)
    touched = touch_step(state, due, live, busy)
    busy[touched.lane] = True
    happenings = (
        (state.limit_ns, cordon_at_limit),
        (state.drain.end_ns, repair),
        (state.visit_ns, visit),
        (state.agenda.next_ns, carry_out),
    )
    for event_ns, happen in happenings:
        ready = np.flatnonzero((event_ns == due) & (due < state.world.horizon_ns) & ~busy)
        if ready.size:
            busy[ready] = True
            happen(state, ready)
    pages = state.pages
    which = touched.which
    over = pages.dead[which] | (pages.seen[which] & (state.frames.out_ns[pages.frame[which]] <= touched.time_ns))
    pages.next_ns[which[over]] = FOREVER
    looking.touched.append((which[~over], touched.time_ns[~over]))
    looking.lanes[touched.lane[~over]] = True
    looking.lanes |= _unsettled(state)


def _look_on(state: LaneState, looking: Looking, live: Ints) -> Ints:
    """Find what comes next in lanes whose prospects have changed; return the bad pages that can still be touched."""
    moved = np.flatnonzero(state.booted | state.turned)
    which, time_ns = (np.concatenate(parts) for parts in zip(*looking.touched, strict=True))
    now_ns = np.maximum(state.boot_ns, state.stirred_ns)
    np.maximum.at(now_ns, state.pages.lane[which], time_ns)
    live = look_on(state, live, which, time_ns)
    watch(state, moved)
    state.turned[:] = False
    return _still_live(state, live, now_ns)


def _finish(state: LaneState) -> None:
    """Log the cordons whose drain outlasts the horizon, DIMMs still mapped out, and what is still poisoned."""
    log_cordons(state, np.flatnonzero(state.drain.begin_ns < FOREVER))
    every = np.arange(state.node_id.size)
    end_map_outs(state, every, np.full(every.size, state.world.horizon_ns))
    state.poisoned.append(poisoned_now(state, np.ones(state.node_id.size, np.bool_)))


def _unsettled(state: LaneState) -> Flags:
    """Return in which lanes this step has changed when pages are touched next."""
    moved: Flags = state.booted | state.turned | (state.stirred_ns >= 0) | (state.remarked_ns >= 0)
    for frame, _ in state.changed:
        moved[state.frames.lane[frame]] = True
    return moved


def _next_due(state: LaneState, live: Ints) -> Ints:
    """Return when something next happens to each lane, ``FOREVER`` if nothing does [ns], shape ``(n_lanes,)``."""
    due = np.full(state.node_id.size, FOREVER)
    np.minimum.at(due, state.pages.lane[live], state.pages.next_ns[live])
    np.minimum.at(due, state.pending.lane, state.pending.time_ns)
    for event_ns in (state.limit_ns, state.drain.end_ns, state.visit_ns, state.agenda.next_ns):
        np.minimum(due, event_ns, out=due)
    return due


def _pending_step(state: LaneState, due: Ints) -> Flags:
    """Let at most one pending thing per lane happen; return which lanes had one.

    Args:
        state: Of the lanes; changed.
        due: Time of this step in each lane [ns], shape ``(n_lanes,)``.
    """
    busy = np.zeros(state.node_id.size, np.bool_)
    waiting = state.pending
    ready = np.flatnonzero((waiting.time_ns == due[waiting.lane]) & (waiting.time_ns < state.world.horizon_ns))
    if not ready.size:
        return busy
    lanes, first = np.unique(waiting.lane[ready], return_index=True)
    chosen = ready[first]
    things = waiting.take(chosen)
    keep = np.ones(waiting.lane.size, np.bool_)
    keep[chosen] = False
    state.pending = waiting.take(keep)
    busy[lanes] = True
    return_errors(state, things.take(things.what == Waits.EIO))
    kill_late(state, things.take(things.what == Waits.KILL))
    handle_calls(state, things.take(things.what == Waits.CALL))
    return busy


def _still_live(state: LaneState, live: Ints, now_ns: Ints) -> Ints:
    """Keep pages that can still be touched in this boot or a later one, given the time of each lane."""
    places, pages, store = state.places, state.pages, state.store
    fault, page = store.pages.fault[pages.page[live]], pages.page[live]
    read_on = pages.read[live] < store.pages.first_read[page] + store.pages.n_reads[page]
    revivable = (store.faults.time_ns[fault] > now_ns[pages.lane[live]]) | ~pages.dead[live]
    revivable = np.where(has_reads(state, live), read_on, revivable)
    coming = pages.next_ns[live] < state.world.horizon_ns
    place = pages.place[live]
    in_place = (places.removed_ns[place] == FOREVER) | (places.ppr[place] == PPR_SOFT)
    kept: Ints = live[coming | (revivable & in_place)]
    return kept
