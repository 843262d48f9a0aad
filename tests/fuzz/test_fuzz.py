"""No input breaks the command line: the fuzzer for half a minute, and for 20,000 cases where there is time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.architecture.house import ROOT
from tests.fuzz import run
from tests.fuzz.cases import KINDS, WRITING, Case, case_of
from tests.fuzz.judge import Ended, problems

TOLD = KINDS


def fuzzer(*options):
    """Run the fuzzer in a process of its own; what it prints names the seed of every case that fails."""
    command = (sys.executable, "-m", "tests.fuzz.run", *options)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_no_input_breaks_it_in_half_a_minute():
    done = fuzzer("--seed", "1", "--cases", "20000", "--seconds", "30", "--kinds", ",".join(TOLD))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_no_input_breaks_it_in_20_000_cases():
    done = fuzzer("--seed", "1000000", "--cases", "20000", "--kinds", ",".join(TOLD))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_is_a_function_of_its_seed():
    for seed in range(300):
        one, two = case_of(seed), case_of(seed)
        assert (one.kind, one.arguments, one.files, one.stdout) == (two.kind, two.arguments, two.files, two.stdout)
    assert {case_of(seed).kind for seed in range(300)} == set(KINDS)


def test_no_case_writes_to_a_device_of_this_machine():
    writing = [case for case in map(case_of, range(3000)) if not WRITING.isdisjoint(case.arguments)]
    assert len(writing) > 20
    assert [case.arguments for case in writing if any("/dev/" in word for word in case.arguments)] == []


PREDICT = ["conform", "--predict", "x.csv", "-o", "y.csv"]


@pytest.mark.parametrize(
    ("arguments", "line", "is_right"),
    [
        (["summary", "x"], "error: x: no such folder", True),
        (["summary", "a: b"], "error: a: b: no such folder", True),
        (["summary", " "], "error: ' ': no such folder, expected a: b", True),
        (["summary", " "], "error:  : no such folder, expected a: b", False),
        (["summary", "x "], "error: x : no such folder, expected a: b", False),
        (["summary", "x"], "error: no such folder", False),
        (PREDICT, "not modelled   ' a': 1 fewer fields than input columns", True),
        (PREDICT, "not modelled    a: 1 fewer fields than input columns", False),
        (PREDICT, "not modelled   : 1 fewer fields than input columns", False),
        (PREDICT, "not modelled   a", False),
        (["conform", "x.csv"], "not modelled   a: 1 fewer fields than input columns", False),
        (["summary", "x"], "not modelled   a: 1 fewer fields than input columns", False),
    ],
)
def test_a_line_on_stderr_names_a_place_that_is_seen(arguments, line, is_right):
    ended = Ended(2, b"", f"{line}\n".encode(), "")
    assert problems(Case("any", arguments), ended, set(), set()) == [f"no where: {line!r}"] * (not is_right)


def test_cases_run_with_one_thread_for_matrices():
    code = "import sys, os, tests.fuzz; print('numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])"
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    assert done.stdout == "False 1\n"


def spin(*_):
    """Take processor time until something ends the process."""
    while True:
        pass


@pytest.mark.parametrize(("way", "ended"), [(spin, "SIGXCPU"), (lambda *_: time.sleep(100), "SIGKILL")])
def test_a_case_that_takes_too_long_tells_where_it_was_and_how_its_threads_ran(way, ended, monkeypatch):
    for name, value in {"CPU_S": 0.1, "WALL_S": 5.0, "DUMP_S": 0.2, "make_run": Path, "try_case": way}.items():
        monkeypatch.setattr(run, name, value)
    found = run.fuzz(1, 2)
    assert (found.tried, [seed for seed, _, _ in found.failed]) == (2, [1, 2])
    for _, _, problem in found.failed:
        assert problem.startswith(f"process ended: signal {ended}\nCurrent thread ")
        assert re.search(r"(?m)^  File .*test_fuzz.py\", line \d+ in ", problem)
        assert re.search(r"(?m)^thread \d+ \S+: [RS], \d.* s user, .* s system, waited \S+ s for a core$", problem)
