"""On a Ray cluster of two nodes: the rows of this machine's processes, whatever the actors, shards, policies or store.

One cluster serves all tests here; that a run starts one of its own, and that processes die, is looked at elsewhere.
"""

import contextlib

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from tests import processes
from tests.fleets import OWN_POLICIES, counting_fleet, run_fleet
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
