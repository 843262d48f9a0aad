"""What commands print off a terminal is at most 100 columns wide, in bytes as awk counts; on one, as wide as it is."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from click.testing import CliRunner

from fleet.cli import main

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
SMALL = ("--nodes", "40", "--workers", "1", "--progress", "none", "--set", "faults.fit_factor=20")


def asked(*words):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("widths")
    sweep = ("--sweep", "page_offline.ce_threshold=0,1,2,4,8,16")
    printed = {
        "one": asked("run", "-o", root / "one", *SMALL, "--arm", "default"),
        "four": asked("run", "-o", root / "four", *SMALL),
        "six": asked("run", "-o", root / "six", *SMALL, *sweep),
    }
    assert all(done.exit_code == 0 for done in printed.values())
    return root, printed


def tables(text):
    """All lines but those that name the folder of the test."""
    return [line for line in text.splitlines() if "hwpoison-fleet" not in line and not line.startswith("data: ")]


@pytest.mark.parametrize("name", ["one", "four", "six"])
def test_the_end_of_a_run_and_its_summary_fit(runs, name):
    root, printed = runs
    for text in (printed[name].stdout, asked("summary", root / name).stdout):
        assert [line for line in tables(text) if len(line.encode()) > 100] == []
        assert "kills" in text


@pytest.mark.parametrize("name", ["four", "six"])
def test_a_comparison_fits(runs, name):
    done = asked("compare", runs[0] / name)
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if len(line.encode()) > 100] == []
    assert len(done.stdout.splitlines()) > 10


@pytest.mark.parametrize(
    "command",
    [
        "scenario list",
        "scenario show baseline",
        "scenario show google-2008 --sample 200",
        "dram --lifetimes 20000",
        "dram --lifetimes 20000 --years 100",
        "inject --list",
        "inject --list --kernel 5.15",
        "inject --rules",
        "conform --columns",
        "schema",
    ],
)
def test_lists_and_tables_fit(command):
    done = asked(*command.split())
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if len(line.encode()) > 100] == []


def test_one_arm_is_not_compared_and_no_run_suggests_to(runs):
    root, printed = runs
    assert "compare" not in printed["one"].stdout
    assert "hwpoison-fleet compare" in printed["four"].stdout
    for more in ((), ("--json",)):
        done = asked("compare", root / "one", *more)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "one arm, default, expected two or more to compare" in done.stderr


def on_terminal(columns, *words):
    """What a command prints on a terminal of so many columns."""
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    child = subprocess.Popen([*COMMAND, *words], stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    text = b""
    while True:
        try:
            more = os.read(mine, 65536)
        except OSError:  # the terminal is gone with the process
            break
        if not more:
            break
        text += more
    os.close(mine)
    assert child.wait() == 0
    return text.decode().replace("\r\n", "\n").splitlines()


def test_on_a_terminal_text_is_as_wide_as_that():
    widest = {columns: max(map(len, on_terminal(columns, "inject", "--list"))) for columns in (80, 160)}
    assert 70 < widest[80] <= 80
    assert 100 < widest[160] <= 160
