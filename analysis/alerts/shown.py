"""A study of alert rules as lines and as a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.alerts.judgement import QUANTILES, RuleJudgement
from analysis.alerts.strata import NAMES, WITHOUT_ROWS
from analysis.alerts.study import AlertStudy, RuleFound
from analysis.alerts.truth import TRUTHS
from analysis.estimators.rates import Estimate
from analysis.text.layout import format_estimate, format_number
from node_sim.units import NS_PER_DAY, NS_PER_S

_WIDE = 36


def study_document(study: AlertStudy) -> dict[str, Any]:
    """Return a study as plain data."""
    settings = study.settings
    return {
        "arm": settings.arm,
        "truth": settings.truth,
        "truth_events": study.truth_events,
        "lead_days": settings.lead_ns / NS_PER_DAY,
        "interval_s": settings.step_ns / NS_PER_S,
        "scrape_interval_s": settings.scrape_ns / NS_PER_S,
        "node_years": study.node_years,
        "strata": [
            {
                "nodes_are": NAMES[one.kind],
                "group": one.group or None,
                "nodes": one.nodes,
                "judged": one.judged,
                "weight": one.weight,
            }
            for one in study.judged.strata
        ],
        "rules": [_rule_document(one) for one in study.rules],
    }


def _rule_document(found: RuleFound) -> dict[str, Any]:
    rule, judgement = found.rule, found.judgement
    return {
        "rule": rule.name,
        "expression": rule.expression,
        "for_s": rule.hold_ns / NS_PER_S,
        "keep_firing_for_s": rule.keep_ns / NS_PER_S,
        "interval_s": rule.step_ns / NS_PER_S,
        "not_judged": rule.reach.refused or None,
        "series_missing": list(found.missing),
        "judged": None if judgement is None else _figures(judgement),
    }


def _figures(one: RuleJudgement) -> dict[str, Any]:
    return {
        "counts": {
            "nodes_alerted": one.counts["alerted"],
            "nodes_without_events_alerted": one.silent_alerted,
            "episodes": one.counts["episodes"],
            "pages": one.counts["pages"],
            "episodes_that_tell": one.counts["told"],
            "episodes_right": one.counts["right"],
            "truth_events": one.counts["truth"],
            "truth_events_recalled": one.counts["recalled"],
            "nodes_firing_at_end": one.counts["at_end"],
        },
        "nodes_alerted_share": one.nodes_alerted.to_json(),
        "episodes_per_1000_node_years": one.episodes.to_json(),
        "pages_per_1000_node_years": one.pages.to_json(),
        "precision_episodes": one.precision_episodes.to_json(),
        "precision_nodes": one.precision_nodes.to_json(),
        "recall": one.recall.to_json(),
        "warning_days": [
            {"quantile": p, **estimate.to_json()} for p, estimate in zip(QUANTILES, one.warning_days, strict=True)
        ],
        "firing_at_end_share": one.firing_at_end.to_json(),
    }


def study_lines(study: AlertStudy) -> Iterator[str]:
    """Tell a study in lines."""
    settings = study.settings
    strata = study.judged.strata
    words, days = TRUTHS[settings.truth].words, settings.lead_ns / NS_PER_DAY
    yield (
        f"arm {settings.arm}: {sum(one.nodes for one in strata):,} nodes, {study.node_years:,.0f} node-years; "
        f"truth: the first {words} of each of {study.truth_events:,} nodes; lead {days:g} days"
    )
    for kind, name in enumerate(NAMES):
        mine = [one for one in strata if one.kind == kind]
        nodes, judged = sum(one.nodes for one in mine), sum(one.judged for one in mine)
        if judged:
            yield f"judged: {judged:,} of {nodes:,} nodes {name}, each stands for {nodes / judged:,.3g}"
    for found in study.rules:
        yield ""
        yield from _rule_lines(found, study)
    yield ""
    yield (
        "Values with 95 % intervals. An episode is a time for which the rule fires on a node, a page an alert that "
        f"begins to fire. Right: the truth event comes after the episode began and within {days:g} days; episodes that "
        "begin after it, or so late that the run ends before, are left out. Recall: it fired before the event, within "
        "these days."
    )


def _rule_lines(found: RuleFound, study: AlertStudy) -> Iterator[str]:
    """Tell what became of a rule."""
    rule, one = found.rule, found.judgement
    if one is None:
        yield f"{rule.name}: not judged: {rule.reach.refused}"
        return
    if found.missing and not one.counts["alerted"]:
        yield f"{rule.name}: never fired: no series {', '.join(found.missing)}"
        return
    yield rule.name
    if found.missing:
        yield f"  no series {', '.join(found.missing)}"
    silent = sum(stratum.judged for stratum in study.judged.strata if stratum.kind == WITHOUT_ROWS)
    counts = one.counts
    rows = [
        ("nodes alerted, %", _percent(one.nodes_alerted), f"{one.silent_alerted} of {silent} without events"),
        ("episodes per 1,000 node-years", format_estimate(one.episodes), f"{counts['episodes']:,} seen"),
        ("pages per 1,000 node-years", format_estimate(one.pages), f"{counts['pages']:,} seen"),
        ("precision of episodes, %", _percent(one.precision_episodes), f"{counts['right']:,} of {counts['told']:,}"),
        (
            "precision of nodes, %",
            _percent(one.precision_nodes),
            f"{counts['right_node']:,} of {counts['told_node']:,}",
        ),
        ("recall, %", _percent(one.recall), f"{counts['recalled']:,} of {counts['truth']:,}"),
        ("warning, median, days", format_estimate(one.warning_days[QUANTILES.index(0.5)]), _quartiles(one)),
        (
            "fires at the end, % of alerted",
            _percent(one.firing_at_end),
            f"{counts['at_end']:,} of {counts['alerted']:,}",
        ),
    ]
    yield from (f"  {name:<{_WIDE - 4}}{value:<23} {seen}".rstrip() for name, value, seen in rows)


def _percent(share: Estimate) -> str:
    return format_estimate(share, scale=100.0)


def _quartiles(one: RuleJudgement) -> str:
    """Tell the quartiles of warning times."""
    low, _, high = (estimate.value for estimate in one.warning_days)
    return "" if low is None or high is None else f"quartiles {format_number(low)} and {format_number(high)}"
