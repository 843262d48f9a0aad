"""Names of arms where there is little room, and notes below axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from analysis.figures.style import PIXELS_PER_INCH
from analysis.figures.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE: Final = 500.0
"""Figures narrower than this [CSS pixel] have shorter names."""
_LETTER: Final = 6.6
"""Width of a letter of a note [CSS pixel]."""


def width_of(ax: Axes) -> float:
    """Return the width of the figure of some axes [CSS pixel]."""
    canvas = ax.get_figure(root=True)
    return canvas.get_figwidth() * PIXELS_PER_INCH if canvas is not None else _WIDE


def is_narrow(ax: Axes) -> bool:
    """Return whether a figure is as narrow as a telephone."""
    return width_of(ax) < _WIDE


def short_names(names: Sequence[str], width: int) -> tuple[list[str], str]:
    """Return names of so many letters at most that can still be told apart, and a note where they need one.

    Long names of the arms of a sweep, ``key=value+key=value``, become their values, and the note has the keys; other
    long names lose their middle, and get a number if they are alike then.
    """
    if all(len(name) <= width for name in names):
        return list(names), ""
    pairs = [[part.partition("=") for part in name.split("+")] for name in names]
    keys = [[key for key, _, _ in one] for one in pairs]
    if all(one == keys[0] for one in keys) and all(sign for one in pairs for _, sign, _ in one):
        values = [", ".join(value for _, _, value in one) for one in pairs]
        short = [shortened(value, width) for value in values]
        if len(set(short)) == len(set(names)):
            return short, f"arms: {', '.join(keys[0])}"
    short = [shortened(name, width) for name in names]
    if len(set(short)) == len(set(names)):
        return short, ""
    return [f"{place}: {shortened(name, width - 4)}" for place, name in enumerate(names, start=1)], ""


def label_x(ax: Axes, label: str, *notes: str) -> None:
    """Write below axes what they show, and notes below it from the left edge of the figure."""
    room = max(20, int(width_of(ax) / _LETTER) - 2)
    lines = [line for note in notes if note for line in textwrap.wrap(note, room)]
    ax.set_xlabel("\n".join([label, *(" " for _ in lines)]))
    if lines:
        # The layout makes room for the empty lines; a wide note itself would make the axes narrower.
        below = ax.annotate("\n".join(lines), (0.012, 0.0), xycoords=("figure fraction", ax.xaxis.label), va="bottom")
        below.set_in_layout(False)
