"""Windows of hard faults some of whose pages are out of use: how many of their errors are still seen, and which.

**Models.** Nobody but the patrol scrubber reads a page from the time on at which it is out of use. The errors of a
window fall on its pages in turn, so what is left follows from the numbers of those pages, without a list of errors.

**Leaves out.** Soft faults, whose errors are windows of their own.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import BY_ROW, Offlines
from node_sim.corrected.eras import Spans, WindowIndex
from node_sim.corrected.marks import Marks, merge_marks, name_page, page_of
from node_sim.corrected.windows import errors_before
from node_sim.records import Ints, expand_counts
from node_sim.units import FOREVER

MANY = 1 << 32
"""More than the errors of a window."""


class SpanCounts(NamedTuple):
    """What is left of each span: live errors, live pages, first and last live error (0 where none)."""

    errors: Ints
    n_pages: Ints
    first: Ints
    last: Ints


def last_before(span: Ints, out_ns: Ints, spans: Spans, index: WindowIndex) -> Ints:
    """Return the number of the last error of windows that comes before pages go out of use [ns], ``MANY`` if all do.

    Equal times of one span stand together, for they are looked up once: all pages of a row or a huge page go at once.
    """
    new = (np.diff(span, prepend=-1) != 0) | (np.diff(out_ns, prepend=-1) != 0)
    until_ns, windows = out_ns[new], index.windows.take(spans.window[span[new]])
    number = np.where(until_ns >= windows.high_ns, MANY, 0)
    cut = np.flatnonzero((windows.low_ns < until_ns) & (until_ns < windows.high_ns))
    number[cut] = errors_before(windows.take(cut), until_ns[cut])
    last: Ints = number[np.cumsum(new) - 1]
    return last


def last_seen(spans: Spans, span: Ints, page: Ints, index: WindowIndex, out: Marks) -> Ints:
    """Return the number of the last error that is seen of pages in spans, ``MANY`` if all of them are."""
    out_ns = out.look_up(spans.era[span], page).out_ns
    until = np.full(span.size, MANY)
    gone = np.flatnonzero((out_ns < FOREVER) & ~index.windows.scrub[spans.window[span]])
    until[gone] = last_before(span[gone], out_ns[gone], spans, index)
    return until


class Leaving(NamedTuple):
    """Pages of eras that go out of use, each (era, page) once, in order; arrays of shape ``(n,)``.

    Attributes:
        name: Era and number of the page in one word.
        out_ns: When others take it out of use [ns], ``FOREVER`` if they do not.
        span: The span in which the era's own count takes it offline, ``MANY`` if it does not.
        error: Number of the error in that span that leads to it, which is still seen.
    """

    name: Ints
    out_ns: Ints
    span: Ints
    error: Ints

    @classmethod
    def of(cls, out: Marks, offlines: Offlines) -> Leaving:
        """Put together marks that take pages out of use and pages that counting takes offline."""
        own = offlines.take(offlines.offlined & (offlines.page < BY_ROW))
        by_others = cls(out.name, out.out_ns, *(np.full(out.name.size, MANY) for _ in range(2)))
        by_count = cls(name_page(own.era, own.page), np.full(own.era.size, FOREVER), own.span, own.error)
        return merge_marks([by_others, by_count])

    def in_era(self, era: Ints) -> Ints:
        """Count the pages of eras."""
        nothing = np.zeros_like(era)
        return np.searchsorted(self.name, name_page(era + 1, nothing)) - np.searchsorted(
            self.name, name_page(era, nothing)
        )


class _Gone(NamedTuple):
    """Pages of spans that go out of use: position of the span, number of the page, last error of it that is seen."""

    which: Ints
    page: Ints
    until: Ints


def _gone(spans: Spans, some: Ints, index: WindowIndex, leaving: Leaving) -> _Gone:
    """List the pages that are out of use before the last errors of some spans."""
    era, shown = spans.era[some], index.windows.n_pages[spans.window[some]]
    first, end = (np.searchsorted(leaving.name, name_page(era, page)) for page in (np.zeros_like(era), shown))
    which, step = expand_counts(end - first)
    at = first[which] + step
    span, own = some[which], leaving.span[at]
    until = np.where(span < own, MANY, np.where(span == own, leaving.error[at], 0))
    marked = np.flatnonzero(leaving.out_ns[at] < FOREVER)
    by_others = last_before(span[marked], leaving.out_ns[at[marked]], spans, index)
    until[marked] = np.minimum(until[marked], by_others)
    until[index.windows.scrub[spans.window[span]]] = MANY
    late = until < spans.last[span]
    return _Gone(which[late], page_of(leaving.name[at[late]]), until[late])


def _on_page(number: Ints, page: Ints, shown: Ints) -> Ints:
    """Count the errors 1 … ``number`` of windows that fall on a page, one of so many pages that show them."""
    count: Ints = (number - page - 1 + shown) // shown
    return count


def _leading(which: Ints, steps: Ints, n: int) -> Ints:
    """Return how many of 0, 1, 2, … are among the distinct ``steps`` of each of ``n`` groups before one is not."""
    order = np.lexsort((steps, which))
    which, steps = which[order], steps[order]
    rank = np.arange(which.size) - np.searchsorted(which, which)
    return np.bincount(which[steps == rank], minlength=n)


def count_marked(spans: Spans, some: Ints, index: WindowIndex, leaving: Leaving) -> SpanCounts:
    """Count the errors of some spans of hard faults that are seen.

    Args:
        spans: All spans.
        some: Which of them, shape ``(n,)``.
        index: All windows.
        leaving: Pages that go out of use.
    """
    gone, n = _gone(spans, some, index, leaving), some.size
    first, last, shown = spans.first[some], spans.last[some], index.windows.n_pages[spans.window[some]]
    which, page = gone.which, gone.page
    begin, end, turn = first[which], last[which], shown[which]
    until = np.clip(gone.until, begin, end)
    before, seen, shows = (_on_page(number, page, turn) for number in (begin, until, end))
    errors = last - first - np.bincount(which, shows - seen, n).astype(np.int64)
    unseen = (shows > before) & (seen == before)
    n_pages = np.minimum(last - first, shown) - np.bincount(which[unseen], minlength=n)
    ahead = _leading(which[unseen], ((page - begin) % turn)[unseen], n)
    newest = end - (end - 1 - page) % turn
    cut = (shows > before) & (newest > until)
    back = _leading(which[cut], (end - newest)[cut], n)
    latest = np.where(back < np.minimum(last - first, shown), last - back, 0)
    kept = cut & (seen > before)
    np.maximum.at(latest, which[kept], (until - (until - 1 - page) % turn)[kept])
    some_left = errors > 0
    return SpanCounts(errors, n_pages, np.where(some_left, first + 1 + ahead, 0), np.where(some_left, latest, 0))
