"""Lifetimes of one DIMM design: does it have faults, uncorrectable errors, silent errors?

**Models.** The faults of ``faults.py``, judged by the real codes of ``ecc.py`` ("codes" rules) or by the rules of
FaultSim ("faultsim": whole extents, devices counted, pins ignored). Lifetime k is slot k % 4 of node k // 4, so its
faults are those a run would give that DIMM.

**Leaves out.** The kernel, replacement, page retirement: a lifetime ends at the horizon, and its first failure counts.

**Assumes.** "Uncorrectable" means that some read of a line is not corrected, noticed or not; "silent" that the first
such read is not noticed. FaultSim's silent failures are those of three or more devices, at any time.

**Sources.** Rules of FaultSim @cb3350b as measured and read: reference section 2.3 of the project's fault reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import Mode
from node_sim.dram.extents import draw_box
from node_sim.dram.faults import Cells, draw_arrivals, draw_cells
from node_sim.dram.geometry import Dimm, Footprint, meet
from node_sim.dram.names import fault_tag
from node_sim.dram.rates import FaultRates
from node_sim.dram.screening import LANES, CountLaw, screen_nodes
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.judgement import is_present
from node_sim.ecc.verdicts import judge_pairs, misfit, verdict_table
from node_sim.errors import ModelError
from node_sim.one_dimm.counts import LifetimeCounts
from node_sim.records import Flags, Index, Ints, expand_counts, join, pairs_within, take
from node_sim.units import NS_PER_HOUR, NS_PER_YEAR

SLOTS: Final = LANES
"""Lifetimes of one node: those that one screening draw decides about."""
YEAR_NS: Final = 8760 * NS_PER_HOUR
"""Lifetimes are told in years of 365 days: FaultSim's seven are 61,320 hours."""
CHUNK_NODES: Final = 1 << 16
"""Nodes at a time where faults are rare."""
FAULTS_PER_LIFETIME_MAX: Final = 50.0
MODES: Final = tuple(Mode)
RULES: Final = ("codes", "faultsim")
_FAULTSIM_CODES: Final = ("none", "secded", "chipkill")
_QUERY_BITS: Final = 4
"""FaultSim asks for each of the four lowest cell addresses under SECDED."""
_SYMBOL_BITS: Final = 8
"""… and merges the eight lowest into a symbol under chipkill."""


@dataclass(frozen=True)
class Question:
    """A DIMM design and how it is judged.

    Attributes:
        dimm: Geometry.
        rates: Fault rates of one DIMM.
        horizon_ns: Length of a lifetime [ns].
        code: Name of the error-correcting design.
        rules: One of ``RULES``.
        scrub_ns: Soft faults stay until the next multiple of this [ns]; 0: they stay for ever.
    """

    dimm: Dimm
    rates: FaultRates
    horizon_ns: int
    code: str
    rules: str
    scrub_ns: int

    def __post_init__(self) -> None:
        """Check that the rules can judge the design.

        Raises:
            ModelError: They cannot; every reason is given.
        """
        problems = []
        if self.rules == "faultsim" and self.code not in _FAULTSIM_CODES:
            problems.append(f"ecc = {self.code}, expected one of {', '.join(_FAULTSIM_CODES)} under faultsim rules")
        wrong = misfit(self.code, self.dimm) if self.rules == "codes" else None
        if wrong:
            problems.append(wrong)
        if self.mean_faults > FAULTS_PER_LIFETIME_MAX:
            problems.append(
                f"{self.mean_faults:.3g} faults expected per lifetime, expected at most "
                f"{FAULTS_PER_LIFETIME_MAX:g}; lower fit_factor or years"
            )
        if problems:
            raise ModelError("; ".join(problems))

    @cached_property
    def law(self) -> CountLaw:
        """Law of the number of faults of a lifetime."""
        return CountLaw.of(self.rates, self.horizon_ns)

    @property
    def mean_faults(self) -> float:
        """Expected faults of a lifetime."""
        return self.rates.total_per_year * self.horizon_ns / NS_PER_YEAR


class Events(NamedTuple):
    """Things that happen in lifetimes: which one, when [ns], with a fault of which mode; arrays of shape ``(n,)``."""

    lifetime: Ints
    time_ns: Ints
    mode: Ints

    def take(self, index: Index) -> Events:
        """Select some."""
        return take(self, index)

    def first(self) -> Events:
        """Keep the first of each lifetime."""
        ordered = self
        if (np.diff(self.lifetime) < 0).any():
            ordered = self.take(np.argsort(self.lifetime, kind="stable"))
        start = _starts(ordered.lifetime)
        if start.size == ordered.lifetime.size:
            return ordered
        earliest = np.minimum.reduceat(ordered.time_ns, start)
        length = np.diff(start, append=ordered.lifetime.size)
        first = ordered.take(np.flatnonzero(ordered.time_ns == np.repeat(earliest, length)))
        return first.take(_starts(first.lifetime))


