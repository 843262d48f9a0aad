"""Comparing, gates, ranks, what effects hang on, checks and replays in brief, as a person types them."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from analysis import open_run
from analysis.comparison.effects import compare_run
from analysis.comparison.sensitivity import sensitivity_json, tornado_table
from analysis.text.tornado import tornado_lines
from fleet.commands import sensitivity
from fleet.stored.store import open_store
from tests.e2e.test_cli import asked, refused

SMALL = ("--nodes", "90", "--workers", "1", "--progress", "none", "--set", "group.secded.faults.fit_factor=30.0")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run, the same with other arms, and one of another seed."""
    root = tmp_path_factory.mktemp("decisions")
    for name, more in (("a", ()), ("b", ("--arm", "default", "--arm", "no_recovery")), ("c", ("--seed", "2"))):
        assert asked("run", "-o", root / name, *SMALL, *more).returncode == 0
    return root


def test_a_gate_is_judged_after_everything_was_printed_and_decides_the_exit_code(folders, tmp_path):
    gates = ("--fail-if", "kills > 1e9", "--fail-if", 'upper:ue{arm="default",group="secded"} > 0')
    done = asked("summary", folders / "a", *gates)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert sum(line.startswith("gate passed: kills > 1e9") for line in lines) == 4
    assert re.fullmatch(
        r"gate FAILED: upper:ue\{.*\} > 0: [\d.]+ per 1,000 node-years in default, group secded", lines[-1]
    )
    plain = asked("summary", folders / "a").stdout
    assert done.stdout.startswith(plain)
    document = json.loads(asked("summary", folders / "a", "--json", *gates).stdout)
    assert [gate["passed"] for gate in document["gates"]] == [True] * 4 + [False]
    assert set(document["gates"][0]) >= {"expression", "value", "limit", "passed", "unit"}
    assert asked("summary", folders / "a", "--fail-if", "kills > 1e9").returncode == 0
    run = asked("run", "-o", tmp_path / "run", *SMALL, "--json", "--fail-if", "ue > 0")
    assert run.returncode == 3
    assert json.loads(run.stdout)["run"]["complete"]
    again = asked("run", "-o", tmp_path / "run", *SMALL, "--resume-if-planned", "--fail-if", "ue > 0")
    assert again.returncode == 3


def test_a_gate_about_what_is_not_there_is_refused_before_anything_runs(folders, tmp_path):
    words = ("--fail-if", "kils > 1", "--fail-if", 'ue{arm="defalt",group="secdet"} > 1')
    told = refused(asked("run", "-o", tmp_path / "run", *SMALL, *words))
    assert [told.count(f"did you mean {name}?") for name in ("kills", "default", "secded")] == [1, 1, 1]
    assert not (tmp_path / "run").exists()
    assert "did you mean" in refused(asked("compare", folders / "a", *words))
    assert "did you mean" in refused(asked("summary", folders / "a", *words))


def test_two_runs_are_compared_and_the_first_line_says_how(folders):
    same = asked("compare", folders / "a", folders / "b")
    assert same.returncode == 0
    assert same.stdout.startswith("paired node by node")
    assert "no node differs in anything" in " ".join(same.stdout.split())
    other = asked("compare", folders / "a", folders / "c", "--metric", "ue", "--fail-if", "lower:ue > 0")
    assert other.stdout.startswith("warning: not paired")
    assert "seed 1 and 2" in " ".join(other.stdout.split())
    document = json.loads(asked("compare", folders / "a", folders / "b", "--json").stdout)
    assert document["paired"]
    assert set(document["effects"]) == {"default", "no_recovery"}
    assert all(one["nodes_differing"] == 0 for arm in document["effects"].values() for one in arm.values())
    against = json.loads(asked("compare", folders / "a", folders / "b", "--baseline", "no_recovery", "--json").stdout)
    assert against["against"] == {"default": "no_recovery", "no_recovery": "no_recovery"}
    assert against["effects"]["default"]["panics"]["nodes_differing"] > 0


def test_effects_by_group_or_cause_as_text_and_csv(folders):
    for by, levels in (("group", {"sddc", "altitude", "secded"}), ("process", {"panic"})):
        rows = list(csv.DictReader(io.StringIO(asked("compare", folders / "a", "--by", by, "--csv").stdout)))
        assert levels <= {row["level"] for row in rows}
        assert {row["by"] for row in rows} == {by}
        text = asked("compare", folders / "a", "--by", by).stdout
        assert all(level in text for level in levels)
    assert "did you mean group" in refused(asked("compare", folders / "a", "--by", "groups"))
    assert "did you mean kills" in refused(asked("compare", folders / "a", "--metric", "kils"))


