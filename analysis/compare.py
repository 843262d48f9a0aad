"""Effects of policies: every arm against the baseline, paired node by node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from analysis.dataset import Run
from analysis.rates import KILL_WEIGHTS, PER_NODE_YEARS, UNDEFINED, Estimate, Sums, Vector, Z, weights
from fleet.manifest import COMMON_ARM
from fleet.tally import KILLS, Tally, tally_shard

EFFECTS: dict[str, Vector] = {
    "kills": KILL_WEIGHTS,
    **{name: weights(name) for name in KILLS},
    "losses": weights("losses"),
    "panics": weights("panics"),
    "ue": weights("ue"),
    "sdc": weights("sdc"),
    "io_errors": weights("io_errors"),
    "pages_offlined": weights("pages_offlined"),
    "dimm_replacements": weights("dimm_replacements"),
}
"""Rates compared, as weights of the tally's metrics."""


@dataclass(frozen=True)
class Effect:
    """Difference and ratio of a rate to that of the baseline."""

    difference: Estimate
    ratio: Estimate


def effect(sums: Sums, events: Vector, per: float = PER_NODE_YEARS) -> Effect:
    """Compare the rate of some events with the baseline's, paired by node.

    Source:
        Linearised difference of two ratio estimators; nodes are independent, so its variance is the sum over nodes of
        the squared influence, which the sums of products give exactly.
    """
    exposure, base_exposure = sums.total[0], sums.base_total[0]
    if exposure <= 0.0 or base_exposure <= 0.0:
        return Effect(UNDEFINED, UNDEFINED)
    up = weights("node_years")
    value, base = float(events @ sums.total) / exposure, float(events @ sums.base_total) / base_exposure
    mine, other = (events - value * up) / exposure, (events - base * up) / base_exposure
    own, reference = float(mine @ sums.square @ mine), float(other @ sums.base_square @ other)
    both = float(mine @ sums.cross @ other)
    half = Z * math.sqrt(max(0.0, own + reference - 2.0 * both))
    difference = Estimate(per * (value - base), per * (value - base - half), per * (value - base + half))
    if value <= 0.0 or base <= 0.0:
        return Effect(difference, UNDEFINED)
    relative = own / value**2 + reference / base**2 - 2.0 * both / (value * base)
    spread = math.exp(Z * math.sqrt(max(0.0, relative)))
    ratio = value / base
    return Effect(difference, Estimate(ratio, ratio / spread, ratio * spread))


def tally_against(run: Run, baseline: str) -> tuple[Tally, tuple[str, ...]]:
    """Count a run again with another arm as the baseline; return the tally and its order of arms."""
    position = run.check_arm(baseline)
    order = (baseline, *(arm for arm in run.arms if arm != baseline))
    if position == 0:
        return run.tally, order
    total = Tally.zero(len(order), len(run.groups))
    for receipt in run.receipts:
        first, end = receipt.shard.first_node, receipt.shard.first_node + receipt.shard.nodes
        spans = [
            (max(g.first_node, first), max(0, min(g.first_node + g.nodes, end) - max(g.first_node, first)))
            for g in run.groups
        ]
        tables = [
            (() if part.arm == COMMON_ARM else (order.index(part.arm),), part.table, run.read_part(part))
            for part in receipt.parts
        ]
        total += tally_shard(tables, spans, len(order), run.horizon_ns)
    return total, order


def compare_run(run: Run, baseline: str | None = None) -> dict[str, dict[str, Effect]]:
    """Compare every arm of a run with a baseline (the first arm by default).

    Raises:
        ConfigError: The run has no such arm.
    """
    return compare_tally(*tally_against(run, baseline or run.arms[0]))


def compare_tally(tally: Tally, arms: tuple[str, ...]) -> dict[str, dict[str, Effect]]:
    """Compare every arm but the first with the first."""
    return {
        arm: {name: effect(Sums.of(tally, position), events) for name, events in EFFECTS.items()}
        for position, arm in enumerate(arms)
        if position
    }


def to_json(found: dict[str, dict[str, Effect]]) -> dict[str, Any]:
    """Return differences per 1,000 node-years and ratios, with intervals."""
    return {
        arm: {
            name: {"difference": item.difference.to_json(), "ratio": item.ratio.to_json()}
            for name, item in effects.items()
        }
        for arm, effects in found.items()
    }
