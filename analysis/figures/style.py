"""How figures look: colours, hatches, type.

**Models.** Four colours of Okabe and Ito's palette, a grey and a brown, whose luminance lies where they have a contrast
of at least 3 with white and with a dark page (``DARK_PAPER``). Areas are hatched and lines have markers, so that
nothing is told by colour alone. Text and axes are drawn in the ink of the page: an SVG takes its ``currentColor``.

**Sources.** Okabe and Ito 2008, "Color Universal Design"; WCAG 2.1, 1.4.3 and 1.4.11, for contrasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK: Final = "#1b1b1f"
DARK_INK: Final = "#ececf1"
PAPER: Final = "#ffffff"
DARK_PAPER: Final = "#17171b"
COLOURS: Final = ("#2a80c0", "#d55e00", "#009e73", "#c270a0", "#808080", "#9a7838")
"""Blue (a little lighter than theirs), vermilion, bluish green, reddish purple (a little darker), grey, brown."""
HATCHES: Final = ("", "////", "\\\\\\\\", "xx", "--", "||")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Final[tuple[Any, ...]] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (8, 3)), (0, (3, 3)))
PIXELS_PER_INCH: Final = 96.0
"""CSS pixels."""
POINTS_PER_INCH: Final = 72.0
_TEXT_PT: Final = 9.0
"""12 CSS pixels."""


def load_matplotlib() -> Any:
    """Return matplotlib.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, and half a second
    except ImportError as error:
        msg = f"figures: {error.name} is not installed; pip install 'hwpoison-fleet[report]'"
        raise ConfigError(msg) from None
    return mpl


def settings(ink: str = INK) -> dict[str, Any]:
    """Return the settings of matplotlib that figures are drawn with."""
    return {
        "axes.axisbelow": True,
        "axes.edgecolor": ink,
        "axes.facecolor": "none",
        "axes.grid": False,
        "axes.labelcolor": ink,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": _TEXT_PT,
        "axes.titley": 1.0,  # no ticks stand above axes, for which matplotlib would else look before each drawing
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
        "figure.facecolor": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": _TEXT_PT,
        "grid.color": ink,
        "grid.alpha": 0.15,
        "grid.linewidth": 0.6,
        "hatch.linewidth": 0.5,
        "legend.fontsize": _TEXT_PT,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "savefig.facecolor": "none",
        "text.color": ink,
        "text.parse_math": False,
        "xtick.color": ink,
        "ytick.color": ink,
        "xtick.labelsize": _TEXT_PT,
        "ytick.labelsize": _TEXT_PT,
    }


def ink() -> str:
    """Return the colour that text is drawn in now."""
    return str(load_matplotlib().rcParams["text.color"])


def new_canvas(width: float, height: float) -> Canvas:
    """Return an empty figure of a size [CSS pixel], which no window shows and nobody has to close."""
    load_matplotlib()
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    size = width / PIXELS_PER_INCH, height / PIXELS_PER_INCH
    return Canvas(figsize=size, dpi=PIXELS_PER_INCH, layout="constrained")


def own_axes(ax: Axes | None, height: float) -> Axes:
    """Return the axes given, or new ones in the project's style."""
    if ax is not None:
        return ax
    with load_matplotlib().rc_context(settings()):
        return new_canvas(WIDTH, height).add_subplot()


WIDTH: Final = 640.0
"""Of figures whose size nobody chooses [CSS pixel]."""
