"""Every row can be walked back to one fault, and time down adds up."""

import numpy as np
import pytest

from analysis import open_run
from analysis.exposure import exposure_from_rows
from fleet.scenario import decode
from fleet.tally import INDEX
from node_sim.columns import TABLES
from tests.fleets import BASELINE, run_fleet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    fleet = decode("test", {**BASELINE, "nodes": 100_000})
    root = tmp_path_factory.mktemp("causes") / "run"
    run_fleet(fleet, root, seed=5)
    return open_run(root)


def keys(table, column="seq"):
    return (table.column("node_id").to_numpy().astype(np.uint64) << np.uint64(32)) | table.column(column).to_numpy()


@pytest.mark.parametrize("arm", ["default", "early_kill", "no_recovery", "page_offline_2_per_24h"])
def test_seq_counts_the_rows_of_a_node_without_gaps(run, arm):
    tables = {name: run.table(name, arm) for name in TABLES}
    faults, others = tables.pop("faults"), np.concatenate([keys(table) for table in tables.values()])
    every = np.sort(np.concatenate([keys(faults), others]))
    assert np.unique(every).size == every.size
    node, seq = every >> np.uint64(32), (every & np.uint64(0xFFFFFFFF)).astype(np.int64)
    start = np.searchsorted(node, node)
    assert (seq == np.arange(every.size) - start).all()


@pytest.mark.parametrize("arm", ["default", "early_kill", "no_recovery", "page_offline_2_per_24h"])
def test_every_row_walks_back_to_exactly_one_fault(run, arm):
    tables = {name: run.table(name, arm) for name in TABLES}
    faults = tables.pop("faults")
    cause, fault_of = {}, dict(zip(keys(faults).tolist(), faults.column("fault_id").to_pylist(), strict=True))
    for table in tables.values():
        cause.update(zip(keys(table).tolist(), keys(table, "cause_seq").tolist(), strict=True))
    walked = 0
    for name in ("signals", "io_errors", "lifecycle", "memory_failures", "machine_checks", "page_offlines"):
        table = tables[name]
        for key, fault_id in zip(keys(table).tolist(), table.column("fault_id").to_pylist(), strict=True):
            at = key
            while at in cause:
                assert cause[at] < at
                at = cause[at]
            assert fault_of[at] == fault_id
            walked += 1
    assert walked > 1000


@pytest.mark.parametrize("arm", ["default", "early_kill", "no_recovery", "page_offline_2_per_24h"])
def test_exposure_recomputed_from_rows_equals_the_manifest(run, arm):
    total = run.tally.total[run.arms.index(arm), :, INDEX["node_years"]]
    assert list(exposure_from_rows(run, arm).values()) == pytest.approx(total.tolist(), rel=1e-12)
    assert total.sum() < 100_000


def test_causes_come_before_effects_in_time(run):
    for arm in run.arms:
        time_of = {}
        for name in TABLES:
            table = run.table(name, arm)
            time_of.update(zip(keys(table).tolist(), table.column("time_ns").to_pylist(), strict=True))
        for name in set(TABLES) - {"faults"}:
            table = run.table(name, arm)
            pairs = zip(keys(table, "cause_seq").tolist(), table.column("time_ns").to_pylist(), strict=True)
            assert all(time_of[cause] <= time_ns for cause, time_ns in pairs)
