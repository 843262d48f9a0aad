"""Where corrected errors stand among all erroneous reads of a window, if some of the reads fail.

**Models.** The reads of a window are numbered in the order of their times; those that fail (``bad_reads.py``) part it
into gaps. A gap shows the errors that are corrected between two failing reads. If all of them are logged, the k-th read
that fails with j failures before it has exactly k - 1 - j of them before it.

**Leaves out.** Which pages the reads are on: errors go on from page to page as if no read had failed in between.

**Assumes.** If storms, a full log or firmware leave errors out, each gap keeps its share of them, rounded down over the
gaps so far, and they lie evenly among its reads. Reads that are lost on average only (``count_later``) are the last
ones of the window.

**Sources.** None.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from node_sim.records import Flags, Ints, take

EVEN: Final = -1
"""Order of windows none of whose reads fails: the errors that are logged are all that counts."""
_ERROR_BITS: Final = 32
_ERRORS: Final = (1 << _ERROR_BITS) - 1
"""More than the errors of a window."""


class LostReads(NamedTuple):
    """Reads of windows that are neither corrected nor answered from a copy.

    Attributes:
        n_lost: How many of each window, shape ``(n_windows,)``; with those that are counted on average.
        window: Window of each of which the number is known, ascending, shape ``(n,)``.
        read: Its number in the window, from 1, ascending in each window.
    """

    n_lost: Ints
    window: Ints
    read: Ints


class Gaps(NamedTuple):
    """Gaps between the failing reads of windows, ordered by (window, read); arrays of shape ``(n,)``.

    A window has one gap before its first failing read, one after each, and an element for its end.

    Attributes:
        name: Order of the window and number of its logged errors before the gap, in one word.
        read: Number of the failing read before the gap, 0 if none; at the end that of all reads and 1.
    """

    name: Ints
    read: Ints

    @classmethod
    def none(cls) -> Gaps:
        """Return the gaps of windows none of whose reads fails."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))

    @property
    def n_windows(self) -> int:
        """How many windows have gaps."""
        return int(self.name[-1] >> _ERROR_BITS) + 1 if self.name.size else 0

    def places(self, order: Ints, k: Ints) -> tuple[Ints, Ints]:
        """Return the numbers of errors k >= 1 of windows among all reads, and how many reads there are.

        Args:
            order: Of the windows, >= 0, shape ``(n,)``.
            k: Numbers among the logged errors of each.
        """
        at = np.searchsorted(self.name, order << _ERROR_BITS | k) - 1
        before = self.name[at] & _ERRORS
        errors, reads = (self.name[at + 1] & _ERRORS) - before, self.read[at + 1] - self.read[at] - 1
        end = np.searchsorted(self.name, (order + 1) << _ERROR_BITS) - 1
        return self.read[at] - (before - k) * reads // errors, self.read[end] - 1


def join_gaps(one: Gaps, other: Gaps) -> Gaps:
    """Put the gaps of other windows behind some; orders of the others grow by ``one.n_windows``."""
    name = other.name + (one.n_windows << _ERROR_BITS)
    return Gaps(np.concatenate((one.name, name)), np.concatenate((one.read, other.read)))


def order_reads(lost: LostReads, whole: Ints, accepted: Ints, threshold: int, kept: Flags) -> tuple[Ints, Gaps]:
    """Find the order of corrected and failing reads in windows.

    Args:
        lost: Reads that are not corrected.
        whole: All reads of each window, shape ``(n_windows,)``.
        accepted: Those of the corrected ones that firmware counts.
        threshold: How many of these make one logged error.
        kept: Windows that show any.

    Returns:
        The order of each window, ``EVEN`` where no read is known to fail, and their gaps.
    """
    some = kept[lost.window]
    window, read = lost.window[some], lost.read[some]
    first = np.diff(window, prepend=-1) != 0
    own, number = window[first], np.cumsum(first) - 1
    order = np.full(whole.size, EVEN)
    order[window] = number
    corrected = (whole - lost.n_lost)[window]
    right = read - 1 - (np.arange(window.size) - np.searchsorted(window, window))
    before = np.minimum(right, corrected) * accepted[window] // corrected // threshold
    begin = np.arange(own.size)
    of = np.concatenate((begin, number, begin))
    errors = np.concatenate((np.zeros_like(own), before, accepted[own] // threshold))
    reads = np.concatenate((np.zeros_like(own), read, whole[own] + 1))
    return order, take(Gaps(of << _ERROR_BITS | errors, reads), np.lexsort((reads, of)))
