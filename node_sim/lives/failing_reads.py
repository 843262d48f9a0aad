"""Failing reads of hard faults in lanes: which comes next on a bad page, and who makes it.

**Models.** When a read fails is known in advance (``uncorrected.py``); what an arm has done decides whether it happens,
and who reads: the patrol scrubber, or a user of the page at that time. A page out of use is read by the scrubber alone.

**Leaves out.** Words of soft faults; ``bad_pages.py`` finds who touches them.

**Assumes.** What is read of memory that nobody has is read by the scrubber, if there is one. The scrubber passes over a
line that has been reported in this boot; a silent error on a frame out of use harms nobody and has no row.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import Observer
from node_sim.lives.state import LaneState, mask_of
from node_sim.memory.processes import NOBODY
from node_sim.memory.sightings import Reader, reader_at
from node_sim.records import NULL, Ints
from node_sim.units import FOREVER


def find_reads(state: LaneState, which: Ints, after_ns: Ints) -> None:
    """Find the next read of bad pages of hard faults later than a time.

    Args:
        state: Of the lanes; changed.
        which: Bad pages, shape ``(n,)``.
        after_ns: When [ns], shape ``(n,)``; never before the last time asked for.
    """
    pages, store = state.pages, state.store
    reads = store.reads
    end = store.pages.first_read[pages.page[which]] + store.pages.n_reads[pages.page[which]]
    while True:
        past = np.flatnonzero(pages.read[which] < end)
        past = past[reads.time_ns[pages.read[which[past]]] <= after_ns[past]]
        if not past.size:
            break
        pages.read[which[past]] += 1
    pages.next_ns[which] = FOREVER
    limit_ns = np.minimum(state.world.horizon_ns, state.drain.end_ns[pages.lane[which]])
    read, open_ = pages.read[which], np.arange(which.size)
    while True:
        open_ = open_[read[open_] < end[open_]]
        open_ = open_[reads.time_ns[read[open_]] < limit_ns[open_]]
        if not open_.size:
            return
        found = _readers(state, which[open_], read[open_])
        hit = found.observer >= 0
        mine, at = which[open_[hit]], read[open_[hit]]
        pages.next_ns[mine], pages.silent[mine] = reads.time_ns[at], reads.silent[at]
        pages.observer[mine], pages.mark[mine] = found.observer[hit], found.mark[hit]
        pages.process[mine] = found.process[hit]
        read[open_] += 1
        open_ = open_[~hit]


def _readers(state: LaneState, which: Ints, read: Ints) -> Reader:
    """Return who makes given reads of bad pages, nobody (-1) where they do not happen."""
    pages, store, world = state.pages, state.store, state.world
    reads, frame = store.reads, pages.frame[which]
    time_ns, scrub, nowhere = reads.time_ns[read], reads.scrub[read].copy(), reads.pfn[read] == NULL
    in_use = time_ns < state.frames.out_ns[frame]
    n = which.size
    found = Reader(np.full(n, NULL), np.zeros(n), np.full(n, NOBODY))
    asked = np.flatnonzero(in_use & ~scrub & ~nowhere)
    if asked.size:
        at_writeback = state.policies.found_at_writeback[state.arm_set[pages.lane[which[asked]]]]
        drawn, mask = store.frames.take(pages.page[which[asked]]), mask_of(state, frame[asked])
        reader, unused = reader_at(world.memory, drawn, mask, state.killed_ns, time_ns[asked], at_writeback)
        for column, cells in zip(found, reader, strict=True):
            column[asked] = cells
        scrub[asked[unused]] = world.policy.detection.scrub_ns > 0
    reported = scrub & ~pages.seen[which] & (in_use | ~reads.silent[read])
    found.observer[reported] = int(Observer.SCRUB)
    found.observer[nowhere] = int(Observer.DEMAND)
    return found
