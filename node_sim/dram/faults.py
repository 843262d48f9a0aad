"""Which faults start in which DIMM, when, of which mode, and how big.

**Models.** Poisson processes of soft and hard faults by mode, from published rates; soft rates scale with the
neutron flux at the site, apart from an alpha share. Footprints are boxes in DRAM coordinates with partial
(or whole) extents; a fault touches one beat of its lines or all of them, on some pins of its device.

**Leaves out.** Differences between DIMMs (frailty), ageing, intermittent faults whose rate changes with use.

**Assumes.** Faults of one DIMM are independent; a command/address fault takes in part of a bank like a bank
fault and stays until the DIMM is replaced.

**Sources.** ``catalog/fit.py``; extents: gem5 DRAM failure model header; pins: scalable-arch/ECC @85a1a92.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from node_sim.catalog import numbers
from node_sim.catalog.fit import PINS_PER_FAULT, RATE_TABLES
from node_sim.codes import Mode
from node_sim.config import Faults, Hardware
from node_sim.dram.cosmic import flux_relative
from node_sim.dram.geometry import AddressMap, Dimm, Footprint
from node_sim.draws import Purpose, Seed, Words, below, unit32, unit53, words
from node_sim.errors import ModelError
from node_sim.records import Floats, Index, Ints, take
from node_sim.units import NS_PER_YEAR, fit_to_per_year

FAULTS_PER_DIMM_MAX = 60_000
"""Ordinals of one DIMM generation fit in 16 bits of the fault's name."""
FAULTS_PER_CALL_MAX = 20_000_000
SLOT_SHIFT, GENERATION_SHIFT, ORDINAL_BITS = 24, 16, 16
GENERATIONS_MAX = 255


class Cells(NamedTuple):
    """Which part of a code word is wrong.

    Attributes:
        device: Device of the rank.
        n_dq: Faulty data pins.
        pins: The same as a mask.
        beat: Beat of the line, -1 for all of them.
        level: Standard normal: how many errors the fault makes.
        first_burst: Standard exponential: how long its first burst is.
    """

    device: Ints
    n_dq: Ints
    pins: Ints
    beat: Ints
    level: Floats
    first_burst: Floats

    def take(self, index: Index) -> Cells:
        """Select some faults."""
        return take(self, index)


class FaultTable(NamedTuple):
    """Faults, one element each; ``node_id`` and ``tag`` together name a fault in every arm."""

    node_id: Ints
    tag: Ints
    time_ns: Ints
    mode: Ints
    hard: npt.NDArray[np.bool_]
    cells: Cells
    box: Footprint
    n_pages: Ints
    first_pfn: Ints

    @property
    def generation(self) -> Ints:
        """DIMM generation of each fault."""
        return (self.tag >> GENERATION_SHIFT) & 0xFF

    @property
    def fault_id(self) -> npt.NDArray[np.uint64]:
        """64-bit names: node, slot, generation, ordinal."""
        return (self.node_id.astype(np.uint64) << np.uint64(32)) | self.tag.astype(np.uint64)

    def take(self, index: Index) -> FaultTable:
        """Select some faults."""
        return take(self, index)


@dataclass(frozen=True)
class FaultRates:
    """Rates of one DIMM by category.

    Attributes:
        mode: Mode of each category, shape ``(n,)``.
        hard: Whether the category is permanent, shape ``(n,)``.
        per_year: Faults per DIMM and year, shape ``(n,)``.
    """

    mode: Ints
    hard: npt.NDArray[np.bool_]
    per_year: Floats

    @property
    def total_per_year(self) -> float:
        """Faults of all categories per DIMM and year."""
        return float(self.per_year.sum())


def fault_rates(hardware: Hardware) -> FaultRates:
    """Work out the fault rates of one DIMM at its site."""
    faults: Faults = hardware.faults
    flux = flux_relative(faults.place.altitude_m, faults.place.cutoff_gv)
    return table_rates(
        faults.rates,
        hardware.server.devices_per_dimm,
        fit_factor=faults.fit_factor,
        soft_scale=faults.alpha_share + (1.0 - faults.alpha_share) * flux,
        command_address_fit=faults.command_address_fit,
    )


