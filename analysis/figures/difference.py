"""How much more or less does each arm have than the baseline?

**Models.** Differences to the first arm per 1,000 node-years of it, paired node by node, with the intervals of
``comparison``; metrics whose differences have no interval are not drawn. A filled mark is a difference that the data
tell from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from analysis.comparison.effects import HEAVY_APART
from analysis.dataset.run import Run
from analysis.figures.arms import chosen, drawn, effect_of, finding, is_told, left_out
from analysis.figures.bars import name_rows
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.panels import height_of_panels, stack_panels
from analysis.figures.style import COLOURS, ink, own_axes
from analysis.figures.tables import arms_in, column_of, tidy, where
from analysis.figures.words import PER, counted, interval, listed, number
from fleet.stored.headline import BY_KEY, EFFECTS_SHOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS: Final = tuple(metric for metric in EFFECTS_SHOWN if metric not in HEAVY_APART)
PANELS: Final = ("losses", "kills", "panics", "ue")
"""Metrics that are drawn."""
_ROW: Final = 19.0


def difference_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return the differences of all arms but the first, by metric."""
    rows = []
    for arm in chosen(run, arms):
        if arm == run.arms[0]:
            continue
        for metric in METRICS:
            found = effect_of(run, arm, metric)
            ends = found.difference.value, found.difference.low, found.difference.high
            rows.append((arm, metric, *ends, found.differing, is_told(found)))
    return tidy(
        rows, arm="", metric="", difference=PER, difference_low=PER, difference_high=PER, nodes_differing="1", told="?"
    )


def _rows_drawn(table: pa.Table) -> list[int]:
    """Return which arms are drawn, by their differences in losses."""
    losses = np.asarray(where(table, metric=PANELS[0])["difference"].to_pylist(), np.float64)
    return [row - 1 for row in drawn(np.concatenate(([0.0], losses))) if row]


def _paint(ax: Axes, table: pa.Table) -> None:
    rows = _rows_drawn(table)
    panels = stack_panels(ax, len(PANELS))
    for panel, metric in zip(panels, PANELS, strict=True):
        mine = where(table, metric=metric).take(rows)
        panel.axvline(0.0, color=ink(), linewidth=0.8)
        for row, one in enumerate(mine.to_pylist()):
            if one["difference_low"] is not None:
                panel.plot([one["difference_low"], one["difference_high"]], [row, row], color=COLOURS[0])
            face = COLOURS[0] if one["told"] else "none"
            panel.plot([one["difference"] or 0.0], [row], "o", color=COLOURS[0], markerfacecolor=face)
        named = name_rows(panel, column_of(mine, "arm"))
        panel.grid(axis="x")
        panel.set_title(f"{BY_KEY[metric].title} {PER}", pad=3.0)
    label_x(panels[-1], "difference to the first arm", named, left_out(len(rows) + 1, len(arms_in(table)) + 1))


def difference_to_baseline(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw the paired differences to the first arm.

    >>> ax, table = difference_to_baseline(run)
    >>> run.arms[0] in table["arm"].to_pylist()
    False
    """
    table = difference_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(run: Run, table: pa.Table) -> Caption:
    base, arms = run.arms[0], arms_in(table)
    title = finding(run, (base, *arms), "losses", "losses")
    nodes = sum(group.nodes for group in run.groups)
    sentence = (
        f"Marks: difference to {base}, paired over {counted(nodes, 'node')}; lines: 95 % intervals. A filled mark is "
        "told from 0 by the data; about an open one they do not tell which arm has more."
        f"{' Each interval stands alone: of 20 without a difference, one leaves out 0.' if len(arms) > 2 else ''}"
    )
    told = [
        f"{row['arm']} in {BY_KEY[row['metric']].title} {number(row['difference'])}"
        f"{interval(row['difference_low'], row['difference_high'])}"
        for row in table.to_pylist()
        if row["told"]
    ]
    more = f" and {len(told) - 12} more" if len(told) > 12 else ""
    return Caption(title, sentence, f"Told from {base}, {PER}: {listed(told[:12])}{more}.")


FIGURE = RunFigure(
    "difference_to_baseline",
    difference_to_baseline,
    difference_table,
    _paint,
    lambda run: len(run.arms) > 1,
    _explain,
    lambda table: height_of_panels(len(PANELS), max(40.0, _ROW * len(_rows_drawn(table)))),
)
