"""A sample of a fleet, simulated in memory: its faults and the errors of every arm, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from fleet.engines.shard import run_shard
from fleet.scenario.fleet import Fleet
from fleet.stored.plan import plan_shards
from fleet.stored.schema import empty_table

SHARD_NODES = 16_384


def sample_errors(
    fleet: Fleet, seed: int, columns: Sequence[str], fault_columns: Sequence[str]
) -> Iterator[tuple[pa.Table, list[pa.Table]]]:
    """Simulate all nodes of a fleet and yield, for each block of them, its faults and the errors of each arm's view."""
    for shard in plan_shards(fleet.nodes, min(SHARD_NODES, fleet.nodes)):
        for block in run_shard(fleet, seed, shard):
            faults = [part.rows.select(fault_columns) for part in block.tables if part.table == "faults"]
            tables = [part for part in block.tables if part.table == "errors"]
            errors = [
                pa.concat_tables(
                    [empty_table("errors").select(columns)]
                    + [part.rows.select(columns) for part in tables if not part.arms or arm in part.arms]
                )
                for arm in range(len(fleet.arms))
            ]
            yield pa.concat_tables([empty_table("faults").select(fault_columns), *faults]), errors
