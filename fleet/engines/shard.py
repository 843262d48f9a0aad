"""The unit of work: simulate the nodes of one shard under all arms and hand out Arrow tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fleet.scenario.fleet import Fleet
from fleet.scenario.own_policies import functions_of
from fleet.stored.plan import Shard, groups_in
from fleet.stored.schema import to_arrow
from node_sim.columns import TABLE_NAMES
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.lives.rows import COMMON


class ShardTable(NamedTuple):
    """Rows of one table that belong to a set of arms; no arms means all of them (``_common``)."""

    arms: tuple[int, ...]
    table: str
    rows: pa.Table


def run_shard(fleet: Fleet, seed: int, shard: Shard) -> list[ShardTable]:
    """Simulate a shard.

    Args:
        fleet: The scenario.
        seed: Of the run.
        shard: Nodes to simulate.

    Returns:
        Tables in a fixed order: by arms, then by table; empty ones are left out.

    Raises:
        PolicyError: A policy of the user's own has failed.
    """
    seeded, functions = Seed.of(seed), functions_of(fleet)
    pieces: dict[tuple[tuple[int, ...], str], list[pa.Table]] = {}
    for group, (first, nodes) in zip(fleet.groups, groups_in(shard, fleet.groups), strict=True):
        if not nodes:
            continue
        node_id = np.arange(first, first + nodes)
        block = simulate_block(seeded, node_id, group.hardware, group.policies, fleet.horizon_ns, functions)
        if block.faults["time_ns"].size:
            pieces.setdefault((COMMON, "faults"), []).append(to_arrow("faults", block.faults))
        for part in block.parts:
            for name, columns in part.tables.items():
                pieces.setdefault((part.arms, name), []).append(to_arrow(name, columns))
    order = {name: rank for rank, name in enumerate(TABLE_NAMES)}
    keys = sorted(pieces, key=lambda key: (key[0], order[key[1]]))
    return [ShardTable(arms, name, pa.concat_tables(pieces[arms, name])) for arms, name in keys]
