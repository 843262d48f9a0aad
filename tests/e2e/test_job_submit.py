"""The job of deploy/kuberay on a Ray cluster of this machine that asks for a token; ``make test-cluster`` runs it."""

import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.deployed import manifest
from tests.ports import free_port

pytestmark = pytest.mark.long

BIN = Path(sys.executable).parent
JOB = manifest("ray-job.yaml")["spec"]
HEAD = JOB["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
(HEAD_CONTAINER,) = HEAD["containers"]


def environment(token):
    """What the head's container is given, with the token in place of the secret."""
    told = {entry["name"]: entry.get("value", token) for entry in HEAD_CONTAINER["env"]}
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**plain, **told, "PATH": f"{BIN}:{os.environ['PATH']}"}


def with_token(token):
    """Processes that were given the token: all of its cluster and jobs, whichever session they are in."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if token.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def answer(address, token=None):
    """The status of the jobs API, or None if nobody is there yet."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{address}/api/jobs/", headers=headers), timeout=5
        ) as found:
            return found.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def wait_for(what, seconds):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


class Cluster:
    """A head that is started and ended as the container's command is: `ray start --block`, SIGTERM."""

    def __init__(self, folder):
        self.token = secrets.token_hex(32)
        self.address = f"http://127.0.0.1:{(port := free_port())}"
        command = ["ray", "start", "--head", "--block", "--num-cpus=2", "--object-store-memory=104857600"]
        command += [f"--temp-dir={folder}", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"]
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        ports = ("port", "ray-client-server-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")
        command += [f"--{name}={free_port()}" for name in (*ports, "metrics-export-port", "runtime-env-agent-port")]
        self.process = subprocess.Popen(
            command,
            env=environment(self.token),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ray(self, *words, token=True):
        """Run `ray job ...` here."""
        told = environment(self.token)
        if not token:
            del told["RAY_AUTH_TOKEN"], told["RAY_AUTH_MODE"]
        told["HOME"] = "/nonexistent"  # where a token of this machine might be
        command = ["ray", "job", words[0], "--address", self.address, *words[1:]]
        return subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=120)

    def end(self):
        """Seconds from SIGTERM until nothing of it is left."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        wait_for(lambda: not with_token(self.token), 10)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("aiohttp_cors", reason="no dashboard here; make test-cluster")
    with tempfile.TemporaryDirectory(prefix="hf", dir="/tmp") as folder:  # the paths of Ray's sockets must be short
        made = Cluster(folder)
        try:
            wait_for(lambda: answer(made.address, made.token) == 200, 60)
            yield made
        finally:
            for pid in with_token(made.token):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            made.process.wait()


def entrypoint(folder, nodes):
    """The entry point of the job, for fewer nodes, on two workers."""
    words = JOB["entrypoint"].replace("/runs/baseline", str(folder))
    words = re.sub(r"--workers \d+ --metrics-port \d+", f"--workers 2 --metrics-port {free_port()}", words)
    return shlex.split(re.sub(r"--nodes \d+", f"--nodes {nodes}", words))


def test_nobody_gets_in_without_the_token(cluster, tmp_path):
    assert answer(cluster.address) == 401
    assert answer(cluster.address, "wrong") == 403
    refused = cluster.ray("submit", "--", *entrypoint(tmp_path / "run", 100), token=False)
    assert refused.returncode != 0
    assert "Missing authentication token" in refused.stdout + refused.stderr
    assert not (tmp_path / "run").exists()


def test_the_job_runs(cluster, tmp_path):
    done = cluster.ray("submit", "--", *entrypoint(tmp_path / "run", 2000))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2,000 nodes x 1 year" in done.stdout
    assert (tmp_path / "run" / "run.json").exists()


def driver_of(token, folder):
    """The process of the driver, and its parent."""
    for pid, line in with_token(token).items():
        if f"-o {folder}" in line and not line.startswith("/bin/sh"):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
            return pid, int(stat.rpartition(")")[2].split()[1])
    return None


def test_the_pod_ends_in_time_and_keeps_what_is_committed(cluster, tmp_path):
    run = tmp_path / "run"
    cluster.ray("submit", "--no-wait", "--", *entrypoint(run, 4_000_000))
    wait_for(lambda: list(run.glob("commit/*.json")), 90)
    pid, parent = driver_of(cluster.token, run)
    shell, flag, script = HEAD_CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    only_ours = script.replace("-x hwpoison-fleet", f"-P {parent} -x hwpoison-fleet")
    assert only_ours.count(f"-P {parent} ") == 2
    began = time.monotonic()
    assert subprocess.run([shell, flag, only_ours], check=False).returncode == 0
    assert time.monotonic() - began < 8
    assert not Path(f"/proc/{pid}").exists()
    assert list(run.glob("commit/*.json"))
    assert not (run / "run.json").exists()
    assert time.monotonic() - began + cluster.end() < HEAD["terminationGracePeriodSeconds"] / 2