def table_rates(
    table: str, devices: int, *, fit_factor: float = 1.0, soft_scale: float = 1.0, command_address_fit: float = 0.0
) -> FaultRates:
    """Multiply out a published table.

    Args:
        table: Name of the table.
        devices: Devices of a DIMM.
        fit_factor: Multiplies every rate of the table.
        soft_scale: Multiplies the rates of soft faults.
        command_address_fit: Rate of command/address faults [FIT/DIMM].
    """
    rows: list[tuple[int, bool, float]] = []
    for mode, (transient, permanent) in RATE_TABLES[table].items():
        rows.append((mode, False, transient.value * devices * soft_scale * fit_factor))
        rows.append((mode, True, permanent.value * devices * fit_factor))
    rows.append((Mode.COMMAND_ADDRESS, True, command_address_fit))
    return FaultRates(
        mode=np.asarray([row[0] for row in rows], np.int64),
        hard=np.asarray([row[1] for row in rows], np.bool_),
        per_year=np.asarray([fit_to_per_year(row[2]) for row in rows], np.float64),
    )


def _count_cdf(mean: float) -> Floats:
    """CDF of the Poisson law at 0, 1, … until the tail is below 2**-53."""
    last = int(mean + 12.0 * np.sqrt(mean) + 20.0)
    if last > FAULTS_PER_DIMM_MAX:
        msg = f"faults: {mean:.3g} faults expected per DIMM, expected < 50,000; lower fit_factor or years"
        raise ModelError(msg)
    return np.asarray(special.pdtr(np.arange(last), mean), np.float64)


