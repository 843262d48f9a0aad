"""Who next touches a page with wrong words that stay until they are rewritten, when; and who reads one at a time.

**Models.** Competing readers of one page: the patrol scrubber, which passes every page once per period, and the
accesses of its present user; full-line writes heal the error. Where the last-level cache
reports poison that it writes back, a share of the writes fill a part of the line only, and are reported.

**Leaves out.** Lines other than the faulty one, scrub on demand, write-back of poison to another page.

**Assumes.** The scrubber passes over a line it has already marked as poison without a new report. A write access that
reaches DRAM is the line's eviction from the cache.

**Sources.** Patrol scrub period and pace: ``tests/oracle/catalog/thresholds_repair.csv``; the shares of readers are
assumptions. Explicit write-back: Intel SDM 253668-032, volume 3, 15.9.3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import Observer
from node_sim.draws import Purpose, Seed, Tag, split64, unit32, unit53, words
from node_sim.memory.pages import ACCESS_OBSERVERS, FREE_USE, BlockKind, Frames, Memory, Tenancy
from node_sim.memory.processes import NOBODY, pick
from node_sim.records import Flags, Floats, Index, Ints, take
from node_sim.units import FOREVER


class Mask(NamedTuple):
    """What an arm has done to the users of frames; arrays of shape ``(n,)``.

    Attributes:
        freed_ns: When the frame last went back to the free lists, by a kill or a boot [ns], -1 if never.
        dissolved_ns: When the huge page of a pool that it is part of is broken up in this boot [ns], else ``FOREVER``.
        drain_ns: Since when the node drains [ns], ``FOREVER`` if it does not.
        drained_ns: When it will be drained [ns].
        lane: Row of the node in ``Deaths``.
    """

    freed_ns: Ints
    dissolved_ns: Ints
    drain_ns: Ints
    drained_ns: Ints
    lane: Ints

    def take(self, index: Index) -> Mask:
        """Select some frames."""
        return take(self, index)

    def leaves_ns(self, memory: Memory, owners: Ints) -> Ints:
        """Return when the last owner of each frame leaves a node that drains [ns], ``FOREVER`` if it does not."""
        leaves_ns = memory.processes.last_leaves_ns(np.maximum(owners, 0), self.drain_ns, self.drained_ns)
        return np.where(owners != NOBODY, leaves_ns, FOREVER)

    def apply(self, frames: Frames, time_ns: Ints) -> Frames:
        """Return frames as they are at times: those of huge pages that have been broken up are ordinary ones."""
        broken = self.dissolved_ns <= time_ns
        if not broken.any():
            return frames
        return frames._replace(kind=np.where(broken, int(BlockKind.ORDINARY), frames.kind))


Deaths = Ints
"""Last kill by node and process [ns], ``NEVER_KILLED`` if none, shape ``(n_nodes, n_processes)``."""


class Spell(NamedTuple):
    """Uses of frames with the times between which nothing changes them, shape ``(n,)``.

    Attributes:
        tenancy: The use, as an arm has left it.
        from_ns: A time at which it was so [ns].
        until_ns: When it changes [ns].
    """

    tenancy: Tenancy
    from_ns: Ints
    until_ns: Ints

    def take(self, index: Index) -> Spell:
        """Select some."""
        return take(self, index)


class Sighting(NamedTuple):
    """Next touch of each frame, shape ``(n,)``.

    Attributes:
        time_ns: When [ns]; the limit if there is none.
        observer: ``Observer``, -1 if there is none.
        mark: A uniform mark.
        process: The owner whose access it is, ``NOBODY`` if it is nobody's.
    """

    time_ns: Ints
    observer: Ints
    mark: Floats
    process: Ints


class Range(NamedTuple):
    """Where to look for touches of frames, shape ``(n,)``.

    Attributes:
        after_ns: Later than this [ns].
        scrub_ns: When the scrubber next reports each frame [ns]; FOREVER if it will not.
        limit_ns: Nobody but the scrubber reads the frame from then on [ns].
    """

    after_ns: Ints
    scrub_ns: Ints
    limit_ns: Ints


def spell_of(memory: Memory, frames: Frames, time_ns: Ints, mask: Mask) -> Spell:
    """Return the use of frames at a time under an arm's mask.

    A frame that went back to the free lists is free until memory has been filled again; its next use is the one that
    the frame and that time name. Memory whose last owner has left a draining node stays free until the next boot. A
    huge page goes back to its pool; the pages of one that is broken up are free from then on.

    Args:
        memory: Tables of the arm.
        frames: Frames, shape ``(n,)``.
        time_ns: When [ns], shape ``(n,)``.
        mask: What the arm has done to their users.
    """
    frames = mask.apply(frames, time_ns)
    tenancy, next_ns = memory.tenancy(frames, time_ns)
    broken = mask.dissolved_ns <= time_ns
    freed_ns = np.where(broken, np.maximum(mask.freed_ns, mask.dissolved_ns), mask.freed_ns)
    lost = ~frames.kernel & (freed_ns > tenancy.start_ns)
    filled_ns = np.where(lost, freed_ns + memory.refill_ns, -1)
    free = filled_ns > time_ns
    again = np.flatnonzero(lost & ~free)
    if again.size:
        later = memory.refilled(frames.take(again), filled_ns[again])
        for column, cells in zip(tenancy, later, strict=True):
            column[again] = cells
    leaves_ns = np.where(free, FOREVER, mask.leaves_ns(memory, tenancy.owners))
    left = leaves_ns <= time_ns
    masked = tenancy._replace(
        use=np.where(free | left, FREE_USE[frames.kind], tenancy.use),
        owners=np.where(free | left, NOBODY, tenancy.owners),
    )
    until_ns = np.where(free, filled_ns, np.where(left, FOREVER, leaves_ns))
    until_ns = np.where(broken, until_ns, np.minimum(until_ns, mask.dissolved_ns))
    return Spell(masked, time_ns, np.minimum(until_ns, next_ns))


def scrub_phase_ns(seed: Seed, node_id: Ints, period_ns: int) -> Ints:
    """Draw where in its period the scrubber of each node is at time 0 [ns]."""
    w0, w1, _, _ = words(seed.key(Purpose.NODE), node_id)
    return (unit53(w0, w1) * period_ns).astype(np.int64)


def next_scrub_ns(phase_ns: Ints, pfn: Ints, pages: int, after_ns: Ints, period_ns: int) -> Ints:
    """Return when the scrubber next passes each page after a time; never where it is off.

    Args:
        phase_ns: When a round began, shape ``(n,)``; a boot begins one.
        pfn: Page, shape ``(n,)``.
        pages: Pages of the node.
        after_ns: Look later than this [ns], shape ``(n,)``.
        period_ns: Length of a round [ns], 0 if there is no scrubber.
    """
    if period_ns == 0:
        return np.full(after_ns.shape, FOREVER, np.int64)
    offset = (phase_ns + (pfn / pages * period_ns).astype(np.int64)) % period_ns
    return after_ns + 1 + (offset - after_ns - 1) % period_ns


def absent(memory: Memory, deaths: Deaths, mask: Mask, since_ns: Ints, process: Ints, time_ns: Ints) -> Flags:
    """Return which owners of frames are gone: killed since the use began, or left while the node drains.

    Args:
        memory: Tables of the arm.
        deaths: Of all nodes.
        mask: Of the frames, shape ``(n,)``.
        since_ns: When the use began [ns], shape ``(n,)``.
        process: The owners, shape ``(n,)``.
        time_ns: When [ns], shape ``(n,)``.
    """
    leaves_ns = memory.processes.leaves_ns(process, mask.drain_ns, mask.drained_ns)
    gone: Flags = (deaths[mask.lane, process] > since_ns) | (leaves_ns <= time_ns)
    return gone


def next_sighting(
    memory: Memory, frames: Frames, mask: Mask, deaths: Deaths, spell: Spell, at_writeback: Floats, where: Range
) -> Sighting:
    """Find the next touch of each frame that matters; accesses of owners that are gone do not happen.

    Args:
        memory: Tables of the arm.
        frames: Frames, shape ``(n,)``.
        mask: What the arm has done to their users.
        deaths: Of all nodes.
        spell: Their use at the beginning of the range.
        at_writeback: Share of the writes that fill a part of the line, heal nothing and are reported at its write-back.
        where: When to look.
    """
    n = where.after_ns.shape[0]
    time_ns = where.limit_ns.copy()
    observer, mark, process = np.full(n, -1, np.int64), np.zeros(n), np.full(n, NOBODY)
    stop = np.minimum(where.scrub_ns, where.limit_ns)
    now = where.after_ns.copy()
    open_ = np.flatnonzero(now < stop)
    spell = spell.take(open_)
    while open_.size:
        part, tenancy = frames.take(open_), spell.tenancy
        end = np.minimum(spell.until_ns, stop[open_])
        at, kind, u, by_owner = memory.next_access(part, tenancy.use, tenancy.hot, now[open_], end)
        who = pick(memory.processes, tenancy.owners, by_owner)
        partial = (kind == Observer.WRITE) & _partly_written(part, at, at_writeback[open_])
        kind = np.where(partial, int(Observer.WRITE_BACK), kind)
        skipped = np.zeros(kind.size, np.bool_)
        some = np.flatnonzero((memory.processes.size[tenancy.owners] > 1) & (tenancy.owners != NOBODY) & (kind >= 0))
        if some.size:
            mine = mask.take(open_[some])
            skipped[some] |= absent(memory, deaths, mine, tenancy.start_ns[some], who[some], at[some])
        hit = (kind >= 0) & ~skipped
        rows = open_[hit]
        time_ns[rows], observer[rows], mark[rows], process[rows] = at[hit], kind[hit], u[hit], who[hit]
        now[open_] = np.where(skipped, at, end)
        on = np.flatnonzero(~hit & (now[open_] < stop[open_]))
        open_, spell = open_[on], spell.take(on)
        _move_on(memory, frames.take(open_), mask.take(open_), spell, now[open_])
    scrubbed = (observer < 0) & (where.scrub_ns < FOREVER)
    time_ns = np.where(scrubbed, where.scrub_ns, time_ns)
    return Sighting(time_ns, np.where(scrubbed, int(Observer.SCRUB), observer), mark, process)


def _move_on(memory: Memory, frames: Frames, mask: Mask, spell: Spell, now_ns: Ints) -> None:
    """Replace the spells that are over by those at a time."""
    over = np.flatnonzero(now_ns >= spell.until_ns)
    if over.size:
        replace_spells(spell, over, spell_of(memory, frames.take(over), now_ns[over], mask.take(over)))


class Reader(NamedTuple):
    """Who reads each frame, shape ``(n,)``.

    Attributes:
        observer: ``Observer``, -1 if nobody does.
        mark: A uniform mark.
        process: The owner whose read it is, ``NOBODY`` if it is nobody's.
    """

    observer: Ints
    mark: Floats
    process: Ints


def reader_at(
    memory: Memory, frames: Frames, mask: Mask, deaths: Deaths, time_ns: Ints, at_writeback: Floats
) -> tuple[Reader, Flags]:
    """Draw who reads frames from memory at times at which somebody does.

    Args:
        memory: Tables of the arm.
        frames: Frames, shape ``(n,)``.
        mask: What the arm has done to their users.
        deaths: Of all nodes.
        time_ns: When [ns], shape ``(n,)``.
        at_writeback: Share of the writes that fill a part of the line, and read the rest of it.

    Returns:
        The readers, and of which frames there can be none but the scrubber: nobody has them.
    """
    tenancy = spell_of(memory, frames, time_ns, mask).tenancy
    low, high = split64(time_ns)
    by_kind, by_mark, by_owner, by_fill = words(frames.page_key, low, high, int(Tag.READER))
    cdf = memory.access_cdf[tenancy.use]
    position = (unit32(by_kind)[:, None] * cdf[:, -1:] >= cdf[:, :-1]).sum(axis=1)
    kind = np.asarray(ACCESS_OBSERVERS, np.int64)[position]
    fills = (1.0 - cdf[:, -1]) * at_writeback
    kind = np.where(unit32(by_fill) * (fills + cdf[:, -1]) < fills, int(Observer.WRITE_BACK), kind)
    who = pick(memory.processes, tenancy.owners, by_owner)
    shared = np.flatnonzero((memory.processes.size[tenancy.owners] > 1) & (tenancy.owners != NOBODY))
    mine = mask.take(shared)
    gone = absent(memory, deaths, mine, tenancy.start_ns[shared], who[shared], time_ns[shared])
    kind[shared[gone]] = -1
    unused = cdf[:, -1] == 0.0
    kind[unused] = -1
    return Reader(kind, unit32(by_mark), np.where(kind >= 0, who, NOBODY)), unused


def replace_spells(spell: Spell, which: Ints, by: Spell) -> None:
    """Put other spells in the places of some."""
    columns = (*spell.tenancy, spell.from_ns, spell.until_ns)
    for column, cells in zip(columns, (*by.tenancy, by.from_ns, by.until_ns), strict=True):
        column[which] = cells


def _partly_written(frames: Frames, time_ns: Ints, share: Floats) -> Flags:
    """Draw which writes fill a part of their line; nothing is drawn where no share is."""
    if not share.any():
        return np.zeros(time_ns.shape, np.bool_)
    low, high = split64(time_ns)
    return unit32(words(frames.page_key, low, high, int(Tag.PARTIAL_WRITE))[0]) < share


def next_owner_access(
    memory: Memory, frames: Frames, tenancy: Tenancy, process: Ints, within: tuple[Ints, Ints]
) -> Ints:
    """Return when one owner of each frame next touches any line of its page; else FOREVER [ns].

    Args:
        memory: Tables of the arm.
        frames: Frames as they are (``Mask.apply``), shape ``(n,)``.
        tenancy: Their use.
        process: The owners, shape ``(n,)``.
        within: Later than the first time, and before the second [ns], each of shape ``(n,)``.
    """
    after_ns, end_ns = within
    found = np.full(after_ns.shape[0], FOREVER, np.int64)
    now = after_ns.copy()
    open_ = np.arange(found.size)
    while open_.size:
        part, use = frames.take(open_), take(tenancy, open_)
        at, kind, _, _ = memory.next_touch(part, use, process[open_], now[open_], end_ns[open_])
        own = (kind == Observer.USER) | (kind == Observer.WRITE)
        found[open_[own]] = at[own]
        now[open_] = at
        open_ = open_[(kind >= 0) & ~own]
    return found