def test_arms_are_ranked_by_metrics_and_cost(folders):
    text = asked("compare", folders / "a", "--pareto", "losses,memory_lost").stdout
    assert re.search(r"^no_recovery .*\d \[\d, \d\]", text, re.MULTILINE)
    document = json.loads(asked("compare", folders / "a", "--cost", "loss=1,replacement=9", "--json").stdout)
    assert document["ranks"]["cost"]["arms"]["no_recovery"]["rank"] == 4
    assert "arm" in asked("compare", folders / "a", "--cost", "kill=1", "--csv").stdout.splitlines()[0]
    assert "did you mean" in refused(asked("compare", folders / "a", "--cost", "kil=1"))
    for words in (("--pareto", "kills,ue", "--by", "group"), ("--nodes", "5"), ("--csv", "--json")):
        refused(asked("compare", folders / "a", *words))


def test_what_effects_hang_on_is_that_of_runs_at_both_ends(folders, tmp_path, monkeypatch, capsys):
    kept = ("detection.hot_share", "workload.shared.mapped_file", "repair.cordon.ue")
    import fleet.run

    opened = fleet.run.open_plan(folders / "a")
    assumptions = [item for item in opened[1]["headline_assumptions"] if item["setting"] in kept]
    monkeypatch.setattr(
        fleet.run, "open_plan", lambda _: (opened[0], opened[1] | {"headline_assumptions": assumptions})
    )
    found = sensitivity.vary_assumptions(open_store(folders / "a"), None, None)
    monkeypatch.undo()
    assert "5 runs of 90 nodes, about" in capsys.readouterr().err
    assert set(found.left_out) == {"workload.shared.mapped_file"}
    assert [one.setting for one in found.ends] == ["detection.hot_share", "repair.cordon.ue"]
    asked("run", "-o", tmp_path / "low", *SMALL, "--set", f"repair.cordon.ue={found.ends[1].values[0]}")
    for arm, effects in compare_run(open_run(tmp_path / "low")).items():
        for key, effect in effects.items():
            assert found.ends[1].low[arm][key].difference == effect.difference
    assert found.base == compare_run(open_run(folders / "a"))
    rows = tornado_table(found, ["losses", "ue"]).to_pylist()
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        assert row["swing"] == abs(row["at_high"] - row["at_low"])
    by_rank = [row["swing"] for row in rows if (row["arm"], row["metric"]) == ("no_recovery", "losses")]
    assert by_rank == sorted(by_rank, reverse=True)
    assert by_rank[0] > 0.0
    document = sensitivity_json(found, ["losses"])
    assert [one["swing"] for one in document["sensitivity"]["no_recovery"]["losses"]["assumptions"]] == by_rank
    assert any("mapped_file" in line for line in tornado_lines(found, ["losses"]))


def test_effects_of_one_arm_hang_on_nothing(folders, tmp_path):
    asked("run", "-o", tmp_path / "one", *SMALL, "--arm", "default")
    assert "one arm" in refused(asked("compare", tmp_path / "one", "--sensitivity"))
    assert "at most 90" in refused(asked("compare", folders / "a", "--sensitivity", "--nodes", "91"))
    assert "expected one of" in refused(asked("compare", folders / "a", "--sensitivity", "--baseline", "x"))
    figure = ("--figure", tmp_path / "t.gif")
    assert "expected one of .svg" in refused(asked("compare", folders / "a", "--sensitivity", *figure))
    assert "--figure: given without --sensitivity" in refused(asked("compare", folders / "a", *figure))


def test_a_healthy_run_passes_its_checks(folders):
    done = asked("check", folders / "a")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ by chance, each at 0.001 / \d+ = .*all passed$", done.stdout)
    assert len(asked("check", folders / "a", "--all").stdout.splitlines()) > len(done.stdout.splitlines())
    document = json.loads(asked("check", folders / "a", "--json").stdout)
    assert document["passed"]
    assert {"quantity", "expected", "observed", "z", "passed"} <= set(document["checks"][0])


def test_a_replay_in_brief_is_asked_for_where_nobody_sits_at_a_terminal(folders):
    run = open_run(folders / "a")
    nodes = run.table("errors").column("node_id").to_pylist()
    node = max(set(nodes), key=nodes.count)
    every, brief = (asked("replay", folders / "a", "--node", node, *more).stdout for more in ((), ("--brief",)))
    assert len(brief.splitlines()) < len(every.splitlines())
    assert asked("replay", folders / "a", "--node", node, "--every-row").stdout == every
    assert re.search(r"rows in \d+ lines \(all with --every-row\), equal to those of the run$", brief.strip())
