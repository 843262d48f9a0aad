"""What ``memory_failure()`` does to pages of lanes: looked up, logged, its signals sent or scheduled.

**Models.** The outcome of each page by kernel, state, kind of call, policy of the owner and sysctls; a page that is
withdrawn is not touched again before the next boot.

**Leaves out.** Events of one node within the delay of the memory_failure work see each other's outcome at once.

**Assumes.** The owner of the page is its only user.

**Sources.** ``hwpoison/outcome_table.py``.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import KillPolicy, LifecycleReason
from node_sim.hwpoison.outcome_table import STATE_CODES, CallKind, Outcomes, Signal, signal_rows
from node_sim.lives.bad_pages import retire
from node_sim.lives.repair import panic
from node_sim.lives.signals import schedule_eio, schedule_late, signal_owners
from node_sim.lives.state import LaneState, Pending, Touches
from node_sim.memory.pages import Tenancy
from node_sim.memory.processes import NOBODY
from node_sim.records import NULL, Flags, Ints, take
from node_sim.units import PAGE_BYTES


def handle_pages(
    state: LaneState, touches: Touches, call: Ints, tenancy: Tenancy, check: Ints, time_ns: Ints, already: Flags
) -> Ints:
    """Run ``memory_failure()`` on pages; return until when the node is down (-1: up) [ns].

    Args:
        state: Of the lanes; changed.
        touches: Reads of the pages, shape ``(n,)``.
        call: ``CallKind`` of each, shape ``(n,)``.
        tenancy: Use of each page, shape ``(n,)``.
        check: Row of each machine check, shape ``(n,)``.
        time_ns: When the handler is done with each page [ns], shape ``(n,)``.
        already: Whether each page was poisoned before its read, shape ``(n,)``.
    """
    policies, arm = state.policies, state.arm_set[touches.lane]
    processes = state.world.memory.processes
    owned = tenancy.owner != NOBODY
    policy = np.where(owned, processes.kill_policy[np.maximum(tenancy.owner, 0)], int(KillPolicy.UNSET))
    splits = tenancy.splits < policies.thp_split_p[arm]
    outcome = state.handler.look_up(
        policies.profile[arm],
        STATE_CODES[tenancy.use, splits.astype(np.intp)],
        call,
        policy,
        policies.early_kill[arm],
        policies.recovery[arm],
        already,
    )
    down_ns = np.full(touches.which.size, NULL)
    panics = outcome["panic"] == 1
    reason = np.full(int(panics.sum()), int(LifecycleReason.RECOVERY_OFF))
    down_ns[panics] = panic(state, touches.take(panics), time_ns[panics], check[panics], reason)
    calm = np.flatnonzero(~panics)
    if calm.size:
        second = call[calm] > int(CallKind.KERNEL_COPY)
        _settle(state, touches.take(calm), outcome[calm], take(tenancy, calm), check[calm], time_ns[calm], second)
    return down_ns


def _settle(
    state: LaneState, touches: Touches, outcome: Outcomes, tenancy: Tenancy, check: Ints, time_ns: Ints, second: Flags
) -> None:
    """Log what the handler did, and send or schedule its signals; a second call for one load releases nothing more."""
    owner = np.maximum(tenancy.owner, 0)
    dead = second & (state.killed_ns[touches.lane, owner] == touches.time_ns)  # of the first call
    owned = (tenancy.owner != NOBODY) & ~dead
    again = state.pages.poisoned[touches.which]
    released = ((outcome["withdrawn"] == 1) | ((outcome["signal"] != Signal.NONE) & again)) & ~second
    pfn = state.store.pages.pfn[touches.page]
    handled = state.log.add(
        "memory_failures",
        lane=touches.lane,
        time_ns=time_ns,
        fault=touches.fault,
        cause=check,
        pfn=pfn,
        page_use=tenancy.use,
        page_type=outcome["page_type"].astype(np.int64),
        result=outcome["result"].astype(np.int64),
        errno=outcome["errno"].astype(np.int64),
        latency_ns=time_ns - touches.time_ns,
        lost_bytes=np.where(released, PAGE_BYTES, 0),
    )
    state.pages.poisoned[touches.which] = True
    retire(state, touches.which[released])
    things = Pending(
        lane=touches.lane,
        time_ns=time_ns,
        late=(outcome["late"] == 1) & owned,
        owner=owner,
        lsb=outcome["lsb"].astype(np.int64),
        fault=touches.fault,
        pfn=pfn,
        cause=handled,
    )
    schedule_late(state, touches, things)
    schedule_eio(state, touches, things, outcome["eio"] == 1)
    sent = signal_rows(outcome, owned)
    signal_owners(state, things.take(sent.which), sent.signal, sent.code, sent.timing, touches.time_ns[sent.which])
