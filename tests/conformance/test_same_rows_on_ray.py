"""On a Ray cluster of two nodes: the rows of this machine's processes, whatever the actors, shards, policies or store.

What both engines show and say is asked of both here, as one cluster serves all tests; that a run starts one of its own,
and that processes die, is looked at elsewhere.
"""

import contextlib
import time
import urllib.error
import urllib.request

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
def cluster(server):
    """Its address; started when the environment, which actors take over, has the keys of the store."""
    with processes.two_raylets() as started:
        yield started["address"]
    assert server.http


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
def how(engine, request):
    """Options for an engine by its name: one worker, two, or two hosts of the cluster."""
    workers = ("--workers", 1 if engine == "one" else 2)
    return (
        (*workers, "--engine", "ray", "--address", request.getfixturevalue("cluster")) if engine == "ray" else workers
    )


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
    with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
        return {one.name.removeprefix("hwpoison_fleet_"): one.value for of in families for one in of.samples}
    return {}


@pytest.mark.parametrize("engine", [pytest.param("one", marks=pytest.mark.long), "local", "ray"])
def test_metrics_move_within_a_shard(engine, how, tmp_path):
    go, port = tmp_path / "go", free_port()
    (tmp_path / "mine.py").write_text(HELD.format(go=str(go)))
    (tmp_path / "held.toml").write_text(HELD_FLEET)
    options = ("--shard-nodes", 1000, "--policy", "mine:held", "--metrics-port", port)
    process = processes.start("run", "held.toml", "-o", "run", *options, *how, folder=tmp_path)
    seen = []
    while not seen or not seen[-1].get("rows_in_flight"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
        seen.append(scrape(port))
    time.sleep(0.2)
    first, then = seen[-1], scrape(port)
    assert processes.commits(tmp_path / "run") == first["shards_committed"] == first["rows_total"] == 0
    assert 0 < first["nodes_in_flight"] <= 1000
    assert 1 <= first["shards_in_flight"] <= 1 + (engine != "one")
    assert 0.2 < then["shard_lag_seconds"] - first["shard_lag_seconds"] + 0.01 < 60
    go.touch()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
