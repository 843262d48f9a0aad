"""How many aggregators a Ray node has for its hosts, and which of them a host is given."""

from types import SimpleNamespace

import pytest

from fleet.engines import ray_engine
from fleet.engines.ray_engine import HOSTS_PER_AGGREGATOR, _Aggregators

NODES = ["a" * 56, "b" * 56]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    """Actors that are started nowhere, on two nodes with cores."""
    started = SimpleNamespace(remote=lambda *_: SimpleNamespace(ready=SimpleNamespace(remote=object)))
    alive = [{"NodeID": node, "Alive": True, "Resources": {"CPU": 16.0}} for node in NODES]
    monkeypatch.setattr(ray_engine, "AggregatorActor", SimpleNamespace(options=lambda **_: started))
    monkeypatch.setattr(ray_engine.ray, "nodes", lambda: alive)


def seats_of(hosts_by_node, wanted=None):
    """How many attempts each aggregator has once all hosts are at work, by node."""
    found = _Aggregators(None, wanted)
    for node, hosts in hosts_by_node.items():
        for _ in range(hosts):
            found.near(node).attempts += 1
    return [(seat.node_id, seat.attempts) for seat in found.seats]


@pytest.mark.parametrize("hosts", [1, 2, 4, 5, 8, 9, 16])
def test_a_node_has_one_for_every_four_hosts(hosts):
    seats = seats_of({NODES[0]: hosts})
    assert len(seats) == -(-hosts // HOSTS_PER_AGGREGATOR)
    assert sum(attempts for _, attempts in seats) == hosts
    assert max(attempts for _, attempts in seats) <= HOSTS_PER_AGGREGATOR


def test_hosts_have_one_of_their_own_node():
    assert seats_of({NODES[0]: 3, NODES[1]: 6}) == [(NODES[0], 3), (NODES[1], 4), (NODES[1], 2)]


def test_as_many_as_asked_are_never_more():
    seats = seats_of({NODES[0]: 9, NODES[1]: 1}, wanted=2)
    assert seats == [(NODES[0], 9), (NODES[1], 1)]
    assert seats_of({NODES[0]: 4, NODES[1]: 4}, wanted=1) == [(NODES[0], 8)]
