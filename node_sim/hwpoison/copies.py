"""Kernel code that copies, compares or reads a page and meets its poison: which of it survives, by profile.

**Models.** Whether each copy is machine-check safe; for those that are, the page fault, errno or core file that comes
of it, and the error that is queued for the handler.

**Leaves out.** Copies of swap compression, device migration and shmem replacement, which are safe in no kernel. In
fleets nobody dumps core: processes die of nothing but bad memory there.

**Assumes.** The copy reads the bad cache line; the CPU has what safe copies need (``MachineFacts.safe_copies``).

**Sources.** The switches ``copy_*`` of ``catalog/kernels.py`` name the first release of each. mm/memory.c
``__wp_page_copy_user()``, ``do_cow_fault()``, ``copy_present_page()``; mm/hugetlb.c ``hugetlb_wp()``; mm/ksm.c
``ksm_might_need_to_copy()``; mm/khugepaged.c ``__collapse_huge_page_copy()``; mm/migrate.c ``__migrate_folio()``;
fs/coredump.c ``dump_page_copy()``; kernel/fork.c ``dup_mm()``; include/linux/highmem.h
``copy_mc_user_highpage()``, which queues the error since 6.11 (its callers did before). Read at 4.18, 5.10.198,
6.1.158, 6.12.33 and 7.1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from node_sim.catalog.profile import Profile
from node_sim.codes import KernelRead
from node_sim.errors import ConfigError
from node_sim.hwpoison import kernel
from node_sim.hwpoison.access import fail_access
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.memory_failure import memory_failure
from node_sim.hwpoison.page import Kind, Page
from node_sim.hwpoison.process import Pte, Received


class Copy(NamedTuple):
    """Kernel code that reads a page.

    Attributes:
        text: What happens.
        wants: What the page has to be, in words.
        suits: Says whether a page is that.
        outcome: What a copy that failed safely comes to, as words of ``_OUTCOMES``.
        queues: The error is queued for the handler.
    """

    text: str
    wants: str
    suits: Callable[[Page], bool]
    outcome: str
    queues: bool = True


_FILES = (Backing.FILE, Backing.BLOCK, Backing.SHMEM, Backing.RAMFS)


def _small(page: Page) -> bool:
    return page.kind is Kind.USER and page.lru and page.order == 0


def _private(page: Page) -> bool:
    """Whether a process maps it as memory of its own, and can read it."""
    first = page.tasks[0].first if page.tasks else None
    return first is not None and first.pte is Pte.PRESENT and not first.shared and first.readable


def _movable(page: Page) -> bool:
    return page.kind is Kind.USER and page.lru and page.splits and page.movable_data


COPIES: Final = {
    "cow": Copy(
        "the first process writes to a page that it shares with the second, its child: copy-on-write",
        "private memory of 4 KiB",
        lambda page: _small(page) and _private(page),
        "fault",
    ),
    "do-cow": Copy(
        "the first process writes to a private mapping of a file, whose cached page is copied (do_cow_fault)",
        "a page of a file",
        lambda page: (
            page.kind is Kind.USER
            and page.lru
            and page.cached_in is not None
            and bool(page.tasks)
            and page.backing in _FILES
        ),
        "fault",
    ),
    "fork": Copy(
        "the first process forks and the kernel copies a page that a device holds (copy_present_page)",
        "private memory of 4 KiB with an extra reference",
        lambda page: _small(page) and _private(page) and page.extra_references > 0,
        "fork",
    ),
    "hugetlb-cow": Copy(
        "the first process writes to a hugetlb page that it shares with the second, its child: copy-on-write",
        "a private hugetlb page",
        lambda page: page.hugetlb and _private(page),
        "fault",
    ),
    "ksm": Copy(
        "a page swapped in has to be copied for its user (ksm_might_need_to_copy)",
        "in the swap cache and not mapped",
        lambda page: page.swapcache and page.cached_in is None and any(task.maps(Pte.SWAP) for task in page.tasks),
        "fault",
    ),
    "ksmd": Copy(
        "the KSM daemon compares the page",
        "private memory of 4 KiB",
        lambda page: _small(page) and _private(page),
        "none",
    ),
    "khugepaged": Copy(
        "khugepaged collapses the page into a huge one",
        "private memory of 4 KiB without extra references",
        lambda page: _small(page) and _private(page) and not page.extra_references,
        "rolled back",
    ),
    "migration": Copy(
        "the kernel moves the page (compaction, NUMA balancing, soft offline)",
        "one that can be moved",
        _movable,
        "not moved",
    ),
    "coredump": Copy("the first process dumps core", "private memory that is mapped", _private, "core", queues=False),
    "read": Copy(
        "read() of the page cache",
        "a page of a file",
        lambda page: (
            page.cached_in is not None and page.kind is not Kind.DEVICE and page.backing is not Backing.SECRETMEM
        ),
        "none",
    ),
}
"""By name, which is that of the event less ``ar-`` and of the switch less ``copy_``."""


def check_copy(event: str, page: Page, page_name: str) -> None:
    """Check that kernel code of this kind reads a page like this.

    Raises:
        ConfigError: It does not.
    """
    copy = COPIES[event.removeprefix("ar-")]
    if page.poisoned or not copy.suits(page):
        msg = f"--event {event}: page {page_name} does not fit, expected {copy.wants}, not handled before; see --list"
        raise ConfigError(msg)


def begin(page: Page, event: str) -> None:
    """Bring a page into the state in which the copy begins.

    The writer of a private file mapping has no page yet, who swaps a page in does not map it, and a page that fork has
    to copy is held by a device.
    """
    first = page.tasks[0].first if page.tasks else None
    if event == "ar-do-cow" and first is not None:
        first.pte, first.shared = Pte.NONE, False
    elif event == "ar-ksm" and first is not None:
        first.pte = Pte.SWAP
    elif event == "ar-fork":
        page.extra_references = max(page.extra_references, 1)


def recovery_of(event: str, profile: Profile) -> str:
    """Return what a profile has for an event: "none" (no such copy), "panic" or "safe"."""
    found: str = getattr(profile, "copy_" + event.removeprefix("ar-").replace("-", "_"))
    return found


def kind_in(read: KernelRead, profile: Profile) -> KernelRead:
    """Return a kernel's read of a page as its version makes it: a copy that it does not know is other code's load."""
    if read.text in COPIES and recovery_of(read.text, profile) == "none":
        return KernelRead.OTHER
    return read


def survive(machine: kernel.Machine, page: Page, event: str) -> int:
    """Let a copy that failed safely end, then let the worker handle the error that it queued; return the errno."""
    name = event.removeprefix("ar-")
    copy = COPIES[name]
    machine.step("fixup_exception", "the copy stops: no signal, no call of the handler from the machine check")
    errno = _OUTCOMES[copy.outcome](machine, page)
    if copy.queues:
        machine.step("memory_failure_queue", "the copy queues the error: memory_failure(0) in a worker")
        heard = [len(task.received) for task in page.tasks]
        memory_failure(machine, page, kernel.MfCall())
        if copy.outcome == "fault":
            del page.tasks[0].received[heard[0] :]  # merges with the one that is pending
    else:
        machine.step("dump_user_range", "nobody is told of the error")
    return errno


def _fault(machine: kernel.Machine, page: Page) -> int:
    task = page.tasks[0]
    if task.first is not None:
        fail_access(machine, page, task, task.first, "do_wp_page")
    return 0


def _fork(machine: kernel.Machine, _page: Page) -> int:
    machine.step("copy_present_page", "fork() fails with ENOMEM; the parent goes on")
    return kernel.ENOMEM


def _not_moved(machine: kernel.Machine, _page: Page) -> int:
    machine.step("migrate_pages", "-EHWPOISON: not tried again, the old page stays mapped")
    return kernel.EBUSY


def _rolled_back(machine: kernel.Machine, _page: Page) -> int:
    machine.step("khugepaged", "SCAN_COPY_MC: rolled back, everything is mapped as before")
    return 0


def _core(machine: kernel.Machine, page: Page) -> int:
    machine.step("dump_user_range", "the core file ends before the page")
    page.tasks[0].kill(Received(machine.phase, "SIGABRT", "SI_TKILL", None, None, page.tasks[0].name))
    return 0


_OUTCOMES: Final[dict[str, Callable[[kernel.Machine, Page], int]]] = {
    "fault": _fault,
    "fork": _fork,
    "not moved": _not_moved,
    "rolled back": _rolled_back,
    "core": _core,
}
