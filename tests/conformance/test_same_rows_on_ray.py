"""On a Ray cluster of two nodes: the rows of this machine's processes, whatever the actors, shards, policies or store.

What both engines show and say is asked of both here, as one cluster serves all tests; that a run starts one of its own,
and that processes die, is looked at elsewhere.
"""

import contextlib
import json
import resource
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from analysis import open_run
from fleet.cli import main
from tests import processes
from tests.fleets import OWN_POLICIES, counting_fleet, run_fleet
from tests.ports import free_port
from tests.s3_server import BUCKET, s3_server

NODES = 200


@pytest.fixture(scope="module")
def server():
    with s3_server() as started:
        yield started


@pytest.fixture(scope="module")
def started(server):
    """The cluster; started when the environment, which actors take over, has the keys of the store."""
    with processes.two_raylets() as found:
        yield found
    assert server.http


@pytest.fixture(scope="module")
def cluster(started):
    """Its address."""
    return started["address"]


def call(*words):
    """Run the command line in this process."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return run_fleet(counting_fleet(NODES), tmp_path_factory.mktemp("reference") / "run", shard_nodes=NODES)["digests"]


@pytest.mark.parametrize(
    "how", [{"shard_nodes": 100, "workers": 1}, {"shard_nodes": 50, "workers": 2, "aggregators": 2}], ids=str
)
def test_digests_do_not_depend_on_workers_aggregators_or_shards(cluster, reference, tmp_path, how):
    assert (
        run_fleet(counting_fleet(NODES), tmp_path / "run", name="ray", address=cluster, **how)["digests"] == reference
    )


def test_one_node_per_actor_gives_the_same_rows(cluster, tmp_path):
    fleet = counting_fleet(nodes=4, fit_factor=400.0)
    alone = run_fleet(fleet, tmp_path / "actors", name="ray", address=cluster, workers=None, nodes_per_actor=1)
    assert alone["digests"] == run_fleet(fleet, tmp_path / "local")["digests"]


def test_a_policy_of_ones_own_adds_an_arm_with_the_same_rows(cluster, tmp_path):
    (tmp_path / "mine.py").write_text(OWN_POLICIES)
    words = ("--nodes", 1000, "--arm", "default", "--shard-nodes", 250, "--workers", 2, "--progress", "none")
    with contextlib.chdir(tmp_path):
        call("run", "-o", "local", *words, "--policy", "mine:tenth")
        call("run", "-o", "ray", *words, "--policy", "mine:tenth", "--engine", "ray", "--address", cluster)
    local, ray = open_run(tmp_path / "local"), open_run(tmp_path / "ray")
    assert list(local.arms) == ["default", "tenth"]
    assert ray.digests() == ray.manifest["digests"] == local.manifest["digests"]
    reasons = local.table("lifecycle", "tenth").column("reason").to_pylist()
    assert reasons.count("own policy") >= 10
    assert "own policy" not in local.table("lifecycle", "default").column("reason").to_pylist()


def test_actors_write_to_an_object_store(cluster, server, tmp_path):
    words = ("--nodes", 20, "--shard-nodes", 10, "--arm", "default", "--set", "faults.fit_factor=30.0")
    url = f"s3://{BUCKET}/on-ray/a%20b"
    call("run", "-o", tmp_path / "run", *words, "--workers", 1)
    said = call("run", "-o", url, *words, "--workers", 2, "--engine", "ray", "--address", cluster)
    run = open_run(url)
    assert run.digests() == open_run(tmp_path / "run").digests()
    assert f"replay {url}" in said
    stored = {path for path in server.objects("on-ray/a b") if path.endswith(".parquet")}
    assert stored == {part.path for part in run.parts}


@pytest.fixture
def how(request):
    """Options for an engine by its name: one worker, two, or two hosts of the cluster."""
    workers = ("--workers", 1 if request.param == "one" else 2)
    if request.param != "ray":
        return workers
    return (*workers, "--engine", "ray", "--address", request.getfixturevalue("cluster"))


HELD = """
import time
from pathlib import Path

def held(node):
    while (500 <= node.node_id < 1000 or node.node_id >= 1500) and not Path({go!r}).exists():
        time.sleep(0.05)
"""
"""A policy of a user that is waited for: in each of two shards of 1,000 nodes by those of the second group."""
HELD_FLEET = """
nodes = 2000
arm.default = {}
[group]
a = { share = 0.25 }
b = { share = 0.5 }
c = { share = 0.25 }
"""


def scrape(port):
    """The metrics of a run without labels; none while it does not answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
        return {one.name.removeprefix("hwpoison_fleet_"): one.value for of in families for one in of.samples}
    return {}


