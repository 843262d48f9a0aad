"""No line is wider than the terminal, whatever the number of arms and the length of their names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis import open_run
from analysis.comparison.effects import compare_run
from analysis.comparison.policies import PolicyTable, compare_policies
from analysis.estimators.rates import Estimate
from analysis.text.ce_policies import POLICY_ROWS, policy_lines
from analysis.text.differences import effects_of_run
from analysis.text.layout import columns, cut, format_estimate, format_number, head, lines_of_arms, short_names
from analysis.text.lines import summary_lines
from fleet.printable import WIDTH, fitted
from fleet.scenario.decode import decode
from tests.fleets import busy_document, run_fleet

LONG = "a_policy_with_a_name_that_nobody_can_read_at_a_glance_but_somebody_chose"


def names_of(arms):
    return [f"{LONG}+page_offline.ce_threshold={n}" if n % 3 else f"t{n}" for n in range(arms)]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    document = busy_document(25)
    document["arm"] = {name: {"set": {"page_offline.ce_threshold": n}} for n, name in enumerate(names_of(4))}
    root = tmp_path_factory.mktemp("widths") / "run"
    run_fleet(decode("test", document), root)
    return open_run(root)


def with_arms(run, arms):
    """The run as if it had other arms, which are its own ones again and again."""
    of = np.arange(arms) % len(run.arms)
    wide = ("total", "square", "cross", "paired", "largest", "rows")
    tally = dataclasses.replace(run.tally, **{name: getattr(run.tally, name)[of] for name in wide})
    return dataclasses.replace(run, plan={**run.plan, "arms": names_of(arms)}, tally=tally)


@pytest.fixture(scope="module", params=[1, 4, 24, 256], ids=lambda arms: f"{arms}-arms")
def run(request, four):
    return with_arms(four, request.param)


@pytest.fixture(scope="module")
def effects(run):
    return compare_run(run)


@pytest.fixture(scope="module")
def policies(run, four):
    """Of each arm the worth of the one that it is."""
    found = compare_policies(four)
    real = list(found.arms.values())
    return PolicyTable(found.baseline, {arm: real[n % len(real)] for n, arm in enumerate(run.arms[1:])})


@pytest.mark.parametrize("width", [72, 80, WIDTH, 137])
def test_no_line_is_wider_than_the_terminal(run, effects, policies, width, monkeypatch):
    monkeypatch.setattr("analysis.text.lines.compare_run", lambda _run: effects)
    lines = summary_lines(run, width)
    if effects:
        lines += [*effects_of_run(run, effects, run.arms[0], width), *policy_lines(policies, run.arms[0], width)]
    assert len(lines) > len(run.arms)
    assert [line for line in lines if len(line.encode()) > width] == []


def test_every_arm_is_named_in_full(run, effects):
    lines = effects_of_run(run, effects, run.arms[0]) if effects else summary_lines(run)
    text = "".join(line.strip() for line in lines)
    assert all(arm in text for arm in run.arms)


def test_many_arms_have_one_line_each_the_baseline_first_then_by_difference(four):
    run = with_arms(four, 24)
    effects = compare_run(run)
    lines = effects_of_run(run, effects, run.arms[0])
    start = next(at for at, line in enumerate(lines) if line.startswith("arm "))
    rows = lines[start + 1 : start + 1 + len(run.arms)]
    assert rows[0].startswith("t0 ")
    assert rows[0].endswith("baseline")
    differences = sorted(effects[arm]["losses"].difference.value for arm in run.arms[1:])
    shown = [row.split("  ")[-1].strip() for row in rows[1:]]
    expected = [format_number(one) for one in differences]
    assert [one.split(" [")[0].removeprefix("+") for one in shown] == expected
    assert all("[" in one for one in shown)


def test_a_cut_name_stands_for_one_arm():
    names = [f"ce_threshold={n}+memory_failure_early_kill={m}+ue=1" for n in range(20) for m in (0, 1)]
    for width in (18, 20, 24, 30):
        short = short_names(names, width)
        assert len(set(short.values())) == len(names)
        assert all(len(text) <= width for text in short.values())
    assert short_names(["a", "b"], 18) == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("name", "width", "text"),
    [("abcdef", 6, "abcdef"), ("abcdefgh", 6, "ab..gh"), ("abcdefghi", 7, "abc..hi"), ("abcdefgh", 2, "..")],
)
def test_the_middle_of_a_long_name_is_left_out(name, width, text):
    assert cut(name, width) == text


def test_a_name_above_its_column_goes_on_behind_punctuation():
    assert head("page_offline_2_per_24h", 18) == ["page_offline_2_", "per_24h"]
    assert head("ce_threshold=2+ue=1", 18) == ["ce_threshold=2+", "ue=1"]
    assert head("x" * 40, 18) == ["x" * 18, "x" * 18, "x" * 4]
    assert head("x" * 60, 18) == [f"{'x' * 8}..{'x' * 8}"]


def test_columns_that_do_not_fit_go_into_as_few_blocks_of_about_as_many():
    names = [f"arm{n}" for n in range(5)]
    rows = [("kills", [f"{n} [interval-of-20-x]" for n in range(5)])]
    lines = columns("title", names, rows, 60)
    heads = [line.split()[1:] for line in lines if line.startswith("title")]
    assert heads == [["arm0"], ["arm1", "arm2"], ["arm3", "arm4"]]
    assert [len(columns("title", names, rows, width)) for width in (200, 100)] == [2, 5]


def test_figures_without_room_are_named():
    rows = [("a", ["1", "22222", "3 [2, 4]"]), ("b", ["1", "2", "-"])]
    lines = lines_of_arms(("arm", "kills", "panics", "difference"), rows, 38)
    assert lines[-1] == "no room for: panics"
    assert [line.split()[-1] for line in lines[1:3]] == ["4]", "-"]
    assert lines_of_arms(("arm", "kills", "panics", "difference"), rows, 60)[0].split() == [
        "arm",
        "kills",
        "panics",
        "difference",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12345.6, "12,346"),
        (999.6, "1,000"),
        (99.96, "100"),
        (99.94, "99.9"),
        (-30.26, "-30.3"),
        (9.996, "10.0"),
        (1.234, "1.23"),
        (0.305, "0.30"),
        (-0.417, "-0.42"),
        (0.0617, "0.062"),
        (0.00512, "0.0051"),
        (0.000234, "2.3e-04"),
    ],
)
def test_a_number_has_the_digits_it_is_good_for(value, text):
    assert format_number(value) == text


def test_a_ratio_is_written_in_percent():
    assert format_estimate(Estimate(0.9594, 0.871, 0.996), scale=100.0) == "95.9 [87.1, 99.6]"


def test_a_long_line_goes_on_below_its_second_column():
    line = "  name              " + "word " * 30
    parts = fitted(line.rstrip(), 60)
    assert all(len(part) <= 60 for part in parts)
    assert all(part.startswith(" " * 20 + "word") for part in parts[1:])
    assert [part.startswith("    w") for part in fitted("  " + "word " * 30, 60)[1:]] == [True] * 2
    assert " ".join(" ".join(parts).split()) == " ".join(line.split())


def test_few_policies_stand_side_by_side_many_have_a_line_each(four):
    found = compare_policies(four)
    lines = policy_lines(found, four.arms[0])
    assert all(any(line.startswith(title) for line in lines) for title in POLICY_ROWS.values())
    many = PolicyTable(
        found.baseline, {f"arm{n}": figures for n in range(4) for figures in list(found.arms.values())[:1]}
    )
    assert [line.split()[0] for line in policy_lines(many, "t0")[-4:]] == ["arm0", "arm1", "arm2", "arm3"]
