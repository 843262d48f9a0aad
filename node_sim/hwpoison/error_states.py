"""The ordered state table: page flags, first match wins, last row is the catch-all.

**Models.** ``error_states[]`` with the texts of all versions.

**Leaves out.** Rows of 2009 that cannot be reached (free, swap-backed).

**Assumes.** SWAPCACHE stands for PG_swapcache together with PG_swapbacked, as the kernel tests it since 4.9.

**Sources.** mm/memory-failure.c ``error_states[]``, ``identify_page_state()`` of the profiles' kernels.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from node_sim.catalog.profile import Profile
from node_sim.hwpoison.page import Kind, Page


class Flag(enum.IntFlag):
    """Page flags that the table looks at."""

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
    """A row: ``texts`` are the page type in the wording of 2009, of 2013 and since 2015."""

    mask: Flag
    match: Flag
    texts: tuple[str, str, str]
    handler: str


_F = Flag


def _row(mask: Flag, match: Flag, handler: str, text: str, in_2009: str | None = None) -> StateRow:
    return StateRow(mask, match, (in_2009 or text, text, f"{text} page"), handler)


ERROR_STATES: Final = (
    _row(_F.RESERVED, _F.RESERVED, "kernel", "reserved kernel"),
    _row(_F.SLAB, _F.SLAB, "kernel", "kernel slab"),
    _row(_F.HEAD, _F.HEAD, "huge", "huge"),
    _row(_F.SWAPCACHE | _F.DIRTY, _F.SWAPCACHE | _F.DIRTY, "swap dirty", "dirty swapcache", "swapcache"),
    _row(_F.SWAPCACHE | _F.DIRTY, _F.SWAPCACHE, "swap clean", "clean swapcache", "swapcache"),
    # In 2009 the rows of unevictable pages stood before those of mlocked ones, which are unevictable, too.
    _row(_F.MLOCKED | _F.DIRTY, _F.MLOCKED | _F.DIRTY, "cache dirty", "dirty mlocked LRU", "unevictable LRU"),
    _row(_F.MLOCKED | _F.DIRTY, _F.MLOCKED, "cache clean", "clean mlocked LRU", "unevictable LRU"),
    _row(
        _F.UNEVICTABLE | _F.DIRTY, _F.UNEVICTABLE | _F.DIRTY, "cache dirty", "dirty unevictable LRU", "unevictable LRU"
    ),
    _row(_F.UNEVICTABLE | _F.DIRTY, _F.UNEVICTABLE, "cache clean", "clean unevictable LRU", "unevictable LRU"),
    _row(_F.LRU | _F.DIRTY, _F.LRU | _F.DIRTY, "cache dirty", "dirty LRU", "LRU"),
    _row(_F.LRU | _F.DIRTY, _F.LRU, "cache clean", "clean LRU"),
    StateRow(_F.NONE, _F.NONE, ("unknown page state", "unknown page state", "unknown page"), "unknown"),
)
"""Rows in the kernel's order."""


def state_flags(page: Page, profile: Profile) -> Flag:
    """Return the flags of a page as the state table sees them, after unmapping."""
    flags = Flag.NONE
    if page.kind in (Kind.RESERVED, Kind.ZERO, Kind.HUGE_ZERO, Kind.DEVICE, Kind.DEVICE_PRIVATE, Kind.OFFLINE):
        flags |= Flag.RESERVED
    if page.kind in (Kind.SLAB, Kind.COMPOUND):
        flags |= Flag.SLAB
    if page.hugetlb:
        flags |= Flag.HEAD
    if page.kind is Kind.USER and page.lru:
        flags |= Flag.LRU
        flags |= Flag.SWAPCACHE if page.swapcache and page.swapbacked else Flag.NONE
        flags |= Flag.UNEVICTABLE if page.unevictable else Flag.NONE
        flags |= Flag.MLOCKED if page.mlocked and profile.mlock_survives else Flag.NONE
    return flags | (Flag.DIRTY if page.dirty else Flag.NONE)


def find_state(flags: Flag) -> StateRow:
    """Return the first row that matches."""
    return next(row for row in ERROR_STATES if flags & row.mask == row.match)
