"""Comparisons as text, CSV and JSON: a line an effect."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from analysis.comparison.compared import ALL, Comparison, Line
from analysis.comparison.effects import to_json
from analysis.text.layout import format_estimate
from fleet.printable import WIDTH
from fleet.stored.headline import BY_KEY

NOTE_UNPAIRED = (
    "Per 1,000 node-years with 95 % intervals; each run is a sample of its own, so effects must be larger to show.\n"
    "Losses are kills, and processes that panics took along."
)
_COLUMN_GAP = 2


def columns_of_text(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Lay out a table, each column as wide as it must be; the first ``left`` are names, the others numbers."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    gap = " " * _COLUMN_GAP
    return [
        gap.join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def first_line(comparison: Comparison) -> list[str]:
    """Say of two runs whether their nodes are paired, and whether they are the same in all that is counted."""
    if comparison.of_one_run:
        return []
    runs = f"{comparison.run.path} against {comparison.base_run.path}"
    if comparison.apart:
        reason = f"warning: not paired, as the faults differ ({'; '.join(comparison.apart)})"
        return textwrap.wrap(f"{reason}: {runs}, as independent samples", WIDTH, subsequent_indent="  ")
    effects = [effect for arm in comparison.pairs for effect in comparison.effects(arm).values()]
    same = "" if any(effect.differing for effect in effects) else "; no node differs in anything that is counted"
    return [f"paired node by node, as seed, nodes, years, hardware and faults are equal: {runs}{same}"]


def comparison_lines(lines: Sequence[Line], by: str | None) -> list[str]:
    """Lay out differences and ratios, a line an effect."""
    header = [
        "arm",
        "against",
        *([by.replace("_", " ")] if by else []),
        "metric",
        "difference",
        "ratio",
        "nodes differ",
    ]
    rows = []
    for line in lines:
        differing = "-" if line.effect.differing is None else f"{line.effect.differing:,}"
        level = [line.level] if by else []
        figures = [format_estimate(line.effect.difference, signed=True), format_estimate(line.effect.ratio), differing]
        rows.append([line.arm, line.base, *level, BY_KEY[line.metric].title or line.metric, *figures])
    return columns_of_text(header, rows, 4 if by else 3)


def comparison_json(lines: Sequence[Line], by: str | None) -> dict[str, Any]:
    """Return effects by arm and metric, or by arm, level and metric."""
    by_arm: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        by_arm.setdefault(line.arm, {}).setdefault(line.level, {})[line.metric] = line.effect
    found = {arm: to_json(levels) for arm, levels in by_arm.items()}
    return found if by else {arm: levels[ALL] for arm, levels in found.items()}


def table_csv(table: pa.Table) -> str:
    """Write a table as CSV, with a header; what is undefined is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([("" if cell is None else cell) for cell in row.values()] for row in table.to_pylist())
    return stream.getvalue().rstrip("\n")
