"""``memory_failure()`` of kernel 6.1: one readable scalar definition, and the lookup table enumerated from it.

**Models.** The panic of ``vm.memory_failure_recovery=0``, repeated errors, free, kernel, huge, THP, KSM, file,
tmpfs and swap cache pages, the action line, errno, signals, the I/O error of a dirty file page and the memory
lost.

**Leaves out.** Other profiles, soft offline, unpoison, filters, DAX, 1 GiB pages, races and retries.

**Assumes.** A 2 MiB hugetlb page is private and can be dissolved, so 4 KiB are lost and the pool shrinks.

**Sources.** mm/memory-failure.c, Linux 6.1.20: ``memory_failure()``, ``hwpoison_user_mappings()``,
``action_result()``.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import KillPolicy, PageType, PageUse, Result
from node_sim.hwpoison.kill import EHWPOISON, Event, Kill, Signal, Unmapping, decide_kill, is_early
from node_sim.hwpoison.states import SITUATIONS, Flag, Situation, find_state
from node_sim.records import Ints

EBUSY = -16
NO_LINE = -1
"""Stored in place of page type and result where no action line is printed."""


class Found(NamedTuple):
    """What handling came to, before signals."""

    page_type: PageType | None
    result: Result | None
    errno: int
    unmapping: Unmapping


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


def _unmap(page: Situation) -> Unmapping:
    """Take the page out of the page tables (``hwpoison_user_mappings()``)."""
    if not page.mapped:
        return Unmapping.NOT_MAPPED
    if page.ksm:
        return Unmapping.STILL_MAPPED
    return Unmapping.HWPOISON_ENTRY if page.flags & Flag.DIRTY else Unmapping.REFAULT


def handle_page(page: Situation, *, split_ok: bool) -> Found:
    """Handle a page that is not poisoned yet: the flow of ``memory_failure()`` after its early exits."""
    if page.free:
        return Found(PageType.BUDDY, Result.RECOVERED, 0, Unmapping.NOT_MAPPED)
    if not page.handlable:
        return Found(PageType.UNKNOWN, Result.IGNORED, EBUSY, Unmapping.NOT_MAPPED)
    if page.huge and not split_ok:
        return Found(PageType.UNSPLIT_THP, Result.IGNORED, EBUSY, Unmapping.STILL_MAPPED)
    unmapping = _unmap(page)
    if unmapping is Unmapping.STILL_MAPPED:
        return Found(PageType.UNMAP_FAILED, Result.IGNORED, EBUSY, unmapping)
    row = find_state(page.flags)
    errno = 0 if row.result in (Result.RECOVERED, Result.DELAYED) else EBUSY
    return Found(row.page_type, row.result, errno, unmapping)


def memory_failure(
    use: PageUse,
    event: Event,
    kill_policy: KillPolicy,
    *,
    early_kill: bool,
    recovery: bool,
    already: bool = False,
    split_ok: bool = True,
) -> Outcome:
    """Say what ``memory_failure()`` does about a page.

    Args:
        use: What the page is used for.
        event: How the error came.
        kill_policy: ``prctl`` policy of the owner.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        already: Whether the page is poisoned already (and was left in use).
        split_ok: Whether a huge page can be split.
    """
    page = SITUATIONS[use]
    if not recovery:
        return Outcome(True, None, None, 0, Signal.NONE, False, False, False, page.lsb)
    if already:
        found = Found(None, None, EHWPOISON, Unmapping.STILL_MAPPED if page.mapped else Unmapping.NOT_MAPPED)
    else:
        found = handle_page(page, split_ok=split_ok)
    early = is_early(kill_policy, early_kill)
    kill: Kill = decide_kill(event, found.errno, found.unmapping, already=already, early=early)
    handled = found.errno == 0
    return Outcome(
        panic=False,
        page_type=found.page_type,
        result=found.result,
        errno=found.errno,
        signal=kill.signal,
        late=kill.late,
        eio=handled and page.file and bool(page.flags & Flag.DIRTY),
        withdrawn=handled,
        lsb=page.lsb,
    )


_SHAPE = (len(PageUse), len(Event), len(KillPolicy), 2, 2, 2, 2)


class HandlerTable:
    """``memory_failure()`` enumerated over its whole domain: one integer column for each part of the outcome."""

    def __init__(self) -> None:
        """Enumerate the scalar definition."""
        rows = []
        switches = itertools.product((False, True), repeat=4)
        for use, event, policy, flags in itertools.product(PageUse, Event, KillPolicy, switches):
            early_kill, recovery, already, split_ok = flags
            outcome = memory_failure(
                use, event, policy, early_kill=early_kill, recovery=recovery, already=already, split_ok=split_ok
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
