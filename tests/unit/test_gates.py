"""Gates: what an expression means, what is refused before anything is counted, and what their verdicts are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import open_run
from analysis.comparison.compared import compare_arms
from analysis.comparison.gates import (
    Vocabulary,
    evaluate,
    judge,
    parse_gates,
    vocabulary_of_effects,
    vocabulary_of_rates,
)
from analysis.estimators.rates import Estimate
from analysis.text.document import summary_document
from fleet.scenario.decode import decode
from node_sim.errors import ConfigError
from tests.fleets import busy_document, busy_fleet, run_fleet

KNOWN = Vocabulary(
    {"kills": "per 1,000 node-years", "ce": "per 1,000 node-years"}, frozenset({"ce"}), ("a", "b"), ("g",)
)
ONE = Estimate(5.0, 4.0, 7.0)


def verdicts(*expressions, estimate=ONE):
    return judge(parse_gates(expressions, KNOWN), KNOWN, lambda *_: estimate)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("gates") / "run"
    run_fleet(busy_fleet(nodes=80), root)
    return open_run(root)


@pytest.mark.parametrize(
    ("expression", "passed"),
    [
        ("kills > 5", True),
        ("kills >= 5", False),
        ("kills < 5", True),
        ("kills <= 5", False),
        ("kills == 5", False),
        ("kills != 5", True),
        ("lower:kills > 4.5", True),
        ("upper:kills > 4.5", False),
        ("upper:kills>7e0", True),
        ("lower : kills { arm = 'a' , group = \"g\" } < +4.1", False),
        ("kills > -1", False),
    ],
)
def test_a_gate_fails_where_its_condition_holds_of_the_value_or_of_an_end(expression, passed):
    assert {verdict.passed for verdict in verdicts(expression)} == {passed}


def test_a_gate_is_judged_in_every_arm_unless_it_names_one():
    assert [verdict.arm for verdict in verdicts("kills > 1", 'kills{arm="b"} > 1')] == ["a", "b", "b"]


def test_what_is_undefined_does_not_pass_whatever_is_asked():
    for expression in ("kills > 5", "kills < 5", "kills != 5"):
        found = verdicts(expression, estimate=Estimate(None, None, None))[0]
        assert not found.passed
        assert found.to_json()["value"] is None
        assert "undefined" in found.line()


def test_all_mistakes_of_all_gates_are_named_at_once():
    wrong = [
        "kils > 1",
        'kills{arm="c", group="h"} > 1',
        "kills => 1",
        "kills > 0,5",
        "kills > inf",
        "above:kills > 1",
        "upper:ce > 1",
        'kills{node="1"} > 1',
        "kills{arm=a} > 1",
        "kills{arm='a',arm='b'} > 1",
        "kills",
        "",
    ]
    with pytest.raises(ConfigError) as error:
        parse_gates(wrong, KNOWN)
    lines = str(error.value).split("\n")
    assert {expression for expression in wrong for line in lines if repr(expression) in line} == set(wrong)
    assert "did you mean kills?" in lines[0]
    assert [line.split(": ", 1)[1].split(",", maxsplit=1)[0] for line in lines[1:3]] == ["arm c", "group h"]
    assert all("expected" in line for line in lines)


def test_gates_of_a_run_judge_the_figures_of_its_summary(run):
    document = summary_document(run)
    for arm in run.arms:
        figures = document["arms"][arm]
        for metric, one in figures["rates_per_1000_node_years"].items():
            key = metric.removesuffix("_rate")
            value = evaluate(run, [f'{key}{{arm="{arm}"}} > 0'])[0]
            assert (value.value, value.unit) == (one["value"], "per 1,000 node-years")
            if one["ci95"]:
                ends = [evaluate(run, [f'{end}:{key}{{arm="{arm}"}} > 0'])[0].value for end in ("lower", "upper")]
                assert ends == one["ci95"]
        for key in ("recovery_ratio", "survival_ratio"):
            found = evaluate(run, [f'{key}{{arm="{arm}"}} > 0'])[0]
            share = figures[key]
            assert found.unit == "%"
            assert found.value == (share if share is None else pytest.approx(100 * share))
        per_year = figures["memory_lost_byte_years"] / figures["node_years"]
        assert evaluate(run, [f'memory_lost_byte_years{{arm="{arm}"}} > 0'])[0].value == per_year


def test_groups_of_a_gate_add_up_to_the_fleet(run):
    names = [group.name for group in run.groups]
    ue = {name: evaluate(run, [f'ue{{arm="default",group="{name}"}} > 0'])[0].value for name in names}
    up = {name: evaluate(run, [f'node_years{{arm="default",group="{name}"}} > 0'])[0].value for name in names}
    whole = [evaluate(run, [f'{key}{{arm="default"}} > 0'])[0].value for key in ("ue", "node_years")]
    assert sum(up.values()) == pytest.approx(whole[1])
    assert sum(ue[name] * up[name] for name in names) == pytest.approx(whole[0] * whole[1])
    assert len(set(ue.values())) > 1


def test_gates_on_a_comparison_judge_differences_and_ratios(run):
    comparison = compare_arms(run)
    known = vocabulary_of_effects(comparison.pairs, comparison.groups)
    for arm in comparison.pairs:
        effect = comparison.effects(arm, "secded")["losses"]
        for metric, one in (("losses", effect.difference), ("losses_ratio", effect.ratio)):
            gates = parse_gates([f'upper:{metric}{{arm="{arm}",group="secded"}} > 0'], known)
            assert judge(gates, known, comparison.figure)[0].value == one.high


def test_every_name_of_the_vocabularies_can_be_judged(run):
    comparison = compare_arms(run)
    groups = [group.name for group in run.groups]
    rates, effects = vocabulary_of_rates(run.arms, groups), vocabulary_of_effects(comparison.pairs, groups)
    assert all(verdict.unit is not None for verdict in evaluate(run, [f"{name} > 1" for name in rates.units]))
    assert judge(parse_gates([f"{name} > 1" for name in effects.units], effects), effects, comparison.figure)


def test_an_end_is_refused_only_of_what_never_has_one(run, tmp_path):
    comparison = compare_arms(run)
    known = vocabulary_of_effects(comparison.pairs, ())
    found = [comparison.effects(arm) for arm in comparison.pairs]
    for name in known.without_interval:
        key = name.removesuffix("_ratio")
        assert all((one[key].ratio if name != key else one[key].difference).low is None for one in found)
    document = busy_document(nodes=1)
    document["group"] = {"secded": document["group"]["secded"] | {"share": 1.0}}
    run_fleet(decode("one", document), tmp_path / "one")
    assert not evaluate(open_run(tmp_path / "one"), ["upper:kills > 1e9"])[0].passed


@pytest.mark.parametrize("limit", ["\u0661", "1e400", "1_0", "nan", "inf", ""])
def test_a_limit_is_a_number_as_everybody_writes_it(limit):
    with pytest.raises(ConfigError, match="expected"):
        parse_gates([f"kills > {limit}"], KNOWN)


@pytest.mark.parametrize("command", [["summary"], ["summary", "--json"], ["compare"], ["compare", "--csv"]])
@pytest.mark.parametrize(("gate", "code"), [("kills > -1e9", 3), ("kills < -1e9", 1)])
def test_a_gate_that_failed_is_told_by_the_exit_code_though_nobody_reads(run, command, gate, code):
    name, *options = command
    program = (sys.executable, "-c", "from fleet.cli import main; main()", name, str(run.path), *options)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as broken:
        done = subprocess.run((*program, "--fail-if", gate), check=False, stdout=broken, stderr=subprocess.PIPE)
    assert done.returncode == code


def test_what_finds_no_room_is_no_verdict(run):
    program = (sys.executable, "-c", "from fleet.cli import main; main()", "summary", str(run.path))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run((*program, "--fail-if", "kills > -1e9"), check=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: stdout: No space left on device")
