"""Runs as processes of their own, in a session that tells what they have started; and a Ray cluster of two raylets."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TOP = Path(__file__).parents[1]
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fleet.cli import main
main()
"""
"""Tests that run in the background may have been started with SIGINT ignored, and so would the program."""
COMMAND = (sys.executable, "-c", PROGRAM)
TWO_RAYLETS = """
import json, sys
from ray.cluster_utils import Cluster
def pid(node, kind):
    return node.all_processes[kind][0].process.pid
store = 100 << 20
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": store})
second = cluster.add_node(num_cpus=1, object_store_memory=store)
pids = {"gcs": pid(cluster.head_node, "gcs_server"), "own raylet": pid(cluster.head_node, "raylet")}
print(json.dumps({"address": cluster.address, "pids": {**pids, "raylet": pid(second, "raylet")}}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def start(
    *words: object, folder: Path | None = None, within: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen[str]:
    """Start the program in a session of its own, as the last words of a command if there is one.

    How far a run is, is not said, however slow the machine.
    """
    quiet = ("--progress", "none") if words[0] in {"run", "resume"} else ()
    return subprocess.Popen(
        [*within, *COMMAND, *map(str, words), *quiet],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def in_session(session: int) -> dict[int, str]:
    """Command lines of the processes of a session that are alive, by process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def ended(session: int, holding: str = "", within_s: float = 10.0) -> dict[int, str]:
    """Wait until no process of a session is left whose command line holds a text; return those that are."""
    until_s = time.monotonic() + within_s
    while left := {pid: line for pid, line in in_session(session).items() if holding in line}:
        if time.monotonic() > until_s:
            break
        time.sleep(0.05)
    return left


def kill(pid: int) -> None:
    """SIGKILL a process and see it die."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
    until_s = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < until_s, f"{pid} does not die"
        time.sleep(0.01)


def commits(root: Path) -> int:
    """Return how many shards of a run are committed."""
    return len(list(root.glob("commit/*.json")))


def wait_for_commits(process: subprocess.Popen[str], root: Path, number: int) -> None:
    """Wait until so many shards are committed, while the run goes on."""
    while commits(root) < number:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def loose_files(root: Path) -> list[str]:
    """Parts that no commit names, and temporary files."""
    named = {part["path"] for commit in root.glob("commit/*.json") for part in json.loads(commit.read_text())["parts"]}
    stored = {path.relative_to(root).as_posix() for path in root.rglob("*.parquet")}
    return sorted(stored - named) + sorted(path.name for path in root.rglob("*.tmp"))


def is_locked(root: Path) -> bool:
    """Return whether somebody holds the lock of a run."""
    with (root / ".lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def two_raylets() -> Iterator[dict]:
    """A Ray cluster of two nodes with a core each on this machine: its address, processes and session."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", TWO_RAYLETS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    ) as cluster:
        try:
            yield {**json.loads(cluster.stdout.readline()), "session": cluster.pid}
        finally:
            cluster.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                cluster.wait(timeout=20)
            for pid in in_session(cluster.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
