"""Files of figures and of their tables: how they are written, and how they are known again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa

MARK: Final = "hwpoison-fleet figures"
"""Stands in every file of a figure."""
_HEAD: Final = 4096
_PLAIN: Final = ("", "1", "?")
"""Units that a header does not name; times have theirs in their names."""


def is_figure(content: bytes) -> bool:
    """Return whether a file is one of a figure."""
    return MARK.encode() in content[:_HEAD] or MARK.encode() in content[-_HEAD:]


def _header(table: pa.Table) -> list[str]:
    units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in table.schema}
    return [name if unit in _PLAIN or name.endswith(f"_{unit}") else f"{name} [{unit}]" for name, unit in units.items()]


def table_as_csv(table: pa.Table) -> bytes:
    """Return a table as CSV (RFC 4180, UTF-8): a header with units, empty for what is not known."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(_header(table))
    columns: list[list[Any]] = [table.column(name).to_pylist() for name in table.column_names]
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue().encode()


def is_table(table: pa.Table) -> Callable[[bytes], bool]:
    """Return what tells whether a file is a table with these columns."""
    head = table_as_csv(table.slice(0, 0))
    return lambda content: content.startswith(head)