def _starts(lifetime: Ints) -> Ints:
    """Return where each lifetime begins in a list that is ordered by lifetime."""
    return np.flatnonzero(np.diff(lifetime, prepend=-1))


class Faults(NamedTuple):
    """Faults of some lifetimes, ordered by lifetime; ``tag`` names a fault within its node."""

    lifetime: Ints
    node_id: Ints
    tag: Ints
    time_ns: Ints
    mode: Ints
    hard: Flags

    def take(self, index: Index) -> Faults:
        """Select some faults."""
        return take(self, index)

    def events(self, index: Index) -> Events:
        """Return the arrivals of some faults as events."""
        return Events(self.lifetime[index], self.time_ns[index], self.mode[index])


def draw_lifetimes(seed: Seed, question: Question, node_id: Ints) -> Faults:
    """Draw the faults of the lifetimes of some nodes."""
    rates = question.rates
    hits = screen_nodes(seed, node_id, SLOTS, question.law)
    owner, ordinal = expand_counts(hits.counts.total)
    node, slot = node_id[hits.node[owner]], hits.slot[owner]
    tag = fault_tag(slot, np.zeros_like(slot), ordinal)
    hard = ordinal < hits.counts.hard[owner]
    arrivals = draw_arrivals(seed, node, tag, hard, rates, question.horizon_ns)
    return Faults(
        SLOTS * node + slot, node, tag, arrivals.time_ns, rates.mode[arrivals.category], rates.hard[arrivals.category]
    )


def _damage(seed: Seed, question: Question, faults: Faults) -> tuple[Cells, Footprint]:
    """Draw what faults touch."""
    extents = "whole" if question.rules == "faultsim" else "partial"
    dimm = question.dimm
    return (
        draw_cells(seed, faults.node_id, faults.tag, faults.mode, dimm),
        draw_box(seed, faults.node_id, faults.tag, faults.mode, dimm, extents),
    )


def _is_several(faults: Faults) -> Flags:
    """Whether the lifetime of each fault has others; the faults are ordered by lifetime."""
    same = np.diff(faults.lifetime) == 0
    edge = np.zeros(1, np.bool_)
    found: Flags = np.concatenate([edge, same]) | np.concatenate([same, edge])
    return found


def _several(faults: Faults) -> Faults:
    """Keep the lifetimes with two faults or more, ordered by lifetime and time."""
    kept = faults.take(np.flatnonzero(_is_several(faults)))
    return kept.take(np.lexsort((kept.time_ns, kept.lifetime)))


def _stays(question: Question, faults: Faults, earlier: Ints, later: Ints) -> Flags:
    return is_present(faults.time_ns[earlier], faults.hard[earlier], faults.time_ns[later], question.scrub_ns)


def _none() -> Events:
    empty = np.empty(0, np.int64)
    return Events(empty, empty, empty)


# ---------------------------------------------------------------------------------------- the rules of FaultSim


def _share_cells(question: Question, faults: Faults, cells: Cells, pair: tuple[Ints, Ints], bits: int) -> Flags:
    """Whether two faults that share lines meet in a group of ``bits`` neighbouring cells of a device.

    All faults but bits take all pins.
    """
    a, b = pair
    whole = faults.mode != Mode.BIT
    pin = np.where(whole, 0, np.log2(cells.pins).astype(np.int64))
    group = (cells.beat * question.dimm.width + pin) // bits
    every_beat = (cells.beat[a] < 0) | (cells.beat[b] < 0)
    same_beat = (whole[a] | whole[b]) & (cells.beat[a] == cells.beat[b])
    share: Flags = every_beat | same_beat | (group[a] == group[b])
    return share


