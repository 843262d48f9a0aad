"""A machine that gives no more memory or files, or kills a worker, ends in one line or is of no account."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis import open_run

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
HOT = [f"group.{name}.faults.fit_factor=20.0" for name in ("sddc", "altitude", "secded")]
RUN = (*COMMAND, "run", *(part for setting in HOT for part in ("--set", setting)))


def limited(limit: str, *options: str) -> subprocess.CompletedProcess:
    command = f'ulimit {limit}; exec "$@"'
    return subprocess.run(
        ["bash", "-c", command, "-", *COMMAND, "run", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("limit", "options", "says"),
    [
        ("-n 16", ("--workers", "2"), "Too many open files"),
        ("-n 16", ("--engine", "ray"), "'ulimit -n' = 16"),
        ("-v 1000000", ("--engine", "ray"), "'ulimit -v' = 1,000,000"),
        ("-v 400000", ("--workers", "1"), "raise 'ulimit -v'"),
        ("-v 600000", ("--workers", "2"), "raise 'ulimit -v'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else part,
)
def test_what_a_limit_forbids_is_said_in_one_line(tmp_path, limit, options, says):
    done = limited(limit, "-o", str(tmp_path / "run"), "--nodes", "4000", *options)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in done.stderr


def workers_of(pid: int) -> list[int]:
    """Processes below one that has forked them through the fork server."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for one in children for child in (one, *map(str, workers_of(int(one))))]


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    root = tmp_path / "run"
    options = ("-o", str(root), "--nodes", "3000", "--shard-nodes", "100", "--workers", "2")
    process = subprocess.Popen([*RUN, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((root / "commit").glob("*")):
        assert process.poll() is None
        time.sleep(0.02)
    before = workers_of(process.pid)
    os.kill(before[-1], signal.SIGKILL)
    assert process.wait(timeout=180) == 0
    assert open_run(root).digests() == open_run(root).manifest["digests"]
