"""How good a rule was: which of its alerts warned of something, and of how much it warned in time.

**Models.** An episode is a time for which any alert of the rule fires on a host; each alert that begins to fire is a
page. An episode is right if the host's truth event comes after its first step and within ``lead``. Episodes that
begin at or after the event, or so late that the run ends within ``lead``, tell nothing and are left out of precision.
The rule recalls an event if it fires at any time before it that is within ``lead`` of it; it warned from the first
such time on.

Hosts are independent, and each stands for as many as its stratum says. Rates are weighted compound Poisson counts,
precision is a share with clusters of hosts, recall is binomial, as each host has one event at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from analysis.alerts.firing import Firing, fires_at_end, merged
from analysis.alerts.strata import WITH_ROWS, JudgedHosts
from analysis.estimators.intervals import count_interval, unseen_size
from analysis.estimators.rates import PER_NODE_YEARS, UNDEFINED, Estimate, NodeSums, proportion, quantile
from analysis.estimators.reliability import exact_proportion
from node_sim.records import Floats
from node_sim.units import NS_PER_DAY

QUANTILES: Final = (0.25, 0.5, 0.75)
"""Of warning times."""
COUNTED: Final = (
    *("alerted", "episodes", "pages", "told", "right", "told_node", "right_node", "at_end", "truth", "recalled"),
)
"""What is counted of a host: whether it was alerted, episodes, pages, episodes that tell and those of them that are
right, the same of the host, whether the rule fires at the end, whether it has a truth event, whether it is recalled."""


class AlertQuestion(NamedTuple):
    """What alerts are judged by.

    Attributes:
        truth_ns: First event of each host that has one [ns].
        lead_ns: How long before an event an alert counts [ns].
        horizon_ns: End of simulated time [ns].
    """

    truth_ns: Mapping[int, int]
    lead_ns: int
    horizon_ns: int


class RuleOutcome(NamedTuple):
    """What a rule did on a host: the counts of ``COUNTED``, and how long it warned [ns], if it recalled the event."""

    counts: tuple[int, ...]
    warning_ns: int | None


def outcome(alerts: Sequence[Sequence[Firing]], node: int, step_ns: int, question: AlertQuestion) -> RuleOutcome:
    """Return what a rule did on a host.

    Args:
        alerts: When each of its alerts fires.
        node: The host.
        step_ns: Time between steps [ns].
        question: What it is judged by.
    """
    steps = question.horizon_ns // step_ns + 1
    every = [one for alert in alerts for one in alert]
    episodes = merged(every)
    truth, lead = question.truth_ns.get(node), question.lead_ns
    starts = [one.start * step_ns for one in episodes]
    told = [one for one in starts if one + lead <= question.horizon_ns and (truth is None or one < truth)]
    right = [one for one in told if truth is not None and truth <= one + lead]
    warned = [
        min(truth - one.start * step_ns, lead)
        for one in episodes
        if truth is not None and one.start * step_ns < truth and one.end * step_ns > truth - lead
    ]
    counts = (
        int(bool(episodes)),
        len(episodes),
        len(every),
        len(told),
        len(right),
        int(bool(told)),
        int(bool(right)),
        int(any(fires_at_end(one, steps) for one in episodes)),
        int(truth is not None),
        int(bool(warned)),
    )
    return RuleOutcome(counts, max(warned, default=None))


class RuleJudgement(NamedTuple):
    """Figures of a rule.

    Attributes:
        counts: Sums over the judged hosts, by ``COUNTED``.
        silent_alerted: JudgedHosts hosts without events that it alerted.
        nodes_alerted: Share of all hosts that were alerted.
        episodes: Per 1,000 node-years.
        pages: Per 1,000 node-years.
        precision_episodes: Share of episodes that are right.
        precision_nodes: Share of alerted hosts with an episode that is right.
        recall: Share of truth events that it warned of.
        warning_days: Quantiles of warning times [days], by ``QUANTILES``.
        firing_at_end: Share of alerted hosts on which it fires at the end.
    """

    counts: dict[str, int]
    silent_alerted: int
    nodes_alerted: Estimate
    episodes: Estimate
    pages: Estimate
    precision_episodes: Estimate
    precision_nodes: Estimate
    recall: Estimate
    warning_days: tuple[Estimate, ...]
    firing_at_end: Estimate


def judge_rule(found: Sequence[RuleOutcome], judged: JudgedHosts, node_years: float) -> RuleJudgement:
    """Return the figures of a rule.

    Args:
        found: What it did on each judged host, in their order.
        judged: The hosts.
        node_years: Time that all hosts of the run were up [years].
    """
    counts = np.asarray([one.counts for one in found], np.float64).reshape(-1, len(COUNTED))
    weighted = counts * judged.weight[:, None]
    # Hosts without rows are all the same to a rule, so it is one more host with rows that may not have been seen.
    next_size = max([one.weight for one in judged.strata if one.kind == WITH_ROWS], default=1.0)
    sums = NodeSums(len(found), weighted.sum(axis=0), weighted.T @ weighted, *([np.empty(0)] * 3))
    nodes = float(sum(one.nodes for one in judged.strata))
    totals = dict(zip(COUNTED, (int(one) for one in counts.sum(axis=0)), strict=True))

    def per(name: str, whole: float) -> Estimate:
        cells = weighted[:, COUNTED.index(name)]
        having = int((cells > 0.0).sum())
        return _rate(cells, unseen_size(float(cells.max()), having) if having else next_size, whole)

    def share(part: str, whole: str) -> Estimate:
        return proportion(sums, _one(part), _one(whole))

    warned = np.asarray([one.warning_ns for one in found if one.warning_ns is not None], np.float64) / NS_PER_DAY
    return RuleJudgement(
        counts=totals,
        silent_alerted=int((counts[:, 0] * judged.silent).sum()),
        nodes_alerted=_share_alerted(weighted[:, COUNTED.index("alerted")], next_size, nodes),
        episodes=per("episodes", node_years / PER_NODE_YEARS),
        pages=per("pages", node_years / PER_NODE_YEARS),
        precision_episodes=share("right", "told"),
        precision_nodes=share("right_node", "told_node"),
        recall=exact_proportion(totals["recalled"], totals["truth"]) if totals["truth"] else UNDEFINED,
        warning_days=tuple(quantile(warned, one) for one in QUANTILES),
        firing_at_end=share("at_end", "alerted"),
    )


def _one(name: str) -> Floats:
    vector = np.zeros(len(COUNTED))
    vector[COUNTED.index(name)] = 1.0
    return vector


def _share_alerted(weighted: Floats, next_size: float, nodes: float) -> Estimate:
    """Return the share of hosts that were alerted: a host more is one, times those that it stands for."""
    share = _rate(weighted, max(next_size, float(weighted.max(initial=0.0))), nodes)
    return Estimate(share.value, share.low, None if share.high is None else min(share.high, 1.0))


def _rate(weighted: Floats, next_size: float, whole: float) -> Estimate:
    """Return a weighted count of hosts' events over a whole, if one host more may have ``next_size`` of them."""
    if whole <= 0.0:
        return UNDEFINED
    low, high = count_interval(float(weighted.sum()), float((weighted**2).sum()), next_size)
    return Estimate(float(weighted.sum()) / whole, low / whole, high / whole)
