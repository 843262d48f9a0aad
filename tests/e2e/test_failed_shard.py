"""A shard that fails for good: the others are committed, and the message leads to the node."""

import functools
import re

import pytest

from fleet.engines import Job, failure
from fleet.engines.failure import ShardError, find_crash, find_nodes
from fleet.engines.shard import run_shard
from fleet.stored.plan import Shard
from node_sim.errors import ExecutionError
from tests import processes
from tests.fleets import busy_fleet, run_fleet

NODES, SHARD, BAD = 400, 50, 137
BUG = """
import fleet.engines.shard as shard
simulate = shard.simulate_nodes

def broken(seed, node_id, *rest):
    for rows in simulate(seed, node_id, *rest):
        if {bad} in node_id.tolist():
            raise KeyError("page of node {bad}")
        yield rows

shard.simulate_nodes = broken
"""
"""Python runs it wherever it finds it by its name, ``sitecustomize``: in all workers, too."""


CRASH = """
import os
import signal
import fleet.engines.shard as shard
simulate = shard.simulate_nodes

def broken(seed, node_id, *rest):
    for rows in simulate(seed, node_id, *rest):
        if {bad} in node_id.tolist():
            os.kill(os.getpid(), signal.SIGSEGV)
        yield rows

shard.simulate_nodes = broken
"""


@pytest.fixture
def buggy(tmp_path):
    """Environment of a program with a bug on one node."""
    (tmp_path / "bug").mkdir()
    (tmp_path / "bug" / "sitecustomize.py").write_text(BUG.format(bad=BAD))
    return {"PYTHONPATH": f"{tmp_path / 'bug'}:{processes.TOP}"}


@pytest.mark.parametrize("engine", [("--workers", 1), ("--workers", 2), ("--workers", 2, "--engine", "ray")], ids=str)
def test_the_others_are_committed_and_the_node_is_named(tmp_path, buggy, engine):
    root = tmp_path / "run"
    process = processes.start("run", "-o", root, "--nodes", NODES, "--shard-nodes", SHARD, *engine, **buggy)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert output == ""
    lines = errors.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    assert len(lines) <= failure.LINES_SHOWN
    assert "Traceback" not in errors
    assert "in broken" in errors
    assert f"shard {BAD // SHARD}, node {BAD}: KeyError: 'page of node {BAD}'" in lines[-1]
    assert "resume" in lines[-1]
    assert {path.stem for path in root.glob("commit/*.json")} == {
        f"{shard:06d}" for shard in range(NODES // SHARD) if shard != BAD // SHARD
    }
    assert processes.loose_files(root) == []
    (command,) = re.findall(r"hwpoison-fleet (replay [^']*)'", lines[-1])
    again = processes.start(*command.split(), **buggy)
    assert f"KeyError: 'page of node {BAD}'" in again.communicate(timeout=60)[1]
    assert processes.start(*command.split()).wait(timeout=60) == 0  # without the bug


@pytest.mark.parametrize(
    "engine", [("--workers", 2), pytest.param(("--workers", 2, "--engine", "ray"), marks=pytest.mark.long)], ids=str
)
def test_the_node_that_ends_its_worker_is_named(tmp_path, buggy, engine):
    (tmp_path / "bug" / "sitecustomize.py").write_text(CRASH.format(bad=BAD))
    root = tmp_path / "run"
    process = processes.start("run", "-o", root, "--nodes", NODES, "--shard-nodes", SHARD, *engine, **buggy)
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (1, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"error: shard {BAD // SHARD}, node {BAD}: failed 3 times, at last: its ")
    assert f"--node {BAD}'" in line
    assert "resume" in line
    assert processes.commits(root) == NODES // SHARD - 1
    assert processes.loose_files(root) == []
    assert processes.ended(process.pid) == {}


def test_a_shard_that_ends_no_process_alone_is_not_blamed(monkeypatch):
    monkeypatch.setattr(failure, "_crashes", lambda *_: False)
    assert find_crash(Job(busy_fleet(64), 1, "nowhere"), Shard(0, 0, 64)) is None


def failing(monkeypatch, together):
    """Have simulating fail where all of some nodes are."""

    @functools.wraps(run_shard)
    def broken(_fleet, _seed, shard):
        if together <= set(range(shard.first_node, shard.first_node + shard.nodes)):
            raise ZeroDivisionError
        return iter(())

    monkeypatch.setattr(failure, "run_shard", broken)


def found(first=0, **options):
    fleet = busy_fleet(64)
    error = ShardError(Shard(0, 0, 64), first, ("ZeroDivisionError",))
    return find_nodes(Job(fleet, 1, "nowhere"), error, **options)


@pytest.mark.parametrize("bad", range(0, 64, 7))
def test_bisection_finds_any_node(monkeypatch, bad):
    failing(monkeypatch, {bad})
    assert found() == range(bad, bad + 1)


def test_bisection_starts_where_the_shard_was():
    assert found(first=63) == range(63, 64)


def test_nodes_that_fail_only_together_are_named_together(monkeypatch):
    failing(monkeypatch, {20, 30})
    assert found() == range(16, 32)


def test_bisection_ends_in_time(monkeypatch):
    failing(monkeypatch, {20})
    assert found(search_s=0.0) == range(64)


def test_failures_of_several_shards_are_one_message(monkeypatch, tmp_path):
    import fleet.engines.processes as workers

    def broken(fleet, seed, shard):
        if shard.first_node in (50, 100):
            raise ZeroDivisionError
        return run_shard(fleet, seed, shard)

    monkeypatch.setattr(workers, "run_shard", broken)
    with pytest.raises(ExecutionError, match=r"shard 1, nodes 50 to 99: ZeroDivisionError; .*; failed, too: shard 2; "):
        run_fleet(busy_fleet(200), tmp_path / "run", shard_nodes=50)
    assert processes.commits(tmp_path / "run") == 2
