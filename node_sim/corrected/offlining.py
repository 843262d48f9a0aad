"""Pages taken offline by counting: which pages of a fault reach the threshold in an era, and when.

**Models.** Within an era (``eras.py``) a daemon counts the corrected errors of each page per window and asks the kernel
to soft-offline the page at the threshold, once whatever the answer, and not again because another fault hits the page,
too. An offlined page is out of use until the next boot, any other goes on. Daemons that count by row, or otherwise than
by window (``buckets.py``), are in ``row_offlining.py``, those that count by bank in ``bank_offlining.py``.

**Leaves out.** Limits on offlined pages; errors of two faults of one page are counted apart. Daemons ask again for a
page that the kernel refused (rasdaemon at the next full bucket, mcelog since 2025 at a doubled threshold, the kernel's
CEC at its threshold): a page that is refused once is refused for the same reason until the next boot.

**Assumes.** Counting starts with the first whole window after a boot. What the kernel answers: ``asking.py``.

**Sources.** Order statistics: ``windows.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import OfflineTrigger
from node_sim.corrected.asking import Ground, Offlines, question_of
from node_sim.corrected.bank_offlining import find_bank_offlines
from node_sim.corrected.eras import Eras, Spans, WindowIndex, running_most
from node_sim.corrected.marks import Marks, Poisoned, marks_of_asked, marks_of_poisoned, merge_marks, name_page
from node_sim.corrected.row_offlining import find_row_offlines
from node_sim.corrected.windows import error_time_ns, page_of_error
from node_sim.dram.faults import FaultTable
from node_sim.memory.pages import make_frames
from node_sim.records import Flags, Ints, expand_counts, join
from node_sim.units import FOREVER


class Counted(NamedTuple):
    """What counting errors leads to.

    Attributes:
        offlines: Pages for whose offlining is asked.
        before: Pages of each span's fault past the threshold before it, shape ``(n_spans,)``.
        after: … and after it.
        marks: What others have done to pages of the eras.
    """

    offlines: Offlines
    before: Ints
    after: Ints
    marks: Marks

    @property
    def out_of_use(self) -> Marks:
        """Those that take pages out of use."""
        return self.marks.take(self.marks.out_ns < FOREVER)


def _reached(eras: Eras, spans: Spans, index: WindowIndex) -> Ints:
    """Return how many pages (0 … m-1) of each span's fault reach the threshold in it."""
    windows = index.windows
    threshold = eras.page_threshold[spans.era]
    shown = windows.n_pages[spans.window]
    whole = (threshold > 0) & (spans.first == 0) & (windows.low_ns[spans.window] >= eras.from_ns[spans.era])
    return np.where(whole, np.clip(spans.last - (threshold - 1) * shown, 0, shown), 0)


def _past_threshold(spans: Spans, reached: Ints, soft: Flags) -> tuple[Ints, Ints]:
    """Return how many pages of each span's fault are past the threshold before and after it.

    Those of soft faults (``soft``, shape ``(n_spans,)``) are others in each span, all of which reach it or none.
    """
    before, after = running_most(spans.era, reached)
    return np.where(soft, 0, before), after


def _found_by_scrub(spans: Spans, reached: Ints, index: WindowIndex, marks: Marks) -> tuple[Ints, Ints]:
    """Return spans and pages out of use of hard faults that reach the threshold there in the scrubber's sight.

    A page that went out of use may be past the threshold in a window of demand reads, which nobody sees, and asked for
    in a later one of the scrubber.
    """
    out = marks.take(marks.out_ns < FOREVER)
    windows = index.windows
    span = np.flatnonzero((windows.scrub & ~windows.soft)[spans.window] & (reached > 0))
    mine, step = expand_counts(out.in_era(spans.era[span]))
    page = out.page[out.first_of(spans.era[span])[mine] + step]
    found = page < reached[span[mine]]
    return span[mine[found]], page[found]


def find_offlines(
    eras: Eras,
    spans: Spans,
    index: WindowIndex,
    faults: FaultTable,
    ground: Ground,
    poisoned: Poisoned,
) -> Counted:
    """Find every page that reaches its threshold, and what becomes of it.

    Args:
        eras: All eras of some lanes, each with its threshold.
        spans: Their windows.
        index: All windows.
        faults: All faults.
        ground: What the pages are.
        poisoned: Pages that ``memory_failure()`` has marked in the lanes.
    """
    reached = _reached(eras, spans, index)
    soft = index.windows.soft[spans.window]
    before, after = _past_threshold(spans, reached, soft)
    seed, address_map, static = ground
    marks = marks_of_poisoned(eras, faults, address_map, poisoned, index.shown())
    span, step = expand_counts(after - before)
    turn = before[span] + step
    again, again_turn = _found_by_scrub(spans, reached, index, marks)
    span, turn = np.concatenate((span, again)), np.concatenate((turn, again_turn))
    window, era = spans.window[span], spans.era[span]
    error = turn + 1 + (eras.threshold[era] - 1) * index.windows.n_pages[window]
    page, fault = page_of_error(index.windows, window, error), eras.fault[era]
    pfn = faults.pages(address_map, fault, page)
    frames = make_frames(seed, faults.node_id[fault], pfn, static)
    time_ns = error_time_ns(index.windows.take(window), error)
    known = marks.look_up(era, page)
    already, beside = time_ns >= known.poisoned_ns, time_ns >= known.neighbour_ns
    trigger = np.full(era.size, int(OfflineTrigger.CE_THRESHOLD))
    errno = eras.answer[era, question_of(frames.kind, frames.spare, already, beside)]
    asked = Offlines(era, span, page, error, time_ns, pfn, frames.kind, already | beside, errno, trigger)
    if marks.name.size:
        seen = asked.take((time_ns < known.out_ns) | index.windows.scrub[window])
        order = np.lexsort((seen.span, seen.page, seen.era))
        asked = seen.take(order[np.diff(name_page(seen.era, seen.page)[order], prepend=-1) != 0])
    elif soft[span].any():
        asked = asked.take(np.lexsort((asked.page, asked.era)))
    if asked.era.size:
        others = (asked.era, asked.page, asked.pfn, asked.time_ns)
        marks = merge_marks([marks, marks_of_asked(eras, faults, address_map, others, asked.offlined)])
        asked = asked.take(asked.time_ns <= marks.look_up(asked.era, asked.page).asked_ns)
    together = []
    if (eras.by_row | eras.aged).any():
        together.append(find_row_offlines(eras, spans, index, faults, ground, poisoned, marks))
    if eras.by_bank.any():
        together.append(find_bank_offlines(eras, spans, index, faults, ground, marks))
    if not together:
        return Counted(asked, before, after, marks)
    asked = join([asked, *(offlines for offlines, _ in together)])
    marks = merge_marks([marks, *(left for _, left in together)])
    return Counted(asked.take(np.argsort(asked.era, kind="stable")), before, after, marks)
