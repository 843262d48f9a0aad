"""Shards are planned by expected work, several for each worker."""

import pytest

from fleet.stored.plan import POINTS_PER_SHARD_MAX, SHARD_NODES_USUAL, plan_shards, shard_size


@pytest.mark.parametrize(
    ("nodes", "points", "workers", "size"),
    [
        (10_000, 16_000.0, 2, 2500),
        (1000, 13.3e6, 1, 76),
        (1000, 1.28e6, 4, 63),
        (10, 1e9, 1, 1),
        (10_000_000, 1e6, 1, SHARD_NODES_USUAL),
    ],
)
def test_shards_are_small_where_much_is_expected_of_a_node(nodes, points, workers, size):
    found = shard_size(nodes, None, None, points, workers)
    assert found == size
    assert found == 1 or points / len(plan_shards(nodes, found)) <= POINTS_PER_SHARD_MAX


def test_what_is_asked_for_goes_before_what_is_expected():
    assert shard_size(1000, 500, None, 1e9) == 500
    assert shard_size(1000, None, 7, 1e9) == 7
