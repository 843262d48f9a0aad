"""What is out of use is out of use for everybody, nothing happens on a node that is down, and logs move policies.

The laws are read off the rows of a run; they need nothing of the model.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections import defaultdict
from typing import NamedTuple

import pytest

from analysis import open_run
from fleet.scenario.decode import decode
from node_sim.codes import LifecycleReason
from node_sim.columns import TABLES
from tests.fleets import counting_document, run_fleet

ARMS = {
    "two": {"page_offline.ce_threshold": 2},
    "ten": {"page_offline.ce_threshold": 10},
    "three, early kill": {"page_offline.ce_threshold": 3, "kernel.memory_failure_early_kill": 1},
    "two, recovery off": {"page_offline.ce_threshold": 2, "kernel.memory_failure_recovery": 0},
    "two, replace": {"page_offline.ce_threshold": 2, "repair.replace_ce": 12},
    "two, reports": {"page_offline.ce_threshold": 2, "repair.replace_ecs": True},
    "long drain": {"page_offline.ce_threshold": 5, "repair.cordon.drain_hours": 200.0},
}
DOWN = ("panic", "dimm_replacement", "post_package_repair")


NEEDED = ("node_id", "seq", "cause_seq", "time_ns", "last_time_ns", "first_pfn", "n_pages", "pfn", "kind", "observer")
NEEDED += ("result", "lost_bytes", "cpu_context", "action", "reason", "end_ns", "processes_lost")


class Rows(NamedTuple):
    """Rows of a run by arm and table."""

    horizon_ns: int
    tables: dict


@pytest.fixture(scope="module", params=[150, pytest.param(500, marks=pytest.mark.long)], ids="{} nodes".format)
def run(request, tmp_path_factory):
    document = counting_document(request.param, fit_factor=30.0)
    names = {name.replace(", ", "_").replace(" ", "_"): settings for name, settings in ARMS.items()}
    document["arm"] = {name: {"set": settings} for name, settings in names.items()}
    document["arm"]["two_reports"]["groups"] = ["ddr5"]
    root = tmp_path_factory.mktemp("out") / "run"
    run_fleet(decode("test", document), root, seed=11, shard_nodes=500)
    stored = open_run(root)
    found = {}
    for arm in stored.arms:
        for table, columns in TABLES.items():
            names = [column.name for column in columns if column.name in NEEDED]
            found[arm, table] = stored.table(table, arm, columns=names).to_pylist()
    return Rows(stored.horizon_ns, found)


def rows(run, arm, table):
    return run.tables[arm, table]


def boots_of(run, arm):
    """Times at which each node goes down, ascending."""
    found = defaultdict(list)
    for row in rows(run, arm, "lifecycle"):
        if row["kind"] in DOWN:
            found[row["node_id"]].append(row["time_ns"])
    return {node: sorted(times) for node, times in found.items()}


def spells(run, arm, table, is_out):
    """Times for which pages are out of use, by node and page: until the node next goes down."""
    boots, found = boots_of(run, arm), defaultdict(list)
    for row in rows(run, arm, table):
        if is_out(row):
            times = boots.get(row["node_id"], [])
            at = bisect_right(times, row["time_ns"])
            end = times[at] if at < len(times) else run.horizon_ns
            found[row["node_id"], row["pfn"]].append((row["time_ns"], end))
    return found


def inside(found, row, pfn):
    return any(begin < row["time_ns"] < end for begin, end in found.get((row["node_id"], pfn), ()))


NAMES = [name.replace(", ", "_").replace(" ", "_") for name in ARMS]


@pytest.mark.parametrize("arm", NAMES)
def test_nothing_is_handled_or_lost_on_a_page_that_counting_took_out(run, arm):
    out = spells(run, arm, "page_offlines", lambda row: row["result"] == "offlined")
    assert len(out) > 300
    pages = {}
    for row in rows(run, arm, "memory_failures"):
        pages[row["node_id"], row["seq"]] = row["pfn"]
        assert not inside(out, row, row["pfn"])
    for row in rows(run, arm, "signals"):
        assert not inside(out, row, pages[row["node_id"], row["cause_seq"]])
    for row in rows(run, arm, "io_errors"):
        assert not inside(out, row, row["pfn"])
    for row in rows(run, arm, "machine_checks"):
        if inside(out, row, row["pfn"]):
            assert row["cpu_context"] == "none"
            assert row["action"] != "memory_failure queued"


@pytest.mark.parametrize("arm", NAMES)
def test_only_the_scrubber_sees_errors_on_a_page_out_of_use(run, arm):
    by_count = spells(run, arm, "page_offlines", lambda row: row["result"] == "offlined")
    by_handler = spells(run, arm, "memory_failures", lambda row: row["lost_bytes"] > 0)
    seen = {"scrub": 0, "other": 0}
    for row in rows(run, arm, "errors"):
        # A row of corrected errors names the page of the first; where it has one page, all are on it.
        pfn, last = row["first_pfn"], row["last_time_ns"]
        for found in (by_count, by_handler):
            whole = row if row["n_pages"] > 1 else row | {"time_ns": last}
            out = inside(found, row, pfn) or inside(found, whole, pfn)
            if out and row["observer"] != "scrub":
                seen["other"] += 1
            seen["scrub"] += out and row["observer"] == "scrub"
    assert seen["other"] == 0
    assert seen["scrub"] > 10


@pytest.mark.parametrize("arm", NAMES)
def test_no_page_is_taken_out_twice_in_a_boot(run, arm):
    taken = spells(run, arm, "page_offlines", lambda row: row["result"] == "offlined")
    for intervals in taken.values():
        intervals.sort()
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(intervals))


@pytest.mark.parametrize("arm", NAMES)
def test_nothing_happens_on_a_node_that_is_down(run, arm):
    down = defaultdict(list)
    for row in rows(run, arm, "lifecycle"):
        if row["kind"] in DOWN:
            down[row["node_id"]].append((row["time_ns"], row["end_ns"]))
    assert sum(map(len, down.values())) > 50
    for table in ("errors", "machine_checks", "memory_failures", "signals", "io_errors", "page_offlines"):
        for row in rows(run, arm, table):
            times = {row["time_ns"], row.get("last_time_ns", row["time_ns"])}
            for begin, end in down.get(row["node_id"], ()):
                assert not any(begin < time < end for time in times), (table, row)


@pytest.mark.parametrize("arm", NAMES)
def test_every_cordon_has_a_row_of_a_log_as_its_cause(run, arm):
    log = {}
    for table in ("machine_checks", "errors", "ecs_reports"):
        for row in rows(run, arm, table):
            log[row["node_id"], row["seq"]] = (table, row)
    tables = {
        LifecycleReason.UE_LIMIT.text: "machine_checks",
        LifecycleReason.CE_LIMIT.text: "errors",
        LifecycleReason.ECS_LIMIT.text: "ecs_reports",
    }
    cordons = [row for row in rows(run, arm, "lifecycle") if row["kind"] == "cordon"]
    assert len(cordons) > 20
    for row in cordons:
        table, cause = log[row["node_id"], row["cause_seq"]]
        assert table == tables[row["reason"]]
        assert table != "errors" or cause["kind"] == "CE"


def test_a_drain_exposes_the_work_that_still_runs(run):
    drains = defaultdict(list)
    for row in rows(run, "long_drain", "lifecycle"):
        if row["kind"] == "cordon":
            drains[row["node_id"]].append((row["time_ns"], row["end_ns"]))
    late = [
        row
        for row in rows(run, "long_drain", "machine_checks")
        for begin, end in drains.get(row["node_id"], ())
        if begin < row["time_ns"] < end
    ]
    assert len(late) > 100
    lost = [
        row["processes_lost"]
        for row in rows(run, "long_drain", "lifecycle")
        for begin, end in drains.get(row["node_id"], ())
        if row["kind"] == "panic" and begin < row["time_ns"] < end
    ]
    usual = max(row["processes_lost"] for row in rows(run, "two", "lifecycle"))
    assert lost
    assert max(lost) <= usual
    assert min(lost) < usual
