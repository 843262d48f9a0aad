"""``soft_offline_page()``: move the data away, then take the page out of use. Nobody is signalled.

**Models.** Refusals and their errno, free pages, clean page cache, migration, repeated calls,
vm.enable_soft_offline, the filter.

**Leaves out.** Failing migration for lack of memory, except for huge pages without a spare.

**Assumes.** Migration succeeds for every movable page without extra references.

**Sources.** mm/memory-failure.c ``soft_offline_page()``, ``soft_offline_in_use_page()``; recorded on 6.1.192.
"""

from __future__ import annotations

from node_sim.hwpoison.guest import Backing, Kind, Page, Pte
from node_sim.hwpoison.memory_failure import EBUSY, EIO, ENXIO, EOPNOTSUPP, GIGANTIC_ORDER, Machine

ENOMEM = -12


def soft_offline(machine: Machine, page: Page, *, spare_huge_page: bool = True) -> int:
    """Soft-offline a page and return the kernel's return value.

    Args:
        machine: Kernel, settings, counters and log; changed.
        page: The page; changed.
        spare_huge_page: The pool has a free huge page to move to.
    """
    profile = machine.profile
    refused = _refusal(machine, page)
    if refused is not None:
        return refused
    if page.poisoned:
        machine.step("soft_offline_page", "already poisoned")
        if profile.soft_already_errno == 0:
            machine.log.append(f"soft_offline_page: {page.pfn:#x} page already poisoned")
        return profile.soft_already_errno
    if page.kind in (Kind.FREE, Kind.PCP) or (page.hugetlb and not page.mapped and page.cached_in is None):
        return _withdraw(machine, page, "taken off the free lists")
    if page.kind not in (Kind.USER, Kind.HUGETLB) or not page.lru:
        machine.say(page, "unhandlable page.")
        return EIO
    if machine.filter_enabled and machine.filtered(page):
        return EOPNOTSUPP
    return _move(machine, page, spare_huge_page=spare_huge_page)


def _refusal(machine: Machine, page: Page) -> int | None:
    if page.kind is Kind.ABSENT:
        return ENXIO
    if page.kind is Kind.OFFLINE:
        return EIO
    if machine.profile.has_enable_soft_offline and not machine.enable_soft_offline:
        machine.log.append("Soft offline: disabled by /proc/sys/vm/enable_soft_offline")
        return EOPNOTSUPP
    return None


def _move(machine: Machine, page: Page, *, spare_huge_page: bool) -> int:
    profile = machine.profile
    if page.order and not page.hugetlb:
        if not page.splits:
            machine.log.append(f"soft offline: {page.pfn:#x}: thp split failed")
            return EBUSY
        page.order = 0
        if page.backing is not Backing.ANONYMOUS:
            for task in page.tasks:
                task.pte = Pte.NONE
    if page.extra_references or page.backing in (Backing.RAMFS, Backing.METADATA):
        machine.step("migrate_pages", "the page cannot be moved")
        return profile.soft_migration_errno
    if page.cached_in is not None and page.cached_in.truncated:
        return EBUSY
    if page.hugetlb and page.order >= GIGANTIC_ORDER and not spare_huge_page:
        return ENOMEM
    for task in page.tasks:
        task.pte = Pte.MOVED if task.pte is Pte.PRESENT else task.pte
    page.order = 0 if page.hugetlb else page.order
    return _withdraw(machine, page, "data moved to another page")


def _withdraw(machine: Machine, page: Page, how: str) -> int:
    machine.step("soft_offline_page", how)
    page.poisoned = page.withdrawn = True
    page.kind, page.swapcache = Kind.USER, False
    machine.hardware_corrupted_pages += 1
    return 0
