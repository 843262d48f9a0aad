"""Which faults start in which DIMM, when, of which mode, and how big.

**Models.** Poisson processes of soft and hard faults by mode, from published rates; soft rates scale with the
neutron flux at the site, apart from an alpha share. Footprints are boxes in DRAM coordinates with partial
extents.

**Leaves out.** Differences between DIMMs (frailty), ageing, intermittent faults whose rate changes with use.

**Assumes.** Faults of one DIMM are independent; a command/address fault takes in part of a bank like a bank
fault and stays until the DIMM is replaced.

**Sources.** ``catalog/fit.py``; extents: gem5 DRAM failure model header; pins: scalable-arch/ECC @85a1a92.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from node_sim.catalog import numbers
from node_sim.catalog.fit import PINS_PER_FAULT, RATE_TABLES
from node_sim.codes import Mode
from node_sim.config import Faults, Hardware
from node_sim.dram.cosmic import flux_relative
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.draws import Purpose, Seed, Words, below, unit32, unit53, words
from node_sim.errors import ModelError
from node_sim.records import Floats, Index, Ints, take
from node_sim.units import NS_PER_YEAR, fit_to_per_year

FAULTS_PER_DIMM_MAX = 60_000
"""Ordinals of one DIMM generation fit in 16 bits of the fault's name."""
FAULTS_PER_CALL_MAX = 20_000_000
SLOT_SHIFT, GENERATION_SHIFT, ORDINAL_BITS = 24, 16, 16
GENERATIONS_MAX = 255


class FaultTable(NamedTuple):
    """Faults, one element each; ``node_id`` and ``tag`` together name a fault in every arm."""

    node_id: Ints
    tag: Ints
    time_ns: Ints
    mode: Ints
    hard: npt.NDArray[np.bool_]
    device: Ints
    n_dq: Ints
    level: Floats
    first_burst: Floats
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
    soft_scale = faults.alpha_share + (1.0 - faults.alpha_share) * flux
    devices = hardware.server.devices_per_dimm
    rows: list[tuple[int, bool, float]] = []
    for mode, (transient, permanent) in RATE_TABLES[faults.rates].items():
        rows.append((mode, False, transient.value * devices * soft_scale * faults.fit_factor))
        rows.append((mode, True, permanent.value * devices * faults.fit_factor))
    rows.append((Mode.COMMAND_ADDRESS, True, faults.command_address_fit))
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
    pair = (generation << 16) | (slot >> 1)
    w0, w1, w2, w3 = words(seed.key(Purpose.SCREEN), node_id, pair)
    odd = (slot & 1).astype(np.bool_)
    u = np.where(odd, unit53(w2, w3), unit53(w0, w1))
    return np.searchsorted(_count_cdf(mean), u, side="right").astype(np.int64)


def screen_nodes(seed: Seed, node_id: Ints, slots: int, mean: float) -> tuple[Ints, Ints, Ints]:
    """Find the DIMMs of generation 0 that have faults; the same draws as ``draw_counts``.

    Returns:
        Index into ``node_id``, slot and count (> 0) of each such DIMM, ordered by node and slot.
    """
    cdf = _count_cdf(mean)
    hits = []
    for pair in range((slots + 1) // 2):
        w0, w1, w2, w3 = words(seed.key(Purpose.SCREEN), node_id, pair)
        for slot, (high, low) in ((2 * pair, (w0, w1)), (2 * pair + 1, (w2, w3))):
            if slot < slots:
                u = unit53(high, low)
                where = np.flatnonzero(u >= cdf[0])
                hits.append((where, np.full(where.size, slot), np.searchsorted(cdf, u[where], side="right")))
    index, slot_of, count = (np.concatenate(parts).astype(np.int64) for parts in zip(*hits, strict=True))
    order = np.argsort(index, kind="stable")
    return index[order], slot_of[order], count[order]


def expand_counts(count: Ints) -> tuple[Ints, Ints]:
    """Turn counts into (index of the owner, ordinal within the owner) of every item."""
    owner = np.repeat(np.arange(count.size), count)
    first = np.cumsum(count) - count
    return owner, np.arange(owner.size) - first[owner]


def _uniform_between(word: Words, bounds: tuple[float, float]) -> Floats:
    return bounds[0] + unit32(word) * (bounds[1] - bounds[0])


def _draw_pins(mode: Ints, word: Words, width: int) -> Ints:
    """Draw the number of faulty data pins by mode."""
    table = np.zeros((len(Mode), 4))
    table[:, 0] = 1.0
    for known, shares in PINS_PER_FAULT.items():
        table[known] = np.asarray(shares) / sum(shares)
    table[Mode.COMMAND_ADDRESS] = (0.0, 0.0, 0.0, 1.0)
    cdf = np.cumsum(table, axis=1)[:, :-1]
    pins: Ints = np.minimum(1 + (unit32(word)[:, None] >= cdf[mode]).sum(axis=1), width)
    return pins


def _draw_extents(mode: Ints, size: tuple[Words, Words, Words, Words], hardware: Hardware) -> tuple[Ints, ...]:
    """Draw ranks, banks, rows and lines of each footprint: section 1.4 of the fault reference."""
    part = hardware.server.dram
    by_rows, by_lines, wide, by_banks = size
    large = np.isin(mode, (Mode.BANK, Mode.MULTI_BANK, Mode.MULTI_RANK, Mode.COMMAND_ADDRESS))
    multi = np.isin(mode, (Mode.MULTI_BANK, Mode.MULTI_RANK))
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
    n_banks = np.where(multi, np.where(u < two, 2, np.where(u < two + eight, 8, between)), 1)
    return (
        np.where(mode == Mode.MULTI_RANK, np.minimum(2, hardware.server.ranks), 1),
        np.minimum(n_banks, part.banks),
        np.maximum(1, np.ceil(row_share * part.rows)).astype(np.int64),
        np.maximum(1, np.ceil(line_share * part.row_lines)).astype(np.int64),
    )


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
    rates = fault_rates(hardware)
    server = hardware.server
    part = server.dram
    tag = (slot << SLOT_SHIFT) | (generation << GENERATION_SHIFT) | ordinal
    key = seed.key(Purpose.FAULT)
    when, kind = (words(key, node_id, tag, block) for block in (0, 1))
    where, size = (words(key, node_id, tag, block) for block in (2, 3))
    limits = np.cumsum(rates.per_year)[:-1]
    category = np.searchsorted(limits, unit53(when[2], when[3]) * rates.total_per_year, side="right")
    mode, hard = rates.mode[category], rates.hard[category]
    n_ranks, n_banks, n_rows, n_lines = _draw_extents(mode, size, hardware)
    box = Footprint(
        slot=slot,
        rank=below(where[0], server.ranks),
        bank=below(where[1], part.banks),
        row=below(where[2], part.rows - n_rows + 1),
        line=below(where[3], part.row_lines - n_lines + 1),
        n_ranks=n_ranks,
        n_banks=n_banks,
        n_rows=n_rows,
        n_lines=n_lines,
    )
    address_map = AddressMap(server)
    return FaultTable(
        node_id=node_id,
        tag=tag,
        time_ns=(unit53(when[0], when[1]) * horizon_ns).astype(np.int64),
        mode=mode,
        hard=hard,
        device=np.where(mode == Mode.COMMAND_ADDRESS, 0, below(kind[0], part.devices)),
        n_dq=_draw_pins(mode, kind[1], part.width),
        level=special.ndtri(unit32(kind[2])),
        first_burst=-np.log(unit32(kind[3])),
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
