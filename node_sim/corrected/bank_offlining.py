"""Pages taken offline with their banks: a daemon that counts by bank asks for all pages that have lines of a bank.

**Models.** When errors of a fault take a bank to its limit (``bank_counts.py``), the daemon asks the kernel to
soft-offline every page with lines of it, each page once in a boot. Pages may have lines of several banks: those that
went out of use with another bank show this one's errors no more, and a bank all of whose pages have been asked for is
not asked for again, whatever the answers were.

**Leaves out.** The time that a million requests take: all are answered at once. Decay of counters between windows,
limits on offlined pages; errors of two faults in one bank are counted apart.

**Assumes.** Of a bank's pages only those are looked at that faults show errors on; how many go out of use is counted
by ``bank_sizes.py``. What the kernel answers: ``asking.py``.

**Sources.** None: rasdaemon and mcelog know pages and rows only; a bank is what remains where a row is too little.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import OfflineTrigger
from node_sim.corrected.asking import BY_BANK, Ground, Offlines, question_of
from node_sim.corrected.bank_counts import BankReaches, first_of_each, reach_banks
from node_sim.corrected.eras import Eras, Spans, WindowIndex
from node_sim.corrected.marks import Marks, eras_open, merge_marks, name_page
from node_sim.corrected.row_counts import Watched
from node_sim.corrected.windows import page_of_error
from node_sim.dram.device_banks import BankMap
from node_sim.dram.faults import FaultTable
from node_sim.memory.pages import Frames, make_frames
from node_sim.records import Flags, Ints, expand_counts, join
from node_sim.units import FOREVER

PAGES_AT_ONCE = 1 << 18
"""Pages that show errors, looked at together."""


def find_bank_offlines(
    eras: Eras, spans: Spans, index: WindowIndex, faults: FaultTable, ground: Ground, marks: Marks
) -> tuple[Offlines, Marks]:
    """Find every bank that is to go offline.

    Args:
        eras: All eras of some lanes, each with its limit.
        spans: Their windows.
        index: All windows.
        faults: All faults.
        ground: What the pages are.
        marks: What ``memory_failure()`` has done to pages of the eras.

    Returns:
        The banks, ordered by (era, bank), and the marks that their pages leave in all eras.
    """
    watched, shown = Watched(eras, spans, index, faults, ground.address_map), index.shown()
    banks, boot = BankMap(ground.address_map), _boots(eras)
    out = marks.take(marks.out_ns < FOREVER)
    taken, of_banks = [], [Marks.none()]
    again = np.ones(eras.lane.size, np.bool_)
    asked = _AskedPages(banks)
    while again.any():
        found = first_of_each(reach_banks(watched, again, out))
        found = found.take(asked.leaves_some(boot[found.era], found.bank))
        first = _first_of_chunks(banks, boot, found)
        now = found.take(first)
        taken.append(now)
        asked.note(boot[now.era], now.bank)
        of_banks.append(_marks_of(watched, banks, now, ground, marks, shown))
        out = merge_marks([out, of_banks[-1]])
        again[:] = False
        again[found.era[asked.leaves_some(boot[found.era], found.bank)]] = True
    reaches = join(taken)
    reaches = reaches.take(np.lexsort((reaches.bank, reaches.era)))
    return _offlines_of(watched, reaches, ground, marks), merge_marks(of_banks)


def _boots(eras: Eras) -> Ints:
    """Number the boots of eras: those of a lane that begin together are of one."""
    order = np.lexsort((eras.from_ns, eras.lane))
    new = (np.diff(eras.lane[order], prepend=-1) != 0) | (np.diff(eras.from_ns[order], prepend=-1) != 0)
    found = np.empty(order.size, np.int64)
    found[order] = np.cumsum(new) - 1
    return found


class _AskedPages:
    """Pages that have been asked for, by boot and set of chunks: those of a period that have lines of some bank."""

    def __init__(self, banks: BankMap) -> None:
        self._banks = banks
        self._pattern: dict[tuple[int, int], Flags] = {}

    def leaves_some(self, boot: Ints, bank: Ints) -> Flags:
        """Return which banks have pages that have not been asked for in a boot."""
        if not self._pattern or not boot.size:
            return np.ones(boot.size, np.bool_)
        none = np.zeros(self._banks.period, np.bool_)
        names = zip(boot.tolist(), self._banks.chunk_set(bank).tolist(), strict=True)
        before = np.asarray([self._pattern.get(name, none) for name in names])
        left: Flags = (self._banks.pattern(bank) & ~before).any(axis=1)
        return left

    def note(self, boot: Ints, bank: Ints) -> None:
        """Note that banks are asked for."""
        names = zip(boot.tolist(), self._banks.chunk_set(bank).tolist(), strict=True)
        for name, pattern in zip(names, self._banks.pattern(bank), strict=True):
            self._pattern[name] = self._pattern.get(name, False) | pattern


def _first_of_chunks(banks: BankMap, boot: Ints, found: BankReaches) -> Ints:
    """Return the first of the banks of each boot and set of chunks: no other bank has had any of its pages."""
    key = boot[found.era], banks.chunk_set(found.bank)
    order = np.lexsort((found.era, found.time_ns, *key))
    new = np.any([np.diff(part[order], prepend=-1) != 0 for part in key], axis=0)
    return order[new]


def _answers(eras: Eras, era: Ints, frames: Frames, known: Marks, time_ns: Ints) -> tuple[Ints, Flags]:
    """Return what the kernel answers about pages, and whether they or their huge pages had been poisoned."""
    already, beside = time_ns >= known.poisoned_ns, time_ns >= known.neighbour_ns
    return eras.answer[era, question_of(frames.kind, frames.spare, already, beside)], already | beside


def _marks_of(watched: Watched, banks: BankMap, now: BankReaches, ground: Ground, marks: Marks, shown: Ints) -> Marks:
    """Return the marks of pages that go out of use with banks: those that some era of the boot shows errors on.

    The error that takes a bank to its limit is the last one that is seen of these pages.
    """
    eras, faults = watched.eras, watched.faults
    which, era = eras_open(eras, eras.lane[now.era], now.time_ns)
    batch = np.cumsum(shown[eras.fault[era]]) // PAGES_AT_ONCE
    parts = [Marks.none()]
    for number in np.unique(batch):
        some = np.flatnonzero(batch == number)
        of, page = expand_counts(shown[eras.fault[era[some]]])
        of = some[of]
        mine = era[of]
        pfn = faults.pages(watched.address_map, eras.fault[mine], page)
        inside = np.flatnonzero(banks.has_page(now.bank[which[of]], pfn))
        mine, page, pfn, time_ns = mine[inside], page[inside], pfn[inside], now.time_ns[which[of[inside]]]
        frames = make_frames(ground.seed, faults.node_id[eras.fault[mine]], pfn, ground.static)
        errno, poisoned = _answers(eras, mine, frames, marks.look_up(mine, page), time_ns)
        gone = np.flatnonzero((errno == 0) & ~poisoned)
        never = np.full(gone.size, FOREVER)
        parts.append(Marks(name_page(mine[gone], page[gone]), time_ns[gone], never, time_ns[gone] + 1, never))
    return merge_marks(parts)


def _offlines_of(watched: Watched, reaches: BankReaches, ground: Ground, marks: Marks) -> Offlines:
    """Return the banks as pages that were asked for: each stands as the page of the error that took it to its limit."""
    eras, spans, index, faults, address_map = watched
    era, span = reaches.era, reaches.span
    page = page_of_error(index.windows, spans.window[span], reaches.error)
    pfn = faults.pages(address_map, eras.fault[era], page)
    frames = make_frames(ground.seed, faults.node_id[eras.fault[era]], pfn, ground.static)
    errno, poisoned = _answers(eras, era, frames, marks.look_up(era, page), reaches.time_ns)
    return Offlines(
        era=era,
        span=span,
        page=BY_BANK + reaches.bank,
        error=reaches.error,
        time_ns=reaches.time_ns,
        pfn=pfn,
        kind=frames.kind,
        poisoned=poisoned,
        errno=errno,
        trigger=np.full(era.size, int(OfflineTrigger.BANK_THRESHOLD)),
    )
