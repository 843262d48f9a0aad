"""The interfaces through which errors reach the handler: madvise, corrupt-pfn, hard_offline_page.

**Models.** What each does before it calls the handler, the flags it passes, and what it makes of the answer.

**Leaves out.** Parsing of what is written to the files.

**Assumes.** One page of a range at a time.

**Sources.** mm/madvise.c ``madvise_inject_error()``; mm/hwpoison-inject.c ``hwpoison_inject()``;
drivers/base/memory.c ``hard_offline_page_store()``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node_sim.hwpoison.access import ADDRESS, fault
from node_sim.hwpoison.file import ZEROS, Backing
from node_sim.hwpoison.kernel import EFAULT, EINVAL, ENXIO, EOPNOTSUPP, EPERM, Machine, MfCall
from node_sim.hwpoison.memory_failure import memory_failure
from node_sim.hwpoison.page import Kind, Page
from node_sim.hwpoison.process import Pte, Task
from node_sim.hwpoison.soft_offline import soft_offline

_AT_PFN = "Injecting memory failure at pfn {:#x}"
_BY_ADVICE = ("page {:x} at {:x}", "page {:#x} at {:#x}", "pfn {:#x} at process virtual address {:#x}")
_FREE = (Kind.FREE, Kind.PCP, Kind.TAIL)


def _unfiltered(errno: int) -> int:
    return 0 if errno == EOPNOTSUPP else errno


def corrupt_pfn(machine: Machine, page: Page) -> int:
    """Write a page's number to debugfs hwpoison/corrupt-pfn; return the errno of the write."""
    how = machine.profile.corrupt_pfn
    if page.kind is Kind.ABSENT and machine.profile.has_soft_offline:
        machine.step("hwpoison_inject", "no such page")
        return ENXIO
    if machine.filter_enabled:
        free = page.kind is Kind.FREE and machine.profile.filter_takes_free
        known = page.hugetlb or free or (page.kind is Kind.USER and page.lru)
        if not known or machine.drops(replace(page, subpage=0)):  # it asks about the first page of a huge one
            machine.step("hwpoison_inject", "dropped by the filter")
            return 0
    if page.kind in _FREE and (how == "holds" or (how == "pretends" and machine.filter_enabled)):
        machine.step("hwpoison_inject", "no reference can be taken: nothing is done")
        return 0
    old = machine.profile.injection_texts == 0
    machine.log.append(f"Injecting memory failure at pfn {page.pfn:x}" if old else _AT_PFN.format(page.pfn))
    pretended = how == "pretends" and not machine.filter_enabled
    call = MfCall(held=how != "calls", pretended=pretended, simulated=True)
    return _unfiltered(memory_failure(machine, page, call))


def hard_offline(machine: Machine, page: Page) -> int:
    """Write a page's address to sysfs hard_offline_page; return the errno of the write."""
    return _unfiltered(memory_failure(machine, page, MfCall(simulated=True)))


def madvise(
    machine: Machine, page: Page, task: Task, *, soft: bool, privileged: bool = True, spare_huge_page: bool = True
) -> int:
    """Let a process that maps the page call madvise with MADV_HWPOISON or MADV_SOFT_OFFLINE; return its errno.

    Args:
        machine: Kernel, counters and log; changed.
        page: The page; changed.
        task: The caller.
        soft: MADV_SOFT_OFFLINE.
        privileged: The caller has CAP_SYS_ADMIN.
        spare_huge_page: The pool has a free huge page to move to.
    """
    mapping = task.first
    if not privileged:
        machine.step("madvise_inject_error", "needs CAP_SYS_ADMIN")
        return EPERM
    secret = page.backing is Backing.SECRETMEM  # get_user_pages() refuses it
    if mapping is None or not mapping.readable or secret or fault(machine, page, mapping) is not None:
        machine.step("madvise_inject_error", "the page cannot be looked up")
        return EFAULT
    if mapping.pte is Pte.MOVED:
        return _with_page_now(
            machine, page, task, lambda now: _hit(machine, now, task, soft=soft, spare=spare_huge_page)
        )
    return _hit(machine, page, task, soft=soft, spare=spare_huge_page)


def _with_page_now(machine: Machine, page: Page, task: Task, call: Callable[[Page], int]) -> int:
    """Call something with the page that has taken the place of the one that used to be mapped."""
    mapping = task.first
    assert mapping is not None
    cached = page.file is not None and mapping.private is None
    users = [one for one in page.tasks if one is task or (cached and one.maps(Pte.MOVED))]
    now = Page(
        pfn=page.pfn + 1,
        tasks=users,
        file=page.file if cached else None,
        kind=Kind.ZERO if not cached and mapping.private == ZEROS else Kind.USER,
        backing=page.file.backing if cached and page.file is not None else Backing.ANONYMOUS,
        dirty=not mapping.swapped_in
        and (not cached or (page.file is not None and page.file.cached != page.file.stored)),
        swapcache=mapping.swapped_in,
    )
    machine.step("madvise_inject_error", f"another page is mapped there now: {now.kind.value}")
    for entry in (one.first for one in users):
        if entry is not None:
            entry.pte = Pte.PRESENT
    errno = call(now)
    for entry in (one.first for one in users):
        if entry is not None and entry.pte is Pte.PRESENT:
            entry.pte = Pte.MOVED
    return errno


def _hit(machine: Machine, page: Page, task: Task, *, soft: bool, spare: bool) -> int:
    if soft and not machine.profile.has_soft_offline:
        machine.step("madvise_inject_error", "this kernel has no such advice")
        return EINVAL
    verb = "Soft offlining" if soft else "Injecting memory failure for"
    where = _BY_ADVICE[machine.profile.injection_texts].format(page.pfn, ADDRESS)
    machine.log.append(f"{verb} {where}")
    if soft:
        errno = soft_offline(machine, page, spare_huge_page=spare)
        return errno if machine.profile.madvise_reports_errors else 0
    call = MfCall(machine.profile.madvise_is_ar, held=True, simulated=True, current=task)
    errno = _unfiltered(memory_failure(machine, page, call))
    return errno if machine.profile.madvise_reports_errors else 0
