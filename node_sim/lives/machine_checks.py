"""Machine checks of lanes: how reads of poison are reported, and what the kernel does first.

**Models.** Grades are looked up by reader and platform; which code of the kernel reads is drawn. Asynchronous records
occupy the bank of their channel until they are read, and the ring, pool or queue that holds them until they are
handled; the handler runs after the delay of the firmware and of the work queue, unless the node goes down before. A
demand load is reported twice, by the core in a bank of its own and by the memory controller, unless the firmware hides
that; who reaches the handler first is drawn. Only an error that a record shows counts for the cordon and accuses a
DIMM. What the scrubber reports of a frame that is out of use, the handler finds poisoned already: it changes nothing,
and there is no row of ``memory_failures``.

**Leaves out.** What a grade follows from; ``machine_check/`` has it.

**Assumes.** Load is bounded by mechanism: one asynchronous record per bank until it is read, the records that fit,
and the cordon. A record that wins the race is handled at the time of the load, and so is the error that a copy by the
kernel queues when it fails safely, whose queue of 16 per CPU is never full.

**Sources.** ``machine_check/grades.py``; arch/x86/kernel/cpu/mcheck/mce.c ``mce_ring_add()`` (to 4.2), mce/genpool.c,
mm/memory-failure.c ``memory_failure_queue()`` (firmware); the race: Linux aaf99ac2ceb7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import CheckAction, CpuContext, KernelRead, LifecycleReason, Observer
from node_sim.draws import Tag, split64, unit32, words
from node_sim.elementary import log
from node_sim.hwpoison.outcomes import CALLS, HAS_CONSUMER, CallKind, call_of_read
from node_sim.lives.handling import handle_calls, poisoned_before
from node_sim.lives.pending import Pending, Waits
from node_sim.lives.places import accuse
from node_sim.lives.repair import panic
from node_sim.lives.signals import wait_for
from node_sim.lives.state import LaneState, Touches, spells_at
from node_sim.machine_check.grades import NOT_READ, look_up
from node_sim.memory.pages import Tenancy
from node_sim.memory.processes import NOBODY
from node_sim.records import NULL, Flags, Floats, Index, Ints, take

_SECOND = np.tile(np.arange(len(CallKind)), (len(CallKind) + 1, 1))
"""``CallKind`` by the one before (-1, the last row: none) and the one that it is by itself."""
for _kind, _parts in CALLS.items():
    _SECOND[_parts] = _kind
_CALL_OF_READ = np.asarray([int(call_of_read(kind)) for kind in KernelRead])


class Records(NamedTuple):
    """Machine-check records of touches, arrays of shape ``(n,)``.

    Attributes:
        touches: The reads.
        grade: Parts of a ``Check`` by name.
        bank: The bank.
        overflow: It held an unread record.
        tenancy: Use of the page.
        earlier: What had been poisoned before this read (``Earlier``).
    """

    touches: Touches
    grade: dict[str, Ints]
    bank: Ints
    overflow: Flags
    tenancy: Tenancy
    earlier: Ints

    def take(self, index: Index) -> Records:
        """Return those at an index."""
        grade = {name: column[index] for name, column in self.grade.items()}
        parts = self.bank[index], self.overflow[index], take(self.tenancy, index), self.earlier[index]
        return Records(self.touches.take(index), grade, *parts)


def raise_machine_checks(state: LaneState, touches: Touches) -> tuple[Ints, Ints]:
    """Raise the machine checks of reads of poison, and handle those that do not wait.

    Args:
        state: Of the lanes; changed.
        touches: Reads that are noticed, at most one per lane, shape ``(n,)``.

    Returns:
        Row of the first record of each (-1 where it was lost), and until when the read took the node down (-1: up)
        [ns]; shape ``(n,)``.
    """
    channel = state.world.address_map.slot_channel(state.store.faults.box.slot[touches.fault])
    busy = state.bank_busy_ns[touches.lane, channel] > touches.time_ns
    consumed = (touches.observer == Observer.USER) | (touches.observer == Observer.KERNEL)
    frame = state.pages.frame[touches.which]
    tenancy = spells_at(state, frame, touches.time_ns).tenancy
    overflow = busy & ~consumed
    bank = np.where(consumed, state.bank_busy_ns.shape[1], channel)
    earlier = poisoned_before(state, frame, touches.time_ns)
    records = Records(touches, _grade(state, touches, tenancy.use, overflow), bank, overflow, tenancy, earlier)
    panics = records.grade["action"] == CheckAction.PANIC
    arm = state.arm_set[touches.lane]
    twice = consumed & ~busy & ~panics & ~state.policies.firmware_first[arm]
    first = twice & (_draws(state, touches)[1] < state.policies.controller_first[arm])
    row, down_ns, before = (np.full(touches.which.size, NULL) for _ in range(3))
    controller = records._replace(bank=channel, grade=_found(state, touches), overflow=np.zeros_like(busy))

    def report(those: Records, which: Flags, *, prompt: bool) -> None:
        index = np.flatnonzero(which & (down_ns == NULL))
        if index.size:
            logged, down_ns[index], before[index] = _report(state, those.take(index), before[index], prompt=prompt)
            row[index] = np.where(row[index] == NULL, logged, row[index])

    report(controller, first, prompt=True)
    report(records, ~(overflow & ~panics), prompt=False)
    report(controller, twice & ~first, prompt=False)
    return row, down_ns


def _grade(state: LaneState, touches: Touches, use: Ints, overflow: Flags) -> dict[str, Ints]:
    """Grade the machine checks of touches."""
    policies, arm = state.policies, state.arm_set[touches.lane]
    kernel_read = (touches.mark[:, None] >= policies.kernel_reads[arm, use]).sum(axis=1)
    device_fatal = touches.mark < policies.device_fatal_share[arm]
    return look_up(policies.grades, arm, touches.observer, kernel_read, device_fatal, overflow)


def _found(state: LaneState, touches: Touches) -> dict[str, Ints]:
    """Grade what the memory controller reports of a demand load."""
    arm, no = state.arm_set[touches.lane], np.zeros(touches.which.size, np.bool_)
    nothing = np.full(arm.size, int(KernelRead.OTHER))
    return look_up(state.policies.grades, arm, np.full(arm.size, int(Observer.DEVICE)), nothing, no, no)


def _report(state: LaneState, records: Records, before: Ints, *, prompt: bool) -> tuple[Ints, Ints, Ints]:
    """Log machine checks and act on them.

    Args:
        state: Of the lanes; changed.
        records: What is reported.
        before: ``CallKind`` of the call for the other report of the same load, -1 where there was none.
        prompt: The handler runs at once.

    Returns:
        Their rows, until when the node is down (-1: up), and the ``CallKind`` of the handler's last call.
    """
    touches, grade, policies = records.touches, records.grade, state.policies
    arm = state.arm_set[touches.lane]
    action = grade["action"].copy()
    queued = np.flatnonzero(action == CheckAction.QUEUE)
    asynchronous = grade["context"] == CpuContext.NONE
    arrived_ns = touches.time_ns + np.where(asynchronous, policies.delay_ns[arm], 0)
    handled_ns = arrived_ns + np.where(asynchronous & (not prompt), _work_latency(state, touches), 0)
    full = _enqueue(state, touches.lane[queued], arrived_ns[queued], handled_ns[queued])
    out = state.frames.out_ns[state.pages.frame[touches.which[queued]]] <= touches.time_ns[queued]
    action[queued[out]] = CheckAction.ALREADY_POISONED
    action[queued[full]] = CheckAction.QUEUE_FULL
    row = state.log.add(
        "machine_checks",
        lane=touches.lane,
        time_ns=touches.time_ns,
        fault=touches.fault,
        cause=state.pages.error[touches.which],
        severity=grade["severity"],
        bank=records.bank,
        cpu_context=grade["context"],
        kernel_read=grade["kernel_read"],
        overflow=records.overflow,
        pfn=state.store.pages.pfn[touches.page],
        action=action,
    )
    _count(state, touches, row)
    own = np.flatnonzero(asynchronous)
    state.bank_busy_ns[touches.lane[own], records.bank[own]] = (touches.time_ns + policies.busy_ns[arm])[own]
    down_ns, last = np.full(touches.which.size, NULL), before.copy()
    dead = np.flatnonzero(action == CheckAction.PANIC)
    down_ns[dead] = panic(
        state, touches.lane[dead], touches.fault[dead], touches.time_ns[dead], row[dead], grade["reason"][dead]
    )
    calls = (action == CheckAction.QUEUE) | (action == CheckAction.ACTION_REQUIRED)
    some = np.flatnonzero(calls & (handled_ns < state.world.horizon_ns))
    if some.size:
        last[some] = _call_kind(action[some], grade["kernel_read"][some], before[some])
        mine = _calls_of(records.take(some), last[some], row[some], handled_ns[some])
        waits = handled_ns[some] > touches.time_ns[some]
        wait_for(state, mine.take(waits))
        down_ns[some[~waits]] = handle_calls(state, mine.take(~waits))
    return row, down_ns, last


def _calls_of(records: Records, kind: Ints, row: Ints, time_ns: Ints) -> Pending:
    """Return the calls of the handler for some records; the later report of a load is about the page as it was then."""
    touches, tenancy = records.touches, records.tenancy
    known = (kind >= CallKind.REQUIRED_AFTER_REPORT) | (time_ns == touches.time_ns)
    return Pending(
        lane=touches.lane,
        time_ns=time_ns,
        what=np.full(kind.size, int(Waits.CALL)),
        cause=row,
        which=touches.which,
        process=np.where(HAS_CONSUMER[kind], touches.process, NOBODY),
        lsb=np.zeros(kind.size, np.int64),
        call=kind,
        read_ns=touches.time_ns,
        use=np.where(known, tenancy.use, NULL),
        owners=tenancy.owners,
        since_ns=tenancy.start_ns,
        splits=tenancy.splits,
        large=tenancy.large,
        earlier=records.earlier,
    )


def _count(state: LaneState, touches: Touches, row: Ints) -> None:
    """Count uncorrected errors that a log shows for the first time since the boot, and accuse their DIMMs."""
    new = np.flatnonzero(~state.pages.logged[touches.which])
    mine = touches.take(new)
    state.pages.logged[mine.which] = True
    state.ue_count[mine.lane] += 1
    state.had_ue[mine.lane, state.store.faults.box.slot[mine.fault]] = True
    accuse(state, state.pages.place[mine.which], row[new], int(LifecycleReason.DIMM_HAD_UE))


def _call_kind(action: Ints, kernel_read: Ints, before: Ints) -> Ints:
    """Return how the handler is called (``CallKind``), given the call for the other report of the load (-1: none)."""
    required = np.where(
        action == CheckAction.ACTION_REQUIRED, int(CallKind.ACTION_REQUIRED), int(CallKind.ACTION_OPTIONAL)
    )
    itself = np.where(kernel_read == NOT_READ, required, _CALL_OF_READ[kernel_read])
    return _SECOND[before, itself]


def _draws(state: LaneState, touches: Touches) -> tuple[Floats, Floats]:
    """Return two uniforms of each read: for the delay of the work, and for who wins the race to the handler."""
    low, high = split64(touches.time_ns)
    delay, race, _, _ = words(state.store.frames.page_key.take(touches.page), low, high, int(Tag.LATENCY))
    return unit32(delay), unit32(race)


def _work_latency(state: LaneState, touches: Touches) -> Ints:
    """Draw the delay of the memory_failure work [ns]."""
    mean = state.policies.latency_ns[state.arm_set[touches.lane]]
    delay: Ints = (-log(_draws(state, touches)[0]) * mean).astype(np.int64)
    return delay


def _enqueue(state: LaneState, lane: Ints, arrived_ns: Ints, done_ns: Ints) -> Flags:
    """Put pages into the queue of each lane, each until it is handled; return which found it full."""
    entries = state.policies.queue_entries[state.arm_set[lane]]
    slot = state.queue_next[lane]
    full = state.queue_ns[lane, slot] > arrived_ns
    fits = ~full
    state.queue_ns[lane[fits], slot[fits]] = done_ns[fits]
    state.queue_next[lane[fits]] = (slot[fits] + 1) % entries[fits]
    return full
