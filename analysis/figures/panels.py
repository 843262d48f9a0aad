"""Panels of one figure, one below the other, inside the axes that a figure was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analysis.figures.style import PIXELS_PER_INCH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BETWEEN: Final = 46.0
"""For the ticks of a panel and the title of the next [CSS pixel]."""
_AROUND: Final = 105.0


def height_of_panels(panels: int, height: float) -> float:
    """Return the height of a figure with panels of a height [CSS pixel]."""
    return _AROUND + panels * height + (panels - 1) * _BETWEEN


def stack_panels(ax: Axes, panels: int) -> list[Axes]:
    """Return so many axes of equal height in place of one."""
    canvas = ax.get_figure(root=True)
    height = canvas.get_figheight() * PIXELS_PER_INCH if canvas is not None else 0.0
    between = min(_BETWEEN / max(1.0, height - _AROUND), 0.5 / panels)
    each = (1.0 - (panels - 1) * between) / panels
    ax.set_axis_off()
    return [ax.inset_axes((0.0, (panels - 1 - row) * (each + between), 1.0, each)) for row in range(panels)]
