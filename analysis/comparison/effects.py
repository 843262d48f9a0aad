"""Effects of policies: every arm against the baseline, paired node by node."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from analysis.comparison.recount import tally_against
from analysis.comparison.shown import EffectsByArm
from analysis.dataset.run import Run
from analysis.estimators.intervals import (
    TAIL,
    Interval,
    Z,
    difference_interval,
    share_interval,
    trials_of_clusters,
    unseen_size,
)
from analysis.estimators.rates import (
    ENOUGH_NODES,
    HEAVY,
    PER_NODE_YEARS,
    UNDEFINED,
    Ends,
    Estimate,
    NodeSums,
    Sums,
    Vector,
    ends_of,
    not_alike,
    weights,
)
from fleet.stored.headline import BY_KEY, EXPOSURE, REGISTRY
from fleet.stored.tally import Tally

HEAVY_APART: Final = (*HEAVY, "ce")
"""Metrics whose differences have no interval; of corrected errors, one DIMM that stays in use may have most."""
TIMES_MAX: Final = 1e4
"""More node-years than so many times those of the run are not worth naming."""


class Paired(NamedTuple):
    """One thing counted over the nodes of an arm and of its baseline.

    Attributes:
        nodes: How many.
        base: In the baseline.
        base_square: The sum of the squares by node.
        base_size: What one more node may have in the baseline.
        more: What nodes have more than in the baseline.
        less: What others have less.
        more_square: The sum of the squares by node.
        less_square: The same of the others.
        nodes_more: Nodes that have more.
        nodes_less: Nodes that have less.
        size: What one more node may have more or less; 0 if nothing tells.
        first: What the first node may have more, or less, on a side where none has.
    """

    nodes: int
    base: float
    base_square: float
    base_size: float
    more: float
    less: float
    more_square: float
    less_square: float
    nodes_more: int
    nodes_less: int
    size: float
    first: float

    @classmethod
    def of(cls, sums: Sums, metric: str) -> Paired:
        """Pair a metric of a tally."""
        vector = weights(metric)
        nodes_more, nodes_less = (int(sums.of_pair(name, metric)) for name in ("nodes_more", "nodes_less"))
        most = sums.most("node", metric)
        return cls(
            nodes=sums.nodes,
            base=float(vector @ sums.base_total),
            base_square=float(vector @ sums.base_square @ vector),
            base_size=sums.node_size(metric),
            more=sums.of_pair("more", metric),
            less=sums.of_pair("less", metric),
            more_square=sums.of_pair("more_square", metric),
            less_square=sums.of_pair("less_square", metric),
            nodes_more=nodes_more,
            nodes_less=nodes_less,
            size=sums.next_size(metric, nodes_more + nodes_less, sums.most("difference", metric), most),
            first=sums.next_size(metric, 0, 0.0, most),
        )

    @classmethod
    def by_node(cls, nodes: int, arm: Vector, base: Vector, at_least: float = 1.0) -> Paired:
        """Pair what so many nodes have, given by those that have any, each shape ``(nodes with any,)``.

        One more node may have ``at_least`` so much while few have any.
        """
        more, less = np.maximum(arm - base, 0.0), np.maximum(base - arm, 0.0)
        most = float(np.maximum(arm, base).max(initial=at_least))
        differing = int((arm != base).sum())
        size = unseen_size(float((more + less).max()), differing) if differing else 0.0
        return cls(
            nodes=nodes,
            base=float(base.sum()),
            base_square=float(base @ base),
            base_size=unseen_size(most, max(1, arm.size)),
            more=float(more.sum()),
            less=float(less.sum()),
            more_square=float(more @ more),
            less_square=float(less @ less),
            nodes_more=int((more > 0.0).sum()),
            nodes_less=int((less > 0.0).sum()),
            size=size if differing >= ENOUGH_NODES else max(size, most),
            first=most,
        )

    def variances(self) -> tuple[float, float]:
        """Return those of ``more`` and ``less``, less what is due to the mean if many nodes differ."""
        mean = (self.more - self.less) ** 2 / self.nodes
        more = self.more_square - (mean if self.more > self.less else 0.0)
        less = self.less_square - (mean if self.less > self.more else 0.0)
        return not_alike(more, self.more_square), not_alike(less, self.less_square)

    def sizes(self) -> tuple[float, float]:
        """Return what one more node may have more, and less.

        On a side of few nodes beside one of many, it is the usual difference: the mean, weighted by the differences.
        """
        if self.nodes_more + self.nodes_less < ENOUGH_NODES:
            return self.size if self.nodes_more else self.first, self.size if self.nodes_less else self.first
        usual = (self.more_square + self.less_square) / (self.more + self.less)
        return (
            usual if self.nodes_more < ENOUGH_NODES <= self.nodes_less else self.size,
            usual if self.nodes_less < ENOUGH_NODES <= self.nodes_more else self.size,
        )

    def interval(self, times: float = 1.0, tail: float = TAIL) -> Interval:
        """Return the interval of ``more - less``, of so many times the nodes if they were like these."""
        more, less = (times * one for one in self.variances())
        return difference_interval(times * self.more, times * self.less, (more, less), self.sizes(), tail)


@dataclass(frozen=True)
class Effect:
    """Difference of an arm to the baseline, and ratio.

    Attributes:
        difference: Of the events, per node-year of the baseline.
        ratio: Of the events.
        paired: What they were estimated from; None if nodes could not be paired.
    """

    difference: Estimate
    ratio: Estimate
    paired: Paired | None

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        rows = {"difference": self.difference, "ratio": self.ratio, "nodes that differ": f"{self.differing:,}"}
        cells = (f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
        return f"<table>{''.join(cells)}</table>"

    @property
    def differing(self) -> int | None:
        """Nodes that have more or fewer; None if they were not paired."""
        return self.paired.nodes_more + self.paired.nodes_less if self.paired is not None else None

    @property
    def wanted(self) -> float | None:
        """Of how many times the node-years the interval of the difference would leave out 0, if they were like these.

        It is 1 if it does, and None if it would not or there is none, or nodes were not paired.
        """
        if self.paired is None or self.difference.low is None:
            return None
        return times_wanted(self.paired)

    def without_intervals(self) -> Effect:
        """Return the values alone."""
        difference, ratio = (Estimate(one.value, None, None) for one in (self.difference, self.ratio))
        return Effect(difference, ratio, self.paired)


def effect(sums: Sums, metric: str, per: float = PER_NODE_YEARS) -> Effect:
    """Compare how often something happens with the baseline, paired by node.

    The same events are no difference, however long the nodes were up: both arms are given per node-year of the
    baseline.
    """
    found = effect_of(Paired.of(sums, metric), float(weights(EXPOSURE) @ sums.base_total), per)
    return found.without_intervals() if metric in HEAVY_APART else found


def effect_on_exposure(sums: Sums, per: float = PER_NODE_YEARS) -> Effect:
    """Compare the node-years up with the baseline's, paired by node, per ``per`` nodes."""
    paired = Paired.of(sums, EXPOSURE)
    found = effect_of(paired, float(sums.nodes), per)
    low, high = found.difference.low, found.difference.high
    if found.ratio.value is None or low is None or high is None:
        return dataclasses.replace(found, ratio=Estimate(found.ratio.value, None, None))
    # All nodes are up for nearly the whole time, so the ratio varies as the difference does.
    scale = sums.nodes / (per * paired.base)
    times = Estimate(found.ratio.value, 1.0 + scale * low, 1.0 + scale * high)
    return dataclasses.replace(found, ratio=times)


