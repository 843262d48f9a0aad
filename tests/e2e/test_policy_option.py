"""Policies of one's own from the command line: found, run on every engine, told apart when they fail or change."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from fleet.stored.manifest import commit_path
from node_sim.units import NS_PER_HOUR
from tests.fleets import OWN_POLICIES

SMALL = ("--nodes", "3000", "--arm", "default", "--shard-nodes", "750")
BAD = """
from node_sim.orders import OfflinePage


def raises(node):
    if node.node_id >= 750:
        raise KeyError("no such\\nthing")


def past(node):
    return [OfflinePage(5, node.now_ns - 1)]


def nowhere(node):
    return [OfflinePage(1 << 60)]


def endless(node):
    while True:
        pass


def seven(node):
    return 7


def word(node):
    return ["offline"]
"""


def call(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, as in a folder."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, list(map(str, arguments)))
    assert isinstance(done.exception, SystemExit | None), done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """A failure: the exit code, one line, no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OWN_POLICIES)
    (tmp_path / "bad.py").write_text(BAD)
    return tmp_path


def first_cordons(run, arm):
    """When each node is cordoned for the first time in an arm, and why."""
    rows = run.table("lifecycle", arm, columns=["node_id", "time_ns", "kind", "reason"]).to_pylist()
    cordons = sorted((row["node_id"], row["time_ns"], row["reason"]) for row in rows if row["kind"] == "cordon")
    return {node: (time_ns, reason) for node, time_ns, reason in reversed(cordons)}


def test_the_example_of_the_risky_pattern_does_what_the_built_in_rule_does_at_the_end_of_the_hour(folder):
    examples = "--policy", "analysis.own_policies:risky", "--policy", "analysis.own_policies:logistic"
    small = "--nodes", "1000", "--years", "0.75", "--workers", "1", "--set", "repair.cordon.ue=0"
    done = call(folder, "run", "huawei-2024", "-o", "own", *small, *examples)
    assert done.returncode == 0, done.stderr
    done = call(folder, "run", "huawei-2024", "-o", "rule", *small, "--sweep", "repair.replace_risky=true")
    assert done.returncode == 0, done.stderr
    own, rule = open_run(folder / "own"), open_run(folder / "rule")
    ours, theirs = first_cordons(own, "risky"), first_cordons(rule, rule.arms[0])
    panics = own.table("lifecycle", "default", columns=["node_id", "kind"]).to_pylist()
    calm = theirs.keys() - {row["node_id"] for row in panics if row["kind"] == "panic"}
    assert len(calm) >= 30
    hours = {node: -(-theirs[node][0] // NS_PER_HOUR) * NS_PER_HOUR for node in calm}
    late = {node for node in calm if hours[node] >= own.plan["horizon_ns"]}
    assert {node: ours[node][0] for node in calm - late} == {node: hours[node] for node in calm - late}
    assert {reason for _, reason in ours.values()} == {"own policy"}
    assert len(first_cordons(own, "logistic")) >= 10


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", "raised KeyError: 'no such\\nthing' (line 7)"),
        ("past", "expected that time or a later one"),
        ("nowhere", "pfn is 1152921504606846976, expected 0 to "),
        ("endless", "took more than own_policy.seconds_per_node = 0.2 s of processor time"),
        ("seven", "returned int, expected a list of orders"),
        ("word", "it returned 'offline': expected orders: OfflinePage, "),
    ],
)
def test_a_policy_that_fails_ends_the_run_in_one_line_that_says_how_to_see_it_again(folder, function, said):
    setting = "--set", "own_policy.seconds_per_node=0.2"
    line = refused(call(folder, "run", "-o", "run", *SMALL, "--policy", f"bad:{function}", *setting), 1)
    assert line.startswith(f"error: own_policy.function = bad:{function}: node ")
    assert said in line
    again = line.split("'")[-2].split()
    assert again[:3] == ["hwpoison-fleet", "replay", "run"]
    assert said in refused(call(folder, *again[1:]), 1)


def test_the_messages_lead_out_of_a_failed_policy(folder):
    line = refused(call(folder, "run", "-o", "run", *SMALL, "--policy", "bad:seven"), 1)
    assert line.endswith(
        "; mend the policy and run anew in another folder (-o), as a run has one version of its policies"
    )
    (folder / "bad.py").write_text(BAD.replace("return 7", "return []"))
    assert "choose another with -o" in refused(call(folder, "run", "-o", "run", *SMALL, "--policy", "bad:seven"), 2)
    for words in (("resume", "run"), ("replay", "run", "--node", "1")):
        assert "run anew in another folder (-o), or put the file back" in refused(call(folder, *words), 4)
    assert call(folder, "run", "-o", "other", *SMALL, "--policy", "bad:seven").returncode == 0


def test_the_other_shards_are_kept_when_a_policy_fails(folder):
    refused(call(folder, "run", "-o", "run", *SMALL, "--policy", "bad:raises", "--workers", "2"), 1)
    assert (folder / "run" / commit_path(0)).exists()
    assert not (folder / "run" / "run.json").exists()
    refused(call(folder, "summary", "run"), 4)


def test_a_run_is_resumed_with_the_policy_of_its_plan_only(folder):
    assert call(folder, "run", "-o", "run", *SMALL, "--policy", "mine:tenth").returncode == 0
    digests = json.loads((folder / "run" / "run.json").read_text())["digests"]
    (folder / "run" / "run.json").unlink()
    (folder / "run" / commit_path(2)).unlink()
    (folder / "mine.py").write_text(OWN_POLICIES.replace(">= 10", ">= 11"))
    for command in (("resume", "run"), ("replay", "run", "--node", "5")):
        assert "own_policy.function = mine:tenth: not the file of the plan" in refused(call(folder, *command), 4)
    (folder / "mine.py").write_text(OWN_POLICIES)
    assert call(folder, "resume", "run").returncode == 0
    assert json.loads((folder / "run" / "run.json").read_text())["digests"] == digests


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("nowhere:f", "no module nowhere in "),
        ("mine:nothing", "mine.py has no function nothing, expected one of tenth, pages"),
        ("mine", "expected 'module:function'"),
        ("broken:f", "broken.py cannot be imported: SyntaxError: "),
    ],
)
def test_a_policy_that_cannot_be_found_is_refused_before_anything_is_simulated(folder, policy, said):
    (folder / "broken.py").write_text("def f(node)\n")
    line = refused(call(folder, "run", "-o", "run", *SMALL, "--policy", policy), 2)
    assert said in line
    assert not (folder / "run").exists()
