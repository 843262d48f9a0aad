"""What ``memory_failure()`` does to pages of lanes: looked up, logged, its signals sent or scheduled.

**Models.** The outcome of each page by kernel, state, kind of call, sysctls, and for each owner by whether it is told
early. The handler sees the page as it is when its work runs. A frame that is withdrawn is out of use until the next
boot; one that is poisoned and stays in use never returns: it is out of use once its users give it back. A huge page of
a pool has one fate (``huge_pages.py``).

**Leaves out.** A report of a frame that went out of use before its work runs changes nothing, and has no row.

**Assumes.** What the handler does takes effect when it begins. Its own time grows with the processes that map the page.

**Sources.** ``hwpoison/outcomes.py``; poisoned pages are not handed out again: mm/page_alloc.c
``free_pages_prepare()``, ``check_new_page()``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.catalog.workloads import FROM_USER
from node_sim.codes import LifecycleReason, PageUse
from node_sim.hwpoison.handler_table import Outcomes, signal_rows
from node_sim.hwpoison.outcomes import (
    HAS_CONSUMER,
    RUNS_FOR_TASK,
    CallKind,
    Earlier,
    Signal,
)
from node_sim.hwpoison.use_states import state_codes
from node_sim.lives.huge_pages import share_fate
from node_sim.lives.pending import Pending
from node_sim.lives.repair import panic
from node_sim.lives.signals import gone_by, schedule_eio, schedule_late, signal_processes
from node_sim.lives.state import LaneState, fault_of, huge_pages, pfn_of, spells_at
from node_sim.memory.pages import UNUSED
from node_sim.memory.processes import NOBODY, members_of
from node_sim.records import NULL, Flags, Ints
from node_sim.server.page_offline import OfflineScope
from node_sim.units import FOREVER, PAGE_BYTES

_MAPPED = np.asarray([use.text in FROM_USER for use in PageUse])
"""Uses of pages that processes map, by ``PageUse``."""
_OF_POOL = np.asarray([use.text.startswith("hugetlb") for use in PageUse])
"""Uses of huge pages of a pool, by ``PageUse``."""


def poisoned_before(state: LaneState, frame: Ints, time_ns: Ints) -> Ints:
    """Return what had been poisoned in frames, or in the rest of their huge pages (``Earlier``)."""
    frames = state.frames
    beside = (frames.neighbour_ns[frame] < FOREVER) & (frames.dissolved_ns[frame] > time_ns)
    found = np.where(beside, int(Earlier.NEIGHBOUR), int(Earlier.NOTHING))
    return np.where(frames.poisoned_ns[frame] < FOREVER, int(Earlier.PAGE), found)


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
    frame, time_ns = state.pages.frame[calls.which[fresh]], calls.time_ns[fresh]
    tenancy = spells_at(state, frame, time_ns).tenancy
    now = {
        "use": tenancy.use,
        "owners": tenancy.owners,
        "since_ns": tenancy.start_ns,
        "splits": tenancy.splits,
        "large": tenancy.large,
        "earlier": poisoned_before(state, frame, time_ns),
    }
    columns = {name: getattr(calls, name).copy() for name in now}
    for name, cells in now.items():
        columns[name][fresh] = cells
    return calls._replace(**columns)


def _handle(state: LaneState, calls: Pending) -> Ints:
    """Look up what the handler does, and let it happen; return until when each call took the node down."""
    policies, arm = state.policies, state.arm_set[calls.lane]
    processes = state.world.memory.processes
    splits = calls.splits < policies.thp_split_p[arm]
    shared = (calls.owners != NOBODY) & (processes.size[calls.owners] > 1)
    codes = state_codes(state.world.policy.workload.file_system)
    outcome = state.handler.look_up(
        policies.profile[arm],
        codes[calls.use, splits.astype(np.intp), calls.large.astype(np.intp), shared.astype(np.intp)],
        calls.call,
        policies.early[arm, np.maximum(calls.process, 0)] & (calls.process != NOBODY),
        policies.recovery[arm],
        calls.earlier,
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


class _Told(NamedTuple):
    """What the owners of handled pages hear, one element per (call, owner) that is still there; shape ``(n,)``."""

    which: Ints
    process: Ints
    signal: Ints
    late: Flags
    lsb: Ints


def _tell(state: LaneState, calls: Pending, outcome: Outcomes) -> _Told:
    """Find out what each owner of handled pages hears: the consumer, and the others by whether they are told early."""
    which, process = members_of(state.world.memory.processes, calls.owners)
    here = ~gone_by(state, calls.take(which)._replace(process=process))
    which, process = which[here], process[here]
    found, consumed = outcome[which], HAS_CONSUMER[calls.call[which]] & (process == calls.process[which])
    early = state.policies.early[state.arm_set[calls.lane[which]], process]

    def heard(name: str) -> Ints:
        other = np.where(early, found[f"{name}_early"], found[f"{name}_not_early"])
        return np.where(consumed, found[name], other).astype(np.int64)

    return _Told(which, process, heard("signal"), heard("late") == 1, heard("lsb"))


def _settle(state: LaneState, calls: Pending, outcome: Outcomes) -> None:
    """Log what the handler did, and send or schedule its signals; a second call for one load releases nothing more."""
    second, told = calls.call >= int(CallKind.REQUIRED_AFTER_REPORT), _tell(state, calls, outcome)
    again = state.frames.poisoned_ns[state.pages.frame[calls.which]] < FOREVER
    alone = state.world.memory.processes.size[calls.owners] == 1  # others go on to map a page that stays in use
    consumed = (outcome["signal"] != Signal.NONE) & (calls.process != NOBODY) & again & alone
    released = ((outcome["withdrawn"] == 1) | consumed) & ~second
    of_pool = released & _OF_POOL[calls.use]
    huge = huge_pages(state, state.pages.frame[calls.which])
    kept_bytes = np.where(of_pool, huge, 1) * PAGE_BYTES
    lost_bytes = np.where(outcome["lost_bytes"] > 0, outcome["lost_bytes"], kept_bytes)
    duration_ns = _duration_ns(state, calls, told)
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
        latency_ns=calls.time_ns - calls.read_ns + duration_ns,
        duration_ns=duration_ns,
        current_affected=_current_affected(calls, told),
        lost_bytes=np.where(released, lost_bytes, 0),
        pool_lost_bytes=np.where(of_pool, huge * PAGE_BYTES, 0),
    )
    things = calls.take(told.which)._replace(process=told.process, lsb=told.lsb, cause=handled[told.which])
    schedule_late(state, things.take(told.late))
    _mark(state, calls, released, of_pool & (outcome["lost_bytes"] == PAGE_BYTES))
    lost = calls._replace(cause=handled)
    schedule_eio(state, lost.take(outcome["eio"] == 1))
    sent = told.signal != Signal.NONE
    signal_processes(state, things.take(sent), *signal_rows(told.signal[sent]))


def _duration_ns(state: LaneState, calls: Pending, told: _Told) -> Ints:
    """Return the handler's own time, which grows with the owners that map the page [ns]; no second call walks them."""
    policies, arm = state.policies, state.arm_set[calls.lane]
    walks = _MAPPED[calls.use] & (calls.earlier == Earlier.NOTHING) & (calls.call < CallKind.REQUIRED_AFTER_REPORT)
    mappings = np.where(walks, np.bincount(told.which, minlength=calls.lane.size), 0)
    duration: Ints = policies.handler_base_ns[arm] + policies.handler_mapping_ns[arm] * mappings
    return duration


