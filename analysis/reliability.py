"""From counted lifetimes of a DIMM design to probabilities with exact intervals, as JSON and as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scipy import special

from analysis.rates import LEVEL, Estimate
from node_sim.codes import Mode
from node_sim.one_dimm.counts import LifetimeCounts

_OUTCOMES = ("p_any", "p_ue", "p_sdc")


def exact_proportion(part: int, whole: int) -> Estimate:
    """Return part / whole with its exact 95 % interval.

    Source:
        Clopper and Pearson 1934: quantiles of Beta laws.
    """
    tail = (1.0 - LEVEL) / 2.0
    low = float(special.betaincinv(part, whole - part + 1, tail)) if part else 0.0
    high = float(special.betaincinv(part + 1, whole - part, 1.0 - tail)) if part < whole else 1.0
    return Estimate(part / whole, low, high)


def reliability_document(counts: LifetimeCounts, seconds: float) -> dict[str, Any]:
    """Return ``lifetimes``, ``p_any``, ``p_ue``, ``p_sdc``, ``by_mode``, ``by_year`` and the speed.

    ``by_year`` accumulates: the probability that it happened by the end of the year.
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
            {"year": min(float(year + 1), counts.years), **three(so_far[:, year])} for year in range(so_far.shape[1])
        ],
        "seconds": seconds,
        "lifetimes_per_s": counts.lifetimes / seconds,
        "lifetimes_with_fault_per_s": with_fault / seconds,
    }


def _cell(one: dict[str, Any]) -> str:
    low, high = one["ci95"]
    return f"{one['value']:.4g} ({low:.4g}-{high:.4g})"


def reliability_lines(found: dict[str, Any]) -> Iterator[str]:
    """Tell the document in lines."""
    with_fault = found["lifetimes_with_fault"]
    yield f"{found['lifetimes']:,} lifetimes of {found['years']:g} years; {with_fault:,} with a fault"
    yield ""
    yield f"{'':<14}{'any fault':<32}{'uncorrectable':<32}{'silent'}"
    rows = [("all", found)]
    rows += [(f"by year {entry['year']:g}", entry) for entry in found["by_year"][:-1]]
    rows += list(found["by_mode"].items())
    for name, entry in rows:
        yield f"{name:<14}" + "".join(f"{_cell(entry[outcome]):<32}" for outcome in _OUTCOMES).rstrip()
    yield ""
    yield "probabilities with exact 95 % intervals; of a mode: a fault of it, the first such error came with one"
    yield (
        f"{found['seconds']:.2f} s: {found['lifetimes_per_s']:.3g} lifetimes/s, "
        f"{found['lifetimes_with_fault_per_s']:.3g} lifetimes with a fault/s"
    )
