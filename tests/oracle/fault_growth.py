"""Faults one at a time, and what each grows into: the scalar reading of ``dram/growth.py``, ``extents.py`` and
``page_order.py``.

Shared with the product: the faults that start as such, the named draws, the catalogue and the sizes of a DIMM.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from scipy import special

from node_sim.catalog import numbers
from node_sim.catalog.evolution import GROWS_TO, TWO_BEATS_SHARE, TWO_PINS_SHARE
from node_sim.codes import Mode
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import Dimm
from node_sim.draws import Purpose, Seed
from node_sim.server.hardware import Growth, Hardware
from tests.oracle.named_draws import Four, below, philox, unit32
from tests.oracle.page_uses import purpose_key

HOUR_NS = 3600 * 10**9
WIDER_BIT, SECOND_BIT = 1 << 15, 1 << 14
"""Of the ordinal in a tag."""
ONE_BANK = (Mode.BIT, Mode.WORD, Mode.COLUMN, Mode.ROW, Mode.BANK)
PARTS_OF_BANKS = (Mode.BANK, Mode.MULTI_BANK, Mode.MULTI_RANK, Mode.COMMAND_ADDRESS)
SEVERAL_BANKS = (Mode.MULTI_BANK, Mode.MULTI_RANK)


class Box(NamedTuple):
    """A footprint, in the order of ``Footprint``."""

    slot: int
    rank: int
    bank: int
    row: int
    line: int
    n_ranks: int
    n_banks: int
    n_rows: int
    n_lines: int

    @property
    def lines(self) -> int:
        return self.n_ranks * self.n_banks * self.n_rows * self.n_lines


@dataclass(frozen=True)
class Fault:
    """One fault."""

    node: int
    tag: int
    time: int
    mode: Mode
    hard: bool
    level: float
    pace: float
    first_burst: float
    intermittent: bool
    device: int
    pins: int
    beats: int
    box: Box

    @property
    def n_dq(self) -> int:
        return self.pins.bit_count()

    @property
    def n_beats(self) -> int:
        return self.beats.bit_count()

    @property
    def on_wires(self) -> bool:
        return self.mode is Mode.COMMAND_ADDRESS

    @property
    def wider(self) -> bool:
        return bool(self.tag & WIDER_BIT)

    @property
    def second(self) -> bool:
        return bool(self.tag & SECOND_BIT)

    @property
    def root(self) -> int:
        """Name of the fault that it grew out of, or its own."""
        return self.tag & ~(WIDER_BIT | SECOND_BIT)

    @property
    def dimm(self) -> tuple[int, int]:
        return self.node, self.tag >> 16


def faults_of_table(table: FaultTable) -> list[Fault]:
    """Return the rows of a table."""
    habit, cells = table.habit, table.cells
    columns = (table.node_id, table.tag, table.time_ns, table.mode, table.hard)
    columns += (habit.level, habit.pace, habit.first_burst, habit.intermittent, cells.device, cells.pins, cells.beats)
    boxes = [Box(*row) for row in zip(*(part.tolist() for part in table.box), strict=True)]
    rows = zip(*(column.tolist() for column in columns), boxes, strict=True)
    return [Fault(node, tag, time, Mode(mode), *rest) for node, tag, time, mode, *rest in rows]


class Draws:
    """The named draws of a run, by purpose."""

    def __init__(self, seed: Seed) -> None:
        self.keys = {purpose: purpose_key(seed, purpose) for purpose in Purpose}

    def __call__(self, purpose: Purpose, c0: int, c1: int = 0, c2: int = 0, c3: int = 0) -> Four:
        return philox(self.keys[purpose], c0, c1, c2, c3)


class Walk(NamedTuple):
    """Over the pages of a footprint: from one on, in steps."""

    start: int
    step: int
    pages: int

    def place(self, number: int) -> int:
        return (self.start + number * self.step) % self.pages


@lru_cache(maxsize=1 << 14)
def _walk(start: int, stride: int, pages: int) -> Walk:
    step = below(stride, pages) + 1
    while math.gcd(step, pages) != 1:
        step += 1
    return Walk(below(start, pages), step, pages)


def walk_over(draws: Draws, fault: Fault, pages: int) -> Walk:
    """Draw in which order a fault shows the pages of a footprint of so many."""
    return _walk(*draws(Purpose.FAULT, fault.node, fault.tag, 7)[:2], pages)


# ------------------------------------------------------------------------------------------------ growth


def grown_out_of(draws: Draws, fault: Fault, hardware: Hardware, horizon: int) -> Iterator[Fault]:
    """Yield what a fault that started as such grows into before the end: wider, and in a second device."""
    growth, dimm = hardware.faults.growth, Dimm.of(hardware.server)
    if not fault.hard or fault.mode in (Mode.COMMAND_ADDRESS, Mode.LANE):
        return
    by_wider, late_wider, by_second, late_second = draws(Purpose.GROWTH, fault.node, fault.tag, 0)
    time = fault.time + delay(growth, unit32(late_wider))
    if unit32(by_wider) < growth.factor * share_that_widens(growth, fault) and time < horizon:
        yield wider(draws, replace(fault, time=time), hardware)
    time = fault.time + delay(growth, unit32(late_second))
    if unit32(by_second) < growth.factor * growth.second_device and time < horizon:
        other = below(draws(Purpose.GROWTH, fault.node, fault.tag, 2)[3], dimm.devices - 1)
        device = (fault.device + 1 + other) % dimm.devices
        yield replace(fault, time=time, tag=fault.tag | SECOND_BIT, device=device)


def delay(growth: Growth, u: float) -> int:
    """Return how long after its start a fault grows."""
    low, high = round(growth.hours_low * HOUR_NS), round(growth.years_high * 8766.0 * HOUR_NS)
    return int(low * math.exp(u * math.log(high / low)))


def share_that_widens(growth: Growth, fault: Fault) -> float:
    if fault.n_dq == 1:
        return growth.share_1x1 if fault.n_beats == 1 else growth.share_1xm
    return {2: growth.share_2dq, 3: growth.share_3dq, 4: growth.share_4dq}[fault.n_dq]


def wider(draws: Draws, fault: Fault, hardware: Hardware) -> Fault:
    """Return the wider fault that one becomes."""
    dimm, tag = Dimm.of(hardware.server), fault.tag | WIDER_BIT
    by_mode, by_pins, by_beats, by_place = draws(Purpose.GROWTH, fault.node, fault.tag, 1)
    _, pace, first, _ = draws(Purpose.GROWTH, fault.node, fault.tag, 2)
    mode = grown_mode(fault.mode, unit32(by_mode))
    box = fault.box
    if mode in ONE_BANK:
        rows, lines = extents(draws, fault.node, tag, mode, hardware)
        row, n_rows = stretched(box.row, box.n_rows, rows, dimm.rows, by_place)
        line, n_lines = stretched(box.line, box.n_lines, lines, dimm.lines, by_place)
        box = box._replace(row=row, n_rows=n_rows, line=line, n_lines=n_lines)
    return replace(
        fault,
        tag=tag,
        mode=mode,
        pace=float(special.ndtri(unit32(pace))),
        first_burst=-math.log(unit32(first)),
        pins=one_more(fault.pins, unit32(by_pins), TWO_PINS_SHARE, dimm.width) or four_with(fault.pins, dimm.width),
        beats=one_more(fault.beats, unit32(by_beats), TWO_BEATS_SHARE, dimm.beats) or (1 << dimm.beats) - 1,
        box=box,
    )


def grown_mode(mode: Mode, u: float) -> Mode:
    if mode not in GROWS_TO:
        return mode
    modes, limits = list(GROWS_TO[mode]), list(accumulate(GROWS_TO[mode].values()))
    return next((grown for grown, limit in zip(modes[:-1], limits, strict=False) if u < limit), modes[-1])


def one_more(mask: int, u: float, share: float, size: int) -> int | None:
    """Add one place to a mask of one place with a probability."""
    if mask.bit_count() > 1 or u >= share:
        return None
    others = [(mask.bit_length() - 1 + step) % size for step in range(1, size)]
    return mask | 1 << others[int(u / share * (size - 1))]


def four_with(pins: int, width: int) -> int:
    """Return the highest four neighbours that begin no later than some pins do."""
    fours = [0b1111 << first for first in range(width - 3) if not pins & ((1 << first) - 1)]
    return fours[-1]


def stretched(at: int, n: int, size: int, room: int, word: int) -> tuple[int, int]:
    """Return begin and length of a run at least as long as another, which it takes in."""
    longer = max(n, size)
    return min(max(at - below(word, longer - n + 1), 0), room - longer), longer


def extents(draws: Draws, node: int, tag: int, mode: Mode, hardware: Hardware) -> tuple[int, int]:
    """Draw how many rows and lines of a bank a fault inside one bank takes in."""
    dimm = Dimm.of(hardware.server)
    tall, broad = mode in (Mode.COLUMN, Mode.BANK), mode in (Mode.ROW, Mode.BANK)
    if hardware.faults.extents == "whole":
        return dimm.rows if tall else 1, dimm.lines if broad else 1
    by_rows, by_lines, wide, _ = draws(Purpose.FAULT, node, tag, 3)
    of_rows = (numbers.COLUMN_ROW_SHARE if mode is Mode.COLUMN else numbers.BANK_ROW_SHARE).value
    of_lines = numbers.BANK_COLUMN_SHARE.value
    if mode is Mode.ROW:
        is_wide = unit32(wide) < numbers.ROW_WIDE_P.value
        of_lines = (numbers.ROW_WIDE_SHARE if is_wide else numbers.ROW_COLUMN_SHARE).value
    rows = math.ceil((of_rows[0] + unit32(by_rows) * (of_rows[1] - of_rows[0])) * dimm.rows) if tall else 1
    lines = math.ceil((of_lines[0] + unit32(by_lines) * (of_lines[1] - of_lines[0])) * dimm.lines) if broad else 1
    return rows, lines
