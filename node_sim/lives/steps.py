"""Lives of nodes under arms, step by step to the horizon.

**Models.** One step takes the earliest event of every lane: a late kill or an I/O error, the touch of a bad page, or
the corrected error or report that reaches a limit. The lookup tables of the machine check and the handler decide;
follow-ups are scheduled.

**Leaves out.** Corrected errors, which follow from the eras once a life is over; ``corrected_rows.py`` logs them.

**Assumes.** A lane that needs more than ``STEPS_MAX`` steps has settings under which nothing ends its errors.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.errors import ModelError
from node_sim.hwpoison.outcome_table import handler_table
from node_sim.lives.bad_pages import add_pages, look_on
from node_sim.lives.physics import Store
from node_sim.lives.places import watch
from node_sim.lives.policies import PPR_SOFT, PolicyColumns
from node_sim.lives.repair import replace_at_limit
from node_sim.lives.rows import EventLog
from node_sim.lives.signals import pending_step
from node_sim.lives.state import NEVER_KILLED, AtLimit, InPlace, LanePages, LaneState
from node_sim.lives.touches import touch_step
from node_sim.lives.world import World
from node_sim.records import NULL, Flags, Ints
from node_sim.units import FOREVER

STEPS_MAX = 10_000


def start_lives(
    world: World,
    store: Store,
    node_id: Ints,
    arm_set: Ints,
    policies: PolicyColumns,
    place: tuple[Ints, Ints],
) -> LaneState:
    """Put the faults of generation 0 in place at time 0.

    Args:
        world: What the lanes share.
        store: Their faults.
        node_id: Node of each lane.
        arm_set: Arm set of each lane, index into ``policies``.
        policies: Settings of the arms.
        place: Lane and fault of each fault in place.
    """
    n, server = node_id.size, world.hardware.server
    lane, fault = place
    state = LaneState(
        world=world,
        store=store,
        policies=policies,
        handler=handler_table(tuple(PROFILE_NAMES[number] for number in np.unique(policies.profile))),
        log=EventLog(),
        node_id=node_id,
        arm_set=arm_set,
        generation=np.zeros((n, server.dimms), np.int64),
        ue_count=np.zeros(n, np.int64),
        had_ue=np.zeros((n, server.dimms), np.bool_),
        boot_ns=np.zeros(n, np.int64),
        booted=np.zeros(n, np.bool_),
        stirred_ns=np.full(n, -1),
        killed_ns=np.full((n, world.memory.processes.count), NEVER_KILLED),
        bank_busy_ns=np.zeros((n, server.sockets * server.channels), np.int64),
        queue_ns=np.zeros((n, int(policies.queue_entries.max())), np.int64),
        queue_next=np.zeros(n, np.int64),
        limit_ns=np.full(n, FOREVER),
        limit_place=np.full(n, NULL),
        limit_reason=np.full(n, NULL),
        places=InPlace.of(lane, fault, np.zeros(lane.size, np.int64)),
        pages=LanePages.of(*(np.empty(0, np.int64) for _ in range(3))),
    )
    add_pages(state, np.arange(lane.size))
    watch(state, np.arange(n))
    return state


def run_lives(state: LaneState) -> None:
    """Advance all lanes to the horizon.

    Raises:
        ModelError: A lane took more than ``STEPS_MAX`` steps.
    """
    live = np.arange(state.pages.lane.size)
    for _ in range(STEPS_MAX):
        known = state.pages.lane.size
        due = _next_due(state, live)
        if not (due < state.world.horizon_ns).any():
            return
        busy = pending_step(state, due)
        touched = touch_step(state, due, live, busy)
        busy[touched.lane] = True
        _limit_step(state, due, busy)
        rebooted = np.flatnonzero(state.booted)
        look_on(state, touched.which, touched.time_ns)
        watch(state, rebooted)
        live = np.concatenate((live, np.arange(known, state.pages.lane.size)))
        live = _still_live(state, live, due)
    active = np.flatnonzero(_next_due(state, live) < state.world.horizon_ns)
    if active.size:
        msg = (
            f"node {int(state.node_id[active[0]])}: more than {STEPS_MAX} events, expected the cordon to end them; "
            f"set repair.cordon.ue or lower the rates"
        )
        raise ModelError(msg)


def _next_due(state: LaneState, live: Ints) -> Ints:
    """Return when something next happens to each lane, ``FOREVER`` if nothing does [ns], shape ``(n_lanes,)``."""
    due = np.full(state.node_id.size, FOREVER)
    np.minimum.at(due, state.pages.lane[live], state.pages.next_ns[live])
    np.minimum.at(due, state.pending.lane, state.pending.time_ns)
    np.minimum(due, state.limit_ns, out=due)
    return due


def _limit_step(state: LaneState, due: Ints, busy: Flags) -> None:
    """Cordon the lanes one of whose faults reaches a limit now, unless something else happened to them."""
    ready = np.flatnonzero((state.limit_ns == due) & (due < state.world.horizon_ns) & ~busy)
    if ready.size:
        replace_at_limit(state, ready, AtLimit(state.limit_place[ready], state.limit_reason[ready]), due[ready])


def _still_live(state: LaneState, live: Ints, now_ns: Ints) -> Ints:
    """Keep pages that can still be touched in this boot or a later one, given the time of each lane."""
    places, pages, store = state.places, state.pages, state.store
    fault = store.pages.fault[pages.page[live]]
    revivable = store.stays[fault] | (store.faults.time_ns[fault] > now_ns[pages.lane[live]])
    coming = pages.next_ns[live] < state.world.horizon_ns
    place = pages.place[live]
    in_place = (places.removed_ns[place] == FOREVER) | (places.ppr[place] == PPR_SOFT)
    kept: Ints = live[coming | (revivable & in_place)]
    return kept
