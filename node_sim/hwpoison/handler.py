"""The handler as the fleet uses it: ``memory_failure()`` enumerated into a lookup table.

**Models.** Every page use of the fleet with one owner, every way an error arrives, every kill policy and sysctl, for
one kernel profile.

**Leaves out.** Soft offline, filters, several owners of one page.

**Assumes.** The owner is the only process that maps the page, so it is the consumer of a user read; a huge page
already poisoned and left in use could not be split.

**Sources.** ``memory_failure.py``; arch/x86/kernel/cpu/mce/core.c ``kill_me_maybe()``.
"""

from __future__ import annotations

import enum
import itertools
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import KillPolicy, PageType, PageUse, Result
from node_sim.hwpoison import memory_failure as kernel
from node_sim.hwpoison.access import fault
from node_sim.hwpoison.guest import Backing, File, Kind, Page, Pte, Task
from node_sim.hwpoison.profiles import PROFILES
from node_sim.records import Ints

NO_LINE = -1
"""Stored in place of page type and result where no action line is printed."""


class Event(enum.IntEnum):
    """How the error reached ``memory_failure()``."""

    ACTION_OPTIONAL = 0
    ACTION_REQUIRED = 1
    KERNEL_COPY = 2


class Signal(enum.IntEnum):
    """What the owner gets during handling."""

    NONE = 0
    EARLY_AO = 1
    DIRECT_AR = 2
    DIRECT_PLAIN = 3


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


class _Shape(NamedTuple):
    """What pages of one use look like."""

    kind: Kind = Kind.USER
    backing: Backing = Backing.ANONYMOUS
    dirty: bool = True
    mapped: bool = True
    order: int = 0
    swapcache: bool = False
    ksm: bool = False
    mlocked: bool = False


_2M: Final = 9
_KERNEL: Final = _Shape(Kind.KERNEL, Backing.NONE, dirty=False, mapped=False)
_FILE: Final = _Shape(backing=Backing.FILE)
SHAPES: Final[dict[PageUse, _Shape]] = {
    PageUse.FREE: _KERNEL._replace(kind=Kind.FREE),
    PageUse.RESERVED: _KERNEL._replace(kind=Kind.RESERVED),
    PageUse.SLAB: _KERNEL._replace(kind=Kind.SLAB),
    PageUse.PAGE_TABLE: _KERNEL,
    PageUse.ANONYMOUS: _Shape(),
    PageUse.THP: _Shape(order=_2M),
    PageUse.HUGETLB: _Shape(Kind.HUGETLB, order=_2M),
    PageUse.FILE_CLEAN: _FILE._replace(dirty=False, mapped=False),
    PageUse.FILE_CLEAN_MAPPED: _FILE._replace(dirty=False),
    PageUse.FILE_DIRTY: _FILE._replace(mapped=False),
    PageUse.FILE_DIRTY_MAPPED: _FILE,
    PageUse.TMPFS: _Shape(backing=Backing.SHMEM),
    PageUse.MLOCKED: _Shape(mlocked=True),
    PageUse.KSM: _Shape(ksm=True),
    PageUse.SWAPCACHE_DIRTY: _Shape(swapcache=True),
    PageUse.SWAPCACHE_CLEAN: _Shape(swapcache=True, dirty=False),
}
"""Every page use of the fleet as the handler sees it."""


def make_page(use: PageUse, kill_policy: KillPolicy, *, already: bool = False, split_ok: bool = True) -> Page:
    """Return a page of a use with its owner."""
    shape = SHAPES[use]
    cached = shape.backing in (Backing.FILE, Backing.SHMEM)
    owner = Task("owner", (kill_policy,), pte=Pte.PRESENT if shape.mapped else Pte.NONE)
    return Page(
        kind=shape.kind,
        backing=shape.backing,
        dirty=shape.dirty,
        swapcache=shape.swapcache,
        mlocked=shape.mlocked,
        ksm=shape.ksm,
        order=shape.order,
        splits=split_ok,
        tasks=[owner],
        file=File(stored="", cached="") if cached else None,
        poisoned=already,
        bad_subpages={0} if already and shape.kind is Kind.HUGETLB else set(),
    )


