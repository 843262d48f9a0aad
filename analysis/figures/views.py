"""Rows of arms, read shard by shard: what arms share is read once, and each arm's own rows beside it.

A node's rows of a shard are either shared by all arms or each arm's own, but faults, which are always shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.dataset.run import Run
from fleet.stored.cells import Tables
from fleet.stored.manifest import COMMON_ARM
from fleet.stored.schema import empty_table
from node_sim.codes import Code
from node_sim.records import Flags, Ints


class ShardRows(NamedTuple):
    """Rows of one shard: of nodes on which all arms agree, and of the others in each arm."""

    shared: Tables
    own: Mapping[str, Tables]


def read_shards(run: Run, arms: Sequence[str], columns: Mapping[str, Sequence[str]]) -> Iterator[ShardRows]:
    """Read some columns of some tables of some arms, a shard at a time."""
    for receipt in run.receipts:
        found: dict[str, dict[str, list[pa.Table]]] = {arm: {} for arm in (COMMON_ARM, *arms)}
        for part in receipt.parts:
            if part.table in columns and part.arm in found:
                rows = run.read_part(part, columns[part.table])
                found[part.arm].setdefault(part.table, []).append(rows)
        joined = {
            arm: {
                name: pa.concat_tables(tables[name]) if name in tables else empty_table(name).select(list(wanted))
                for name, wanted in columns.items()
            }
            for arm, tables in found.items()
        }
        yield ShardRows(joined.pop(COMMON_ARM), joined)


def ints(table: pa.Table, name: str) -> Ints:
    """Return a column of numbers; null is 0."""
    found: Ints = np.asarray(pc.fill_null(table.column(name), 0)).astype(np.int64)
    return found


def is_code(table: pa.Table, name: str, *codes: Code) -> Flags:
    """Return which rows have one of some codes in a column."""
    found = np.zeros(table.num_rows, np.bool_)
    for code in codes:
        found |= np.asarray(pc.fill_null(pc.equal(table.column(name), code.text), False)).astype(np.bool_)
    return found
