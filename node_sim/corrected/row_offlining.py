"""Pages taken offline with their rows: a daemon that counts by row asks for all pages that have lines of a row.

**Models.** When errors of a fault take a row to its limit (``row_counts.py``), the daemon asks the kernel to
soft-offline every page with lines of it, also those that the fault does not touch, in the order of their numbers and
each once in a boot, whichever row or fault led to it. Errors of pages out of use count no more, so a row can reach its
limit later, or never, because another one went before it.

**Leaves out.** Decay of counters between windows, limits on offlined pages; errors of two faults in one row are counted
apart.

**Assumes.** What the kernel answers: ``asking.py``.

**Sources.** rasdaemon since 2024, ``ras-page-isolation.c`` (ROW_CE_*); Intel's memory resilience technology.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import BY_ROW, Ground, Offlines, question_of
from node_sim.corrected.eras import Eras, Spans, WindowIndex
from node_sim.corrected.marks import Marks, Poisoned, find_names, merge_marks, name_page, pages_in_eras
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
from node_sim.records import Flags, Index, Ints, expand_counts, join, take
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


class _Names(NamedTuple):
    """Numbers under which the faults of a lane know pages of rows; arrays of shape ``(n,)``.

    Attributes:
        entry: Index of the page among those that are asked for.
        era: Era of the fault.
        page: Number of the page in it.
        row: Row in which the page lies by that number.
    """

    entry: Ints
    era: Ints
    page: Ints
    row: Ints

    def take(self, index: Index) -> _Names:
        """Select some."""
        return take(self, index)


def _pairs(names: Ints, asked: Ints) -> tuple[Ints, Ints]:
    """List which of some names are equal to which of others: positions among the asked ones and the names."""
    order = np.argsort(names, kind="stable")
    begin, end = (np.searchsorted(names[order], asked, side=side) for side in ("left", "right"))
    which, step = expand_counts(end - begin)
    return which, order[begin[which] + step]


def _asked_of(reaches: Reaches, eras: Eras, faults: FaultTable, ground: Ground, poisoned: Poisoned) -> _Asked:
    """List the pages of rows, and what the kernel knows of them."""
    seed, address_map, static = ground
    which, pfn = pages_of_rows(address_map, reaches.row)
    order = np.lexsort((pfn, which))
    which, pfn = which[order], pfn[order]
    era = reaches.era[which]
    frames = make_frames(seed, faults.node_id[eras.fault[era]], pfn, static)
    never = np.full(pfn.size, FOREVER)
    asked = _Asked(which, pfn, frames.kind, frames.spare, never, never.copy())
    lane, n, huge = eras.lane[era], address_map.pages, HUGE_PAGES[frames.kind]

    def note(column: Ints, mine: Ints, entry: Ints) -> None:
        """Note the times of marks that were left on pages, or beside them, in the boot in which they are asked for."""
        time_ns, of = poisoned.poisoned_ns[entry], era[mine]
        here = (eras.from_ns[of] <= time_ns) & (time_ns < eras.to_ns[of])
        np.minimum.at(column, mine[here], time_ns[here])

    note(asked.poisoned_ns, *_pairs(poisoned.lane * n + poisoned.pfn, lane * n + pfn))
    for size in np.unique(poisoned.pages[poisoned.pages > 1]).tolist():
        whole, part = np.flatnonzero(poisoned.pages == size), np.flatnonzero(huge == size)
        at, entry = _pairs(poisoned.lane[whole] * n + poisoned.pfn[whole] // size, lane[part] * n + pfn[part] // size)
        mine, entry = part[at], whole[entry]
        beside = pfn[mine] != poisoned.pfn[entry]
        note(asked.neighbour_ns, mine[beside], entry[beside])
    return asked


def _names_of(asked: _Asked, reaches: Reaches, eras: Eras, faults: FaultTable, address_map: AddressMap) -> _Names:
    """Find the pages of rows in all eras of the boots in which they are asked for."""
    lane, time_ns = eras.lane[reaches.era[asked.which]], reaches.time_ns[asked.which]
    parts = []
    for start in range(0, max(asked.pfn.size, 1), _NAMED_AT_ONCE):
        some = slice(start, start + _NAMED_AT_ONCE)
        seen = lane[some], asked.pfn[some], time_ns[some]
        which, era, page = pages_in_eras(eras, faults, address_map, seen, None)
        parts.append(_Names(which + start, era, page, rows_of_pages(faults, address_map, eras.fault[era], page)))
    return join(parts)


class _Answers(NamedTuple):
    """What the kernel answers about pages that are asked for at given times: whether it had marked them, and errno."""

    poisoned: Flags
    errno: Ints

    @property
    def offlined(self) -> Flags:
        """Whether each page goes offline."""
        gone: Flags = (self.errno == 0) & ~self.poisoned
        return gone


def _answers_of(asked: _Asked, reaches: Reaches, eras: Eras) -> _Answers:
    """Ask the kernel about pages when their rows reach the limit."""
    time_ns = reaches.time_ns[asked.which]
    already, beside = time_ns >= asked.poisoned_ns, time_ns >= asked.neighbour_ns  # a row that never does loses none
    question = question_of(asked.kind, asked.spare, already, beside)
    return _Answers(already | beside, eras.answer[reaches.era[asked.which], question])


def _marks_of(names: _Names, offlined: Flags, reaches: Reaches, asked: _Asked) -> Marks:
    """Return the marks of pages that go offline with rows; the error that leads to it is the last one that is seen."""
    names = names.take(offlined[names.entry])
    time_ns = reaches.time_ns[asked.which[names.entry]]
    never = np.full(time_ns.size, FOREVER)
    return merge_marks([Marks(name_page(names.era, names.page), time_ns, never, time_ns + 1, never)])


def _reach_rows(watched: Watched, reaches: Reaches, asked: _Asked, names: _Names, marks: Marks) -> Reaches:
    """Return when rows reach their limits, given that pages of each can be taken by others before.

    Each round takes what the one before has found out; what it finds is right up to one more row in time at least.

    Args:
        watched: Eras and their windows.
        reaches: The rows, as they would if every error were seen.
        asked: Their pages.
        names: Their numbers.
        marks: What ``memory_failure()`` has done to pages of the eras.
    """
    eras = watched.eras
    of = asked.which[names.entry]
    own = (names.era == reaches.era[of]) & (names.row == reaches.row[of])
    others = names.take(names.row != reaches.row[of])
    own_names = names.take(own)
    order = np.lexsort((own_names.page, of[own]))
    pages = RowPages(of[own][order], own_names.page[order])
    soft = ~watched.faults.hard[eras.fault[reaches.era]]
    name_of_page = name_page(reaches.era[pages.which], pages.page)
    found = reaches
    while True:
        gone = merge_marks([marks, _marks_of(others, _answers_of(asked, found, eras).offlined, found, asked)])
        gone = gone.take(gone.out_ns < FOREVER)
        hurt = np.zeros(reaches.era.size, np.bool_)
        hurt[pages.which[np.isin(name_of_page, gone.name)]] = True
        some = np.flatnonzero(hurt & ~soft)
        parts = [
            reaches.take(~hurt),
            reaches_despite(watched, reaches.take(some), _of_rows(pages, some), gone),
            _soft_again(watched, reaches.take(hurt & soft), gone),
        ]
        again = join(parts)
        again = again.take(np.lexsort((again.row, again.era)))
        if (again.time_ns == found.time_ns).all():
            return again
        found = again


def _of_rows(pages: RowPages, some: Ints) -> RowPages:
    """Return the pages of some rows, by their positions among them."""
    first = np.searchsorted(pages.which, some)
    which, step = expand_counts(np.searchsorted(pages.which, some, side="right") - first)
    return RowPages(which, pages.page[first[which] + step])


def _soft_again(watched: Watched, reaches: Reaches, gone: Marks) -> Reaches:
    """Return when rows of soft faults reach their limits where pages are out of use."""
    if not reaches.era.size:
        return reaches
    now = soft_reaches(watched, gone)
    found = reaches._replace(time_ns=np.full(reaches.era.size, FOREVER))
    order = np.lexsort((now.row, now.era))
    hit, at = find_names(_name_row(now)[order], _name_row(reaches))
    for column, cells in zip(found, now, strict=True):
        column[hit] = cells[order[at]]
    return found


def _name_row(reaches: Reaches) -> Ints:
    """Name rows of eras, in the order of (era, row)."""
    name: Ints = (reaches.era << _ROW_BITS) | reaches.row
    return name


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
    address_map = ground.address_map
    if not (eras.by_row & ((eras.threshold > 0) | (eras.columns > 0))).any():
        return Offlines.none(), Marks.none()
    watched = Watched(eras, spans, index, faults, address_map)
    reaches = join([hard_reaches(watched), soft_reaches(watched, Marks.none())])
    if not reaches.era.size:
        return Offlines.none(), Marks.none()
    reaches = reaches.take(np.lexsort((reaches.row, reaches.era)))
    asked = _asked_of(reaches, eras, faults, ground, poisoned)
    names = _names_of(asked, reaches, eras, faults, address_map)
    reaches = _reach_rows(watched, reaches, asked, names, marks)
    answers, era = _answers_of(asked, reaches, eras), reaches.era[asked.which]
    time_ns = reaches.time_ns[asked.which]
    order = np.lexsort((asked.which, time_ns, asked.pfn, eras.from_ns[era], eras.lane[era]))
    boots = (part[order] for part in (eras.lane[era], eras.from_ns[era], asked.pfn))
    first = order[np.any([np.diff(part, prepend=-1) != 0 for part in boots], axis=0)]  # each page once in a boot
    first = first[time_ns[first] < FOREVER]
    went = np.zeros(time_ns.size, np.bool_)
    went[first] = answers.offlined[first]
    first = first[np.lexsort((asked.pfn[first], time_ns[first], era[first]))]
    which, era = asked.which[first], era[first]
    number = BY_ROW + np.arange(first.size)
    offlines = Offlines(
        era=era,
        span=reaches.span[which],
        page=number,
        error=reaches.error[which],
        time_ns=time_ns[first],
        pfn=asked.pfn[first],
        kind=asked.kind[first],
        poisoned=answers.poisoned[first],
        errno=answers.errno[first],
        trigger=reaches.trigger[which],
    )
    return offlines, _marks_of(names, went, reaches, asked)
