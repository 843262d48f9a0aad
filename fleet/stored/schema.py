"""Arrow schemas of the event tables, derived from the column registry."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet.stored.arrays import from_numpy, from_texts
from node_sim.codes import Code
from node_sim.columns import TABLES, Column, Columns
from node_sim.errors import DataError

SCHEMA_VERSION = 5
"""Raised whenever a stored column or document, or a sum of a tally, changes its name, type or meaning."""
OLDEST_READ = 4
"""Runs since this version are read; the older of them, which differ in names of folders and have no views, are not
written to."""


def check_version(path: object, plan: dict[str, Any], oldest: int = OLDEST_READ) -> None:
    """Check that a run was planned with the tables of this version.

    Args:
        path: Where the plan is, for the message.
        plan: Its content.
        oldest: Version that will do.

    Raises:
        DataError: It was not.
    """
    found = plan.get("schema_version")
    if not (isinstance(found, int) and oldest <= found <= SCHEMA_VERSION):
        what = "other folders" if found == OLDEST_READ else "other columns"
        msg = (
            f"{path}: schema_version = {found}, expected {SCHEMA_VERSION}: another version planned this run, with "
            f"{what}; run the scenario anew, or use the version that planned it"
        )
        raise DataError(msg)


def arrow_type(column: Column) -> pa.DataType:
    """Return the stored type of a column."""
    if column.code is not None:
        return pa.dictionary(pa.int8(), pa.utf8())
    if column.dtype == "bool":
        return pa.bool_()
    if column.dtype == "str":
        return pa.utf8()
    return pa.from_numpy_dtype(np.dtype(column.dtype))


@cache
def table_schema(name: str) -> pa.Schema:
    """Return the Arrow schema of a table, with unit and sentence of each column in the field metadata."""
    fields = [
        pa.field(
            column.name,
            arrow_type(column),
            nullable=column.nullable,
            metadata={"unit": column.unit, "description": column.sentence, "null": column.null},
        )
        for column in TABLES[name]
    ]
    return pa.schema(fields, metadata={"hwpoison_fleet.schema_version": str(SCHEMA_VERSION)})


def _array(column: Column, values: npt.NDArray[np.generic]) -> pa.Array:
    """Turn one column of a kernel into Arrow; negative numbers in nullable columns are null."""
    valid = values >= 0 if column.nullable else None  # type: ignore[operator]
    if column.code is not None:
        return pa.DictionaryArray.from_arrays(from_numpy(values.astype(np.int8), valid), _vocabulary(column.code))
    return from_numpy(values.astype(column.dtype), valid)


@cache
def _vocabulary(code: type[Code]) -> pa.Array:
    return from_texts(code.vocabulary())


def to_arrow(name: str, columns: Columns) -> pa.Table:
    """Turn the columns of a table, each of shape ``(n,)``, into an Arrow table with its full schema."""
    arrays = [_array(column, columns[column.name]) for column in TABLES[name]]
    return pa.Table.from_arrays(arrays, schema=table_schema(name))


def empty_table(name: str) -> pa.Table:
    """Return a table without rows."""
    return to_arrow(name, {column.name: np.empty(0, np.int64) for column in TABLES[name]})
