"""``unpoison_memory()``: take the mark off a page again.

**Models.** Refusals, pages given back to the allocator or left to their owner.

**Leaves out.** Rate limits of the log lines.

**Assumes.** Processes that have exited hold nothing.

**Sources.** mm/memory-failure.c ``unpoison_memory()`` of the profiles' kernels; recorded on 6.1.192.
"""

from __future__ import annotations

from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kernel import EINVAL, EIO, ENXIO, EOPNOTSUPP, Machine
from node_sim.hwpoison.page import Kind, Page

_KERNELS_OWN = (Kind.RESERVED, Kind.SLAB, Kind.COMPOUND, Kind.ZERO)


def unpoison(machine: Machine, page: Page, *, head: bool = False) -> int:
    """Unpoison a page and return the kernel's return value.

    Args:
        machine: Kernel, counters and log; changed.
        page: The page; changed.
        head: The first page of a hugetlb page is meant, which carries the flag for all of it.
    """
    profile = machine.profile
    if not profile.has_soft_offline:
        return EINVAL
    if page.kind in (Kind.ABSENT, Kind.OFFLINE):
        return EIO if profile.unpoison_locks else ENXIO
    locked = machine.hardware_failure_seen or page.kind is Kind.HUGE_ZERO
    if profile.unpoison_locks and locked:
        machine.step("unpoison_memory", "disabled after a real error")
        return EOPNOTSUPP
    reason = _refusal(page, head=head)
    if reason is not None:
        machine.step("unpoison_memory", reason)
        return profile.unpoison_refusal_errno
    machine.step("unpoison_memory", "mark taken off")
    machine.counted_pages -= max(len(page.bad_subpages), 1) if page.hugetlb else 1
    _give_back(page)
    return 0


def _refusal(page: Page, *, head: bool) -> str | None:
    if not page.poisoned or (page.hugetlb and page.subpage and not head):
        return "the page carries no mark"
    if page.kind in _KERNELS_OWN or (page.kind is Kind.KERNEL and page.table):
        return "a kernel page"
    if page.mapped:
        return "somebody maps it"
    file = page.cached_in
    if file is not None and (file.poisoned or file.lost_in_swap):
        return "it belongs to a file"
    return "it is in the swap cache" if page.swapcache and any(task.mappings for task in page.tasks) else None


def _give_back(page: Page) -> None:
    """Free the page where the handler held it, or its owner is gone."""
    page.poisoned = page.withdrawn = False
    page.bad_subpages.clear()
    page.lost_bytes = 0
    if page.held or not any(task.mappings for task in page.tasks):
        page.kind, page.backing, page.held, page.swapcache = Kind.FREE, Backing.NONE, False, False
        page.lru, page.order = True, 0
