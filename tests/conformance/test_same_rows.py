"""The rows of a run are a function of scenario and seed; engine, workers, actors and shard size never change one."""

import numpy as np
import pytest

from analysis import open_run
from analysis.comparison.recount import tally_against
from fleet.engines import aggregator
from fleet.stored.schema import empty_table
from node_sim.columns import TABLES
from node_sim.lives import load
from tests.fleets import counting_fleet, run_fleet

NODES = 300


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference") / "run"
    return run_fleet(counting_fleet(NODES), root, shard_nodes=NODES), root


@pytest.mark.parametrize(
    "how",
    [
        {"shard_nodes": NODES, "workers": 2},
        {"shard_nodes": 97, "workers": 1},
        {"shard_nodes": 250, "workers": 2},
    ],
    ids=lambda how: " ".join(f"{key}={value}" for key, value in how.items()),
)
def test_digests_do_not_depend_on_workers_or_shards(reference, tmp_path, how):
    assert run_fleet(counting_fleet(NODES), tmp_path / "run", **how)["digests"] == reference[0]["digests"]


@pytest.mark.parametrize(("points", "pending_bytes"), [(1000, 1 << 30), (20_000, 10_000), (10**9, 100_000)])
def test_digests_and_tallies_do_not_depend_on_blocks_or_parts(reference, tmp_path, monkeypatch, points, pending_bytes):
    monkeypatch.setattr(load, "POINTS_PER_PIECE", points)
    monkeypatch.setattr(load, "ROWS_PER_BLOCK", 4 * points)
    monkeypatch.setattr(aggregator, "PENDING_BYTES_MAX", pending_bytes)
    other = run_fleet(counting_fleet(NODES), tmp_path / "run", shard_nodes=NODES)
    assert other["digests"] == reference[0]["digests"]
    assert open_run(tmp_path / "run").digests() == reference[0]["digests"]
    for name in ("nodes", "rows", "total"):
        np.testing.assert_allclose(other["tally"][name], reference[0]["tally"][name], rtol=1e-12)
    again, before = (tally_against(open_run(root), "no_recovery")[0] for root in (tmp_path / "run", reference[1]))
    np.testing.assert_allclose(again.total, before.total, rtol=1e-12)


def test_tallies_do_not_depend_on_shards(reference, tmp_path):
    other = run_fleet(counting_fleet(NODES), tmp_path / "run", shard_nodes=131)
    for name in ("nodes", "rows", "total"):
        np.testing.assert_allclose(other["tally"][name], reference[0]["tally"][name], rtol=1e-12)


def test_every_table_and_arm_has_rows_in_the_reference(reference):
    run = open_run(reference[1])
    empty = [(arm, name) for arm in run.arms for name in TABLES if run.table(name, arm).num_rows == 0]
    without_handler = {("no_recovery", name) for name in ("memory_failures", "signals", "io_errors")}
    never = {(arm, "page_offlines") for arm in run.arms[:3]}
    assert set(empty) == without_handler | never


def test_another_seed_gives_other_rows(reference, tmp_path):
    other = run_fleet(counting_fleet(NODES), tmp_path / "run", seed=2)
    same = [
        (arm, name)
        for arm, tables in reference[0]["digests"].items()
        for name, digest in tables.items()
        if digest == other["digests"][arm][name] and digest != "0" * 32
    ]
    assert same == []


def test_digests_of_the_manifest_are_those_of_the_stored_rows(reference):
    assert open_run(reference[1]).digests() == reference[0]["digests"]


def test_stored_tables_have_the_declared_schema(reference):
    run = open_run(reference[1])
    for name in TABLES:
        assert run.table(name).schema.equals(empty_table(name).schema, check_metadata=True)
