"""The figures that apply to a run, drawn, each with the numbers behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import pyarrow as pa

from analysis.dataset.run import Run
from analysis.figures import Figure, Rendered, render
from analysis.report.plain import Cell, Grid, Head, Paragraph, Picture, Section
from analysis.report.words import number

NARROW = 480.0
WIDE = 640.0
"""Width of figures [CSS pixel]: so that letters can be read on a telephone, and so that long names fit."""
NAME_MAX: Final = 16
"""Longer names of arms need a wide figure."""
ROWS_MAX: Final = 400
ROWS_OF_MANY_MAX: Final = 100
"""More rows of numbers are not listed, of many arms the latter; 'figures --csv' writes all."""
ARMS_MANY: Final = 32
_BEFORE: Final = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
Draw = Callable[[Figure, Run], Rendered]


def pictures_section(run: Run, figures: Mapping[str, Figure], draw: Draw, command: str) -> Section:
    """Draw all figures that apply to a run; ``command`` writes all their numbers."""
    blocks = [
        picture(figure, draw(figure, run), command, len(run.arms), wide=_width(run) == WIDE)
        for figure in figures.values()
        if figure.applies(run)
    ]
    if not blocks:
        return Section("figures", "Figures", (Paragraph("There is nothing to draw: nothing happened in this run."),))
    return Section("figures", "Figures", tuple(blocks))


def drawn(figure: Figure, run: Run) -> Rendered:
    """Draw a figure as the page shows it, which says its title itself."""
    table = figure.tabulate(run, None)
    again = replace(figure, tabulate=lambda _run, _arms: table)
    return render(again, run, size=(_width(run), figure.height(table)), titled=False)


def _width(run: Run) -> float:
    return NARROW if all(len(arm) <= NAME_MAX for arm in run.arms) else WIDE


def picture(figure: Figure, rendered: Rendered, command: str, arms: int, *, wide: bool) -> Picture:
    """Return a figure as it stands in a page."""
    caption, table = rendered.caption, rendered.table
    svg = _BEFORE.sub("", rendered.content.decode("utf-8")).strip()
    most = ROWS_MAX if arms <= ARMS_MANY else ROWS_OF_MANY_MAX
    return Picture(
        figure.name, svg, caption.title, caption.sentence, numbers(caption.title, table, command, most), wide
    )


def numbers(caption: str, table: pa.Table, command: str, most: int = ROWS_MAX) -> Grid:
    """Return a tidy table as a grid, of which so many rows at most are listed."""
    fields = [(field.name, (field.metadata or {}).get(b"unit", b"").decode(), field.type) for field in table.schema]
    heads = tuple(
        Head(name.replace("_", " "), "" if unit in ("-", "1") else unit, "number" if _counts(kind) else "text")
        for name, unit, kind in fields
    )
    shown = table.slice(0, most)
    rows = tuple(tuple(Cell(_text(value)) for value in row.values()) for row in shown.to_pylist())
    if table.num_rows > most:
        left = Cell(f"… {table.num_rows - most:,} more rows: {command}")
        rows += ((left, *(Cell("") for _ in heads[1:])),)
    return Grid(caption, heads, rows)


def _counts(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    return number(value) if isinstance(value, float) else str(value)
