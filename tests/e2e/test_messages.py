"""What people are told: about inputs that are no files, names that are nearly right, what was changed, how to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cli import main

PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from fleet.cli import main; main()"
COMMAND = (sys.executable, "-c", PROGRAM)
TINY = ("--nodes", "20", "--years", "0.1", "--workers", "1")


def ask(*words: object, code: int = 2) -> str:
    """Call the command line in this process; return what it says."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


def inputs(path: object) -> list[tuple[object, ...]]:
    """Commands that read a file as their input."""
    return [
        ("run", path),
        ("scenario", "check", path),
        ("scenario", "show", path),
        ("scenario", "init", "new.toml", "--from", path),
        ("conform", path, "--kernel", "6.1"),
        ("conform", "--predict", path, "-o", "new.csv", "--kernel", "6.1"),
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_a_pipe_or_a_device_is_refused_in_one_line_without_being_waited_for(tmp_path, number, kind):
    path = tmp_path / "input" if kind == "a pipe" else Path("/dev/zero")
    if kind == "a pipe":
        os.mkfifo(path)
    words = [str(word) for word in inputs(path)[number]]
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.PIPE
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}: {kind}, not a regular file, expected ")


def test_what_a_shell_puts_in_place_of_a_file_is_refused_if_it_is_a_pipe_and_read_if_it_is_a_file(tmp_path):
    (tmp_path / "x.toml").write_text("[group.a]\n")
    program = f"{sys.executable} -c '{PROGRAM}' scenario check"
    for script, code in (
        (f"{program} <(cat x.toml)", 2),
        (f"cat x.toml | {program} /dev/stdin", 2),
        (f"{program} /dev/stdin < x.toml", 0),
    ):
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr
        assert ("a pipe, not a regular file" in done.stderr) == (code == 2)


@pytest.mark.parametrize("name", ["plan.json", "run.json", "a part"])
def test_a_fifo_in_a_run_is_refused(tmp_path, name):
    ask("run", "-o", tmp_path / "run", "--nodes", 300, "--workers", 1, code=0)
    path = tmp_path / "run" / name
    path = path if path.is_file() else next((tmp_path / "run").rglob("*.parquet"))
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in ask("summary", tmp_path / "run", code=4)


DRAM, SHOW = ("dram", "--lifetimes", str(1 << 32)), ("scenario", "show", "google-2008", "--sample", "20000000")
RUN = ("run", "--nodes", "2000000", "-o", "run")
TERM, INT = (signal.SIGTERM, 143), (signal.SIGINT, 130)


def wait_for_work(pid: int, seconds: float = 1.5) -> None:
    """Wait until a process has used so much processor time: more than it takes to start, however busy the machine."""
    while True:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert fields[0] != "Z", "it has ended"
        if (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") >= seconds:
            return
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "kept", "sign", "code"),
    [
        (DRAM, False, *TERM),
        (SHOW, False, *INT),
        (RUN, True, *TERM),
        (RUN, True, *INT),
        pytest.param(DRAM, False, *INT, marks=pytest.mark.long),
        pytest.param(SHOW, False, *TERM, marks=pytest.mark.long),
    ],
)
def test_only_what_commits_says_that_it_can_be_resumed(tmp_path, words, kept, sign, code):
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if kept:
        time.sleep(4)
    else:
        wait_for_work(process.pid)
    process.send_signal(sign)
    out, said = process.communicate(timeout=60)
    how = "terminated" if sign == signal.SIGTERM else "interrupted"
    more = "; what is committed is kept, 'hwpoison-fleet resume' goes on" if kept else ""
    assert (process.returncode, out, said) == (code, "", f"error: {how}{more}\n")


def test_the_heading_of_a_summary_says_what_was_changed_from_the_scenario(tmp_path):
    changed = ("--set", "faults.fit_factor=2", "--sweep", "detection.hot_share=0.2,0.3")
    ask("run", "-o", tmp_path / "run", *TINY, *changed, code=0)
    said = "changed from the scenario: --set faults.fit_factor=2; --sweep detection.hot_share=0.2,0.3"
    assert ask("summary", tmp_path / "run", code=0).splitlines()[1] == said
    assert json.loads(ask("summary", tmp_path / "run", "--json", code=0))["run"]["changes"] == [
        "--set faults.fit_factor=2",
        "--sweep detection.hot_share=0.2,0.3",
    ]
    ask("run", "-o", tmp_path / "arm", *TINY, "--arm", "early_kill", code=0)
    assert ask("summary", tmp_path / "arm", code=0).splitlines()[1] == "changed from the scenario: --arm early_kill"
    ask("run", "-o", tmp_path / "plain", *TINY, code=0)
    assert ask("summary", tmp_path / "plain", code=0).splitlines()[1] == ""
