"""What analysis/README.md says about reading runs is true: its blocks run, and count what the summary counts."""

import ast
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from fleet.stored.headline import INDEX
from tests.fleets import busy_fleet, run_fleet

README = (Path(__file__).resolve().parents[2] / "analysis" / "README.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
READING = SECTIONS["In DuckDB, Polars and pandas"]
NOTEBOOKS = SECTIONS["Notebooks"]


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes") / "run"
    run_fleet(busy_fleet(200, 15.0), root, shard_nodes=100)
    return root


@pytest.fixture(scope="module")
def ce(root):
    """Corrected errors by arm, as the tally of the run has them."""
    run = open_run(root)
    return {arm: int(run.tally.total[position, :, INDEX["ce"]].sum()) for position, arm in enumerate(run.arms)}


def printed(block, root):
    text = StringIO()
    with redirect_stdout(text):
        exec(compile(block.replace("DIR", str(root)), "README", "exec"), {})
    return text.getvalue()


@pytest.mark.parametrize("block", blocks(READING, "python"))
def test_every_block_of_python_prints_the_corrected_errors_of_each_arm(root, ce, block):
    text = printed(block, root)
    assert {arm for arm in ce if not re.search(rf"{arm}\W+(Decimal\W+)?{ce[arm]}\b", text)} == set(), text


def test_there_are_recipes_for_duckdb_polars_pandas_and_none_of_them():
    code = [ast.parse(block) for block in blocks(READING, "python")]
    first = [next(iter(node.names[0].name for node in tree.body if isinstance(node, ast.Import)), "") for tree in code]
    assert first == ["duckdb", "polars", "json", "", "pyarrow.compute"]


def test_the_lines_of_sql_give_the_corrected_errors_of_each_arm(root, ce):
    (block,) = blocks(READING, "sql")
    connection, results = duckdb.connect(), []
    for line in block.replace("DIR", str(root)).splitlines():
        command = Path(line.split()[1]).read_text() if line.startswith(".read ") else line
        results.append(connection.execute(command).fetchall())
    assert {arm: found for arm, found, _ in results[2]} == ce
    assert sum(kills for arm, _, kills in results[3] if arm == "default") > 0
    assert sum(found for _, _, found in results[4]) == ce["default"]
    offlined = {arm: open_run(root).table("page_offlines", arm).num_rows for arm in ce}
    assert dict(results[5]) == offlined
    assert min(offlined.values()) == 0 < max(offlined.values())


COMMANDS = SECTIONS["Tables and columns"] + SECTIONS["What hosts would have recorded"]


@pytest.mark.parametrize("line", re.findall(r"^hwpoison-fleet (.*)$", COMMANDS, re.MULTILINE))
def test_every_command_works(root, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, shlex.split(line.replace("DIR", str(root))))
    assert done.exit_code == 0, done.output
    assert len(done.stdout) > 30


@pytest.mark.parametrize("block", blocks(NOTEBOOKS, "python"))
def test_what_a_notebook_shows_last_can_be_shown(root, block):
    *before, run, last = ast.parse(block.replace("DIR", str(root))).body
    names = {}
    exec(compile(ast.Module(before, []), "README", "exec"), names)
    for expression in (run, last):
        assert "<table" in eval(compile(ast.Expression(expression.value), "README", "eval"), names)._repr_html_()
