"""How do losses depend on the two settings that a run sweeps?

**Models.** A cell is a combination of values; its colour and number are the paired difference in losses to the first
arm per 1,000 node-years of it (``comparison``). Numbers in parentheses, or cells with a dot, are differences that the
data cannot tell from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.figures.arms import chosen, effect_of, finding, is_told
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import is_narrow
from analysis.figures.style import own_axes
from analysis.figures.sweep import settings_of_arms, swept_keys
from analysis.figures.tables import column_of, tidy, where
from analysis.figures.words import PER, counted, estimate, listed, number, shortened
from fleet.stored.headline import BY_KEY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS: Final = ("losses", "kills", "panics", "ue")
_WITH_NUMBERS: Final = 8
"""Columns up to which numbers are written into the cells."""


def heat_map_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return the differences to the first arm by the values of both settings."""
    first, second = (axis.key for axis in swept_keys(run))
    of_arm = settings_of_arms(run)
    rows = []
    for metric in METRICS:
        for arm in chosen(run, arms):
            found = effect_of(run, arm, metric)
            is_base = arm == run.arms[0]
            value = found.difference
            ends = (0.0, 0.0, 0.0) if is_base else (value.value, value.low, value.high)
            values = (first, str(of_arm[arm][first]), second, str(of_arm[arm][second]))
            rows.append((arm, *values, metric, *ends, is_told(found) and not is_base))
    return tidy(
        rows,
        arm="",
        first_key="",
        first_value="",
        second_key="",
        second_value="",
        metric="",
        difference=PER,
        difference_low=PER,
        difference_high=PER,
        told="?",
    )


def _grid(table: pa.Table) -> tuple[tuple[str, list[str]], tuple[str, list[str]], npt.NDArray[np.int64]]:
    """Return the key and values of rows and of columns, the fewer as columns, and which row of the table a cell is."""
    sides = []
    for which in ("first", "second"):
        values = list(dict.fromkeys(column_of(table, f"{which}_value")))
        sides.append((column_of(table, f"{which}_key")[0], values, column_of(table, f"{which}_value")))
    rows, columns = sorted(sides, key=lambda side: -len(side[1]))
    cells = np.full((len(rows[1]), len(columns[1])), -1)
    for place, (row, column) in enumerate(zip(rows[2], columns[2], strict=True)):
        cells[rows[1].index(row), columns[1].index(column)] = place
    return rows[:2], columns[:2], cells


def _paint(ax: Axes, table: pa.Table) -> None:
    mine = where(table, metric=METRICS[0])
    (row_key, row_values), (column_key, column_values), cells = _grid(mine)
    change = np.asarray([*(one or 0.0 for one in column_of(mine, "difference")), np.nan], np.float64)
    told = [*column_of(mine, "told"), False]
    wide = [
        high - low
        for low, high in zip(*(column_of(mine, f"difference_{e}") for e in ("low", "high")), strict=True)
        if low is not None
    ]
    # Differences that nothing tells from 0 are to look pale, however small all are.
    most = max(float(np.nanmax(np.abs(change))), 0.5 * min([one for one in wide if one > 0.0], default=0.0), 1e-12)
    image = ax.imshow(change[cells], cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
    for (row, column), cell in np.ndenumerate(cells):
        _write(ax, (column, row), float(change[cell]), is_told=told[cell], is_base=cell == 0, many=cells.shape[1])
    name_width = 10 if is_narrow(ax) else 16
    _name_side(ax, "y", [shortened(text, name_width) for text in row_values])
    _name_side(ax, "x", [shortened(text, max(4, 48 // len(column_values))) for text in column_values])
    ax.set_xlabel(f"columns: {column_key}")
    ax.set_title(f"rows: {row_key}", pad=5.0)
    ax.spines[:].set_visible(False)
    canvas = ax.get_figure(root=False)
    if canvas is not None:
        bar = canvas.colorbar(image, ax=ax, orientation="horizontal", fraction=0.05, aspect=40)
        bar.set_label(f"difference in {BY_KEY[METRICS[0]].title} {PER}")
        bar.outline.set_visible(False)


def _name_side(ax: Axes, side: str, texts: list[str]) -> None:
    """Write the values of one side; of many only some."""
    step = -(-len(texts) // 16)
    some = slice(None, None, step)
    set_ticks = ax.set_xticks if side == "x" else ax.set_yticks
    set_ticks(np.arange(len(texts))[some], texts[some])
    ax.tick_params(axis="both", length=0)


def _write(ax: Axes, at: tuple[int, int], change: float, *, is_told: bool, is_base: bool, many: int) -> None:
    """Write into a cell what it holds; a dot is all there is room for if there are many."""
    # The ends of the colours are dark, the middle is light.
    low, high = ax.images[0].get_clim()
    is_dark = abs(change) > 0.62 * max(abs(low), abs(high))
    colour = "#ffffff" if is_dark else "#1b1b1e"
    if is_base:
        text = "first" if many <= _WITH_NUMBERS else "1"
    elif many > _WITH_NUMBERS:
        text = "" if is_told else "·"
    else:
        sign = "+" if change > 0.0 else ""
        text = f"{sign}{number(change)}" if is_told else f"({sign}{number(change)})"
    ax.text(*at, text, ha="center", va="center", color=colour)


def heat_map_of_sweep(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw how losses depend on the two settings that a run sweeps.

    >>> ax, table = heat_map_of_sweep(run)
    >>> table.num_rows == 4 * len(run.arms)  # metrics
    True
    """
    table = heat_map_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(run: Run, table: pa.Table) -> Caption:
    mine = where(table, metric=METRICS[0])
    arms, base = column_of(mine, "arm"), run.arms[0]
    nodes = sum(group.nodes for group in run.groups)
    sentence = (
        f"Cells: difference in losses to {base} {PER}, paired over {counted(nodes, 'node')}; in parentheses, or "
        f"with a dot, where its 95 % interval holds 0. "
        f"{sum(column_of(mine, 'told'))} of {len(arms) - 1} arms are told apart."
    )
    far = sorted(
        (row for row in mine.to_pylist() if row["arm"] != base), key=lambda row: -abs(row["difference"] or 0.0)
    )
    described = listed(
        [f"{row['arm']} {estimate(effect_of(run, row['arm'], METRICS[0]).difference)}" for row in far[:8]]
    )
    title = finding(run, (base, *arms), "losses", "losses")
    return Caption(title, sentence, f"Largest differences in losses {PER} to {base}: {described}.")


def _height(table: pa.Table) -> float:
    rows = max(len(set(column_of(table, f"{which}_value"))) for which in ("first", "second"))
    return 175.0 + min(520.0, 34.0 * rows)


FIGURE = RunFigure(
    "heat_map_of_sweep",
    heat_map_of_sweep,
    heat_map_table,
    _paint,
    lambda run: len(swept_keys(run)) == 2,
    _explain,
    _height,
)
