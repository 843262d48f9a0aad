"""Other programs read the folders of arms as arms; runs with the folders of older versions are read, too."""

import json
import shutil

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from fleet.engines.choice import EngineChoice
from fleet.run import resume_run
from fleet.scenario.decode import decode
from fleet.stored.layout import arm_folder, encoded
from fleet.stored.manifest import COMMON_ARM
from fleet.stored.schema import empty_table
from node_sim.errors import ConfigError, DataError
from tests.fleets import busy_document, run_fleet
from tests.old_runs import as_version_4

ARMS = {
    "ce_threshold=0+profile=6.1": {},
    "ce_threshold=2+profile=6.12": {"page_offline.ce_threshold": 2, "kernel.profile": "6.12"},
    "später.1e-3_==": {"kernel.memory_failure_early_kill": 1},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    document = busy_document(120, 10.0) | {"arm": {name: {"set": changes} for name, changes in ARMS.items()}}
    root = tmp_path_factory.mktemp("readers") / "run"
    run_fleet(decode("test", document), root, shard_nodes=60)
    return root


@pytest.fixture(scope="module")
def old(root, tmp_path_factory):
    return as_version_4(root, tmp_path_factory.mktemp("old") / "run")


READERS = {
    "duckdb": lambda path: {arm for (arm,) in duckdb.sql(f"select distinct arm from '{path}/*/*.parquet'").fetchall()},
    "polars": lambda path: set(pl.scan_parquet(path).select("arm").unique().collect()["arm"]),
    "pandas": lambda path: set(pd.read_parquet(path)["arm"].astype(str)),
    "pyarrow": lambda path: set(ds.dataset(path, partitioning="hive").to_table(["arm"])["arm"].to_pylist()),
}


@pytest.mark.parametrize("reader", READERS)
def test_the_arms_that_others_find_are_those_of_the_plan(root, reader):
    run = open_run(root)
    stored = {name: {part.arm for part in run.parts if part.table == name} for name in {p.table for p in run.parts}}
    assert stored["errors"] == {*ARMS, COMMON_ARM}
    for table, arms in stored.items():
        assert READERS[reader](root / table) == arms, table


@pytest.mark.parametrize("reader", READERS)
def test_an_arm_without_rows_is_named_by_the_plan_and_would_be_by_no_empty_file(root, tmp_path, reader):
    copy = shutil.copytree(root, tmp_path / "run")
    planned = {*json.loads((copy / "plan.json").read_text())["arms"], COMMON_ARM}
    table = copy / "page_offlines"
    found = READERS[reader](table)
    silent = planned - found
    assert found < planned
    assert silent > {COMMON_ARM}
    for arm in silent:
        folder = copy / arm_folder("page_offlines", arm)
        folder.mkdir()
        pq.write_table(empty_table("page_offlines"), folder / "shard-000000-0123456789ab-0.parquet")
    assert READERS[reader](table) == found


def test_names_of_arms_are_encoded_in_folders_only(root):
    assert json.loads((root / "plan.json").read_text())["arms"] == list(ARMS)
    summary = CliRunner().invoke(main, ["summary", str(root), "--json"]).stdout
    assert list(json.loads(summary)["arms"]) == list(ARMS)
    assert (root / "errors" / "arm=sp\u00e4ter.1e-3_%3D%3D").is_dir()
    assert encoded("aZ09_-.+") == "aZ09_-.+"
    assert encoded("a=b %/\u20ac") == "a%3Db%20%25%2F%E2%82%AC"


def test_a_name_whose_folder_no_file_system_takes_is_refused():
    def named(arm):
        return busy_document(10) | {"arm": {arm: {}}}

    decode("test", named("=" * 83))
    with pytest.raises(ConfigError, match="252 bytes, a = counted three times, expected at most 250"):
        decode("test", named("=" * 84))


def test_a_run_with_the_folders_of_an_older_version_is_read(root, old):
    assert (old / "errors" / "arm=ce_threshold=0+profile=6.1").is_dir()
    run, new = open_run(old), open_run(root)
    assert run.digests() == new.digests() == new.manifest["digests"]
    for table in ("errors", "lifecycle"):
        assert run.table(table, "ce_threshold=2+profile=6.12") == new.table(table, "ce_threshold=2+profile=6.12")
    texts = [CliRunner().invoke(main, ["summary", str(path)]).stdout for path in (root, old)]
    assert texts[0] == texts[1]
    assert CliRunner().invoke(main, ["replay", str(old), "--node", "7"]).exit_code == 0


def test_a_run_of_an_older_version_is_not_written_to(old, tmp_path):
    assert resume_run(old, EngineChoice(workers=1), lambda _: None)["digests"]
    broken = shutil.copytree(old, tmp_path / "run")
    (broken / "run.json").unlink()
    with pytest.raises(DataError, match=r"schema_version = 4, expected 5.*other folders"):
        resume_run(broken, EngineChoice(workers=1), lambda _: None)


def test_a_run_with_folders_of_two_versions_is_refused(old, tmp_path):
    mixed = shutil.copytree(old, tmp_path / "run")
    part = next(mixed.glob("errors/arm=ce_threshold=0*/*.parquet"))
    (mixed / "errors" / "arm=ce_threshold%3D0+profile%3D6.1").mkdir()
    shutil.move(part, mixed / "errors" / "arm=ce_threshold%3D0+profile%3D6.1")
    with pytest.raises(DataError, match="missing"):
        open_run(mixed)
