"""Figures of a rule: weights of hosts, what tells, and what is as far from an event as the lead allows."""

import numpy as np
import pytest
from scipy import stats

from analysis.alerts.expression import reach_of
from analysis.alerts.firing import Firing
from analysis.alerts.judgement import (
    COUNTED,
    QUANTILES,
    AlertQuestion,
    RuleJudgement,
    RuleOutcome,
    judge_rule,
    outcome,
)
from analysis.alerts.rules import AlertRule
from analysis.alerts.shown import study_lines
from analysis.alerts.strata import WITH_ROWS, WITH_TRUTH, WITHOUT_ROWS, JudgedHosts, Stratum, choose
from analysis.alerts.study import AlertStudy, RuleFound, StudySettings
from analysis.estimators.intervals import count_interval
from analysis.estimators.rates import Estimate, median, quantile
from analysis.hosts.kinds import HostKind, Hosts
from node_sim.catalog.kernels import switches_of
from node_sim.units import NS_PER_DAY

KIND = HostKind("6.12", switches_of("6.12"), "intel", 2, 6, 1, 1 << 34, 900)
DAY = NS_PER_DAY


def one(alerts, truth_day=None, lead=10):
    question = AlertQuestion({} if truth_day is None else {7: truth_day * DAY}, lead * DAY, 100 * DAY)
    found = outcome([[Firing(*part) for part in alert] for alert in alerts], 7, DAY, question)
    return dict(zip(COUNTED, found.counts, strict=True)), found.warning_ns


@pytest.mark.parametrize(
    ("start", "right", "recalled"), [(39, 0, 0), (40, 1, 1), (45, 1, 1), (49, 1, 1), (50, 0, 0), (51, 0, 0)]
)
def test_an_alert_is_right_if_the_event_comes_after_it_within_the_lead(start, right, recalled):
    found, warning_ns = one([[(start, start + 1)]], truth_day=50)
    assert (found["right"], found["recalled"]) == (right, recalled)
    assert found["told"] == (start < 50)
    assert warning_ns == ((50 - start) * DAY if recalled else None)


def test_an_alert_that_still_fires_within_the_lead_recalls_and_warns_for_all_of_it():
    found, warning_ns = one([[(5, 41)]], truth_day=50)
    assert (found["right"], found["recalled"], warning_ns) == (0, 1, 10 * DAY)
    assert one([[(5, 40)]], truth_day=50)[0]["recalled"] == 0


def test_alerts_so_late_that_the_run_ends_within_the_lead_tell_nothing():
    assert one([[(90, 91)]])[0]["told"] == 1
    assert one([[(91, 92)]])[0]["told"] == 0


def test_two_alerts_at_once_are_two_pages_and_one_episode():
    found, _ = one([[(5, 8), (20, 101)], [(6, 9)]])
    assert (found["pages"], found["episodes"], found["at_end"], found["alerted"]) == (3, 2, 1, 1)


def judged(*parts):
    """Strata of (kind, nodes, judged)."""
    strata = tuple(Stratum(kind, "", nodes, number) for kind, nodes, number in parts)
    stratum = np.repeat(np.arange(len(parts)), [number for _, _, number in parts])
    return JudgedHosts(strata, np.arange(stratum.size), stratum)


def counted(**values):
    return RuleOutcome(tuple(values.get(name, 0) for name in COUNTED), None)


def test_hosts_count_for_as_many_as_they_stand_for():
    hosts = judged((WITH_TRUTH, 2, 2), (WITH_ROWS, 40, 4), (WITHOUT_ROWS, 900, 3))
    right = counted(alerted=1, episodes=1, pages=1, told=1, right=1, told_node=1, right_node=1, truth=1, recalled=1)
    wrong = counted(alerted=1, episodes=3, pages=4, told=3, told_node=1, at_end=1)
    nothing = counted()
    found = judge_rule(
        [right, counted(truth=1), wrong, nothing, nothing, nothing, nothing, nothing, nothing], hosts, 942.0
    )
    assert found.nodes_alerted.value == pytest.approx((1 + 10) / 942)
    assert found.episodes.value == pytest.approx(1000 * (1 + 30) / 942)
    assert found.pages.value == pytest.approx(1000 * (1 + 40) / 942)
    assert found.precision_episodes.value == pytest.approx(1 / 31)
    assert found.precision_nodes.value == pytest.approx(1 / 11)
    assert found.firing_at_end.value == pytest.approx(10 / 11)
    assert found.recall.value == pytest.approx(1 / 2)
    low, high = count_interval(31.0, 1.0 + 30.0**2, 30.0 * (2 + 4 / 2))
    assert (found.episodes.low, found.episodes.high) == pytest.approx((1000 * low / 942, 1000 * high / 942))


