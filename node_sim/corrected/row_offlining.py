"""Pages taken offline with their rows: a daemon that counts by row asks for all pages that have lines of a row.

**Models.** When errors of a fault take a row to its limit (``row_counts.py``), the daemon asks the kernel to
soft-offline every page with lines of it, also those that the fault does not touch, in the order of their numbers and
each once in a boot, whichever row or fault led to it. Errors of pages out of use count no more, so a row some of whose
pages ``memory_failure()`` has taken reaches its limit later, or never.

**Leaves out.** Decay of counters between windows, limits on offlined pages; errors of two faults in one row are counted
apart.

**Assumes.** Two rows share all their pages or none, for a page has lines of the same rows as the next one of a row: so
the first row of those that share pages takes them all, and what the others count does not matter any more. What the
kernel answers: ``asking.py``.

**Sources.** rasdaemon since 2024, ``ras-page-isolation.c`` (ROW_CE_*); Intel's memory resilience technology.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import BY_ROW, Ground, Offlines, question_of
from node_sim.corrected.buckets import aged_reaches
from node_sim.corrected.eras import Eras, Spans, WindowIndex
from node_sim.corrected.marks import Marks, Poisoned, entries_of, merge_marks, name_page, pages_in_eras
from node_sim.corrected.row_counts import (
    Reaches,
    RowPages,
    Watched,
    hard_reaches,
    reaches_despite,
    rows_of_pages,
    soft_reaches,
)
from node_sim.dram.device_rows import pages_of_rows
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.memory.pages import HUGE_PAGES, make_frames
from node_sim.records import Flags, Index, Ints, join, take
from node_sim.units import FOREVER

_ROW_BITS = 36
"""Names of rows of DIMMs are below 2**36, so that (era, row) fits one word."""
_NAMED_AT_ONCE = 1 << 14
"""Pages whose numbers are looked up together."""


class _Asked(NamedTuple):
    """Pages of rows that reach a limit, ordered by (row, page number); arrays of shape ``(n,)``.

    Attributes:
        which: Index of the row among those that reach it.
        pfn: Page number.
        kind: ``BlockKind``.
        spare: Whether a pool has a spare page for the huge page.
        poisoned_ns: When ``memory_failure()`` marked it in the same boot [ns], ``FOREVER`` if it did not.
        neighbour_ns: When it marked another 4 KiB page of the same huge page [ns].
    """

    which: Ints
    pfn: Ints
    kind: Ints
    spare: Flags
    poisoned_ns: Ints
    neighbour_ns: Ints

    def take(self, index: Index) -> _Asked:
        """Select some pages."""
        return take(self, index)


def _pages_of(reaches: Reaches, eras: Eras, faults: FaultTable, address_map: AddressMap) -> tuple[Ints, Ints]:
    """List the pages that go offline with what reaches a limit: all of a row, or the page itself."""
    by_row = eras.by_row[reaches.era]
    rows, alone = np.flatnonzero(by_row), np.flatnonzero(~by_row)
    which, pfn = pages_of_rows(address_map, reaches.row[rows])
    own = faults.pages(address_map, eras.fault[reaches.era[alone]], reaches.row[alone])
    return np.concatenate((rows[which], alone)), np.concatenate((pfn, own))


def _asked_of(reaches: Reaches, eras: Eras, faults: FaultTable, ground: Ground, poisoned: Poisoned) -> _Asked:
    """List the pages of rows, and what the kernel knows of them."""
    seed, address_map, static = ground
    which, pfn = _pages_of(reaches, eras, faults, address_map)
    order = np.lexsort((pfn, which))
    which, pfn = which[order], pfn[order]
    era = reaches.era[which]
    frames = make_frames(seed, faults.node_id[eras.fault[era]], pfn, static)
    never = np.full(pfn.size, FOREVER)
    asked = _Asked(which, pfn, frames.kind, frames.spare, never, never.copy())
    known = entries_of(poisoned, eras.lane[era], pfn, HUGE_PAGES[frames.kind], address_map.pages)
    for column, (mine, entry) in zip((asked.poisoned_ns, asked.neighbour_ns), known, strict=True):
        # Marks that were left on pages, or beside them, in the boot in which they are asked for.
        time_ns, of = poisoned.poisoned_ns[entry], era[mine]
        here = (eras.from_ns[of] <= time_ns) & (time_ns < eras.to_ns[of])
        np.minimum.at(column, mine[here], time_ns[here])
    return asked


def _reach_rows(watched: Watched, marks: Marks) -> Reaches:
    """Return the rows that reach their limits, given what ``memory_failure()`` has done to pages of the eras."""
    eras, _, _, faults, address_map = watched
    gone = marks.take(marks.out_ns < FOREVER)
    soft, hard = soft_reaches(watched, gone), hard_reaches(watched)
    era = gone.era
    rows = rows_of_pages(faults, address_map, eras.fault[era], gone.page)
    hurt = np.isin(_name_row(hard.era, hard.row), _name_row(era, rows))
    some = hard.take(hurt)
    late = reaches_despite(watched, some, _own_pages(watched, some), gone)
    return join([soft, hard.take(~hurt), late, aged_reaches(watched, gone)])


def _name_row(era: Ints, row: Ints) -> Ints:
    """Name rows of eras."""
    name: Ints = (era << _ROW_BITS) | row
    return name


def _own_pages(watched: Watched, reaches: Reaches) -> RowPages:
    """Return the pages of rows among those of their own faults."""
    eras, _, _, faults, address_map = watched
    which, pfn = pages_of_rows(address_map, reaches.row)
    at, page = faults.numbers(address_map, eras.fault[reaches.era[which]], pfn)
    which = which[at]
    own = rows_of_pages(faults, address_map, eras.fault[reaches.era[which]], page) == reaches.row[which]
    which, page = which[own], page[own]
    order = np.lexsort((page, which))
    return RowPages(which[order], page[order])


def _marks_of(watched: Watched, reaches: Reaches, asked: _Asked) -> Marks:
    """Return the marks of pages that go offline in all eras of their boots.

    The error that takes a row to its limit is the last one that is seen of it.
    """
    lane, time_ns = watched.eras.lane[reaches.era[asked.which]], reaches.time_ns[asked.which]
    parts = [Marks.none()]
    for start in range(0, asked.pfn.size, _NAMED_AT_ONCE):
        some = slice(start, start + _NAMED_AT_ONCE)
        seen = lane[some], asked.pfn[some], time_ns[some]
        which, era, page = pages_in_eras(watched.eras, watched.faults, watched.address_map, seen, None)
        out_ns, never = seen[2][which] + 1, np.full(which.size, FOREVER)
        parts.append(Marks(name_page(era, page), seen[2][which], never, out_ns, never))
    return merge_marks(parts)


def find_row_offlines(
    eras: Eras,
    spans: Spans,
    index: WindowIndex,
    faults: FaultTable,
    ground: Ground,
    poisoned: Poisoned,
    marks: Marks,
) -> tuple[Offlines, Marks]:
    """Find every page that goes offline, or does not, because a row reaches its limit.

    Args:
        eras: All eras of some lanes, each with its limits.
        spans: Their windows.
        index: All windows.
        faults: All faults.
        ground: What the pages are.
        poisoned: Pages that ``memory_failure()`` has marked in the lanes.
        marks: What that means in the eras.

    Returns:
        The pages, ordered by (era, time, page number), and the marks that they leave in all eras, their own among them.
    """
    watched = Watched(eras, spans, index, faults, ground.address_map)
    reaches = _reach_rows(watched, marks)
    reaches = reaches.take(reaches.time_ns < FOREVER)
    if not reaches.era.size:
        return Offlines.none(), Marks.none()
    asked = _asked_of(reaches, eras, faults, ground, poisoned)
    era, time_ns = reaches.era[asked.which], reaches.time_ns[asked.which]
    order = np.lexsort((asked.which, time_ns, asked.pfn, eras.from_ns[era], eras.lane[era]))
    boots = (part[order] for part in (eras.lane[era], eras.from_ns[era], asked.pfn))
    first = order[np.any([np.diff(part, prepend=-1) != 0 for part in boots], axis=0)]  # each page once in a boot
    asked = asked.take(first[np.lexsort((asked.pfn[first], time_ns[first], era[first]))])
    era, time_ns = reaches.era[asked.which], reaches.time_ns[asked.which]
    already, beside = time_ns >= asked.poisoned_ns, time_ns >= asked.neighbour_ns
    offlines = Offlines(
        era=era,
        span=reaches.span[asked.which],
        page=BY_ROW + np.arange(era.size),
        error=reaches.error[asked.which],
        time_ns=time_ns,
        pfn=asked.pfn,
        kind=asked.kind,
        poisoned=already | beside,
        errno=eras.answer[era, question_of(asked.kind, asked.spare, already, beside)],
        trigger=reaches.trigger[asked.which],
    )
    return offlines, _marks_of(watched, reaches, asked.take(offlines.offlined))
