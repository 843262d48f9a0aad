"""A run killed at any moment resumes to the rows of the undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from analysis import open_run
from node_sim.errors import DataError

NODES, SHARD = 1000, 50
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fleet.cli import main
main()
"""
"""Tests that run in the background may have been started with SIGINT ignored, and so would the program."""
COMMAND = (sys.executable, "-c", PROGRAM)


def start(root):
    settings = [f"group.{name}.faults.fit_factor=20.0" for name in ("sddc", "altitude", "secded")]
    options = [part for setting in settings for part in ("--set", setting)]
    return subprocess.Popen(
        [
            *COMMAND,
            "run",
            "-o",
            str(root),
            "--nodes",
            str(NODES),
            "--shard-nodes",
            str(SHARD),
            "--workers",
            "2",
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Digests of the run, when it has its plan and when it ends [s]."""
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    begun = time.monotonic()
    process = start(root)
    while not (root / "plan.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    planned = time.monotonic() - begun
    assert process.wait() == 0
    return open_run(root).manifest["digests"], planned, time.monotonic() - begun


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 7))])
def test_sigkill_at_a_random_moment_then_resume(undisturbed, tmp_path, seed):
    digests, planned, duration = undisturbed
    # One moment of the start, where there is little to be lost; the others while shards are written.
    delay = random.Random(seed).uniform(*((planned, duration) if seed else (0.3, planned)))
    print(f"seed {seed}: SIGKILL after {delay:.3f} s of {duration:.3f} s, {planned:.3f} s of them before the plan")
    root = tmp_path / "run"
    process = start(root)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if not (root / "plan.json").exists():
        assert not root.exists() or not any(path.suffix == ".parquet" for path in root.rglob("*"))
        return
    if not (root / "run.json").exists():
        with pytest.raises(DataError, match="resume"):
            open_run(root)
    done = subprocess.run(
        [*COMMAND, "resume", str(root), "--workers", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run = open_run(root)
    assert run.manifest["digests"] == digests
    assert run.digests() == digests
    stored = {path.relative_to(root).as_posix() for path in root.glob("*/arm=*/*.parquet")}
    assert stored == {part.path for part in run.parts}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_committed_shards(tmp_path, sent, code):
    root = tmp_path / "run"
    process = subprocess.Popen(
        [*COMMAND, "run", "-o", str(root), "--nodes", "300000", "--shard-nodes", "1000", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(600):
        if root.exists() and len(list(root.glob("commit/*.json"))) >= 3:
            break
        time.sleep(0.05)
    os.killpg(process.pid, sent) if sent is signal.SIGINT else process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert "resume" in errors
    assert len(list(root.glob("commit/*.json"))) >= 3
    assert not (root / "run.json").exists()
