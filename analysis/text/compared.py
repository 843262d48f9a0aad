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


def comparison_lines(lines: Sequence[Line], by: str | None, width: int = WIDTH) -> list[str]:
    """Lay out differences and ratios, a line an effect; ratios are left out where there is no room for them."""
    names = ["arm", "against", *([by.replace("_", " ")] if by else []), "metric"]
    rows = [
        [
            *(line.arm, line.base, *([line.level] if by else []), BY_KEY[line.metric].title or line.metric),
            format_estimate(line.effect.difference, signed=True),
            format_estimate(line.effect.ratio),
            "-" if line.effect.differing is None else f"{line.effect.differing:,}",
        ]
        for line in lines
    ]
    if not rows:
        return ["nothing of that happened in any arm"]
    bases = {line.base for line in lines}
    heading = [f"difference to {bases.pop()}"] if len(bases) == 1 else []
    if heading:
        names.remove("against")
        rows = [[row[0], *row[2:]] for row in rows]
    figures = ["difference", "ratio", "nodes"]
    whole = columns_of_text([*names, *figures], rows, len(names))
    if max(map(len, whole)) <= width:
        return [*heading, *whole]
    short = [[*row[:-2], row[-1]] for row in rows]
    left_out = ["(ratios are left out, as there is no room: --csv and --json have them)"]
    return [*heading, *columns_of_text([*names, *figures[::2]], short, len(names)), *left_out]


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