def draw_counts(seed: Seed, node_id: Ints, slot: Ints, generation: Ints, mean: float) -> Ints:
    """Draw how many faults each DIMM generation has over the whole horizon.

    Args:
        seed: Of the run.
        node_id: Nodes, shape ``(n,)``.
        slot: DIMM slots, shape ``(n,)``.
        generation: Generations, shape ``(n,)``.
        mean: Expected faults per DIMM, >= 0.
    """
    lanes = np.asarray(words(seed.key(Purpose.SCREEN), node_id, _screen_name(generation, slot // LANES)))
    return _count(seed, node_id, generation, slot, lanes[slot % LANES, np.arange(slot.size)], _count_cdf(mean))


LANES: Final = 4
"""DIMMs that one screening draw decides about, each by a word of its own."""


def _screen_name(generation: Ints | int, slot: Ints | int) -> Ints | int:
    return (generation << 16) | slot


def _count(seed: Seed, node_id: Ints, generation: Ints | int, slot: Ints | int, high: Words, cdf: Floats) -> Ints:
    """Complete the screening word of some DIMMs by a second one, and look the count up."""
    low, _, _, _ = words(seed.key(Purpose.SCREEN), node_id, _screen_name(generation, slot), 1)
    return np.searchsorted(cdf, unit53(high, low), side="right").astype(np.int64)


def screen_nodes(seed: Seed, node_id: Ints, slots: int, mean: float) -> tuple[Ints, Ints, Ints]:
    """Find the DIMMs of generation 0 that have faults; the same draws as ``draw_counts``.

    Returns:
        Index into ``node_id``, slot and count (> 0) of each such DIMM, ordered by node and slot.
    """
    cdf = _count_cdf(mean)
    some = np.uint32(min(int(cdf[0] * 2.0**32), 2**32 - 1))  # a screening word below this means no faults
    hits = []
    for first in range(0, slots, LANES):
        lanes = words(seed.key(Purpose.SCREEN), node_id, first // LANES)
        for slot, high in zip(range(first, slots), lanes, strict=False):
            where = np.flatnonzero(high >= some)
            count = _count(seed, node_id[where], 0, slot, high[where], cdf)
            where, count = where[count > 0], count[count > 0]
            hits.append((where, np.full(where.size, slot), count))
    index, slot_of, count = (np.concatenate(parts).astype(np.int64) for parts in zip(*hits, strict=True))
    order = np.argsort(index, kind="stable")
    return index[order], slot_of[order], count[order]


def expand_counts(count: Ints) -> tuple[Ints, Ints]:
    """Turn counts into (index of the owner, ordinal within the owner) of every item."""
    owner = np.repeat(np.arange(count.size), count)
    first = np.cumsum(count) - count
    return owner, np.arange(owner.size) - first[owner]


def pairs_within(owner: Ints) -> tuple[Ints, Ints]:
    """List all pairs (earlier, later) of places in a list whose owners are equal; equal owners stand together."""
    earlier, later = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for step in range(1, owner.size):
        same = np.flatnonzero(owner[step:] == owner[:-step])
        if not same.size:
            break
        earlier.append(same)
        later.append(same + step)
    return np.concatenate(earlier), np.concatenate(later)


class Arrivals(NamedTuple):
    """When faults start, and of which category of ``FaultRates`` they are."""

    time_ns: Ints
    category: Ints


def draw_arrivals(seed: Seed, node_id: Ints, tag: Ints, rates: FaultRates, horizon_ns: int) -> Arrivals:
    """Draw start and category of named faults; they start uniformly on 0 … horizon [ns]."""
    w0, w1, w2, w3 = words(seed.key(Purpose.FAULT), node_id, tag, 0)
    limits = np.cumsum(rates.per_year)[:-1]
    category = np.searchsorted(limits, unit53(w2, w3) * rates.total_per_year, side="right")
    return Arrivals((unit53(w0, w1) * horizon_ns).astype(np.int64), category)


ONE_BEAT: Final = (Mode.BIT, Mode.WORD, Mode.COLUMN)
"""Modes that stay at one column address, so in one beat of a line."""


def _pin_table(width: int) -> Floats:
    """Cumulated shares of 1, 2, 3 faulty pins by mode."""
    table = np.zeros((len(Mode), 4))
    table[:, 0] = 1.0
    for known, shares in PINS_PER_FAULT.items():
        table[known] = np.asarray(shares) / sum(shares)
    table[Mode.COMMAND_ADDRESS] = np.eye(4)[min(width, 4) - 1]
    return np.cumsum(table, axis=1)[:, :-1]


def draw_cells(seed: Seed, node_id: Ints, tag: Ints, mode: Ints, dimm: Dimm) -> Cells:
    """Draw what named faults do to the code words they touch."""
    key = seed.key(Purpose.FAULT)
    kind, place = words(key, node_id, tag, 1), words(key, node_id, tag, 4)
    n_dq = np.minimum(1 + (unit32(kind[1])[:, None] >= _pin_table(dimm.width)[mode]).sum(axis=1), dimm.width)
    first_pin = below(place[1], dimm.width - n_dq + 1)
    return Cells(
        device=np.where(mode == Mode.COMMAND_ADDRESS, 0, below(kind[0], dimm.devices)),
        n_dq=n_dq,
        pins=((1 << n_dq) - 1) << first_pin,
        beat=np.where(np.isin(mode, ONE_BEAT), below(place[0], dimm.beats), -1),
        level=special.ndtri(unit32(kind[2])),
        first_burst=-np.log(unit32(kind[3])),
    )


def _uniform_between(word: Words, bounds: tuple[float, float]) -> Floats:
    return bounds[0] + unit32(word) * (bounds[1] - bounds[0])


_AREAS: Final = (Mode.BANK, Mode.MULTI_BANK, Mode.MULTI_RANK, Mode.COMMAND_ADDRESS)
_MANY_BANKS: Final = (Mode.MULTI_BANK, Mode.MULTI_RANK)


def _partial_extents(mode: Ints, size: tuple[Words, Words, Words, Words], dimm: Dimm) -> tuple[Ints, ...]:
    """Draw ranks, banks, rows and lines of each footprint: section 1.4 of the fault reference."""
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
        np.where(mode == Mode.MULTI_RANK, np.minimum(2, dimm.ranks), 1),
        np.minimum(n_banks, dimm.banks),
        np.maximum(1, np.ceil(row_share * dimm.rows)).astype(np.int64),
        np.maximum(1, np.ceil(line_share * dimm.lines)).astype(np.int64),
    )


def _whole_extents(mode: Ints, dimm: Dimm) -> tuple[Ints, ...]:
    """Return ranks, banks, rows and lines of footprints that take all of their row, column, bank, rank or DIMM."""
    area = np.isin(mode, _AREAS)
    return (
        np.where(mode == Mode.MULTI_RANK, dimm.ranks, 1),
        np.where(np.isin(mode, _MANY_BANKS), dimm.banks, 1),
        np.where(area | (mode == Mode.COLUMN), dimm.rows, 1),
        np.where(area | (mode == Mode.ROW), dimm.lines, 1),
    )


def draw_box(seed: Seed, node_id: Ints, tag: Ints, mode: Ints, dimm: Dimm, extents: str) -> Footprint:
    """Draw where named faults are and how big, with "partial" or "whole" extents."""
    key = seed.key(Purpose.FAULT)
    where = words(key, node_id, tag, 2)
    if extents == "whole":
        n_ranks, n_banks, n_rows, n_lines = _whole_extents(mode, dimm)
    else:
        n_ranks, n_banks, n_rows, n_lines = _partial_extents(mode, words(key, node_id, tag, 3), dimm)
    return Footprint(
        slot=tag >> SLOT_SHIFT,
        rank=below(where[0], dimm.ranks),
        bank=below(where[1], dimm.banks),
        row=below(where[2], dimm.rows - n_rows + 1),
        line=below(where[3], dimm.lines - n_lines + 1),
        n_ranks=n_ranks,
        n_banks=n_banks,
        n_rows=n_rows,
        n_lines=n_lines,
    )


def fault_tag(slot: Ints, generation: Ints, ordinal: Ints) -> Ints:
    """Name a fault within its node."""
    return (slot << SLOT_SHIFT) | (generation << GENERATION_SHIFT) | ordinal


def draw_faults(
    seed: Seed, node_id: Ints, slot: Ints, generation: Ints, ordinal: Ints, hardware: Hardware, horizon_ns: int
) -> FaultTable:
    """Draw the properties of named faults.

    Args:
        seed: Of the run.
        node_id: Node of each fault, shape ``(n,)``; so are slot, generation and ordinal.
        slot: DIMM slot.
        generation: DIMM generation.
        ordinal: Number of the fault among those of its DIMM generation.
        hardware: Of the nodes.
        horizon_ns: Faults start uniformly on 0 … horizon [ns].

    Source:
        Poisson process: given the count, start times are independent and uniform.
    """
    rates, dimm = fault_rates(hardware), Dimm.of(hardware.server)
    tag = fault_tag(slot, generation, ordinal)
    arrivals = draw_arrivals(seed, node_id, tag, rates, horizon_ns)
    mode = rates.mode[arrivals.category]
    box = draw_box(seed, node_id, tag, mode, dimm, hardware.faults.extents)
    address_map = AddressMap(hardware.server)
    return FaultTable(
        node_id=node_id,
        tag=tag,
        time_ns=arrivals.time_ns,
        mode=mode,
        hard=rates.hard[arrivals.category],
        cells=draw_cells(seed, node_id, tag, mode, dimm),
        box=box,
        n_pages=address_map.page_count(box),
        first_pfn=address_map.page(box, np.zeros_like(box.row)),
    )


def expected_per_dimm(hardware: Hardware, horizon_ns: int) -> float:
    """Return the expected faults of one DIMM over the horizon."""
    return fault_rates(hardware).total_per_year * horizon_ns / NS_PER_YEAR


def simulate_faults(seed: Seed, node_id: Ints, hardware: Hardware, horizon_ns: int) -> FaultTable:
    """Draw all faults of generation 0 of the given nodes, ordered by (position of the node, time, tag).

    Raises:
        ModelError: Too many faults for one call.
    """
    mean = expected_per_dimm(hardware, horizon_ns)
    slots = hardware.server.dimms
    if mean * slots * node_id.size > FAULTS_PER_CALL_MAX:
        msg = (
            f"faults: {mean * slots:.3g} faults expected per node, expected at most "
            f"{FAULTS_PER_CALL_MAX / max(node_id.size, 1):.3g} in a shard of {node_id.size} nodes; lower fit_factor, "
            f"years or the shard size"
        )
        raise ModelError(msg)
    index, slot, count = screen_nodes(seed, node_id, slots, mean)
    owner, ordinal = expand_counts(count)
    zero = np.zeros(owner.size, np.int64)
    table = draw_faults(seed, node_id[index[owner]], slot[owner], zero, ordinal, hardware, horizon_ns)
    return table.take(np.lexsort((table.tag, table.time_ns, index[owner])))


def simulate_generation(
    seed: Seed, node_id: Ints, slot: Ints, generation: Ints, hardware: Hardware, horizon_ns: int
) -> tuple[FaultTable, Ints]:
    """Draw all faults of given DIMM generations, with the index of the asked DIMM each belongs to."""
    count = draw_counts(seed, node_id, slot, generation, expected_per_dimm(hardware, horizon_ns))
    owner, ordinal = expand_counts(count)
    table = draw_faults(seed, node_id[owner], slot[owner], generation[owner], ordinal, hardware, horizon_ns)
    return table, owner
