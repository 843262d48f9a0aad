"""Rates and ratios with intervals that allow for events coming in clusters per node.

A rate is R = Σx / Σe over nodes (x events, e node-years up); its variance is Σ(x − R·e)² / (Σe)². The interval
of a rate is that of a Poisson count with the same relative variance (Garwood's exact one when every node has at
most one event); that of a proportion is Wilson's with the effective number of trials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from fleet.stored.headline import ALL_RESULTS, BY_KEY, EXPOSURE, INDEX
from fleet.stored.tally import Tally

LEVEL = 0.95
Z = float(special.ndtri(0.5 + LEVEL / 2))
PER_NODE_YEARS = 1000.0


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the value is None where it is undefined (no trials), the ends where they are."""

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | list[float | None] | None]:
        """Return value and ``ci95``."""
        known = self.low is not None and self.high is not None
        return {"value": self.value, "ci95": [self.low, self.high] if known else None}


UNDEFINED = Estimate(None, None, None)
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sums over the nodes of some groups in one arm and its baseline."""

    nodes: int
    total: Vector
    square: Vector
    cross: Vector
    base_total: Vector
    base_square: Vector

    @classmethod
    def of(cls, tally: Tally, arm: int, groups: list[int] | None = None) -> Sums:
        """Add up groups (all by default)."""
        which = list(range(tally.nodes.size)) if groups is None else groups
        return cls(
            nodes=int(tally.nodes[which].sum()),
            total=tally.total[arm, which].sum(axis=0),
            square=tally.square[arm, which].sum(axis=0),
            cross=tally.cross[arm, which].sum(axis=0),
            base_total=tally.total[0, which].sum(axis=0),
            base_square=tally.square[0, which].sum(axis=0),
        )


def weights(*metrics: str) -> Vector:
    """Return the vector that adds up metrics of the registry, totals among them."""
    vector = np.zeros(len(INDEX))
    for metric in metrics:
        for part in BY_KEY[metric].parts or (metric,):
            vector[INDEX[part]] += 1.0
    return vector


def _correction(nodes: int) -> float:
    return nodes / (nodes - 1) if nodes > 1 else 1.0


def count_interval(value: float, variance: float) -> tuple[float, float]:
    """Return the 95 % interval of a non-negative total with a given variance.

    Source:
        Garwood 1936 for a Poisson count; Fay and Feuer 1997 for the scaling to other variances.
    """
    tail = (1.0 - LEVEL) / 2.0
    if value <= 0.0:
        return 0.0, -math.log(tail)
    scale = variance / value if variance > 0.0 else 1.0
    shape = value / scale
    low = scale * float(special.gammaincinv(shape, tail))
    high = scale * float(special.gammaincinv(shape + 1.0, 1.0 - tail))
    return low, high


def rate(sums: Sums, events: Vector, per: float = PER_NODE_YEARS) -> Estimate:
    """Return the rate of some events per ``per`` node-years."""
    up = weights(EXPOSURE)
    exposure = float(up @ sums.total)
    if exposure <= 0.0:
        return UNDEFINED
    total = float(events @ sums.total)
    direction = events - (total / exposure) * up
    variance = float(direction @ sums.square @ direction) * _correction(sums.nodes)
    low, high = count_interval(total, variance)
    return Estimate(per * total / exposure, per * low / exposure, per * high / exposure)


def proportion(sums: Sums, part: Vector, whole: Vector) -> Estimate:
    """Return part / whole with Wilson's interval at the effective number of trials."""
    trials = float(whole @ sums.total)
    if trials <= 0.0:
        return UNDEFINED
    p = float(part @ sums.total) / trials
    direction = part - p * whole
    variance = float(direction @ sums.square @ direction) * _correction(sums.nodes) / trials**2
    effective = p * (1.0 - p) / variance if variance > 0.0 and 0.0 < p < 1.0 else trials
    return Estimate(p, *share_interval(p, min(effective, trials)))


def share_interval(p: float, trials: float) -> tuple[float, float]:
    """Return the 95 % interval of a share of so many trials, any number > 0.

    Source:
        Wilson 1927.
    """
    centre = (p + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * math.sqrt(p * (1 - p) / trials + Z**2 / (4 * trials**2)) / (1 + Z**2 / trials)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def median(values: Vector) -> Estimate:
    """Return the median of independent values, shape ``(n,)``; below six no two of them enclose it with 95 %.

    Source:
        Interval of order statistics: the number of values below the median is binomial.
    """
    n = values.size
    if not n:
        return UNDEFINED
    ordered, middle = np.sort(values), float(np.median(values))
    outside = int((special.bdtr(np.arange(n), n, 0.5) <= (1.0 - LEVEL) / 2.0).sum())
    if not outside:
        return Estimate(middle, None, None)
    return Estimate(middle, float(ordered[outside - 1]), float(ordered[n - outside]))


def recovery_ratio(sums: Sums) -> Estimate:
    """Return Recovered / (Ignored + Failed + Delayed + Recovered), as the kernel's counters define it."""
    return proportion(sums, weights("mf_recovered"), weights(*ALL_RESULTS))


def survival_ratio(sums: Sums) -> Estimate:
    """Return the share of UEs after which no process died, no data was lost and the node stayed up."""
    return proportion(sums, weights("ue_survived"), weights("ue"))
