"""Figures as files, the same bytes whenever the same run is drawn.

An SVG keeps its text as text and has no ``style`` attribute, so that it is drawn under a content security policy, too;
what is drawn in ink has ``currentColor``, so that it can be read on a light and on a dark page and in print. Names of
its parts begin with the figure's, so that several fit into one document.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from analysis.dataset.run import Run
from analysis.figures.figure import Arms, Caption, Rendered, RunFigure
from analysis.figures.files import MARK
from analysis.figures.style import (
    DARK_INK,
    DARK_PAPER,
    INK,
    PAPER,
    PIXELS_PER_INCH,
    POINTS_PER_INCH,
    WIDTH,
    load_matplotlib,
    new_canvas,
    settings,
)
from analysis.figures.svg import plain_svg
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FORMATS: Final = ("svg", "pdf", "png")
DPI: Final = 192.0
SIDE_MIN, SIDE_MAX = 200.0, 4000.0
PIXELS_MAX: Final = 100_000_000
DPI_MIN, DPI_MAX = 24.0, 1200.0
_TITLE: Final[dict[str, Any]] = {"fontsize": 10.0, "fontweight": "bold"}
_LINE, _MARGIN = 16.0, 12.0
"""Height of a line of it, and what is left free beside it [CSS pixel]."""
_METADATA: Final[dict[str, dict[str, str | None]]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Creator": MARK},
    "png": {"Software": MARK},
}
"""By whom a file was made, and nothing of when."""
_SETTINGS: Final[dict[str, Any]] = {"svg.fonttype": "none", "svg.hashsalt": "hwpoison-fleet", "pdf.fonttype": 42}


def render(  # noqa: PLR0913 - one word for each thing that a reader of a figure may want otherwise
    figure: RunFigure,
    run: Run,
    format: str = "svg",  # noqa: A002 - what everybody calls it
    *,
    arms: Arms = None,
    size: tuple[float, float] | None = None,
    dpi: float = DPI,
    titled: bool = True,
    dark: bool = False,
) -> Rendered:
    """Draw a figure of a run into a file.

    Args:
        figure: Which, of ``FIGURES``.
        run: Run.
        format: ``svg``, ``pdf`` or ``png``.
        arms: Arms; None is all.
        size: Width and height [CSS pixel, 1/96 inch]; None is what suits the table.
        dpi: Resolution of a PNG; 96 makes a pixel of a CSS pixel.
        titled: Whether the title is drawn; it is in the caption anyway.
        dark: Whether a PNG or PDF is made for dark pages; an SVG suits both.

    Raises:
        ConfigError: There is no such format, or matplotlib is not installed, or the size cannot be drawn.
    """
    table = figure.tabulate(run, arms)
    sheet = Sheet(size or (WIDTH, figure.height(table)), dpi, titled=titled, dark=dark, grows=size is None)
    caption = figure.explain(run, table)
    return Rendered(print_sheet(figure.name, table, figure.paint, caption, format, sheet), caption, table)


class Sheet(NamedTuple):
    """What a figure is drawn on.

    Attributes:
        size: Width and height [CSS pixel].
        dpi: Resolution of a PNG.
        titled: Whether the title is drawn.
        dark: Whether a PNG or PDF is made for dark pages.
        grows: Whether it may be higher to hold the lines of a long title.
    """

    size: tuple[float, float]
    dpi: float = DPI
    titled: bool = True
    dark: bool = False
    grows: bool = True


def print_sheet(
    name: str,
    table: pa.Table,
    paint: Callable[[Axes, pa.Table], None],
    caption: Caption,
    kind: str,
    sheet: Sheet,
) -> bytes:
    """Draw a table into a file.

    Raises:
        ConfigError: There is no such format, or matplotlib is not installed, or the size cannot be drawn.
    """
    if kind not in FORMATS:
        msg = f"format {kind!r}: expected {', '.join(FORMATS)}"
        raise ConfigError(msg)
    width, height = sheet.size
    _check_size(width, height, sheet.dpi, kind)
    colour = DARK_INK if sheet.dark and kind != "svg" else INK
    with load_matplotlib().rc_context({**settings(colour), **_SETTINGS}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for a letter that the font has not
        lines = wrapped(caption.title, width - _MARGIN) if sheet.titled else []
        canvas = new_canvas(width, height + (_LINE * max(0, len(lines) - 1) if sheet.grows else 0.0))
        if lines:
            canvas.suptitle("\n".join(lines), x=0.01, ha="left", **_TITLE)
        paint(canvas.add_subplot(), table)
        found = _print(canvas, kind, sheet)
    return plain_svg(found, name, caption) if kind == "svg" else found


def _print(canvas: Canvas, kind: str, sheet: Sheet) -> bytes:
    """Print what was painted."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - of the extra

    content = io.BytesIO()
    if kind == "svg":
        # As savefig() prints it, which draws everything once more before that, to lay it out.
        canvas.dpi = sheet.dpi
        printer: Any = FigureCanvasSVG(canvas)
        printer.print_svg(content, metadata=_METADATA[kind])
    else:
        paper = DARK_PAPER if sheet.dark else PAPER
        canvas.savefig(content, format=kind, dpi=sheet.dpi, metadata=_METADATA[kind], facecolor=paper)
    return content.getvalue()


def _check_size(width: float, height: float, dpi: float, kind: str) -> None:
    """Check that a figure of a size can be drawn, and a PNG held in memory.

    Raises:
        ConfigError: It cannot.
    """
    if not (all(SIDE_MIN <= side <= SIDE_MAX for side in (width, height)) and DPI_MIN <= dpi <= DPI_MAX):
        limits = f"{SIDE_MIN:g} to {SIDE_MAX:g} CSS pixels, {DPI_MIN:g} to {DPI_MAX:g} dpi"
        msg = f"figure of {width:g}x{height:g} at {dpi:g} dpi: expected {limits}; choose another size"
        raise ConfigError(msg)
    pixels = width * height * (dpi / PIXELS_PER_INCH) ** 2
    if kind == "png" and pixels > PIXELS_MAX:
        asked = f"figure of {width:g}x{height:g} at {dpi:g} dpi: {pixels:,.0f} pixels"
        msg = f"{asked}, expected {PIXELS_MAX:,} at most; choose another size"
        raise ConfigError(msg)


def wrapped(title: str, width: float) -> list[str]:
    """Break a title into lines that are as wide as they may be [CSS pixel]."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415 - of the extra
    from matplotlib.textpath import text_to_path  # noqa: PLC0415

    font = FontProperties(size=_TITLE["fontsize"], weight=_TITLE["fontweight"])

    def is_short(text: str) -> bool:
        points, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
        return bool(points * PIXELS_PER_INCH / POINTS_PER_INCH <= width)

    lines = [""]
    # Names of the arms of a sweep are long: they may be broken where the next setting begins.
    for word in title.replace("+", " +").split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if is_short(longer) or not lines[-1] else [*lines, word]
    return [line.replace(" +", "+") for line in lines]
