"""What follows from faults without any arm's action, and a store of it that all lanes of a call share.

**Models.** Verdicts on single faults, their erroneous reads, which of those fail alone, what is mapped out, which fail
where faults meet, the corrected errors that are left, pages with uncorrectable words, and what devices count
themselves, in this order.

**Leaves out.** What an arm does about them; its lives follow in ``steps.py``.

**Assumes.** Faults of a DIMM generation are judged and listed the moment any lane installs it.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from node_sim.codes import Path
from node_sim.corrected.eras import WindowIndex
from node_sim.corrected.passes import Passes, simulate_passes
from node_sim.corrected.soft_sightings import simulate_soft_sightings
from node_sim.corrected.sparing import drop_spared, spared_ns
from node_sim.corrected.windows import Windows, join_windows, simulate_reads, simulate_windows
from node_sim.dram.faults import FaultTable, simulate_generation
from node_sim.dram.growth import grow
from node_sim.ecc.judgement import (
    Judgement,
    SoftPages,
    bad_pages,
    corrected_cells,
    dimms_of,
    judge_alone,
    judge_together,
)
from node_sim.lives.uncorrected import BadReads, bad_reads, drop_mapped_out, judge_reads, lost_reads
from node_sim.lives.world import World
from node_sim.memory.pages import BlockKind, Frames, Static, make_frames
from node_sim.memory.sightings import scrub_phase_ns
from node_sim.records import NULL, Flags, Ints, join, take
from node_sim.units import FOREVER


class BadPages(NamedTuple):
    """Pages with uncorrectable words, ordered by fault; arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        pfn: Physical page number, -1 of errors without an address.
        silent: Whoever reads its words does not notice; of soft faults.
        path: How the fault came to it (``Path``).
        first_read: Index of its first failing read; those of a soft fault have none.
        n_reads: How many there are.
    """

    fault: Ints
    pfn: Ints
    silent: Flags
    path: Ints
    first_read: Ints
    n_reads: Ints


class Physics(NamedTuple):
    """Faults with everything that follows from them without any arm's action.

    Attributes:
        faults: All faults of some DIMMs.
        windows: Their corrected errors.
        pages: Pages with uncorrectable words.
        reads: Reads of those of hard faults that fail, ordered by (fault, page, time).
        passes: What devices count.
    """

    faults: FaultTable
    windows: Windows
    pages: BadPages
    reads: BadReads
    passes: Passes


def simulate_physics(world: World, faults: FaultTable, dimm: Ints | None = None) -> Physics:
    """Judge faults and their reads, and draw their corrected errors and bad pages.

    Args:
        world: What the lanes share.
        faults: All faults of some DIMMs.
        dimm: Which DIMM each fault is in; told apart by node, slot and generation if not given.
    """
    dimm = dimms_of(faults) if dimm is None else dimm
    seed, policy, ecc, horizon_ns = world.seed, world.policy, world.policy.ecc, world.horizon_ns
    judgement = judge_alone(seed, faults, ecc)
    reads = simulate_reads(seed, faults, np.flatnonzero(judgement.visible & faults.hard), policy, horizon_ns)
    soft = np.flatnonzero(judgement.visible & ~faults.hard)
    sightings = simulate_soft_sightings(seed, faults, soft, policy, world.address_map, horizon_ns)
    judged = [judge_reads(seed, faults, judgement, reads, world.address_map)]

    def corrected() -> Windows:
        lost = lost_reads(judged, reads, mirroring=ecc.mirroring)
        return simulate_windows(faults, judgement.corrected, policy, reads, lost, sightings)

    since_ns = np.full(dimm.size, FOREVER)
    if ecc.sparing != "none":
        since_ns = spared_ns(faults, corrected(), corrected_cells(judgement, faults), dimm, ecc)
    judgement, meetings = judge_together(judgement, faults, dimm, world.hardware.server, policy, since_ns)
    judged.append(judge_reads(seed, faults, judgement, reads, world.address_map, meetings))
    judged = [drop_mapped_out(one, reads, since_ns) for one in judged]
    windows = drop_spared(corrected(), since_ns)
    found = bad_reads(faults, judgement, judged, mirroring=ecc.mirroring)
    wrong = bad_pages(seed, faults, judgement, world.address_map, mirroring=ecc.mirroring)
    passes = simulate_passes(seed, faults, world.hardware.server, policy, horizon_ns)
    return Physics(faults, windows, _list_pages(wrong, judgement, found), found, passes)


def _list_pages(soft: SoftPages, judgement: Judgement, reads: BadReads) -> BadPages:
    """List the pages of soft faults, and those on which reads of hard ones fail."""
    new = (np.diff(reads.fault, prepend=-1) != 0) | (np.diff(reads.pfn, prepend=-2) != 0)
    first = np.flatnonzero(new)
    path = np.where(judgement.alone[soft.fault], int(Path.BORN), int(Path.PAIR))
    n, m = soft.fault.size, first.size
    pages = BadPages(
        fault=np.concatenate((soft.fault, reads.fault[first])),
        pfn=np.concatenate((soft.pfn, reads.pfn[first])),
        silent=np.concatenate((soft.silent, np.zeros(m, np.bool_))),
        path=np.concatenate((path, reads.path[first])),
        first_read=np.concatenate((np.zeros(n, np.int64), first)),
        n_reads=np.concatenate((np.zeros(n, np.int64), np.diff(np.append(first, reads.fault.size)))),
    )
    return take(pages, np.argsort(pages.fault, kind="stable"))


def take_physics(physics: Physics, faults: Ints) -> Physics:
    """Select the physics of some faults, which are in ascending order."""
    new = np.full(physics.faults.time_ns.size, -1)
    new[faults] = np.arange(faults.size)
    windows = physics.windows.take(np.flatnonzero(new[physics.windows.fault] >= 0))
    passes = physics.passes.take(np.flatnonzero(new[physics.passes.fault] >= 0))
    read = np.flatnonzero(new[physics.reads.fault] >= 0)
    place = np.zeros(physics.reads.fault.size + 1, np.int64)
    place[read] = np.arange(read.size)
    pages = take(physics.pages, np.flatnonzero(new[physics.pages.fault] >= 0))
    reads = physics.reads.take(read)
    return Physics(
        physics.faults.take(faults),
        windows._replace(fault=new[windows.fault]),
        pages._replace(fault=new[pages.fault], first_read=place[pages.first_read]),
        reads._replace(fault=new[reads.fault]),
        passes._replace(fault=new[passes.fault]),
    )


def join_physics(parts: Sequence[Physics]) -> Physics:
    """Put the physics of different faults one after the other."""
    shifted, faults, reads = [], 0, 0
    for part in parts:
        shifted.append(
            part._replace(
                windows=part.windows._replace(fault=part.windows.fault + faults),
                pages=part.pages._replace(fault=part.pages.fault + faults, first_read=part.pages.first_read + reads),
                reads=part.reads._replace(fault=part.reads.fault + faults),
                passes=part.passes._replace(fault=part.passes.fault + faults),
            )
        )
        faults, reads = faults + part.faults.time_ns.size, reads + part.reads.fault.size
    columns = {name: join([getattr(part, name) for part in shifted]) for name in ("faults", "pages", "reads", "passes")}
    return Physics(windows=join_windows([part.windows for part in shifted]), **columns)


class Store:
    """Faults any lane has met so far, with their windows, bad pages and passes; it only grows."""

    def __init__(self, world: World, physics: Physics) -> None:
        """Start with the faults of generation 0."""
        self.world = world
        self.faults = physics.faults
        self.windows = physics.windows
        self.pages = physics.pages
        self.reads = physics.reads
        self.passes = physics.passes
        self.index = WindowIndex(self.windows, self.faults.time_ns.size)
        self.frames = self._frames(physics.pages, physics.faults)
        self.phase_ns = self._phase(physics.pages, physics.faults)
        self.generations: dict[tuple[int, ...], range] = {}

    def _frames(self, pages: BadPages, faults: FaultTable) -> Frames:
        static = Static.of(self.world.policy.workload)
        frames = make_frames(self.world.seed, faults.node_id[pages.fault], np.maximum(pages.pfn, 0), static)
        nowhere = pages.pfn == NULL
        return frames._replace(pfn=pages.pfn, kind=np.where(nowhere, int(BlockKind.ORDINARY), frames.kind))

    def _phase(self, pages: BadPages, faults: FaultTable) -> Ints:
        period_ns = self.world.policy.detection.scrub_ns
        return scrub_phase_ns(self.world.seed, faults.node_id[pages.fault], period_ns)

    def install(self, node_id: Ints, slot: Ints, generation: Ints, time_ns: Ints) -> list[range]:
        """Return the store positions of the faults of DIMMs installed at given times, drawing those not met before.

        Faults that start before the installation are left out: they meet no other fault.
        """
        names = list(zip(node_id.tolist(), slot.tolist(), generation.tolist(), time_ns.tolist(), strict=True))
        fresh = sorted({name for name in names if name not in self.generations})
        if fresh:
            asked = np.asarray(fresh, np.int64)
            world = self.world
            node, slots, generations, installed = asked.T
            born, owner = simulate_generation(
                world.seed, node, slots, generations, installed, world.hardware, world.horizon_ns
            )
            faults, parent = grow(world.seed, born, world.hardware, world.horizon_ns)
            order = np.lexsort((faults.tag, owner[parent]))
            faults, owner = faults.take(order), owner[parent][order]
            first = self.faults.time_ns.size
            sizes = np.bincount(owner, minlength=len(fresh))
            for name, end, size in zip(fresh, (first + np.cumsum(sizes)).tolist(), sizes.tolist(), strict=True):
                self.generations[name] = range(end - size, end)
            if faults.time_ns.size:
                self._append(simulate_physics(world, faults, owner))
        return [self.generations[name] for name in names]

    def _append(self, more: Physics) -> None:
        self.frames = join([self.frames, self._frames(more.pages, more.faults)])
        self.phase_ns = np.concatenate((self.phase_ns, self._phase(more.pages, more.faults)))
        before = Physics(self.faults, self.windows, self.pages, self.reads, self.passes)
        self.faults, self.windows, self.pages, self.reads, self.passes = join_physics([before, more])
        self.index = WindowIndex(self.windows, self.faults.time_ns.size)
