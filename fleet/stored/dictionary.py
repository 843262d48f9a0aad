"""The dictionary of a run: what every column of every table holds, as views, exports and commands have it."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from fleet.stored.schema import arrow_type
from node_sim.columns import TABLES, VIEW_COLUMNS, Column

ColumnEntry = dict[str, Any]
DICTIONARY_COLUMNS: Final = ("table", "column", "type", "unit", "sentence", "null_means", "vocabulary")
"""What is said of a column: texts, and a list of the words it may hold."""


def view_columns(table: str) -> tuple[Column, ...]:
    """Return the columns of a table as views have it."""
    return (*VIEW_COLUMNS, *TABLES[table])


def view_type(column: Column) -> pa.DataType:
    """Return the type of a column of a view; names are text, however they are stored."""
    stored = arrow_type(column)
    return stored.value_type if pa.types.is_dictionary(stored) else stored


def entries(table: str) -> list[ColumnEntry]:
    """Return what there is to say of each column of a table, in order."""
    return [
        {
            "table": table,
            "column": column.name,
            "type": str(view_type(column)),
            "unit": column.unit,
            "sentence": column.sentence,
            "null_means": column.null or None,
            "vocabulary": list(column.code.vocabulary()) if column.code else [],
        }
        for column in view_columns(table)
    ]
