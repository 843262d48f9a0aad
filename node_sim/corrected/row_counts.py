"""Rows of DIMMs whose corrected errors reach a limit in one window of a fault: which, at which error, and when.

**Models.** A daemon counts the errors of each row of each fault's footprint by window. A row reaches its limit with so
many errors, or with errors on so many of its pages, whichever comes first.

**Leaves out.** What follows; ``row_offlining.py`` has it. Columns inside one page are not told apart.

**Assumes.** The errors of a window fall on its pages in turn (``windows.py``). So a row with the pages p(0) < p(1) < …
of all P pages of its fault has its t-th error at number p(t - 1) + 1 while it has as many pages, else at number
p((t - 1) mod m) + 1 + P ((t - 1) div m) for its m pages: it is the same number in every window that has so many errors.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import OfflineTrigger
from node_sim.corrected.eras import Eras, Spans, WindowIndex, running_most
from node_sim.corrected.marked_windows import last_seen
from node_sim.corrected.marks import Marks
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.device_rows import most_pages_per_row, row_of
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.records import Flags, Index, Ints, expand_counts, join, take
from node_sim.units import FOREVER

PAGES_AT_ONCE = 1 << 20
"""Pages of faults, or of rows in windows, that are listed together."""
_NUMBERS = 1 << 32
"""More than the errors of a window."""


class Watched(NamedTuple):
    """What a daemon sees: eras of some lanes, their windows, and what they are windows of."""

    eras: Eras
    spans: Spans
    by_fault: WindowIndex
    faults: FaultTable
    address_map: AddressMap

    def whole(self) -> Flags:
        """Return which spans are whole windows of eras that count by row and window."""
        eras, spans, era = self.eras, self.spans, self.spans.era
        counts = eras.by_row & (eras.age_ns == 0) & ((eras.threshold > 0) | (eras.columns > 0))
        whole: Flags = counts[era] & (spans.first == 0) & (self.low_ns() >= eras.from_ns[era])
        return whole

    def low_ns(self) -> Ints:
        """Return when the windows of all spans begin [ns]."""
        low_ns: Ints = self.by_fault.windows.low_ns[self.spans.window]
        return low_ns

    def soft(self) -> Flags:
        """Return which spans are single errors of soft faults."""
        soft: Flags = self.by_fault.windows.soft[self.spans.window]
        return soft


class Reaches(NamedTuple):
    """Rows that reach their limit in eras, each (era, row) once at most; arrays of shape ``(n,)``.

    Attributes:
        era: Era.
        row: Name of the row (``dram/device_rows.py``).
        span: The first window in which the row reaches it.
        error: Number of the error in the window that does.
        time_ns: When [ns], ``FOREVER`` if it does not.
        trigger: ``OfflineTrigger``.
    """

    era: Ints
    row: Ints
    span: Ints
    error: Ints
    time_ns: Ints
    trigger: Ints

    @classmethod
    def none(cls) -> Reaches:
        """Return no rows."""
        return cls(*(np.empty(0, np.int64) for _ in cls._fields))

    def take(self, index: Index) -> Reaches:
        """Select some rows."""
        return take(self, index)


class _Rules(NamedTuple):
    """Distinct faults with the limits by which their rows are judged; arrays of shape ``(n,)``.

    Attributes:
        fault: Fault.
        threshold: Errors of a row, 0 = any number.
        columns: Pages of a row, 0 = any number.
        most: Errors of their longest window.
    """

    fault: Ints
    threshold: Ints
    columns: Ints
    most: Ints

    def take(self, index: Index) -> _Rules:
        """Select some."""
        return take(self, index)


class _Goals(NamedTuple):
    """Rows that can reach a limit, ordered by (rule, error): at which error of a window, and by which limit."""

    rule: Ints
    row: Ints
    error: Ints
    trigger: Ints


def _earlier(by_count: Ints, by_columns: Ints) -> tuple[Ints, Ints]:
    """Return which of two numbers of errors comes first, and what it stands for; the count wins ties."""
    trigger = np.where(by_count <= by_columns, int(OfflineTrigger.ROW_THRESHOLD), int(OfflineTrigger.ROW_COLUMNS))
    return np.minimum(by_count, by_columns), trigger


def rows_of_pages(faults: FaultTable, address_map: AddressMap, fault: Ints, number: Ints) -> Ints:
    """Name the rows of pages of faults by their numbers in the order in which they show errors."""
    known, of = np.unique(fault, return_inverse=True)
    place = faults.order.take(fault).place(number, faults.n_pages[fault])
    return row_of(address_map, faults.box.take(known), place, of)


def _goals_of(rules: _Rules, faults: FaultTable, address_map: AddressMap) -> _Goals:
    """List the rows that windows of faults can take to a limit; the pages of no others are listed."""
    n_pages = faults.n_pages[rules.fault]
    per_row = most_pages_per_row(address_map, faults.box.take(rules.fault))
    shown = np.minimum(rules.most, n_pages)
    by_count = (rules.threshold > 0) & (per_row * -(-rules.most // shown) >= rules.threshold)
    by_columns = (rules.columns > 0) & (np.minimum(per_row, shown) >= rules.columns)
    some = np.flatnonzero(by_count | by_columns)
    batch = np.cumsum(shown[some]) // PAGES_AT_ONCE
    parts = [some[batch == number] for number in np.unique(batch)] or [some]
    goals = join([_goals_of_batch(rules, part, faults, address_map) for part in parts])
    return take(goals, np.lexsort((goals.error, goals.rule)))


def _goals_of_batch(rules: _Rules, some: Ints, faults: FaultTable, address_map: AddressMap) -> _Goals:
    """List the rows that windows of the faults of some rules can take to a limit."""
    mine = rules.take(some)
    n_pages = faults.n_pages[mine.fault]
    of, page = expand_counts(np.minimum(mine.most, n_pages))
    row = rows_of_pages(faults, address_map, mine.fault[of], page)
    order = np.lexsort((row, of))
    of, page, row = of[order], page[order], row[order]
    begin = np.flatnonzero((np.diff(of, prepend=-1) != 0) | (np.diff(row, prepend=-1) != 0))
    size, of, row = np.diff(begin, append=page.size), of[begin], row[begin]
    threshold, columns, most = mine.threshold[of], mine.columns[of], mine.most[of]
    turn, place = np.divmod(np.maximum(threshold, 1) - 1, size)
    counted = (threshold > 0) & ((turn == 0) | (most > n_pages[of]))
    by_count = np.where(counted, page[begin + place] + 1 + n_pages[of] * turn, FOREVER)
    spread = (columns > 0) & (columns <= size)
    by_columns = np.where(spread, page[begin + np.where(spread, columns - 1, 0)] + 1, FOREVER)
    error, trigger = _earlier(by_count, by_columns)
    found = error <= most
    return _Goals(some[of[found]], row[found], error[found], trigger[found])


def hard_reaches(watched: Watched) -> Reaches:
    """Return the rows that errors of hard faults take to a limit in each era, were every error seen."""
    eras, spans, index, faults, address_map = watched
    some = np.flatnonzero(watched.whole() & ~watched.soft())
    if not some.size:
        return Reaches.none()
    era, last = spans.era[some], spans.last[some]
    known, of_span = np.unique(era, return_inverse=True)
    asked = np.stack((eras.fault[known], eras.threshold[known], eras.columns[known]))
    asked, of_era = np.unique(asked, axis=1, return_inverse=True)
    rule, most = of_era.reshape(-1)[of_span], np.zeros(asked.shape[1], np.int64)
    np.maximum.at(most, rule, last)
    goals = _goals_of(_Rules(asked[0], asked[1], asked[2], most), faults, address_map)
    first = np.searchsorted(goals.rule, rule)
    count = np.searchsorted(goals.rule * _NUMBERS + goals.error, rule * _NUMBERS + last, side="right") - first
    before, after = running_most(era, count)
    which, step = expand_counts(after - before)
    goal, span = first[which] + before[which] + step, some[which]
    error = goals.error[goal]
    time_ns = error_time_ns(index.windows.take(spans.window[span]), error)
    return Reaches(era[which], goals.row[goal], span, error, time_ns, goals.trigger[goal])


def soft_reaches(watched: Watched, out: Marks) -> Reaches:
    """Return the rows that the errors of soft faults take to a limit in each era: each page has one at most.

    Args:
        watched: Eras and their windows.
        out: Pages out of use, whose errors only the scrubber sees.
    """
    eras, spans, index, faults, address_map = watched
    some = np.flatnonzero(watched.whole() & watched.soft())
    if not some.size:
        return Reaches.none()
    era, windows = spans.era[some], index.windows.take(spans.window[some])
    row = rows_of_pages(faults, address_map, eras.fault[era], windows.page)
    seen = windows.scrub | (windows.low_ns < out.look_up(era, windows.page).out_ns)
    order = np.lexsort((windows.low_ns, windows.window, row, era))
    order = order[seen[order]]
    era, row, some, windows = era[order], row[order], some[order], windows.take(order)
    new = np.any([np.diff(part, prepend=-1) != 0 for part in (era, row, windows.window)], axis=0)
    begin = np.flatnonzero(new)
    rank = np.arange(era.size) - np.repeat(begin, np.diff(begin, append=era.size)) + 1
    limits = (np.where(part > 0, part, FOREVER) for part in (eras.threshold[era], eras.columns[era]))
    limit, trigger = _earlier(*limits)
    hit = np.flatnonzero(rank == limit)
    hit = hit[np.lexsort((windows.low_ns[hit], row[hit], era[hit]))]
    hit = hit[(np.diff(era[hit], prepend=-1) != 0) | (np.diff(row[hit], prepend=-1) != 0)]
    return Reaches(era[hit], row[hit], some[hit], np.ones_like(hit), windows.low_ns[hit], trigger[hit])


class RowPages(NamedTuple):
    """Pages of rows among those of their own faults, ordered by (row, page): index of the row, number of the page."""

    which: Ints
    page: Ints


def reaches_despite(watched: Watched, reaches: Reaches, pages: RowPages, out: Marks) -> Reaches:
    """Return when rows of hard faults reach their limits where some of their pages are out of use.

    Args:
        watched: Eras and their windows.
        reaches: The rows, as they would if every error were seen.
        pages: Their pages.
        out: Pages out of use, whose errors only the scrubber sees.
    """
    begin, end = (np.searchsorted(watched.spans.era, reaches.era, side=side) for side in ("left", "right"))
    n_pages = np.bincount(pages.which, minlength=reaches.era.size)
    batch = np.cumsum((end - begin) * n_pages) // PAGES_AT_ONCE
    parts = (np.flatnonzero(batch == number) for number in np.unique(batch))
    found = [_batch_despite(watched, reaches, some, pages, out) for some in parts]
    return join(found) if found else reaches


class _SeenPages(NamedTuple):
    """Errors of rows in windows by page: index of the (row, window), page, pages that show errors, errors seen."""

    pair: Ints
    page: Ints
    shown: Ints
    seen: Ints


def _batch_despite(watched: Watched, reaches: Reaches, some: Ints, pages: RowPages, out: Marks) -> Reaches:
    """Return when some of the rows reach their limits; arguments as of ``reaches_despite``."""
    eras, spans, index, _, _ = watched
    mine = reaches.take(some)
    begin = np.searchsorted(spans.era, mine.era)
    which, step = expand_counts(np.searchsorted(spans.era, mine.era, side="right") - begin)
    span = begin[which] + step
    enough = watched.whole()[span] & (spans.last[span] >= mine.error[which])
    which, span = which[enough], span[enough]
    found = _seen_pages(watched, some[which], span, pages, out)
    counts = np.bincount(found.pair, found.seen, which.size).astype(np.int64)
    columns = np.bincount(found.pair, found.seen > 0, which.size).astype(np.int64)
    threshold, wide = eras.threshold[mine.era[which]], eras.columns[mine.era[which]]
    reached = np.flatnonzero(((threshold > 0) & (counts >= threshold)) | ((wide > 0) & (columns >= wide)))
    reached = reached[np.diff(which[reached], prepend=-1) != 0]  # the first window of each row
    error, trigger = _first_error(found, reached, threshold, wide)
    row, at = which[reached], span[reached]
    late = mine._replace(time_ns=np.full(some.size, FOREVER))
    late.span[row], late.error[row], late.trigger[row] = at, error, trigger
    late.time_ns[row] = error_time_ns(index.windows.take(spans.window[at]), error)
    return late


def _seen_pages(watched: Watched, row: Ints, span: Ints, pages: RowPages, out: Marks) -> _SeenPages:
    """Count the errors of rows in windows that are seen, page by page."""
    _, spans, index, _, _ = watched
    first = np.searchsorted(pages.which, row)
    pair, step = expand_counts(np.searchsorted(pages.which, row, side="right") - first)
    page, at = pages.page[first[pair] + step], span[pair]
    shown = index.windows.n_pages[spans.window[at]]
    inside = page < shown
    pair, page, at, shown = pair[inside], page[inside], at[inside], shown[inside]
    last = np.minimum(spans.last[at], last_seen(spans, at, page, index, out))
    return _SeenPages(pair, page, shown, np.maximum(last - page - 1 + shown, 0) // shown)


def _first_error(found: _SeenPages, reached: Ints, threshold: Ints, columns: Ints) -> tuple[Ints, Ints]:
    """Return at which error each of the (row, window) in ``reached`` comes to its limit, and to which."""
    chosen = np.full(threshold.size, -1)
    chosen[reached] = np.arange(reached.size)
    here = np.flatnonzero(chosen[found.pair] >= 0)
    of, step = expand_counts(found.seen[here])
    of = here[of]
    number, of = found.page[of] + 1 + found.shown[of] * step, chosen[found.pair[of]]
    order = np.lexsort((number, of))
    of, number, fresh = of[order], number[order], step[order] == 0
    by_count = _nth(of, number, threshold[reached], reached.size)
    return _earlier(by_count, _nth(of[fresh], number[fresh], columns[reached], reached.size))


def _nth(of: Ints, number: Ints, nth: Ints, n: int) -> Ints:
    """Return the ``nth`` number of each of ``n`` groups, ``FOREVER`` where there are fewer or 0 is asked for."""
    begin, end = (np.searchsorted(of, np.arange(n), side=side) for side in ("left", "right"))
    enough = (nth > 0) & (end - begin >= nth)
    found = np.full(n, FOREVER)
    found[enough] = number[(begin + nth - 1)[enough]]
    return found
