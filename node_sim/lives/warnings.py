"""Corrected errors that came before uncorrected ones: those of the same DIMM in the same arm.

**Models.** Every corrected error that is logged counts, one by one where a window goes on beyond the uncorrected error.

**Leaves out.** Warnings that other DIMMs of the node give.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import ErrorKind
from node_sim.corrected.eras import Eras, Spans, WindowIndex
from node_sim.corrected.live_errors import count_seen_before
from node_sim.corrected.marked_windows import SpanCounts
from node_sim.corrected.offlining import Counted
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.lives.rows import EventLog
from node_sim.names import dimm_tag
from node_sim.records import NULL, Ints, expand_counts

_DIMMS = 1 << 16
"""DIMMs of a lane that a name can tell apart."""


def tell_warnings(
    log: EventLog,
    eras: Eras,
    spans: Spans,
    index: WindowIndex,
    faults: FaultTable,
    counted: Counted,
    counts: SpanCounts,
) -> None:
    """Fill in which corrected errors came before each uncorrected one of a log.

    Args:
        log: Rows; changed.
        eras: All eras of lanes that follow each other, ordered by lane; rows of other lanes are left as they are.
        spans: Their windows.
        index: All windows.
        faults: All faults.
        counted: Pages offline and marks.
        counts: What is left of each span.
    """
    chunks = [chunk for chunk in log.chunks["errors"] if (chunk["kind"] != ErrorKind.CE).all()]
    if not chunks:
        return
    seen = np.flatnonzero(counts.errors > 0)
    windows, era = index.windows.take(spans.window[seen]), spans.era[seen]
    first_ns, last_ns = (error_time_ns(windows, part[seen]) for part in (counts.first, counts.last))
    dimm = _dimms(eras.lane[era], faults.tag[eras.fault[era]])
    order = np.lexsort((first_ns, dimm))
    dimm, first_ns, last_ns, seen = dimm[order], first_ns[order], last_ns[order], seen[order]
    # All chunks at once: there is one for each step, and each question costs as much however few rows ask it.
    lane, fault, time_ns = (
        np.concatenate([chunk[name] for chunk in chunks]).astype(np.int64) for name in ("lane", "fault", "time_ns")
    )
    asked = _dimms(lane, faults.tag[fault])
    start = np.searchsorted(dimm, asked)
    which, step = expand_counts(np.searchsorted(dimm, asked, side="right") - start)
    at = start[which] + step
    before = first_ns[at] < time_ns[which]
    which, at = which[before], at[before]
    number = counts.errors[seen[at]].copy()
    cut = np.flatnonzero(last_ns[at] >= time_ns[which])
    number[cut] = count_seen_before(eras, spans, seen[at[cut]], time_ns[which[cut]], index, counted)
    n_before = np.bincount(which, number, minlength=asked.size).astype(np.int64)
    earliest_ns = np.full(asked.size, NULL)
    earliest_ns[which[::-1]] = first_ns[at[::-1]]  # the earliest stands first, and is written last
    ends = np.cumsum([chunk["time_ns"].size for chunk in chunks])[:-1]
    mine = (lane >= eras.lane[0]) & (lane <= eras.lane[-1])
    for chunk, some, n_ce_before, first_ce_ns in zip(
        chunks, *(np.split(part, ends) for part in (mine, n_before, earliest_ns)), strict=True
    ):
        for name, told in (("n_ce_before", n_ce_before), ("first_ce_ns", first_ce_ns)):
            chunk[name] = np.where(some, told, chunk[name])


def _dimms(lane: Ints, tag: Ints) -> Ints:
    """Name the DIMMs of lanes."""
    return lane * _DIMMS + dimm_tag(tag)
