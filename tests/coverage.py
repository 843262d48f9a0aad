"""Coverage of every estimator that prints an interval, on fleets cut from one long simulation.

Nodes are independent, so consecutive nodes of each group, in the shares of the scenario, are a fleet of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.comparison.effects import cost_per_avoided, effect, effect_on_exposure
from analysis.estimators.rates import Ends, Estimate, Sums, ends_of, rate, recovery_ratio, survival_ratio, weights
from fleet.engines.shard import run_shard
from fleet.scenario.decode import decode
from fleet.scenario.fleet import Fleet
from fleet.stored.counting import tally_shard
from fleet.stored.headline import EXPOSURE, REGISTRY
from fleet.stored.plan import Shard
from fleet.stored.tally import Tally
from tests.fleets import BASELINE

BLOCK_NODES = 200_000
SIZES = (2_000, 10_000)
AT_LEAST, LEVEL = 0.93, 0.999
SPENDERS = ("page_offline_2_per_24h", "replace_ce_10")
"""Arms that avoid UEs, and replace fewer or more DIMMs for it."""
Key = tuple[str, str, str]
"""Estimator, arm, metric or group."""


class Covered(NamedTuple):
    """How the intervals of an estimator, in so many fleets, hold the truth.

    Attributes:
        fleets: Fleets in which there is an interval.
        below: Fleets whose interval lies below the truth.
        above: Fleets whose interval lies above it.
        truth: The estimate of all nodes together.
        width: Median width.
    """

    fleets: int
    below: int
    above: int
    truth: float
    width: float

    @property
    def coverage(self) -> float:
        """The share of intervals that hold it."""
        return 1 - (self.below + self.above) / self.fleets

    @property
    def bound(self) -> float:
        """The largest coverage that is not refuted at the level of 99.9 %: Clopper and Pearson's."""
        missed = self.below + self.above
        return 1.0 if not missed else float(stats.beta.ppf(LEVEL, self.fleets - missed + 1, missed))


def fleet_of_blocks() -> Fleet:
    """The baseline, of one block, with an arm that replaces DIMMs."""
    document = copy.deepcopy(BASELINE)
    document["nodes"] = BLOCK_NODES
    document["arm"]["replace_ce_10"] = {"set": {"repair.replace_ce": 10}}
    return decode("coverage", document)


def cut(fleet: Fleet, seed: int) -> Tally:
    """Simulate a block and count it by the smallest fleets: groups of the tally are (group, fleet)."""
    parts = BLOCK_NODES // SIZES[0]
    cells = [
        (group.first_node + part * (group.nodes // parts), group.nodes // parts)
        for group in fleet.groups
        for part in range(parts)
    ]
    tables = [one for block in run_shard(fleet, seed, Shard(0, 0, BLOCK_NODES)) for one in block.tables]
    dimm_bytes = [group.dimm_bytes for group in fleet.groups for _ in range(parts)]
    return tally_shard(tables, cells, dimm_bytes, len(fleet.arms), fleet.horizon_ns)


def join(tally: Tally, groups: int, parts: int) -> list[Tally]:
    """Put cells together to so many fleets, of so many groups each."""

    def of(fleet: int) -> Tally:
        each = tally.nodes.size // groups // parts
        at = [group * each * parts + fleet * each + cell for group in range(groups) for cell in range(each)]

        def add(array: np.ndarray, axis: int, how: np.ufunc) -> np.ndarray:
            picked = np.take(array, at, axis)
            shape = (*picked.shape[:axis], groups, each, *picked.shape[axis + 1 :])
            return how.reduce(picked.reshape(shape), axis=axis + 1)

        return Tally(
            add(tally.nodes, 0, np.add),
            *(add(getattr(tally, name), 1, np.add) for name in ("total", "square", "cross", "paired")),
            add(tally.largest, 1, np.maximum),
            tally.rows,
        )

    return [of(fleet) for fleet in range(parts)]


def estimates(tally: Tally, fleet: Fleet) -> Iterator[tuple[Key, Estimate]]:
    """Every estimator with an interval, of all arms; rates also of a group alone."""
    ends = ends_of(group.processes for group in fleet.groups)
    for position, arm in enumerate(fleet.arms):
        sums = Sums.of(tally, position, ends=ends)
        yield ("ratio of counts", arm, "recovery"), recovery_ratio(sums)
        yield ("ratio of counts", arm, "survival"), survival_ratio(sums)
        yield from ((("rate", arm, one.key), rate(sums, one.key)) for one in REGISTRY if one.unit == "1")
        if position:
            yield from _against_baseline(sums, arm)
        else:
            yield from _of_groups(tally, fleet, ends)


def _of_groups(tally: Tally, fleet: Fleet, ends: Ends) -> Iterator[tuple[Key, Estimate]]:
    for group, plan in enumerate(fleet.groups):
        alone = Sums.of(tally, 0, [group], ends=ends)
        yield from (
            (("rate of a group", plan.name, key), rate(alone, key)) for key in ("kills", "losses", "panics", "ue")
        )


def _against_baseline(sums: Sums, arm: str) -> Iterator[tuple[Key, Estimate]]:
    for metric in REGISTRY:
        found = effect_on_exposure(sums) if metric.key == EXPOSURE else effect(sums, metric.key)
        yield ("difference", arm, metric.key), found.difference
        yield ("ratio", arm, metric.key), found.ratio
    if arm in SPENDERS:
        cost = cost_per_avoided(sums, weights("dimm_replacements"), weights("ue"))
        yield ("cost per UE avoided", arm, "dimm_replacements"), cost


def measure(blocks: int, first_seed: int) -> dict[tuple[int, Key], Covered]:
    """Simulate so many blocks and return the coverage of every estimator, by nodes of a fleet."""
    fleet = fleet_of_blocks()
    groups, parts = len(fleet.groups), BLOCK_NODES // SIZES[0]
    every = Tally.zero(len(fleet.arms), groups)
    seen: dict[tuple[int, Key], list[tuple[float, float]]] = {}
    for block in range(blocks):
        tally = cut(fleet, first_seed + block)
        every += join(tally, groups, 1)[0]
        for nodes in SIZES:
            for one in join(tally, groups, parts * SIZES[0] // nodes):
                for key, found in estimates(one, fleet):
                    if found.low is not None and found.high is not None:
                        seen.setdefault((nodes, key), []).append((found.low, found.high))
    truths = dict(estimates(every, fleet))
    found = {}
    for (nodes, key), limits in seen.items():
        truth = truths[key].value
        low, high = np.asarray(limits).T
        if truth is not None:
            below, above = int((high < truth).sum()), int((low > truth).sum())
            found[nodes, key] = Covered(low.size, below, above, truth, float(np.median(high - low)))
    return found


def table(found: dict[tuple[int, Key], Covered]) -> Iterator[str]:
    """Lay it out, a line an estimator, arm, metric and size of fleet."""
    names = "".join(f"{name:<{width}}" for name, width in (("estimator", 20), ("arm or group", 24), ("metric", 24)))
    yield f"{names}{'nodes':>7}{'fleets':>8}{'coverage':>10}{'below':>7}{'above':>7}{'truth':>12}{'width':>12}"
    for (nodes, (kind, arm, metric)), one in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        yield (
            f"{kind:<20}{arm:<24}{metric:<24}{nodes:>7}{one.fleets:>8}{one.coverage:>10.3f}"
            f"{one.below / one.fleets:>7.3f}{one.above / one.fleets:>7.3f}{one.truth:>12.4g}{one.width:>12.4g}"
        )
