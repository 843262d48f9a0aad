"""How big faults are: ranks, banks, rows and lines of a footprint by mode.

**Models.** Partial extents as measured in the field, or whole rows, columns, banks and ranks.

**Leaves out.** Shapes other than boxes; rows of several subarrays.

**Assumes.** Extents are uniform between the published ends. A lane fault takes in all ranks of its subchannel in
either case, because they share the wire.

**Sources.** gem5 DRAM failure model header, as in ``catalog/numbers.py``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from node_sim.catalog import numbers
from node_sim.codes import Mode
from node_sim.dram.geometry import Dimm, Footprint
from node_sim.draws import Purpose, Seed, Words, below, unit32, words
from node_sim.names import slot_of
from node_sim.records import Floats, Ints

_AREAS: Final = (Mode.BANK, Mode.MULTI_BANK, Mode.MULTI_RANK, Mode.COMMAND_ADDRESS)
_MANY_BANKS: Final = (Mode.MULTI_BANK, Mode.MULTI_RANK)


def _uniform_between(word: Words, bounds: tuple[float, float]) -> Floats:
    return bounds[0] + unit32(word) * (bounds[1] - bounds[0])


def _partial_extents(mode: Ints, size: tuple[Words, Words, Words, Words], dimm: Dimm) -> tuple[Ints, ...]:
    """Draw ranks, banks, rows and lines of each footprint between the published ends of ``catalog/numbers.py``."""
    by_rows, by_lines, wide, by_banks = size
    large = np.isin(mode, _AREAS)
    row_share = np.where(
        mode == Mode.COLUMN,
        _uniform_between(by_rows, numbers.COLUMN_ROW_SHARE.value),
        np.where(large, _uniform_between(by_rows, numbers.BANK_ROW_SHARE.value), 0.0),
    )
    row_lines = np.where(
        unit32(wide) < numbers.ROW_WIDE_P.value,
        _uniform_between(by_lines, numbers.ROW_WIDE_SHARE.value),
        _uniform_between(by_lines, numbers.ROW_COLUMN_SHARE.value),
    )
    line_share = np.where(
        mode == Mode.ROW,
        row_lines,
        np.where(large, _uniform_between(by_lines, numbers.BANK_COLUMN_SHARE.value), 0.0),
    )
    u = unit32(by_banks)
    two, eight = numbers.BANKS_TWO_P.value, numbers.BANKS_EIGHT_P.value
    between = 3 + np.minimum(((u - two - eight) / (1.0 - two - eight) * 5).astype(np.int64), 4)
    n_banks = np.where(np.isin(mode, _MANY_BANKS), np.where(u < two, 2, np.where(u < two + eight, 8, between)), 1)
    return (
        np.where(mode == Mode.MULTI_RANK, np.minimum(2, dimm.ranks_together), 1),
        np.minimum(n_banks, dimm.banks),
        np.maximum(1, np.ceil(row_share * dimm.rows)).astype(np.int64),
        np.maximum(1, np.ceil(line_share * dimm.lines)).astype(np.int64),
    )


def _whole_extents(mode: Ints, dimm: Dimm) -> tuple[Ints, ...]:
    """Return ranks, banks, rows and lines of footprints that take all of their row, column, bank, rank or DIMM."""
    area = np.isin(mode, _AREAS)
    return (
        np.where(mode == Mode.MULTI_RANK, dimm.ranks_together, 1),
        np.where(np.isin(mode, _MANY_BANKS), dimm.banks, 1),
        np.where(area | (mode == Mode.COLUMN), dimm.rows, 1),
        np.where(area | (mode == Mode.ROW), dimm.lines, 1),
    )


def draw_box(seed: Seed, node_id: Ints, tag: Ints, mode: Ints, dimm: Dimm, extents: str) -> Footprint:
    """Draw where named faults are and how big, with "partial" or "whole" extents."""
    key = seed.key(Purpose.FAULT)
    where = words(key, node_id, tag, 2)
    if extents == "whole":
        size = _whole_extents(mode, dimm)
    else:
        size = _partial_extents(mode, words(key, node_id, tag, 3), dimm)
    lane = mode == Mode.LANE
    everything = (dimm.ranks_together, dimm.banks, dimm.rows, dimm.lines)
    n_ranks, n_banks, n_rows, n_lines = (
        np.where(lane, whole, part) for whole, part in zip(everything, size, strict=True)
    )
    first_ranks = dimm.ranks_together - n_ranks + 1
    half, rank = np.divmod(below(where[0], dimm.subchannels * first_ranks), first_ranks)
    return Footprint(
        slot=slot_of(tag),
        rank=half * dimm.ranks_together + rank,
        bank=np.where(lane, 0, below(where[1], dimm.banks)),
        row=below(where[2], dimm.rows - n_rows + 1),
        line=below(where[3], dimm.lines - n_lines + 1),
        n_ranks=n_ranks,
        n_banks=n_banks,
        n_rows=n_rows,
        n_lines=n_lines,
    )
