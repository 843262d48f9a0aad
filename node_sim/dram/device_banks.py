"""Banks of DIMMs: which pages have lines of a bank, and how many of them lie below a page, without a list of them.

**Models.** A bank is one of a rank of a DIMM, with all its lines; its name is one number for the whole node. In the
number of a line some digits are the bank's (slot, rank, bank) and the same for all its lines; those of row and line run
through all values. Below the lowest of these, lines of the bank are ``stride`` apart; up to the first fixed digit above
them they fill *chunks* of whole pages, all alike. Which chunks are the bank's follows from the fixed digits above.

**Leaves out.** Rows that a spare row stands in for, as ``device_rows.py``.

**Assumes.** Chunks are whole pages: rows have a multiple of 64 lines. So two banks share pages only if their chunks are
the same, and which pages of a chunk have lines of a bank repeats every ``period`` pages.

**Sources.** ``geometry.py``.
"""

from __future__ import annotations

import math

import numpy as np

from node_sim.dram.geometry import AddressMap, Digit, Footprint
from node_sim.records import Flags, Ints
from node_sim.units import LINES_PER_PAGE

_FREE = ("row", "line")


class BankMap:
    """Where the lines of each bank lie."""

    def __init__(self, address_map: AddressMap) -> None:
        """Split the digits of an address map into those below chunks, in chunks and above them."""
        self.address_map = address_map
        digits, sizes = address_map.digits, [digit.size for digit in address_map.digits]
        first = next(i for i, digit in enumerate(digits) if digit.field in _FREE)
        end = next(i for i in range(first, len(digits)) if digits[i].field not in _FREE)
        self.stride = math.prod(sizes[:first])
        self.chunk_lines = math.prod(sizes[:end])
        assert self.chunk_lines % LINES_PER_PAGE == 0
        self.chunk_pages = self.chunk_lines // LINES_PER_PAGE
        self.period = self.stride // math.gcd(self.stride, LINES_PER_PAGE)
        self.above: tuple[Digit, ...] = digits[end:]

    def names(self, slot: Ints, rank: Ints, bank: Ints) -> Ints:
        """Name banks."""
        dimm = self.address_map.dimm
        name: Ints = (slot * dimm.ranks + rank) * dimm.banks + bank
        return name

    def boxes(self, name: Ints) -> Footprint:
        """Return the boxes of all lines of banks."""
        dimm = self.address_map.dimm
        rest, bank = np.divmod(name, dimm.banks)
        slot, rank = np.divmod(rest, dimm.ranks)
        one, zero = np.ones_like(name), np.zeros_like(name)
        return Footprint(slot, rank, bank, zero, zero, one, one, one * dimm.rows, one * dimm.lines)

    def _first_line(self, name: Ints) -> Ints:
        """Return the numbers of the first lines of banks."""
        zero = np.zeros_like(name)
        return self.address_map.corner(self.boxes(name), zero, zero, zero, zero)

    def chunk_set(self, name: Ints) -> Ints:
        """Name the sets of chunks of banks: those with different ones share no page."""
        return self._set_of(self._first_line(name) // self.chunk_lines)

    def _set_of(self, chunk: Ints) -> Ints:
        """Name the sets that chunks belong to, by their fixed digits."""
        rest, found, below = chunk, np.zeros_like(chunk), 1
        for digit in self.above:
            rest, value = np.divmod(rest, digit.size)
            if digit.field not in _FREE:
                found = found + value * below
                below *= digit.size
        return found

    def pattern(self, name: Ints) -> Flags:
        """Return which of the pages of a period have lines of banks, shape ``(n, period)``."""
        first = np.arange(self.period) * LINES_PER_PAGE
        offset = self._first_line(name) % self.stride
        found: Flags = (offset[:, None] - first) % self.stride < LINES_PER_PAGE
        return found

    def has_page(self, name: Ints, pfn: Ints) -> Flags:
        """Return which pages have lines of banks, pairwise."""
        known, of = np.unique(name, return_inverse=True)
        offset = (self._first_line(known) % self.stride)[of]
        near = (offset - pfn * LINES_PER_PAGE) % self.stride < LINES_PER_PAGE
        found: Flags = near & (self._set_of(pfn // self.chunk_pages) == self.chunk_set(known)[of])
        return found

    def in_part(self, chunk_set: int, pattern: Flags, pfn: Ints) -> Flags:
        """Return which pages are among those that ``pages_below`` counts."""
        found: Flags = pattern[pfn % self.period] & (self._set_of(pfn // self.chunk_pages) == chunk_set)
        return found

    def pages_below(self, chunk_set: int, pattern: Flags, pfn: Ints) -> Ints:
        """Count the pages of a set of chunks, or of a part of them, below given pages.

        Args:
            chunk_set: The set.
            pattern: Which pages of a period count, shape ``(period,)``.
            pfn: Page numbers, up to the number of pages of the node, shape ``(n,)``.
        """
        chunk, rest = np.divmod(pfn, self.chunk_pages)
        before = np.concatenate(([0], np.cumsum(pattern)))
        whole, part = np.divmod(rest, self.period)
        inside = np.where(self._set_of(chunk) == chunk_set, whole * before[-1] + before[part], 0)
        found: Ints = self._chunks_below(chunk_set, chunk) * (self.chunk_pages // self.period * before[-1]) + inside
        return found

    def _chunks_below(self, chunk_set: int, chunk: Ints) -> Ints:
        """Count the chunks of a set below given ones, digit by digit from the highest."""
        free, below, fixed, rest = [], 1, [], chunk_set
        for digit in self.above:
            rest, value = (rest, 0) if digit.field in _FREE else divmod(rest, digit.size)
            fixed.append(value)
            free.append(below)
            below *= digit.size if digit.field in _FREE else 1
        found, equal, left = np.zeros_like(chunk), np.ones(chunk.shape, np.bool_), chunk
        weight = math.prod(digit.size for digit in self.above)
        for digit, value, lower in zip(self.above[::-1], fixed[::-1], free[::-1], strict=True):
            weight //= digit.size
            here, left = np.divmod(left, weight)
            if digit.field in _FREE:
                found = found + equal * here * lower
            else:
                found = found + equal * (here > value) * lower
                equal &= here == value
        return found
