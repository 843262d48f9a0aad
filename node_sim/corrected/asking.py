"""What a daemon asks the kernel about pages with many corrected errors, and what it hears.

**Models.** ``soft_offline_page()`` of a page as it is. An offlined page is out of use until the next boot.

**Leaves out.** Limits on offlined pages.

**Assumes.** The kernel's answer depends on the arm, on whether the page is the kernel's or part of a pool of huge
pages, which has a spare one or not, and on whether it, or its huge page, is poisoned already; a huge page that has been
broken up in this boot is asked about as if it had not.

**Sources.** The answers: ``hwpoison/offline_answers.py``.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np

from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.memory.pages import BlockKind, Static
from node_sim.records import Flags, Index, Ints, take

BY_ROW = 1 << 39
"""More than the pages of a fault: pages that are asked for with their row are numbered from here on."""
BY_BANK = BY_ROW + (1 << 38)
"""Banks that are asked for are numbered from here on by their names (``dram/device_banks.py``)."""


class OfflineQuestion(enum.IntEnum):
    """Kinds of pages that the kernel's answer depends on; the first four are those of ``BlockKind``."""

    USER = 0
    KERNEL = 1
    POOL_2M = 2
    POOL_1G = 3
    POOL_2M_FULL = 4
    POOL_1G_FULL = 5
    POISONED = 6
    NEIGHBOUR = 7


class Offlines(NamedTuple):
    """Pages that a daemon asks the kernel to take offline, ordered by (era, page), and its answers; shape ``(n,)``.

    Attributes:
        era: Era.
        span: The window whose errors led to it.
        page: Number of the page among those of the fault; from ``BY_ROW`` on of pages asked for with their row, whose
            numbers in all eras are those of marks; from ``BY_BANK`` on of banks, which stand as the pages of the errors
            that led to them.
        error: Number of the error in the window that led to it.
        time_ns: When [ns].
        pfn: Page number.
        kind: ``BlockKind`` of it.
        poisoned: ``memory_failure()`` had marked the page, or the huge page it is part of, before.
        errno: The kernel's answer.
        trigger: ``OfflineTrigger``.
    """

    era: Ints
    span: Ints
    page: Ints
    error: Ints
    time_ns: Ints
    pfn: Ints
    kind: Ints
    poisoned: Flags
    errno: Ints
    trigger: Ints

    @classmethod
    def none(cls) -> Offlines:
        """Return no pages."""
        no = np.empty(0, np.int64)
        return cls(no, no, no, no, no, no, no, np.empty(0, np.bool_), no, no)

    @property
    def offlined(self) -> Flags:
        """Whether each page went offline."""
        gone: Flags = (self.errno == 0) & ~self.poisoned
        return gone

    @property
    def of_bank(self) -> Flags:
        """Whether each is a bank, not a page."""
        found: Flags = self.page >= BY_BANK
        return found

    def take(self, index: Index) -> Offlines:
        """Select some pages."""
        return take(self, index)


class Ground(NamedTuple):
    """What decides on which page an error is, and what that page is for ever."""

    seed: Seed
    address_map: AddressMap
    static: Static


def question_of(kind: Ints, spare: Flags, poisoned: Flags, beside: Flags) -> Ints:
    """Return the ``OfflineQuestion`` that pages are.

    Args:
        kind: ``BlockKind``, shape ``(n,)``.
        spare: Whether a pool has a spare page for their huge page, shape ``(n,)``.
        poisoned: Whether they had been marked before, shape ``(n,)``.
        beside: Whether another 4 KiB page of their huge page had been, shape ``(n,)``.
    """
    full = (kind >= BlockKind.POOL_2M) & ~spare
    asked = np.where(full, kind + (OfflineQuestion.POOL_2M_FULL - OfflineQuestion.POOL_2M), kind)
    return np.where(poisoned, int(OfflineQuestion.POISONED), np.where(beside, int(OfflineQuestion.NEIGHBOUR), asked))
