"""The commands about tables: the dictionary of columns, and the rows of a run as files."""

import json

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from node_sim.columns import SENTENCES, TABLES, VIEW_COLUMNS
from tests.fleets import busy_fleet, run_fleet


def ask(*words, code=0):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables") / "run"
    run_fleet(busy_fleet(30), root)
    return root


def test_every_column_of_every_table_is_described():
    found = json.loads(ask("tables", "--json"))
    assert found["format"] == "hwpoison-fleet tables 1"
    assert list(found["tables"]) == list(TABLES)
    for name, table in found["tables"].items():
        columns = (*VIEW_COLUMNS, *TABLES[name])
        assert table["sentence"] == SENTENCES[name]
        assert [one["column"] for one in table["columns"]] == [column.name for column in columns]
        for said, column in zip(table["columns"], columns, strict=True):
            assert (said["unit"], said["sentence"], said["null_means"]) == (
                column.unit,
                column.sentence,
                column.null or None,
            )
            assert said["vocabulary"] == (list(column.code.vocabulary()) if column.code else [])
            assert said["type"]


def test_the_text_says_the_same_within_100_columns():
    text = ask("tables")
    words = " ".join(text.split())
    for table, columns in TABLES.items():
        assert f"{table}: {SENTENCES[table]}" in text
        for column in columns:
            assert column.sentence in words
            assert not column.null or f"Null: {column.null}." in words
            assert column.code is None or f"One of: {', '.join(column.code.vocabulary())}." in words
    assert max(map(len, text.splitlines())) <= 100
    assert ask("tables", "signals") in text
    assert "n_pages" not in ask("tables", "signals")


def test_a_table_that_is_none_is_answered_with_one():
    assert "did you mean signals?" in ask("tables", "signal", code=2)


def test_an_export_names_each_file_with_its_rows(root, tmp_path):
    text = ask("export", "csv", root, "-o", tmp_path / "out", "--table", "errors", "--table", "arms")
    rows = sum(open_run(root).table("errors", arm).num_rows for arm in open_run(root).arms)
    assert text.splitlines() == [f"{tmp_path}/out/errors.csv: {rows:,} rows", f"{tmp_path}/out/arms.csv: 4 rows"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("csv", "--table", "error"), "did you mean errors"),
        (("csv", "--arm", "defaul"), "did you mean default"),
        (("xlsx",), "csv.gz"),
    ],
)
def test_an_export_that_cannot_be_is_refused_and_leaves_nothing(root, tmp_path, words, says):
    suffix, *more = words
    assert says in ask("export", suffix, root, "-o", tmp_path / "out", *more, code=2)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_altered_is_not_exported(root, tmp_path):
    (root / "views.sql").write_text("")
    assert "views.sql: altered" in ask("export", "csv", root, "-o", tmp_path / "out", code=4)
    assert "mending: views.sql: altered" in CliRunner().invoke(main, ["resume", str(root), "--workers", "1"]).stderr
    ask("export", "parquet", root, "-o", tmp_path / "out", "--arm", "default")
