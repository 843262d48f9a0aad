"""Arms of a run in figures: which are asked for, their sums and effects, and which of many are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from analysis.comparison.effects import Effect, effect
from analysis.dataset.run import Run
from analysis.estimators.rates import Estimate, Sums, ends_of, rate
from analysis.figures.figure import Arms
from analysis.figures.words import PER, estimate, number

_NAME: Final = 28
"""Letters of a name that a title holds."""
ARMS_DRAWN: Final = 8
"""More arms are not drawn, but are in the table."""


def chosen(run: Run, arms: Arms) -> tuple[str, ...]:
    """Return the arms asked for.

    Raises:
        ConfigError: The run has no such arm.
    """
    names = run.arms if arms is None else tuple(dict.fromkeys(arms))
    for arm in names:
        run.check_arm(arm)
    return names


def sums_of(run: Run, arm: str) -> Sums:
    """Return the sums over all nodes in an arm."""
    return Sums.of(run.tally, run.check_arm(arm), ends=ends_of(group.processes for group in run.groups))


def effect_of(run: Run, arm: str, metric: str) -> Effect:
    """Return the paired effect of an arm against the first arm of the run."""
    return effect(sums_of(run, arm), metric)


def rate_of(run: Run, arm: str, metric: str) -> Estimate:
    """Return a rate per 1,000 node-years of an arm."""
    return rate(sums_of(run, arm), metric)


def is_told(found: Effect) -> bool:
    """Return whether the interval of a difference leaves out 0."""
    low, high = found.difference.low, found.difference.high
    return low is not None and high is not None and (low > 0.0 or high < 0.0)


def drawn(values: Sequence[float] | npt.NDArray[np.float64], most: int = ARMS_DRAWN) -> list[int]:
    """Return which of the arms that have these values are drawn, in order.

    If they are too many, it is the first, and those that differ most from it by their values.
    """
    if len(values) <= most:
        return list(range(len(values)))
    apart = np.abs(np.asarray(values[1:], np.float64) - values[0])
    far = np.argsort(-apart, kind="stable")[: most - 1] + 1
    return [0, *sorted(int(one) for one in far)]


def left_out(shown: int, among: int) -> str:
    """Say that not all arms are drawn; nothing if they are."""
    if shown == among:
        return ""
    return f"{shown} of {among} arms: the first, and those that differ most; the table has all"


def finding(run: Run, arms: Sequence[str], metric: str, noun: str) -> str:
    """Say in a sentence how much of something arms have, and whether the data tell them from the first.

    Of several arms, that which is told from the first and differs most is named, else that which differs most.
    """
    base, others = run.arms[0], [arm for arm in arms if arm != run.arms[0]]
    if not others:
        return f"{estimate(rate_of(run, base, metric))} {noun} {PER}"
    effects = {arm: effect_of(run, arm, metric) for arm in others}
    told = [arm for arm in others if is_told(effects[arm])]
    best = max(told or others, key=lambda arm: abs(effects[arm].difference.value or 0.0))
    before = rate_of(run, base, metric).value or 0.0
    after = before + (effects[best].difference.value or 0.0)
    words = f"{best}: {number(after)} instead of {number(before)} {noun} {PER}"
    if not told and len(others) == 1:
        return f"{words}; they cannot be told apart"
    name = base if len(base) <= _NAME else "the first arm"
    if not told:
        return f"{number(before)} {noun} {PER} in {name}; none of {len(others)} arms can be told from it"
    rest = len(others) - len(told)
    return f"{words}; {rest} of {len(others)} arms cannot be told from {name} in that" if rest else words
