"""``unpoison_memory()``: take the mark off a page again.

**Models.** Refusals, pages given back to the allocator or left to their owner.

**Leaves out.** Rate limits of the log lines.

**Assumes.** Processes that have exited hold nothing.

**Sources.** mm/memory-failure.c ``unpoison_memory()`` of the profiles' kernels; recorded on 6.1.192.
"""

from __future__ import annotations

from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kernel import EINVAL, EOPNOTSUPP, Machine
from node_sim.hwpoison.page import Kind, Page

_PREFIXES = ("MCE: ", "Unpoison: ")
_PFN_FIRST = 2
_LINES = {
    "the page carries no mark": "page was already unpoisoned",
    "it is being handled": "memory failure is now running on",
    "somebody else holds it": "someone grabs the hwpoison page",
    "somebody maps it": "someone maps the hwpoison page",
    "it is in the swap cache": "someone grabs the hwpoison page",
}


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
        return profile.unpoison_bad_pfn_errno
    huge_zero = page.kind is Kind.HUGE_ZERO
    if profile.unpoison_locks and (machine.hardware_failure_seen or huge_zero):
        seen = machine.hardware_failure_seen
        _say(machine, page, "disabled after HW memory failure" if seen else "huge zero page is not supported")
        machine.step("unpoison_memory", "disabled after a real error" if seen else "the huge zero page")
        return EOPNOTSUPP
    reason = _refusal(machine, page, head=head)
    if reason is not None:
        if reason in _LINES:
            _say(machine, page, _LINES[reason])
        machine.step("unpoison_memory", reason)
        return profile.unpoison_refusal_errno
    held = page.held or profile.counts == "action"
    _say(machine, page, "software-unpoisoned page" if held else "software-unpoisoned free page")
    machine.step("unpoison_memory", "mark taken off")
    counted = profile.hugetlb_counted_pages if profile.counts == "detection" else max(len(page.bad_subpages), 1)
    machine.counted_pages -= counted if page.hugetlb else 1
    _give_back(page)
    return 0


def _refusal(machine: Machine, page: Page, *, head: bool) -> str | None:
    if not page.poisoned or (page.hugetlb and page.subpage and not head):
        return "the page carries no mark"
    if not machine.profile.unpoison_checks:
        return None
    file = page.cached_in
    held_twice = machine.profile.kernel_page == "table"  # kernels that handle them keep a reference of their own
    if page.kind in (Kind.SLAB, Kind.COMPOUND):
        return "it is being handled" if held_twice else "a kernel page"
    if page.kind is Kind.KERNEL and page.table and not held_twice:
        return "a kernel page"
    in_file = file is not None and (file.poisoned or file.lost_in_swap)
    if in_file or page.table or page.kind in (Kind.RESERVED, Kind.ZERO):
        return "somebody else holds it"
    if page.mapped:
        return "somebody maps it"
    in_use = page.swapcache and any(task.mappings for task in page.tasks)
    return "it is in the swap cache" if in_use else None


def _say(machine: Machine, page: Page, text: str) -> None:
    """Print a line in the wording of the profile."""
    wording = machine.profile.unpoison_texts
    if wording == _PFN_FIRST:
        machine.log.append(f"Unpoison: {page.pfn:#x}: {text}")
    else:
        capital = text if text.startswith(("huge", "the")) else text[0].upper() + text[1:]
        machine.log.append(f"{_PREFIXES[wording]}{capital} {page.pfn:#x}")


def _give_back(page: Page) -> None:
    """Free the page where the handler held it, or its owner is gone."""
    page.poisoned = page.withdrawn = False
    page.bad_subpages.clear()
    page.lost_bytes = 0
    if page.held or not any(task.mappings for task in page.tasks):
        page.kind, page.backing, page.held, page.swapcache = Kind.FREE, Backing.NONE, False, False
        page.lru, page.order = True, 0
