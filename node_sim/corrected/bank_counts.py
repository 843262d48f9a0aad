"""Banks of DIMMs whose corrected errors reach a limit in one window of a fault: which, at which error, and when.

**Models.** A daemon counts the errors of each bank of each fault's footprint by window, those of both observers. Only
errors that are seen count: a page out of use shows none, but to the patrol scrubber.

**Leaves out.** What follows; ``bank_offlining.py`` has it.

**Assumes.** As ``windows.py``: the errors of a window fall on its pages in turn, in the same order in every window. So
where no page is out of use a window that is no longer than an earlier one of the fault takes no further bank to its
limit, and the bank of a fault of one bank reaches it with the error of that number.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.eras import running_most
from node_sim.corrected.marked_windows import last_seen
from node_sim.corrected.marks import Marks
from node_sim.corrected.row_counts import Watched, rows_of_pages
from node_sim.corrected.windows import error_time_ns, page_of_error
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.records import Flags, Index, Ints, expand_counts, join, take
from node_sim.units import FOREVER

ERRORS_AT_ONCE = 1 << 20
"""Errors that are gone through together."""


class BankReaches(NamedTuple):
    """Banks that reach their limit in eras, each (era, bank) once at most; arrays of shape ``(n,)``.

    Attributes:
        era: Era.
        bank: Name of the bank (``dram/device_banks.py``).
        span: The first window in which it does.
        error: Number of the error in the window.
        time_ns: When [ns].
    """

    era: Ints
    bank: Ints
    span: Ints
    error: Ints
    time_ns: Ints

    def take(self, index: Index) -> BankReaches:
        """Select some banks."""
        return take(self, index)


def banks_of_pages(faults: FaultTable, address_map: AddressMap, fault: Ints, number: Ints) -> Ints:
    """Name the banks of pages of faults by their numbers in the order in which they show errors."""
    return rows_of_pages(faults, address_map, fault, number) // address_map.dimm.rows


def reach_banks(watched: Watched, counted: Flags, out: Marks) -> BankReaches:
    """Return the first time at which each bank reaches its limit in each era.

    Args:
        watched: Eras and their windows.
        counted: Which eras are gone through, shape ``(n_eras,)``.
        out: Pages out of use.
    """
    eras, spans, index, faults, _ = watched
    era, box = spans.era, faults.box
    whole = (spans.first == 0) & (index.windows.low_ns[spans.window] >= eras.from_ns[era])
    some = np.flatnonzero(whole & (counted & eras.by_bank & (eras.threshold > 0))[era])
    era, soft = era[some], watched.soft()[some]
    enough = soft | (spans.last[some] >= eras.threshold[era])
    some, era, soft = some[enough], era[enough], soft[enough]
    hurt = out.touched(eras.lane.size)[era]
    before, after = running_most(era, spans.last[some])
    longest = hurt | soft | (after > before)
    single = ((box.n_ranks * box.n_banks)[eras.fault] == 1)[era] & ~hurt & ~soft
    new = np.diff(era, prepend=-1) != 0  # an era has windows of one kind, hard or soft
    return join(
        [
            _of_one_bank(watched, some[single & new]),
            _first_of_each(watched, some[soft], out),
            *(_first_of_each(watched, part, out) for part in _batches(some[longest & ~single & ~soft], spans.last)),
        ]
    )


def _batches(some: Ints, work: Ints) -> list[Ints]:
    """Split spans so that the errors of each part stay few."""
    batch = np.cumsum(work[some]) // ERRORS_AT_ONCE
    return [some[batch == number] for number in np.unique(batch)]


def _of_one_bank(watched: Watched, some: Ints) -> BankReaches:
    """Return when banks reach their limits in given spans of faults of one bank all of whose pages are in use."""
    eras, spans, index, faults, address_map = watched
    era, dimm = spans.era[some], address_map.dimm
    error, box = eras.threshold[era], faults.box.take(eras.fault[era])
    bank = (box.slot * dimm.ranks + box.rank) * dimm.banks + box.bank
    return BankReaches(era, bank, some, error, error_time_ns(index.windows.take(spans.window[some]), error))


def _first_of_each(watched: Watched, some: Ints, out: Marks) -> BankReaches:
    """Return when banks first reach their limits in some spans, by going through their errors."""
    eras, spans, index, faults, address_map = watched
    mine, step = expand_counts(spans.last[some])
    span, number = some[mine], step + 1
    page = page_of_error(index.windows, spans.window[span], number)
    seen = number <= last_seen(spans, span, page, index, out)
    span, number, page = span[seen], number[seen], page[seen]
    era, window = spans.era[span], spans.window[span]
    bank = banks_of_pages(faults, address_map, eras.fault[era], page)
    group = era, bank, index.windows.window[window]
    order = np.lexsort((number, index.windows.low_ns[window], *group[::-1]))
    begin = np.flatnonzero(np.any([np.diff(part[order], prepend=-1) != 0 for part in group], axis=0))
    rank = np.arange(order.size) - np.repeat(begin, np.diff(begin, append=order.size)) + 1
    hit = order[rank == eras.threshold[era[order]]]
    hit = hit[(np.diff(era[hit], prepend=-1) != 0) | (np.diff(bank[hit], prepend=-1) != 0)]
    time_ns = error_time_ns(index.windows.take(window[hit]), number[hit])
    return BankReaches(era[hit], bank[hit], span[hit], number[hit], time_ns)


def first_of_each(reaches: BankReaches) -> BankReaches:
    """Keep the first time of each (era, bank); parts of one era may have been gone through apart."""
    order = np.lexsort((reaches.time_ns, reaches.bank, reaches.era))
    found = reaches.take(order[reaches.time_ns[order] < FOREVER])
    return found.take((np.diff(found.era, prepend=-1) != 0) | (np.diff(found.bank, prepend=-1) != 0))
