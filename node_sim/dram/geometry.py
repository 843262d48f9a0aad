"""Address map: physical address <-> DRAM coordinates, and the pages of a footprint.

**Models.** The number of a 64-byte line is a mixed-radix number; each digit is (part of) a DRAM coordinate. Three
orders of digits are given: open-page with channels x 2 ways under a row, closed-page with every line of a row in a
page of its own, and contiguous rows. The subchannels of a DDR5 DIMM interleave like channels.

**Leaves out.** XOR hashing of banks and channels, holes below 4 GiB, sub-NUMA clustering.

**Assumes.** A footprint is a box in (rank, bank, row, line); its pages are numbered rank, bank, row, page in
row. Ranks are numbered over both subchannels, and two ranks in lockstep count as one of twice the devices.

**Sources.** SmartMem sample MciAddr: 24 pages per row, next row of a bank 96 pages away (open page, six
channels); up to 128 pages per row over 2-3 GiB (closed page).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.catalog.parts import DDR2
from node_sim.records import Flags, Index, Ints, expand_counts, take
from node_sim.server.hardware import Server
from node_sim.units import LINES_PER_PAGE


class Place(NamedTuple):
    """DRAM coordinates of lines, arrays of one shape."""

    socket: Ints
    channel: Ints
    dimm: Ints
    rank: Ints
    bank: Ints
    row: Ints
    line: Ints


class Footprint(NamedTuple):
    """Boxes of DRAM lines: base coordinates and extents, each of shape ``(n,)``."""

    slot: Ints
    rank: Ints
    bank: Ints
    row: Ints
    line: Ints
    n_ranks: Ints
    n_banks: Ints
    n_rows: Ints
    n_lines: Ints

    @property
    def lines(self) -> Ints:
        """Lines in each box."""
        return self.n_ranks * self.n_banks * self.n_rows * self.n_lines

    def take(self, index: Index) -> Footprint:
        """Select some boxes."""
        return take(self, index)


@dataclass(frozen=True)
class Dimm:
    """What a fault can hit.

    Attributes:
        ranks: Ranks of all subchannels; a lockstep pair counts as one.
        devices: Devices of a rank.
        width: Data pins of a device.
        banks: Banks of a rank.
        rows: Rows of a bank.
        lines: 64-byte lines of a row.
        beats: Beats in which one line is transferred.
        subchannels: Independent halves, each with its share of the ranks.
        generation: Whose patterns of pins and beats its faults have (``catalog/patterns.py``).
    """

    ranks: int
    devices: int
    width: int
    banks: int
    rows: int
    lines: int
    beats: int
    subchannels: int = 1
    generation: int = DDR2

    @property
    def ranks_together(self) -> int:
        """Ranks of a subchannel, which share their wires."""
        return self.ranks // self.subchannels

    @classmethod
    def of(cls, server: Server) -> Dimm:
        """Return the DIMMs of a server."""
        part, pair = server.dram, 2 if server.lockstep else 1
        return cls(
            ranks=server.ranks // pair * part.subchannels,
            devices=part.devices * pair,
            width=part.width,
            banks=part.banks,
            rows=part.rows,
            lines=part.row_lines * pair,
            beats=part.beats // pair,
            subchannels=part.subchannels,
            generation=part.generation,
        )


@dataclass(frozen=True)
class Digit:
    """One digit of the line number: ``size`` values of a coordinate, in steps of ``weight``."""

    field: str
    size: int
    weight: int = 1


PAGES_AT_ONCE = 1 << 13
"""Pages that are worked out together, so that memory stays small."""
OPEN_PAGE_BANKS_LOW = 2
OPEN_PAGE_BANKS_MID = 4
CLOSED_PAGE_ROWS_LOW = 2048


def _digits(server: Server) -> tuple[Digit, ...]:
    """List the digits of a server's map, lowest first."""
    dimm = Dimm.of(server)
    channel, half = Digit("channel", server.channels), Digit("rank", dimm.subchannels, dimm.ranks_together)
    rank, line = Digit("rank", dimm.ranks_together), Digit("line", dimm.lines)
    upper = (Digit("dimm", server.dimms_per_channel), Digit("socket", server.sockets))
    if server.address_map == "contiguous":
        return (line, Digit("bank", dimm.banks), Digit("row", dimm.rows), rank, half, channel, *upper)
    if server.address_map == "open_page":
        low, mid = OPEN_PAGE_BANKS_LOW, OPEN_PAGE_BANKS_LOW * OPEN_PAGE_BANKS_MID
        return (
            channel,
            half,
            Digit("bank", low),
            line,
            Digit("bank", OPEN_PAGE_BANKS_MID, low),
            Digit("row", dimm.rows),
            Digit("bank", dimm.banks // mid, mid),
            rank,
            *upper,
        )
    low = CLOSED_PAGE_ROWS_LOW
    rows = Digit("row", low), Digit("row", dimm.rows // low, low)
    return (channel, half, Digit("bank", dimm.banks), rank, rows[0], line, rows[1], *upper)


class AddressMap:
    """Invertible map between line numbers (physical address / 64) and DRAM coordinates."""

    def __init__(self, server: Server) -> None:
        """Lay out the digits for a server."""
        self.server = server
        self.dimm = Dimm.of(server)
        self.digits = _digits(server)
        self.lines = math.prod(digit.size for digit in self.digits)
        self.pages = self.lines // LINES_PER_PAGE
        below = 1
        for digit in self.digits:
            if digit.field == "line":
                self.line_stride = below
            below *= digit.size

    def line_number(self, place: Place) -> Ints:
        """Return the line numbers of coordinates."""
        total, below = np.zeros(place.row.shape, np.int64), 1
        for digit in self.digits:
            value = getattr(place, digit.field).astype(np.int64, copy=False)
            if digit.size > 1:
                total += (value // digit.weight if digit.weight > 1 else value) % digit.size * below
            below *= digit.size
        return total

    def place(self, line_number: Ints) -> Place:
        """Return the coordinates of line numbers."""
        return Place(*(self._coordinate(name, line_number) for name in Place._fields))

    def slot_channel(self, slot: Ints) -> Ints:
        """Return the number of a slot's memory channel on the node; also its machine-check bank."""
        return slot // self.server.dimms_per_channel

    def corner(self, box: Footprint, rank: Ints, bank: Ints, row: Ints, line: Ints) -> Ints:
        """Line number at an offset inside each box."""
        channel = self.slot_channel(box.slot)
        server = self.server
        return self.line_number(
            Place(
                socket=channel // server.channels,
                channel=channel % server.channels,
                dimm=box.slot % server.dimms_per_channel,
                rank=(box.rank + rank) % self.dimm.ranks,
                bank=(box.bank + bank) % self.dimm.banks,
                row=box.row + row,
                line=box.line + line,
            )
        )

    @property
    def alike(self) -> bool:
        """Whether the same lines of a row touch equally many pages in every rank and bank.

        They do not where a page holds several lines of a row that are not a power of two apart: with another rank or
        bank in the lowest digits the row begins elsewhere in its first page.
        """
        return self.line_stride >= LINES_PER_PAGE or LINES_PER_PAGE % self.line_stride == 0

    def pages_per_row(self, box: Footprint, rank: Ints, bank: Ints) -> Ints:
        """Pages that the lines of one row touch in a rank and bank of each box, both offsets from its first."""
        if self.line_stride >= LINES_PER_PAGE:
            return box.n_lines
        first = self.corner(box, rank, bank, np.zeros_like(box.row), np.zeros_like(box.row))
        last = first + (box.n_lines - 1) * self.line_stride
        return last // LINES_PER_PAGE - first // LINES_PER_PAGE + 1

    def pages_by_part(self, box: Footprint) -> Ints:
        """Pages of each bank of each rank of each box, shape ``(n, most ranks, most banks)``, 0 beyond those of a box.

        Where all are alike, of the first bank of the first rank only: shape ``(n, 1, 1)``.
        """
        most = (1, 1) if self.alike else (int(box.n_ranks.max(initial=1)), int(box.n_banks.max(initial=1)))
        pages = np.zeros((box.row.size, *most), np.int64)
        n_banks = np.minimum(box.n_banks, most[1])
        of, step = expand_counts(np.minimum(box.n_ranks, most[0]) * n_banks)
        rank, bank = np.divmod(step, n_banks[of])
        part = box.take(of)
        pages[of, rank, bank] = part.n_rows * self.pages_per_row(part, rank, bank)
        return pages

    def page_count(self, box: Footprint) -> Ints:
        """Return how many pages each box touches.

        A page with lines of several banks or ranks of the box counts for each of them, up to all pages of the node.
        """
        parts = box.n_ranks * box.n_banks if self.alike else 1
        count: Ints = np.minimum(parts * self.pages_by_part(box).sum(axis=(1, 2)), self.pages)
        return count

    def page(self, box: Footprint, ordinal: Ints, of: Ints | None = None) -> Ints:
        """Return the pfn of pages of boxes.

        Args:
            box: Boxes.
            ordinal: Numbers of pages, shape ``(n,)``, 0 … ``page_count - 1``; by rank, bank, row and page in the row.
            of: Index of the box of each, shape ``(n,)``; left out, each box has one.
        """
        found = np.empty(ordinal.size, np.int64)
        whole = None if of is None else self.pages_by_part(box)
        for start in range(0, ordinal.size, PAGES_AT_ONCE):
            some = slice(start, start + PAGES_AT_ONCE)
            if of is None or whole is None:
                mine = box.take(some)
                by_part = self.pages_by_part(mine)
            else:
                mine, by_part = box.take(of[some]), whole[of[some]]
            found[some] = self._page(mine, by_part, ordinal[some])
        return found

    def _page(self, box: Footprint, by_part: Ints, ordinal: Ints) -> Ints:
        """Return the pfn of a page of each box, given the pages of the boxes' parts."""
        rank, bank, rest = self.part_of(box, by_part, ordinal)
        row, in_row = np.divmod(rest, self.pages_per_row(box, rank, bank))
        if self.line_stride >= LINES_PER_PAGE:
            return self.corner(box, rank, bank, row, in_row) // LINES_PER_PAGE
        return self.corner(box, rank, bank, row, np.zeros_like(row)) // LINES_PER_PAGE + in_row

    def part_of(self, box: Footprint, by_part: Ints, ordinal: Ints) -> tuple[Ints, Ints, Ints]:
        """Return rank and bank of pages, as offsets inside their boxes, and their numbers among those of the bank."""
        if self.alike:
            part, rest = np.divmod(ordinal, by_part[:, 0, 0])
            return *np.divmod(part, box.n_banks), rest
        n, ranks, banks = by_part.shape
        flat = by_part.reshape(n, ranks * banks)
        end = np.cumsum(flat, axis=1)
        part = (ordinal[:, None] >= end).sum(axis=1)
        rest = ordinal - (end - flat)[np.arange(n), part]
        return *np.divmod(part, banks), rest

    def _first_of(self, box: Footprint, of: Ints, rank: Ints, bank: Ints) -> Ints:
        """Return the numbers of the first pages of ranks and banks of boxes: the inverse of ``part_of``."""
        by_part = self.pages_by_part(box)
        n, ranks, banks = by_part.shape
        flat = by_part.reshape(n, ranks * banks)
        alike = (rank * box.n_banks[of] + bank) * flat[of, 0]
        first: Ints = alike if self.alike else (np.cumsum(flat, axis=1) - flat)[of, rank * banks + bank]
        return first

    def ordinals(self, box: Footprint, pfn: Ints, of: Ints) -> tuple[Ints, Ints]:
        """Return under which numbers boxes know pages: the inverse of ``page``.

        Args:
            box: Boxes.
            pfn: Pages, shape ``(n,)``; the coordinates of one that is asked about several times are worked out once.
            of: Index of the box of each, shape ``(n,)``.

        Returns:
            Index of the question and number of the page, ordered; none where the page lies outside the box, several
            where it has lines of several of the box's banks or ranks.
        """
        near = np.flatnonzero(self._row_is_inside(box, pfn, of))
        page, of_page = np.unique(pfn[near], return_inverse=True)
        lines = page[:, None] * LINES_PER_PAGE + np.arange(LINES_PER_PAGE)
        which, at = np.nonzero(self._slot(lines)[of_page] == box.slot[of[near], None])
        place = self.place(pfn[near[which]] * LINES_PER_PAGE + at)
        mine = box.take(of[near[which]])
        rank, bank = (place.rank - mine.rank) % self.dimm.ranks, (place.bank - mine.bank) % self.dimm.banks
        row, line = place.row - mine.row, place.line - mine.line
        inside = (rank < mine.n_ranks) & (bank < mine.n_banks)
        inside &= (row >= 0) & (row < mine.n_rows) & (line >= 0) & (line < mine.n_lines)
        which, offsets = near[which[inside]], (part[inside] for part in (rank, bank, row, line))
        number = self._ordinal(box, of[which], pfn[which], *offsets)
        order = np.lexsort((number, which))
        which, number = which[order], number[order]
        new = (np.diff(which, prepend=-1) != 0) | (np.diff(number, prepend=-1) != 0)
        return which[new], number[new]

    def _coordinate(self, name: str, line_number: Ints) -> Ints:
        """Return one coordinate of line numbers."""
        found, below = np.zeros(line_number.shape, np.int64), 1
        for digit in self.digits:
            if digit.field == name and digit.size > 1:
                found += line_number // below % digit.size * digit.weight
            below *= digit.size
        return found

    def _slot(self, line_number: Ints) -> Ints:
        """Return the DIMM slots of line numbers."""
        socket, channel, dimm = (self._coordinate(name, line_number) for name in ("socket", "channel", "dimm"))
        return (socket * self.server.channels + channel) * self.server.dimms_per_channel + dimm

    def _row_is_inside(self, box: Footprint, pfn: Ints, of: Ints) -> Flags:
        """Whether the row of the first or the last line of each page is one of its box; no page has lines of three."""
        inside = np.zeros(pfn.shape, np.bool_)
        page, of_page = np.unique(pfn, return_inverse=True)
        first, end = box.row[of], (box.row + box.n_rows)[of]
        for line in (0, LINES_PER_PAGE - 1):
            row = self._coordinate("row", page * LINES_PER_PAGE + line)[of_page]
            inside |= (row >= first) & (row < end)
        return inside

    def _ordinal(self, box: Footprint, of: Ints, pfn: Ints, rank: Ints, bank: Ints, row: Ints, line: Ints) -> Ints:
        """Number the page of a line at an offset inside its box, as ``page`` does."""
        first, mine, in_row = self._first_of(box, of, rank, bank), box.take(of), line
        if self.line_stride < LINES_PER_PAGE:
            in_row = pfn - self.corner(mine, rank, bank, row, np.zeros_like(pfn)) // LINES_PER_PAGE
        number: Ints = first + row * self.pages_per_row(mine, rank, bank) + in_row
        return number


def meet(a: Footprint, b: Footprint, dimm: Dimm) -> Flags:
    """Return which boxes of the same DIMM have a line in common, pairwise."""

    def runs(first: Ints, n_first: Ints, second: Ints, n_second: Ints, size: int) -> Flags:
        common: Flags = ((second - first) % size < n_first) | ((first - second) % size < n_second)
        return common

    found: Flags = (
        (a.slot == b.slot)
        & (a.row < b.row + b.n_rows)
        & (b.row < a.row + a.n_rows)
        & (a.line < b.line + b.n_lines)
        & (b.line < a.line + a.n_lines)
        & runs(a.bank, a.n_banks, b.bank, b.n_banks, dimm.banks)
        & runs(a.rank, a.n_ranks, b.rank, b.n_ranks, dimm.ranks)
    )
    return found


def intersect(a: Footprint, b: Footprint, dimm: Dimm) -> tuple[Footprint, Flags]:
    """Intersect boxes of the same DIMM pairwise.

    Returns:
        The common boxes (meaningless where empty) and which of them are not empty, as ``meet`` says. Of several
        common ranks or banks (a box may wrap around) the first of ``b`` is kept with its run of common neighbours.
    """
    rank, n_ranks = _common_run(a.rank, a.n_ranks, b.rank, b.n_ranks, dimm.ranks)
    bank, n_banks = _common_run(a.bank, a.n_banks, b.bank, b.n_banks, dimm.banks)
    row, line = np.maximum(a.row, b.row), np.maximum(a.line, b.line)
    n_rows = np.minimum(a.row + a.n_rows, b.row + b.n_rows) - row
    n_lines = np.minimum(a.line + a.n_lines, b.line + b.n_lines) - line
    return Footprint(b.slot, rank, bank, row, line, n_ranks, n_banks, n_rows, n_lines), meet(a, b, dimm)


def _common_run(a: Ints, n_a: Ints, b: Ints, n_b: Ints, size: int) -> tuple[Ints, Ints]:
    """First common run of two runs on a circle of ``size``: start and length (0 if none), scanned from ``b``."""
    start, length = b.copy(), np.zeros_like(b)
    closed = np.zeros(b.shape, bool)
    for step in range(size):
        here = (b + step) % size
        inside = (step < n_b) & ((here - a) % size < n_a)
        start = np.where(inside & (length == 0), here, start)
        closed |= (length > 0) & ~inside
        length = np.where(inside & ~closed, length + 1, length)
    return start, length
