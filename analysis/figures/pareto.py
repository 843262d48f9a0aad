"""Which arms have fewer kills for the memory they cost?

**Models.** Memory out of use on average per node (byte-years per node-year up) against kills per 1,000 node-years. An
arm is on the front if no other has as few of both, and fewer of one, by the estimates. Kills have the intervals of
rates; memory has none, as a few nodes have most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.estimators.rates import Vector, weights
from analysis.figures.arms import chosen, rate_of, sums_of
from analysis.figures.bars import legend_above
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.style import COLOURS, MARKERS, ink, own_axes
from analysis.figures.tables import column_of, tidy
from analysis.figures.words import PER, counted, listed, number
from fleet.stored.headline import EXPOSURE, INDEX

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED: Final = len(MARKERS)
"""Arms that have a mark and a name of their own; others are dots."""
_SPREAD: Final = 30.0
_TICKS_MAX: Final = 7
_UNITS: Final = (("B", 1.0), ("KiB", 2.0**10), ("MiB", 2.0**20), ("GiB", 2.0**30), ("TiB", 2.0**40))


def pareto_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return memory out of use and kills by arm, and whether the arm is on the front of these arms."""
    names = chosen(run, arms)
    totals = [sums_of(run, arm).total for arm in names]
    memory = np.asarray([_per_year(total[INDEX["memory_lost_byte_years"]], total[INDEX[EXPOSURE]]) for total in totals])
    kills = [rate_of(run, arm, "kills") for arm in names]
    losses = [rate_of(run, arm, "losses").value for arm in names]
    front = on_front(*(_totals(totals, metric) for metric in ("memory_lost_byte_years", "kills")))
    rows = [
        (arm, float(memory[at]), kills[at].value, kills[at].low, kills[at].high, losses[at], bool(front[at]))
        for at, arm in enumerate(names)
    ]
    return tidy(
        rows, arm="", memory_lost="byte per node", kills=PER, kills_low=PER, kills_high=PER, losses=PER, on_front="?"
    )


def _totals(totals: Sequence[Vector], metric: str) -> npt.NDArray[np.float64]:
    """Return what arms have of a metric, which no time down divides: the same events are as many."""
    return np.asarray([float(weights(metric) @ total) for total in totals])


def _per_year(amount: float, years: float) -> float:
    return float(amount / years) if years > 0.0 else 0.0


def on_front(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which points no other has as little of both as, and less of one, each of shape ``(n,)``."""
    no_more = (first[:, None] <= first) & (second[:, None] <= second)
    less = (first[:, None] < first) | (second[:, None] < second)
    found: npt.NDArray[np.bool_] = np.logical_not(np.any(no_more & less, axis=0))
    return found


def _named(table: pa.Table) -> list[int]:
    """Return the arms that are named: the first, then those on the front, then the others while there are marks."""
    front = column_of(table, "on_front")
    order = [0, *sorted(range(1, table.num_rows), key=lambda one: not front[one])]
    return order[:NAMED] if table.num_rows <= NAMED else [one for one in order if one == 0 or front[one]][:NAMED]


def _paint(ax: Axes, table: pa.Table) -> None:
    memory, kills = (np.asarray(column_of(table, name), np.float64) for name in ("memory_lost", "kills"))
    named = _named(table)
    others = [one for one in range(table.num_rows) if one not in named]
    ax.plot(memory[others], kills[others], ".", color=COLOURS[4])
    front, names = column_of(table, "on_front"), column_of(table, "arm")
    for place, one in enumerate(named):
        colour = COLOURS[place % len(COLOURS)]
        low, high = (column_of(table, f"kills_{end}")[one] for end in ("low", "high"))
        if low is not None:
            ax.plot([memory[one]] * 2, [low, high], color=colour, linewidth=1.2, zorder=1.5)
        look: dict[str, Any] = {"color": colour, "marker": MARKERS[place], "linestyle": "none", "markersize": 7.0}
        face = colour if front[one] else "none"
        ax.plot(memory[[one]], kills[[one]], markerfacecolor=face, label=names[one], clip_on=False, **look)
    _scale(ax, memory)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(f"kills {PER}")
    ax.grid(color=ink())
    note = f"dots: {counted(len(others), 'other arm')}" if others else ""
    label_x(ax, "memory out of use per node", legend_above(ax), note)


def _scale(ax: Axes, memory: npt.NDArray[np.float64]) -> None:
    """Spread arms whose memory differs by orders of magnitude; the axis is linear up to the least that is not 0."""
    some = memory[memory > 0.0]
    high = float(memory.max(initial=0.0)) or 1.0
    low = float(some.min()) if some.size else high
    if high > _SPREAD * low:
        ax.set_xscale("symlog", linthresh=low)
        ticks = [0.0, *(tick for tick in _powers(32.0) if low <= tick <= high)]
        if len(ticks) > _TICKS_MAX:
            ticks = [0.0, *(tick for tick in _powers(1024.0) if low <= tick <= high)]
        ax.set_xlim(-low, 2.0 * high)
    else:
        step = _step(high)
        ticks = [step * place for place in range(int(high / step) + 2)]
        ax.set_xlim(-0.06 * high, 1.06 * high)
    low, high = ax.get_xlim()
    ticks = [tick for tick in ticks if low <= tick <= high]
    ax.set_xticks(ticks, [format_bytes(tick) if tick else "0" for tick in ticks])
    ax.minorticks_off()


def _powers(base: float) -> list[float]:
    """Return the powers of a base up to a PiB."""
    return [base**power for power in range(11) if base**power <= 2.0**50]


def _step(most: float) -> float:
    """Return a round step, in the binary unit of the most, of which three to six lead there."""
    size = next((size for _, size in reversed(_UNITS) if most >= size), 1.0)
    steps = (digit * 10.0**power for power in range(-3, 4) for digit in (1.0, 2.0, 5.0))
    return size * next(step for step in steps if most / size / step <= 6.0)


def memory_against_kills(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw memory lost against kills, an arm a mark.

    >>> ax, table = memory_against_kills(run)
    >>> any(table["on_front"].to_pylist())
    True
    """
    table = pareto_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def format_bytes(size_bytes: float) -> str:
    """Write memory with a binary unit."""
    unit, size = next(((u, s) for u, s in reversed(_UNITS) if size_bytes >= s), _UNITS[0])
    return f"{number(size_bytes / size)} {unit}"


def _explain(_run: Run, table: pa.Table) -> Caption:
    rows = table.to_pylist()
    front = [row["arm"] for row in rows if row["on_front"]]
    least = min(rows, key=lambda row: (row["kills"] or 0.0, row["memory_lost"]))
    title = (
        f"Fewest kills: {least['arm']}, {number(least['kills'] or 0.0)} {PER}, with "
        f"{format_bytes(least['memory_lost'])} per node out of use; its losses are "
        f"{number(least['losses'] or 0.0)}"
    )
    sentence = (
        f"Marks: {counted(len(rows), 'arm')}; lines: 95 % intervals of kills, while memory has none, as a few nodes "
        "have most of it. Filled marks: no other arm has as little of both by the estimates."
    )
    described = listed(
        [f"{row['arm']} {format_bytes(row['memory_lost'])} and {number(row['kills'] or 0.0)}" for row in rows[:12]]
    )
    return Caption(
        title, sentence, f"Memory per node and kills {PER}: {described}. On the front: {listed(front[:12])}."
    )


FIGURE = RunFigure(
    "memory_against_kills",
    memory_against_kills,
    pareto_table,
    _paint,
    lambda run: len(run.arms) > 1,
    _explain,
    lambda _table: 380.0,
)
