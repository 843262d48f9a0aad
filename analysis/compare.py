"""Effects of policies: every arm against the baseline, paired node by node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from analysis.dataset import Run
from analysis.rates import PER_NODE_YEARS, UNDEFINED, Estimate, Sums, Vector, Z, share_interval, weights
from fleet.stored.counting import tally_shard
from fleet.stored.headline import BY_KEY, EXPOSURE, REGISTRY
from fleet.stored.manifest import COMMON_ARM
from fleet.stored.plan import groups_in
from fleet.stored.tally import Tally

_ROUNDING = 1e-12
"""Relative variances below it are those of sums that cancel."""


@dataclass(frozen=True)
class Effect:
    """Difference and ratio of a rate to that of the baseline."""

    difference: Estimate
    ratio: Estimate


def effect(sums: Sums, events: Vector, per: float = PER_NODE_YEARS) -> Effect:
    """Compare the rate of some events with the baseline's, paired by node.

    Args:
        sums: Over the nodes of an arm and of its baseline.
        events: Weights of the tally's metrics, shape ``(metrics,)``.
        per: Node-years a rate is given per.

    Source:
        Linearised difference of two ratio estimators; nodes are independent, so its variance is the sum over nodes of
        the squared influence, which the sums of products give exactly.
    """
    up = weights(EXPOSURE)
    exposure, base_exposure = float(up @ sums.total), float(up @ sums.base_total)
    if exposure <= 0.0 or base_exposure <= 0.0:
        return Effect(UNDEFINED, UNDEFINED)
    value, base = float(events @ sums.total) / exposure, float(events @ sums.base_total) / base_exposure
    mine, other = (events - value * up) / exposure, (events - base * up) / base_exposure
    own, reference = float(mine @ sums.square @ mine), float(other @ sums.base_square @ other)
    both = float(mine @ sums.cross @ other)
    difference = _around(value - base, math.sqrt(max(0.0, own + reference - 2.0 * both)), per)
    if value <= 0.0 or base <= 0.0:
        return Effect(difference, UNDEFINED)
    relative = own / value**2 + reference / base**2 - 2.0 * both / (value * base)
    return Effect(difference, _times(value / base, math.sqrt(max(0.0, relative))))


def effect_on_exposure(sums: Sums, per: float = PER_NODE_YEARS) -> Effect:
    """Compare the node-years up with the baseline's, paired by node, per ``per`` nodes.

    Source:
        Difference and ratio of two means over the same nodes, with the variance of the paired differences.
    """
    n, up = sums.nodes, weights(EXPOSURE)
    if n <= 0:
        return Effect(UNDEFINED, UNDEFINED)
    value, base = float(up @ sums.total) / n, float(up @ sums.base_total) / n
    apart = float(up @ (sums.square + sums.base_square - 2.0 * sums.cross) @ up)
    variance = max(0.0, apart / n**2 - (value - base) ** 2 / n)
    difference = _around(value - base, math.sqrt(variance), per)
    if value <= 0.0 or base <= 0.0:
        return Effect(difference, UNDEFINED)
    # All nodes are up for nearly the whole time, so the ratio varies as the difference does.
    return Effect(difference, _times(value / base, math.sqrt(variance) / base))


def share_avoided(sums: Sums, events: Vector) -> Estimate:
    """Return the share of the baseline's events that an arm does not have; it is negative if the arm has more.

    The interval is the hull of two. The first allows for events that only the arm has, but is too short where few nodes
    differ, and has no width where all or none are avoided. The second does not, and takes it that all events of a node
    are avoided or none, the worst case.

    Source:
        First: one less the ratio of two totals over the same nodes, with the linearised variance of its logarithm.
        Second: Wilson's, with Kish's effective number of trials, (Σy)² / Σy² over the nodes' events in the baseline.
    """
    value, base = float(events @ sums.total), float(events @ sums.base_total)
    if base <= 0.0:
        return UNDEFINED
    ratio, base_square = value / base, float(events @ sums.base_square @ events)
    own, both = float(events @ sums.square @ events), float(events @ sums.cross @ events)
    variance = (own - 2.0 * ratio * both + ratio**2 * base_square) / base**2
    found = []
    if ratio > 0.0 and variance > _ROUNDING * base_square / base**2:
        spread = math.exp(Z * math.sqrt(variance) / ratio)
        found.append((1.0 - ratio * spread, 1.0 - ratio / spread))
    if ratio <= 1.0:
        found.append(share_interval(1.0 - ratio, base**2 / base_square))
    if not found:
        return Estimate(1.0 - ratio, None, None)
    low, high = zip(*found, strict=True)
    return Estimate(1.0 - ratio, min(low), max(high))


def cost_per_avoided(sums: Sums, cost: Vector, events: Vector) -> Estimate:
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


def _around(value: float, error: float, per: float) -> Estimate:
    """Return a value with its symmetric interval."""
    return Estimate(per * value, per * (value - Z * error), per * (value + Z * error))


def _times(ratio: float, relative_error: float) -> Estimate:
    """Return a ratio with its interval on the logarithmic scale."""
    spread = math.exp(Z * relative_error)
    return Estimate(ratio, ratio / spread, ratio * spread)


def tally_against(run: Run, baseline: str) -> tuple[Tally, tuple[str, ...]]:
    """Count a run again with another arm as the baseline; return the tally and its order of arms."""
    position = run.check_arm(baseline)
    order = (baseline, *(arm for arm in run.arms if arm != baseline))
    if position == 0:
        return run.tally, order
    total = Tally.zero(len(order), len(run.groups))
    for receipt in run.receipts:
        tables = [
            (() if part.arm == COMMON_ARM else (order.index(part.arm),), part.table, run.read_part(part))
            for part in receipt.parts
        ]
        groups = groups_in(receipt.shard, run.groups)
        total += tally_shard(tables, groups, [group.dimm_bytes for group in run.groups], len(order), run.horizon_ns)
    return total, order


def compare_run(run: Run, baseline: str | None = None) -> dict[str, dict[str, Effect]]:
    """Compare every arm of a run with a baseline (the first arm by default).

    Raises:
        ConfigError: The run has no such arm.
    """
    return compare_tally(*tally_against(run, baseline or run.arms[0]))


def compare_tally(tally: Tally, arms: tuple[str, ...]) -> dict[str, dict[str, Effect]]:
    """Compare every arm but the first with the first, in every metric of the registry."""
    return {arm: _effects(Sums.of(tally, position)) for position, arm in enumerate(arms) if position}


def _effects(sums: Sums) -> dict[str, Effect]:
    """Return the effect on each metric; that on the exposure itself is per node, all others per node-year up."""
    return {
        metric.key: effect_on_exposure(sums) if metric.key == EXPOSURE else effect(sums, weights(metric.key))
        for metric in REGISTRY
    }


def to_json(found: dict[str, dict[str, Effect]]) -> dict[str, Any]:
    """Return differences, each with its unit, and ratios, with intervals."""
    return {
        arm: {
            name: {"difference": item.difference.to_json(), "unit": _unit(name), "ratio": item.ratio.to_json()}
            for name, item in effects.items()
        }
        for arm, effects in found.items()
    }


def _unit(key: str) -> str:
    """Return the unit of a difference."""
    if key == EXPOSURE:
        return "node-years per 1,000 nodes"
    unit = BY_KEY[key].unit
    return "per 1,000 node-years" if unit == "1" else f"{unit}s per 1,000 node-years"
