"""The plan of a run: which nodes each shard holds; fixed at the start, it never changes a row."""

from __future__ import annotations

from typing import NamedTuple

from node_sim.errors import ConfigError

SHARD_NODES_MAX = 131_072
SHARD_NODES_MIN = 1_024
SHARDS_AT_LEAST = 4
"""So that a small fleet still keeps several workers busy."""


class Shard(NamedTuple):
    """Consecutive nodes simulated together by one worker."""

    shard_id: int
    first_node: int
    nodes: int


def default_shard_nodes(nodes: int) -> int:
    """Return a shard size for a fleet: large enough for large Parquet parts, small enough for memory."""
    return min(SHARD_NODES_MAX, max(SHARD_NODES_MIN, -(-nodes // SHARDS_AT_LEAST)))


def plan_shards(nodes: int, shard_nodes: int) -> tuple[Shard, ...]:
    """Cut ``nodes`` nodes into shards of ``shard_nodes``.

    Raises:
        ConfigError: The shard size is not from 1 to the maximum.
    """
    if not 1 <= shard_nodes <= SHARD_NODES_MAX:
        msg = f"shard size = {shard_nodes}, expected 1 to {SHARD_NODES_MAX} nodes; change --shard-nodes"
        raise ConfigError(msg)
    starts = range(0, nodes, shard_nodes)
    return tuple(Shard(index, first, min(shard_nodes, nodes - first)) for index, first in enumerate(starts))
