"""Machine checks of lanes: how reads of poison are reported, and what the kernel does first.

**Models.** Grades are looked up by reader and platform. Asynchronous records occupy the bank of their channel until
they are read, and the 16-entry queue of ``memory_failure()`` until they are handled; the handler runs after the delay
of the firmware and of the work queue.

**Leaves out.** What a grade follows from; ``machine_check/`` has it.

**Assumes.** Load is bounded by mechanism: one asynchronous record per bank until it is read, 16 queued pages, and the
cordon.

**Sources.** ``machine_check/grades.py``; the queue: mm/memory-failure.c ``memory_failure_queue()``.
"""

from __future__ import annotations

import numpy as np

from node_sim.catalog.numbers import QUEUE_ENTRIES
from node_sim.codes import CheckAction, CpuContext, Observer, PageUse
from node_sim.draws import Tag, split64, unit32, words
from node_sim.hwpoison.outcome_table import CallKind
from node_sim.lives.handling import handle_pages
from node_sim.lives.repair import panic
from node_sim.lives.state import LaneState, Touches, mask_of
from node_sim.machine_check.grades import look_up
from node_sim.memory.pages import Tenancy
from node_sim.memory.sightings import masked_tenancy
from node_sim.records import NULL, Flags, Ints, take

_COPIED_USES = {
    PageUse.ANONYMOUS,
    PageUse.THP,
    PageUse.HUGETLB,
    PageUse.FILE_CLEAN_MAPPED,
    PageUse.FILE_DIRTY_MAPPED,
    PageUse.TMPFS,
    PageUse.MLOCKED,
    PageUse.KSM,
    PageUse.SWAPCACHE_DIRTY,
    PageUse.SWAPCACHE_CLEAN,
}
COPYABLE = np.asarray([use in _COPIED_USES for use in PageUse])
"""Uses whose pages the kernel reads by copy-from-user; page cache pages are read by plain copies."""


def raise_machine_checks(state: LaneState, touches: Touches) -> tuple[Ints, Ints]:
    """Raise and handle the machine checks of reads of poison.

    Args:
        state: Of the lanes; changed.
        touches: Reads that are noticed, at most one per lane, shape ``(n,)``.

    Returns:
        When each is dealt with, and until when it took the node down (-1: up) [ns]; shape ``(n,)``.
    """
    bank = state.world.address_map.slot_channel(state.store.faults.box.slot[touches.fault])
    overflow = state.bank_busy_ns[touches.lane, bank] > touches.time_ns
    consumed = (touches.observer == Observer.USER) | (touches.observer == Observer.KERNEL)
    overflow &= ~(consumed & state.policies.firmware_first[state.arm_set[touches.lane]])
    frames = state.store.frames.take(touches.page)
    tenancy, _ = masked_tenancy(state.world.memory, frames, touches.time_ns, mask_of(state, touches.lane))
    grade = _grade(state, touches, tenancy.use, overflow)
    lost = overflow & ~consumed & (grade["action"] != CheckAction.PANIC)
    end_ns, down_ns = touches.time_ns.copy(), np.full(touches.which.size, NULL)
    reported = np.flatnonzero(~lost)
    if reported.size:
        part = {name: column[reported] for name, column in grade.items()}
        end_ns[reported], down_ns[reported] = _report(
            state, touches.take(reported), part, bank[reported], overflow[reported], take(tenancy, reported)
        )
    return end_ns, down_ns


def _grade(state: LaneState, touches: Touches, use: Ints, overflow: Flags) -> dict[str, Ints]:
    """Grade the machine checks of touches."""
    policies, arm = state.policies, state.arm_set[touches.lane]
    copies = COPYABLE[use] & (touches.mark < policies.copy_share[arm])
    device_fatal = touches.mark < policies.device_fatal_share[arm]
    return look_up(policies.grades, arm, touches.observer, copies, device_fatal, overflow)


def _report(
    state: LaneState, touches: Touches, grade: dict[str, Ints], bank: Ints, overflow: Flags, tenancy: Tenancy
) -> tuple[Ints, Ints]:
    """Log machine checks and act on them; return when each is done and until when the node is down (-1: up)."""
    policies, arm = state.policies, state.arm_set[touches.lane]
    action = grade["action"].copy()
    queued = np.flatnonzero(action == CheckAction.QUEUE)
    asynchronous = grade["context"] == CpuContext.NONE
    delay = np.where(asynchronous, policies.delay_ns[arm], 0)
    handled_ns = touches.time_ns + delay + _work_latency(state, touches, asynchronous)
    arrived_ns = touches.time_ns + delay
    full = _enqueue(state, touches.lane[queued], arrived_ns[queued], handled_ns[queued])
    action[queued[full]] = CheckAction.QUEUE_FULL
    row = state.log.add(
        "machine_checks",
        lane=touches.lane,
        time_ns=touches.time_ns,
        fault=touches.fault,
        cause=state.pages.error[touches.which],
        severity=grade["severity"],
        bank=bank,
        cpu_context=grade["context"],
        overflow=overflow,
        pfn=state.store.pages.pfn[touches.page],
        action=action,
    )
    busy_ns = touches.time_ns + policies.busy_ns[arm]
    state.bank_busy_ns[touches.lane, bank] = np.where(asynchronous, busy_ns, state.bank_busy_ns[touches.lane, bank])
    end_ns, down_ns = touches.time_ns.copy(), np.full(touches.which.size, NULL)
    dead = np.flatnonzero(action == CheckAction.PANIC)
    down_ns[dead] = panic(state, touches.take(dead), touches.time_ns[dead], row[dead], grade["reason"][dead])
    calls = (action == CheckAction.QUEUE) | (action == CheckAction.ACTION_REQUIRED)
    some = np.flatnonzero(calls & (handled_ns < state.world.horizon_ns))
    if some.size:
        end_ns[some] = handled_ns[some]
        call = _call_kind(action[some], grade["context"][some])
        down_ns[some] = handle_pages(state, touches.take(some), call, take(tenancy, some), row[some], handled_ns[some])
    return end_ns, down_ns


def _call_kind(action: Ints, context: Ints) -> Ints:
    """Return how the handler is called (``CallKind``)."""
    required = np.where(
        action == CheckAction.ACTION_REQUIRED, int(CallKind.ACTION_REQUIRED), int(CallKind.ACTION_OPTIONAL)
    )
    return np.where(context == CpuContext.KERNEL_COPY, int(CallKind.KERNEL_COPY), required)


def _work_latency(state: LaneState, touches: Touches, asynchronous: Flags) -> Ints:
    """Draw the delay of the memory_failure work; none for what runs before the task goes on [ns]."""
    low, high = split64(touches.time_ns)
    draw, _, _, _ = words(state.store.frames.page_key.take(touches.page), low, high, int(Tag.LATENCY))
    mean = state.policies.latency_ns[state.arm_set[touches.lane]]
    delay = (-np.log(unit32(draw)) * mean).astype(np.int64)
    return np.where(asynchronous, delay, 0)


def _enqueue(state: LaneState, lane: Ints, arrived_ns: Ints, done_ns: Ints) -> Flags:
    """Put pages into the queue of each lane, each until it is handled; return which found it full."""
    slot = state.queue_next[lane]
    full = state.queue_ns[lane, slot] > arrived_ns
    fits = ~full
    state.queue_ns[lane[fits], slot[fits]] = done_ns[fits]
    state.queue_next[lane[fits]] = (slot[fits] + 1) % QUEUE_ENTRIES.value
    return full
