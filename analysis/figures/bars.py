"""Horizontal bars: a row per arm or kind, cut into parts, with the interval of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from analysis.figures.labels import is_narrow, short_names, width_of
from analysis.figures.style import COLOURS, HATCHES, POINTS_PER_INCH, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW: Final = 30.0
"""Height of a bar and the gap below it [CSS pixel]."""
AROUND: Final = 150.0
"""Height of title, axis and legend."""
NAME_WIDTH: Final = 26
_LEGEND_WIDTH: Final = 36
"""Letters of a row's name at most."""
_MARGIN: Final = 1.04
_TITLE: Final = 14.0
"""Height of the title of a panel [point], which stands below a legend that is above all panels."""
_LETTER, _KEY = 6.4, 42.0
"""Width of a letter of a legend, and of what else stands in a column [CSS pixel]."""


def height_of(rows: int) -> float:
    """Return the height of a figure with so many bars [CSS pixel]."""
    return AROUND + ROW * max(2, rows)


def stacked(
    ax: Axes, names: Sequence[str], parts: dict[str, npt.NDArray[np.float64]], looks: Sequence[int] | None = None
) -> str:
    """Draw a bar for each name, from the top, cut into parts of shape ``(names,)``; return a note about the names.

    Args:
        ax: Where.
        names: Of the bars.
        parts: Widths by what is written into the legend.
        looks: Places of colour and hatch of each part; None is 0, 1, …
    """
    at = np.arange(len(names))
    left = np.zeros(len(names))
    for place, (label, width) in zip(looks or range(len(parts)), parts.items(), strict=True):
        look: dict[str, Any] = {
            "facecolor": COLOURS[place],
            "hatch": HATCHES[place],
            "edgecolor": ink(),
            "linewidth": 0.6,
        }
        ax.barh(at, width, 0.62, left, label=label, **look)
        left += width
    note = name_rows(ax, names)
    ax.set_xlim(0.0, _MARGIN * float(left.max(initial=0.0)) or 1.0)
    ax.grid(axis="x")
    return note


def name_rows(ax: Axes, names: Sequence[str]) -> str:
    """Write names beside rows 0, 1, … from the top; return a note where they need one."""
    short, note = short_names(names, 17 if is_narrow(ax) else NAME_WIDTH)
    ax.set_yticks(np.arange(len(names)), short)
    ax.set_ylim(max(1, len(names)) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    return note


def whiskers(ax: Axes, value: Sequence[float], low: Sequence[float | None], high: Sequence[float | None]) -> None:
    """Draw the interval of each row's whole, none where there is none, and make room for the longest."""
    for row, (middle, begin, end) in enumerate(zip(value, low, high, strict=True)):
        if begin is not None and end is not None:
            bars = [[max(0.0, middle - begin)], [max(0.0, end - middle)]]
            ax.errorbar([middle], [row], xerr=bars, fmt="none", ecolor=ink(), elinewidth=1.2, capsize=3.5, zorder=4)
    ends = [ax.get_xlim()[1], *(_MARGIN * end for end in high if end is not None)]
    ax.set_xlim(0.0, max(ends))


def legend_above(ax: Axes, of: Axes | None = None) -> str:
    """Put the legend between title and axes, from the left edge of the figure, in as many columns as fit.

    Returns a note about its names, if they need one.

    Args:
        ax: Above which axes.
        of: Panel inside them whose legend it is; None if they have no panels.
    """
    from matplotlib.transforms import ScaledTranslation, blended_transform_factory  # noqa: PLC0415 - of the extra

    handles, labels = (of or ax).get_legend_handles_labels()
    canvas = ax.get_figure(root=True)
    if len(labels) < 2 or canvas is None:
        return ""
    room = 0.97 * width_of(ax)
    labels, note = short_names(labels, min(_LEGEND_WIDTH, int((room - _KEY) // _LETTER)))
    columns = max(1, min(len(labels), int(room // (_LETTER * max(map(len, labels)) + _KEY))))
    rows = -(-len(labels) // columns)
    # The layout makes room for an empty title, as it would make the axes narrower for a wide legend.
    up = 0.0 if of is None else _TITLE
    ax.set_title("\n".join(" " * rows), pad=9.0 + up, linespacing=1.5)
    legend = ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.005, 1.0),
        bbox_transform=blended_transform_factory(canvas.transFigure, ax.transAxes)
        + ScaledTranslation(0.0, up / POINTS_PER_INCH, canvas.dpi_scale_trans),
        ncols=columns,
        columnspacing=1.2,
        handlelength=2.0,
        handletextpad=0.5,
    )
    legend.set_in_layout(False)
    return note
