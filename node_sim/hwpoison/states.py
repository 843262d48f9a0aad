"""Page flags, the ordered rows of ``error_states[]``, and what the pages of each use look like to the handler.

**Models.** ``error_states[]`` of kernel 6.1: the first row whose masked flags match names the page type and the
handler.

**Leaves out.** Other kernel profiles, pages with extra references, races.

**Assumes.** An mlocked page loses PG_mlocked when it is unmapped, so it reports as a plain LRU page (recorded
on 6.1.192).

**Sources.** mm/memory-failure.c, Linux 6.1: ``error_states[]``, ``me_*()``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple

from node_sim.codes import PageType, PageUse, Result


class Flag(enum.IntFlag):
    """Page flags the state table looks at; SWAPCACHE stands for PG_swapcache together with PG_swapbacked."""

    NONE = 0
    RESERVED = enum.auto()
    SLAB = enum.auto()
    HEAD = enum.auto()
    SWAPCACHE = enum.auto()
    MLOCKED = enum.auto()
    UNEVICTABLE = enum.auto()
    LRU = enum.auto()
    DIRTY = enum.auto()


class StateRow(NamedTuple):
    """One row of the state table."""

    mask: Flag
    match: Flag
    page_type: PageType
    result: Result


_F = Flag
ERROR_STATES: Final = (
    StateRow(_F.RESERVED, _F.RESERVED, PageType.RESERVED_KERNEL, Result.IGNORED),
    StateRow(_F.SLAB, _F.SLAB, PageType.SLAB, Result.IGNORED),
    StateRow(_F.HEAD, _F.HEAD, PageType.HUGE, Result.RECOVERED),
    StateRow(_F.SWAPCACHE | _F.DIRTY, _F.SWAPCACHE | _F.DIRTY, PageType.DIRTY_SWAPCACHE, Result.DELAYED),
    StateRow(_F.SWAPCACHE | _F.DIRTY, _F.SWAPCACHE, PageType.CLEAN_SWAPCACHE, Result.RECOVERED),
    StateRow(_F.MLOCKED | _F.DIRTY, _F.MLOCKED | _F.DIRTY, PageType.DIRTY_MLOCKED_LRU, Result.RECOVERED),
    StateRow(_F.MLOCKED | _F.DIRTY, _F.MLOCKED, PageType.CLEAN_MLOCKED_LRU, Result.RECOVERED),
    StateRow(_F.UNEVICTABLE | _F.DIRTY, _F.UNEVICTABLE | _F.DIRTY, PageType.DIRTY_UNEVICTABLE_LRU, Result.RECOVERED),
    StateRow(_F.UNEVICTABLE | _F.DIRTY, _F.UNEVICTABLE, PageType.CLEAN_UNEVICTABLE_LRU, Result.RECOVERED),
    StateRow(_F.LRU | _F.DIRTY, _F.LRU | _F.DIRTY, PageType.DIRTY_LRU, Result.RECOVERED),
    StateRow(_F.LRU | _F.DIRTY, _F.LRU, PageType.CLEAN_LRU, Result.RECOVERED),
    StateRow(_F.NONE, _F.NONE, PageType.UNKNOWN, Result.FAILED),
)
"""Rows in the kernel's order; the last catches everything. Results are those of the row's handler without extra
references: ``me_kernel`` Ignored, ``me_unknown`` Failed, ``me_swapcache_dirty`` Delayed, all others Recovered."""


def find_state(flags: Flag) -> StateRow:
    """Return the first row that matches."""
    return next(row for row in ERROR_STATES if flags & row.mask == row.match)


@dataclass(frozen=True)
class Situation:
    """What the handler finds at a page.

    Attributes:
        flags: Flags after unmapping.
        free: In the buddy allocator or on a per-CPU list.
        handlable: On the LRU or a huge page; other pages are not handled.
        mapped: By a page table.
        huge: 2 MiB page that must be split first.
        ksm: Merged page, which 6.1 cannot unmap.
        file: Belongs to a file on a writeback file system.
        lsb: log2 of the extent a signal reports.
    """

    flags: Flag = Flag.NONE
    free: bool = False
    handlable: bool = True
    mapped: bool = False
    huge: bool = False
    ksm: bool = False
    file: bool = False
    lsb: int = 12


_LRU: Final = Flag.LRU
_DIRTY: Final = Flag.LRU | Flag.DIRTY

SITUATIONS: Final[dict[PageUse, Situation]] = {
    PageUse.FREE: Situation(free=True, handlable=False),
    PageUse.RESERVED: Situation(Flag.RESERVED, handlable=False),
    PageUse.SLAB: Situation(Flag.SLAB, handlable=False),
    PageUse.PAGE_TABLE: Situation(handlable=False),
    PageUse.ANONYMOUS: Situation(_DIRTY, mapped=True),
    PageUse.THP: Situation(_DIRTY, mapped=True, huge=True),
    PageUse.HUGETLB: Situation(Flag.HEAD | Flag.DIRTY, mapped=True, lsb=21),
    PageUse.FILE_CLEAN: Situation(_LRU, file=True),
    PageUse.FILE_CLEAN_MAPPED: Situation(_LRU, mapped=True, file=True),
    PageUse.FILE_DIRTY: Situation(_DIRTY, file=True),
    PageUse.FILE_DIRTY_MAPPED: Situation(_DIRTY, mapped=True, file=True),
    PageUse.TMPFS: Situation(_DIRTY, mapped=True),
    PageUse.MLOCKED: Situation(_DIRTY, mapped=True),
    PageUse.KSM: Situation(_DIRTY, mapped=True, ksm=True),
    PageUse.SWAPCACHE_DIRTY: Situation(_DIRTY | Flag.SWAPCACHE, mapped=True),
    PageUse.SWAPCACHE_CLEAN: Situation(_LRU | Flag.SWAPCACHE, mapped=True),
}
"""Every page use of the fleet as the handler of 6.1 sees it."""
