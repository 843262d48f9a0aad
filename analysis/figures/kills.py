"""Which signals kill processes in each arm?

**Models.** Kills per 1,000 node-years up, by cause: the kernel signals early (action optional), late at the next
access, directly at consumption (action required), or with SIGKILL. Intervals are those of rates (``estimators``).

**Leaves out.** Processes that a panic takes along; those are losses.
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
from analysis.figures.tables import column_of, tidy, where
from analysis.figures.words import PER, counted, estimate, percent
from fleet.stored.headline import BY_KEY, KILLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALL = "all"


def kills_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return kills by arm and cause, ``all`` last, and their rates."""
    rows = []
    for arm in chosen(run, arms):
        sums = sums_of(run, arm)
        for metric in (*KILLS, "kills"):
            found = rate_of(run, arm, metric)
            cause = BY_KEY[metric].value or ALL
            rows.append((arm, cause, round(float(weights(metric) @ sums.total)), found.value, found.low, found.high))
    return tidy(rows, arm="", cause="", kills="1", rate=PER, rate_low=PER, rate_high=PER)


def _paint(ax: Axes, table: pa.Table) -> None:
    whole = where(table, cause=ALL)
    rows = drawn(np.asarray(whole["rate"], np.float64))
    parts = {
        BY_KEY[metric].title: np.asarray(where(table, cause=BY_KEY[metric].value)["rate"], np.float64)[rows]
        for metric in KILLS
    }
    named = stacked(ax, [column_of(whole, "arm")[row] for row in rows], parts)
    whiskers(ax, *([column_of(whole, name)[row] for row in rows] for name in ("rate", "rate_low", "rate_high")))
    label_x(ax, f"kills {PER}", named, left_out(len(rows), whole.num_rows))
    legend_above(ax)


def kills_by_cause(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw kills by cause and arm.

    >>> ax, table = kills_by_cause(run)
    >>> table.column_names
    ['arm', 'cause', 'kills', 'rate', 'rate_low', 'rate_high']
    >>> table.num_rows == 5 * len(run.arms)  # four causes, and all
    True
    """
    table = kills_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(run: Run, table: pa.Table) -> Caption:
    whole = where(table, cause=ALL)
    arms = column_of(whole, "arm")
    n = sum(column_of(whole, "kills"))
    title = finding(run, arms, "kills", "kills")
    years = sums_of(run, arms[0]).total[0]
    sentence = (
        f"Bars: kills {PER} by the signal that killed; whiskers: 95 % intervals of all kills, nodes being clusters. "
        f"{counted(n, 'kill')} in {counted(len(arms), 'arm')} of {years:,.0f} node-years each."
    )
    first = where(table, arm=arms[0])
    total = max(1, column_of(whole, "kills")[0])
    shares = ", ".join(
        f"{cause} {percent(kills / total)}"
        for cause, kills in zip(column_of(first, "cause"), column_of(first, "kills"), strict=True)
        if cause != ALL and kills
    )
    rates = "; ".join(f"{arm} {estimate(rate_of(run, arm, 'kills'))}" for arm in arms[:8])
    return Caption(title, sentence, f"Kills {PER}: {rates}. Causes in {arms[0]}: {shares or 'no kill'}.")


FIGURE = RunFigure(
    "kills_by_cause",
    kills_by_cause,
    kills_table,
    _paint,
    lambda _run: True,
    _explain,
    lambda table: height_of(len(drawn(where(table, cause=ALL)["rate"].to_pylist()))),
)
