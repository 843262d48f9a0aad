"""The handler as the fleet uses it: ``memory_failure()`` enumerated into a lookup table.

**Models.** Every page state of the fleet with one owner, every way an error arrives, alone or as the second report of a
load, every kill policy and sysctl, for any kernel profiles.

**Leaves out.** Soft offline, filters, several owners of one page.

**Assumes.** The owner is the only process that maps the page, so it is the consumer of a user read; a page poisoned
already was left in use as it is.

**Sources.** ``memory_failure.py``; arch/x86/kernel/cpu/mce/core.c ``kill_me_maybe()``.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM
from node_sim.catalog.kernels import DEFAULT_PROFILE, switches_of
from node_sim.catalog.profile import Profile
from node_sim.codes import KernelRead, KillPolicy, PageType, PageUse, Result, SignalCode, SignalName, Timing
from node_sim.hwpoison import kernel
from node_sim.hwpoison.access import fault
from node_sim.hwpoison.copies import COPIES, begin, survive
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kill import unrecovered_code
from node_sim.hwpoison.memory_failure import memory_failure as handle
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import PLAIN, Pte, Task
from node_sim.hwpoison.use_states import STATES, known_state, state_of_use
from node_sim.records import Flags, Ints
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


def call_of_read(read: KernelRead) -> CallKind:
    """Return why the handler is called for a read by the kernel that goes on after it."""
    if read is KernelRead.COPY:
        return CallKind.KERNEL_COPY
    fails = read.text in COPIES and COPIES[read.text].outcome == "fault"
    return CallKind.FAILED_FAULT if fails else CallKind.ACTION_OPTIONAL


_FAULTS: Final = ("hugetlb-cow", "do-cow", "cow")
"""Copies whose page faults fail, by the page that suits them; one of the swap cache goes as ``cow`` does."""


class Signal(enum.IntEnum):
    """What the owner gets during handling."""

    NONE = 0
    EARLY_AO = 1
    DIRECT_AR = 2
    DIRECT_PLAIN = 3
    KILL = 4


_SIGNAL_ROWS: Final = {
    Signal.EARLY_AO: (SignalName.SIGBUS, SignalCode.MCEERR_AO, Timing.EARLY),
    Signal.DIRECT_AR: (SignalName.SIGBUS, SignalCode.MCEERR_AR, Timing.DIRECT),
    Signal.DIRECT_PLAIN: (SignalName.SIGBUS, SignalCode.KERNEL, Timing.DIRECT),
    Signal.KILL: (SignalName.SIGKILL, SignalCode.KERNEL, Timing.EARLY),
}
_SIGNAL_COLUMNS: Final = np.asarray([[NO_LINE] * 3, *([int(part) for part in row] for row in _SIGNAL_ROWS.values())])


class Outcome(NamedTuple):
    """Everything ``memory_failure()`` did.

    Attributes:
        panic: The kernel panicked at once; nothing else happened.
        page_type: Page type of the action line.
        result: Result of the action line.
        errno: Return value.
        signal: Signal to the owner during handling.
        late: The owner is left to the next access.
        eio: A dirty file page was lost: the next fsync returns -EIO.
        withdrawn: The page is out of use.
        lsb: log2 of the extent reported by a signal.
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


def handle_state(
    state: str,
    call: CallKind,
    kill_policy: KillPolicy,
    *,
    early_kill: bool,
    recovery: bool,
    already: bool = False,
    profile: str | Profile = DEFAULT_PROFILE,
) -> Outcome:
    """Say what ``memory_failure()`` and the machine-check code that called it do about a page.

    Args:
        state: Page state, a name of ``PAGES``.
        call: How the handler is called.
        kill_policy: ``prctl`` policy of the owner.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        already: Whether the page is poisoned already (and was left in use).
        profile: Kernel, or its name.
    """
    owner = Task("owner", (kill_policy,))
    page = build_page(known_state(state, profile), [owner])
    if already:
        page.poisoned = True
        page.bad_subpages |= {page.subpage} if page.hugetlb else set()
    machine = kernel.Machine(switches_of(profile), early_kill=early_kill, recovery=recovery)
    before, itself = CALLS.get(call, (None, call))
    try:
        faulting = _faulting(page)
        if before is not None:
            _call(machine, page, owner, before, faulting)
        return _call(machine, page, owner, itself, faulting, first=before is None)
    except kernel.Panic:
        return Outcome(True, None, None, 0, Signal.NONE, False, False, False, page.shift)


