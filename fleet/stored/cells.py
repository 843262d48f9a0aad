"""Columns of tables as arrays of numbers, for counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from fleet.stored.arrays import Numbers, to_numpy
from node_sim.records import NULL, Ints

Tables = Mapping[str, pa.Table]


def ints(table: pa.Table, column: str, null: int = NULL) -> Ints:
    """Values of a column, with ``null`` in the place of nulls."""
    return _numbers(table.column(column).chunks, null).astype(np.int64)


def codes(table: pa.Table, column: str) -> Ints:
    """Codes of an enumeration column written with its full vocabulary; -1 for null."""
    return _numbers([chunk.indices for chunk in table.column(column).chunks], NULL).astype(np.int64)


def _numbers(chunks: Sequence[pa.Array], null: int) -> Numbers:
    """Put the values of chunks together."""
    if len(chunks) == 1:
        return to_numpy(chunks[0], null)
    return np.concatenate([to_numpy(chunk, null) for chunk in chunks]) if chunks else np.empty(0, np.int64)
