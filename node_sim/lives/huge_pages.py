"""Huge pages of a pool in lanes: an error in one of their 4 KiB pages is one of all.

**Models.** A huge page that keeps its mark is poisoned as a whole: its other 4 KiB pages leave use with the bad one.
One that is broken up loses the bad 4 KiB page; the others are free, and ordinary memory until the next boot.

**Leaves out.** What is kept of a file in a huge page: ``read()`` of its good pages goes on since 6.6.

**Assumes.** A kernel that takes hugetlb pages for none of its business (2.6.32) marks one 4 KiB page. Others break up
no huge page that carries a mark already: a further error in it is "already poisoned".

**Sources.** mm/hugetlb.c ``dissolve_free_huge_page()``; mm/memory-failure.c ``me_huge_page()``.
"""

from __future__ import annotations

import numpy as np

from node_sim.lives.state import LaneState, forget_spells, huge_pages
from node_sim.records import Flags, Ints
from node_sim.units import FOREVER


def share_fate(state: LaneState, frame: Ints, time_ns: Ints, dissolved: Flags) -> None:
    """Let the huge pages of frames that have just been marked go with them, at most one per lane.

    Args:
        state: Of the lanes; changed.
        frame: The frames, shape ``(n,)``.
        time_ns: When [ns], shape ``(n,)``.
        dissolved: Whether their huge pages are broken up, shape ``(n,)``.
    """
    frames, huge = state.frames, huge_pages(state, frame)
    known = state.policies.marks_huge_pages[state.arm_set[frames.lane[frame]]]
    some = np.flatnonzero(known & (huge > 1) & (frames.dissolved_ns[frame] > time_ns))
    if not some.size:
        return
    own, when, size, broken = frame[some], time_ns[some], huge[some], dissolved[some]
    entry_of = np.full(state.node_id.size, -1)
    entry_of[frames.lane[own]] = np.arange(own.size)
    mates = np.flatnonzero(entry_of[frames.lane] >= 0)
    entry = entry_of[frames.lane[mates]]
    inside = frames.pfn[mates] // size[entry] == frames.pfn[own[entry]] // size[entry]
    mates, entry = mates[inside], entry[inside]
    others = ~broken[entry] & (mates != own[entry])
    _poison(state, mates[others], own[entry[others]], when[entry[others]])
    # One that keeps its mark is not broken up by counting any more: a planned offlining fails.
    frames.dissolved_ns[mates] = np.where(broken[entry], when[entry], FOREVER)
    state.changed.append((mates, when[entry]))
    forget_spells(state, mates)


def _poison(state: LaneState, others: Ints, own: Ints, time_ns: Ints) -> None:
    """Let the other frames of huge pages go out of use with the marked ones."""
    frames = state.frames
    fresh = (frames.neighbour_ns[others] == FOREVER) & (frames.poisoned_ns[others] == FOREVER)
    before = np.where(fresh, FOREVER, frames.out_ns[others])
    frames.out_ns[others] = np.minimum(before, frames.out_ns[own])
    frames.neighbour_ns[others] = np.minimum(frames.neighbour_ns[others], time_ns)