def test_a_rule_that_never_fired_may_fire_on_one_more_host_with_rows():
    hosts = judged((WITH_ROWS, 40, 4), (WITHOUT_ROWS, 960, 3))
    found = judge_rule([counted()] * 7, hosts, 1000.0)
    assert found.episodes.value == 0.0
    assert found.episodes.high == pytest.approx(count_interval(0.0, 0.0, 10.0)[1])
    assert found.precision_episodes.value is None
    assert found.recall.value is None


@pytest.mark.parametrize("alerted", [0, 1, 9])
def test_the_share_of_hosts_that_are_alerted_has_the_limits_of_a_poisson_count_where_all_are_judged(alerted):
    wild = counted(alerted=1, episodes=900, pages=900)
    found = judge_rule([wild] * alerted + [counted()] * (20 - alerted), judged((WITH_ROWS, 20, 20)), 20.0)
    low, high = stats.chi2.ppf((0.025, 0.975), (2 * alerted, 2 * alerted + 2)) / 2
    assert found.nodes_alerted.high == pytest.approx(high / 20)
    assert found.nodes_alerted.low == pytest.approx(np.nan_to_num(low) / 20)


def test_hosts_with_a_truth_event_are_all_chosen_and_weights_add_up_to_all_hosts():
    hosts = Hosts(1000, (0, 700), (KIND, KIND), ("a", "b"), ("x", "y"))
    with_rows = np.arange(0, 900, 3)
    found = choose(hosts, {3, 6, 9}, with_rows, 50, 1)
    assert {3, 6, 9} <= set(found.nodes.tolist())
    assert found.nodes.size == np.unique(found.nodes).size
    assert found.weight.sum() == pytest.approx(1000)
    assert [(part.kind, part.group, part.nodes, part.judged) for part in found.strata] == [
        (WITH_TRUTH, "", 3, 3), (WITH_ROWS, "", 297, 50), (WITHOUT_ROWS, "a", 466, 35), (WITHOUT_ROWS, "b", 234, 15),
    ]  # fmt: skip
    silent = found.nodes[found.silent == 1]
    assert not np.isin(silent, with_rows).any()


def test_quantiles_lie_between_order_statistics_of_the_binomial():
    values = np.arange(1.0, 21.0)
    assert median(values) == quantile(values, 0.5)
    quarter = quantile(values, 0.25)
    # Binomial(20, 1/4): below 2 with 2.4 %, 10 and more with 1.4 %, 9 and more with 4.1 %.
    assert (quarter.value, quarter.low, quarter.high) == (5.75, 2.0, 10.0)
    assert quantile(values[:5], 0.5).low is None


def test_a_wide_value_and_what_was_seen_stay_apart():
    estimate = Estimate(1_212_838.0, 311_775.0, 4_744_897.0)
    counts = dict.fromkeys(COUNTED, 2_419)
    judgement = RuleJudgement(counts, 0, *([estimate] * 6), (estimate,) * len(QUANTILES), estimate)
    rule = AlertRule("Wide", "up", 0, 0, 1, reach_of("up"))
    judged = JudgedHosts((Stratum(0, "", 1, 1),), np.zeros(1, np.int64), np.zeros(1, np.int64))
    study = AlertStudy(StudySettings("default", "ue", 1), judged, 1.0, 1, (RuleFound(rule, (), judgement),))
    assert sum("] 2,419 seen" in line for line in study_lines(study)) == 2
