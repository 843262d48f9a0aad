"""Single nodes of a run: one worth looking at, and whether a replay gave the stored rows."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from analysis.dataset.run import Run
from fleet.stored.digest import digest_table
from node_sim.columns import TABLES


def example_node(run: Run) -> int:
    """Return a node with a kill, else with a panic or repair, else with a fault, else node 0."""
    for table in ("signals", "lifecycle", "faults"):
        nodes = run.table(table, columns=["node_id"]).column("node_id")
        if len(nodes):
            return int(pc.min(nodes).as_py())
    return 0


def same_rows(run: Run, arm: str, node_id: int, tables: Mapping[str, pa.Table]) -> bool:
    """Return whether tables hold exactly the stored rows of one node in one arm.

    Faults of DIMMs that only another arm installed are stored with the node, but belong to that arm's view alone; both
    sides list them, because both were simulated under all arms.
    """
    for name in TABLES:
        stored = run.table(name, arm)
        stored = stored.filter(pc.equal(stored["node_id"], node_id))
        mine = tables.get(name)
        if digest_table(stored) != (digest_table(mine) if mine is not None else 0):
            return False
    return True
