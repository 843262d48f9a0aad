"""Frames that go out of use with banks of DIMMs, and huge pages of pools that are broken up for them.

**Models.** Of all pages with lines of a bank only those matter to a life that have bad lines; each is looked at by
itself. A huge page of a pool is broken up if the kernel takes 4 KiB pages of it.

**Leaves out.** How many pages there are; ``corrected/bank_sizes.py`` counts them.

**Assumes.** A bank has lines in several pages of a huge page, or in none: one that is poisoned alone leaves others.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.corrected.asking import BY_BANK, Offlines, question_of
from node_sim.dram.device_banks import BankMap
from node_sim.lives.state import LaneState, huge_pages
from node_sim.records import Flags, Ints, expand_counts


def take_banks_out(state: LaneState, open_: Ints, whole: Ints, lane: Ints, banks: Offlines) -> None:
    """Work out when banks take frames out of use, and break up the huge pages they are part of.

    Args:
        state: Of the lanes; changed.
        open_: Frames that nobody has marked in this boot.
        whole: Frames whose huge pages of a pool are whole.
        lane: Lane of each bank, shape ``(n,)``.
        banks: Banks that are asked for.
    """
    frames, bank_map = state.frames, BankMap(state.world.address_map)
    order = np.argsort(lane, kind="stable")
    names, time_ns, lane = banks.page[order] - BY_BANK, banks.time_ns[order], lane[order]
    which, bank = _pairs(open_[frames.pfn[open_] >= 0], frames.lane, lane)
    gone = bank_map.has_page(names[bank], frames.pfn[which]) & _taken(state, which)
    np.minimum.at(frames.out_ns, which[gone], time_ns[bank[gone]])
    which, bank = _pairs(whole, frames.lane, lane)
    huge, chunk_set, pattern = huge_pages(state, which), bank_map.chunk_set(names), bank_map.pattern(names)
    marked_ns = np.minimum(frames.poisoned_ns[which], frames.neighbour_ns[which])
    kept = state.policies.marks_huge_pages[state.arm_set[frames.lane[which]]] & (marked_ns <= time_ns[bank])
    for one in np.unique(bank[~kept]).tolist():
        some = np.flatnonzero((bank == one) & ~kept & _taken(state, which))
        first = frames.pfn[which[some]] // huge[some] * huge[some]
        lines = [bank_map.pages_below(int(chunk_set[one]), pattern[one], first + end) for end in (0, huge[some])]
        mine = which[some[lines[1] > lines[0]]]
        frames.dissolved_ns[mine] = np.minimum(frames.dissolved_ns[mine], time_ns[one])


def _pairs(which: Ints, lane_of: Ints, lane: Ints) -> tuple[Ints, Ints]:
    """List the pairs of a frame and a bank of its lane; ``lane`` are those of the banks, ascending."""
    begin, end = (np.searchsorted(lane, lane_of[which], side=side) for side in ("left", "right"))
    mine, step = expand_counts(end - begin)
    return which[mine], begin[mine] + step


def _taken(state: LaneState, which: Ints) -> Flags:
    """Return which frames the kernel takes offline that nobody has marked."""
    drawn = state.store.frames.take(state.frames.page[which])
    no = np.zeros(which.size, np.bool_)
    arm = state.arm_set[state.frames.lane[which]]
    taken: Flags = state.policies.offline_answer[arm, question_of(drawn.kind, drawn.spare, no, no)] == 0
    return taken
