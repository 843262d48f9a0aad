"""Tidy tables: a row is one number of one arm, columns carry their units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_TYPES = {"": pa.utf8(), "1": pa.int64(), "ns": pa.int64(), "?": pa.bool_()}
"""Types by unit: names, counts, times, yes or no; everything else is a number."""


def tidy(rows: Sequence[tuple[Any, ...]], **units: str) -> pa.Table:
    """Return rows as a table; ``units`` names the columns and gives their units, empty for names."""
    columns = zip(*rows, strict=True) if rows else [()] * len(units)
    fields = [pa.field(name, _TYPES.get(unit, pa.float64()), metadata={"unit": unit}) for name, unit in units.items()]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, fields, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def where(table: pa.Table, **equal: str) -> pa.Table:
    """Return the rows whose columns have these values."""
    for name, value in equal.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def column_of(table: pa.Table, name: str) -> list[Any]:
    """Return the values of a column."""
    found: list[Any] = table.column(name).to_pylist()
    return found


def arms_in(table: pa.Table) -> list[str]:
    """Return the arms of a table in order."""
    return list(dict.fromkeys(column_of(table, "arm")))
