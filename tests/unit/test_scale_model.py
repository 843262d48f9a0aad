"""The model of a run on a cluster against cases whose answer is known."""

import importlib.util
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fleet.engines.ray_engine import HOSTS_PER_AGGREGATOR
from fleet.engines.shard import expected_work
from tests.fleets import BASELINE, decode

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
spec = importlib.util.spec_from_file_location("scale", DEPLOY / "scale.py")
scale = importlib.util.module_from_spec(spec)
sys.modules["scale"] = scale
spec.loader.exec_module(scale)

NOTHING = scale.Rates(**dict.fromkeys((item.name for item in scale.Rates.__dataclass_fields__.values()), 0.0))

WRITING = {
    "aggregate_node_s": 0.25,
    "aggregate_shard_s": 0.125,
    "sync_shard_s": 9.0,
    "commit_s": 0.0625,
    "finish_s": 7.0,
}


def wall(cluster, shards, **rates):
    return scale.predict(scale.Cluster(*cluster), replace(NOTHING, **rates), nodes=shards, shards=shards).wall_s


@pytest.mark.parametrize(("hosts", "rounds"), [(1, 12), (3, 4), (4, 3), (5, 3), (12, 1), (20, 1)])
def test_equal_shards_go_in_rounds(hosts, rounds):
    assert wall((1, 32, hosts), 12, node_s=2.0) == pytest.approx(2.0 * rounds)


def test_hosts_beyond_the_cores_of_a_machine_do_not_help():
    assert wall((1, 2, 4), 12, node_s=2.0) == pytest.approx(wall((1, 2, 2), 12, node_s=2.0))


def test_machines_that_are_added_do():
    assert wall((4, 2, 2), 16, node_s=2.0) == pytest.approx(wall((1, 8, 8), 16, node_s=2.0)) == pytest.approx(4.0)


def test_starting_comes_before_everything_and_is_shared_by_the_cores():
    assert wall((1, 2, 4), 4, plan_s=1.0, cluster_start_s=2.0, host_start_s=3.0) == pytest.approx(1 + 2 + 2 * 3)


def test_an_aggregator_serves_its_hosts_one_after_the_other():
    """Four hosts end their shards at one time; the last waits for three others, and there is no other work."""
    assert wall((1, 32, 4), 4, node_s=1.0, sync_shard_s=0.5) == pytest.approx(1.0 + 4 * 0.5)
    assert wall((1, 32, 8), 8, node_s=1.0, sync_shard_s=0.5) == pytest.approx(1.0 + 4 * 0.5)


def test_a_driver_that_commits_too_slowly_bounds_the_run():
    assert wall((1, 64, 32), 320, node_s=0.01, commit_s=0.1) == pytest.approx(320 * 0.1, rel=0.01)


def test_no_work_is_lost():
    names = ("cluster_start_s", "cluster_end_s", "plan_s", "host_start_s", "shard_s", "node_s", "spread")
    rates = scale.Rates(**dict(zip(names, (1, 4, 2, 3, 0.75, 0.5, 0.0), strict=True)), **WRITING)
    found = scale.predict(scale.Cluster(3, 2, 2), rates, nodes=40, shards=20)
    assert found.cpu_s == pytest.approx(1 + 4 + 2 + 6 * 3 + 40 * 0.75 + 20 * (0.75 + 0.125 + 0.0625) + 7)


def test_shares_of_aggregators_and_rates_are_those_of_the_project():
    measured = json.loads((DEPLOY / "scale_rates.json").read_text())
    assert scale.HOSTS_PER_AGGREGATOR == HOSTS_PER_AGGREGATOR
    assert set(measured["rates"]) == set(asdict(NOTHING))
    fleet = decode("baseline", {**BASELINE, "nodes": 100_000})
    assert measured["points_per_node"] == pytest.approx(expected_work(fleet) / fleet.nodes)