def effect_of(paired: Paired, exposure: float, per: float = PER_NODE_YEARS) -> Effect:
    """Return difference and ratio of what was paired, per node-year of an exposure of the baseline."""
    if exposure <= 0.0:
        return Effect(UNDEFINED, UNDEFINED, paired)
    value = per * (paired.more - paired.less) / exposure
    if paired.nodes < 2 or paired.first <= 0.0:
        return Effect(Estimate(value, None, None), ratio(paired), paired)
    low, high = paired.interval()
    difference = Estimate(value, per * low / exposure, per * high / exposure)
    return Effect(difference, ratio(paired), paired)


def times_wanted(paired: Paired) -> float | None:
    """Return of how many times the nodes the interval of the difference would leave out 0, if they were like these.

    It is to one part in a hundred, and None above ``TIMES_MAX``.
    """

    def told(times: float) -> bool:
        low, high = paired.interval(times)
        return low > 0.0 or high < 0.0

    if told(1.0):
        return 1.0
    if not told(TIMES_MAX):
        return None
    below, above = 1.0, TIMES_MAX
    while above > 1.01 * below:
        middle = math.sqrt(below * above)
        below, above = (below, middle) if told(middle) else (middle, above)
    return above


def ratio(paired: Paired) -> Estimate:
    """Return what an arm has as a multiple of what its baseline has.

    It is one, less the share of the baseline that the arm avoids, plus what it adds. A node avoids all that it has in
    the baseline or nothing, the worst case; what it adds is taken to be independent of that.

    Source:
        Wilson's interval of the share avoided, with Kish's effective number of trials; that of the other from the
        binomial law of a Poisson count given its sum with another (Przyborowski and Wilenski 1940), also Wilson's, with
        as many trials as give both their variance; both together as ``intervals.difference_interval``.
    """
    base = paired.base
    if base <= 0.0:
        return UNDEFINED
    value = 1.0 + (paired.more - paired.less) / base
    if paired.nodes < 2:
        return Estimate(value, None, None)
    less, more = paired.less / base, paired.more / base
    low_trials = base**2 / paired.base_square
    high_trials = (base + paired.base_size) ** 2 / (paired.base_square + paired.base_size**2)
    less_low = share_interval(min(1.0, less), low_trials)[0]
    less_high = share_interval(min(1.0, less), trials_of_clusters(min(low_trials, high_trials), low_trials))[1]
    more_low, more_high = _added_interval(paired)
    return Estimate(
        value,
        max(0.0, value - math.hypot(more - more_low, less_high - less)),
        value + math.hypot(more_high - more, less - less_low),
    )


