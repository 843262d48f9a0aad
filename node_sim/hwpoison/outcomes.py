"""The handler as the fleet uses it: what ``memory_failure()`` and its caller do about a page and to each owner.

**Models.** Every page state of the fleet with its owners, every way an error arrives, alone or as the second report of
a load, whoever is told early, every sysctl, for any kernel profiles.

**Leaves out.** Soft offline, filters.

**Assumes.** The first owner is the consumer of what a process reads; a page poisoned already was left in use as it is.

**Sources.** ``memory_failure.py``; arch/x86/kernel/cpu/mce/core.c ``kill_me_maybe()``.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM
from node_sim.catalog.kernels import DEFAULT_PROFILE, switches_of
from node_sim.catalog.profile import Profile
from node_sim.codes import KernelRead, KillPolicy, PageType, PageUse, Result
from node_sim.hwpoison import kernel
from node_sim.hwpoison.access import fault
from node_sim.hwpoison.copies import COPIES, begin, survive
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kill import unrecovered_code
from node_sim.hwpoison.memory_failure import memory_failure as handle
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import PLAIN, Pte, Task
from node_sim.hwpoison.use_states import known_state, state_of_use
from node_sim.units import PAGE_SHIFT

NO_LINE = -1
"""Stored in place of page type and result where no action line is printed."""


class CallKind(enum.IntEnum):
    """Why ``memory_failure()`` is called: for a report, or for data that a process or a copy by the kernel consumed.

    ``KERNEL_COPY`` is a copy from user space. A page fault whose copy met the poison fails, and queues the error
    (``FAILED_FAULT``); other copies queue it as if it were reported. A demand load is reported by the memory
    controller, too: the last seven are the second call for one load.
    """

    ACTION_OPTIONAL = 0
    ACTION_REQUIRED = 1
    KERNEL_COPY = 2
    FAILED_FAULT = 3
    REQUIRED_AFTER_REPORT = 4
    COPY_AFTER_REPORT = 5
    FAULT_AFTER_REPORT = 6
    REPORT_AFTER_REQUIRED = 7
    REPORT_AFTER_COPY = 8
    REPORT_AFTER_FAULT = 9
    REPORT_AFTER_REPORT = 10


CALLS: Final = {
    CallKind.REQUIRED_AFTER_REPORT: (CallKind.ACTION_OPTIONAL, CallKind.ACTION_REQUIRED),
    CallKind.COPY_AFTER_REPORT: (CallKind.ACTION_OPTIONAL, CallKind.KERNEL_COPY),
    CallKind.FAULT_AFTER_REPORT: (CallKind.ACTION_OPTIONAL, CallKind.FAILED_FAULT),
    CallKind.REPORT_AFTER_REQUIRED: (CallKind.ACTION_REQUIRED, CallKind.ACTION_OPTIONAL),
    CallKind.REPORT_AFTER_COPY: (CallKind.KERNEL_COPY, CallKind.ACTION_OPTIONAL),
    CallKind.REPORT_AFTER_FAULT: (CallKind.FAILED_FAULT, CallKind.ACTION_OPTIONAL),
    CallKind.REPORT_AFTER_REPORT: (CallKind.ACTION_OPTIONAL, CallKind.ACTION_OPTIONAL),
}
"""Second calls: the call before, and what the second is by itself."""


HAS_CONSUMER: Final = np.asarray([set(CALLS.get(kind, (kind,))) != {CallKind.ACTION_OPTIONAL} for kind in CallKind])
"""Calls for data that one of the owners consumed, or for the other report of the same load, by ``CallKind``."""


RUNS_FOR_TASK: Final = np.asarray(
    [CALLS.get(kind, (kind,))[-1] in (CallKind.ACTION_REQUIRED, CallKind.KERNEL_COPY) for kind in CallKind]
)
"""Calls from the return to the task that consumed the data, by ``CallKind``; others are those of a worker."""


def call_of_read(read: KernelRead) -> CallKind:
    """Return why the handler is called for a read by the kernel that goes on after it."""
    if read is KernelRead.COPY:
        return CallKind.KERNEL_COPY
    fails = read.text in COPIES and COPIES[read.text].outcome == "fault"
    return CallKind.FAILED_FAULT if fails else CallKind.ACTION_OPTIONAL


_FAULTS: Final = ("hugetlb-cow", "do-cow", "cow")
"""Copies whose page faults fail, by the page that suits them; one of the swap cache goes as ``cow`` does."""


class Earlier(enum.IntEnum):
    """What had been poisoned before the error, and left in use.

    ``NEIGHBOUR`` is another 4 KiB page of the same hugetlb page; other pages know none.
    """

    NOTHING = 0
    PAGE = 1
    NEIGHBOUR = 2


class Signal(enum.IntEnum):
    """What an owner gets during handling."""

    NONE = 0
    EARLY_AO = 1
    DIRECT_AR = 2
    DIRECT_PLAIN = 3
    KILL = 4


class Heard(NamedTuple):
    """What an owner of the page hears of the error.

    Attributes:
        signal: Signal during handling.
        late: It is left to its next access.
        lsb: log2 of the extent reported by the signal.
    """

    signal: Signal
    late: bool
    lsb: int


class Outcome(NamedTuple):
    """Everything ``memory_failure()`` did.

    Attributes:
        panic: The kernel panicked at once; nothing else happened.
        page_type: Page type of the action line.
        result: Result of the action line.
        errno: Return value.
        signal: Signal to the first owner during handling.
        late: The first owner is left to its next access.
        eio: A dirty file page was lost: the next fsync returns -EIO.
        withdrawn: The page is out of use.
        lsb: log2 of the extent reported by a signal.
        lost_bytes: Memory that the allocator has lost by it [bytes].
        others: What the other owners hear.
    """

    panic: bool
    page_type: PageType | None
    result: Result | None
    errno: int
    signal: Signal
    late: bool
    eio: bool
    withdrawn: bool
    lsb: int
    lost_bytes: int
    others: tuple[Heard, ...]


_CODES: Final = {
    None: Signal.NONE,
    PLAIN: Signal.DIRECT_PLAIN,
    "BUS_MCEERR_AR": Signal.DIRECT_AR,
    "BUS_MCEERR_AO": Signal.EARLY_AO,
}


def _signal(owner: Task, profile: Profile, errno: int, required: bool, told: bool) -> tuple[Signal, int | None]:
    """Return the first signal of the owner, and its extent."""
    got = owner.died_of or (owner.received[0] if owner.received else None)
    if got is None:
        if told:
            return Signal.DIRECT_AR, PAGE_SHIFT
        code = unrecovered_code(profile, errno) if required else None
        return _CODES[code], PAGE_SHIFT if code == "BUS_MCEERR_AR" else None
    if got.signal == "SIGKILL":
        return Signal.KILL, got.lsb
    return _CODES[got.code], got.lsb


Threads = tuple[KillPolicy, ...]
"""``prctl`` policies of the threads of a process, the leader's first."""


