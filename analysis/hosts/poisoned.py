"""By how much ``HardwareCorrupted`` of /proc/meminfo rises with a row, as the kernel of the host counts.

A test holds it against the handler itself, page by page and kernel by kernel.

**Sources.** mm/memory-failure.c: kernels before 5.13 count when they mark a page, later ones with the action line.
"""

from __future__ import annotations

from typing import Final

from analysis.hosts.lives import Row
from node_sim.catalog.profile import Profile

UNCOUNTED: Final = ("already poisoned page", "already poisoned", "non struct page pfn", "memory outside kernel control")
"""Action lines that raise no counter."""


def poisoned_pages(rules: Profile, row: Row, *, known: bool) -> int:
    """Return the pages that a row of ``memory_failures`` adds to HardwareCorrupted.

    Args:
        rules: What the kernel does.
        row: The row.
        known: Whether this boot had a row about the page before.
    """
    huge = row["page_use"].startswith("hugetlb")
    if known or row["page_type"] in UNCOUNTED:
        return 0
    if row["page_type"] is None:  # another 4 KiB page of a huge page that is known to be bad
        return int(huge and rules.hugetlb_again not in ("log", "lines"))
    return rules.hugetlb_counted_pages if huge and rules.counts == "detection" else 1
