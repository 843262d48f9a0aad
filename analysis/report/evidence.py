"""How sure a difference is: p from the interval that is shown, adjusted for how many differences were looked at.

**Models.** p of a difference is found by inversion: it is one less the level of the narrowest interval, computed as the
95 % interval that is shown, that still holds 0. So p < 0.05 exactly where the interval shown leaves 0 out. Holm's
method multiplies the k-th smallest of m values by m - k + 1: if arms do not matter, the chance that any of the
differences is called one is at most 5 %, however they depend on each other.

Where no server differs there is nothing that could ever be called different, so such a difference is not one of the m.

**Leaves out.** Differences without an interval (pages taken out of use); they have no p.

**Assumes.** What the interval does (``analysis/estimators/intervals.py``).

**Sources.** Holm 1979 (Scandinavian Journal of Statistics 6, 65); Tarone 1990 (Biometrics 46, 515) for those that are
not counted; inversion of a test: Casella and Berger 2002, 9.2.1.
"""

from __future__ import annotations

import math
from typing import Final

from analysis.comparison.effects import Effect, Paired

P_MIN: Final = 1e-12
"""Smaller ones are not computed: no interval is right so far out."""
SURE: Final = 0.05


def p_value(paired: Paired) -> float:
    """Return p of the hypothesis that arm and baseline have the same mean."""

    def holds_zero(p: float) -> bool:
        low, high = paired.interval(tail=p / 2.0)
        return low <= 0.0 <= high

    if holds_zero(1.0):
        return 1.0
    if not holds_zero(P_MIN):
        return P_MIN
    below, above = math.log(P_MIN), 0.0
    while above - below > 1e-4:
        middle = (below + above) / 2.0
        below, above = (middle, above) if holds_zero(math.exp(middle)) else (below, middle)
    return math.exp(above)


def adjusted(values: list[float]) -> list[float]:
    """Return p values adjusted by Holm's method, in the order given."""
    found, floor = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        floor = max(floor, min(1.0, (len(values) - rank) * values[at]))
        found[at] = floor
    return found


def adjusted_p(effects: dict[str, dict[str, Effect]], metrics: tuple[str, ...]) -> dict[tuple[str, str], float]:
    """Return the adjusted p of some metrics of all arms, by (arm, metric).

    There is one where the difference has an interval and some node differs.
    """
    asked = {
        (arm, key): paired
        for arm, found in effects.items()
        for key in metrics
        if (paired := found[key].paired) and found[key].difference.low is not None and found[key].differing
    }
    return dict(zip(asked, adjusted([p_value(paired) for paired in asked.values()]), strict=True))
