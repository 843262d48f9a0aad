"""In which order the pages of a fault show errors.

**Models.** A walk over all pages of the footprint in equal steps, each page once: from a drawn one on, by a drawn step
that has no factor in common with their number. So the first few pages lie anywhere in the footprint.

**Leaves out.** Weak cells that err more often than others.

**Assumes.** The order is the fault's, the same in every window.

**Sources.** Steps prime to n visit all of n places: any textbook of number theory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.draws import Purpose, Seed, below, words
from node_sim.records import Index, Ints, take

FRAMES_PER_FAULT_MAX = 32
"""Pages of a soft fault that are looked at one by one: the first ones of its order, which lie all over it."""


class PageOrder(NamedTuple):
    """Orders of the pages of footprints; arrays of shape ``(n,)``.

    Attributes:
        start: Place in the footprint of the first page, 0 … pages - 1.
        step: How far the next one is, on a circle.
    """

    start: Ints
    step: Ints

    def take(self, index: Index) -> PageOrder:
        """Select some."""
        return take(self, index)

    def place(self, number: Ints, pages: Ints) -> Ints:
        """Return the places in footprints of so many pages of those with given numbers in the order, 0 … pages - 1."""
        place: Ints = (self.start + number * self.step) % pages
        return place

    def number(self, place: Ints, pages: Ints) -> Ints:
        """Return the numbers in the order of pages at given places: the inverse of ``place``."""
        back = np.fromiter(map(_inverse, self.step.tolist(), pages.tolist()), np.int64, pages.size)
        number: Ints = (place - self.start) % pages * back % pages
        return number


def _inverse(step: int, pages: int) -> int:
    return pow(step, -1, pages)


def draw_page_order(seed: Seed, node_id: Ints, tag: Ints, pages: Ints) -> PageOrder:
    """Draw in which order named faults show the pages of a footprint.

    Args:
        seed: Of the run.
        node_id: Node of each fault, shape ``(n,)``.
        tag: Its name within the node, shape ``(n,)``.
        pages: Pages of the footprint, shape ``(n,)``.
    """
    start, stride, _, _ = words(seed.key(Purpose.FAULT), node_id, tag, 7)
    step = 1 + below(stride, pages)
    open_ = np.flatnonzero(np.gcd(step, pages) > 1)
    while open_.size:
        step[open_] += 1
        open_ = open_[np.gcd(step[open_], pages[open_]) > 1]
    return PageOrder(below(start, pages), step)
