"""The rows of single hosts, of all tables together, in order of time; read shard by shard."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.dataset.run import Run
from fleet.stored.manifest import COMMON_ARM
from node_sim.columns import TABLES

Row = dict[str, Any]
"""A row: its columns by name."""
Life = list[tuple[str, Row]]
"""(table, row) of all rows of a node in an arm, in order of time, causes before what they cause."""
UNSEEN: Final = ("faults", "ecs_reports")
"""Tables that no host shows: nobody sees a fault, and error check and scrub is read by management controllers."""


def lives(
    run: Run, arm: str, nodes: Collection[int] | None = None, *, skip: Collection[str] = UNSEEN
) -> Iterator[tuple[int, Life]]:
    """Yield the life of each node that has rows, in order of nodes.

    Args:
        run: The run.
        arm: Arm.
        nodes: Nodes; None is all.
        skip: Tables to leave out.
    """
    run.check_arm(arm)
    wanted = None if nodes is None else pa.array(sorted(nodes), pa.uint32())
    for receipt in sorted(run.receipts, key=lambda one: one.shard.first_node):
        tables: dict[str, list[pa.Table]] = {}
        for part in receipt.parts:
            if part.arm in (COMMON_ARM, arm) and part.table not in skip:
                table = run.read_part(part)
                if wanted is not None:
                    table = table.filter(pc.is_in(table["node_id"], wanted))
                tables.setdefault(part.table, []).append(table)
        yield from _by_node({name: pa.concat_tables(tables[name]) for name in TABLES if name in tables})


def _by_node(tables: dict[str, pa.Table]) -> Iterator[tuple[int, Life]]:
    """Yield the lives in some tables of one shard."""
    ordered = {name: table.sort_by("node_id") for name, table in tables.items() if table.num_rows}
    node_of = {name: table["node_id"].to_numpy() for name, table in ordered.items()}
    for node in np.unique(np.concatenate([*node_of.values(), np.empty(0, np.uint32)])):
        life: Life = []
        for name, table in ordered.items():
            first, end = np.searchsorted(node_of[name], (node, node + np.uint32(1)))
            life += [(name, row) for row in table.slice(first, end - first).to_pylist()]
        yield int(node), sorted(life, key=lambda item: (item[1]["time_ns"], item[1]["seq"]))
