"""``soft_offline_page()``: move the data away, then take the page out of use. Nobody is signalled.

**Models.** Refusals and their errno, free pages, clean page cache, migration, repeated calls,
vm.enable_soft_offline, the filter.

**Leaves out.** Failing migration for lack of memory, except for huge pages without a spare.

**Assumes.** Migration succeeds for every movable page without extra references.

**Sources.** mm/memory-failure.c ``soft_offline_page()``, ``soft_offline_in_use_page()``; recorded on 6.1.192.
"""

from __future__ import annotations

from node_sim.hwpoison.file import WRITES_BACK, Backing
from node_sim.hwpoison.kernel import EBUSY, EINVAL, EIO, ENOMEM, ENXIO, EOPNOTSUPP, Machine
from node_sim.hwpoison.page import KERNEL_OWNED, ORDER_1G, Kind, Page
from node_sim.hwpoison.process import Pte
from node_sim.units import PAGE_BYTES

_PAGE_FLAGS = {Kind.SLAB: 1 << 7, Kind.COMPOUND: 1 << 7, Kind.RESERVED: 1 << 10}
_LAST_TEXTS = 3
_PREFIXES = ("soft offline: ", "soft offline: ", "soft offline: ", "Soft offline: ")
_BY_FUNCTION = ("soft offline: ", "soft_offline_page: ", "soft_offline_page: ", "Soft offline: ")
_INVALIDATED = ("soft_offline: ", "soft_offline: ", "soft_offline: ", "Soft offline: ")


def soft_offline(machine: Machine, page: Page, *, spare_huge_page: bool = True) -> int:
    """Soft-offline a page and return the kernel's return value.

    Args:
        machine: Kernel, settings, counters and log; changed.
        page: The page; changed.
        spare_huge_page: The pool has a free huge page to move to.
    """
    refused = _refusal(machine, page)
    if refused is not None:
        machine.step("soft_offline_page", "refused")
        return refused
    if machine.profile.filter_errno and machine.drops(page):  # soft offline heeds it since 5.19, which has that errno
        machine.step("hwpoison_filter", "dropped by the filter")
        return EOPNOTSUPP
    if page.kind in (Kind.FREE, Kind.PCP) or (page.hugetlb and not page.mapped and page.cached_in is None):
        page.withdrawn = True
        return _withdraw(machine, page, "taken off the free lists")
    return _in_use(machine, page, spare_huge_page=spare_huge_page)


def _refusal(machine: Machine, page: Page) -> int | None:
    profile = machine.profile
    if not profile.has_soft_offline:
        return EINVAL
    if page.kind in (Kind.ABSENT, Kind.SGX):
        return ENXIO
    if page.kind is Kind.OFFLINE:
        return EIO
    if profile.has_enable_soft_offline and not machine.enable_soft_offline:
        machine.log.append("Soft offline: disabled by /proc/sys/vm/enable_soft_offline")
        return EOPNOTSUPP
    neighbour = page.hugetlb and page.subpage not in page.bad_subpages and profile.hugetlb_again != "log"
    if page.poisoned and not neighbour:  # the mark of a huge page is on its first 4 KiB page
        _say(machine, page, "page already poisoned", _BY_FUNCTION)
        return profile.soft_already_errno
    handlable = page.kind not in (*KERNEL_OWNED, Kind.DEVICE, Kind.DEVICE_PRIVATE, Kind.DEVICE_METADATA)
    stranded = page.kind is Kind.PCP and not profile.drains_pcp  # neither in use nor in the buddy allocator
    if ((handlable and page.lru) or page.movable) and not stranded:
        return None
    flags = _PAGE_FLAGS.get(page.kind, 0)
    if profile.soft_texts == 0 and stranded:
        machine.log.append(f"__get_any_page: {page.pfn:#x}: unknown zero refcount page type {flags:x}")
    elif profile.soft_texts == 0:
        machine.log.append(f"soft_offline: {page.pfn:#x}: unknown non LRU page type {flags:x}")
    elif profile.soft_texts == 1:
        machine.log.append(f"soft_offline_page: {page.pfn:#x}: unknown page type: {flags:x}")
    else:
        machine.say(page, "unhandlable page.")
    return EIO


def _say(machine: Machine, page: Page, text: str, prefixes: tuple[str, ...] = _PREFIXES) -> None:
    colon = ":" if machine.profile.soft_texts == _LAST_TEXTS or not text.startswith("page already") else ""
    machine.log.append(f"{prefixes[machine.profile.soft_texts]}{page.pfn:#x}{colon} {text}")


def _in_use(machine: Machine, page: Page, *, spare_huge_page: bool) -> int:
    if page.order and not page.hugetlb:
        if page.backing is not Backing.ANONYMOUS and not machine.profile.splits_file_thp:
            machine.say(page, "non anonymous thp")
            machine.step("try_to_split_thp_page", "huge pages of files are not split")
            return EBUSY
        if not page.splittable or page.minimum_order:
            _say(machine, page, "thp split failed")
            machine.step("try_to_split_thp_page", "cannot be split")
            return EBUSY
        page.order = 0
        if page.backing is not Backing.ANONYMOUS:
            page.replace_entries(Pte.NONE)
    if page.cached_in is not None and page.cached_in.truncated:
        _say(machine, page, "isolation failed, page count 2, type truncated")
        return EBUSY
    if not page.mapped and not page.dirty and page.backing in WRITES_BACK and not page.buffers:
        return _invalidate(machine, page)
    return _migrate(machine, page, spare_huge_page=spare_huge_page)


def _invalidate(machine: Machine, page: Page) -> int:
    """Drop clean page cache that nobody maps; it is read again when it is wanted."""
    assert page.cached_in is not None
    page.cached_in.cached = None
    _say(machine, page, "invalidated", _INVALIDATED)
    return _withdraw(machine, page, "clean page cache: dropped")


def _migrate(machine: Machine, page: Page, *, spare_huge_page: bool) -> int:
    if page.hugetlb and page.order >= ORDER_1G and not spare_huge_page:
        _say(machine, page, f"hugepage migration failed {ENOMEM}")
        machine.step("migrate_pages", "no page of 1 GiB to move to")
        return ENOMEM
    if page.hugetlb and not page.migratable and machine.profile.hugetlb_again != "log":
        _say(machine, page, "page migration failed 1")
        machine.step("migrate_pages", "the huge page is not migratable")
        return EBUSY
    if not page.movable_data:
        _say(machine, page, "page migration failed 1")
        machine.step("migrate_pages", "the page cannot be moved")
        return machine.profile.soft_migration_errno
    page.replace_entries(Pte.MOVED)
    page.order = 0
    return _withdraw(machine, page, "data moved to another page")


def _withdraw(machine: Machine, page: Page, how: str) -> int:
    machine.step("soft_offline_page", how)
    page.poisoned = page.withdrawn = page.held = True
    page.kind, page.swapcache, page.lru, page.backing = Kind.USER, False, False, Backing.NONE
    page.lost_bytes = PAGE_BYTES
    machine.counted_pages += 1
    return 0
