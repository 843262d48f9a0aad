"""On which assumptions does the effect of each arm hang?

**Models.** One effect of each arm, as the run has it (the line) and at both ends of the range of each assumption (the
bar), the widest swing on top; the thin lines are the 95 % intervals at the ends. Assumptions that move nothing are
counted below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from analysis.comparison.sensitivity import Sensitivity, tornado_table
from analysis.figures.bars import name_rows
from analysis.figures.figure import Caption
from analysis.figures.labels import label_x
from analysis.figures.panels import height_of_panels, stack_panels
from analysis.figures.render import Sheet, print_sheet
from analysis.figures.style import COLOURS, HATCHES, WIDTH, ink, own_axes
from analysis.figures.tables import arms_in, where
from analysis.figures.words import PER, counted, interval, listed, number
from fleet.stored.headline import BY_KEY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST: Final = 10
"""Assumptions of an arm that are drawn."""
_ROW: Final = 20.0
_THICK: Final = 0.36
"""Of the bar of an end, in rows."""
_LEAST: Final = 60.0
"""Height of a panel of few assumptions [CSS pixel]."""


def tornado(found: Sensitivity, metric: str = "losses", ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw what one effect of each arm hangs on.

    >>> ax, table = tornado(found, "kills")
    >>> set(table["metric"].to_pylist())
    {'kills'}
    """
    table = tornado_table(found, (metric,))
    ax = own_axes(ax, _height(table))
    _paint(ax, table)
    return ax, table


def _moving(table: pa.Table, arm: str) -> list[dict[str, Any]]:
    """Return the assumptions that move the effect of an arm, as far as they are drawn."""
    return [row for row in where(table, arm=arm).to_pylist() if row["swing"] > 0.0][:MOST]


def _height(table: pa.Table) -> float:
    arms = arms_in(table)
    most = max((len(_moving(table, arm)) for arm in arms), default=0)
    return height_of_panels(max(1, len(arms)), max(_LEAST, _ROW * most))


def _paint(ax: Axes, table: pa.Table) -> None:
    arms = arms_in(table)
    panels = stack_panels(ax, len(arms))
    for panel, arm in zip(panels, arms, strict=True):
        rows = _moving(table, arm)
        for at, row in enumerate(rows):
            _bar(panel, at, row)
        named = name_rows(panel, [_named(row) for row in rows])
        base = where(table, arm=arm)["base"][0].as_py()
        panel.axvline(base, color=ink(), linewidth=1.2)
        panel.axvline(0.0, color=ink(), linewidth=0.6, linestyle=":")
        panel.grid(axis="x")
        panel.set_title(f"{arm}: {number(base)}", pad=3.0)
    metric = table["metric"][0].as_py()
    note = "▨ at the low end of the range, ■ at the high end; dotted: no difference"
    label_x(panels[-1], f"difference in {BY_KEY[metric].title} {PER}", note, named)


def _named(row: dict[str, Any]) -> str:
    return f"{'.'.join(row['setting'].split('.')[-2:])} {row['setting_low']:g}–{row['setting_high']:g}"


def _bar(panel: Axes, at: int, row: dict[str, Any]) -> None:
    """Draw an effect from the run's value to both ends of one assumption."""
    for look, end in enumerate(("at_low", "at_high")):
        middle = at + (2 * look - 1) * _THICK / 2
        style: dict[str, Any] = {"facecolor": COLOURS[look], "hatch": HATCHES[1 - look], "edgecolor": ink()}
        panel.barh(middle, row[end] - row["base"], _THICK, row["base"], linewidth=0.6, **style)
        low, high = row[f"{end}_ci_low"], row[f"{end}_ci_high"]
        if low is not None and high is not None:
            panel.plot([low, high], [middle, middle], color=ink(), linewidth=0.8)


def explain_tornado(table: pa.Table, nodes: int) -> Caption:
    """Say which assumptions matter most."""
    metric, arms = table["metric"][0].as_py(), arms_in(table)
    first = {arm: next(iter(_moving(table, arm)), None) for arm in arms}
    most = {row["setting"] for row in first.values() if row is not None}
    what = BY_KEY[metric].title
    title = f"The difference in {what} hangs most on {listed(sorted(most))}" if most else f"Nothing moves {what}"
    sentence = (
        f"Each assumption is varied alone from the low to the high end of its range, {counted(nodes, 'node')} with the "
        "same draws; thin lines: 95 % intervals. A swing far below their width may be chance."
    )
    told = [
        f"{arm} {number(row['base'])}{interval(row['base_ci_low'], row['base_ci_high'])}, by {row['setting']} from "
        f"{number(row['at_low'])} to {number(row['at_high'])}"
        for arm, row in first.items()
        if row is not None
    ]
    return Caption(title, sentence, f"{what} {PER}: {listed(told)}." if told else "No assumption moves it.")


def render_tornado(found: Sensitivity, metric: str, kind: str = "svg", sheet: Sheet | None = None) -> bytes:
    """Draw what one effect hangs on into a file.

    Raises:
        ConfigError: There is no such format, or matplotlib is not installed, or the size cannot be drawn.
    """
    table = tornado_table(found, (metric,))
    chosen = sheet or Sheet((WIDTH, _height(table)))
    return print_sheet("tornado", table, _paint, explain_tornado(table, found.nodes), kind, chosen)
