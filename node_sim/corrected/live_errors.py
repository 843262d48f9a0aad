"""Corrected errors that are still seen: how many are left of a window once pages have gone out of use.

**Models.** Nobody reads a page that is out of use, but for the patrol scrubber, which reads physical memory: it goes on
to report it. The errors of a window fall on its pages in turn, so counts, first and last error follow from the numbers
of the pages that are offline, without a list of errors: those below a number where only the era's own count takes pages
offline, in turn, and of each page where others have marked some, too (``marked_windows.py``).

**Leaves out.** Errors that a boot takes away; eras end there.

**Assumes.** A page leaves at the error that takes it to its limit, and that error is still seen.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import BY_ROW, Offlines
from node_sim.corrected.eras import Eras, Spans, WindowIndex
from node_sim.corrected.marked_windows import MANY, Leaving, SpanCounts, count_marked, last_before
from node_sim.corrected.marks import Marks, find_names, name_page
from node_sim.corrected.offlining import Counted
from node_sim.corrected.windows import errors_before, page_of_error
from node_sim.records import Flags, Index, Ints, expand_counts, join, take
from node_sim.units import FOREVER

ERRORS_AT_ONCE = 1 << 20
"""Errors that are gone through together."""


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


class SeenErrors(NamedTuple):
    """Errors that are seen, ordered by (span, number): the span, the number in its window, the page; shape ``(n,)``."""

    span: Ints
    number: Ints
    page: Ints

    def take(self, index: Index) -> SeenErrors:
        """Select some errors."""
        return take(self, index)


def _out_before(errors: SeenErrors, spans: Spans, index: WindowIndex, marks: Marks) -> Ints:
    """Return which errors come after their page has gone out of use by a mark, by position."""
    marks = marks.take(marks.out_ns < FOREVER)
    hit, at = find_names(marks.name, name_page(spans.era[errors.span], errors.page))
    # Errors of one page and span share the answer; marks of pages without errors in it are not asked about.
    pair, of_pair = np.unique(errors.span[hit] * marks.name.size + at, return_inverse=True)
    span, mark = np.divmod(pair, max(marks.name.size, 1))
    until = last_before(span, marks.out_ns[mark], spans, index)
    return hit[errors.number[hit] > until[of_pair]]


def go_through(spans: Spans, some: Ints, index: WindowIndex, counted: Counted) -> SeenErrors:
    """List the errors of some spans that are seen.

    Args:
        spans: All spans.
        some: Which of them, ascending.
        index: All windows.
        counted: Pages offline and marks.
    """
    mine, step = expand_counts(spans.last[some] - spans.first[some])
    span = some[mine]
    number = spans.first[span] + step + 1
    errors = SeenErrors(span, number, page_of_error(index.windows, spans.window[span], number))
    own = counted.offlines.take(counted.offlines.offlined)
    unseen = np.zeros(span.size, np.bool_)
    unseen[_out_before(errors, spans, index, counted.marks)] = True
    hit, at = find_names(name_page(own.era, own.page), name_page(spans.era[span], errors.page))
    unseen[hit] |= (span[hit] > own.span[at]) | ((span[hit] == own.span[at]) & (number[hit] > own.error[at]))
    return errors.take(~unseen | index.windows.scrub[spans.window[span]])


def count_seen_before(
    eras: Eras, spans: Spans, which: Ints, time_ns: Ints, index: WindowIndex, counted: Counted
) -> Ints:
    """Count the errors of spans that are seen before given times.

    Args:
        eras: Of the spans.
        spans: All spans.
        which: Which of them, shape ``(n,)``; any may be asked about several times.
        time_ns: Times, shape ``(n,)``.
        index: All windows.
        counted: Pages offline and marks.
    """
    number = errors_before(index.windows.take(spans.window[which]), time_ns)
    first = spans.first[which]
    count = np.clip(number, first, spans.last[which]) - first
    fewer = np.flatnonzero(_has_own(eras, counted)[spans.era[which]] | _is_out_by(eras, spans, which, time_ns, counted))
    asked = np.unique(which[fewer])
    for batch in _batches(spans.last[asked] - spans.first[asked]) if asked.size else []:
        part = asked[batch]
        mine = fewer[(which[fewer] >= part[0]) & (which[fewer] <= part[-1])]
        seen = go_through(spans, part, index, counted)
        name, most = seen.span * MANY + seen.number, which[mine] * MANY
        count[mine] = np.searchsorted(name, most + number[mine], side="right") - np.searchsorted(name, most)
    return count


def _has_own(eras: Eras, counted: Counted) -> Flags:
    """Return in which eras counting by page takes some offline, shape ``(n_eras,)``."""
    offlines, own = counted.offlines, np.zeros(eras.lane.size, np.bool_)
    own[offlines.era[offlines.offlined & (offlines.page < BY_ROW)]] = True
    return own


def _is_out_by(eras: Eras, spans: Spans, which: Ints, time_ns: Ints, counted: Counted) -> Flags:
    """Return in which spans a marked page goes out of use before a time; all errors until then are seen elsewhere."""
    return counted.marks.first_out_ns(eras.lane.size)[spans.era[which]] < time_ns


def _batches(work: Ints) -> list[Ints]:
    """Split positions so that the work of each part stays small; one part at least, which may be empty."""
    batch = np.cumsum(work) // ERRORS_AT_ONCE
    return [np.flatnonzero(batch == number) for number in np.unique(batch)] or [np.arange(work.size)]


def count_live(eras: Eras, spans: Spans, index: WindowIndex, counted: Counted) -> SpanCounts:
    """Count the errors of each span that are seen."""
    first, last, shown = spans.first, spans.last, index.windows.n_pages[spans.window]
    seen = last - first
    counts = SpanCounts(seen, np.minimum(seen, shown), first + 1, last)
    offlines, marks = counted.offlines, counted.marks
    if offlines.era.size == 0 and marks.name.size == 0:
        return counts
    marked = marks.touched(eras.lane.size)[spans.era]
    late = index.windows.high_ns[spans.window] > marks.first_out_ns(eras.lane.size)[spans.era]
    soft = index.windows.soft[spans.window]
    fewer = ~index.windows.scrub[spans.window] & (_has_own(eras, counted)[spans.era] | late)
    by_turns = np.flatnonzero(fewer & ~marked & ~soft)
    by_pages = np.flatnonzero(fewer & marked & ~soft)
    one_error = np.flatnonzero(fewer & marked & soft)
    for some, part in (
        (by_turns, _count_by_turns(eras, spans, by_turns, index, counted)),
        (by_pages, _count_by_pages(spans, by_pages, index, counted)),
        (one_error, _count_soft(spans, one_error, index, counted)),
    ):
        for column, cells in zip(counts, part, strict=True):
            column[some] = cells
    return counts


def _count_by_pages(spans: Spans, some: Ints, index: WindowIndex, counted: Counted) -> SpanCounts:
    """Count what is left of some spans of hard faults, from the numbers of the pages that go out of use."""
    leaving = Leaving.of(counted.out_of_use, counted.offlines)
    parts = _batches(np.minimum(leaving.in_era(spans.era[some]), index.windows.n_pages[spans.window[some]]))
    return join([count_marked(spans, some[part], index, leaving) for part in parts])


def _count_soft(spans: Spans, some: Ints, index: WindowIndex, counted: Counted) -> SpanCounts:
    """Count what is left of some spans of soft faults, each of which is one error."""
    left = np.isin(some, go_through(spans, some, index, counted).span).astype(np.int64)
    return SpanCounts(left, left, left * (spans.first[some] + 1), left * spans.last[some])


def _count_by_turns(eras: Eras, spans: Spans, some: Ints, index: WindowIndex, counted: Counted) -> SpanCounts:
    """Count what is left of some spans of demand reads, from the numbers of the pages that are offline."""
    offlines, before, after = counted.offlines, counted.before[some], counted.after[some]
    era, first, last = spans.era[some], spans.first[some], spans.last[some]
    shown = index.windows.n_pages[spans.window[some]]
    dead = DeadPages(offlines, eras.lane.size)
    upper = _live_up_to(dead, era, last, shown, before)
    count = upper - _live_up_to(dead, era, first, shown, before)
    pages = np.where(last - first >= shown, shown - dead.count(era, np.minimum(before, shown)), count)
    place = np.full(spans.era.size, -1)
    place[some] = np.arange(some.size)
    cut = np.flatnonzero(offlines.offlined & (place[offlines.span] >= 0))
    span = place[offlines.span[cut]]
    of_page = (last[span] - offlines.page[cut] - 1) // shown[span] + 1
    np.subtract.at(count, span, of_page - eras.threshold[offlines.era[cut]])
    begin = _first_live(dead, era, first, shown, before)
    finish = _last_live(dead, era, last, shown, after)
    fresh = np.flatnonzero(after > before)
    newest = dead.last_dead(era[fresh], after[fresh])
    by_threshold = newest + 1 + (eras.threshold[era[fresh]] - 1) * shown[fresh]
    finish[fresh] = np.maximum(finish[fresh], np.where(newest >= before[fresh], by_threshold, 0))
    return SpanCounts(count, pages, begin, finish)
