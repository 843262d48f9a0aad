"""Eras of faults: the time between two boots in which a fault in place can show corrected errors.

**Models.** A window of a fault is cut at the ends of an era: only the errors inside are seen.

**Leaves out.** What is taken offline within an era; it is in ``offlining.py``.

**Assumes.** Counters of pages begin anew with each era.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.windows import Windows, errors_before
from node_sim.records import Flags, Index, Ints, expand_counts, take
from node_sim.server.page_offline import OfflineScope


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


class WindowIndex:
    """Windows with the range of each fault, for joining them to eras."""

    def __init__(self, windows: Windows, n_faults: int) -> None:
        """Index windows that are ordered by fault."""
        self.windows = windows
        self.start = np.searchsorted(windows.fault, np.arange(n_faults))
        self.size = np.searchsorted(windows.fault, np.arange(n_faults), side="right") - self.start

    def shown(self) -> Ints:
        """Return up to which page of its order each fault shows errors in any window, shape ``(n_faults,)``."""
        most = np.zeros(self.start.size, np.int64)
        np.maximum.at(most, self.windows.fault, np.maximum(self.windows.n_pages, self.windows.page + 1))
        return most


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
