"""Tallies against a slow count of the same rows, one node at a time."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis import open_run
from analysis.comparison import recount
from analysis.comparison.recount import rows_to_count, tally_against
from fleet.scenario.decode import decode
from fleet.stored.headline import INDEX, METRICS, POSITION, REGISTRY
from node_sim.columns import TABLES
from node_sim.dram.geometry import AddressMap
from node_sim.units import NS_PER_YEAR, PAGE_BYTES
from tests.fleets import counting_document, run_fleet

DEGRADED = {
    "kernel.memory_failure_recovery": 0,
    "repair.map_out": True,
    "repair.technician_days": 200.0,
    "repair.cordon.ue": 10,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    document = counting_document(400)
    document["arm"]["degraded"] = {"set": DEGRADED}
    document["group"]["secded"]["server"] = {"ranks": 1}
    root = tmp_path_factory.mktemp("tally") / "run"
    document["arm"]["banks"] = {
        "set": {"page_offline.scope": "bank", "page_offline.ce_threshold": 500},
        "groups": ["ddr5"],
    }
    run_fleet(decode("test", document), root, shard_nodes=210)
    return open_run(root)


@pytest.fixture(scope="module")
def counts(run):
    """Of each arm what ``slow_counts`` finds."""
    return {arm: slow_counts(run, arm) for arm in run.arms}


def dimm_bytes(run):
    """Memory of a DIMM of every node, by the address map of its group."""
    found = []
    for group in decode("test", run.plan["scenario"]).groups:
        server = group.hardware.server
        found += [AddressMap(server).pages * PAGE_BYTES / server.dimms] * group.nodes
    return found


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
        if row["kind"] not in ("cordon", "map_out"):  # a node that drains, or goes on without a DIMM, is up
            down.setdefault(row["node_id"], set()).add((row["time_ns"], min(row["end_ns"], horizon)))
        if row["kind"] == "panic":
            add(row, "panics")
            add(row, "losses", row["processes_lost"])
        elif row["kind"] != "map_out":
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

    size = dimm_bytes(run)
    for row in tables["lifecycle"]:
        if row["kind"] == "map_out":
            begin, end = row["time_ns"], min(row["end_ns"], horizon)
            inside = [max(0, min(end, up) - max(begin, start)) for start, up in down.get(row["node_id"], ())]
            add(row, "memory_lost_byte_years", size[row["node_id"]] * (end - begin - sum(inside)) / NS_PER_YEAR)

    def root_of(row):
        while True:
            above = cause.get((row["node_id"], row["cause_seq"]))
            if above is None:
                return row
            row = above[1]

    swaps, without = {}, {}
    for row in tables["lifecycle"]:
        if row["kind"] == "map_out":
            without.setdefault((row["node_id"], row["dimm"]), []).append((row["time_ns"], row["end_ns"]))
        if row["kind"] == "dimm_replacement":
            swaps.setdefault((row["node_id"], row["dimm"]), []).append(row["end_ns"])
    for row in tables["faults"]:
        installed = sum(end <= row["time_ns"] for end in swaps.get((row["node_id"], row["dimm"]), ()))
        spans = without.get((row["node_id"], row["dimm"]), ())
        if installed == row["generation"] and not any(begin <= row["time_ns"] < end for begin, end in spans):
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
        assert (row["n_pages"] > 0) == (row["result"] == "offlined")
        add(row, "pages_offlined", row["n_pages"])
        add(row, "pages_not_offlined", row["n_pages"] == 0)
        if row["result"] == "offlined":
            lost(row, 4096 * row["n_pages"])
            lost(row, row["pool_lost_bytes"], "pool_lost_byte_years")
    for row in tables["errors"]:
        if row["kind"] == "UE" and (row["node_id"], row["seq"]) not in harmed:
            add(row, "ue_survived")
    return x, sum(map(len, tables.values()))


def by_group(run, x):
    return [x[group.first_node : group.first_node + group.nodes] for group in run.groups]


def test_sums_and_products_equal_the_slow_count(run, counts):
    base, _ = counts[run.arms[0]]
    for position, arm in enumerate(run.arms):
        x, rows = counts[arm]
        assert run.tally.rows[position] == rows
        for group, (mine, other) in enumerate(zip(by_group(run, x), by_group(run, base), strict=True)):
            np.testing.assert_allclose(run.tally.total[position, group], mine.sum(axis=0), rtol=1e-9)
            np.testing.assert_allclose(run.tally.square[position, group], mine.T @ mine, rtol=1e-9)
            np.testing.assert_allclose(run.tally.cross[position, group], mine.T @ other, rtol=1e-9)
        if arm == "banks":
            assert x[:, INDEX["pages_offlined"]].sum() > 1_000_000
        assert x[:, INDEX["ue"]].sum() > 50
        assert x[:, INDEX["ecs_reports"]].sum() > 50


def slow_pairs(run, x, base):
    """Sums and maxima of nodes that have any of a metric, totals among them, and of those that differ, one by one."""
    found = {}
    for metric in REGISTRY:
        places = [INDEX[key] for key in metric.parts or (metric.key,)]
        mine, other = ([sum(float(row[at]) for at in places) for row in rows] for rows in (x, base))
        apart = [0.0 if abs(a - b) < 1e-9 * max(a, b) else a - b for a, b in zip(mine, other, strict=True)]
        more, less = [d for d in apart if d > 0], [-d for d in apart if d < 0]
        here = [run.horizon_ns / NS_PER_YEAR - a for a in mine] if metric.key == "node_years" else mine
        sums = [sum(one > 0 for one in here), len(more), len(less), sum(more), sum(less)]
        squares = [sum(d * d for d in side) for side in (more, less)]
        found[metric.key] = [*sums, *squares], [max(here), max((abs(d) for d in apart), default=0.0)]
    return found


def test_what_few_nodes_have_and_differ_by_equals_the_slow_count(run, counts):
    base, _ = counts[run.arms[0]]
    differing = 0
    for position, arm in enumerate(run.arms):
        x, _ = counts[arm]
        for group, (mine, other) in enumerate(zip(by_group(run, x), by_group(run, base), strict=True)):
            for metric, (sums, largest) in slow_pairs(run, mine, other).items():
                at = POSITION[metric]
                assert run.tally.paired[position, group, :, at] == pytest.approx(sums, rel=1e-7, abs=1e-9), metric
                assert run.tally.largest[position, group, :, at] == pytest.approx(largest, rel=1e-7, abs=1e-9), metric
                differing += sums[1] > 0 < sums[2]
    assert differing > 30
    assert run.tally.paired[0, :, 1:].sum() == 0


def test_dimms_of_two_sizes_are_mapped_out_and_nodes_go_down_meanwhile(run):
    rows = run.table("lifecycle", "degraded").to_pylist()
    out = [row for row in rows if row["kind"] == "map_out"]
    size = dimm_bytes(run)
    assert len({size[row["node_id"]] for row in out}) == 2
    inside = [
        row["node_id"] == other["node_id"] and row["time_ns"] < other["time_ns"] and other["end_ns"] < row["end_ns"]
        for row in out
        for other in rows
        if other["kind"] == "panic"
    ]
    assert sum(inside) > 5
    lost = run.tally.total[:, :, INDEX["memory_lost_byte_years"]].sum(axis=1)
    usual, degraded = (lost[run.arms.index(arm)] for arm in ("default", "degraded"))
    assert degraded > 1000 * usual > 0


def test_a_shard_of_many_rows_is_counted_a_piece_at_a_time(run, monkeypatch):
    whole, _ = tally_against(run, "no_recovery")
    rows = max(sum(part.rows for part in receipt.parts) for receipt in run.receipts)
    monkeypatch.setattr(recount, "ROWS_AT_ONCE", rows // 7)
    held = [sum(table.num_rows for _, _, table in tables) for tables, *_ in rows_to_count(run, run.arms)]
    assert len(held) >= 7 * len(run.receipts)
    assert sum(held) == sum(part.rows for part in run.parts)
    assert max(held) < 3 * rows // 7
    again, _ = tally_against(run, "no_recovery")
    for name, sums in vars(whole).items():
        np.testing.assert_allclose(getattr(again, name), sums, rtol=1e-9, err_msg=name)


def test_rows_of_other_nodes_are_not_read(run, monkeypatch):
    part = max(run.parts, key=lambda part: part.rows)
    node = np.asarray(run.read_part(part)["node_id"])
    middle = int(np.median(node))
    some = np.asarray(run.read_nodes(part, range(middle, middle + 3))["node_id"])
    assert some.tolist() == node[(node >= middle) & (node < middle + 3)].tolist() != []
    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", lambda *_, **__: pytest.fail("read"))
    assert run.read_nodes(part, range(int(node.max()) + 1, 1 << 40)).num_rows == 0
    assert run.read_nodes(part, range(int(node.min()))).num_rows == 0


def test_another_baseline_is_counted_again_from_the_rows(run, counts):
    tally, order = tally_against(run, "no_recovery")
    base, _ = counts["no_recovery"]
    for position, arm in enumerate(order):
        x, _ = counts[arm]
        np.testing.assert_allclose(tally.cross[position].sum(axis=0), x.T @ base, rtol=1e-9)
