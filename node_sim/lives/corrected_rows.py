"""Rows that follow from eras alone: corrected errors, page offlinings, reports of error check and scrub.

**Models.** One row of ``errors`` per fault, observer and window that shows errors on pages still in use.

**Leaves out.** What cuts eras; ``places.py`` has it.

**Assumes.** The row of a window exists if it takes a page offline, for the error that does so is seen.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np

from node_sim.codes import EcsUnit, ErrorKind, Observer
from node_sim.columns import Columns
from node_sim.corrected.asking import Offlines
from node_sim.corrected.bank_sizes import BankSizes, bank_sizes
from node_sim.corrected.eras import Eras, Spans, WindowIndex, spans_of
from node_sim.corrected.live_errors import count_live
from node_sim.corrected.marked_windows import SpanCounts
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.offlining import find_offlines
from node_sim.corrected.passes import Passes
from node_sim.corrected.reports import reports_of
from node_sim.corrected.windows import Windows, error_time_ns, page_of_error
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.hwpoison.offline_answers import results_of
from node_sim.lives.rows import EventLog
from node_sim.lives.warnings import tell_warnings
from node_sim.lives.world import World
from node_sim.memory.pages import HUGE_PAGES, BlockKind
from node_sim.records import NULL, Flags, Ints
from node_sim.server.policy import Ecc
from node_sim.units import PAGE_BYTES

WINDOWS_AT_ONCE: Final = 8_192
"""Windows that are counted together, at about 2 KiB each."""


def log_corrected(
    log: EventLog, eras: Eras, index: WindowIndex, faults: FaultTable, world: World, poisoned: Poisoned
) -> Columns:
    """Log the corrected errors and page offlinings of eras.

    Args:
        log: Rows so far; changed.
        eras: All eras of some lanes, ordered by lane.
        index: Windows of the faults.
        faults: All faults.
        world: What the lanes share.
        poisoned: Pages that ``memory_failure()`` has marked in the lanes.

    Returns:
        What is seen of each window of a hard fault, and of each error of a soft one: its lane, its fault, its first
        time, and the name of its row. Nothing if no window falls into an era.
    """
    done = [
        _log_lanes(log, eras.take(some), index, faults, world, poisoned)
        for some in _lanes_at_once(eras.lane, index.within(eras)[1])
    ]
    seen = [part for part in done if part]
    return {column: np.concatenate([part[column] for part in seen]) for column in seen[0]} if seen else {}


def _lanes_at_once(lane: Ints, windows: Ints) -> Iterator[slice]:
    """Cut eras, which are ordered by lane, between lanes where they have windows enough; most of the memory is theirs.

    Args:
        lane: Of each era, shape ``(n,)``.
        windows: Of its fault that may reach into it, shape ``(n,)``.
    """
    begin = np.flatnonzero(np.diff(lane, prepend=-1))
    part = (np.cumsum(windows) - windows)[begin] // WINDOWS_AT_ONCE
    cuts = [*begin[np.flatnonzero(np.diff(part, prepend=-1))].tolist(), lane.size]
    yield from (slice(*cut) for cut in pairwise(cuts))


def _log_lanes(
    log: EventLog, eras: Eras, index: WindowIndex, faults: FaultTable, world: World, poisoned: Poisoned
) -> Columns:
    """Log the corrected errors and page offlinings of some lanes; see ``log_corrected``."""
    spans = spans_of(eras, index)
    if not spans.era.size:
        return {}
    counted = find_offlines(eras, spans, index, faults, world.ground(), poisoned)
    offlines, counts = counted.offlines, count_live(eras, spans, index, counted)
    seen = _log_windows(log, eras, spans, index, faults, world, counts)
    tell_warnings(log, eras, spans, index, faults, counted, counts)
    name_of_span = np.full(spans.era.size, -1)
    name_of_span[np.flatnonzero(counts.errors > 0)] = seen["name"]
    banks = offlines.take(offlines.of_bank)
    sizes = bank_sizes(eras, banks, faults, world.ground(), poisoned)
    _log_offlines(log, eras, offlines, name_of_span[offlines.span], sizes)
    return seen


def _log_windows(
    log: EventLog, eras: Eras, spans: Spans, index: WindowIndex, faults: FaultTable, world: World, counts: SpanCounts
) -> Columns:
    """Log the corrected errors of spans that any are left of; see ``log_corrected`` for what it returns."""
    live = np.flatnonzero(counts.errors > 0)
    windows, era = index.windows.take(spans.window[live]), spans.era[live]
    new = _begins_row(era, windows)
    begin = np.flatnonzero(new)
    end = np.append(begin[1:], live.size)[: begin.size] - 1
    seen_ns = error_time_ns(windows, counts.first[live])
    first_ns = seen_ns[begin]
    page = page_of_error(windows, begin, counts.first[live[begin]])
    fault = eras.fault[era[begin]]
    nowhere, nothing = faults.on_wires[fault], np.full(begin.size, NULL)
    name = log.add(
        "errors",
        lane=eras.lane[era[begin]],
        time_ns=first_ns,
        fault=fault,
        cause=-1 - fault,
        kind=np.full(begin.size, int(ErrorKind.CE)),
        observer=_observer_code(windows.take(begin)),
        ce_count=_sums(counts.errors[live], begin),
        n_pages=np.where(nowhere, 0, _sums(counts.n_pages[live], begin)),
        first_pfn=np.where(nowhere, NULL, _pages_of(world.address_map, faults, fault, page)),
        first_time_ns=first_ns,
        last_time_ns=error_time_ns(windows.take(end), counts.last[live[end]]),
        path=nothing,
        first_ce_ns=nothing,
        n_ce_before=nothing,
    )
    return {"lane": eras.lane[era], "fault": eras.fault[era], "time_ns": seen_ns, "name": name[np.cumsum(new) - 1]}


def _log_offlines(log: EventLog, eras: Eras, offlines: Offlines, cause: Ints, of_banks: BankSizes) -> None:
    """Log the pages and banks that counting takes offline.

    Args:
        log: Rows so far; changed.
        eras: All eras of some lanes.
        offlines: The pages and banks. A bank of which no page goes offline says what its page says.
        cause: Names of the rows of their errors.
        of_banks: What goes out of use with the banks, in their order.
    """
    n_pages, pool_lost_bytes = offlines.offlined.astype(np.int64), _pool_lost_bytes(eras, offlines)
    n_pages[offlines.of_bank], pool_lost_bytes[offlines.of_bank] = of_banks
    gone = n_pages > 0
    log.add(
        "page_offlines",
        lane=eras.lane[offlines.era],
        time_ns=offlines.time_ns,
        fault=eras.fault[offlines.era],
        cause=cause,
        pfn=offlines.pfn,
        trigger=offlines.trigger,
        result=results_of(np.where(gone, 0, offlines.errno), offlines.poisoned & ~gone),
        errno=np.where(gone, 0, offlines.errno),
        n_pages=n_pages,
        pool_lost_bytes=pool_lost_bytes,
    )


def _begins_row(era: Ints, windows: Windows) -> Flags:
    """Return which windows begin a row: all of hard faults, the first error of an observer and window of soft ones."""
    begins = ~windows.soft
    for part in (era, windows.window, windows.scrub.astype(np.int64)):
        begins |= np.diff(part, prepend=-1) != 0
    return begins


def _sums(values: Ints, begin: Ints) -> Ints:
    """Return the sums of values from each beginning to the next one; nothing is left out, for the first is 0."""
    sums: Ints = np.add.reduceat(values, begin) if begin.size < values.size else values
    return sums


def _pool_lost_bytes(eras: Eras, offlines: Offlines) -> Ints:
    """Return the size of the huge page that each offlining of a page breaks up: the first one in a boot [bytes]."""
    lost = np.zeros(offlines.era.size, np.int64)
    some = np.flatnonzero(offlines.offlined & ~offlines.of_bank & (offlines.kind >= BlockKind.POOL_2M))
    if some.size:
        era, huge = offlines.era[some], HUGE_PAGES[offlines.kind[some]]
        keys = offlines.time_ns[some], offlines.pfn[some] // huge, huge, eras.from_ns[era], eras.lane[era]
        order = np.lexsort(keys)
        first = np.any([np.diff(key[order], prepend=-1) != 0 for key in keys[1:]], axis=0)
        mine = order[first]
        lost[some[mine]] = huge[mine] * PAGE_BYTES
    return lost


def _pages_of(address_map: AddressMap, faults: FaultTable, fault: Ints, page: Ints) -> Ints:
    """Page numbers of pages of faults; the first page is known already."""
    pfn = faults.first_pfn[fault]
    later = np.flatnonzero(page)
    pfn[later] = faults.pages(address_map, fault[later], page[later])
    return pfn


def _observer_code(windows: Windows) -> Ints:
    """Return the stored observer of each window."""
    return np.where(windows.scrub, int(Observer.SCRUB), int(Observer.DEMAND))


def log_reports(log: EventLog, eras: Eras, passes: Passes, faults: FaultTable, ecc: Ecc) -> None:
    """Log the reports of eras; those of one time and lane by the names of their faults."""
    era, which = reports_of(eras, passes)
    if not era.size:
        return
    order = np.lexsort((faults.tag[passes.fault[which]], passes.end_ns[which], eras.lane[era]))
    mine, lane = passes.take(which[order]), eras.lane[era[order]]
    log.add(
        "ecs_reports",
        lane=lane,
        time_ns=mine.end_ns,
        fault=mine.fault,
        cause=-1 - mine.fault,
        unit=np.full(lane.size, int(EcsUnit.of(ecc.ecs))),
        count=mine.wrong,
        begin_ns=mine.begin_ns,
    )
