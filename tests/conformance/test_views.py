"""The views of a run give the rows of every arm, of committed parts only, with what DuckDB alone makes of them."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from fleet.engines.choice import EngineChoice
from fleet.run import resume_run
from fleet.scenario.decode import decode
from fleet.stored.dictionary import entries
from fleet.stored.manifest import COMMON_ARM, PartFile
from fleet.stored.views import start_us, views_sql
from node_sim.columns import TABLES, VIEW_COLUMNS
from node_sim.errors import DataError
from tests.damages import tree
from tests.fleets import busy_document, run_fleet
from tests.old_runs import as_version_4

ARMS = {
    "default": {},
    "same=1": {},
    "kernel.early=1": {"kernel.memory_failure_early_kill": 1},
    "offline=2+6.12": {"page_offline.ce_threshold": 2, "kernel.profile": "6.12"},
}
START = "2024-02-29T23:59:59.5+01:00"
COUNTS = {
    "faults": None,
    "ce": "sum(ce_count) from errors",
    "ue": "count(*) from errors where kind = 'UE'",
    "sdc": "count(*) from errors where kind = 'SDC'",
    "machine_checks": "count(*) from machine_checks",
    "panics": "count(*) from lifecycle where kind = 'panic'",
    "io_errors": "count(*) from io_errors",
    "pages_offlined": "coalesce(sum(n_pages), 0) from page_offlines",
    "dimm_replacements": "count(*) from lifecycle where kind = 'dimm_replacement'",
    "cordons": "count(*) from lifecycle where kind = 'cordon'",
}
KILLS = {
    "early_ao": "signal = 'SIGBUS' and timing = 'early'",
    "late_ar": "signal = 'SIGBUS' and timing = 'late'",
    "direct_ar": "signal = 'SIGBUS' and timing = 'direct'",
    "sigkill": "signal = 'SIGKILL'",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    document = busy_document(300, 15.0) | {"start": START}
    document["arm"] = {name: {"set": changes} for name, changes in ARMS.items()}
    document["group"]["it's"] = document["group"].pop("secded")
    root = tmp_path_factory.mktemp("views") / "it's a run"
    run_fleet(decode("test", document), root, shard_nodes=150)
    return root


def views(root, *, by_variable=True):
    connection = duckdb.connect()
    path = str(root).replace("'", "''")
    connection.execute(f"set variable run = '{path}'" if by_variable else f"set file_search_path = '{path}'")
    connection.execute((root / "views.sql").read_text())
    return connection


@pytest.fixture(scope="module")
def sql(root):
    assert {part.arm for part in open_run(root).parts if part.table == "errors"} == {*ARMS, COMMON_ARM}
    return views(root)


def one(connection, query):
    return connection.execute(query).fetchall()[0][0]


def rows_of(connection, table):
    """Stand for the rows of a view, whatever their order."""
    return connection.execute(f"select count(*), sum(hash({table})::hugeint) from {table}").fetchall()


@pytest.mark.parametrize("arm", ARMS)
def test_what_the_views_count_is_what_the_summary_says(root, sql, arm):
    said = json.loads(CliRunner().invoke(main, ["summary", str(root), "--json"]).stdout)["arms"][arm]

    def count(what):
        return one(sql, f"select {what} {'and' if 'where' in what else 'where'} arm = '{arm}'")

    counted = {name: count(what) for name, what in COUNTS.items() if what}
    assert counted == {name: said[name] for name in counted}
    kills = {cause: count(f"count(*) from signals where fate = 'killed' and {which}") for cause, which in KILLS.items()}
    assert kills == said["kills"]
    assert min(counted[name] for name in ("ue", "ce", "panics")) > 0
    assert sum(kills.values()) > 0


@pytest.mark.parametrize("table", TABLES)
def test_a_view_has_the_rows_of_each_arm_with_its_columns(root, sql, table):
    run = open_run(root)
    names = [name for name, *_ in sql.execute(f"describe {table}").fetchall()]
    assert names == [column.name for column in (*VIEW_COLUMNS, *TABLES[table])]
    stored = [name for name in names if name not in ("arm", "group", "ts")]
    quoted = ", ".join(f'"{name}"' for name in stored)
    for arm in run.arms:
        sql.register("expected", run.table(table, arm))
        mine, theirs = f"select {quoted} from {table} where arm = '{arm}'", "select * from expected"
        assert one(sql, f"select count(*) from ({mine} except all {theirs})") == 0
        assert one(sql, f"select count(*) from ({theirs} except all {mine})") == 0


def test_every_signal_has_its_fault_in_its_arm(sql):
    found = sql.execute("select count(*), count(faults.seq) from signals left join faults using (arm, fault_id)")
    ((signals, with_fault),) = found.fetchall()
    assert signals == with_fault > 0


def test_a_row_is_dated_by_the_start_and_belongs_to_the_group_of_its_node(root, sql):
    run = open_run(root)
    start = datetime(2024, 2, 29, 22, 59, 59, 500000, UTC).replace(tzinfo=None)
    assert run.plan["start"] == "2024-02-29T22:59:59.500000Z"
    rows = sql.execute('select node_id, time_ns, "group", ts from errors using sample 1000').fetchall()
    for node_id, time_ns, group, ts in rows:
        mine = next(one for one in run.groups if one.first_node <= node_id < one.first_node + one.nodes)
        assert (group, ts) == (mine.name, start + timedelta(microseconds=time_ns // 1000))
    assert {group for _, _, group, _ in rows} == {"sddc", "altitude", "it's"}


def test_the_small_views_are_the_plan_and_the_dictionary(sql):
    assert sql.execute("select * from arms").fetchall() == [(arm, n) for n, arm in enumerate(ARMS)]
    groups = sql.execute("select * from groups").fetchall()
    assert groups[0] == ("sddc", 0, 225, "ddr4_16gb_x4", "sddc_table", "new_york", "web", 12)
    assert [group[0] for group in groups] == ["sddc", "altitude", "it's"]
    columns = sql.execute('select "table", "column", type, unit, sentence from columns').fetchall()
    assert columns == [
        tuple(one[key] for key in ("table", "column", "type", "unit", "sentence")) for t in TABLES for one in entries(t)
    ]
    types = {"string": "VARCHAR", "timestamp[us]": "TIMESTAMP", "uint32": "UINTEGER", "bool": "BOOLEAN"}
    for table in TABLES:
        described = dict(row[:2] for row in sql.execute(f"describe {table}").fetchall())
        said = {one["column"]: one["type"] for one in entries(table) if one["type"] in types}
        assert {name: described[name] for name in said} == {name: types[kind] for name, kind in said.items()}


def test_tables_without_rows_have_empty_views_of_the_same_columns(root, sql):
    empty = duckdb.connect()
    empty.execute(views_sql(open_run(root).plan, ()))
    for table in TABLES:
        assert one(empty, f"select count(*) from {table}") == 0
        assert empty.execute(f"describe {table}").fetchall() == sql.execute(f"describe {table}").fetchall()
    assert not any(part.table == "ecs_reports" for part in open_run(root).parts)
    assert one(sql, "select count(*) from ecs_reports") == 0


def test_the_folder_may_be_a_variable_or_the_search_path(root, sql):
    searched = views(root, by_variable=False)
    for table in ("errors", "lifecycle"):
        assert rows_of(searched, table) == rows_of(sql, table)


def test_a_stray_file_in_the_folder_changes_nothing(root, sql, tmp_path):
    copy = shutil.copytree(root, tmp_path / "run")
    for part in copy.glob("errors/arm=*/*.parquet"):
        shutil.copy(part, part.with_name("shard-000000-0123456789ab-7.parquet"))
        shutil.copy(part, part.with_name("stray.parquet"))
    assert rows_of(views(copy), "errors") == rows_of(sql, "errors")


@pytest.mark.parametrize("damage", ["missing", "altered", "a link"])
def test_views_that_are_not_those_of_the_run_are_named_and_written_anew(root, tmp_path, damage):
    copy = shutil.copytree(root, tmp_path / "run")
    path = copy / "views.sql"
    text = path.read_text()
    path.unlink()
    if damage == "altered":
        path.write_text(text.replace("shard-000000", "shard-000001", 1))
    elif damage == "a link":
        (tmp_path / "elsewhere.sql").write_text(text)
        path.symlink_to(tmp_path / "elsewhere.sql")
    with pytest.raises(DataError, match=r"views\.sql: .*(missing|altered|a symbolic link).*'hwpoison-fleet resume'"):
        open_run(copy)
    said = []
    resume_run(copy, EngineChoice(workers=1), lambda _: None, said.append)
    assert len(said) == 1
    assert "views.sql" in said[0]
    assert "written anew" in said[0]
    assert not path.is_symlink()
    assert path.read_text() == text
    assert open_run(copy).manifest["digests"] == open_run(root).manifest["digests"]


@pytest.mark.parametrize("finished", [True, False])
def test_what_is_no_file_in_the_place_of_the_views_is_refused_before_anything_is_done(root, tmp_path, finished):
    copy = shutil.copytree(root, tmp_path / "run")
    (copy / "views.sql").unlink()
    (copy / "views.sql").mkdir()
    if not finished:
        (copy / "run.json").unlink()
        (copy / "commit" / "000001.json").unlink()
    before = tree(copy)
    with pytest.raises(DataError, match=r"views\.sql: not a regular file.*move it away, then resume"):
        resume_run(copy, EngineChoice(workers=1), lambda _: None)
    assert tree(copy) == before


def test_resuming_names_the_parts_that_are_there_then(root, sql, tmp_path):
    copy = shutil.copytree(root, tmp_path / "run")
    (copy / "run.json").unlink()
    (copy / "commit" / "000001.json").unlink()
    (copy / "views.sql").write_text("select 'what a killed run has left'")
    resume_run(copy, EngineChoice(workers=1), lambda _: None)
    assert (copy / "views.sql").read_text() != (root / "views.sql").read_text()
    assert rows_of(views(copy), "errors") == rows_of(sql, "errors")


def test_a_run_of_the_version_before_has_no_views_and_needs_none(root, tmp_path):
    old = open_run(as_version_4(root, tmp_path / "run"))
    assert start_us(old.plan) == 1_735_689_600_000_000
    assert [group.part for group in old.groups] == ["", "", ""]


def test_views_of_256_arms_and_many_parts_are_of_a_size_to_read(root):
    """Common rows are expanded by a join, so that the text grows with the parts alone."""
    plan = open_run(root).plan | {"arms": [f"ce_threshold={n}" for n in range(256)]}
    parts = [
        PartFile(f"{table}/arm=x/shard-{shard:06d}-0123456789ab-0.parquet", table, arm, 1, 1, "")
        for table in TABLES
        for arm in (COMMON_ARM, *plan["arms"])
        for shard in range(4)
    ]
    text = views_sql(plan, parts)
    assert len(text) / len(parts) < 60
    assert text.count("read_parquet") == 2 * len(TABLES)
