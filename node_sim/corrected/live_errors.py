"""Corrected errors on pages still in use: how many are left of a window once pages have gone offline.

**Models.** The errors of a window fall on its pages in turn, so counts, first and last error follow from the numbers of
the pages that are offline, without a list of errors.

**Leaves out.** Errors of pages that a bad page or a boot takes away; eras end there.

**Assumes.** A page leaves at its error number ``threshold`` of the window, and that error is still seen.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.eras import Eras, Spans, WindowIndex, spans_of
from node_sim.corrected.offlining import Offlines, find_offlines
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.records import Ints, take
from node_sim.units import FOREVER


class DeadPages:
    """Which of a fault's first pages are offline, for counting and stepping over them."""

    def __init__(self, offlines: Offlines, n_eras: int) -> None:
        """Index the pages at the threshold, which are ordered by (era, page)."""
        self.start = np.searchsorted(offlines.era, np.arange(n_eras))
        dead = offlines.offlined.astype(np.int64)
        self.before = np.concatenate(([0], np.cumsum(dead)))
        position = np.arange(dead.size)
        live = np.where(offlines.offlined, -1, position)
        self.previous = np.append(np.maximum.accumulate(live), -1)
        ahead = np.where(offlines.offlined, dead.size, position)
        self.next = np.append(np.minimum.accumulate(ahead[::-1])[::-1], dead.size)
        gone = np.where(offlines.offlined, position, -1)
        self.previous_dead = np.maximum.accumulate(gone)

    def count(self, era: Ints, page: Ints) -> Ints:
        """Offline pages below ``page`` in each era; ``page`` must not exceed the era's pages at the threshold."""
        start = self.start[era]
        below: Ints = self.before[start + page] - self.before[start]
        return below

    def last_live(self, era: Ints, page: Ints) -> Ints:
        """Last live page <= ``page`` among those at the threshold, or -1."""
        start = self.start[era]
        found = self.previous[start + page]
        return np.where(found >= start, found - start, -1)

    def first_live(self, era: Ints, page: Ints, end: Ints) -> Ints:
        """First live page >= ``page`` and < ``end`` among those at the threshold, or ``end``."""
        start = self.start[era]
        found: Ints = np.minimum(self.next[start + page] - start, end)
        return found

    def last_dead(self, era: Ints, end: Ints) -> Ints:
        """Last offline page < ``end``, or -1; ``end`` > 0."""
        start = self.start[era]
        found = self.previous_dead[start + end - 1]
        return np.where(found >= start, found - start, -1)


class SpanCounts(NamedTuple):
    """What is left of each span: live errors, live pages, first and last live error (0 where none)."""

    errors: Ints
    n_pages: Ints
    first: Ints
    last: Ints


def _live_up_to(dead: DeadPages, era: Ints, error: Ints, shown: Ints, before: Ints) -> Ints:
    """Errors 1 … ``error`` of a window that fall on pages live before the window."""
    cycles, rest = np.divmod(error, shown)
    whole = shown - dead.count(era, np.minimum(before, shown))
    live: Ints = cycles * whole + rest - dead.count(era, np.minimum(rest, before))
    return live


def _first_live(dead: DeadPages, era: Ints, first: Ints, shown: Ints, before: Ints) -> Ints:
    """First error after ``first`` on a page live before the window."""
    page = first % shown
    end = np.minimum(before, shown)
    ahead = np.where(page >= end, page, dead.first_live(era, np.minimum(page, end), end))
    wrapped = dead.first_live(era, np.zeros_like(page), end) + shown
    return first + 1 + np.where(ahead < shown, ahead, wrapped) - page


def _last_live(dead: DeadPages, era: Ints, last: Ints, shown: Ints, after: Ints) -> Ints:
    """Last error up to ``last`` on a page still live after the window; 0 or less if none."""
    end = np.minimum(after, shown)
    page = (last - 1) % shown

    def step_back(at: Ints) -> Ints:
        known = dead.last_live(era, np.clip(np.minimum(at, end - 1), 0, None))
        return np.where(at >= end, at, np.where(end > 0, known, -1))

    here = step_back(page)
    top = step_back(shown - 1)
    back = np.where(here >= 0, page - here, np.where(top >= 0, page + shown - top, last))
    return last - back


