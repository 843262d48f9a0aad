"""Every row can be walked back to one fault, and time down adds up."""

from collections import Counter

import numpy as np
import pytest

from analysis import open_run
from analysis.dataset.exposure import exposure_from_rows
from fleet.scenario.decode import decode
from fleet.stored.headline import INDEX
from node_sim.codes import LifecycleReason
from node_sim.columns import TABLES
from node_sim.units import NS_PER_DAY
from tests.fleets import BASELINE, counting_document, run_fleet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    fleet = decode("test", {**BASELINE, "nodes": 100_000})
    root = tmp_path_factory.mktemp("causes") / "run"
    run_fleet(fleet, root, seed=5)
    return open_run(root)


@pytest.fixture(scope="module")
def repairing(tmp_path_factory):
    document = counting_document(300, fit_factor=10.0)
    chips = ["sddc", "altitude"]
    document["arm"] = {
        "replace_10_per_24h": {"set": {"repair.replace_ce": 10}},
        "soft": {"set": {"repair.ppr": "soft", "repair.replace_ce": 24, "page_offline.ce_threshold": 2}},
        "hard": {"set": {"repair.ppr": "hard", "kernel.memory_failure_recovery": 0}},
        "spared": {"set": {"ecc.sparing": "adddc_rank", "ecc.sparing_ce": 2}, "groups": chips},
        "counted": {"set": {"repair.replace_ecs": True}, "groups": ["ddr5"]},
        "degraded": {"set": {"repair.map_out": True, "kernel.memory_failure_recovery": 0, "repair.cordon.ue": 3}},
        "mirrored": {"set": {"ecc.mirroring": True, "repair.replace_ce": 100}},
    }
    root = tmp_path_factory.mktemp("repairs") / "run"
    run_fleet(decode("test", document), root, seed=5, shard_nodes=300)
    return open_run(root)


def keys(table, column="seq"):
    return (table.column("node_id").to_numpy().astype(np.uint64) << np.uint64(32)) | table.column(column).to_numpy()


@pytest.mark.parametrize("arm", ["default", "early_kill", "no_recovery", "page_offline_2_per_24h"])
def test_seq_counts_the_rows_of_a_node_without_gaps(run, arm):
    check_numbers(run, arm)


REPAIR_ARMS = ["replace_10_per_24h", "soft", "hard", "spared", "counted", "degraded", "mirrored"]


@pytest.mark.parametrize("arm", REPAIR_ARMS)
def test_rows_of_repairs_are_numbered_caused_and_counted_like_all_others(repairing, arm):
    check_numbers(repairing, arm)
    check_causes(repairing, arm)
    check_exposure(repairing, arm)


def test_repairs_and_replacements_occur(repairing):
    found = {
        (arm, row["kind"], row["reason"])
        for arm in REPAIR_ARMS
        for row in repairing.table("lifecycle", arm, columns=["kind", "reason"]).to_pylist()
    }
    limit, had_ue = LifecycleReason.CE_LIMIT.text, LifecycleReason.DIMM_HAD_UE.text
    assert {
        ("replace_10_per_24h", "cordon", limit),
        ("replace_10_per_24h", "dimm_replacement", limit),
        ("soft", "post_package_repair", limit),
        ("soft", "post_package_repair", had_ue),
        ("hard", "post_package_repair", had_ue),
        ("degraded", "map_out", had_ue),
        ("degraded", "dimm_replacement", had_ue),
        ("mirrored", "dimm_replacement", limit),
        ("counted", "cordon", LifecycleReason.ECS_LIMIT.text),
        ("counted", "dimm_replacement", LifecycleReason.ECS_LIMIT.text),
    } <= found


def test_a_cordon_for_corrected_errors_is_caused_by_the_row_that_brings_a_window_to_the_limit(repairing):
    # The errors of all faults of a DIMM count together, and of a soft fault each observer has a row.
    for arm, limit in (("replace_10_per_24h", 10), ("soft", 24), ("mirrored", 100)):
        rows = [row for row in repairing.table("errors", arm).to_pylist() if row["ce_count"]]
        total, by_name = Counter(), {}
        for row in rows:
            total[row["fault_id"] >> 16, row["first_time_ns"] // NS_PER_DAY] += row["ce_count"]
            by_name[row["node_id"], row["seq"]] = row
        cordons = [
            row
            for row in repairing.table("lifecycle", arm).to_pylist()
            if (row["kind"], row["reason"]) == ("cordon", LifecycleReason.CE_LIMIT.text)
        ]
        assert len(cordons) > 50
        for cordon in cordons:
            cause = by_name[cordon["node_id"], cordon["cause_seq"]]
            assert cause["fault_id"] == cordon["fault_id"]
            assert total[cause["fault_id"] >> 16, cause["first_time_ns"] // NS_PER_DAY] >= limit
            assert cause["first_time_ns"] < cordon["time_ns"] <= cause["last_time_ns"] + 1


def check_numbers(run, arm):
    tables = {name: run.table(name, arm) for name in TABLES}
    faults, others = tables.pop("faults"), np.concatenate([keys(table) for table in tables.values()])
    every = np.sort(np.concatenate([keys(faults), others]))
    assert np.unique(every).size == every.size
    node, seq = every >> np.uint64(32), (every & np.uint64(0xFFFFFFFF)).astype(np.int64)
    start = np.searchsorted(node, node)
    assert (seq == np.arange(every.size) - start).all()


@pytest.mark.parametrize("arm", ["default", "early_kill", "no_recovery", "page_offline_2_per_24h"])
def test_every_row_walks_back_to_exactly_one_fault(run, arm):
    assert check_causes(run, arm) > 1000


def check_causes(run, arm):
    tables = {name: run.table(name, arm) for name in TABLES}
    faults = tables.pop("faults")
    cause, fault_of = {}, dict(zip(keys(faults).tolist(), faults.column("fault_id").to_pylist(), strict=True))
    for table in tables.values():
        cause.update(zip(keys(table).tolist(), keys(table, "cause_seq").tolist(), strict=True))
    walked = 0
    for name in (
        "signals",
        "io_errors",
        "lifecycle",
        "memory_failures",
        "machine_checks",
        "page_offlines",
        "ecs_reports",
    ):
        table = tables[name]
        for key, fault_id in zip(keys(table).tolist(), table.column("fault_id").to_pylist(), strict=True):
            at = key
            while at in cause:
                assert cause[at] < at
                at = cause[at]
            assert fault_of[at] == fault_id
            walked += 1
    return walked


@pytest.mark.parametrize("arm", ["default", "early_kill", "no_recovery", "page_offline_2_per_24h"])
def test_exposure_recomputed_from_rows_equals_the_manifest(run, arm):
    assert check_exposure(run, arm) < 100_000


def check_exposure(run, arm):
    total = run.tally.total[run.arms.index(arm), :, INDEX["node_years"]]
    assert list(exposure_from_rows(run, arm).values()) == pytest.approx(total.tolist(), rel=1e-12)
    return total.sum()


@pytest.mark.parametrize("which", ["run", "repairing"])
def test_causes_come_before_effects_in_time(which, request):
    of = request.getfixturevalue(which)
    for arm in of.arms:
        time_of = {}
        for name in TABLES:
            table = of.table(name, arm)
            time_of.update(zip(keys(table).tolist(), table.column("time_ns").to_pylist(), strict=True))
        for name in set(TABLES) - {"faults"}:
            table = of.table(name, arm)
            pairs = zip(keys(table, "cause_seq").tolist(), table.column("time_ns").to_pylist(), strict=True)
            assert all(time_of[cause] <= time_ns for cause, time_ns in pairs)
