"""The plan of a run: which nodes each shard holds; fixed at the start, it never changes a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

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


def shard_size(nodes: int, shard_nodes: int | None = None, nodes_per_actor: int | None = None) -> int:
    """Return the nodes of a shard: as asked, as many as an actor holds, or what suits a fleet of this size.

    A shard is large enough for large Parquet parts and small enough for memory.
    """
    usual = min(SHARD_NODES_MAX, max(SHARD_NODES_MIN, -(-nodes // SHARDS_AT_LEAST)))
    return shard_nodes or nodes_per_actor or usual


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