def handle_state(  # noqa: PLR0913 - each is a dimension of the table
    state: str,
    call: CallKind,
    owner: Threads,
    *,
    early_kill: bool,
    recovery: bool,
    earlier: Earlier = Earlier.NOTHING,
    others: Sequence[Threads] = (),
    profile: str | Profile = DEFAULT_PROFILE,
    printed: list[str] | None = None,
) -> Outcome:
    """Say what ``memory_failure()`` and the machine-check code that called it do about a page.

    Args:
        state: Page state, a name of ``PAGES``.
        call: How the handler is called.
        owner: The first owner: the consumer, where a process reads.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        earlier: What had been poisoned before (and was left in use).
        others: The other owners.
        profile: Kernel, or its name.
        printed: Gets the lines of the kernel log about this call, in which processes are ``owner 0``, ``owner 1``, ....
    """
    tasks = [Task(f"owner {number}", threads) for number, threads in enumerate((owner, *others))]
    page = build_page(known_state(state, profile), tasks)
    own_marks = page.hugetlb and switches_of(profile).hugetlb == "non lru"  # each 4 KiB page has a mark of its own
    if earlier is Earlier.PAGE or (earlier is Earlier.NEIGHBOUR and not own_marks):
        page.poisoned = True
        page.bad_subpages |= {page.subpage + (earlier is Earlier.NEIGHBOUR)} if page.hugetlb else set()
    machine = kernel.Machine(switches_of(profile), early_kill=early_kill, recovery=recovery)
    before, itself = CALLS.get(call, (None, call))
    try:
        faulting = _faulting(page)
        if before is not None:
            _call(machine, page, tasks, before, faulting)
            machine.log.clear()
        return _call(machine, page, tasks, itself, faulting, first=before is None)
    except kernel.Panic:
        nobody = tuple(Heard(Signal.NONE, False, page.shift) for _ in others)
        return Outcome(True, None, None, 0, Signal.NONE, False, False, False, page.shift, 0, nobody)
    finally:
        if printed is not None:
            printed += machine.log


