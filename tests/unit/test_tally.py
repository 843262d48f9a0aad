"""Tallies against a slow count of the same rows, one node at a time."""

import numpy as np
import pytest

from analysis import open_run
from analysis.compare import tally_against
from fleet.stored.headline import INDEX, METRICS
from node_sim.columns import TABLES
from node_sim.units import NS_PER_YEAR
from tests.fleets import counting_fleet, run_fleet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("tally") / "run"
    run_fleet(counting_fleet(400), root, shard_nodes=130)
    return open_run(root)


def slow_counts(run, arm):
    """Metrics of every node by plain loops over rows."""
    horizon = run.horizon_ns
    nodes = sum(group.nodes for group in run.groups)
    x = np.zeros((nodes, len(METRICS)))
    x[:, 0] = horizon / NS_PER_YEAR
    tables = {name: run.table(name, arm).to_pylist() for name in TABLES}

    def add(row, metric, amount=1):
        x[row["node_id"], INDEX[metric]] += amount

    down, cause = {}, {}
    for row in tables["lifecycle"]:
        if row["kind"] != "cordon":  # a cordoned node drains, and is up
            down.setdefault(row["node_id"], set()).add((row["time_ns"], min(row["end_ns"], horizon)))
        if row["kind"] == "panic":
            add(row, "panics")
            add(row, "losses", row["processes_lost"])
        else:
            add(row, {"cordon": "cordons", "dimm_replacement": "dimm_replacements"}[row["kind"]])
    for node, spans in down.items():
        x[node, 0] -= sum(end - start for start, end in spans) / NS_PER_YEAR
    for name, rows in tables.items():
        for row in rows:
            if name != "faults":
                cause[row["node_id"], row["seq"]] = (name, row)

    def lost(row, size, metric="memory_lost_byte_years"):
        until = min([start for start, _ in down.get(row["node_id"], ()) if start >= row["time_ns"]], default=horizon)
        add(row, metric, size * (until - row["time_ns"]) / NS_PER_YEAR)

    def root_of(row):
        while True:
            above = cause.get((row["node_id"], row["cause_seq"]))
            if above is None:
                return row
            row = above[1]

    swaps = {}
    for row in tables["lifecycle"]:
        if row["kind"] == "dimm_replacement":
            swaps.setdefault((row["node_id"], row["dimm"]), []).append(row["end_ns"])
    for row in tables["faults"]:
        installed = sum(end <= row["time_ns"] for end in swaps.get((row["node_id"], row["dimm"]), ()))
        if installed == row["generation"]:
            add(row, "faults")
    harmed = set()
    for row in tables["errors"]:
        add(row, row["kind"].lower(), row["ce_count"] if row["kind"] == "CE" else 1)
    for name in ("ecs_reports", "machine_checks"):
        for row in tables[name]:
            add(row, name)
    for row in tables["memory_failures"]:
        if row["result"] is not None and row["page_type"] != "already poisoned page":
            add(row, f"mf_{row['result'].lower()}")
        lost(row, row["lost_bytes"])
        lost(row, row["pool_lost_bytes"], "pool_lost_byte_years")
    for row in tables["signals"]:
        if row["fate"] == "killed":
            cause_of = {"early": "early_ao", "late": "late_ar", "direct": "direct_ar"}[row["timing"]]
            add(row, f"kills_{cause_of}")
            add(row, "losses")
            harmed.add((row["node_id"], root_of(row)["seq"]))
    for row in tables["io_errors"]:
        add(row, "io_errors")
        harmed.add((row["node_id"], root_of(row)["seq"]))
    for row in tables["lifecycle"]:
        if row["kind"] == "panic":
            harmed.add((row["node_id"], root_of(row)["seq"]))
    for row in tables["page_offlines"]:
        add(row, "pages_offlined" if row["result"] == "offlined" else "pages_not_offlined")
        if row["result"] == "offlined":
            lost(row, 4096)
            lost(row, row["pool_lost_bytes"], "pool_lost_byte_years")
    for row in tables["errors"]:
        if row["kind"] == "UE" and (row["node_id"], row["seq"]) not in harmed:
            add(row, "ue_survived")
    return x, sum(map(len, tables.values()))


def by_group(run, x):
    return [x[group.first_node : group.first_node + group.nodes] for group in run.groups]


def test_sums_and_products_equal_the_slow_count(run):
    base, _ = slow_counts(run, run.arms[0])
    for position, arm in enumerate(run.arms):
        x, rows = slow_counts(run, arm)
        assert run.tally.rows[position] == rows
        for group, (mine, other) in enumerate(zip(by_group(run, x), by_group(run, base), strict=True)):
            np.testing.assert_allclose(run.tally.total[position, group], mine.sum(axis=0), rtol=1e-9)
            np.testing.assert_allclose(run.tally.square[position, group], mine.T @ mine, rtol=1e-9)
            np.testing.assert_allclose(run.tally.cross[position, group], mine.T @ other, rtol=1e-9)
        assert x[:, INDEX["ue"]].sum() > 50
        assert x[:, INDEX["ecs_reports"]].sum() > 50


def test_another_baseline_is_counted_again_from_the_rows(run):
    tally, order = tally_against(run, "no_recovery")
    base, _ = slow_counts(run, "no_recovery")
    for position, arm in enumerate(order):
        x, _ = slow_counts(run, arm)
        np.testing.assert_allclose(tally.cross[position].sum(axis=0), x.T @ base, rtol=1e-9)
