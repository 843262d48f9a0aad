"""Estimators at their limits: no events, one node, one arm, 256 arms, no exposure, all nodes panicked."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from analysis import open_run
from analysis.checks.check import checks_json
from analysis.comparison.breakdown import Lost, effects_on_losses
from analysis.comparison.compared import compare_arms, compare_runs
from analysis.comparison.effects import compare_run, effect, effect_on_exposure, to_json
from analysis.comparison.gates import evaluate, vocabulary_of_rates
from analysis.comparison.policies import compare_policies, policies_json
from analysis.comparison.ranks import Largest, PairSums, parse_cost, rank_arms, ranking
from analysis.estimators.rates import Ends, Estimate, rate, recovery_ratio, survival_ratio
from analysis.text.compared import comparison_json, comparison_lines
from analysis.text.differences import effect_lines
from analysis.text.document import summary_document
from analysis.text.lines import summary_lines
from analysis.text.ranked import rankings_json
from fleet.scenario.decode import decode
from fleet.stored.headline import BY_KEY, REGISTRY
from tests.fleets import busy_document, run_fleet
from tests.node_sums import nodes, sums_of
from tests.unit.test_check import checked

CASES = {"nothing": (30, 0.0, 1.0), "one node": (1, 20.0, 1.0), "hardly any time": (30, 20.0, 1e-6)}
"""Nodes, factor of the rates, years."""


def document(n, fit_factor, years, arms=("default", "no_recovery")):
    found = busy_document(n, fit_factor)
    found["years"] = years
    found["arm"] = {arm: found["arm"][arm] for arm in arms}
    for group in found["group"].values():
        group["faults"] |= {"command_address_fit": 0.0, "lane_fit": 0.0} if not fit_factor else {}
    if n == 1:
        found["group"] = {"secded": found["group"]["secded"] | {"share": 1.0}}
    return found


@pytest.fixture(scope="module", params=CASES)
def root(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits") / "run"
    run_fleet(decode("limits", document(*CASES[request.param])), folder)
    return folder


def numbers(found):
    """All numbers of a document."""
    if isinstance(found, dict):
        return [number for value in found.values() for number in numbers(value)]
    if isinstance(found, list):
        return [number for value in found for number in numbers(value)]
    return [found] if isinstance(found, float) else []


def plain(found):
    """Check that a document can be printed, and has only numbers that are some."""
    assert all(math.isfinite(number) for number in numbers(found))
    json.dumps(found, allow_nan=False)


def is_sound(one: Estimate, *, share=False):
    """Undefined, or a value within its bounds."""
    for number in (one.value, one.low, one.high):
        assert number is None or math.isfinite(number)
    if one.low is not None and one.high is not None:
        assert one.low <= one.value + 1e-9
        assert one.value <= one.high + 1e-9
    assert not share or one.value is None or 0.0 <= one.value <= 1.0


def test_all_documents_of_a_run_with_next_to_nothing_in_it_hold_numbers_or_say_undefined(root):
    run = open_run(root)
    comparison = compare_arms(run)
    lines = list(comparison.lines(tuple(BY_KEY)))
    plain(summary_document(run))
    plain(to_json(compare_run(run, "no_recovery")))
    plain(comparison_json(lines, None))
    for by in ("group", "page_use", "process", "cause"):
        plain(comparison_json(list(comparison.lines(("kills", "losses"), by)), by))
    plain(policies_json(compare_policies(run, "default")))
    rankings = rank_arms(run, [parse_cost("kill=1,gib_year=2", Largest(Ends(40, 8), 2.0**30, 1.0))])
    plain(rankings_json(rankings, front=True))
    plain(checks_json(checked(root)))
    text = [*summary_lines(run), *comparison_lines(lines, None), *effect_lines(compare_run(run), "default", 1.0)]
    assert not any("nan" in line.split() or "inf" in line.split() for line in text)


def test_two_runs_with_next_to_nothing_in_them_are_compared(root):
    run = open_run(root)
    for apart in ((), ("seed 1 and 2",)):
        comparison = compare_runs(run, run, apart)
        for arm in comparison.pairs:
            for found in comparison.effects(arm).values():
                is_sound(found.difference)
                is_sound(found.ratio)
                assert found.difference.value in {0.0, None}


def test_every_gate_on_a_run_with_next_to_nothing_in_it_has_a_verdict(root):
    run = open_run(root)
    names = vocabulary_of_rates(run.arms, ()).units
    for verdict in evaluate(run, [f"{name} > 1e30" for name in names]):
        assert verdict.passed == (verdict.value is not None)
        plain(verdict.to_json())


def test_without_events_rates_have_a_bound_and_shares_are_undefined():
    sums = sums_of(nodes(50), ends=Ends(40, 8))
    found = rate(sums, "kills")
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high > 0.0
    assert recovery_ratio(sums) == survival_ratio(sums) == Estimate(None, None, None)
    effects = effect(sums, "kills")
    assert effects.difference.value == 0.0
    assert effects.difference.low < 0.0 < effects.difference.high
    assert effects.ratio.value is None


def test_one_node_has_values_without_intervals():
    sums = sums_of(nodes(1, ue=3, ue_survived=1, mf_recovered=2, kills_late_ar=2), nodes(1))
    assert rate(sums, "kills") == Estimate(2000.0, None, None)
    assert survival_ratio(sums) == Estimate(1 / 3, None, None)
    assert effect(sums, "kills").difference == Estimate(2000.0, None, None)
    assert effect(sums, "kills").wanted is None


def test_without_exposure_everything_is_undefined():
    down = nodes(20, panics=1, losses=40)
    down[:, 0] = 0.0
    sums = sums_of(down, down)
    for metric in REGISTRY:
        is_sound(rate(sums, metric.key))
        if metric.key != "node_years":
            assert rate(sums, metric.key).value is None
            assert effect(sums, metric.key).difference.value is None
    assert effect_on_exposure(sums).ratio.value is None


def test_all_nodes_panicked_is_a_rate_with_an_interval_like_any_other():
    all_down = nodes(40, panics=1, losses=36, ue=1)
    all_down[:, 0] = 0.7
    sums = sums_of(all_down, nodes(40), ends=Ends(36, 8))
    for metric in REGISTRY:
        found = effect_on_exposure(sums) if metric.key == "node_years" else effect(sums, metric.key)
        for one in (rate(sums, metric.key), found.difference, found.ratio):
            is_sound(one)
    panics = rate(sums, "panics")
    assert panics.value == pytest.approx(1000 / 0.7)
    assert panics.low < panics.value < panics.high
    assert survival_ratio(sums).value == 0.0
    assert survival_ratio(sums).high < 1.0
    assert effect_on_exposure(sums).difference.high < 0.0


def test_losses_that_nobody_had_have_no_levels():
    none = Lost(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.str_))
    assert effects_on_losses(none, none, sums_of(nodes(5))) == {}


def test_one_arm_is_compared_with_nothing(tmp_path):
    run_fleet(decode("one", document(20, 20.0, 1.0, ("default",))), tmp_path / "run")
    run = open_run(tmp_path / "run")
    comparison = compare_arms(run)
    assert compare_run(run) == comparison.pairs == {}
    assert list(comparison.lines(tuple(BY_KEY))) == []
    assert rank_arms(run, [parse_cost("kill=1", Largest(Ends(40, 8), 2.0**30, 1.0))])[0].ranks == ((1, 1, 1),)
    plain(summary_document(run))


def test_256_arms_have_ranks_and_effects():
    rng = np.random.default_rng(2)
    x = rng.poisson(0.2, (256, 60)).astype(float)
    sums = PairSums(256)
    sums.add(x)
    objective = parse_cost("kill=1", Largest(Ends(40, 8), 2.0**30, 1.0))
    found = ranking(objective, tuple(map(str, range(256))), x.sum(axis=1), sums, 60)
    assert all(1 <= one.low <= one.value <= one.high <= 256 for one in found.ranks)
