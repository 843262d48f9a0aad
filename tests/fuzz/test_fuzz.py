"""No input breaks the command line: the fuzzer for half a minute, and for 20,000 cases where there is time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.architecture.house import ROOT
from tests.fuzz.cases import KINDS, WRITING, case_of

TOLD = KINDS


def fuzzer(*options):
    """Run the fuzzer in a process of its own; what it prints names the seed of every case that fails."""
    command = (sys.executable, "-m", "tests.fuzz.run", *options)
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=env)


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