def _current_affected(calls: Pending, told: _Told) -> Flags:
    """Return which calls ran for a task that had consumed the data and maps the page."""
    found = np.zeros(calls.lane.size, np.bool_)
    found[told.which[told.process == calls.process[told.which]]] = True
    found &= _MAPPED[calls.use] & RUNS_FOR_TASK[calls.call]
    return found


def _mark(state: LaneState, calls: Pending, released: Flags, dissolved: Flags) -> None:
    """Mark the frames of handled pages, and work out how long they stay in use."""
    frames, frame = state.frames, state.pages.frame[calls.which]
    end_ns = spells_at(state, frame, calls.time_ns).until_ns
    unused = released | UNUSED[calls.use]
    planned = frames.poisoned_ns[frame] == FOREVER  # by counting; a poisoned page is not taken offline any more
    before = np.where(planned & (frames.neighbour_ns[frame] == FOREVER), FOREVER, frames.out_ns[frame])
    out_ns = np.minimum(before, np.where(unused, calls.time_ns, end_ns))
    new = planned | (out_ns != before)
    frames.out_ns[frame] = out_ns
    frames.poisoned_ns[frame[planned]] = calls.time_ns[planned]
    gone = out_ns <= calls.time_ns
    state.pages.next_ns[calls.which[gone]] = FOREVER
    look = new & (~gone | frames.shared[frame])
    state.changed.append((frame[look], calls.time_ns[look]))
    arm = state.arm_set[calls.lane]
    counts = (state.policies.replace_ce[arm] > 0) | state.policies.replace_risky[arm]
    together = state.policies.scope[arm] != OfflineScope.PAGE
    state.turned[calls.lane[new & counts]] = True
    state.remarked_ns[calls.lane[new & together]] = calls.time_ns[new & together]
    share_fate(state, frame, calls.time_ns, dissolved)
