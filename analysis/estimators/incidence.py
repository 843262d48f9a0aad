"""How many of those at risk have had an event by a time, if another event ends the risk for ever.

**Models.** Each unit enters at its own time 0 and is watched until the event of interest, a competing event, or the end
of what is known of it (censoring). With n units still at risk at a time, d events of both kinds and d₁ of interest, the
share free of both is S(t) = Π (1 − d/n) (Kaplan-Meier), and the cumulative incidence is F(t) = Σ S(t−) d₁/n
(Aalen-Johansen). One that is censored at the time of an event is at risk at it. Without competing events F is 1 − S.

The variance of F(t) is what the delta method gives of independent binomial counts at each time,

    Σ (F(t) − F)² d/(n(n−d)) + Σ S(t−)² d₁(n−d₁)/n³ − 2 Σ (F(t) − F) S(t−) d₁/n²

with sums over times up to t; without censoring it is F(1 − F)/n. The interval is symmetric in log(−log F), so that it
stays between 0 and 1.

**Leaves out.** An interval where no event of interest has been seen.

**Assumes.** Units are independent, and censoring tells nothing of what would have come.

**Sources.** Aalen and Johansen 1978 (Scandinavian Journal of Statistics 5, 141); the variance: Marubini and Valsecchi
1995, "Analysing Survival Data", section 10.3; its transformation: Choudhury 2002 (Statistics in Medicine 21, 1129).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from analysis.estimators.intervals import Z
from node_sim.records import Floats, Ints

CENSORED, OF_INTEREST, COMPETING = range(3)
"""What ends the time for which a unit is watched."""
KINDS: Final = (OF_INTEREST, COMPETING)


class Incidence(NamedTuple):
    """Cumulative incidence at each time at which something happened, ascending; all of shape ``(times,)``.

    Attributes:
        time: The times.
        at_risk: Units at risk just before.
        events: Events of interest at the time.
        competing: Competing events.
        value: F, the share that has had the event of interest.
        low: Lower end of its interval; NaN where F is 0.
        high: Upper end; NaN where F is 0.
        ended: The share that has had the competing event.
    """

    time: Ints
    at_risk: Ints
    events: Ints
    competing: Ints
    value: Floats
    low: Floats
    high: Floats
    ended: Floats


def cumulative_incidence(time: Ints, end: Ints) -> Incidence:
    """Estimate the cumulative incidence of an event.

    Args:
        time: For how long each unit was watched, shape ``(units,)``, >= 0.
        end: What ended it: ``CENSORED``, ``OF_INTEREST`` or ``COMPETING``, same shape.
    """
    times = np.unique(time[end != CENSORED])
    events, competing = (
        np.bincount(np.searchsorted(times, time[end == kind]), minlength=times.size).astype(np.int64) for kind in KINDS
    )
    at_risk = time.size - np.searchsorted(np.sort(time), times, side="left")
    both = events + competing
    free = np.cumprod(1.0 - both / at_risk)
    before = np.concatenate(([1.0], free[:-1]))
    value, ended = (np.cumsum(before * d / at_risk) for d in (events, competing))
    low, high = _interval(value, _variance(value, before, at_risk, (events, both)))
    return Incidence(times, at_risk.astype(np.int64), events, competing, value, low, high, ended)


def _variance(value: Floats, before: Floats, at_risk: Ints, counts: tuple[Ints, Ints]) -> Floats:
    """Return the variance of F at each time; squares of F(t) − F are multiplied out, so that sums run on."""
    events, both = counts
    n = at_risk.astype(np.float64)
    left = n - both
    # Where nobody is left, F stays as it is, and F(t) − F is 0.
    of_free = np.divide(both, n * left, out=np.zeros_like(n), where=left > 0.0)
    own = np.cumsum(before**2 * events * (n - events) / n**3)
    joint = before * events / n**2
    of_both = value**2 * np.cumsum(of_free) - 2 * value * np.cumsum(of_free * value) + np.cumsum(of_free * value**2)
    found: Floats = of_both + own - 2 * (value * np.cumsum(joint) - np.cumsum(joint * value))
    return np.maximum(found, 0.0)


def _interval(value: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the interval of F, symmetric in log(−log F)."""
    inside = (value > 0.0) & (value < 1.0)
    safe = np.where(inside, value, 0.5)
    wide = Z * np.sqrt(variance) / (safe * -np.log(safe))
    low, high = (np.where(inside, safe ** np.exp(sign * wide), np.nan) for sign in (1.0, -1.0))
    return low, high
