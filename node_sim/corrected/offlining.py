"""Pages taken offline by counting: which pages of a fault reach the threshold in an era, and when.

**Models.** Within an era (``eras.py``) a daemon counts the corrected errors of each page per window and soft-offlines
the page at the threshold; an offlined page shows no more errors until the next boot.

**Leaves out.** Decay of counters between windows, limits on offlined pages, errors of pages withdrawn by
``memory_failure()``.

**Assumes.** Counting starts with the first whole window after a boot. Kernel pages cannot be soft-offlined and stay in
use; all other uses of the fleet can.

**Sources.** Soft offline: mm/memory-failure.c ``soft_offline_page()``, Linux 6.1; order statistics: ``windows.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.eras import Eras, Spans, WindowIndex
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.memory.pages import make_frames
from node_sim.records import Flags, Ints, expand_counts

_WIDE = 1 << 24
"""More than the pages one window can show."""


class Offlines(NamedTuple):
    """Pages that reach the threshold, ordered by (era, page); arrays of shape ``(n,)``."""

    era: Ints
    span: Ints
    page: Ints
    error: Ints
    time_ns: Ints
    pfn: Ints
    offlined: Flags


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
