"""By how much ``HardwareCorrupted`` of /proc/meminfo rises with a row, as the kernel of the host counts.

Kernels before 5.13 count a page when they mark it, and take that back where they clear the mark; later ones count with
the action line, and hugetlb pages with the list of their bad 4 KiB pages.

**Assumes.** What a row does not say is as the fleet has it: huge pages that cannot be split are of anonymous memory or
files; no page of these fails to be unmapped.

**Sources.** mm/memory-failure.c of the profiles' kernels: ``memory_failure()``, ``action_result()``,
``hugetlb_set_page_hwpoison()``. A test holds it against the handler itself, page by page and kernel by kernel.
"""

from __future__ import annotations

from typing import Final

from analysis.hosts.lives import Row
from node_sim.catalog.profile import Profile

UNCOUNTED: Final = ("already poisoned page", "non struct page pfn")
"""Action lines that raise no counter: of the kernels that print them, none counts them."""
_HUGE: Final = "hugetlb"
_SPLIT: Final = ("THP", "file")
"""How uses of pages begin that are part of larger ones that may be split."""


def is_counted(row: Row) -> bool:
    """Whether the action line of a row of ``memory_failures``, if it has one, raises the counters of its kernel."""
    return row["page_type"] is not None and row["page_type"] not in UNCOUNTED


def poisoned_pages(rules: Profile, row: Row, *, known: bool, beside: bool = False) -> int:
    """Return the pages that a row of ``memory_failures`` adds to HardwareCorrupted.

    Args:
        rules: What the kernel does.
        row: The row.
        known: Whether this boot had a row about the page before.
        beside: Whether it had one about another page of the same hugetlb page, which is still one.
    """
    huge = row["page_use"].startswith(_HUGE) and rules.hugetlb != "non lru"
    listed = int(huge and beside and not known and rules.hugetlb_again not in ("log", "lines"))
    if rules.counts == "action":
        return listed + is_counted(row)
    if known or (huge and beside):
        return listed
    return _marked_huge(rules, row) if huge else _marked(rules, row)


def _marked(rules: Profile, row: Row) -> int:
    """Return what a kernel that counts marks counts for a page that had none."""
    cleared = rules.thp == "cleared" and row["page_type"] is None and row["page_use"].startswith(_SPLIT)
    return int(not cleared)


def _marked_huge(rules: Profile, row: Row) -> int:
    """Return the same for a hugetlb page; a free one may be left at once, its count taken back."""
    left = rules.free_hugetlb_tail == "marked" and row["page_type"] is None and row["page_use"].endswith("free")
    return 0 if left else rules.hugetlb_counted_pages
