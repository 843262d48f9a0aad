"""Who next touches a poisoned page, and when.

**Models.** Competing readers of one page: the patrol scrubber, which passes every page once per period, and the
accesses of its present user; full-line writes heal soft errors and do nothing to hard ones.

**Leaves out.** Lines other than the faulty one, scrub on demand, write-back of poison to another page.

**Assumes.** The scrubber passes over a line it has already marked as poison without a new report.

**Sources.** Patrol scrub period and pace: ``tests/oracle/catalog/thresholds_repair.csv``; the shares of readers are
assumptions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import Observer, PageUse
from node_sim.draws import Purpose, Seed, unit53, words
from node_sim.memory.pages import Frames, Memory, Tenancy
from node_sim.memory.processes import NOBODY
from node_sim.records import Flags, Floats, Index, Ints
from node_sim.units import FOREVER


class Mask(NamedTuple):
    """What an arm has done to the users of frames: last boot, and kills by lane and process.

    Attributes:
        boot_ns: End of the last downtime [ns], 0 if none, shape ``(n,)``.
        lane: Lane of each frame, shape ``(n,)``.
        killed_ns: Last kill of each process in each lane, shape ``(lanes, processes)``, negative if none.
    """

    boot_ns: Ints
    lane: Ints
    killed_ns: Ints

    def take(self, index: Index) -> Mask:
        """Select some frames."""
        return Mask(self.boot_ns[index], self.lane[index], self.killed_ns)


class Sighting(NamedTuple):
    """Next touch of each frame: time (the limit if none), ``Observer`` (-1 if none) and a uniform mark."""

    time_ns: Ints
    observer: Ints
    mark: Floats


def masked_tenancy(memory: Memory, frames: Frames, time_ns: Ints, mask: Mask) -> tuple[Tenancy, Ints]:
    """Return the use of frames at a time under an arm's mask, and until when the mask keeps it so.

    Memory of a killed process, and all memory of processes after a boot, is free until it is filled again [ns];
    the second part is FOREVER where nothing masks the tenancy.
    """
    tenancy = memory.tenancy(frames, time_ns)
    owner, start = tenancy.owner, tenancy.start_ns
    killed_ns = np.where(owner != NOBODY, mask.killed_ns[mask.lane, np.maximum(owner, 0)], start)
    after_kill = np.where(killed_ns > start, killed_ns + memory.refill_ns, -1)
    after_boot = np.where((mask.boot_ns > 0) & (start < mask.boot_ns), mask.boot_ns + memory.refill_ns, -1)
    filled_ns = np.maximum(after_kill, after_boot)
    free = ~frames.kernel & (filled_ns > time_ns)
    masked = tenancy._replace(use=np.where(free, int(PageUse.FREE), tenancy.use), owner=np.where(free, NOBODY, owner))
    return masked, np.where(free, filled_ns, FOREVER)


def scrub_phase_ns(seed: Seed, node_id: Ints, period_ns: int) -> Ints:
    """Draw where in its period the scrubber of each node is at time 0 [ns]."""
    w0, w1, _, _ = words(seed.key(Purpose.NODE), node_id)
    return (unit53(w0, w1) * period_ns).astype(np.int64)


def next_scrub_ns(phase_ns: Ints, pfn: Ints, pages: int, after_ns: Ints, period_ns: int) -> Ints:
    """Return when the scrubber next passes each page after a time; never where it is off."""
    if period_ns == 0:
        return np.full(after_ns.shape, FOREVER, np.int64)
    offset = (phase_ns + (pfn / pages * period_ns).astype(np.int64)) % period_ns
    return after_ns + 1 + (offset - after_ns - 1) % period_ns


def next_sighting(
    memory: Memory,
    frames: Frames,
    scrub_ns: Ints,
    after_ns: Ints,
    limit_ns: Ints,
    hard: Flags,
    mask: Mask,
) -> Sighting:
    """Find the next touch of each frame that matters.

    Args:
        memory: Tables of the arm.
        frames: Frames, shape ``(n,)``.
        scrub_ns: When the scrubber next reports each frame [ns]; FOREVER if it will not.
        after_ns: Look later than this [ns].
        limit_ns: Look no further than this [ns].
        hard: Writes do not heal these.
        mask: What the arm has done to their users.
    """
    n = after_ns.shape[0]
    time_ns = limit_ns.copy()
    observer, mark = np.full(n, -1, np.int64), np.zeros(n)
    stop = np.minimum(scrub_ns, limit_ns)
    now = after_ns.copy()
    open_ = np.flatnonzero(now < stop)
    while open_.size:
        part = frames.take(open_)
        tenancy, filled = masked_tenancy(memory, part, now[open_], mask.take(open_))
        end = memory.tenancy_end(part, now[open_], np.minimum(stop[open_], filled))
        at, kind, u = memory.next_access(part, tenancy.use, tenancy.hot, now[open_], end)
        skipped = (kind == Observer.WRITE) & hard[open_]
        hit = (kind >= 0) & ~skipped
        rows = open_[hit]
        time_ns[rows], observer[rows], mark[rows] = at[hit], kind[hit], u[hit]
        now[open_] = np.where(skipped, at, end)
        open_ = open_[~hit & (now[open_] < stop[open_])]
    scrubbed = (observer < 0) & (scrub_ns < limit_ns)
    time_ns = np.where(scrubbed, scrub_ns, time_ns)
    return Sighting(time_ns, np.where(scrubbed, int(Observer.SCRUB), observer), mark)


def next_owner_access(memory: Memory, frames: Frames, after_ns: Ints, limit_ns: Ints, mask: Mask) -> Ints:
    """Return when the present owner of each frame next touches any line of it, within its tenancy; else FOREVER."""
    n = after_ns.shape[0]
    found = np.full(n, FOREVER, np.int64)
    tenancy, _ = masked_tenancy(memory, frames, after_ns, mask)
    end = memory.tenancy_end(frames, after_ns, limit_ns)
    now = after_ns.copy()
    open_ = np.flatnonzero(tenancy.owner != NOBODY)
    while open_.size:
        part = frames.take(open_)
        use, hot = tenancy.use[open_], tenancy.hot[open_]
        at, kind, _ = memory.next_access(part, use, hot, now[open_], end[open_], whole_page=True)
        own = (kind == Observer.USER) | (kind == Observer.WRITE)
        found[open_[own]] = at[own]
        now[open_] = at
        open_ = open_[(kind >= 0) & ~own]
    return found
