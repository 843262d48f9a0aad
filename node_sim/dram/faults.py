"""Which faults start in which DIMM, when, of which mode, and how big.

**Models.** Soft and hard faults by mode, with the rates of ``rates.py``, numbered by ``screening.py``, dropped by
``ageing.py``, as big as ``extents.py`` says. A fault touches some beats of its lines on some pins of its device.
Hard faults are permanent or intermittent, and differ in how many errors they make and how often.

**Leaves out.** Growth of a fault; causes common to several DIMMs.

**Assumes.** Given the DIMM, faults are independent. A command/address fault makes no cell wrong: the box and the cells
drawn for it, as for a bank fault, mean nothing, and no table has them. A lane fault is one data pin of all ranks that
share the wire. Pins are neighbours, beats any; all sets of as many are equally likely.

**Sources.** ``catalog/fit.py``; pins and beats: ``catalog/patterns.py``.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from node_sim.catalog.patterns import pattern_shares
from node_sim.catalog.sddc import HIGH_HALF, LOW_HALF
from node_sim.codes import Mode
from node_sim.dram.ageing import start_age_ns, stays_with_age
from node_sim.dram.extents import draw_box
from node_sim.dram.geometry import AddressMap, Dimm, Footprint
from node_sim.dram.page_order import PageOrder, draw_page_order
from node_sim.dram.rates import FaultRates, fault_rates
from node_sim.dram.screening import CountLaw, draw_counts, screen_nodes
from node_sim.draws import Purpose, Seed, Words, below, unit32, unit53, words
from node_sim.elementary import log
from node_sim.errors import ModelError
from node_sim.names import fault_ids, fault_tag, generation_of
from node_sim.records import Flags, Floats, Index, Ints, expand_counts, take
from node_sim.server.hardware import Hardware

FAULTS_PER_CALL_MAX = 20_000_000


def both_halves(pins: Ints) -> Flags:
    """Return which masks of the data pins of a x4 device have some of both halves."""
    found: Flags = ((pins & LOW_HALF) > 0) & ((pins & HIGH_HALF) > 0)
    return found


class Cells(NamedTuple):
    """Which part of a code word is wrong.

    Attributes:
        device: Device of the rank.
        n_dq: Faulty data pins.
        pins: The same as a mask.
        n_beats: Faulty beats of the line.
        beats: The same as a mask.
    """

    device: Ints
    n_dq: Ints
    pins: Ints
    n_beats: Ints
    beats: Ints

    @property
    def cross_halves(self) -> Flags:
        """Whether pins of both halves of a x4 device are wrong."""
        return both_halves(self.pins)

    def take(self, index: Index) -> Cells:
        """Select some faults."""
        return take(self, index)


class Habit(NamedTuple):
    """How a fault produces errors over time.

    Attributes:
        level: Standard normal: how many errors it makes.
        pace: Standard normal: how often its bursts come.
        first_burst: Standard exponential: how long its first burst is.
        intermittent: A hard fault that rests for most of the time.
    """

    level: Floats
    pace: Floats
    first_burst: Floats
    intermittent: Flags

    def take(self, index: Index) -> Habit:
        """Select some faults."""
        return take(self, index)


class FaultTable(NamedTuple):
    """Faults, one element each; ``node_id`` and ``tag`` together name a fault in every arm."""

    node_id: Ints
    tag: Ints
    time_ns: Ints
    mode: Ints
    hard: Flags
    habit: Habit
    cells: Cells
    box: Footprint
    order: PageOrder
    n_pages: Ints
    first_pfn: Ints

    @property
    def on_wires(self) -> Flags:
        """Which faults make commands or addresses wrong, not data: their errors belong to no page."""
        found: Flags = self.mode == Mode.COMMAND_ADDRESS
        return found

    @property
    def generation(self) -> Ints:
        """DIMM generation of each fault."""
        return generation_of(self.tag)

    @property
    def fault_id(self) -> npt.NDArray[np.uint64]:
        """64-bit names: node, slot, generation, ordinal."""
        return fault_ids(self.node_id, self.tag)

    def take(self, index: Index) -> FaultTable:
        """Select some faults."""
        return take(self, index)

    def pages(self, address_map: AddressMap, fault: Ints, number: Ints) -> Ints:
        """Return the pfn of pages of faults by their numbers in the order in which they show errors."""
        place = self.order.take(fault).place(number, self.n_pages[fault])
        return address_map.page(self.box.take(fault), place)

    def numbers(self, address_map: AddressMap, fault: Ints, pfn: Ints) -> tuple[Ints, Ints]:
        """Return under which numbers each fault knows a page: the inverse of ``pages``.

        Args:
            address_map: Of the nodes.
            fault: Faults, shape ``(n,)``.
            pfn: A page for each, shape ``(n,)``.

        Returns:
            Position in the question and number, one element for each name of a page; as ``AddressMap.ordinals``.
        """
        mine, of = np.unique(fault, return_inverse=True)
        which, place = address_map.ordinals(self.box.take(mine), pfn, of)
        known = place < self.n_pages[fault[which]]
        which, place = which[known], place[known]
        number = self.order.take(fault[which]).number(place, self.n_pages[fault[which]])
        order = np.lexsort((number, which))
        return which[order], number[order]


class Arrivals(NamedTuple):
    """When faults start, and of which category of ``FaultRates`` they are."""

    time_ns: Ints
    category: Ints


def draw_arrivals(seed: Seed, node_id: Ints, tag: Ints, hard: Flags, rates: FaultRates, horizon_ns: int) -> Arrivals:
    """Draw start and category of named soft and hard faults; they start uniformly on 0 … horizon [ns]."""
    w0, w1, w2, w3 = words(seed.key(Purpose.FAULT), node_id, tag, 0)
    limits, soft = np.cumsum(rates.per_year)[:-1], rates.soft_per_year
    place = unit53(w2, w3) * np.where(hard, rates.hard_per_year, soft) + np.where(hard, soft, 0.0)
    category = np.searchsorted(limits, place, side="right")
    return Arrivals((unit53(w0, w1) * horizon_ns).astype(np.int64), category)


@cache
def _pattern_cdf(dimm: Dimm) -> Floats:
    """Cumulated shares of patterns, those of one pin first: from m to m + 1 for mode m; ``(modes * patterns,)``."""
    shares = pattern_shares(dimm.generation, dimm.beats, dimm.width)
    table = np.asarray([np.ravel(shares[mode]) for mode in Mode])
    cdf = np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)
    cdf[:, -1] = 1.0
    by_mode: Floats = np.arange(len(Mode))[:, None] + cdf
    return by_mode.ravel()


@cache
def _beat_masks(beats: int) -> tuple[Ints, Ints]:
    """Return all sets of beats as masks, the smaller sets first, and where those of each size begin."""
    masks = np.arange(1 << beats)
    size = np.bitwise_count(masks)
    return masks[np.argsort(size, kind="stable")], np.searchsorted(np.sort(size), np.arange(beats + 2))


def draw_pins(word: Words, n_dq: Ints, width: int) -> Ints:
    """Turn one word into masks of ``n_dq`` neighbouring data pins of devices of so many."""
    pins: Ints = ((1 << n_dq) - 1) << below(word, width - n_dq + 1)
    return pins


def draw_cells(seed: Seed, node_id: Ints, tag: Ints, mode: Ints, hard: Flags, dimm: Dimm) -> Cells:
    """Draw what named faults do to the code words they touch; a soft bit is one bit, whatever else a bit may be."""
    key = seed.key(Purpose.FAULT)
    kind, place = words(key, node_id, tag, 1), words(key, node_id, tag, 4)
    cdf = _pattern_cdf(dimm)
    pattern = np.searchsorted(cdf, mode + unit32(kind[1]), side="right") - mode * (cdf.size // len(Mode))
    pattern[(mode == Mode.BIT) & ~hard] = 0
    n_dq, n_beats = 1 + pattern // dimm.beats, 1 + pattern % dimm.beats
    n_dq = np.minimum(n_dq, dimm.width)
    masks, first = _beat_masks(dimm.beats)
    return Cells(
        device=np.where(mode == Mode.COMMAND_ADDRESS, 0, below(kind[0], dimm.devices)),
        n_dq=n_dq,
        pins=draw_pins(place[1], n_dq, dimm.width),
        n_beats=n_beats,
        beats=masks[first[n_beats] + below(place[0], first[n_beats + 1] - first[n_beats])],
    )


def draw_habit(seed: Seed, node_id: Ints, tag: Ints, hard: Flags, intermittent_share: float) -> Habit:
    """Draw how named faults produce errors."""
    level, pace, first, kind = words(seed.key(Purpose.FAULT), node_id, tag, 6)
    return Habit(
        level=special.ndtri(unit32(level)),
        pace=special.ndtri(unit32(pace)),
        first_burst=-log(unit32(first)),
        intermittent=hard & (unit32(kind) < intermittent_share),
    )


def draw_faults(seed: Seed, node_id: Ints, tag: Ints, hard: Flags, hardware: Hardware, horizon_ns: int) -> FaultTable:
    """Draw the properties of named faults.

    Args:
        seed: Of the run.
        node_id: Node of each fault, shape ``(n,)``.
        tag: Its name within the node, shape ``(n,)``.
        hard: Whether it is a hard fault, shape ``(n,)``.
        hardware: Of the nodes.
        horizon_ns: Faults start uniformly on 0 … horizon [ns].

    Source:
        Poisson process: given the count, start times are independent and uniform.
    """
    rates, dimm = fault_rates(hardware), Dimm.of(hardware.server)
    arrivals = draw_arrivals(seed, node_id, tag, hard, rates, horizon_ns)
    mode = rates.mode[arrivals.category]
    box = draw_box(seed, node_id, tag, mode, dimm, hardware.faults.extents)
    address_map = AddressMap(hardware.server)
    n_pages = address_map.page_count(box)
    order = draw_page_order(seed, node_id, tag, n_pages)
    return FaultTable(
        node_id=node_id,
        tag=tag,
        time_ns=arrivals.time_ns,
        mode=mode,
        hard=hard,
        habit=draw_habit(seed, node_id, tag, hard, hardware.faults.intermittent_share),
        cells=draw_cells(seed, node_id, tag, mode, hard, dimm),
        box=box,
        order=order,
        n_pages=n_pages,
        first_pfn=address_map.page(box, order.place(np.zeros_like(n_pages), n_pages)),
    )


def check_load(hardware: Hardware, nodes: int, horizon_ns: int) -> CountLaw:
    """Check that the faults of so many nodes fit into one call; return the law of their number for a DIMM.

    Raises:
        ModelError: They do not.
    """
    rates = fault_rates(hardware)
    law = CountLaw.of(rates, horizon_ns)
    mean = float(np.arange(law.soft.size) @ (law.soft + law.hard)) * hardware.server.dimms
    if mean * nodes > FAULTS_PER_CALL_MAX:
        msg = (
            f"faults: {mean:.3g} faults expected per node, expected at most "
            f"{FAULTS_PER_CALL_MAX / max(nodes, 1):.3g} in a shard of {nodes} nodes; lower "
            f"{rates.steepest}, years or the shard size"
        )
        raise ModelError(msg)
    return law


def simulate_faults(seed: Seed, node_id: Ints, hardware: Hardware, horizon_ns: int) -> FaultTable:
    """Draw all faults of generation 0 of the given nodes, ordered by (position of the node, time, tag).

    Raises:
        ModelError: Too many faults for one call.
    """
    law = check_load(hardware, node_id.size, horizon_ns)
    hits = screen_nodes(seed, node_id, hardware.server.dimms, law)
    owner, ordinal = expand_counts(hits.counts.total)
    place, hard = hits.node[owner], ordinal < hits.counts.hard[owner]
    tag = fault_tag(hits.slot[owner], np.zeros_like(owner), ordinal)
    table = draw_faults(seed, node_id[place], tag, hard, hardware, horizon_ns)
    age_ns = table.time_ns + start_age_ns(seed, node_id, hardware.faults)[place]
    kept = stays_with_age(seed, table.node_id, table.tag, hard, age_ns, hardware.faults)
    order = np.lexsort((table.tag, table.time_ns, place))
    return table.take(order[kept[order]])


def simulate_generation(
    seed: Seed,
    node_id: Ints,
    slot: Ints,
    generation: Ints,
    installed_ns: Ints,
    hardware: Hardware,
    horizon_ns: int,
) -> tuple[FaultTable, Ints]:
    """Draw the faults of given DIMM generations from their installation on.

    Returns:
        The faults, and the index of the asked DIMM each belongs to.
    """
    counts = draw_counts(seed, node_id, slot, generation, CountLaw.of(fault_rates(hardware), horizon_ns))
    owner, ordinal = expand_counts(counts.total)
    hard = ordinal < counts.hard[owner]
    tag = fault_tag(slot[owner], generation[owner], ordinal)
    table = draw_faults(seed, node_id[owner], tag, hard, hardware, horizon_ns)
    age_ns = table.time_ns - installed_ns[owner]
    young = np.maximum(age_ns, 0)
    kept = (age_ns >= 0) & stays_with_age(seed, table.node_id, table.tag, hard, young, hardware.faults)
    return table.take(kept), owner[kept]
