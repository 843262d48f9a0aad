"""Eras of faults: the time between two boots in which a fault in place can show corrected errors.

**Models.** A window of a fault is cut at the ends of an era: only the errors inside are seen.

**Leaves out.** What is taken offline within an era; it is in ``offlining.py``.

**Assumes.** Counters of pages begin anew with each era.

**Sources.** None.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from node_sim.corrected.windows import Windows, errors_before
from node_sim.records import Flags, Index, Ints, expand_counts, take
from node_sim.server.page_offline import OfflineScope

FEW_WINDOWS: Final = 64
"""Up to so many windows of a fault are all compared with each of its eras."""


class Eras(NamedTuple):
    """Eras of faults, arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        fault: Index into the fault table.
        from_ns: Start of the era [ns].
        to_ns: End of the era [ns].
        threshold: Corrected errors of a page, a row or a bank at which it is to go offline; 0 = never.
        scope: What errors are counted by (``OfflineScope``): all pages of a row or a bank are to go offline together.
        columns: Pages of a row with errors in a window at which it is to go offline, too; 0 = never.
        age_ns: How long an error counts [ns] (``buckets.py``); ``FOREVER`` = until the next boot, 0 = in its window.
        answer: What the kernel answers to that, 0 or a negative errno by kind of page (``OfflineQuestion``), shape
            ``(n, n_questions)``.
    """

    lane: Ints
    fault: Ints
    from_ns: Ints
    to_ns: Ints
    threshold: Ints
    scope: Ints
    columns: Ints
    age_ns: Ints
    answer: Ints

    @property
    def page_threshold(self) -> Ints:
        """Corrected errors in one window at which a single page is to go offline; 0 = never."""
        by_page = (self.scope == OfflineScope.PAGE) & ~self.aged
        return np.where(by_page, self.threshold, 0)

    @property
    def aged(self) -> Flags:
        """Whether errors of several windows count together."""
        found: Flags = self.age_ns > 0
        return found

    @property
    def by_row(self) -> Flags:
        """Whether rows of DIMMs are counted."""
        found: Flags = self.scope == OfflineScope.ROW
        return found

    @property
    def by_bank(self) -> Flags:
        """Whether banks of DIMMs are counted."""
        found: Flags = self.scope == OfflineScope.BANK
        return found

    def take(self, index: Index) -> Eras:
        """Select some eras."""
        return take(self, index)


class Spans(NamedTuple):
    """Windows as eras see them: errors ``first`` < i <= ``last`` of each window fall into the era."""

    era: Ints
    window: Ints
    first: Ints
    last: Ints


_WIDE = 1 << 24
"""More than the pages one window can show."""


def running_most(era: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Return the most of what spans have reached in their eras before each of them, and with it.

    Args:
        era: Era of each span, ascending, shape ``(n,)``.
        count: What each reaches by itself, below 2**24, shape ``(n,)``.
    """
    after = np.maximum.accumulate(count + era * _WIDE) - era * _WIDE
    same = np.diff(era, prepend=-1) == 0
    before = np.where(same, np.concatenate(([0], after[:-1]))[: after.size], 0)
    return before, after


class Turns(NamedTuple):
    """Windows of one fault and number, which come one after the other in time; arrays of shape ``(n,)``.

    Attributes:
        begin: The first of each, and the end of the last, shape ``(n + 1,)``.
        low_ns: Errors fall at or after this time [ns].
        high_ns: … and before this time [ns].
        of: Turn of each window.
    """

    begin: Ints
    low_ns: Ints
    high_ns: Ints
    of: Ints


class WindowIndex:
    """Windows with the range of each fault, for joining them to eras."""

    def __init__(self, windows: Windows, n_faults: int) -> None:
        """Index windows that are ordered by (fault, window)."""
        self.windows = windows
        self.start = np.searchsorted(windows.fault, np.arange(n_faults))
        self.size = np.searchsorted(windows.fault, np.arange(n_faults), side="right") - self.start

    @cached_property
    def turns(self) -> Turns:
        """The windows of each fault and number."""
        fault, window, low_ns, high_ns = self.windows[:4]
        new = (np.diff(fault, prepend=-1) != 0) | (np.diff(window, prepend=-1) != 0)
        first = np.flatnonzero(new)
        begin = np.append(first, fault.size)
        return Turns(begin, np.minimum.reduceat(low_ns, first), np.maximum.reduceat(high_ns, first), np.cumsum(new) - 1)

    def within(self, eras: Eras) -> tuple[Ints, Ints]:
        """Return the first window of the fault of each era that may reach into it, and how many follow each other.

        A node that boots often has many eras, and a fault that lives long many windows; few of these meet.
        """
        start, size = self.start[eras.fault], self.size[eras.fault]
        many = np.flatnonzero(size > FEW_WINDOWS)
        if many.size:
            turns = self.turns
            low, high = turns.of[start[many]], turns.of[start[many] + size[many] - 1] + 1
            first = _first_above(turns.high_ns, low, high, eras.from_ns[many])
            last = _first_above(turns.low_ns, first, high, eras.to_ns[many] - 1)
            start[many], size[many] = turns.begin[first], turns.begin[last] - turns.begin[first]
        return start, size

    def shown(self) -> Ints:
        """Return up to which page of its order each fault shows errors in any window, shape ``(n_faults,)``."""
        return self._shown

    @cached_property
    def _shown(self) -> Ints:
        most, some = np.zeros(self.start.size, np.int64), np.flatnonzero(self.size)
        if some.size:
            pages = np.maximum(self.windows.n_pages, self.windows.page + 1)
            most[some] = np.maximum.reduceat(pages, self.start[some])
        return most


def _first_above(values: Ints, low: Ints, high: Ints, limit: Ints) -> Ints:
    """Return the first places in ranges, in each of which values ascend, whose value is above a limit; else its end."""
    while (low < high).any():
        middle = (low + high) // 2
        above = values[np.minimum(middle, values.size - 1)] > limit
        low, high = np.where(above | (low == high), low, middle + 1), np.where(above, middle, high)
    return low


def spans_of(eras: Eras, index: WindowIndex) -> Spans:
    """Join eras with the windows of their faults, and cut the windows at the ends of the eras."""
    start, size = index.within(eras)
    era, step = expand_counts(size)
    window = start[era] + step
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
