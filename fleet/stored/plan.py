"""The plan of a run: which nodes each shard holds; fixed at the start, it never changes a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from node_sim.errors import ConfigError

SHARD_NODES_MAX = 524_288
SHARD_NODES_MIN = 1_024
SHARD_NODES_USUAL = 262_144
"""Fewer waste the steps of lives, which cost much the same for few nodes as for many."""
SHARDS_AT_LEAST = 4
"""So that a small fleet still keeps several workers busy."""
SHARDS_PER_WORKER = 4
POINTS_PER_SHARD = 16_000
"""Expected work of a shard (``node_sim/lives/load.py``) below which more shards cost more than they share out."""
POINTS_PER_SHARD_MAX = 1_000_000
"""Work of some 5 to 20 s; more would be lost if a worker is."""


class Shard(NamedTuple):
    """Consecutive nodes simulated together by one worker."""

    shard_id: int
    first_node: int
    nodes: int


class PlacedGroup(Protocol):
    """A node group with its place among the node numbers."""

    @property
    def first_node(self) -> int:
        """First node."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""

    @property
    def dimm_bytes(self) -> int:
        """Memory of one of their DIMMs."""


def groups_in(shard: Shard, groups: Iterable[PlacedGroup]) -> list[tuple[int, int]]:
    """Return first node and number of nodes of each group within a shard; number 0 where it has none."""
    found = []
    for group in groups:
        first = max(group.first_node, shard.first_node)
        end = min(group.first_node + group.nodes, shard.first_node + shard.nodes)
        found.append((first, max(0, end - first)))
    return found


def shard_size(
    nodes: int,
    shard_nodes: int | None = None,
    nodes_per_actor: int | None = None,
    points: float = 0.0,
    workers: int = 1,
) -> int:
    """Return the nodes of a shard: as asked, as many as an actor holds, or what suits a fleet of this size.

    A shard is large enough for large Parquet parts, and small enough to be lost; its memory hardly depends on it.

    Args:
        nodes: Nodes of the fleet.
        shard_nodes: Nodes of a shard, as asked.
        nodes_per_actor: Nodes that an actor holds, as asked.
        points: Expected work of the fleet.
        workers: How many share it.
    """
    usual = min(SHARD_NODES_USUAL, max(SHARD_NODES_MIN, -(-nodes // SHARDS_AT_LEAST)))
    worth = min(points / POINTS_PER_SHARD, float(SHARDS_PER_WORKER * workers))
    shards = max(worth, points / POINTS_PER_SHARD_MAX, 1.0)
    return shard_nodes or nodes_per_actor or max(1, min(usual, int(-(-nodes // shards))))


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
