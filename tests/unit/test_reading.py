"""Datasets, frames and exports of a run have the rows that its tables have, read piece by piece."""

import gzip
import shutil
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from analysis import open_run
from analysis.dataset import export
from analysis.dataset.export import EXPORTED, export_views
from analysis.dataset.groups import GroupInfo, groups_of
from analysis.dataset.reading import stored_dataset, view_batches, view_schema
from analysis.dataset.run import Run
from fleet.scenario.decode import decode
from fleet.stored.dictionary import entries
from node_sim.columns import TABLES
from node_sim.errors import ConfigError, ExecutionError
from tests.fleets import busy_document, run_fleet

ARMS = {"default": {}, "offline=2": {"page_offline.ce_threshold": 2}, "early": {"kernel.memory_failure_early_kill": 1}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    document = busy_document(60, 15.0) | {"arm": {name: {"set": changes} for name, changes in ARMS.items()}}
    root = tmp_path_factory.mktemp("reading") / "run ~ 100%"
    run_fleet(decode("test", document), root, shard_nodes=32)
    return open_run(root)


def sorted_rows(table):
    return sorted(map(repr, table.to_pylist()))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("arm", [None, *ARMS])
def test_a_dataset_has_the_rows_and_columns_of_the_table(run, table, arm):
    expected = run.table(table, arm)
    dataset = run.dataset(table, arm)
    assert dataset.schema.equals(expected.schema)
    assert dataset.to_table().equals(expected)


@pytest.mark.parametrize("table", TABLES)
def test_a_dataset_of_all_arms_says_whose_each_row_is(run, table):
    dataset = run.dataset(table, "*")
    assert dataset.schema.names == ["arm", *run.table(table).schema.names]
    for arm in run.arms:
        mine = dataset.to_table(filter=ds.field("arm") == arm)
        assert set(mine["arm"].to_pylist()) <= {arm}
        assert mine.drop_columns(["arm"]).equals(run.table(table, arm))
    assert dataset.count_rows() == sum(run.table(table, arm).num_rows for arm in run.arms)


def test_a_filter_on_the_arm_passes_over_the_parts_of_others(run):
    found = run.dataset("errors", "*").get_fragments(filter=ds.field("arm") == "early")
    paths = {Path(fragment.path).parent.name for fragment in found}
    assert paths <= {"arm=_common", "arm=early"}


def test_nothing_is_read_before_it_is_asked_for(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "run")
    dataset = open_run(copy).dataset("errors")
    shutil.rmtree(copy)
    with pytest.raises(FileNotFoundError):
        dataset.count_rows()


def test_what_is_not_in_the_run_is_refused(run):
    for ask in (run.dataset, run.frame):
        with pytest.raises(ConfigError, match=r"arm 'earl', expected one of .*did you mean early"):
            ask("errors", "earl")
        with pytest.raises(ConfigError, match="table 'error', expected one of"):
            ask("error")
    with pytest.raises(ConfigError, match="column 'ce' of errors, expected one of"):
        run.frame("errors", columns=["ce"])
    with pytest.raises(ConfigError, match="arm '\\*'"):
        run.table("errors", "*")


def test_a_frame_has_arrow_types_group_and_date(run):
    frame = run.frame("errors", "early")
    assert all(isinstance(kind, pd.ArrowDtype) for kind in frame.dtypes)
    assert list(frame.columns) == ["group", "ts", *run.table("errors").schema.names]
    assert frame.ce_count.sum() == pc.sum(run.table("errors", "early")["ce_count"]).as_py()
    assert str(frame.ts.dtype) == "timestamp[us][pyarrow]"
    first = frame.iloc[0]
    assert first.ts == pd.Timestamp("2025-01-01") + pd.Timedelta(first.time_ns // 1000, "us")


def test_a_frame_of_all_arms_or_some_columns_has_these(run):
    frame = run.frame("signals", "*")
    assert frame.columns[0] == "arm"
    assert set(frame.arm) == set(run.arms)
    assert list(run.frame("signals", columns=["ts", "arm", "fate"]).columns) == ["ts", "arm", "fate"]
    assert run.frame("ecs_reports").empty
    assert list(run.frame("ecs_reports", columns=["group"]).columns) == ["group"]


def test_columns_of_a_frame_can_be_added_and_subtracted(run):
    """Of unsigned 32 bits they could not: pandas keeps the type and raises where a result does not fit."""
    frame = run.frame("errors", columns=["ce_count", "node_id"])
    largest = pd.array([2**32 - 1] * len(frame), dtype=frame.ce_count.dtype)
    assert (largest + largest).max() == 2**33 - 2
    assert (frame.node_id - pd.array([frame.node_id.max()] * len(frame), dtype=frame.node_id.dtype)).min() < 0


def test_without_pandas_the_message_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pandas is not installed; pip install 'hwpoison-fleet\[frames\]'"):
        run.frame("errors")


def test_nodes_at_the_borders_of_groups_belong_to_the_right_one():
    groups = [GroupInfo(name, first, n, 1, {}) for name, first, n in (("a", 0, 3), ("none", 3, 0), ("b", 3, 2))]
    assert groups_of(pa.array([0, 2, 3, 4], pa.uint32()), groups).to_pylist() == ["a", "a", "b", "b"]


def test_batches_of_a_view_are_not_kept(run):
    schema, pool = view_schema("errors"), pa.default_memory_pool()
    parts = run._parts_of("errors", "default")["default"]
    many = stored_dataset(run.root, "errors", {f"{n}": parts for n in range(60)}, with_arm=True)
    held = pool.bytes_allocated()
    total = most = 0
    for batch in view_batches(many, schema, run.groups, 0):
        total, most = total + batch.nbytes, max(most, pool.bytes_allocated() - held)
    assert most < total / 5


# ---- exports -----------------------------------------------------------------------------------------------------


def written(run, folder, suffix, **which):
    return {path.name: rows for path, rows in export_views(run, folder, suffix, **which)}


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_exports_hold_what_the_views_hold(run, tmp_path, suffix):
    rows = written(run, tmp_path / "out", suffix)
    assert (
        set(rows) == {f"{view}.{suffix}" for view in EXPORTED} == {path.name for path in (tmp_path / "out").iterdir()}
    )
    sql = duckdb.connect()
    sql.execute("set variable run = $1", [str(run.path)])
    sql.execute((run.path / "views.sql").read_text())
    for view in EXPORTED:
        kinds = {name: kind for name, kind, *_ in sql.execute(f"describe {view}").fetchall()}
        path = tmp_path / "out" / f"{view}.{suffix}"
        source = f"read_csv('{path}', types={kinds}, header=true)" if "csv" in suffix else f"'{path}'"
        there, here = f"from {source}", f"from {view}"
        assert sql.execute(f"select count(*) {there}").fetchall()[0][0] == rows[path.name]
        if suffix == "parquet" and view in TABLES:
            assert {name: kind for name, kind, *_ in sql.execute(f"describe {there}").fetchall()} == kinds
        for one, other in ((here, there), (there, here)):
            assert sql.execute(f"select count(*) from ({one} except all {other})").fetchall() == [(0,)], view


def test_csv_is_as_rfc_4180_has_it(run, tmp_path):
    written(run, tmp_path, "csv", views=["signals", "errors", "columns"])
    written(run, tmp_path, "csv.gz", views=["errors"])
    text = (tmp_path / "errors.csv").read_bytes()
    lines = text.decode("utf-8").split("\r\n")
    assert lines[-1] == ""
    assert "\n" not in "".join(lines)
    assert lines[0] == ",".join(f'"{entry["column"]}"' for entry in entries("errors"))
    assert len(lines) == 2 + sum(run.table("errors", arm).num_rows for arm in run.arms)
    assert any(",," in line for line in lines)
    assert gzip.decompress((tmp_path / "errors.csv.gz").read_bytes()) == text
    assert '"Time of the DIMM\'s first CE before it."' in (tmp_path / "columns.csv").read_text()


def test_one_arm_is_written_alone(run, tmp_path):
    assert written(run, tmp_path, "csv", views=["errors"], arm="early") == {
        "errors.csv": run.table("errors", "early").num_rows
    }
    assert set(pd.read_csv(tmp_path / "errors.csv").arm) == {"early"}


def test_no_file_is_overwritten_and_none_written_into_the_run(run, tmp_path):
    (tmp_path / "signals.csv").write_text("precious")
    with pytest.raises(ConfigError, match=r"signals\.csv: there already, expected new files"):
        written(run, tmp_path, "csv", views=["errors", "signals"])
    assert [path.name for path in tmp_path.iterdir()] == ["signals.csv"]
    assert (tmp_path / "signals.csv").read_text() == "precious"
    with pytest.raises(ConfigError, match="in the folder of the run"):
        written(run, run.path / "errors", "csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected a folder that can be written"):
        written(run, tmp_path / "file" / "x", "csv")
    with pytest.raises(ConfigError, match="table 'error', expected one of"):
        written(run, tmp_path, "csv", views=["error"])
    with pytest.raises(ConfigError, match="arm 'x'"):
        written(run, tmp_path, "csv", views=["errors"], arm="x")


def test_a_file_that_cannot_be_finished_is_not_there(run, tmp_path, monkeypatch):
    batches = Run.view_batches

    def failing(self, name, arm, schema):
        yield next(batches(self, name, arm, schema))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.Run, "view_batches", failing)
    with pytest.raises(ExecutionError, match=r"errors\.csv: No space left on device"):
        written(run, tmp_path, "csv", views=["errors"])
    assert list(tmp_path.iterdir()) == []
