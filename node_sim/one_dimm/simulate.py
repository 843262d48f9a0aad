"""Many lifetimes of a DIMM design, judged and counted in chunks of nodes; chunks never change a count.

**Models.** The first uncorrectable and the first silent error of each lifetime, by either set of rules, and the modes
of the one fault or the two that it came from.

**Leaves out.** Everything after the first.

**Assumes.** Faults are rare: memory goes with the pairs of faults of a lifetime.

**Sources.** ``by_codes.py``, ``faultsim.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from node_sim.codes import Mode
from node_sim.draws import Seed
from node_sim.one_dimm.by_codes import judge_by_codes
from node_sim.one_dimm.counts import LifetimeCounts
from node_sim.one_dimm.faultsim import FAULTSIM_RULES
from node_sim.one_dimm.lifetimes import SLOTS, Incidents, LifetimeFaults, draw_damage, draw_lifetimes, has_company
from node_sim.one_dimm.question import YEAR_NS, Question
from node_sim.records import NULL, Ints
from node_sim.units import NS_PER_HOUR

CHUNK_NODES: Final = 1 << 16
"""Nodes at a time where faults are rare."""
MODES: Final = tuple(Mode)


def judge(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[Incidents, Incidents]:
    """Return the first uncorrectable and the first silent error of each lifetime that has one."""
    rule = judge_by_codes if question.rules == "codes" else FAULTSIM_RULES[question.code]
    uncorrected, silent = rule(seed, question, faults)
    return uncorrected.first(), silent.first()


def _causes(found: Incidents) -> tuple[Ints, Ints]:
    """Count failures by the mode of the fault that failed alone, and by the modes of two that met."""
    modes, alone = len(Mode), found.partner == NULL
    pairs = np.sort(np.asarray([found.mode[~alone], found.partner[~alone]]), axis=0)
    met = np.bincount(pairs[0] * modes + pairs[1], minlength=modes * modes)
    return np.bincount(found.mode[alone], minlength=modes), met.reshape(modes, modes)


def _count(seed: Seed, question: Question, faults: LifetimeFaults, n_years: int) -> tuple[Ints, ...]:
    modes = len(Mode)
    uncorrected, silent = judge(seed, question, faults)
    parts = (faults.arrivals(slice(None)).first(), uncorrected, silent)
    repeated = np.flatnonzero(has_company(faults))
    pairs = np.unique(faults.lifetime[repeated] * modes + faults.mode[repeated]) % modes
    with_mode = np.concatenate([np.delete(faults.mode, repeated), pairs])
    by_year = [np.bincount(part.time_ns // YEAR_NS, minlength=n_years) for part in parts]
    by_mode = [np.bincount(found, minlength=modes) for found in (with_mode, uncorrected.mode, silent.mode)]
    alone, met = zip(*(_causes(found) for found in (uncorrected, silent)), strict=True)
    counts = (by_year, by_mode, alone, met)
    return np.bincount(faults.mode, minlength=modes), *(np.asarray(part) for part in counts)


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
    modes = len(Mode)
    shapes = (modes,), (3, n_years), (3, modes), (2, modes), (2, modes, modes)
    total: list[Ints] = [np.zeros(shape, np.int64) for shape in shapes]
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
    cells, box = draw_damage(seed, question, faults)
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
                "beats": [beat for beat in range(question.dimm.beats) if cells.beats[i] >> beat & 1],
                **where,
                "first": " and ".join(word for word, times in first.items() if time_ns in times) or "-",
            }
        )
    return rows
