"""How do kills, losses and UEs respond to the value of the one setting that a run sweeps?

**Models.** The rate at each value is that of the first value and the paired difference to it, per 1,000 node-years of
the first arm; the band is the interval of that difference (``comparison``), as all arms have the same faults. The
interval of the first arm's own rate, which moves the curve as a whole, is drawn beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.figures.arms import chosen, effect_of, finding, rate_of, sums_of
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.panels import height_of_panels, stack_panels
from analysis.figures.style import COLOURS, ink, own_axes
from analysis.figures.sweep import SweptKey, settings_of_arms, swept_keys
from analysis.figures.tables import arms_in, column_of, tidy, where
from analysis.figures.words import PER, counted, estimate, listed
from fleet.stored.headline import BY_KEY, EXPOSURE, INDEX

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS: Final = ("losses", "kills", "ue")
_TICKS_MAX: Final = 12


def response_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return the response of each metric to the swept setting, by value."""
    (axis,) = swept_keys(run) or (SweptKey("arm", run.arms),)
    of_arm = settings_of_arms(run)
    rows = []
    for metric in METRICS:
        base = rate_of(run, run.arms[0], metric)
        for arm in chosen(run, arms):
            found = effect_of(run, arm, metric).difference
            is_base = arm == run.arms[0]
            ends = (0.0, 0.0, 0.0) if is_base else (found.value, found.low, found.high)
            shown = None if base.value is None or ends[0] is None else base.value + ends[0]
            value = str(of_arm[arm].get(axis.key, arm))
            rows.append((arm, axis.key, value, metric, shown, *ends, base.low, base.high))
    return tidy(
        rows,
        arm="",
        key="",
        value="",
        metric="",
        rate=PER,
        difference=PER,
        difference_low=PER,
        difference_high=PER,
        first_rate_low=PER,
        first_rate_high=PER,
    )


def places_of(texts: list[str]) -> tuple[npt.NDArray[np.float64], str]:
    """Return where values stand on an axis, and its scale.

    Numbers stand where they are; if they are spread so widely that a linear axis would heap them up, on a logarithmic
    axis; if that cannot be, as one of them is 0, and for words, side by side (``not to scale``).
    """
    side_by_side = np.arange(len(texts), dtype=np.float64)
    try:
        values = np.asarray([float(text) for text in texts])
    except ValueError:
        return side_by_side, "not to scale"
    span = float(np.ptp(values))
    if not np.isfinite(values).all() or span == 0.0:
        return side_by_side, "not to scale"
    if np.diff(np.sort(values)).min() >= 0.06 * span:
        return values, "linear"
    return (values, "log") if values.min() > 0.0 else (side_by_side, "not to scale")


def _paint(ax: Axes, table: pa.Table) -> None:
    panels = stack_panels(ax, len(METRICS))
    texts = column_of(where(table, metric=METRICS[0]), "value")
    x, scale = places_of(texts)
    for panel, metric in zip(panels, METRICS, strict=True):
        mine = where(table, metric=metric)
        rate, change, low, high = (
            np.asarray(column_of(mine, name), np.float64)
            for name in ("rate", "difference", "difference_low", "difference_high")
        )
        order = np.argsort(x)
        base = rate - change
        panel.fill_between(
            x[order], (base + low)[order], (base + high)[order], color=COLOURS[0], alpha=0.2, linewidth=0
        )
        panel.plot(x[order], rate[order], "o-", color=COLOURS[0])
        first = column_of(mine, "difference").index(0.0) if 0.0 in change else 0
        ends = [column_of(mine, f"first_rate_{end}")[first] for end in ("low", "high")]
        if None not in ends:
            bars = [[max(0.0, rate[first] - ends[0])], [max(0.0, ends[1] - rate[first])]]
            panel.errorbar(x[[first]], rate[[first]], yerr=bars, fmt="none", ecolor=ink(), elinewidth=1.2, capsize=3.5)
        panel.set_xscale("log" if scale == "log" else "linear")
        _mark_values(panel, x, texts)
        panel.set_ylim(bottom=0.0)
        panel.grid()
        panel.set_title(f"{BY_KEY[metric].title} {PER}", pad=3.0)
    key = column_of(table, "key")[0]
    panels[-1].set_xlabel(key if scale != "not to scale" else f"{key} (not to scale)")


def _mark_values(panel: Axes, x: npt.NDArray[np.float64], texts: list[str]) -> None:
    """Write the values below an axis; of many only some."""
    step = -(-len(texts) // _TICKS_MAX)
    some = slice(None, None, step)
    panel.set_xticks(x[some], [text[:12] for text in texts[some]])
    panel.minorticks_off()


def response_to_sweep(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw how losses, kills and UEs respond to the setting that a run sweeps.

    >>> ax, table = response_to_sweep(run)
    >>> sorted(set(table["metric"].to_pylist()))
    ['kills', 'losses', 'ue']
    """
    table = response_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(run: Run, table: pa.Table) -> Caption:
    arms, base = arms_in(table), run.arms[0]
    title = finding(run, (base, *arms), "losses", "losses")
    key = column_of(table, "key")[0]
    years = float(sums_of(run, base).total[INDEX[EXPOSURE]])
    sentence = (
        f"Dots: rate at each of {counted(len(arms), 'value')} of {key}, {years:,.0f} node-years each; bands: 95 % "
        f"intervals of the paired difference to {base}; whisker: that of the first arm's own rate, which would move "
        "the whole curve."
    )
    losses = where(table, metric="losses")
    described = [
        f"{arm} {estimate(effect_of(run, arm, 'losses').difference)}" for arm in column_of(losses, "arm") if arm != base
    ]
    return Caption(title, sentence, f"Difference in losses {PER} to {base}: {listed(described[:12])}.")


FIGURE = RunFigure(
    "response_to_sweep",
    response_to_sweep,
    response_table,
    _paint,
    lambda run: len(swept_keys(run)) == 1,
    _explain,
    lambda _table: height_of_panels(len(METRICS), 120.0),
)
