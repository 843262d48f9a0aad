"""A run whose rows are made by hand: a scenario without faults, and rows in place of those that are simulated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fleet.engines import shard
from fleet.scenario.decode import decode
from node_sim.columns import TABLES, Columns
from node_sim.lives.block import BlockRows
from node_sim.lives.rows import COMMON, ArmTables
from tests.fleets import BASELINE, run_fleet


def columns_of(table: str, rows: list[dict[str, Any]]) -> Columns:
    """Return the columns of some rows; what a row does not say is null, or 0 where there is no null."""
    return {
        column.name: np.asarray(
            [row.get(column.name, -1 if column.null else 0) for row in rows],
            np.bool_ if column.dtype == "bool" else np.int64,
        )
        for column in TABLES[table]
    }


def make_run(root: Path, nodes: int, years: float, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write a run of one arm and one group whose rows are given, by table.

    Args:
        root: Its folder.
        nodes: Servers.
        years: Simulated time.
        rows: Codes are numbers; ``fault_id`` of a row of DIMM slot 0 is its node.
    """
    document = {**BASELINE, "arm": {}, "nodes": nodes, "years": years, "group": {"sddc": BASELINE["group"]["sddc"]}}
    document["group"]["sddc"] = {**document["group"]["sddc"], "share": 1.0}
    tables = {name: columns_of(name, [_named(row) for row in found]) for name, found in rows.items() if found}

    def made(*_: Any) -> Iterator[BlockRows]:
        yield BlockRows(nodes, nodes, columns_of("faults", []), [ArmTables(COMMON, tables)])

    with mock.patch.object(shard, "simulate_nodes", made):
        run_fleet(decode("made", document), root, seed=1)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    return {"fault_id": row["node_id"] << 32, **row}
