"""What the kernels of lanes answer when a policy of one's own asks for pages to go offline.

**Models.** The answer by kind of page, and by what is known of it and of the rest of its huge page in this boot.

**Leaves out.** What becomes of the page; ``carry_out.py`` has it.

**Assumes.** What ``corrected/asking.py`` does.

**Sources.** ``hwpoison/offline_answers.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import question_of
from node_sim.corrected.marks import Poisoned, entries_of
from node_sim.lives.state import LaneState
from node_sim.memory.pages import HUGE_PAGES, make_frames
from node_sim.records import Flags, Ints


class KernelAnswers(NamedTuple):
    """KernelAnswers about pages; arrays of shape ``(n,)``.

    Attributes:
        kind: ``BlockKind`` of the page.
        poisoned: It, or the huge page that it is part of, is poisoned or offline already.
        errno: 0 or a negative errno.
    """

    kind: Ints
    poisoned: Flags
    errno: Ints

    @property
    def gone(self) -> Flags:
        """Which pages go offline."""
        gone: Flags = (self.errno == 0) & ~self.poisoned
        return gone


def ask_kernel(state: LaneState, known: Poisoned, lane: Ints, pfn: Ints) -> KernelAnswers:
    """Ask the kernels of lanes to take pages offline.

    Args:
        state: Of the lanes.
        known: What is known of pages of these lanes in their present boots.
        lane: Lane of each page, shape ``(n,)``.
        pfn: The pages, each once in a lane.
    """
    world = state.world
    drawn = make_frames(world.seed, state.node_id[lane], pfn, world.ground().static)
    already, beside = (np.zeros(lane.size, np.bool_) for _ in range(2))
    own, others = entries_of(known, lane, pfn, HUGE_PAGES[drawn.kind], world.address_map.pages)
    already[own[0]], beside[others[0]] = True, True
    asked = question_of(drawn.kind, drawn.spare, already, beside)
    return KernelAnswers(drawn.kind, already | beside, state.policies.offline_answer[state.arm_set[lane], asked])
