"""Files of hosts grow while a fleet is served: whole lines only, in time, and in the end what is exported at once."""

import sqlite3
import time

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from tests.living import living_run, serving
from tests.processes import start

SPEED = 8_000_000
"""A year is over in four seconds."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("writes") / "run"
    living_run(root, 3, 5.0)
    return root


def exported(root, form, out):
    done = CliRunner().invoke(main, ["export", form, str(root), "-o", str(out)])
    assert done.exit_code == 0, done.output
    return out


def rows_of(path):
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY id").fetchall() for name in tables}


def settled(path):
    """What a file holds; a write of several pages may be under way, but takes no time to speak of."""
    text = path.read_bytes()
    if text and not text.endswith(b"\n"):
        time.sleep(0.1)
        again = path.read_bytes()
        assert again[: again.rindex(b"\n") + 1].startswith(text), f"{path} ends in the middle of a line"
        text = again[: again.rindex(b"\n") + 1]
    return text


def test_files_grow_by_whole_lines_and_hold_all_in_the_end(root, tmp_path):
    out, seen, sizes = tmp_path / "new" / "out", {}, []
    with serving(root, "--speed", SPEED, "--end", "exit", "--write", out) as served:
        while served.process.poll() is None:
            for path in (*out.glob("*.log"), *out.glob("*/trace.txt")):
                text = settled(path)
                assert text.startswith(seen.get(path, b"")), f"{path} was written anew"
                seen[path] = text
            sizes.append(sum(map(len, seen.values())))
            time.sleep(0.05)
    assert len(set(sizes)) > 5, "they grow step by step"
    logs = exported(root, "kernel-log", tmp_path / "logs")
    traces = exported(root, "trace", tmp_path / "traces")
    stored = exported(root, "rasdaemon", tmp_path / "stored")
    hosts = sorted(path.stem for path in logs.glob("*.log") if path.read_text())
    assert sorted(path.stem for path in out.glob("*.log")) == hosts != []
    for host in hosts:
        assert (out / f"{host}.log").read_text() == (logs / f"{host}.log").read_text()
        if (out / host / "trace.txt").exists():
            assert (out / host / "trace.txt").read_text() == (traces / f"{host}.txt").read_text()
            assert rows_of(out / host / "ras-mc_event.db") == rows_of(stored / host / "ras-mc_event.db")


def test_what_was_recorded_before_the_start_is_not_written(root, tmp_path):
    first_ns = min(row["time_ns"] for row in open_run(root).table("errors").to_pylist())
    with serving(root, "--start", "300d", "--write", tmp_path / "out") as served:
        assert served.get("/-/healthy")[0] == 200
        assert served.stop() == (0, "")
    assert first_ns < 300 * 86_400 * 10**9
    texts = [path.read_text() for path in (tmp_path / "out").glob("*.log")]
    assert texts
    assert set(texts) == {""}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--write", "full"), "full: is there, expected a new folder or an empty one"),
        (("--write", "full/kept/x"), "File exists, expected a folder that can be written"),
        (("--write", "out", "--end", "loop"), "--write: with --end loop"),
    ],
)
def test_a_folder_that_is_in_use_is_refused(root, tmp_path, words, says):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("mine")
    process = start("serve", root, "--port", "0", *words, folder=tmp_path)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (2, "")
    assert says in said
    assert (tmp_path / "full" / "kept").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
