"""Corrected errors as an arm sees them: windows cut by downtime, pages taken offline by threshold.

**Models.** An *era* is a stretch of time in which a fault's DIMM is in place and the node up without a reboot.
Within an era a daemon counts the corrected errors of each page per window and soft-offlines the page at the
threshold; an offlined page shows no more errors until the next boot.

**Leaves out.** Decay of counters between windows, limits on offlined pages, errors of pages withdrawn by
``memory_failure()``.

**Assumes.** Counting starts with the first whole window after a boot. Kernel pages cannot be soft-offlined and
stay in use; all other uses of the fleet can.

**Sources.** Soft offline: mm/memory-failure.c ``soft_offline_page()``, Linux 6.1; order statistics:
``dram/corrected.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import Observer, OfflineResult
from node_sim.corrected.windows import Windows, error_time_ns, errors_before
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.memory.pages import make_frames
from node_sim.records import Flags, Index, Ints, expand_counts, take
from node_sim.units import FOREVER

EIO = -5
_WIDE = 1 << 24
"""More than the pages one window can show."""


class Eras(NamedTuple):
    """Eras of faults, arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        fault: Index into the fault table.
        from_ns: Start of the era [ns].
        to_ns: End of the era [ns].
        threshold: Corrected errors of a page in a window that take it offline; 0 = never.
    """

    lane: Ints
    fault: Ints
    from_ns: Ints
    to_ns: Ints
    threshold: Ints

    def take(self, index: Index) -> Eras:
        """Select some eras."""
        return take(self, index)


class Spans(NamedTuple):
    """Windows as eras see them: errors ``first`` < i <= ``last`` of each window fall into the era."""

    era: Ints
    window: Ints
    first: Ints
    last: Ints


class Offlines(NamedTuple):
    """Pages that reach the threshold, ordered by (era, page); arrays of shape ``(n,)``."""

    era: Ints
    span: Ints
    page: Ints
    error: Ints
    time_ns: Ints
    pfn: Ints
    offlined: Flags


class WindowIndex:
    """Windows with the range of each fault, for joining them to eras."""

    def __init__(self, windows: Windows, n_faults: int) -> None:
        """Index windows that are ordered by fault."""
        self.windows = windows
        self.start = np.searchsorted(windows.fault, np.arange(n_faults))
        self.size = np.searchsorted(windows.fault, np.arange(n_faults), side="right") - self.start


def spans_of(eras: Eras, index: WindowIndex) -> Spans:
    """Join eras with the windows of their faults, and cut the windows at the ends of the eras."""
    era, step = expand_counts(index.size[eras.fault])
    window = index.start[eras.fault[era]] + step
    low, high = index.windows.low_ns[window], index.windows.high_ns[window]
    inside = (high > eras.from_ns[era]) & (low < eras.to_ns[era])
    if not inside.all():
        era, window, low, high = era[inside], window[inside], low[inside], high[inside]
    first, last = np.zeros(era.size, np.int64), index.windows.errors[window]
    for cut_ns, edge in ((eras.from_ns[era], first), (eras.to_ns[era], last)):
        cut = np.flatnonzero((low < cut_ns) & (high > cut_ns))
        if cut.size:
            edge[cut] = errors_before(index.windows.take(window[cut]), cut_ns[cut])
    some = first < last
    if some.all():
        return Spans(era, window, first, last)
    return Spans(era[some], window[some], first[some], last[some])


def _pages_at_threshold(eras: Eras, spans: Spans, index: WindowIndex) -> tuple[Ints, Ints]:
    """Pages (0 … m-1) of each span's fault past the threshold before and after the span."""
    windows = index.windows
    threshold = eras.threshold[spans.era]
    shown = windows.n_pages[spans.window]
    whole = (threshold > 0) & (spans.first == 0) & (windows.low_ns[spans.window] >= eras.from_ns[spans.era])
    reached = np.where(whole, np.clip(spans.last - (threshold - 1) * shown, 0, shown), 0)
    after = np.maximum.accumulate(reached + spans.era * _WIDE) - spans.era * _WIDE
    same = np.diff(spans.era, prepend=-1) == 0
    before = np.where(same, np.concatenate(([0], after[:-1]))[: after.size], 0)
    return before, after


def find_offlines(
    eras: Eras,
    spans: Spans,
    index: WindowIndex,
    faults: FaultTable,
    address_map: AddressMap,
    kernel: tuple[Seed, float],
) -> tuple[Offlines, Ints, Ints]:
    """Find every page that reaches its threshold.

    Args:
        eras: Eras, each with its threshold.
        spans: Their windows.
        index: All windows.
        faults: All faults.
        address_map: Of the nodes.
        kernel: Seed and share of kernel blocks; pages there cannot be offlined.

    Returns:
        The pages, and for each span how many pages of the fault were past the threshold before and after it.
    """
    before, after = _pages_at_threshold(eras, spans, index)
    span, step = expand_counts(after - before)
    page = before[span] + step
    window = spans.window[span]
    threshold = eras.threshold[spans.era[span]]
    error = page + 1 + (threshold - 1) * index.windows.n_pages[window]
    fault = eras.fault[spans.era[span]]
    pfn = address_map.page(faults.box.take(fault), page)
    seed, share = kernel
    fixed = make_frames(seed, faults.node_id[fault], pfn, share).kernel
    time_ns = error_time_ns(index.windows.take(window), error)
    return Offlines(spans.era[span], span, page, error, time_ns, pfn, ~fixed), before, after


class _DeadPages:
    """Which of a fault's first pages are offline, for counting and stepping over them."""

    def __init__(self, offlines: Offlines, n_eras: int) -> None:
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


def _live_up_to(dead: _DeadPages, era: Ints, error: Ints, shown: Ints, before: Ints) -> Ints:
    """Errors 1 … ``error`` of a window that fall on pages live before the window."""
    cycles, rest = np.divmod(error, shown)
    whole = shown - dead.count(era, np.minimum(before, shown))
    live: Ints = cycles * whole + rest - dead.count(era, np.minimum(rest, before))
    return live


def _first_live(dead: _DeadPages, era: Ints, first: Ints, shown: Ints, before: Ints) -> Ints:
    """First error after ``first`` on a page live before the window."""
    page = first % shown
    end = np.minimum(before, shown)
    ahead = np.where(page >= end, page, dead.first_live(era, np.minimum(page, end), end))
    wrapped = dead.first_live(era, np.zeros_like(page), end) + shown
    return first + 1 + np.where(ahead < shown, ahead, wrapped) - page


def _last_live(dead: _DeadPages, era: Ints, last: Ints, shown: Ints, after: Ints) -> Ints:
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


def _live_in_whole(dead: _DeadPages, spans: Spans, threshold: Ints, shown: Ints, pages: Ints, error: Ints) -> Ints:
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
    dead, threshold, wanted = _DeadPages(offlines, eras.lane.size), eras.threshold[mine.era], limit[mine.era]

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
    dead = _DeadPages(offlines, eras.lane.size)
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


def observer_code(windows: Windows) -> Ints:
    """Return the stored observer of each window."""
    return np.where(windows.scrub, int(Observer.SCRUB), int(Observer.DEMAND))


def offline_columns(offlines: Offlines) -> dict[str, Ints]:
    """Return result and errno of each attempt to offline a page."""
    return {
        "result": np.where(offlines.offlined, int(OfflineResult.OFFLINED), int(OfflineResult.UNHANDLABLE)),
        "errno": np.where(offlines.offlined, 0, EIO),
    }