def _faultsim_secded(seed: Seed, question: Question, faults: Faults) -> tuple[Events, Events]:
    """Any fault but a bit is uncorrectable; so are two different bits of one four-bit group."""
    alone = faults.events(np.flatnonzero(faults.mode != Mode.BIT))
    bits = _several(faults.take(np.flatnonzero(faults.mode == Mode.BIT)))
    cells, box = _damage(seed, question, bits)
    earlier, later = pairs_within(bits.lifetime)
    hit = meet(box.take(earlier), box.take(later), question.dimm)
    hit &= _share_cells(question, bits, cells, (earlier, later), _QUERY_BITS)
    hit &= (cells.device[earlier] != cells.device[later]) | (cells.pins[earlier] != cells.pins[later])
    hit &= _stays(question, bits, earlier, later)
    return join([alone, bits.events(later[hit])]), _none()


def _faultsim_chipkill(seed: Seed, question: Question, faults: Faults) -> tuple[Events, Events]:
    """A fault that faults of other devices overlap: one other is uncorrectable, two are silent."""
    several = _several(faults)
    cells, box = _damage(seed, question, several)
    earlier, later = pairs_within(several.lifetime)
    hit = meet(box.take(earlier), box.take(later), question.dimm)
    hit &= _share_cells(question, several, cells, (earlier, later), _SYMBOL_BITS)
    earlier, later = earlier[hit], later[hit]
    apart: Flags = (cells.device[earlier] != cells.device[later]) & _stays(question, several, earlier, later)
    earlier, later = earlier[apart], later[apart]
    return several.events(later), _met_by_two(several, cells.device, earlier, later)


def _met_by_two(faults: Faults, device: Ints, earlier: Ints, later: Ints) -> Events:
    """Find when faults are overlapped by a second other device; the devices need not be there at the same time."""
    mine, other = np.concatenate([earlier, later]), np.concatenate([later, earlier])
    when = np.concatenate([later, later])  # the faults are ordered by time in each lifetime
    order = np.lexsort((when, device[other], mine))
    mine, other, when = mine[order], other[order], when[order]
    fresh = np.flatnonzero((np.diff(mine, prepend=-1) != 0) | (np.diff(device[other], prepend=-1) != 0))
    order = fresh[np.lexsort((when[fresh], mine[fresh]))]
    second = np.flatnonzero(np.diff(mine[order]) == 0) + 1
    return faults.events(when[order[second]])


def _faultsim_none(_seed: Seed, _question: Question, faults: Faults) -> tuple[Events, Events]:
    """Every fault is uncorrectable and silent."""
    every = faults.events(slice(None))
    return every, every


_FAULTSIM = {"none": _faultsim_none, "secded": _faultsim_secded, "chipkill": _faultsim_chipkill}


# ---------------------------------------------------------------------------------------- codes and pins


def _by_codes(seed: Seed, question: Question, faults: Faults) -> tuple[Events, Events]:
    """Judge faults alone and in pairs by the design's code; the first uncorrectable read of a lifetime counts."""
    verdicts = verdict_table(question.code)
    fails = (verdicts[:, :, 1:].sum(axis=-1) > 0).any(axis=1)
    some = faults.take(np.flatnonzero(fails[faults.mode]))
    n_dq = draw_cells(seed, some.node_id, some.tag, some.mode, question.dimm).n_dq
    _, p_due, p_sdc = np.moveaxis(verdicts[some.mode, n_dq], -1, 0)
    failing = p_due + p_sdc
    alone = np.flatnonzero(failing > 0)
    events, share = some.events(alone), p_sdc[alone] / failing[alone]
    names = some.take(alone)
    if question.code != "none":
        pairs, pair_share, later = _pairs_by_codes(seed, question, _several(faults), verdicts)
        events, names = join([events, pairs]), join([names, later])
        share = np.concatenate([share, pair_share])
    order = np.lexsort((events.time_ns, events.lifetime))
    order = order[np.flatnonzero(np.diff(events.lifetime[order], prepend=-1))]
    draw, _, _, _ = words(seed.key(Purpose.OUTCOME), names.node_id[order], names.tag[order])
    return events.take(order), events.take(order[unit32(draw) < share[order]])


def _pairs_by_codes(
    seed: Seed, question: Question, several: Faults, verdicts: npt.NDArray[np.float64]
) -> tuple[Events, npt.NDArray[np.float64], Faults]:
    """Find the pairs that make uncorrectable words of faults that the code corrects alone."""
    cells, box = _damage(seed, question, several)
    earlier, later = pairs_within(several.lifetime)
    hit = meet(box.take(earlier), box.take(later), question.dimm)
    earlier, later = earlier[hit], later[hit]
    lost = verdicts[several.mode, cells.n_dq, 1:].sum(axis=-1) > 0
    fails, silent = judge_pairs(question.code, cells.take(earlier), cells.take(later))
    kept = np.flatnonzero(fails & ~lost[earlier] & ~lost[later] & _stays(question, several, earlier, later))
    return several.events(later[kept]), silent[kept], several.take(later[kept])


