"""The losses that the report counts are those of the rows, by cause, process and page: a slow second reading."""

from collections import Counter

import numpy as np
import pytest

from analysis import open_run
from analysis.report.losses import CAUSES, CLASSES, USES, most_changed, read_losses
from fleet.stored.headline import INDEX, KILLS
from tests.fleets import busy_fleet, run_fleet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("losses") / "run"
    run_fleet(busy_fleet(nodes=120), root, shard_nodes=70)
    return open_run(root)


@pytest.fixture(scope="module")
def losses(run):
    return read_losses(run)


def counted(losses, arm, kind, names):
    return {name: int(n) for name, n in zip(names, losses[arm].counted(kind), strict=True) if n}


def second_reading(run, arm):
    """Follow every loss to its cause row by row; return processes by cause, class and page use."""
    handled, pages = {}, {}
    for other in (*run.arms, arm):
        for row in run.table("memory_failures", other).to_pylist():
            pages.setdefault((row["node_id"], row["pfn"]), row["page_use"])
            if other == arm:
                handled[row["node_id"], row["seq"]] = row["page_use"]
    checks = {(row["node_id"], row["seq"]): row["pfn"] for row in run.table("machine_checks", arm).to_pylist()}
    causes, classes, uses = Counter(), Counter(), Counter()

    def use_of(row):
        cause = row["node_id"], row["cause_seq"]
        if cause in handled:
            return handled[cause]
        if cause in checks and checks[cause] is None:
            return "no page: a wrong command or address"
        return pages.get((row["node_id"], checks.get(cause)), USES[-2])

    for row in run.table("signals", arm).to_pylist():
        if row["fate"] == "killed":
            how = "SIGKILL" if row["signal"] == "SIGKILL" else f"SIGBUS, {row['timing']}"
            causes[f"killed: {how}"] += 1
            classes[row["process_class"]] += 1
            uses[use_of(row)] += 1
    for row in run.table("lifecycle", arm).to_pylist():
        if row["kind"] == "panic":
            causes[f"panic: {row['reason']}"] += row["processes_lost"]
            classes["all of the server, by a panic"] += row["processes_lost"]
            uses[use_of(row)] += row["processes_lost"]
    return causes, classes, uses


def test_losses_by_kind_are_those_of_the_rows(run, losses):
    for arm in run.arms:
        causes, classes, uses = second_reading(run, arm)
        assert counted(losses, arm, "cause", CAUSES) == causes
        assert counted(losses, arm, "process class", CLASSES) == classes
        found = counted(losses, arm, "page use", USES)
        # A page that arms looked up while it was used for different things may be told either way.
        assert sum(abs(found.get(name, 0) - uses.get(name, 0)) for name in USES) <= 0.02 * sum(uses.values())
        assert found.keys() == uses.keys()
    assert any("panic: Memory failure on page" in second_reading(run, arm)[0] for arm in run.arms)


def test_all_losses_are_those_of_the_tally(run, losses):
    for position, arm in enumerate(run.arms):
        total = run.tally.total[position].sum(axis=0)
        assert losses[arm].processes.sum() == total[INDEX["losses"]]
        kills = [at for at, name in enumerate(CAUSES) if name.startswith("killed")]
        assert losses[arm].counted("cause")[kills].sum() == sum(total[INDEX[key]] for key in KILLS)


def test_the_nodes_that_changed_most_are_found(run, losses):
    per_node = {}
    for arm in run.arms:
        for node, n in zip(losses[arm].node, losses[arm].processes, strict=True):
            per_node.setdefault(int(node), Counter())[arm] += int(n)
    base = run.arms[0]
    gaps = sorted((max(abs(n[arm] - n[base]) for arm in run.arms) for n in per_node.values()), reverse=True)
    found = most_changed(losses, run.arms, 7)
    assert [abs(one.now - one.was) for one in found] == gaps[:7]
    assert len({one.node for one in found}) == 7
    for one in found:
        assert (one.was, one.now) == (per_node[one.node][base], per_node[one.node][one.arm])
    assert most_changed(losses, run.arms, 0) == []


def test_of_one_arm_the_nodes_that_lost_most_are_found(run, losses):
    arm = run.arms[0]
    found = most_changed(losses, (arm,), 3)
    most = np.sort(np.bincount(losses[arm].node, losses[arm].processes))[::-1]
    assert [abs(one.now - one.was) for one in found] == list(most[:3])