def _live_in_whole(dead: DeadPages, spans: Spans, threshold: Ints, shown: Ints, pages: Ints, error: Ints) -> Ints:
    """Errors 1 … ``error`` of whole windows that fall on pages in use at their time.

    Args:
        dead: Offline pages.
        spans: Spans of the windows.
        threshold: Of each span.
        shown: Pages that show the window's errors.
        pages: Pages past the threshold before and after each span, shape ``(2, n)``.
        error: Number of the last error counted.
    """
    before, after = pages
    cycles, rest = np.divmod(error, shown)
    gone = dead.count(spans.era, before)
    dying = dead.count(spans.era, after) - gone
    started = dead.count(spans.era, np.clip(rest, before, after)) - gone
    too_many = np.where(cycles >= threshold, (cycles - threshold) * dying + started, 0)
    live: Ints = _live_up_to(dead, spans.era, error, shown, before) - too_many
    return live


def limit_times(
    eras: Eras,
    index: WindowIndex,
    faults: FaultTable,
    address_map: AddressMap,
    kernel: tuple[Seed, float],
    limit: Ints,
) -> Ints:
    """Return when each era first shows ``limit`` errors in one whole window, ``FOREVER`` if it never does [ns].

    Args:
        eras: Eras that end at the horizon, shape ``(n,)``.
        index: All windows.
        faults: All faults.
        address_map: Of the nodes.
        kernel: As in ``find_offlines``.
        limit: Errors on pages in use, > 0, shape ``(n,)``.
    """
    spans = spans_of(eras, index)
    offlines, *pages = find_offlines(eras, spans, index, faults, address_map, kernel)
    windows = index.windows
    enough = (spans.last >= limit[spans.era]) & (spans.first == 0)
    some = np.flatnonzero(enough & (windows.low_ns[spans.window] >= eras.from_ns[spans.era]))
    mine, reached = take(spans, some), np.asarray(pages)[:, some]
    window = windows.take(mine.window)
    dead, threshold, wanted = DeadPages(offlines, eras.lane.size), eras.threshold[mine.era], limit[mine.era]

    def live(error: Ints) -> Ints:
        return _live_in_whole(dead, mine, threshold, window.n_pages, reached, error)

    low, high = wanted - 1, mine.last
    late = live(high) < wanted
    while (low + 1 < high).any():
        middle = (low + high) // 2
        enough = live(middle) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    time_ns = np.where(late, FOREVER, error_time_ns(window, high))
    found = np.full(eras.lane.size, FOREVER)
    np.minimum.at(found, mine.era, time_ns)
    return found


def count_live(
    eras: Eras, spans: Spans, index: WindowIndex, offlines: Offlines, before: Ints, after: Ints
) -> SpanCounts:
    """Count the errors of each span that fall on pages still in use."""
    windows = index.windows
    era, shown = spans.era, windows.n_pages[spans.window]
    first, last = spans.first, spans.last
    if offlines.page.size == 0:
        seen = last - first
        return SpanCounts(seen, np.minimum(seen, shown), first + 1, last)
    dead = DeadPages(offlines, eras.lane.size)
    upper = _live_up_to(dead, era, last, shown, before)
    count = upper - _live_up_to(dead, era, first, shown, before)
    pages = np.where(last - first >= shown, shown - dead.count(era, np.minimum(before, shown)), count)
    cut = np.flatnonzero(offlines.offlined)
    span = offlines.span[cut]
    of_page = (last[span] - offlines.page[cut] - 1) // shown[span] + 1
    np.subtract.at(count, span, of_page - eras.threshold[offlines.era[cut]])
    begin = _first_live(dead, era, first, shown, before)
    finish = _last_live(dead, era, last, shown, after)
    fresh = np.flatnonzero(after > before)
    newest = dead.last_dead(era[fresh], after[fresh])
    by_threshold = newest + 1 + (eras.threshold[era[fresh]] - 1) * shown[fresh]
    finish[fresh] = np.maximum(finish[fresh], np.where(newest >= before[fresh], by_threshold, 0))
    return SpanCounts(count, pages, begin, finish)