def start_held(how, folder, port):
    """Start a run whose policy waits for a file ``go``; return it and its metrics once rows are in flight."""
    (folder / "mine.py").write_text(HELD.format(go=str(folder / "go")))
    (folder / "held.toml").write_text(HELD_FLEET)
    options = ("--shard-nodes", 1000, "--policy", "mine:held", "--metrics-port", port)
    process = processes.start("run", "held.toml", "-o", "run", *options, *how, folder=folder)
    shown = {}
    while not shown.get("rows_in_flight"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
        shown = scrape(port)
    return process, shown


@pytest.mark.parametrize("how", [pytest.param("one", marks=pytest.mark.long), "local", "ray"], indirect=True)
def test_metrics_move_within_a_shard(how, tmp_path):
    port = free_port()
    process, first = start_held(how, tmp_path, port)
    time.sleep(0.2)
    then = scrape(port)
    assert processes.commits(tmp_path / "run") == first["shards_committed"] == first["rows_total"] == 0
    assert 0 < first["nodes_in_flight"] <= 1000
    assert 1 <= first["shards_in_flight"] <= how[1]
    assert 0.2 < then["shard_lag_seconds"] - first["shard_lag_seconds"] + 0.01 < 60
    (tmp_path / "go").touch()
    _, errors = process.communicate()
    assert process.returncode == 0, errors


SMALL = ("--nodes", 400, "--shard-nodes", 100, "--set", "faults.fit_factor=20.0", "--arm", "default")
FULL_KB = 1000
"""A disk that takes some of the four shards of ``SMALL``, which has 1.6 MB."""
ENGINES = pytest.mark.parametrize("how", ["local", "ray"], indirect=True)


def complaint(code, *words):
    """Run a command that fails, in this process; the one line that it says."""
    done = CliRunner().invoke(main, [*map(str, words), "--progress", "none"])
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@contextlib.contextmanager
def mounted(*words):
    """Mount something at the last of some words."""
    if subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(words[-1])], check=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A whole run of ``SMALL``."""
    root = tmp_path_factory.mktemp("small") / "run"
    call("run", "-o", root, *SMALL, "--workers", 1, "--progress", "none")
    return root


def check_whole_again(root, small, how):
    """What a run that failed has left can be resumed, on the same engine, to the same rows."""
    assert not processes.is_locked(root)
    assert processes.loose_files(root) == []
    assert not (root / "run.json").exists()
    call("resume", root, *how)
    assert open_run(root).digests() == open_run(small).digests()
    assert processes.loose_files(root) == []


def unfinished(small, root):
    """Make a copy of a run that lacks one shard."""
    shutil.copytree(small, root)
    (root / "run.json").unlink()
    commit = root / "commit" / "000002.json"
    parts = json.loads(commit.read_text())["parts"]
    commit.unlink()
    for part in parts:
        (root / part["path"]).unlink()
    return root


@ENGINES
def test_a_full_disk_is_said_and_resume_completes_the_run(how, small, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", f"size={FULL_KB}k", "none", disk):
        line = complaint(1, "run", "-o", disk / "run", *SMALL, *how)
        assert "No space left on device, expected to write" in line
        assert "resume" in line
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        check_whole_again(disk / "run", small, how)


@ENGINES
def test_an_output_that_is_read_only_is_said_and_resume_completes_the_run(how, small, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "none", disk):
        root = unfinished(small, disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "Read-only file system" in complaint(2, "run", "-o", disk / "new", *SMALL, *how)
        assert "Read-only file system" in complaint(2, "resume", root, *how)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        check_whole_again(root, small, how)


@ENGINES
def test_parts_that_cannot_be_written_are_said_and_resume_completes_the_run(how, small, tmp_path):
    root = unfinished(small, tmp_path / "run")
    table = root / "errors"
    with mounted("--bind", table, table):
        subprocess.run(["mount", "-o", "remount,bind,ro", table], check=True)
        line = complaint(1, "resume", root, *how)
        assert "Read-only file system, expected to write a part; free space or mend the permissions" in line
    check_whole_again(root, small, how)


@ENGINES
def test_a_port_that_is_taken_is_said_and_resume_completes_the_run(how, small, tmp_path):
    root = unfinished(small, tmp_path / "run")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ("--metrics-port", other.getsockname()[1])
        says = "Address already in use, expected a free port on 127.0.0.1; choose another"
        assert says in complaint(2, "run", "-o", tmp_path / "new", *SMALL, *taken, *how)
        assert says in complaint(2, "resume", root, *taken, *how)
    assert not (tmp_path / "new").exists()
    check_whole_again(root, small, how)


@pytest.mark.long
@ENGINES
def test_a_limit_of_open_files_is_said_and_resume_completes_the_run(how, started, tmp_path):
    process, _ = start_held(how, tmp_path, free_port())
    if "ray" in how:
        writers = [pid for pid, line in processes.in_session(started["session"]).items() if "_AggregatorActor" in line]
    else:
        writers = [pid for pid, line in processes.in_session(process.pid).items() if "forkserver import main" in line]
    assert writers
    for pid in writers:
        taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
        free = min(set(range(len(taken) + 1)) - taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, free))
    (tmp_path / "go").touch()
    _, errors = process.communicate()
    told, line = errors.splitlines()
    assert told.startswith("metrics: ")
    assert process.returncode == 1
    assert "Too many open files" in line
    assert "resume" in line
    assert processes.loose_files(tmp_path / "run") == []
    with contextlib.chdir(tmp_path):
        call("resume", "run", *how)
    run = open_run(tmp_path / "run")
    assert run.digests() == run.manifest["digests"]
