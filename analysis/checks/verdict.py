"""One check: what was expected, what was observed, and how unlikely that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special, stats

from node_sim.records import Floats

ALPHA: Final = 1e-3
"""Probability that a healthy run fails any of its checks."""


@dataclass(frozen=True)
class Finding:
    """A quantity.

    Attributes:
        quantity: What.
        expected: What it should be.
        observed: What it is.
        p: Probability of what is observed or less likely; 1 or 0 for a law that has no exception.
        z: The same as a number of standard deviations, with the sign of what is too much; None for a law.
    """

    quantity: str
    expected: float
    observed: float
    p: float
    z: float | None

    def passed(self, checks: int) -> bool:
        """Whether it is likely enough, given so many checks (Bonferroni)."""
        return self.p > ALPHA / checks

    def to_json(self, checks: int) -> dict[str, Any]:
        """Return plain data."""
        return {
            "quantity": self.quantity,
            "expected": self.expected,
            "observed": self.observed,
            "z": self.z,
            "p": self.p,
            "passed": self.passed(checks),
        }


def law(quantity: str, exceptions: int) -> Finding:
    """Check a law that has no exceptions."""
    return Finding(quantity, 0.0, float(exceptions), float(exceptions == 0), None)


def count(quantity: str, expected: float, observed: int, variance: float | None = None) -> Finding:
    """Check a count by the Poisson law of its mean, or by the negative binomial of a larger variance."""
    if expected <= 0.0:
        return Finding(quantity, 0.0, float(observed), float(observed == 0), 0.0 if observed == 0 else None)
    more = (variance or 0.0) - expected
    if more > 1e-9 * expected:
        least = expected / (expected + more)
        tails = _tails(stats.nbinom(expected * least / (1.0 - least), least), observed)
    else:
        tails = _tails(stats.poisson(expected), observed)
    return Finding(quantity, expected, float(observed), *_two_sided(*tails))


def share(quantity: str, expected: float, observed: int, trials: int) -> Finding | None:
    """Check a share of independent trials; of no trials there is none."""
    if not trials:
        return None
    tails = _tails(stats.binom(trials, expected), observed)
    return Finding(quantity, expected, observed / trials, *_two_sided(*tails))


def spread(quantity: str, expected: Floats, observed: Floats) -> Finding | None:
    """Check counts in cells against what is expected of each, with cells put together until each expects enough.

    Observed is the sum of squared deviations, expected its mean, the number of cells (Pearson 1900).
    """
    cells = int(min(expected.size, expected.sum() // ENOUGH))
    if cells < 1:
        return None
    place = np.minimum((np.cumsum(expected) / expected.sum() * cells - 1e-9).astype(int), cells - 1)
    wanted, found = (np.bincount(place, one, cells) for one in (expected, observed))
    wanted, found = wanted[wanted > 0.0], found[wanted > 0.0]
    square = float(((found - wanted) ** 2 / wanted).sum())
    p = float(special.gammaincc(wanted.size / 2.0, square / 2.0))
    return Finding(quantity, float(wanted.size), square, p, float(-special.ndtri(p)) if 0.0 < p < 1.0 else None)


ENOUGH: Final = 20.0
"""Events that a cell should expect, for the law of the sum of squares to hold in its tail."""


def _tails(law_of_count: Any, observed: int) -> tuple[float, float]:
    """Return how likely so few are, and so many."""
    return float(law_of_count.cdf(observed)), float(law_of_count.sf(observed - 1))


def _two_sided(below: float, above: float) -> tuple[float, float]:
    """Return a two-sided probability, and the same as a number of standard deviations."""
    p = min(1.0, 2.0 * min(below, above))
    size = float(-special.ndtri(max(p, 1e-300) / 2.0))
    return p, size if above < below else -size
