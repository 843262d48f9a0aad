"""Effects of policies: every arm against the baseline, paired node by node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from analysis.dataset import Run
from analysis.rates import PER_NODE_YEARS, UNDEFINED, Estimate, Sums, Vector, Z, weights
from fleet.stored.counting import tally_shard
from fleet.stored.headline import BY_KEY, EXPOSURE, REGISTRY
from fleet.stored.manifest import COMMON_ARM
from fleet.stored.plan import groups_in
from fleet.stored.tally import Tally


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
        total += tally_shard(tables, groups_in(receipt.shard, run.groups), len(order), run.horizon_ns)
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
