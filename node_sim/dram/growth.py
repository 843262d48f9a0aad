"""Faults that grow out of others: wider ones of the same device, and the same place of a second device.

**Models.** A hard fault grows at most once each way, by its pins and beats, a log-uniform time after its start. A wider
fault takes in the parent's pins, beats and cells, and maybe a larger part of its bank. Both are rows of the fault table
with names that derive from the parent's, drawn when it is: they depend on no code, no arm and no error.

**Leaves out.** Growth of what has grown; growth that depends on use; the pages of the parent showing errors first.

**Assumes.** The further pin of a fault that grows to two is any other; else it grows to four neighbours, of an x8
device, too, for no more are counted. A second device goes wrong on the parent's pins and beats. A wider fault makes as
many errors as the parent, in bursts of its own.

**Sources.** ``catalog/evolution.py``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import special

from node_sim.catalog.designs import PINS
from node_sim.catalog.evolution import GROWS_TO, TWO_BEATS_SHARE, TWO_PINS_SHARE
from node_sim.catalog.patterns import PINS_MAX
from node_sim.codes import Mode
from node_sim.dram.extents import draw_box
from node_sim.dram.faults import Cells, FaultTable, Habit, draw_pins
from node_sim.dram.geometry import AddressMap, Dimm, Footprint
from node_sim.dram.page_order import draw_page_order
from node_sim.dram.rates import fault_rates
from node_sim.draws import Purpose, Seed, Words, below, unit32, words
from node_sim.elementary import log, power
from node_sim.errors import ModelError
from node_sim.names import SECOND_DEVICE, WIDER, is_wider, parent_tag
from node_sim.records import Floats, Ints, join
from node_sim.server.hardware import Growth, Hardware
from node_sim.units import HOURS_PER_YEAR, hours_to_ns

_AREAS: Final = (Mode.BIT, Mode.WORD, Mode.COLUMN, Mode.ROW, Mode.BANK)
"""Modes inside one bank."""


def grow(seed: Seed, faults: FaultTable, hardware: Hardware, horizon_ns: int) -> tuple[FaultTable, Ints]:
    """Return faults and what they grow into, in no particular order.

    Args:
        seed: Of the run.
        faults: Faults that started as such.
        hardware: Of the nodes.
        horizon_ns: End of simulated time; what grows later is left out [ns].

    Returns:
        All of them, and the index of the fault that each is, or grew out of.

    Raises:
        ModelError: A DIMM has more faults than names tell apart from what they grow into.
    """
    growth = hardware.faults.growth
    if (parent_tag(faults.tag) != faults.tag).any():
        key = fault_rates(hardware).steepest
        msg = f"faults: more than {SECOND_DEVICE} faults of one DIMM, expected fewer; lower {key} or years"
        raise ModelError(msg)
    hard = np.flatnonzero(faults.hard & ~faults.on_wires & (faults.mode != Mode.LANE))
    every = np.arange(faults.tag.size)
    if not hard.size or not growth.factor:
        return faults, every
    parents = faults.take(hard)
    u_wider, t_wider, u_second, t_second = words(seed.key(Purpose.GROWTH), parents.node_id, parents.tag, 0)
    parts, origin = [faults], [every]
    chances = (
        growth.by_class(parents.cells.n_dq, parents.cells.n_beats),
        np.full(hard.size, growth.factor * growth.second_device),
    )
    for chance, u, late, make in zip(chances, (u_wider, u_second), (t_wider, t_second), (_widen, _spread), strict=True):
        time_ns = parents.time_ns + _delay_ns(late, growth)
        some = np.flatnonzero((unit32(u) < chance) & (time_ns < horizon_ns))
        if some.size:
            parts.append(make(seed, parents.take(some)._replace(time_ns=time_ns[some]), hardware))
            origin.append(hard[some])
    return join(parts), np.concatenate(origin)


def _delay_ns(word: Words, growth: Growth) -> Ints:
    """Return how long after its start a fault grows [ns], log-uniform."""
    low, high = hours_to_ns(growth.hours_low), hours_to_ns(growth.years_high * HOURS_PER_YEAR)
    return (low * power(high / low, unit32(word))).astype(np.int64)


def _widen(seed: Seed, faults: FaultTable, hardware: Hardware) -> FaultTable:
    """Return the wider faults that parents with their times of growth become."""
    dimm, tag = Dimm.of(hardware.server), faults.tag | WIDER
    by_mode, by_pins, by_beats, by_place = words(seed.key(Purpose.GROWTH), faults.node_id, faults.tag, 1)
    _, pace, first, _ = words(seed.key(Purpose.GROWTH), faults.node_id, faults.tag, 2)
    mode = _grown_mode(faults.mode, unit32(by_mode))
    size = draw_box(seed, faults.node_id, tag, mode, dimm, hardware.faults.extents)
    box = _around(faults.box, size, mode, by_place, dimm)
    address_map = AddressMap(hardware.server)
    n_pages = address_map.page_count(box)
    order = draw_page_order(seed, faults.node_id, tag, n_pages)
    return faults._replace(
        tag=tag,
        mode=mode,
        habit=Habit(faults.habit.level, special.ndtri(unit32(pace)), -log(unit32(first)), faults.habit.intermittent),
        cells=_wider_cells(faults.cells, by_pins, by_beats, dimm),
        box=box,
        order=order,
        n_pages=n_pages,
        first_pfn=address_map.page(box, order.place(np.zeros_like(n_pages), n_pages)),
    )


def _spread(seed: Seed, faults: FaultTable, hardware: Hardware) -> FaultTable:
    """Return the faults of second devices that parents with their times of growth bring about."""
    dimm = Dimm.of(hardware.server)
    _, _, _, place = words(seed.key(Purpose.GROWTH), faults.node_id, faults.tag, 2)
    device = (faults.cells.device + 1 + below(place, dimm.devices - 1)) % dimm.devices
    return faults._replace(tag=faults.tag | SECOND_DEVICE, cells=faults.cells._replace(device=device))


def _grown_mode(mode: Ints, u: Floats) -> Ints:
    """Return the modes that faults of given modes grow to."""
    grown = mode.copy()
    for parent, shares in GROWS_TO.items():
        some = np.flatnonzero(mode == parent)
        kind = np.searchsorted(np.cumsum(list(shares.values()))[:-1], u[some], side="right")
        grown[some] = np.asarray(list(shares), np.int64)[kind]
    return grown


def _wider_cells(cells: Cells, by_pins: Words, by_beats: Words, dimm: Dimm) -> Cells:
    """Add pins and beats to cells."""
    u = unit32(by_pins)
    to_two = (cells.n_dq == 1) & (u < TWO_PINS_SHARE)
    two = _with_another(cells.pins, u, dimm.width)
    first = np.bitwise_count((cells.pins & -cells.pins) - 1).astype(np.int64)
    four = ((1 << PINS_MAX) - 1) << np.minimum(first, dimm.width - PINS_MAX)
    pins = np.where(to_two, two, four)
    v = unit32(by_beats)
    one_more = (cells.n_beats == 1) & (v < TWO_BEATS_SHARE)
    step = (v / TWO_BEATS_SHARE * (dimm.beats - 1)).astype(np.int64) + 1
    beat = np.bitwise_count(cells.beats - 1).astype(np.int64)
    beats = np.where(one_more, cells.beats | 1 << (beat + step) % dimm.beats, (1 << dimm.beats) - 1)
    return Cells(cells.device, _count(pins), pins, _count(beats), beats)


def _with_another(pin: Ints, u: Floats, width: int) -> Ints:
    """Return masks of one pin with any other, at quantiles ``u`` of the faults of one pin."""
    other = (u / TWO_PINS_SHARE * (width - 1)).astype(np.int64) + 1
    two: Ints = pin | 1 << (np.bitwise_count(pin - 1).astype(np.int64) + other) % width
    return two


def pins_of_names(seed: Seed, node_id: Ints, tag: Ints, n_dq: Ints) -> Ints:
    """Return which data pins of their x4 device named faults touch, as they were drawn: tables store only how many.

    Args:
        seed: Of the run.
        node_id: Node of each fault, shape ``(n,)``.
        tag: Its name within the node, shape ``(n,)``.
        n_dq: How many pins it touches, 0 of wrong commands or addresses, shape ``(n,)``.

    Returns:
        Masks, 0 where there are none.
    """
    parent, wider = parent_tag(tag), is_wider(tag)
    _, word, _, _ = words(seed.key(Purpose.FAULT), node_id, parent, 4)
    _, by_pins, _, _ = words(seed.key(Purpose.GROWTH), node_id, parent, 1)
    # A wider fault touches all pins, or one more than its parent's one.
    n_first = np.where(wider & (n_dq < PINS), 1, n_dq)
    pins = draw_pins(word, n_first, PINS)
    return np.where(n_first < n_dq, _with_another(pins, unit32(by_pins), PINS), pins)


def _count(mask: Ints) -> Ints:
    return np.bitwise_count(mask).astype(np.int64)


def _around(box: Footprint, size: Footprint, mode: Ints, place: Words, dimm: Dimm) -> Footprint:
    """Return boxes at least as big as others, which they take in; modes of several banks keep theirs."""
    inside = np.isin(mode, _AREAS)
    n_rows = np.where(inside, np.maximum(box.n_rows, size.n_rows), box.n_rows)
    n_lines = np.where(inside, np.maximum(box.n_lines, size.n_lines), box.n_lines)
    row = np.clip(box.row - below(place, n_rows - box.n_rows + 1), 0, dimm.rows - n_rows)
    line = np.clip(box.line - below(place, n_lines - box.n_lines + 1), 0, dimm.lines - n_lines)
    return box._replace(row=row, line=line, n_rows=n_rows, n_lines=n_lines)
