"""Exports of what hosts recorded, as their readers find them: rasdaemon's own tool, a shell and its checker."""

import os
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from tests.debian import program, tree_of
from tests.fleets import busy_fleet, run_fleet

LIMIT_S = 120


def ask(*words, code=0):
    done = CliRunner().invoke(main, list(map(str, words)))
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("readers") / "run"
    run_fleet(busy_fleet(12), root, shard_nodes=5)
    return root


@pytest.fixture(scope="module", params=["complete", "rasdaemon-0.8.5", "rasdaemon-0.6.8-debian12"])
def databases(request, root, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    text = ask("export", "rasdaemon", root, "-o", out, "--collector", request.param, "--rows-per-window", 5)
    return request.param, out, text


def own_tool(database, folder):
    """What ras-mc-ctl of Debian prints of a database, in a mount namespace where the database is in its place."""
    tree, state = tree_of("rasdaemon"), folder / "lib"
    (state / "rasdaemon").mkdir(parents=True)
    (state / "rasdaemon/ras-mc_event.db").write_bytes(database.read_bytes())
    stub = folder / "modprobe"  # it asks for one at its start, and calls it for other orders only
    stub.write_text("#!/bin/sh\n")
    stub.chmod(0o755)
    libraries = [str(path) for path in tree.glob("usr/lib/*/perl5/*")] + [str(tree / "usr/share/perl5")]
    perl = f"perl {tree}/usr/sbin/ras-mc-ctl"
    order = f"mount --bind {state} /var/lib && {perl} --summary && echo ===== && {perl} --errors"
    alone = ["-m"] if os.geteuid() == 0 else ["-rm"]
    done = subprocess.run(
        ["unshare", *alone, "sh", "-c", order],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env={**os.environ, "PERL5LIB": ":".join(libraries), "PATH": f"{os.environ['PATH']}:{tree}/usr/sbin:{folder}"},
    )
    assert done.returncode == 0, (
        f"ras-mc-ctl needs a mount namespace of its own (unshare {' '.join(alone)}), which this machine refuses, or "
        f"cannot read the database: {done.stderr}"
    )
    assert done.stderr == ""
    return done.stdout.split("=====\n")


def most_of(out):
    """The database of the host with most uncorrected errors."""

    def uncorrected(path):
        with sqlite3.connect(path) as database:
            return database.execute("SELECT count(*) FROM mc_event WHERE err_type != 'Corrected'").fetchone()[0]

    return max(sorted(out.glob("*/ras-mc_event.db")), key=uncorrected)


def test_the_tool_of_rasdaemon_counts_and_lists_every_row(databases, tmp_path):
    _, out, _ = databases
    path = most_of(out)
    summary, errors = own_tool(path, tmp_path)
    with sqlite3.connect(path) as database:
        rows = {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("mc_event", "mce_record")}  # fmt: skip
        types = dict(database.execute("SELECT err_type, count(*) FROM mc_event GROUP BY err_type"))
    assert min(rows.values()) > 0
    for kind, number in types.items():
        assert sum(map(int, re.findall(rf"^\t{kind} on DIMM.* errors: (\d+)$", summary, re.MULTILINE))) == number
    assert sum(map(int, re.findall(r"^\t(\d+) .* errors$", summary, re.MULTILINE))) == rows["mce_record"]
    events, _, checks = errors.partition("MCE events:")
    assert len(re.findall(r"^\d+ 20\d\d-", events, re.MULTILINE)) == rows["mc_event"]
    assert len(re.findall(r"^\d+ 20\d\d-.* error: \S", checks, re.MULTILINE)) == rows["mce_record"]
    assert "grain 5" in events


def test_rows_count_what_the_run_counts_host_by_host(databases, root):
    name, out, text = databases
    run = open_run(root)
    errors = run.table("errors", run.arms[0]).to_pylist()
    total = 0
    for path in out.glob("*/ras-mc_event.db"):
        node = int(path.parent.name.removeprefix("sim-"))
        with sqlite3.connect(path) as database:
            got = database.execute("SELECT sum(err_count) FROM mc_event WHERE err_type = 'Corrected'").fetchone()[0]
            total += database.execute("SELECT count(*) FROM mc_event").fetchone()[0]
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert (got or 0) == sum(row["ce_count"] for row in errors if row["node_id"] == node and row["kind"] == "CE")
    assert re.search(rf"^  mc_event +{total:,}$", text, re.MULTILINE)
    assert name != "complete" or "lost by" not in text
    if name == "rasdaemon-0.6.8-debian12":
        assert re.search(r"^  signal_event +\d+  the collector is built", text, re.MULTILINE)


TABLES = {"complete": 21, "rasdaemon-0.8.5": 21, "rasdaemon-0.6.8-debian12": 4}


def test_every_table_of_the_release_is_there(databases):
    name, out, _ = databases
    with sqlite3.connect(most_of(out)) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = [row[1] for row in database.execute("PRAGMA table_info(mce_record)")]
    assert len(tables) == TABLES[name]
    assert {"mc_event", "aer_event", "extlog_event", "mce_record"} <= tables
    assert ("memory_failure_event" in tables) == ("signal_event" in tables) == (name != "rasdaemon-0.6.8-debian12")
    assert ("ppin" in columns) == (name != "rasdaemon-0.6.8-debian12")


@pytest.fixture(scope="module")
def scripts(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("scripts")
    ask("export", "injection-script", root, "-o", out, "--rows-per-window", 2)
    return sorted(out.glob("*.sh"))


def test_scripts_are_clean_to_shellcheck(scripts):
    done = subprocess.run(
        [program("shellcheck"), *scripts[:3]], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def run_script(path, *words):
    return subprocess.run(["sh", path, *words], capture_output=True, text=True, check=False, timeout=LIMIT_S)


def test_a_script_only_prints_what_it_would_do(scripts):
    done = run_script(scripts[0])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].endswith("nothing is done without --i-understand; it would")
    assert "  write sw to /sys/kernel/debug/mce-inject/flags" in done.stdout


def test_a_script_refuses_machines_that_are_not_booted_for_tests(scripts):
    assert "hwpoison_test_machine" not in Path("/proc/cmdline").read_text()
    done = run_script(scripts[0], "--i-understand")
    assert (done.returncode, done.stdout) == (1, "")
    assert "refused: no hwpoison_test_machine on the kernel's command line" in done.stderr
    assert run_script(scripts[0], "--force").returncode == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nodes", "12"], "--nodes: '12', expected nodes from 0 to 11"),
        (["--nodes", "5-3"], "--nodes: '5-3', expected nodes from 0 to 11"),
        (["--nodes", "a"], "--nodes: 'a', expected nodes"),
        (["--arm", "defalt"], "did you mean default?"),
        (["--collector", "mcelog"], "--collector: 'mcelog'"),
        (["--rows-per-window", "0"], "--rows-per-window: 0, expected a whole number from 1"),
    ],
)
def test_mistakes_are_explained(root, tmp_path, words, said):
    assert said in " ".join(ask("export", "trace", root, "-o", tmp_path / "out", *words, code=2).split())


def test_nothing_is_overwritten_and_hosts_without_events_have_empty_files(root, tmp_path):
    text = ask("export", "kernel-log", root, "-o", tmp_path, "--nodes", "0-2,2")
    assert text.splitlines()[0] == f"{tmp_path}: kernel-log of 3 hosts"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"sim-0000{node}.log" for node in range(3)]
    said = ask("export", "kernel-log", root, "-o", tmp_path, "--nodes", "1", code=2)
    assert "there already, expected new files" in " ".join(said.split())
    assert "in the folder of the run" in ask("export", "trace", root, "-o", root / "x", code=2)


def test_runs_of_other_shards_give_the_same_files(root, tmp_path):
    other = tmp_path / "other"
    run_fleet(busy_fleet(12), other, shard_nodes=12)
    for form in ("kernel-log", "trace"):
        for name, folder in (("a", root), ("b", other)):
            ask("export", form, folder, "-o", tmp_path / form / name, "--nodes", "3,7", "--rows-per-window", 3)
        files = [sorted((tmp_path / form / name).iterdir()) for name in ("a", "b")]
        assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
