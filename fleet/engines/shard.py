"""The unit of work: simulate the nodes of one shard under all arms, block by block, and hand out Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fleet.scenario.fleet import Fleet
from fleet.scenario.own_policies import functions_of
from fleet.stored.counting import tally_shard
from fleet.stored.digest import add_digests, digest_table
from fleet.stored.plan import Shard, groups_in
from fleet.stored.schema import to_arrow
from fleet.stored.tally import Tally
from node_sim.columns import TABLE_NAMES
from node_sim.draws import Seed
from node_sim.lives.block import BlockRows, simulate_nodes
from node_sim.lives.load import mean_points
from node_sim.lives.rows import COMMON
from node_sim.records import Flags


class ShardTable(NamedTuple):
    """Rows of one table that belong to a set of arms; no arms means all of them (``_common``)."""

    arms: tuple[int, ...]
    table: str
    rows: pa.Table


class ShardBlock(NamedTuple):
    """All rows of some nodes of a shard.

    Attributes:
        nodes: How many of each group.
        next_node: From it on there are nodes of the shard that are not done.
        tables: In a fixed order: by arms, then by table; empty ones are left out.
    """

    nodes: tuple[int, ...]
    next_node: int
    tables: list[ShardTable]

    def n_rows(self) -> int:
        """Return how many rows there are, over all tables."""
        return sum(rows.num_rows for _, _, rows in self.tables)


class ShardSums(NamedTuple):
    """What is counted of nodes while their rows are at hand: digests by arm and table, and the tally."""

    digests: dict[str, dict[str, int]]
    tally: Tally

    @classmethod
    def zero(cls, fleet: Fleet) -> ShardSums:
        """Return the sums of no nodes."""
        return cls({arm: {} for arm in fleet.arms}, Tally.zero(len(fleet.arms), len(fleet.groups)))

    def plus(self, fleet: Fleet, block: ShardBlock) -> ShardSums:
        """Return these sums with those of a block."""
        names, groups = fleet.arms, fleet.groups
        digests = {arm: dict(of_arm) for arm, of_arm in self.digests.items()}
        for arms, table, rows in block.tables:
            digest = digest_table(rows)
            for arm in [names[one] for one in arms] or names:
                digests[arm][table] = add_digests(digests[arm].get(table, 0), digest)
        dimm_bytes = [group.dimm_bytes for group in groups]
        places = [(group.first_node, group.nodes) for group in groups]
        tally = tally_shard(block.tables, places, dimm_bytes, len(names), fleet.horizon_ns, block.nodes)
        return ShardSums(digests, self.tally + tally)


def expected_work(fleet: Fleet) -> float:
    """Return how many bursts and windows of corrected errors a fleet is expected to have."""
    horizon_ns = fleet.horizon_ns
    return sum(group.nodes * mean_points(group.hardware, group.policies, horizon_ns) for group in fleet.groups)


def run_shard(fleet: Fleet, seed: int, shard: Shard) -> Iterator[ShardBlock]:
    """Simulate a shard.

    Args:
        fleet: The scenario.
        seed: Of the run.
        shard: Nodes to simulate.

    Yields:
        All rows of some of its nodes after those of others; each block is done before the next one begins.

    Raises:
        PolicyError: A policy of the user's own has failed.
    """
    seeded, functions = Seed.of(seed), functions_of(fleet)
    for position, (group, (first, nodes)) in enumerate(zip(fleet.groups, groups_in(shard, fleet.groups), strict=True)):
        if not nodes:
            continue
        node_id = np.arange(first, first + nodes)
        blocks = simulate_nodes(seeded, node_id, group.hardware, group.policies, fleet.horizon_ns, functions)
        alone = np.arange(len(fleet.groups)) == position
        # Through ``map``, so that no rows of a block are held here while the next one is simulated.
        yield from map(partial(_block, alone, first), blocks)


def _block(alone: Flags, first: int, rows: BlockRows) -> ShardBlock:
    """Turn the rows of some nodes of one group, which begin at a node of the shard, into Arrow tables."""
    return ShardBlock(tuple((alone * rows.nodes).tolist()), first + rows.done, _tables(rows))


def _tables(rows: BlockRows) -> list[ShardTable]:
    """Turn the rows of a block into Arrow tables."""
    pieces: dict[tuple[tuple[int, ...], str], list[pa.Table]] = {}
    if rows.faults["time_ns"].size:
        pieces[COMMON, "faults"] = [to_arrow("faults", rows.faults)]
    for part in rows.parts:
        for name, columns in part.tables.items():
            pieces.setdefault((part.arms, name), []).append(to_arrow(name, columns))
    order = {name: rank for rank, name in enumerate(TABLE_NAMES)}
    keys = sorted(pieces, key=lambda key: (key[0], order[key[1]]))
    return [ShardTable(arms, name, pa.concat_tables(pieces[arms, name])) for arms, name in keys]
