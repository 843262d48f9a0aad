"""Whatever process of a run is killed, and whenever: the run or its resumption has the rows of an undisturbed one."""

import os
import random
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from analysis import open_run
from node_sim.errors import DataError
from tests import processes
from tests.ports import free_port
from tests.processes import COMMAND

NODES, SHARD = 600, 30
HOT = [part for name in ("sddc", "altitude", "secded") for part in ("--set", f"group.{name}.faults.fit_factor=20.0")]


def start(root, *options):
    return processes.start("run", "-o", root, "--nodes", NODES, "--shard-nodes", SHARD, "--workers", 2, *HOT, *options)


def resumed(root):
    """Resume a run on this machine, to its end."""
    done = subprocess.run(
        [*COMMAND, "resume", str(root), "--workers", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return open_run(root)


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
    process.communicate()
    assert process.returncode == 0
    return open_run(root).manifest["digests"], planned, time.monotonic() - begun


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 7))])
def test_sigkill_at_a_random_moment_then_resume(undisturbed, tmp_path, seed):
    digests, planned, duration = undisturbed
    # One moment of the start, where there is little to be lost; the others while shards are written.
    delay = random.Random(seed).uniform(*((planned, duration) if seed else (0.3, planned)))
    print(f"seed {seed}: SIGKILL after {delay:.3f} s of {duration:.3f} s, {planned:.3f} s of them before the plan")
    root = tmp_path / "run"
    process = start(root)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if not (root / "plan.json").exists():
        assert not root.exists() or not any(path.suffix == ".parquet" for path in root.rglob("*"))
        return
    if not (root / "run.json").exists():
        with pytest.raises(DataError, match="resume"):
            open_run(root)
    run = resumed(root)
    assert run.manifest["digests"] == digests
    assert run.digests() == digests
    assert processes.loose_files(root) == []


VICTIMS = ("aggregator", "forkserver", "raylet", "gcs", "host", "worker", "driver", "own raylet")
GOES_ON = ("aggregator", "forkserver", "raylet", "host", "worker")
TITLES = {
    "aggregator": "ray::_AggregatorActor",
    "host": "ray::_NodeHost",
    "gcs": "gcs_server",
    "own raylet": "raylet/raylet",
    "forkserver": "forkserver import main",
    "worker": "forkserver import main",
}


def find(victim, session, driver):
    """Processes of a session that are the victim: workers are started by the fork server, and that by the driver."""
    found = [pid for pid, line in processes.in_session(session).items() if TITLES[victim] in line]
    if victim in ("worker", "forkserver"):
        return [pid for pid in found if (parent_of(pid) == driver) == (victim == "forkserver")]
    return found


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 20))])
def test_any_one_process_may_be_killed(undisturbed, tmp_path, seed):
    draw, victim, late = random.Random(seed), VICTIMS[seed % len(VICTIMS)], seed >= len(VICTIMS)
    number, delay_s = draw.randrange(1, 12), draw.uniform(0.0, 0.3)
    local = victim in ("worker", "forkserver") or (victim == "driver" and not late)
    given = victim in ("aggregator", "raylet") or (victim in ("host", "gcs") and late)
    print(
        f"seed {seed}: SIGKILL of {victim} {delay_s:.3f} s after commit {number}; local {local}, cluster given {given}"
    )
    root = tmp_path / "run"
    with processes.two_raylets() if given else nullcontext() as cluster:
        options = () if local else ("--engine", "ray", *(("--address", cluster["address"]) if given else ()))
        process = start(root, *options)
        processes.wait_for_commits(process, root, number)
        time.sleep(delay_s)
        actors = cluster["session"] if given else process.pid
        if victim == "driver":
            pid = process.pid
        elif given and victim in cluster["pids"]:
            pid = cluster["pids"][victim]
        else:
            pid = draw.choice(find(victim, actors, process.pid))
        processes.kill(pid)
        assert not (root / "run.json").exists(), "killed too late"
        output, errors = process.communicate(timeout=120)
        assert process.returncode == (0 if victim in GOES_ON else -signal.SIGKILL if victim == "driver" else 1), errors
        if victim not in GOES_ON and victim != "driver":
            (line,) = errors.splitlines()
            assert line.startswith("error: --engine ray: the cluster is lost")
            assert "resume" in line
            assert output == ""
        if victim in GOES_ON:
            assert errors == ""
        # Agents that Ray itself starts beside a raylet may outlive a driver that is killed; actors of ours may not.
        ours = "ray::_" if victim == "driver" and not local else ""
        assert processes.ended(process.pid, ours, within_s=15.0) == {}
        if given:  # Ray takes half a minute to notice that a raylet is gone
            assert processes.ended(actors, "ray::_", within_s=60.0) == {}
    assert not processes.is_locked(root)
    if victim != "driver":
        assert processes.loose_files(root) == []
    run = open_run(root) if victim in GOES_ON else resumed(root)
    assert processes.loose_files(root) == []
    assert run.digests() == run.manifest["digests"] == undisturbed[0]


@pytest.mark.parametrize("engine", ["one", "local", "ray"])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_within_a_shard_and_leaves_what_is_committed(tmp_path, engine, sent, code):
    root = tmp_path / "run"
    options = {"one": ("--workers", 1), "local": ("--workers", 2), "ray": ("--workers", 2, "--engine", "ray")}[engine]
    process = processes.start("run", "-o", root, "--nodes", 10000, "--shard-nodes", 1000, *HOT, *options)
    processes.wait_for_commits(process, root, 1)
    time.sleep(0.5)
    asked_s = time.monotonic()
    os.killpg(process.pid, sent) if sent is signal.SIGINT else process.send_signal(sent)
    output, errors = process.communicate(timeout=60)
    took_s = time.monotonic() - asked_s
    assert process.returncode == code
    (line,) = errors.splitlines()
    assert "resume" in line
    assert output == ""
    assert processes.ended(process.pid, within_s=2.0) == {}
    assert took_s < 5
    assert processes.commits(root) >= 1
    assert not (root / "run.json").exists()
    assert processes.loose_files(root) == []
    assert not processes.is_locked(root)


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)]
)
def test_a_run_that_is_interrupted_while_ray_starts_ends_at_once(tmp_path, sent, code):
    root, options = tmp_path / "run", ("--engine", "ray", "--metrics-port", free_port())
    process = start(root, *options)
    while not any(TITLES["gcs"] in line for line in processes.in_session(process.pid).values()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    asked_s = time.monotonic()
    process.send_signal(sent)
    output, errors = process.communicate(timeout=60)
    took_s = time.monotonic() - asked_s
    assert (process.returncode, output) == (code, "")
    told, line = errors.splitlines()
    assert told.startswith("metrics: ")
    assert line.startswith("error: ")
    assert "resume" in line
    assert took_s < 5
    assert processes.ended(process.pid, within_s=2.0) == {}
    assert not root.exists()
