"""What follows from faults without any arm's action, and a store of it that all lanes of a call share.

**Models.** Verdicts on single faults, their corrected errors, what is mapped out, verdicts on faults that meet, the
pages with uncorrectable words, and what devices count themselves, in this order.

**Leaves out.** What an arm does about them; its lives follow in ``steps.py``.

**Assumes.** Faults of a DIMM generation are judged and listed the moment any lane installs it.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.eras import WindowIndex
from node_sim.corrected.passes import Passes, simulate_passes
from node_sim.corrected.sparing import drop_spared, spared_ns
from node_sim.corrected.windows import Windows, simulate_windows
from node_sim.dram.faults import FaultTable, simulate_generation
from node_sim.ecc.judgement import BadPages, Judgement, bad_pages, dimms_of, judge_alone, judge_together
from node_sim.lives.world import World
from node_sim.memory.pages import Frames, Static, make_frames
from node_sim.memory.sightings import scrub_phase_ns
from node_sim.records import Ints, join, take


class Physics(NamedTuple):
    """Faults with everything that follows from them without any arm's action."""

    faults: FaultTable
    judgement: Judgement
    windows: Windows
    pages: BadPages
    passes: Passes


def simulate_physics(world: World, faults: FaultTable, dimm: Ints | None = None) -> Physics:
    """Judge faults and draw their corrected errors and bad pages.

    Args:
        world: What the lanes share.
        faults: All faults of some DIMMs.
        dimm: Which DIMM each fault is in; told apart by node, slot and generation if not given.
    """
    dimm = dimms_of(faults) if dimm is None else dimm
    policy, ecc = world.policy, world.policy.ecc
    judgement = judge_alone(faults, ecc)
    windows = simulate_windows(world.seed, faults, judgement.corrected, policy, world.horizon_ns)
    since_ns = spared_ns(faults, windows, judgement.corrected & ~judgement.uncorrected, dimm, ecc)
    if ecc.sparing != "none":
        windows = drop_spared(windows, since_ns)
    judgement = judge_together(judgement, faults, dimm, world.hardware.server, policy, since_ns)
    pages = bad_pages(world.seed, faults, judgement, world.address_map, mirroring=ecc.mirroring)
    passes = simulate_passes(world.seed, faults, world.hardware.server, policy, world.horizon_ns)
    return Physics(faults, judgement, windows, pages, passes)


def take_physics(physics: Physics, faults: Ints) -> Physics:
    """Select the physics of some faults, which are in ascending order."""
    new = np.full(physics.faults.time_ns.size, -1)
    new[faults] = np.arange(faults.size)
    window = np.flatnonzero(new[physics.windows.fault] >= 0)
    page = np.flatnonzero(new[physics.pages.fault] >= 0)
    passes = physics.passes.take(np.flatnonzero(new[physics.passes.fault] >= 0))
    windows = physics.windows.take(window)
    pages = take(physics.pages, page)
    return Physics(
        physics.faults.take(faults),
        take(physics.judgement, faults),
        windows._replace(fault=new[windows.fault]),
        pages._replace(fault=new[pages.fault]),
        passes._replace(fault=new[passes.fault]),
    )


class Store:
    """Faults any lane has met so far, with their windows, bad pages and passes; it only grows."""

    def __init__(self, world: World, physics: Physics) -> None:
        """Start with the faults of generation 0."""
        self.world = world
        self.faults = physics.faults
        self.windows = physics.windows
        self.pages = physics.pages
        self.passes = physics.passes
        self.stays = physics.judgement.stays
        self.alone = physics.judgement.alone
        self.index = WindowIndex(self.windows, self.faults.time_ns.size)
        self.frames = self._frames(physics.pages, physics.faults)
        self.phase_ns = self._phase(physics.pages, physics.faults)
        self.generations: dict[tuple[int, ...], range] = {}

    def _frames(self, pages: BadPages, faults: FaultTable) -> Frames:
        static = Static.of(self.world.policy.workload)
        return make_frames(self.world.seed, faults.node_id[pages.fault], pages.pfn, static)

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
            faults, owner = simulate_generation(
                world.seed, node, slots, generations, installed, world.hardware, world.horizon_ns
            )
            first = self.faults.time_ns.size
            sizes = np.bincount(owner, minlength=len(fresh))
            for name, end, size in zip(fresh, (first + np.cumsum(sizes)).tolist(), sizes.tolist(), strict=True):
                self.generations[name] = range(end - size, end)
            if faults.time_ns.size:
                self._append(simulate_physics(world, faults, owner))
        return [self.generations[name] for name in names]

    def _append(self, more: Physics) -> None:
        first = self.faults.time_ns.size
        pages = more.pages._replace(fault=more.pages.fault + first)
        self.frames = join([self.frames, self._frames(more.pages, more.faults)])
        self.phase_ns = np.concatenate((self.phase_ns, self._phase(more.pages, more.faults)))
        self.faults = join([self.faults, more.faults])
        windows = more.windows._replace(fault=more.windows.fault + first)
        self.windows = join([self.windows, windows])
        self.pages = join([self.pages, pages])
        self.passes = join([self.passes, more.passes._replace(fault=more.passes.fault + first)])
        self.stays = np.concatenate((self.stays, more.judgement.stays))
        self.alone = np.concatenate((self.alone, more.judgement.alone))
        self.index = WindowIndex(self.windows, self.faults.time_ns.size)
