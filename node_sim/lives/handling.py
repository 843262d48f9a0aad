"""What ``memory_failure()`` does to pages of lanes: looked up, logged, its signals sent or scheduled.

**Models.** The outcome of each page by kernel, state, kind of call, policy of the owner and sysctls. The handler sees
the page as it is when its work runs. A frame that is withdrawn is out of use until the next boot; one that is poisoned
and stays in use never returns: it is out of use once its user gives it back.

**Leaves out.** A report of a frame that went out of use before its work runs changes nothing, and has no row.

**Assumes.** The owner of the page is its only user.

**Sources.** ``hwpoison/outcome_table.py``; poisoned pages are not handed out again: mm/page_alloc.c
``free_pages_prepare()``, ``check_new_page()``.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import KillPolicy, LifecycleReason, PageUse
from node_sim.hwpoison.outcome_table import CallKind, Outcomes, Signal, signal_rows
from node_sim.hwpoison.use_states import state_codes
from node_sim.lives.repair import panic
from node_sim.lives.signals import schedule_eio, schedule_late, signal_owners
from node_sim.lives.state import LaneState, Pending, fault_of, pfn_of, spells_at
from node_sim.memory.processes import NOBODY
from node_sim.records import NULL, Flags, Ints
from node_sim.units import FOREVER, PAGE_BYTES


def handle_calls(state: LaneState, calls: Pending) -> Ints:
    """Run ``memory_failure()`` for calls whose time has come, at most one per lane.

    Args:
        state: Of the lanes; changed.
        calls: The calls, shape ``(n,)``.

    Returns:
        Until when each took the node down (-1: up) [ns], shape ``(n,)``.
    """
    down_ns = np.full(calls.lane.size, NULL)
    frame = state.pages.frame[calls.which]
    fresh = calls.use == NULL
    some = np.flatnonzero(~fresh | (state.frames.out_ns[frame] > calls.time_ns))
    if some.size:
        down_ns[some] = _handle(state, _as_it_is(state, calls.take(some)))
    return down_ns


def _as_it_is(state: LaneState, calls: Pending) -> Pending:
    """Let calls see the use of the page by now, but for those that are the second for one load."""
    fresh = np.flatnonzero(calls.use == NULL)
    if not fresh.size:
        return calls
    frame = state.pages.frame[calls.which[fresh]]
    tenancy = spells_at(state, frame, calls.time_ns[fresh]).tenancy
    parts = calls.use.copy(), calls.owner.copy(), calls.splits.copy(), calls.large.copy(), calls.already.copy()
    now = tenancy.use, tenancy.owner, tenancy.splits, tenancy.large, state.frames.poisoned_ns[frame] < FOREVER
    for column, cells in zip(parts, now, strict=True):
        column[fresh] = cells
    use, owner, splits, large, already = parts
    return calls._replace(use=use, owner=owner, splits=splits, large=large, already=already)


def _handle(state: LaneState, calls: Pending) -> Ints:
    """Look up what the handler does, and let it happen; return until when each call took the node down."""
    policies, arm = state.policies, state.arm_set[calls.lane]
    processes = state.world.memory.processes
    owned = calls.owner != NOBODY
    policy = np.where(owned, processes.kill_policy[np.maximum(calls.owner, 0)], int(KillPolicy.UNSET))
    splits = calls.splits < policies.thp_split_p[arm]
    codes = state_codes(state.world.policy.workload.file_system)
    outcome = state.handler.look_up(
        policies.profile[arm],
        codes[calls.use, splits.astype(np.intp), calls.large.astype(np.intp)],
        calls.call,
        policy,
        policies.early_kill[arm],
        policies.recovery[arm],
        calls.already,
    )
    down_ns = np.full(calls.lane.size, NULL)
    panics = outcome["panic"] == 1
    if panics.any():
        dead = calls.take(panics)
        off = policies.recovery[arm][panics] == 0  # asked first; else vm.panic_on_unrecoverable_memory_failure
        reason = np.where(off, int(LifecycleReason.RECOVERY_OFF), int(LifecycleReason.UNRECOVERABLE_PAGE))
        down_ns[panics] = panic(state, dead.lane, fault_of(state, dead.which), dead.time_ns, dead.cause, reason)
    if not panics.all():
        _settle(state, calls.take(~panics), outcome[~panics])
    return down_ns


def _settle(state: LaneState, calls: Pending, outcome: Outcomes) -> None:
    """Log what the handler did, and send or schedule its signals; a second call for one load releases nothing more."""
    second = calls.call >= int(CallKind.REQUIRED_AFTER_REPORT)
    owner = np.maximum(calls.owner, 0)
    dead = second & (state.killed_ns[calls.lane, owner] >= calls.read_ns)  # since the load
    owned = (calls.owner != NOBODY) & ~dead
    again = state.frames.poisoned_ns[state.pages.frame[calls.which]] < FOREVER
    released = ((outcome["withdrawn"] == 1) | ((outcome["signal"] != Signal.NONE) & again)) & ~second
    handled = state.log.add(
        "memory_failures",
        lane=calls.lane,
        time_ns=calls.time_ns,
        fault=fault_of(state, calls.which),
        cause=calls.cause,
        pfn=pfn_of(state, calls.which),
        page_use=calls.use,
        page_type=outcome["page_type"].astype(np.int64),
        result=outcome["result"].astype(np.int64),
        errno=outcome["errno"].astype(np.int64),
        latency_ns=calls.time_ns - calls.read_ns,
        lost_bytes=np.where(released, PAGE_BYTES, 0),
    )
    _mark(state, calls, released)
    things = calls._replace(owner=owner, lsb=outcome["lsb"].astype(np.int64), cause=handled)
    schedule_late(state, things.take((outcome["late"] == 1) & owned))
    schedule_eio(state, things.take(outcome["eio"] == 1))
    sent = signal_rows(outcome, owned)
    signal_owners(state, things.take(sent.which), sent.signal, sent.code, sent.timing)


def _mark(state: LaneState, calls: Pending, released: Flags) -> None:
    """Mark the frames of handled pages, and work out how long they stay in use."""
    frames, frame = state.frames, state.pages.frame[calls.which]
    end_ns = spells_at(state, frame, calls.time_ns).until_ns
    unused = released | (calls.use == PageUse.FREE)
    planned = frames.poisoned_ns[frame] == FOREVER  # by counting; a poisoned page is not taken offline any more
    before = np.where(planned, FOREVER, frames.out_ns[frame])
    out_ns = np.minimum(before, np.where(unused, calls.time_ns, end_ns))
    new = planned | (out_ns != before)
    frames.out_ns[frame] = out_ns
    frames.poisoned_ns[frame[planned]] = calls.time_ns[planned]
    gone = out_ns <= calls.time_ns
    state.pages.next_ns[calls.which[gone]] = FOREVER
    look = new & (~gone | frames.shared[frame])
    state.changed.append((frame[look], calls.time_ns[look]))
    counts = state.policies.replace_ce[state.arm_set[calls.lane]] > 0
    state.turned[calls.lane[new & counts]] = True