def _call(
    machine: kernel.Machine, page: Page, owner: Task, call: CallKind, faulting: str | None, *, first: bool = True
) -> Outcome:
    """Call the handler, and let the consumer repeat its load; a signal that finds one pending merges with it."""
    mapped, shift, errors = page.mapped, page.shift, page.file.errors if page.file else 0
    heard, actions = len(owner.received), len(machine.actions)
    signals_task = call is CallKind.KERNEL_COPY and machine.profile.copy_recovery == "signal"
    required = call is CallKind.ACTION_REQUIRED or signals_task
    if call is not CallKind.FAILED_FAULT or faulting is None:
        errno = handle(machine, page, kernel.MfCall(required, current=owner if required else None))
    else:
        errno = _fail(machine, page, faulting, begins=first)
    line = machine.actions[-1] if len(machine.actions) > actions else None
    signal, lsb = (Signal.NONE, None) if heard else _signal(owner, machine.profile, errno, required, signals_task)
    if required and not heard and signal is Signal.NONE and _repeat_fails(machine, page, owner):
        signal, lsb = Signal.DIRECT_AR, shift
    waits = first and mapped and not required and signal is Signal.NONE and owner.first is not None
    late = waits and owner.first is not None and fault(machine, page, owner.first) is not None
    return Outcome(
        panic=False,
        page_type=None if line is None else PAGE_TYPES[line[0]],
        result=None if line is None else RESULTS[line[1]],
        errno=errno,
        signal=signal,
        late=late,
        eio=page.backing in (Backing.FILE, Backing.BLOCK) and page.file is not None and page.file.errors > errors,
        withdrawn=page.withdrawn,
        lsb=shift if lsb is None else lsb,
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
    kill_policy: KillPolicy,
    *,
    early_kill: bool,
    recovery: bool,
    already: bool = False,
    split_ok: bool = True,
    file_system: str = DEFAULT_FILE_SYSTEM,
    large: bool = False,
    profile: str | Profile = DEFAULT_PROFILE,
) -> Outcome:
    """Say what happens to a page by its use; arguments as of ``handle_state``.

    Args:
        use: What the page is used for.
        call: How the handler is called.
        kill_policy: ``prctl`` policy of the owner.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        already: Whether the page is poisoned already.
        split_ok: Whether a huge page can be split.
        file_system: Of a page of a file.
        large: Whether that is part of a large folio.
        profile: Kernel, or its name.
    """
    return handle_state(
        state_of_use(use, split_ok=split_ok, file_system=file_system, large=large),
        call,
        kill_policy,
        early_kill=early_kill,
        recovery=recovery,
        already=already,
        profile=profile,
    )


PAGE_TYPES: Final = {member.text: member for member in PageType}
RESULTS: Final = {member.text: member for member in Result}
_SHAPE: Final = (len(STATES), len(CallKind), len(KillPolicy), 2, 2, 2)
_DTYPE: Final = np.dtype([(name, np.int16) for name in Outcome._fields])
Outcomes = npt.NDArray[np.void]


@cache
def _enumerate(profile: Profile) -> Outcomes:
    """Enumerate the scalar definition for a kernel, over the whole domain."""
    rows = []
    booleans = itertools.product((False, True), repeat=3)
    for state, call, policy, flags in itertools.product(STATES, CallKind, KillPolicy, booleans):
        early_kill, recovery, already = flags
        outcome = handle_state(
            state, call, policy, early_kill=early_kill, recovery=recovery, already=already, profile=profile
        )
        rows.append(tuple(NO_LINE if part is None else int(part) for part in outcome))
    return np.asarray(rows, _DTYPE)


class HandlerTable:
    """``memory_failure()`` as one record per input; a look-up is one index and one gather."""

    def __init__(self, profiles: Sequence[str | Profile] = (DEFAULT_PROFILE,)) -> None:
        """Enumerate the scalar definition for some kernels.

        Args:
            profiles: The kernels or their names, in any order, each once.
        """
        self.profiles = tuple(switches_of(profile) for profile in profiles)
        self._rows = np.concatenate([_enumerate(profile) for profile in self.profiles])

    @property
    def size(self) -> int:
        """Number of inputs covered."""
        return self._rows.size

    def look_up(
        self,
        profile: npt.NDArray[np.integer] | int,
        state: npt.NDArray[np.integer],
        call: npt.NDArray[np.integer],
        kill_policy: npt.NDArray[np.integer],
        early_kill: npt.NDArray[np.integer],
        recovery: npt.NDArray[np.integer],
        already: Flags,
    ) -> Outcomes:
        """Return the outcome of each of n errors.

        Args:
            profile: Place of the kernel in ``profiles``, one or shape ``(n,)``.
            state: Code of the page state, shape ``(n,)``.
            call: ``CallKind``, shape ``(n,)``.
            kill_policy: ``KillPolicy`` of the owner, shape ``(n,)``.
            early_kill: 0 or 1, shape ``(n,)``.
            recovery: 0 or 1, shape ``(n,)``.
            already: Whether the page is poisoned already, shape ``(n,)``.

        Returns:
            Records of ``Outcome``, shape ``(n,)``; -1 where there is no action line.
        """
        index = np.asarray(profile, np.int32) * np.int32(_SHAPE[0]) + state.astype(np.int32, copy=False)
        for size, part in zip(_SHAPE[1:], (call, kill_policy, early_kill, recovery, already), strict=True):
            index *= np.int32(size)
            index += part.astype(np.int32, copy=False)
        found: Outcomes = self._rows[index]
        return found


@cache
def handler_table(profiles: tuple[str | Profile, ...]) -> HandlerTable:
    """Return the table of some kernels, enumerated once."""
    return HandlerTable(profiles)


class SignalRows(NamedTuple):
    """Signals sent during handling, arrays of shape ``(n_signals,)``.

    Attributes:
        which: Place of the page they are about.
        signal: ``SignalName``.
        code: ``SignalCode``.
        timing: ``Timing``.
        lsb: log2 of the extent that is lost.
    """

    which: Ints
    signal: Ints
    code: Ints
    timing: Ints
    lsb: Ints


def signal_rows(outcome: Outcomes, owned: Flags) -> SignalRows:
    """Return the signals of handled pages.

    Args:
        outcome: Records of ``Outcome``, shape ``(n,)``.
        owned: Whether a process owns the page, shape ``(n,)``.
    """
    which = np.flatnonzero((outcome["signal"] != Signal.NONE) & owned)
    sent = outcome[which]
    signal, code, timing = _SIGNAL_COLUMNS[sent["signal"]].T
    return SignalRows(which, signal, code, timing, sent["lsb"].astype(np.int64))
