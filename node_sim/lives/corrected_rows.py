"""Rows that follow from eras alone: corrected errors, page offlinings, reports of error check and scrub.

**Models.** One row of ``errors`` per fault, observer and window that shows errors on pages still in use.

**Leaves out.** What cuts eras; ``places.py`` has it.

**Assumes.** The row of a window exists if it takes a page offline, for the error that does so is seen.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import EcsUnit, ErrorKind, Observer, OfflineTrigger
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.live_errors import count_live
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.offlining import Offlines, find_offlines
from node_sim.corrected.passes import Passes
from node_sim.corrected.reports import reports_of
from node_sim.corrected.windows import Windows, error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.hwpoison.offline_answers import results_of
from node_sim.lives.rows import EventLog
from node_sim.lives.warnings import tell_warnings
from node_sim.lives.world import World
from node_sim.memory.pages import HUGE_PAGES, BlockKind
from node_sim.records import NULL, Ints
from node_sim.server.policy import Ecc
from node_sim.units import PAGE_BYTES


def log_corrected(
    log: EventLog, eras: Eras, index: WindowIndex, faults: FaultTable, world: World, poisoned: Poisoned
) -> None:
    """Log the corrected errors and page offlinings of eras.

    Args:
        log: Rows so far; changed.
        eras: All eras of some lanes.
        index: Windows of the faults.
        faults: All faults.
        world: What the lanes share.
        poisoned: Pages that ``memory_failure()`` has marked in the lanes.
    """
    spans = spans_of(eras, index)
    if not spans.era.size:
        return
    counted = find_offlines(eras, spans, index, faults, world.ground(), poisoned)
    offlines, counts = counted.offlines, count_live(eras, spans, index, counted)
    row = np.flatnonzero(counts.errors > 0)
    windows = index.windows.take(spans.window[row])
    era = spans.era[row]
    fault = eras.fault[era]
    first_time = error_time_ns(windows, counts.first[row])
    page = (counts.first[row] - 1) % windows.n_pages
    nowhere, nothing = faults.on_wires[fault], np.full(row.size, NULL)
    name = log.add(
        "errors",
        lane=eras.lane[era],
        time_ns=first_time,
        fault=fault,
        cause=-1 - fault,
        kind=np.full(row.size, int(ErrorKind.CE)),
        observer=_observer_code(windows),
        ce_count=counts.errors[row],
        n_pages=np.where(nowhere, 0, counts.n_pages[row]),
        first_pfn=np.where(nowhere, NULL, _pages_of(world.address_map, faults, fault, page)),
        first_time_ns=first_time,
        last_time_ns=error_time_ns(windows, counts.last[row]),
        path=nothing,
        first_ce_ns=nothing,
        n_ce_before=nothing,
    )
    tell_warnings(log, eras, spans, index, faults, counted, counts)
    name_of_span = np.full(spans.era.size, -1)
    name_of_span[row] = name
    log.add(
        "page_offlines",
        lane=eras.lane[offlines.era],
        time_ns=offlines.time_ns,
        fault=eras.fault[offlines.era],
        cause=name_of_span[offlines.span],
        pfn=offlines.pfn,
        trigger=np.full(offlines.page.size, int(OfflineTrigger.CE_THRESHOLD)),
        result=results_of(offlines.errno, offlines.poisoned),
        errno=offlines.errno,
        pool_lost_bytes=_pool_lost_bytes(eras, offlines),
    )


def _pool_lost_bytes(eras: Eras, offlines: Offlines) -> Ints:
    """Return the size of the huge page that each offlining breaks up: the first one in it in a boot [bytes]."""
    lost = np.zeros(offlines.era.size, np.int64)
    some = np.flatnonzero(offlines.offlined & (offlines.kind >= BlockKind.POOL_2M))
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
