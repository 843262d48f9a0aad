"""Counts that do not follow the calendar: which pages and rows reach a limit within an age, at which error, and when.

**Models.** A daemon with a leaky bucket of T errors and an age A for each page takes floor(T x elapsed / A) errors out
of a bucket at the first error at least A after its start, and starts it anew. A bucket that has not reached T is empty
then, for T leave it at least: it counts the errors of less than A from its first one on. Of a row rasdaemon keeps the
errors of the last A instead. A count since boot is a bucket whose age is endless.

**Leaves out.** CEC keeps 512 pages only and drops the oldest of more, so it takes hardly a page of a fault that shows
more at a time. That is seldom by node and nearly always by page: of 800 nodes in five years (default server, seed 7)
463 have pages taken, 87 of them more than 512 each, and these 87 have 481,000 of the 487,000.
The daemon's clock of whole seconds. Its counters are for ever: mcelog replaces the least recently used
of 10,000 and more pages.

**Assumes.** Errors of two faults of one page or row, and of one page under two numbers of a fault, are counted apart.
Errors of windows that a boot cuts count, for the daemon starts with the boot. The errors of every window of a fault
begin with the same pages (``windows.py``), so pages of a wide fault have one error in each of its windows for certain:
what small thresholds take of wide faults is an upper bound.

**Sources.** rasdaemon ``ras-page-isolation.c`` (``page_record``, ``row_record``), mcelog ``leaky-bucket.c``, read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import OfflineTrigger
from node_sim.corrected.counted_units import PAGE_BITS, Pieces, Units, name_item
from node_sim.corrected.eras import Eras
from node_sim.corrected.marked_windows import last_seen
from node_sim.corrected.marks import Marks
from node_sim.corrected.row_counts import PAGES_AT_ONCE, Reaches, Watched, rows_of_pages
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.device_rows import most_pages_per_row
from node_sim.records import Flags, Index, Ints, expand_counts, join, take
from node_sim.units import FOREVER

_SPANS_FIRST = 8
"""Windows of an era that are looked at before others."""


def runs_of(owner: Ints, low_ns: Ints, high_ns: Ints, age_ns: Ints) -> Ints:
    """Number the runs of windows of each owner: between two runs lies the age at least, so no bucket spans both.

    Args:
        owner: Whose windows, equal ones together, shape ``(n,)``.
        low_ns: Begin of each [ns], ascending for each owner.
        high_ns: End of each [ns].
        age_ns: Age of each owner's buckets [ns].
    """
    rests = np.diff(owner, prepend=-1) != 0
    rests[1:] |= low_ns[1:] - high_ns[:-1] >= age_ns[1:]
    run: Ints = np.cumsum(rests) - 1
    return run


def can_reach(run: Ints, errors: Ints, threshold: Ints) -> Flags:
    """Return which elements are of runs that have as many errors as the threshold in all."""
    total = np.bincount(run, errors) if run.size else np.empty(0)
    enough: Flags = total[run] >= threshold
    return enough


class _Counted(NamedTuple):
    """Pieces of units with what is needed to find any error of them.

    Attributes:
        watched: Eras and their windows.
        units: Pages or rows.
        pieces: Their errors, all in one list in this order.
        low_ns: From when on errors of each piece fall [ns].
        high_ns: … and before when [ns].
        past: Errors of the list before each piece, and of all, shape ``(n + 1,)``.
    """

    watched: Watched
    units: Units
    pieces: Pieces
    low_ns: Ints
    high_ns: Ints
    past: Ints

    def piece_of(self, error: Ints) -> Ints:
        """Return in which piece errors (1 …) of the list are."""
        return np.searchsorted(self.past, error) - 1

    def number_of(self, piece: Ints, error: Ints) -> Ints:
        """Return the numbers in their windows of errors of the list."""
        _, spans, index, _, _ = self.watched
        number = self.pieces.number[piece]
        several = np.flatnonzero(number == 0)
        mine = self.pieces.take(piece[several])
        nth = mine.before + error[several] - self.past[piece[several]]
        number[several] = self.units.number_of(mine.unit, nth, index.windows.n_pages[spans.window[mine.span]])
        return number

    def time_ns(self, error: Ints) -> Ints:
        """Return when errors of the list come [ns]."""
        piece = self.piece_of(error)
        _, spans, index, _, _ = self.watched
        windows = index.windows.take(spans.window[self.pieces.span[piece]])
        return error_time_ns(windows, self.number_of(piece, error))


def _first_reaches(watched: Watched, units: Units, pieces: Pieces) -> Reaches:
    """Return the units that reach their limits, with the first error that does."""
    eras, spans, index, _, _ = watched
    era = units.era[pieces.unit]
    low_ns, high_ns = _bounds(watched, pieces)
    run = runs_of(pieces.unit, low_ns, high_ns, eras.age_ns[era])
    enough = can_reach(run, pieces.after - pieces.before, eras.threshold[era])
    pieces, run, low_ns, high_ns = pieces.take(enough), run[enough], low_ns[enough], high_ns[enough]
    if not run.size:
        return Reaches.none()
    past = np.concatenate(([0], np.cumsum(pieces.after - pieces.before)))
    counted = _Counted(watched, units, pieces, low_ns, high_ns, past)
    error = _fill(counted, np.flatnonzero(np.diff(run, prepend=-1)))
    piece = counted.piece_of(error)
    unit, span, number = pieces.unit[piece], pieces.span[piece], counted.number_of(piece, error)
    era = units.era[unit]
    time_ns = error_time_ns(index.windows.take(spans.window[span]), number)
    return Reaches(era, units.item[unit], span, number, time_ns, _trigger(eras, era))


def _bounds(watched: Watched, pieces: Pieces) -> tuple[Ints, Ints]:
    """Return from when on, and before when, the errors of pieces fall [ns]."""
    windows = watched.by_fault.windows.take(watched.spans.window[pieces.span])
    low_ns, high_ns = windows.low_ns, windows.high_ns
    single = np.flatnonzero(pieces.number)
    low_ns[single] = error_time_ns(windows.take(single), pieces.number[single])
    high_ns[single] = low_ns[single] + 1
    return low_ns, high_ns


def _trigger(eras: Eras, era: Ints) -> Ints:
    """Return why pages are to go offline: only the kernel counts since boot."""
    by_page = np.where(eras.age_ns[era] == FOREVER, int(OfflineTrigger.KERNEL_CEC), int(OfflineTrigger.CE_THRESHOLD))
    return np.where(eras.by_row[era], int(OfflineTrigger.ROW_THRESHOLD), by_page)


def _fill(counted: _Counted, first: Ints) -> Ints:
    """Return the first errors of the list with which units reach their limits.

    Args:
        counted: All pieces.
        first: First piece of each run, each of which has errors enough.
    """
    eras, unit = counted.watched.eras, counted.pieces.unit[first]
    era = counted.units.era[unit]
    threshold, age_ns, slides = eras.threshold[era], eras.age_ns[era], eras.by_row[era]
    begin, last = counted.past[first], counted.past[np.append(first[1:], counted.pieces.unit.size)]
    run = np.flatnonzero(np.diff(unit, prepend=-1))  # in which each unit is, and how many errors it has left behind
    gone, begin_ns, found = begin[run], np.full(run.size, -1), [np.empty(0, np.int64)]
    while run.size:
        full = gone + threshold[run]
        sure, begin_ns, full_ns = _times(counted, gone + 1, full, begin_ns, age_ns[run])
        # A row's errors count for the age and its last moment, a bucket is emptied at that moment.
        inside = sure | (full_ns - begin_ns < age_ns[run] + slides[run])
        found.append(full[inside])
        run, gone, full, begin_ns, full_ns = (part[~inside] for part in (run, gone, full, begin_ns, full_ns))
        until_ns = np.where(slides[run], full_ns - age_ns[run], begin_ns + age_ns[run])
        gone = _last_before(counted, gone + 1, full - 1, until_ns)
        begin_ns = np.where(gone == full - 1, full_ns, -1)
        over = np.flatnonzero(gone + threshold[run] > last[run])
        ended = (run[over] + 1 == unit.size) | (unit[np.minimum(run[over] + 1, unit.size - 1)] != unit[run[over]])
        run[over] += 1
        gone[over[~ended]], begin_ns[over[~ended]] = begin[run[over[~ended]]], -1
        run, gone, begin_ns = (np.delete(part, over[ended]) for part in (run, gone, begin_ns))
    return np.sort(np.concatenate(found))


def _times(counted: _Counted, first: Ints, full: Ints, known_ns: Ints, age_ns: Ints) -> tuple[Flags, Ints, Ints]:
    """Return which errors are within an age for certain, and else the times of the first and the last [ns].

    Args:
        counted: All pieces.
        first: Numbers in the list of the first errors, shape ``(n,)``.
        full: … and of the last ones.
        known_ns: Times of the first ones, -1 where not known yet.
        age_ns: Ages.
    """
    apart_ns = counted.high_ns[counted.piece_of(full)] - counted.low_ns[counted.piece_of(first)]
    sure = apart_ns <= age_ns
    begin_ns, full_ns = known_ns.copy(), np.full(first.size, -1)
    asked = np.flatnonzero(~sure & (known_ns < 0))
    begin_ns[asked] = counted.time_ns(first[asked])
    full_ns[~sure] = counted.time_ns(full[~sure])
    return sure, begin_ns, full_ns


def _last_before(counted: _Counted, low: Ints, high: Ints, time_ns: Ints) -> Ints:
    """Return the last errors ``low`` … ``high`` of the list that come before times; ``low`` does."""
    low, high = low.copy(), high.copy()
    open_ = np.flatnonzero(low < high)
    while open_.size:
        middle = (low[open_] + high[open_] + 1) // 2
        before = counted.time_ns(middle) < time_ns[open_]
        low[open_[before]], high[open_[~before]] = middle[before], middle[~before] - 1
        open_ = open_[low[open_] < high[open_]]
    return low


def _only_seen(watched: Watched, units: Units, pieces: Pieces, out: Marks) -> Pieces:
    """Leave the errors of pages out of use out, one by one in units that have such pages."""
    _, spans, index, _, _ = watched
    hurt = np.zeros(units.era.size, np.bool_)
    of = units.name >> PAGE_BITS
    hurt[of[out.look_up(units.era[of], units.page).out_ns < FOREVER]] = True
    some = np.flatnonzero(hurt[pieces.unit])
    if not some.size:
        return pieces
    mine = pieces.take(some)
    which, step = expand_counts(mine.after - mine.before)
    span, unit = mine.span[which], mine.unit[which]
    shown = index.windows.n_pages[spans.window[span]]
    number = units.number_of(unit, mine.before[which] + step + 1, shown)
    seen = number <= last_seen(spans, span, (number - 1) % shown, index, out)
    zero = np.zeros(int(seen.sum()), np.int64)
    single = Pieces(unit[seen], span[seen], zero, zero + 1, number[seen])
    both = join([pieces.take(~hurt[pieces.unit]), single])
    return both.take(np.lexsort((both.number, both.span, both.unit)))


def _counts_so(watched: Watched) -> Flags:
    """Return which spans are of eras that count so."""
    eras: Eras = watched.eras
    some: Flags = ((eras.age_ns > 0) & (eras.threshold > 0))[watched.spans.era]
    return some


class _Candidates(NamedTuple):
    """Spans of hard faults that can take part in reaching a limit, ascending, and up to which page of each fault."""

    span: Ints
    limit: Ints

    def take(self, index: Index) -> _Candidates:
        """Select some spans."""
        return take(self, index)


def _candidates(watched: Watched) -> _Candidates:
    """Return the spans that can take part in reaching a limit, were every error of them seen."""
    eras, spans, index, faults, address_map = watched
    some = np.flatnonzero(_counts_so(watched) & ~watched.soft())
    era, window = spans.era[some], spans.window[some]
    shown, length = index.windows.n_pages[window], (spans.last - spans.first)[some]
    per_turn, rows = np.ones_like(eras.lane), np.flatnonzero(eras.by_row & (eras.age_ns > 0))
    per_turn[rows] = most_pages_per_row(address_map, faults.box.take(eras.fault[rows]))
    most = np.minimum(-(-length // shown) * np.minimum(per_turn[era], shown), length)
    run = runs_of(era, index.windows.low_ns[window], index.windows.high_ns[window], eras.age_ns[era])
    enough = can_reach(run, most, eras.threshold[era])
    some, run, shown, most, era = some[enough], run[enough], shown[enough], most[enough], era[enough]
    limit = np.where(eras.by_row[era], shown, np.minimum(shown, _last_page(run, shown, most, eras.threshold[era])))
    return _Candidates(some, limit)


def _last_page(run: Ints, shown: Ints, most: Ints, threshold: Ints) -> Ints:
    """Return up to which page the windows of each run that show it have as many errors of a page as the threshold.

    A window shows all pages up to its last one, so few windows show the late ones.
    """
    order = np.lexsort((-shown, run))
    new = np.diff(run[order], prepend=-1) != 0
    begin = np.flatnonzero(new)
    total = np.cumsum(most[order])
    total -= np.repeat((total - most[order])[begin], np.diff(begin, append=run.size))
    last = order[(total >= threshold[order]) & (total - most[order] < threshold[order])]
    limit = np.zeros(int(run.max(initial=-1)) + 1, np.int64)
    limit[run[last]] = shown[last]
    found: Ints = limit[run]
    return found


def _hard_reaches(watched: Watched, some: _Candidates, out: Marks, known: Reaches) -> Reaches:
    """Return the pages or rows that errors of hard faults take to a limit.

    Args:
        watched: Eras and their windows.
        some: Spans, all that matter of each era until some time.
        out: Pages out of use, whose errors only the scrubber sees.
        known: Those that are known to reach it already, which are left out.
    """
    eras, spans, index, faults, address_map = watched
    era = spans.era[some.span]
    begin = np.flatnonzero(np.diff(era, prepend=-1))
    of, page = expand_counts(np.maximum.reduceat(some.limit, begin))
    first, of = np.searchsorted(of, np.arange(begin.size)), era[begin][of]
    item, by_row = page.copy(), eras.by_row[of]
    item[by_row] = rows_of_pages(faults, address_map, eras.fault[of[by_row]], page[by_row])
    units, unit = Units.of(of, item, page)
    open_ = ~np.isin(name_item(units.era, units.item), name_item(known.era, known.row))
    leading = np.minimum.reduceat(np.where(open_[unit], page, FOREVER), first)  # the first page that matters
    at = np.searchsorted(era[begin], era)
    owner, step = expand_counts(np.maximum(some.limit - leading[at], 0))
    page = leading[at[owner]] + step
    unit, span = unit[first[at[owner]] + page], some.span[owner]
    leads = np.flatnonzero(open_[unit] & (page == units.page[units.begin[unit]]))
    leads = leads[np.lexsort((span[leads], unit[leads]))]
    unit, span = unit[leads], span[leads]
    shown = index.windows.n_pages[spans.window[span]]
    before, after = (units.errors_up_to(unit, part[span], shown) for part in (spans.first, spans.last))
    pieces = Pieces(unit, span, before, after, np.zeros_like(unit)).take(before < after)
    return _first_reaches(watched, units, _only_seen(watched, units, pieces, out))


def _reaches_in_time(watched: Watched, some: _Candidates, out: Marks) -> Reaches:
    """Return what hard faults take to a limit, looking further ahead only for what has not reached it yet."""
    known, n_spans = Reaches.none(), _SPANS_FIRST
    while some.span.size:
        era = watched.spans.era[some.span]
        rank = np.arange(era.size) - np.searchsorted(era, era)
        known = join([known, _hard_reaches(watched, some.take(rank < n_spans), out, known)])
        some = some.take(np.isin(era, era[rank >= n_spans]))
        n_spans *= 4
    return known


def _soft_reaches(watched: Watched, out: Marks) -> Reaches:
    """Return the pages or rows that errors of soft faults take to a limit: each page has one at most."""
    eras, spans, index, faults, address_map = watched
    alone = (eras.threshold == 1) | eras.by_row
    some = np.flatnonzero(_counts_so(watched) & watched.soft() & alone[spans.era])
    windows, era = index.windows.take(spans.window[some]), spans.era[some]
    seen = windows.scrub | (windows.low_ns < out.look_up(era, windows.page).out_ns)
    some, era, windows = some[seen], era[seen], windows.take(seen)
    item, by_row = windows.page.copy(), eras.by_row[era]
    item[by_row] = rows_of_pages(faults, address_map, eras.fault[era[by_row]], windows.page[by_row])
    units, unit = Units.of(era, item, windows.page)
    order = np.lexsort((some, windows.low_ns, unit))
    zero = np.zeros(some.size, np.int64)
    return _first_reaches(watched, units, Pieces(unit[order], some[order], zero, zero + 1, zero + 1))


def aged_reaches(watched: Watched, out: Marks) -> Reaches:
    """Return the pages and rows that reach their limits in eras whose counts have an age.

    Args:
        watched: Eras and their windows.
        out: Pages that others have taken out of use, whose errors only the scrubber sees.

    Returns:
        Each once; ``row`` is the number of the page where pages are counted.
    """
    some = _candidates(watched)
    era = watched.spans.era[some.span]
    begin = np.flatnonzero(np.diff(era, prepend=-1))
    work = np.add.reduceat(some.limit, begin) if begin.size else begin
    batch = np.repeat(np.cumsum(work) // PAGES_AT_ONCE, np.diff(begin, append=era.size))
    parts = [np.flatnonzero(batch == number) for number in np.unique(batch)]
    return join([_soft_reaches(watched, out), *(_reaches_in_time(watched, some.take(part), out) for part in parts)])