# ---------------------------------------------------------------------------------------- counting


def judge(seed: Seed, question: Question, faults: Faults) -> tuple[Events, Events]:
    """Return the first uncorrectable and the first silent error of each lifetime that has one."""
    rule = _by_codes if question.rules == "codes" else _FAULTSIM[question.code]
    uncorrected, silent = rule(seed, question, faults)
    return uncorrected.first(), silent.first()


def _count(seed: Seed, question: Question, faults: Faults, n_years: int) -> tuple[Ints, Ints, Ints]:
    modes = len(Mode)
    uncorrected, silent = judge(seed, question, faults)
    parts = (faults.events(slice(None)).first(), uncorrected, silent)
    repeated = np.flatnonzero(_is_several(faults))
    pairs = np.unique(faults.lifetime[repeated] * modes + faults.mode[repeated]) % modes
    with_mode = np.concatenate([np.delete(faults.mode, repeated), pairs])
    by_year = [np.bincount(part.time_ns // YEAR_NS, minlength=n_years) for part in parts]
    by_mode = [np.bincount(found, minlength=modes) for found in (with_mode, uncorrected.mode, silent.mode)]
    return np.bincount(faults.mode, minlength=modes), np.asarray(by_year), np.asarray(by_mode)


def _chunk_nodes(question: Question) -> int:
    """Return how many nodes to take at a time: memory goes with the pairs of faults of a lifetime."""
    pairs = question.mean_faults**2 * (1.0 + question.rates.frailty_variance)
    return max(1, int(CHUNK_NODES / max(1.0, pairs)))


def _chunks(lifetimes: int, chunk_nodes: int) -> Iterator[Ints]:
    nodes = -(-lifetimes // SLOTS)
    for start in range(0, nodes, chunk_nodes):
        yield np.arange(start, min(start + chunk_nodes, nodes))


def simulate_lifetimes(
    seed: Seed, question: Question, lifetimes: int, chunk_nodes: int | None = None
) -> LifetimeCounts:
    """Simulate and count; the result does not depend on ``chunk_nodes``."""
    chunk_nodes = chunk_nodes or _chunk_nodes(question)
    n_years = -(-question.horizon_ns // YEAR_NS)
    total: list[Ints] = [np.zeros(len(Mode), np.int64), np.zeros((3, n_years), np.int64)]
    total.append(np.zeros((3, len(Mode)), np.int64))
    for node_id in _chunks(lifetimes, chunk_nodes):
        faults = draw_lifetimes(seed, question, node_id)
        if lifetimes % SLOTS and node_id[-1] == lifetimes // SLOTS:
            faults = faults.take(faults.lifetime < lifetimes)
        total = [sum_ + part for sum_, part in zip(total, _count(seed, question, faults, n_years), strict=True)]
    return LifetimeCounts(lifetimes, question.horizon_ns / YEAR_NS, *total)


def describe_lifetime(seed: Seed, question: Question, lifetime: int) -> list[dict[str, int | float | str | list[int]]]:
    """Return the faults of one lifetime in order of time, as the simulation saw them.

    ``first`` marks the fault with which the lifetime's first uncorrectable or first silent error came.
    """
    found = draw_lifetimes(seed, question, np.asarray([lifetime // SLOTS]))
    faults = found.take(np.flatnonzero(found.lifetime == lifetime))
    faults = faults.take(np.argsort(faults.time_ns, kind="stable"))
    cells, box = _damage(seed, question, faults)
    uncorrected, silent = judge(seed, question, faults)
    first = {"uncorrectable": uncorrected.time_ns.tolist(), "silent": silent.time_ns.tolist()}
    rows: list[dict[str, int | float | str | list[int]]] = []
    for i, time_ns in enumerate(faults.time_ns.tolist()):
        where = {name: int(part[i]) for name, part in box._asdict().items() if name != "slot"}
        rows.append(
            {
                "hours": round(time_ns / NS_PER_HOUR, 3),
                "mode": MODES[int(faults.mode[i])].text,
                "persistence": "hard" if faults.hard[i] else "soft",
                "chip": int(cells.device[i]),
                "pins": [pin for pin in range(question.dimm.width) if cells.pins[i] >> pin & 1],
                "beat": int(cells.beat[i]),
                **where,
                "first": " and ".join(word for word, times in first.items() if time_ns in times) or "-",
            }
        )
    return rows
