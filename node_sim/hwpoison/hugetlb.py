"""Early exits of a hugetlb page: free in the pool, isolated, filtered, too large.

**Models.** ``memory_failure_hugetlb()`` up to the unmapping, by profile.

**Leaves out.** Races between dissolving and allocation, the vmemmap optimisation.

**Assumes.** The list of raw pages can always be extended.

**Sources.** mm/memory-failure.c ``try_memory_failure_hugetlb()``, ``hugetlb_set_page_hwpoison()``; 3.10.105
``memory_failure()``; mm/hugetlb.c ``get_huge_page_for_hwpoison()``.
"""

from __future__ import annotations

from node_sim.codes import Result
from node_sim.hwpoison.kernel import Machine, report
from node_sim.hwpoison.page import ORDER_1G, Page
from node_sim.hwpoison.page_actions import dissolve


def handle_hugetlb(machine: Machine, page: Page) -> int | None:
    """Mark a hugetlb page bad for the first time; an errno where that ends the handling."""
    profile = machine.profile
    free = not page.mapped and page.cached_in is None
    if not page.migratable and profile.kernel_page in ("unknown", "get hwpoison"):
        machine.step("try_memory_failure_hugetlb", "neither free nor migratable")
        page.bad_subpages.add(page.subpage)
        page.poisoned = True
        text = "unknown page" if profile.kernel_page == "unknown" else "get hwpoison page"
        return report(machine, page, text, Result.IGNORED)
    if (free or profile.filters_used_hugetlb) and machine.drops(page):
        machine.step("hwpoison_filter", "dropped by the filter")
        return profile.filter_errno
    page.poisoned = True
    page.bad_subpages.add(page.subpage)
    page.migratable = False  # hugetlb_set_page_hwpoison() takes the flag away for good
    if profile.counts == "detection":
        machine.counted_pages += profile.hugetlb_counted_pages
    if free and page.subpage and profile.free_hugetlb_tail == "marked":
        machine.counted_pages -= profile.hugetlb_counted_pages
        machine.step("try_memory_failure_hugetlb", "its mark is taken for that of another 4 KiB page: nothing is done")
        return 0
    if free:
        return _free(machine, page)
    if page.order >= ORDER_1G and profile.gigantic == "ignored":
        machine.step("try_memory_failure_hugetlb", "larger than a page table entry of the middle level")
        return report(machine, page, "non-pmd-sized huge page", Result.IGNORED)
    machine.step("try_memory_failure_hugetlb", "in use")
    return None


def _free(machine: Machine, page: Page) -> int:
    """Handle a page that is free in the pool."""
    if machine.profile.hugetlb == "delayed":
        page.withdrawn = page.dissolves
        page.lost_bytes = page.extent_bytes if page.dissolves else 0
        machine.step("try_memory_failure_hugetlb", "off the pool" if page.dissolves else "not on a free list")
        return report(machine, page, "free huge", Result.DELAYED if page.dissolves else Result.IGNORED)
    good = dissolve(machine, page)
    if machine.profile.dissolve_ok == "any":
        return report(machine, page, "free huge page", Result.DELAYED)
    return report(machine, page, "free huge page", Result.RECOVERED if good else Result.FAILED)