def _call(
    machine: kernel.Machine, page: Page, tasks: list[Task], call: CallKind, faulting: str | None, *, first: bool = True
) -> Outcome:
    """Call the handler, and let the consumer repeat its load; a signal that finds one pending merges with it."""
    owner = tasks[0]
    mapped, shift, errors = page.mapped, page.shift, page.file.errors if page.file else 0
    heard, actions, lost_bytes = [len(task.received) for task in tasks], len(machine.actions), page.lost_bytes
    signals_task = call is CallKind.KERNEL_COPY and machine.profile.copy_recovery == "signal"
    required = call is CallKind.ACTION_REQUIRED or signals_task
    if call is not CallKind.FAILED_FAULT or faulting is None:
        errno = handle(machine, page, kernel.MfCall(required, current=owner if required else None))
    else:
        errno = _fail(machine, page, faulting, begins=first)
    line = machine.actions[-1] if len(machine.actions) > actions else None
    signal, lsb = (Signal.NONE, None) if heard[0] else _signal(owner, machine.profile, errno, required, signals_task)
    if required and not heard[0] and signal is Signal.NONE and _repeat_fails(machine, page, owner):
        signal, lsb = Signal.DIRECT_AR, shift

    def waits(task: Task, got: Signal) -> bool:
        gone = first and mapped and got is Signal.NONE and task.first is not None
        return gone and task.first is not None and fault(machine, page, task.first) is not None

    def hears(task: Task, before: int) -> Heard:
        got, extent = (Signal.NONE, None) if before else _signal(task, machine.profile, errno, False, False)
        return Heard(got, waits(task, got), shift if extent is None else extent)

    return Outcome(
        panic=False,
        page_type=None if line is None else PAGE_TYPES[line[0]],
        result=None if line is None else RESULTS[line[1]],
        errno=errno,
        signal=signal,
        late=not required and waits(owner, signal),
        eio=page.backing in (Backing.FILE, Backing.BLOCK) and page.file is not None and page.file.errors > errors,
        withdrawn=page.withdrawn,
        lsb=shift if lsb is None else lsb,
        lost_bytes=page.lost_bytes - lost_bytes,
        others=tuple(hears(task, before) for task, before in zip(tasks[1:], heard[1:], strict=True)),
    )


def _faulting(page: Page) -> str | None:
    """Return the copy for a page fault that reads a page of this kind."""
    return next((name for name in _FAULTS if COPIES[name].suits(page)), None)


def _fail(machine: kernel.Machine, page: Page, name: str, *, begins: bool) -> int:
    """Let the copy of a page fault fail, and the handler run; return the handler's answer.

    Where the handler has run before, the copy meets the page as that has left it.
    """
    if begins:
        begin(page, f"ar-{name}")
    survive(machine, page, name)
    assert machine.answer is not None
    return machine.answer


def _repeat_fails(machine: kernel.Machine, page: Page, owner: Task) -> bool:
    """Whether the consumer, told nothing, finds a poisoned entry or page when it loads again."""
    mapping = owner.first
    gone = mapping is not None and mapping.pte is not Pte.PRESENT
    return gone and mapping is not None and fault(machine, page, mapping) == "BUS_MCEERR_AR"


def memory_failure(  # noqa: PLR0913 - each is a dimension of the table
    use: PageUse,
    call: CallKind,
    owner: Threads,
    *,
    early_kill: bool,
    recovery: bool,
    earlier: Earlier = Earlier.NOTHING,
    others: Sequence[Threads] = (),
    split_ok: bool = True,
    file_system: str = DEFAULT_FILE_SYSTEM,
    large: bool = False,
    shared: bool = False,
    profile: str | Profile = DEFAULT_PROFILE,
) -> Outcome:
    """Say what happens to a page by its use; arguments as of ``handle_state`` and ``state_of_use``."""
    return handle_state(
        state_of_use(use, split_ok=split_ok, file_system=file_system, large=large, shared=shared),
        call,
        owner,
        early_kill=early_kill,
        recovery=recovery,
        earlier=earlier,
        others=others,
        profile=profile,
    )


PAGE_TYPES: Final = {member.text: member for member in PageType}
RESULTS: Final = {member.text: member for member in Result}