def _added_interval(paired: Paired) -> Interval:
    """Return the interval of what the arm adds, as a multiple of the baseline."""
    more, base, size = paired.more, paired.base, paired.sizes()[0]
    share = more / (more + base)

    def trials(cluster: float) -> float:
        return (more + base) ** 2 / (base * cluster + more * paired.base_square / base)

    low = share_interval(share, trials(paired.more_square / more))[0] if more > 0.0 else 0.0
    cluster = (paired.more_square + size**2) / (more + size) if more + size > 0.0 else paired.base_square / base
    high = share_interval(share, trials(cluster))[1]
    return low / (1.0 - low), high / (1.0 - high)


def share_avoided(paired: Paired) -> Estimate:
    """Return the share of the baseline's events that an arm does not have; it is negative if the arm has more."""
    found = ratio(paired)
    if found.value is None or found.low is None or found.high is None:
        return UNDEFINED if found.value is None else Estimate(1.0 - found.value, None, None)
    return Estimate(1.0 - found.value, 1.0 - found.high, 1.0 - found.low)


def cost_per_avoided(sums: NodeSums, cost: Vector, events: Vector) -> Estimate:
    """Return what an arm has more of a cost than its baseline, per event of the baseline that it avoids.

    It is undefined if the arm does not have fewer events, and has no interval if it may not have, or if arm and
    baseline cost the same in every node.

    Source:
        Fieller 1954, with the variances of paired differences over nodes.
    """
    n = sums.nodes
    spent, avoided = float(cost @ (sums.total - sums.base_total)), float(events @ (sums.base_total - sums.total))
    if avoided <= 0.0:
        return UNDEFINED
    apart = sums.square + sums.base_square - sums.cross - sums.cross.T
    own = float(cost @ apart @ cost) - spent**2 / n
    other = float(events @ apart @ events) - avoided**2 / n
    both = -float(cost @ apart @ events) - spent * avoided / n
    square = avoided**2 - Z**2 * other
    inside = (spent * avoided - Z**2 * both) ** 2 - square * (spent**2 - Z**2 * own)
    if own <= 0.0 or square <= 0.0 or inside <= 0.0:
        return Estimate(spent / avoided, None, None)
    middle, half = (spent * avoided - Z**2 * both) / square, math.sqrt(inside) / square
    return Estimate(spent / avoided, middle - half, middle + half)


def compare_run(run: Run, baseline: str | None = None) -> EffectsByArm[Effect]:
    """Compare every arm of a run with a baseline (the first arm by default).

    Raises:
        ConfigError: The run has no such arm.
    """
    chosen = baseline or run.arms[0]
    ends = ends_of(group.processes for group in run.groups)
    return EffectsByArm(compare_tally(*tally_against(run, chosen), ends), chosen)


def compare_tally(tally: Tally, arms: tuple[str, ...], ends: Ends) -> dict[str, dict[str, Effect]]:
    """Compare every arm but the first with the first, in every metric of the registry."""
    return {arm: effects_of(Sums.of(tally, position, ends=ends)) for position, arm in enumerate(arms) if position}


def effects_of(sums: Sums) -> dict[str, Effect]:
    """Return the effect on each metric; that on the exposure itself is per node, all others per node-year up."""
    return {
        metric.key: effect_on_exposure(sums) if metric.key == EXPOSURE else effect(sums, metric.key)
        for metric in REGISTRY
    }


def to_json(found: dict[str, dict[str, Effect]]) -> dict[str, Any]:
    """Return differences, each with its unit, and ratios, with intervals, and how many nodes differ."""
    return {
        arm: {
            name: {
                "difference": item.difference.to_json(),
                "unit": unit_of(name),
                "ratio": item.ratio.to_json(),
                "nodes_differing": item.differing,
                "times_the_node_years_wanted": item.wanted,
            }
            for name, item in effects.items()
        }
        for arm, effects in found.items()
    }


def unit_of(key: str) -> str:
    """Return the unit of a difference."""
    if key == EXPOSURE:
        return "node-years per 1,000 nodes"
    unit = BY_KEY[key].unit
    return "per 1,000 node-years" if unit == "1" else f"{unit}s per 1,000 node-years"
