"""The study of a run's alert rules: from its rows to what became of each rule."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from analysis.alerts.answers import HostAnswers, WatchedHosts, answers
from analysis.alerts.engine import Programs, workspace
from analysis.alerts.history import History
from analysis.alerts.judgement import AlertQuestion, RuleJudgement, judge_rule, outcome
from analysis.alerts.rules import AlertRule, read_rules
from analysis.alerts.strata import JudgedHosts, choose
from analysis.alerts.truth import first_events, nodes_with_rows
from analysis.dataset.run import Run
from analysis.hosts.changes import changes
from analysis.hosts.kinds import Hosts
from analysis.hosts.lives import lives
from analysis.hosts.node_exporter import ExporterView
from fleet.stored.headline import EXPOSURE, INDEX
from fleet.stored.views import start_us
from node_sim.units import NS_PER_S

SAMPLE: Final = 300
"""Hosts that are drawn of those that have events, but no truth event."""
_US_PER_S: Final = 1e6


class StudySettings(NamedTuple):
    """How rules are judged.

    Attributes:
        arm: Arm.
        truth: One of ``TRUTHS``.
        lead_ns: How long before an event an alert counts [ns].
        step_ns: Time between evaluations of groups of rules that do not say it [ns].
        scrape_ns: Time between scrapes [ns].
        sample: How many hosts with events but no truth event are drawn.
        every: Whether all steps and scrapes are taken, rather than those that matter.
    """

    arm: str
    truth: str
    lead_ns: int
    step_ns: int = 60 * NS_PER_S
    scrape_ns: int = 15 * NS_PER_S
    sample: int = SAMPLE
    every: bool = False


class RuleFound(NamedTuple):
    """What became of a rule.

    Attributes:
        rule: The rule.
        missing: Series it names that no judged host has.
        judgement: Its figures; None if it cannot be judged.
    """

    rule: AlertRule
    missing: tuple[str, ...]
    judgement: RuleJudgement | None


class AlertStudy(NamedTuple):
    """What became of all rules.

    Attributes:
        settings: How they were judged.
        judged: Hosts that were.
        node_years: Time that all hosts were up [years].
        truth_events: Hosts with a truth event.
        rules: Of each rule.
    """

    settings: StudySettings
    judged: JudgedHosts
    node_years: float
    truth_events: int
    rules: tuple[RuleFound, ...]


def study_rules(run: Run, hosts: Hosts, path: Path, programs: Programs, settings: StudySettings) -> AlertStudy:
    """Judge the rules of a file.

    Args:
        run: The run.
        hosts: Its hosts in the arm.
        path: The file.
        programs: Prometheus and promtool.
        settings: How to judge.

    Raises:
        ConfigError: There is no such arm, or the file is none of alerting rules.
    """
    arm, seed = run.check_arm(settings.arm), run.plan["seed"]
    with workspace() as folder:
        rules = read_rules(programs, path, folder / "rules", settings.step_ns)
        truth_ns = first_events(run, settings.arm, settings.truth)
        judged = choose(hosts, truth_ns, nodes_with_rows(run, settings.arm), settings.sample, seed)
        watched = WatchedHosts(
            hosts,
            ExporterView(start_us(run.plan) / _US_PER_S),
            seed,
            settings.scrape_ns,
            run.horizon_ns,
            settings.every,
            settings.step_ns,
        )
        able = [rule for rule in rules if not rule.reach.refused]
        histories = _histories(run, hosts, settings.arm, judged) if able else []
        found = {one.node: one for one in answers(programs, able, histories, watched, folder)}
    node_years = float(run.tally.total[arm, :, INDEX[EXPOSURE]].sum())
    question = AlertQuestion(truth_ns, settings.lead_ns, run.horizon_ns)
    return AlertStudy(
        settings,
        judged,
        node_years,
        len(truth_ns),
        tuple(
            _found(rule, able.index(rule) if rule in able else None, found, judged, question, node_years)
            for rule in rules
        ),
    )


def _histories(run: Run, hosts: Hosts, arm: str, judged: JudgedHosts) -> list[History]:
    """Return what the judged hosts lived through."""
    nodes = judged.nodes.tolist()
    known = {node: changes(life, hosts.kind(node), run.plan["seed"]) for node, life in lives(run, arm, nodes)}
    return [History.of(node, known.get(node, [])) for node in nodes]


def _found(
    rule: AlertRule,
    at: int | None,
    found: dict[int, HostAnswers],
    judged: JudgedHosts,
    question: AlertQuestion,
    node_years: float,
) -> RuleFound:
    """Return what became of a rule, the one at a place among those that can be judged."""
    if at is None:
        return RuleFound(rule, (), None)
    outcomes = [outcome(found[node].alerts[at], node, rule.step_ns, question) for node in judged.nodes.tolist()]
    families = frozenset[str]().union(*(one.families for one in found.values()))
    missing = tuple(sorted(rule.reach.names - families))
    return RuleFound(rule, missing, judge_rule(outcomes, judged, node_years))
