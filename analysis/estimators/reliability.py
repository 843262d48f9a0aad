"""From counted lifetimes of a DIMM design to probabilities with exact intervals, as JSON and as lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Any

from scipy import special

from analysis.estimators.intervals import TAIL
from analysis.estimators.rates import Estimate
from node_sim.codes import Mode
from node_sim.one_dimm.counts import LifetimeCounts
from node_sim.records import Ints

_OUTCOMES = {"p_any": "any fault", "p_ue": "uncorrectable", "p_sdc": "silent"}
_FAILURES = {"p_ue": "uncorrectable", "p_sdc": "silent"}


def exact_proportion(part: int, whole: int) -> Estimate:
    """Return part / whole with its exact 95 % interval.

    Source:
        Clopper and Pearson 1934: quantiles of Beta laws.
    """
    low = float(special.betaincinv(part, whole - part + 1, TAIL)) if part else 0.0
    high = float(special.betaincinv(part + 1, whole - part, 1.0 - TAIL)) if part < whole else 1.0
    return Estimate(part / whole, low, high)


def reliability_document(counts: LifetimeCounts, seconds: float) -> dict[str, Any]:
    """Return ``lifetimes``, ``p_any``, ``p_ue``, ``p_sdc``, ``by_mode``, ``by_year``, ``causes`` and the speed.

    ``by_year`` accumulates: the probability that it happened by the end of the year; its ``in_year`` that it happened
    in this year for the first time. ``causes`` are shares of the lifetimes with such an error.
    """

    def three(found: Any) -> dict[str, Any]:
        return {
            name: exact_proportion(int(count), counts.lifetimes).to_json()
            for name, count in zip(_OUTCOMES, found, strict=True)
        }

    so_far = counts.by_year.cumsum(axis=1)
    with_fault = int(counts.by_year[0].sum())
    return {
        "lifetimes": counts.lifetimes,
        "lifetimes_with_fault": with_fault,
        "years": counts.years,
        **three(counts.by_year.sum(axis=1)),
        "by_mode": {
            mode.text: {"faults": int(counts.faults[mode]), **three(counts.by_mode[:, mode])}
            for mode in Mode
            if counts.faults[mode]
        },
        "by_year": [
            {
                "year": min(float(year + 1), counts.years),
                **three(so_far[:, year]),
                "in_year": three(counts.by_year[:, year]),
            }
            for year in range(so_far.shape[1])
        ],
        "causes": {
            name: _causes(counts, alone, met)
            for name, alone, met in zip(_FAILURES, counts.alone, counts.met, strict=True)
        },
        "seconds": seconds,
        "lifetimes_per_s": counts.lifetimes / seconds,
        "lifetimes_with_fault_per_s": with_fault / seconds,
    }


def _causes(counts: LifetimeCounts, alone: Ints, met: Ints) -> dict[str, Any]:
    """Tell which mode failed alone and which two met, for all modes with faults; no share is given of nothing."""
    total = int(alone.sum() + met.sum())
    modes = [mode for mode in Mode if counts.faults[mode]]

    def of(count: int) -> dict[str, Any]:
        return {"count": count, "share": exact_proportion(count, total).to_json() if total else None}

    return {
        "lifetimes": total,
        "alone": [{"mode": mode.text, **of(int(alone[mode]))} for mode in modes],
        "met": [{"modes": [a.text, b.text], **of(int(met[a, b]))} for a, b in combinations_with_replacement(modes, 2)],
    }


def _cell(one: dict[str, Any]) -> str:
    low, high = one["ci95"]
    return f"{one['value']:.3g} ({low:.3g}-{high:.3g})"


def _cause_lines(word: str, causes: dict[str, Any]) -> Iterator[str]:
    """Tell the causes of one kind of error that were seen, the most frequent first."""
    yield f"{causes['lifetimes']:,} lifetimes with a first {word} error, by the fault or the two that it came from"
    named = [(f"{one['mode']} alone", one) for one in causes["alone"]]
    named += [(" + ".join(one["modes"]), one) for one in causes["met"]]
    for name, one in sorted(named, key=lambda pair: -pair[1]["count"]):
        if one["count"]:
            yield f"  {name:<24}{one['count']:>12,}  {_cell(one['share'])}"
    yield ""


def reliability_lines(found: dict[str, Any]) -> Iterator[str]:
    """Tell the document in lines."""
    with_fault = found["lifetimes_with_fault"]
    yield f"{found['lifetimes']:,} lifetimes of {found['years']:g} years; {with_fault:,} with a fault"
    yield ""
    rows = [("all", found)]
    rows += [(f"by year {entry['year']:g}", entry) for entry in found["by_year"]]
    rows += [(f"in year {number}", entry["in_year"]) for number, entry in enumerate(found["by_year"], start=1)]
    rows += list(found["by_mode"].items())
    table = [("", *_OUTCOMES.values()), *((name, *(_cell(entry[one]) for one in _OUTCOMES)) for name, entry in rows)]
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield from ("  ".join(f"{cell:<{one}}" for cell, one in zip(row, wide, strict=True)).rstrip() for row in table)
    yield ""
    yield "probabilities with exact 95 % intervals; of a mode: a fault of it, the first such error came with one"
    yield ""
    for outcome, word in _FAILURES.items():
        yield from _cause_lines(word, found["causes"][outcome])
    yield (
        f"{found['seconds']:.2f} s: {found['lifetimes_per_s']:.3g} lifetimes/s, "
        f"{found['lifetimes_with_fault_per_s']:.3g} lifetimes with a fault/s"
    )
