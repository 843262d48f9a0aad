"""Which arm is best: ranks of arms by a metric or by cost, each with an interval, and the front of several metrics.

**Models.** An arm's rank is one more than the number of arms that have less of the objective. Arms live through the
same faults, so every two are compared node by node. The interval of each difference is that of all effects, at a level
that holds for all pairs together (Bonferroni, whatever they have in common). An arm ranks behind all that surely have
less and before all that surely have more: with 95 % probability all ranks lie in their intervals.

**Leaves out.** How much the ranks matter: a difference may be sure and small.

**Assumes.** Less is better in every objective. Costs add up over nodes; prices are certain. Of memory, one more node
may lose a huge page of 1 GiB for the whole time, or a DIMM where a policy takes such out of use: without that, ranks by
memory lost held the truth in 45 of 100 fleets of 2,000 nodes.

**Sources.** Mogstad, Romano, Shaikh and Wilhelm 2024 (Review of Economic Studies 91, 476): intervals of ranks from
simultaneous intervals of differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, Final, NamedTuple

import numpy as np

from analysis.comparison.effects import Paired
from analysis.comparison.recount import rows_to_count
from analysis.dataset.run import Run
from analysis.estimators.intervals import TAIL, difference_interval, unseen_size
from analysis.estimators.rates import ENOUGH_NODES, HEAVY, PER_NODE_YEARS, Ends, Vector, ends_of, weights
from fleet.stored.counting import counts_apart
from fleet.stored.headline import BY_KEY, KILLS
from fleet.stored.tally import SAME
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.records import Flags, Floats
from node_sim.units import PAGE_BYTES

BYTES_PER_GIB: Final = 2.0**30
"""Of the largest huge page, too."""
PRICED: Final = {
    "kill": ("kills", 1.0),
    "loss": ("losses", 1.0),
    "panic": ("panics", 1.0),
    "io_error": ("io_errors", 1.0),
    "sdc": ("sdc", 1.0),
    "replacement": ("dimm_replacements", 1.0),
    "cordon": ("cordons", 1.0),
    "gib_year": ("memory_lost_byte_years", 1.0 / BYTES_PER_GIB),
}
"""What can be given a price: metric, and units of it that are one of the metric."""
OBJECTIVES: Final = (
    *("kills", *KILLS, "losses", "panics", "io_errors", "ue", "sdc", "machine_checks", "mf_ignored", "mf_failed"),
    *("cordons", "dimm_replacements", "pages_offlined", "memory_lost_byte_years", "pool_lost_byte_years"),
)
"""Metrics of which less is better."""
SHORT: Final = {"memory_lost": "memory_lost_byte_years", "pool_lost": "pool_lost_byte_years"}


class Largest(NamedTuple):
    """What one event comes to at most: processes of a page and of a panic, memory out of use and for how long."""

    ends: Ends
    lost_bytes: float
    years: float


class Objective(NamedTuple):
    """Something of which less is better.

    Attributes:
        name: As it is asked for.
        unit: Per 1,000 node-years.
        weights: Of the stored metrics, shape ``(metrics,)``.
        event: What a single event comes to at most.
        heavy: Likewise, of memory: few events have nearly all of it, so however many were seen tells nothing of those
            that were not.
    """

    name: str
    unit: str
    weights: Vector
    event: float
    heavy: float


class Rank(NamedTuple):
    """The rank of an arm, 1 the best, and where it surely lies."""

    value: int
    low: int
    high: int


@dataclass(frozen=True)
class Ranking:
    """Arms by one objective.

    Attributes:
        objective: Which.
        arms: In the order of the run.
        totals: What each has per 1,000 node-years, shape ``(arms,)``.
        ranks: Theirs.
        sure: Whether the first surely has less than the second, shape ``(arms, arms)``.
    """

    objective: Objective
    arms: tuple[str, ...]
    totals: Vector
    ranks: tuple[Rank, ...]
    sure: Flags


class PairSums:
    """Sums over nodes for every two arms of what the first has more than the second, all of shape ``(arms, arms)``."""

    def __init__(self, arms: int) -> None:
        """Start with no nodes."""
        self.more, self.more_square, self.nodes_more, self.largest = (np.zeros((arms, arms)) for _ in range(4))
        self.most = 0.0

    def add(self, x: Floats) -> None:
        """Add nodes, given what each has in each arm, shape ``(arms, nodes)``."""
        self.most = max(self.most, float(x.max(initial=0.0)))
        for arm, mine in enumerate(x):
            more = np.maximum(mine - x, 0.0)
            more[more <= SAME * mine] = 0.0
            self.more[arm] += more.sum(axis=1)
            self.more_square[arm] += (more**2).sum(axis=1)
            self.nodes_more[arm] += (more > 0.0).sum(axis=1)
            self.largest[arm] = np.maximum(self.largest[arm], more.max(axis=1, initial=0.0))

    def pair(self, arm: int, other: int, nodes: int, objective: Objective) -> Paired:
        """Return what the intervals of differences are made of; one more node may have at least one event."""
        differing = self.nodes_more[arm, other] + self.nodes_more[other, arm]
        most = max(self.most, objective.event, objective.heavy)
        size = unseen_size(max(self.largest[arm, other], self.largest[other, arm]), differing) if differing else 0.0
        return Paired(
            nodes=nodes,
            base=0.0,
            base_square=0.0,
            base_size=0.0,
            more=float(self.more[arm, other]),
            less=float(self.more[other, arm]),
            more_square=float(self.more_square[arm, other]),
            less_square=float(self.more_square[other, arm]),
            nodes_more=int(self.nodes_more[arm, other]),
            nodes_less=int(self.nodes_more[other, arm]),
            size=size if differing >= ENOUGH_NODES else max(size, most),
            first=most,
        )


def largest_events(run: Run) -> Largest:
    """Return what one event of a run comes to at most.

    Without policies that take a bank or a DIMM out of use, a huge page is the largest thing that goes.
    """
    large = _sets(run.plan["scenario"], "map_out", True) or _sets(run.plan["scenario"], "scope", "bank")
    lost_bytes = float(max(group.dimm_bytes for group in run.groups)) if large else BYTES_PER_GIB
    return Largest(ends_of(group.processes for group in run.groups), lost_bytes, float(run.plan["years"]))


def _sets(document: Any, key: str, value: object) -> bool:
    """Whether a scenario gives a setting this value in any group or arm."""
    if not isinstance(document, dict):
        return False
    return any(
        (name.rpartition(".")[2] == key and inside == value) or _sets(inside, key, value)
        for name, inside in document.items()
    )


def objective_of(metric: str, largest: Largest) -> Objective:
    """Return a metric as an objective.

    Raises:
        ConfigError: There is no such metric, or more of it may be better.
    """
    key = SHORT.get(metric, metric)
    if key not in OBJECTIVES:
        msg = f"--pareto {metric}: {one_of(metric, (*OBJECTIVES, *SHORT))}"
        raise ConfigError(msg)
    counted = BY_KEY[key].unit == "1"
    unit = "per 1,000 node-years" if counted else "GiB-years per 1,000 node-years"
    scale = 1.0 if counted else 1.0 / BYTES_PER_GIB
    event, heavy = _at_once(key, largest)
    return Objective(metric, unit, scale * weights(key), scale * event, scale * heavy)


def _at_once(metric: str, largest: Largest) -> tuple[float, float]:
    """Return what one event may come to: processes of a page or of a panic, or one; and memory or pages."""
    if BY_KEY[metric].unit != "1":
        return 0.0, largest.lost_bytes * largest.years
    if metric in HEAVY:
        return 1.0, largest.lost_bytes / PAGE_BYTES
    together = {"losses": largest.ends.panic, "kills": largest.ends.page, **dict.fromkeys(KILLS, largest.ends.page)}
    return float(max(1, together.get(metric, 1))), 0.0


def parse_objectives(text: str, largest: Largest) -> tuple[Objective, ...]:
    """Read the metrics of ``--pareto``, at least two.

    Raises:
        ConfigError: They are not that; all mistakes at once.
    """
    found, problems = [], []
    names = [name.strip() for name in text.split(",")]
    for name in names:
        try:
            found.append(objective_of(name, largest))
        except ConfigError as error:
            problems.append(str(error))
    if len(set(names)) < max(2, len(names)):
        problems.append(f"--pareto {text}: expected at least two metrics, each once, as in 'kills,memory_lost'")
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(found)


PRICE_MIN, PRICE_MAX = 1e-9, 1e12


def parse_cost(text: str, largest: Largest) -> Objective:
    """Read the prices of ``--cost``.

    Raises:
        ConfigError: They are not prices of what has one; all mistakes at once.
    """
    prices: dict[str, float] = {}
    problems = []
    for part in text.split(","):
        name, sign, price = (one.strip() for one in part.partition("="))
        if name not in PRICED:
            problems.append(f"--cost {name}: {one_of(name, PRICED)}")
        elif name in prices:
            problems.append(f"--cost {name}: given twice, expected once")
        else:
            prices[name] = _price(price) if sign else math.nan
            if prices[name] != 0.0 and not PRICE_MIN <= prices[name] <= PRICE_MAX:
                bounds = f"0 or a number from {PRICE_MIN:g} to {PRICE_MAX:g}"
                problems.append(f"--cost {part.strip()}: expected {name}=PRICE, {bounds}")
    if not problems and not any(prices.values()):
        problems.append(f"--cost {text}: all prices are 0, expected one above it")
    if problems:
        raise ConfigError("\n".join(problems))
    return cost(prices, largest)


def _price(text: str) -> float:
    try:
        return float(text.encode("ascii"))
    except ValueError:
        return math.nan


def cost(prices: Mapping[str, float], largest: Largest) -> Objective:
    """Return the cost of what happens at some prices (``PRICED``) as an objective."""
    vector, event, heavy = weights(), 0.0, 0.0
    for name, price in prices.items():
        metric, scale = PRICED[name]
        vector = vector + price * scale * weights(metric)
        event, heavy = (
            max(one, price * scale * size) for one, size in zip((event, heavy), _at_once(metric, largest), strict=True)
        )
    return Objective("cost", "per 1,000 node-years", vector, event, heavy)


def rank_arms(run: Run, objectives: Sequence[Objective]) -> tuple[Ranking, ...]:
    """Rank the arms of a run by each of some objectives."""
    sums = [PairSums(len(run.arms)) for _ in objectives]
    for rows in rows_to_count(run, run.arms):
        counted = [[counts.x @ one.weights for one in objectives] for counts in counts_apart(*rows)]
        for one, x in zip(sums, np.asarray(counted).swapaxes(0, 1), strict=True):
            one.add(x)
    nodes = int(run.tally.nodes.sum())
    scale = PER_NODE_YEARS / (nodes * float(run.plan["years"]))
    total = run.tally.total.sum(axis=1)
    return tuple(
        ranking(objective, run.arms, scale * (total @ objective.weights), one, nodes)
        for objective, one in zip(objectives, sums, strict=True)
    )


def ranking(objective: Objective, arms: tuple[str, ...], totals: Vector, sums: PairSums, nodes: int) -> Ranking:
    """Rank arms by what they have, so many nodes each, as far as the sums of every two tell them apart."""
    n = len(arms)
    sure = np.zeros((n, n), np.bool_)
    before = np.zeros((n, n), np.bool_)
    tail = TAIL / max(1, n * (n - 1) // 2)
    for arm in range(n):
        for other in range(arm):
            pair = sums.pair(arm, other, nodes, objective)
            before[arm, other], before[other, arm] = pair.more < pair.less, pair.more > pair.less
            if nodes > 1 and pair.nodes_more + pair.nodes_less:
                more, less = (max(one, objective.heavy) for one in pair.sizes())
                low, high = difference_interval(pair.more, pair.less, pair.variances(), (more, less), tail)
                sure[arm, other], sure[other, arm] = high < 0.0, low > 0.0
    ranks = tuple(
        Rank(1 + int(before[:, arm].sum()), 1 + int(sure[:, arm].sum()), n - int(sure[arm].sum())) for arm in range(n)
    )
    return Ranking(objective, arms, totals, ranks, sure)


def dominated(rankings: Sequence[Ranking]) -> dict[str, tuple[list[str], list[str]]]:
    """Return, for each arm, which others have less in one objective and more in none, and which surely less in all."""
    arms = rankings[0].arms
    less: Flags = reduce(or_, [one.totals[:, None] < one.totals[None, :] for one in rankings])
    sure: Flags = reduce(and_, [one.sure for one in rankings])
    by: Flags = less & ~less.T
    names = np.asarray(arms)
    return {arm: (names[by[:, at]].tolist(), names[sure[:, at]].tolist()) for at, arm in enumerate(arms)}
