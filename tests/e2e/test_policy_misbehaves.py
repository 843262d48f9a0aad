"""Policies of one's own that exit, hang or print: the run ends in one line, and what they print is in nobody's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet.engines.descendants import descendants
from fleet.scenario.own_process import LINES_MAX, EndedError, Printed, Watch, run_apart

SMALL = ("--nodes", "300", "--arm", "default", "--shard-nodes", "150")
WILD = """
import ctypes
import os
import sys


def leaves(node):
    os._exit(0)


def exits(node):
    sys.exit(0)


def libc(node):
    ctypes.CDLL(None).exit(0)


def becomes(node):
    os.execv("/bin/true", ["true"])


def dies(node):
    os.kill(os.getpid(), 9)


def swallows(node):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def once(node):
    try:
        while True:
            pass
    except BaseException:
        return None


def prints(node):
    print("node\\x1b[31m", node.node_id, "é")
    os.write(1, b"raw\\n")
    sys.stderr.write("half a line")


def floods(node):
    for n in range(30):
        print("word" * 1000)


def reads(node):
    return [] if sys.stdin.read() == "" else 3
"""


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a program."""
    quiet = ("--progress", "none") if words[0] == "run" else ()
    command = [sys.executable, "-c", "from fleet.cli import main; main()", *words, *quiet]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wild.py").write_text(WILD)
    return tmp_path


ENDS = {
    "leaves": "ended the process it runs in (exit code 0), expected it to return",
    "exits": "raised SystemExit: 0 (line 12)",
    "libc": "ended the process it runs in (exit code 0), expected it to return",
    "becomes": "ended the process it runs in (exit code 0), expected it to return",
    "dies": "its process was ended by SIGKILL: by itself, or because memory ran out, expected it to return",
    "swallows": "took more than own_policy.seconds_per_node = 0.2 s of processor time, and goes on when it is told so",
    "once": "took more than own_policy.seconds_per_node = 0.2 s of processor time; see",
}


LONG = {"libc": pytest.mark.long, "becomes": pytest.mark.long}
"""They end the process in other ways than ``leaves``, which it looks the same to those who wait for it."""


@pytest.mark.parametrize("function", [pytest.param(name, marks=LONG.get(name, ())) for name in ENDS])
@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_a_policy_that_ends_its_process_or_does_not_end_fails_the_run_in_one_line(folder, function, workers):
    policy = "--policy", f"wild:{function}", "--set", "own_policy.seconds_per_node=0.2", "--workers", workers
    done = call(folder, "run", "-o", "run", *SMALL, *policy)
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: own_policy.function = wild:{function}: node ")
    assert ENDS[function] in line
    assert done.stdout == ""
    node = line.split("node ")[1].split(":")[0]
    again = call(folder, "replay", "run", "--node", node, "--arm", function)
    assert (again.returncode, again.stdout) == (1, "")
    assert ENDS[function].split("; see")[0] in again.stderr


@pytest.mark.parametrize("statement", ["import os; os._exit(0)", "import sys; sys.exit(0)", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("package", [False, True])
def test_a_file_that_exits_when_it_is_imported_is_refused(folder, statement, package):
    (folder / "mine").mkdir()
    (folder / "mine" / "__init__.py").write_text(statement if package else "")
    (folder / "mine" / "rule.py").write_text(f"{'' if package else statement}\ndef f(node): pass\n")
    done = call(folder, "run", "-o", "run", *SMALL, "--policy", "mine.rule:f")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: own_policy.function = mine.rule:f: ")
    assert not (folder / "run").exists()


def test_what_a_policy_prints_goes_to_stderr_with_nothing_that_a_terminal_obeys(folder):
    (folder / "wild.py").write_text("print('imported')\n" + WILD)
    done = call(folder, "run", "-o", "run", *SMALL, "--policy", "wild:prints", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["arms"]) == {"default", "prints"}
    lines = done.stderr.splitlines()
    assert lines[0] == "notice: own_policy.function = wild:prints prints: imported"
    assert lines.count(lines[0]) == 1
    assert lines[1].startswith("notice: own_policy.function = wild:prints prints: node\\x1b[31m ")
    assert lines[1].endswith(" é")
    assert lines[2] == "notice: own_policy.function = wild:prints prints: raw"
    assert any(line.startswith("notice: own_policy.function = wild:prints prints: half a line") for line in lines)
    (folder / "wild.py").write_text(WILD)
    silent = call(folder, "run", "-o", "silent", *SMALL, "--policy", "wild:reads", "--workers", "1")
    assert (silent.returncode, silent.stderr) == (0, "")


def test_of_a_flood_the_first_lines_are_shown(folder):
    done = call(folder, "run", "-o", "run", *SMALL, "--policy", "wild:floods", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    lines = done.stderr.splitlines()
    assert len(lines) == LINES_MAX + 1
    assert max(map(len, lines)) < 1000
    assert lines[-1].endswith(f"prints more than {LINES_MAX} lines: the others are not shown")


def test_code_that_waits_is_ended_and_the_node_is_named():
    watch = Watch()

    def work() -> None:
        watch.enter(77)
        time.sleep(600)

    begun = time.monotonic()
    with pytest.raises(EndedError, match=r"does not end: ended after 1 s without an answer") as ended:
        run_apart(work, watch, Printed("x"), patience_s=1.0)
    assert time.monotonic() - begun < 60
    assert (ended.value.inside, ended.value.node_id) == (True, 77)


def test_work_of_our_own_may_take_longer_than_a_policy_may():
    watch = Watch()

    def work() -> int:
        for _ in range(4):
            watch.enter(1)
            time.sleep(0.4)
            watch.leave()
        time.sleep(2)
        return os.getpid()

    assert run_apart(work, watch, Printed("x"), patience_s=1.0) != os.getpid()


def test_what_the_work_raises_is_raised_and_no_process_is_left():
    others = descendants()  # earlier tests may have a fork server
    with pytest.raises(AssertionError, match="mine"):
        run_apart(lambda: (_ for _ in ()).throw(AssertionError("mine")), Watch(), Printed("x"))
    with pytest.raises(EndedError) as ended:
        run_apart(lambda: os._exit(3), Watch(), Printed("x"))
    assert (str(ended.value), ended.value.inside) == ("ended the process it runs in (exit code 3)", False)
    assert descendants() <= others


def test_large_answers_arrive_whole():
    assert run_apart(lambda: b"x" * (5 << 20), Watch(), Printed("x")) == b"x" * (5 << 20)
