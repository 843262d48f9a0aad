"""Rows of DIMMs: in which row a page of a footprint lies, and which pages have lines of a row.

**Models.** A row is one of a bank of a rank of a DIMM, with all its lines. Its name is one number for the whole node.

**Leaves out.** Rows that a spare row stands in for: a name is an address, not a place on the die.

**Assumes.** A page that has lines of several rows belongs to each of them; by its number in a footprint it lies in one.

**Sources.** ``geometry.py``.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import PAGES_AT_ONCE, AddressMap, Footprint
from node_sim.records import Ints, expand_counts
from node_sim.units import LINES_PER_PAGE


def row_of(address_map: AddressMap, box: Footprint, ordinal: Ints, of: Ints) -> Ints:
    """Name the rows in which pages of footprints lie.

    Args:
        address_map: Of the nodes.
        box: Footprints.
        ordinal: Numbers of the pages as in ``AddressMap.page``, shape ``(n,)``.
        of: Index of the footprint of each, shape ``(n,)``.
    """
    dimm, found = address_map.dimm, np.empty(ordinal.size, np.int64)
    by_part = address_map.pages_by_part(box)
    for start in range(0, ordinal.size, PAGES_AT_ONCE):
        some = slice(start, start + PAGES_AT_ONCE)
        mine = box.take(of[some])
        rank, bank, rest = address_map.part_of(mine, by_part[of[some]], ordinal[some])
        row = mine.row + rest // address_map.pages_per_row(mine, rank, bank)
        rank, bank = (mine.rank + rank) % dimm.ranks, (mine.bank + bank) % dimm.banks
        found[some] = name_row(address_map, mine.slot, rank, bank, row)
    return found


N = TypeVar("N", Ints, int)


def name_row(address_map: AddressMap, slot: N, rank: N, bank: N, row: N) -> N:
    """Name rows of banks of ranks of DIMMs."""
    dimm = address_map.dimm
    return ((slot * dimm.ranks + rank) * dimm.banks + bank) * dimm.rows + row


def first_lines(
    faults: FaultTable, address_map: AddressMap, fault: Ints, number: Ints
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Return page number, rank, bank, row and line of the first wrong line of pages of faults.

    Args:
        faults: All faults.
        address_map: Of the nodes.
        fault: Fault of each page, shape ``(n,)``.
        number: Its number in the order in which the fault's pages show errors.
    """
    box, dimm, stride = faults.box.take(fault), address_map.dimm, address_map.line_stride
    ordinal = faults.order.take(fault).place(number, faults.n_pages[fault])
    rank, bank, rest = address_map.part_of(box, address_map.pages_by_part(box), ordinal)
    row, in_row = np.divmod(rest, address_map.pages_per_row(box, rank, bank))
    pfn, line = address_map.page(box, ordinal), in_row
    if stride < LINES_PER_PAGE:
        begin = address_map.corner(box, rank, bank, row, np.zeros_like(row))
        line = np.maximum(-(-(pfn * LINES_PER_PAGE - begin) // stride), 0)
    rank, bank = (box.rank + rank) % dimm.ranks, (box.bank + bank) % dimm.banks
    return pfn, rank, bank, box.row + row, box.line + line


def pages_of_rows(address_map: AddressMap, name: Ints) -> tuple[Ints, Ints]:
    """List all pages of rows: index of the row, and page number, in no particular order."""
    dimm = address_map.dimm
    rest, row = np.divmod(name, dimm.rows)
    rest, bank = np.divmod(rest, dimm.banks)
    slot, rank = np.divmod(rest, dimm.ranks)
    one = np.ones_like(name)
    box = Footprint(slot, rank, bank, row, np.zeros_like(name), one, one, one, np.full_like(name, dimm.lines))
    which, ordinal = expand_counts(address_map.page_count(box))
    return which, address_map.page(box, ordinal, which)


def most_pages_per_row(address_map: AddressMap, box: Footprint) -> Ints:
    """Return how many pages of each footprint lie in one row of it at most."""
    first = np.zeros_like(box.row)
    spare = 0 if address_map.alike else 1  # with another rank or bank a row may begin earlier in its first page
    most: Ints = address_map.pages_per_row(box, first, first) + spare
    return most
