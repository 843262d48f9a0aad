"""Readers of the published tables that stand beside this file; independent of the simulator."""

from __future__ import annotations

import csv
from pathlib import Path

HERE = Path(__file__).parent


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of ``<name>.csv`` as texts."""
    with (HERE / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rows_by(name: str, key: str) -> dict[str, dict[str, str]]:
    """Return the rows of ``<name>.csv`` by the text of one column, which must be unique."""
    rows = read_table(name)
    found = {row[key]: row for row in rows}
    if len(found) != len(rows):
        msg = f"{name}.csv: column {key} is not unique"
        raise ValueError(msg)
    return found