def _signal(owner: Task, errno: int, *, required: bool) -> Signal:
    if owner.received:
        return Signal.DIRECT_AR if owner.received[0].code == "BUS_MCEERR_AR" else Signal.EARLY_AO
    return Signal.DIRECT_PLAIN if required and errno not in (0, kernel.EHWPOISON) else Signal.NONE


def memory_failure(  # noqa: PLR0913 - each is a dimension of the table
    use: PageUse,
    event: Event,
    kill_policy: KillPolicy,
    *,
    early_kill: bool,
    recovery: bool,
    already: bool = False,
    split_ok: bool = True,
    profile: str = "6.1",
) -> Outcome:
    """Say what ``memory_failure()`` and the machine check code that called it do about a page.

    Args:
        use: What the page is used for.
        event: How the error came.
        kill_policy: ``prctl`` policy of the owner.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        already: Whether the page is poisoned already (and was left in use).
        split_ok: Whether a huge page can be split.
        profile: Kernel.
    """
    page = make_page(use, kill_policy, already=already, split_ok=split_ok)
    owner, lsb = page.tasks[0], page.shift
    mapped = page.mapped
    machine = kernel.Machine(PROFILES[profile], early_kill=early_kill, recovery=recovery)
    required = event is Event.ACTION_REQUIRED
    try:
        errno = kernel.memory_failure(machine, page, kernel.Event(required, current=owner if required else None))
    except kernel.Panic:
        return Outcome(True, None, None, 0, Signal.NONE, False, False, False, lsb)
    text, result = machine.actions[-1] if machine.actions else (None, None)
    signal = _signal(owner, errno, required=required)
    file = page.cached_in
    return Outcome(
        panic=False,
        page_type=None if text is None else PAGE_TYPES[text],
        result=None if result is None else RESULTS[result],
        errno=errno,
        signal=signal,
        late=mapped and not required and signal is Signal.NONE and fault(page, owner) is not None,
        eio=page.backing is Backing.FILE and file is not None and not file.reported,
        withdrawn=page.withdrawn,
        lsb=lsb,
    )


PAGE_TYPES: Final = {member.text: member for member in PageType}
RESULTS: Final = {member.text: member for member in Result}
_SHAPE = (len(PageUse), len(Event), len(KillPolicy), 2, 2, 2, 2)


class HandlerTable:
    """``memory_failure()`` enumerated over its whole domain: one integer column for each part of the outcome."""

    def __init__(self, profile: str = "6.1") -> None:
        """Enumerate the scalar definition for a kernel."""
        rows = []
        switches = itertools.product((False, True), repeat=4)
        for use, event, policy, flags in itertools.product(PageUse, Event, KillPolicy, switches):
            early_kill, recovery, already, split_ok = flags
            outcome = memory_failure(
                use,
                event,
                policy,
                early_kill=early_kill,
                recovery=recovery,
                already=already,
                split_ok=split_ok,
                profile=profile,
            )
            rows.append([NO_LINE if part is None else int(part) for part in outcome])
        columns = np.asarray(rows, np.int64).T
        self.columns: dict[str, Ints] = dict(zip(Outcome._fields, columns, strict=True))

    @property
    def size(self) -> int:
        """Number of inputs covered."""
        return int(np.prod(_SHAPE))

    def look_up(
        self,
        use: Ints,
        event: Ints,
        kill_policy: Ints,
        early_kill: Ints,
        recovery: Ints,
        already: npt.NDArray[np.bool_],
        split_ok: npt.NDArray[np.bool_],
    ) -> dict[str, Ints]:
        """Return the outcome of each of n errors, one array of shape ``(n,)`` per part of ``Outcome``."""
        index = np.ravel_multi_index((use, event, kill_policy, early_kill, recovery, already, split_ok), _SHAPE)
        return {name: column[index] for name, column in self.columns.items()}
