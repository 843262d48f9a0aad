"""An interruption that C code drops is raised again where the program is then, and clean-up is left alone."""

import signal
import subprocess
import sys

import pytest

from tests import processes

PROGRAM = """
import signal, sys, time
import numpy as np
from fleet.interruption import interrupted_when_asked

class Asked(type):
    def __getattr__(cls, name):
        if name == "__array_ufunc__":
            signal.raise_signal(NUMBER)
        raise AttributeError(name)

class Member(metaclass=Asked):
    pass

def ask():
    np.arange(3) == Member()  # which drops it
    print("dropped", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)
"""
A_RUN = """
from fleet.cli import main
from fleet.engines.processes import Aggregator
def add(*given):
    ask()
    time.sleep(60)
Aggregator.add = add
main()
"""
CLEAN_UP = """
def later():
    try:
        yield
    finally:
        time.sleep(0.7)
        print("closed", flush=True)
with interrupted_when_asked():
    ask()
    steps = later()
    next(steps)
    try:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.7)
            raise ValueError from None
        finally:
            steps.close()
            time.sleep(0.7)
            print("cleaned", flush=True)
    except ValueError:
        print("told", flush=True)
time.sleep(0.7)
print("over", flush=True)
"""
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def do(number, program, *words):
    """Run a program that asks itself to end; it must do so long before its minute is over."""
    text = PROGRAM.replace("NUMBER", str(int(number))) + program
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, words)], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_run_ends_though_what_was_raised_got_lost(tmp_path, number, code):
    root = tmp_path / "run"
    done = do(number, A_RUN, "run", "-o", root, "--nodes", 30, "--workers", 1, "--progress", "none")
    assert (done.returncode, done.stdout) == (code, "dropped\n"), done.stderr
    assert "resume" in done.stderr
    assert processes.loose_files(root) == []


@pytest.mark.parametrize("number", [number for number, _ in SIGNALS])
def test_clean_up_of_any_length_is_not_interrupted_again(number):
    done = do(number, CLEAN_UP)
    assert (done.returncode, done.stdout, done.stderr) == (0, "dropped\nclosed\ncleaned\ntold\nover\n", "")
