"""How many processes does each arm lose, by signals and by panics?

**Models.** Losses per 1,000 node-years up: processes killed by a signal for bad memory, and those that went with a
panic. Intervals are those of rates (``estimators``).

**Leaves out.** Processes that end because a node is drained and repaired: their work leaves before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.estimators.rates import weights
from analysis.figures.arms import chosen, drawn, finding, left_out, rate_of, sums_of
from analysis.figures.bars import height_of, legend_above, stacked, whiskers
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.style import own_axes
from analysis.figures.tables import column_of, tidy
from analysis.figures.words import PER, counted, estimate, percent
from fleet.stored.headline import EXPOSURE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def losses_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return processes lost by arm, how many of them to signals and to panics, and the rate of all."""
    rows = []
    for arm in chosen(run, arms):
        total = sums_of(run, arm).total
        losses, kills, years = (float(weights(name) @ total) for name in ("losses", "kills", EXPOSURE))
        found = rate_of(run, arm, "losses")
        counts = round(losses), round(kills), round(losses - kills)
        rows.append((arm, *counts, years, found.value, found.low, found.high))
    return tidy(
        rows,
        arm="",
        losses="1",
        killed="1",
        with_panics="1",
        node_years="node-year",
        rate=PER,
        rate_low=PER,
        rate_high=PER,
    )


def _paint(ax: Axes, table: pa.Table) -> None:
    rate = np.nan_to_num(np.asarray(table["rate"], np.float64))
    rows = drawn(rate)
    share = np.asarray(table["killed"], np.float64) / np.maximum(1, np.asarray(table["losses"]))
    parts = {"killed by a signal": (rate * share)[rows], "gone with a panic": (rate * (1.0 - share))[rows]}
    named = stacked(ax, [column_of(table, "arm")[row] for row in rows], parts)
    whiskers(
        ax, rate[rows].tolist(), *([column_of(table, f"rate_{end}")[row] for row in rows] for end in ("low", "high"))
    )
    label_x(ax, f"processes lost {PER}", named, left_out(len(rows), table.num_rows))
    legend_above(ax)


def losses_by_arm(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw losses by arm.

    >>> ax, table = losses_by_arm(run, arms=run.arms[:1])
    >>> row = table.to_pylist()[0]
    >>> row["losses"] == row["killed"] + row["with_panics"]
    True
    """
    table = losses_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(run: Run, table: pa.Table) -> Caption:
    arms = column_of(table, "arm")
    lost, panicked = (sum(column_of(table, name)) for name in ("losses", "with_panics"))
    sentence = (
        f"Bars: processes lost {PER}; whiskers: 95 % intervals of all losses, nodes being clusters. "
        f"{counted(lost, 'process', 'processes')} in {counted(len(arms), 'arm')} of "
        f"{column_of(table, 'node_years')[0]:,.0f} node-years each, {percent(panicked / max(1, lost))} with panics."
    )
    rates = "; ".join(f"{arm} {estimate(rate_of(run, arm, 'losses'))}" for arm in arms[:8])
    return Caption(finding(run, arms, "losses", "losses"), sentence, f"Processes lost {PER}: {rates}.")


FIGURE = RunFigure(
    "losses_by_arm",
    losses_by_arm,
    losses_table,
    _paint,
    lambda _run: True,
    _explain,
    lambda table: height_of(len(drawn(np.nan_to_num(np.asarray(table["rate"], np.float64))))),
)
