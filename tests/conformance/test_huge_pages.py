"""An error in a huge page of a pool is one of all of it; the laws are read off the rows of a run."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

import pytest

from analysis import open_run
from fleet.scenario.decode import decode
from fleet.stored.headline import INDEX
from tests.fleets import counting_document, run_fleet

SIZES = {"hugetlb": 512, "hugetlb 1G": 262_144, "hugetlb free": 512, "hugetlb 1G free": 262_144}
PAGE = 4096
ARMS = {
    "broken_up": {"workload.shared.hugetlb": 0.0},
    "kept": {"workload.shared.hugetlb": 1.0},
    "kept_early": {"workload.shared.hugetlb": 1.0, "kernel.memory_failure_early_kill": 1},
    "counted": {"workload.shared.hugetlb": 0.5, "page_offline.ce_threshold": 2},
    "marked_in_use": {"workload.shared.hugetlb": 0.0, "kernel.profile": "5.10"},
}


@pytest.fixture(scope="module", params=[25, pytest.param(100, marks=pytest.mark.long)], ids="{} nodes".format)
def run(request, tmp_path_factory):
    document = counting_document(request.param, fit_factor=40.0)
    document["years"] = 0.7
    document["group"] = {"secded": document["group"]["secded"] | {"share": 1.0}}
    for group in document["group"].values():
        group["workload"] = {
            "base": "database",
            "use": {"anonymous": 0.0, "thp": 0.0, "file": 0.0, "tmpfs": 0.0, "hugetlb": 0.5, "hugetlb_1g": 0.3},
        }
        group["workload"]["use"] |= {"free": 0.12, "kernel": 0.08}
        group["kernel"] = {"profile": "6.12"}
        group["repair"] = {"cordon": {"ue": 100}}
        group["detection"] = {"hot_interval_s": 30_000.0}
    document["arm"] = {name: {"set": settings} for name, settings in ARMS.items()}
    root = tmp_path_factory.mktemp("huge") / "run"
    run_fleet(decode("test", document), root, seed=5, shard_nodes=100)
    return open_run(root)


def boots_of(run, arm):
    found = defaultdict(list)
    for row in run.table("lifecycle", arm).to_pylist():
        if row["kind"] != "cordon":
            found[row["node_id"]].append(row["time_ns"])
    return {node: sorted(times) for node, times in found.items()}


def losses(run, arm):
    """Failures by node, huge page and boot, in order of time."""
    boots, found = boots_of(run, arm), defaultdict(list)
    for row in run.table("memory_failures", arm).to_pylist():
        size = SIZES.get(row["page_use"])
        if size:
            boot = bisect_right(boots.get(row["node_id"], []), row["time_ns"])
            found[row["node_id"], row["pfn"] // size * size, size, boot].append(row)
    return found


@pytest.mark.parametrize("arm", ["broken_up", "kept", "kept_early"])
def test_a_huge_page_is_handled_once_in_a_boot_and_the_pool_loses_it_once(run, arm):
    found = losses(run, arm)
    assert len(found) > 100
    kept = []
    for (_, _, size, _), rows in found.items():
        # A load has a second report, which loses nothing more.
        assert sum(row["pool_lost_bytes"] for row in rows) == size * PAGE
        assert len({row["pfn"] for row in rows}) == 1
        lost = sum(row["lost_bytes"] for row in rows)
        assert lost in {PAGE, size * PAGE}
        if "free" not in rows[0]["page_use"]:
            kept.append(lost > PAGE)
    # In these arms all but system daemons share their huge pages, which are those of a file then, and kept.
    assert any(kept) if arm != "broken_up" else not any(kept)
    assert arm == "broken_up" or sum(kept) > 0.8 * len(kept)


def test_of_a_huge_page_kept_only_the_scrubber_sees_more(run):
    boots = boots_of(run, "kept")
    gone = {
        key: row["time_ns"] for key, rows in losses(run, "kept").items() for row in rows if row["lost_bytes"] > PAGE
    }
    met = 0
    for row in run.table("machine_checks", "kept").to_pylist():
        boot = bisect_right(boots.get(row["node_id"], []), row["time_ns"])
        for size in (512, 262_144):
            if gone.get((row["node_id"], row["pfn"] // size * size, size, boot), 1 << 62) < row["time_ns"]:
                met += 1
                assert (row["cpu_context"], row["action"]) == ("none", "page already poisoned")
    assert met > 20


def test_what_is_left_of_a_huge_page_broken_up_is_ordinary_memory(run):
    boots, met = boots_of(run, "broken_up"), 0
    broken = {key: rows[0]["time_ns"] for key, rows in losses(run, "broken_up").items()}
    for row in run.table("memory_failures", "broken_up").to_pylist():
        boot = bisect_right(boots.get(row["node_id"], []), row["time_ns"])
        for size in (512, 262_144):
            if broken.get((row["node_id"], row["pfn"] // size * size, size, boot), 1 << 62) < row["time_ns"]:
                met += row["page_use"] == "free"
                assert row["page_use"] not in SIZES or row["lost_bytes"] == 0
    assert met > 5


def test_the_user_of_a_huge_page_kept_faults_at_its_next_access_to_any_of_it(run):
    causes = {(row["node_id"], row["seq"]): row for row in run.table("memory_failures", "kept").to_pylist()}
    late = [row for row in run.table("signals", "kept").to_pylist() if row["timing"] == "late"]
    assert len(late) > 20
    assert {row["lsb"] for row in late} == {21, 30}
    waits = [row["time_ns"] - causes[row["node_id"], row["cause_seq"]]["time_ns"] for row in late]
    assert max(waits) < 3600 * 10**9  # a huge page is touched all the time; a 4 KiB page waits for hours


def test_a_gigantic_page_that_its_kernel_leaves_in_use_is_already_poisoned_at_the_second_error(run):
    # 5.10: "non-pmd-sized huge page: Ignored"; the mark stays, nothing is unmapped, a later error finds it.
    again = defaultdict(list)
    for (node, first, size, boot), rows in losses(run, "marked_in_use").items():
        if size > 512 and rows[0]["page_use"] == "hugetlb 1G":
            again[node, first, boot] = rows
    assert {rows[0]["page_type"] for rows in again.values()} == {"non-pmd-sized huge page"}
    later = [row for rows in again.values() for row in rows[1:]]
    assert len(later) > 20
    assert {row["result"] for row in later} == {None}


def test_what_counting_takes_from_a_pool_is_lost_once_and_no_use_of_the_pool_any_more(run):
    boots, broken = boots_of(run, "counted"), {}
    for row in run.table("page_offlines", "counted").to_pylist():
        boot = bisect_right(boots.get(row["node_id"], []), row["time_ns"])
        if row["pool_lost_bytes"]:
            size = row["pool_lost_bytes"] // PAGE
            key = row["node_id"], row["pfn"] // size * size, size, boot
            assert row["result"] == "offlined"
            assert key not in broken
            broken[key] = row["time_ns"]
    assert len(broken) > 50
    for key, rows in losses(run, "counted").items():
        assert all(row["time_ns"] < broken.get(key, 1 << 62) for row in rows)


def test_what_pools_lose_counts_in_capacity(run):
    for arm, more in (("kept", False), ("broken_up", True)):
        total = run.tally.total[run.arms.index(arm)].sum(axis=0)
        memory, pool = total[INDEX["memory_lost_byte_years"]], total[INDEX["pool_lost_byte_years"]]
        assert bool(pool > 20 * memory) is more
        assert pool > 0
