"""What a figure is: a question, the table that answers it, how the table is drawn, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from analysis.dataset.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arms = Sequence[str] | None
"""Names of arms in the order in which they are wanted; None is all of the run."""


class Caption(NamedTuple):
    """What is said about a figure.

    Attributes:
        title: The finding, as a sentence without a full stop.
        sentence: How to read it: what a mark is, how many things were counted, what the interval is.
        description: The same for those who do not see it, with the main numbers.
    """

    title: str
    sentence: str
    description: str


@dataclass(frozen=True)
class RunFigure:
    """One figure of a run.

    Attributes:
        name: In ``FIGURES``, of its file, and of the function of ``analysis.figures`` that draws it.
        draw: That function.
        tabulate: Computes its tidy table; no matplotlib is needed for it.
        paint: Draws the table.
        applies: Whether a run has something to show in it.
        explain: Says what the table shows.
        height: Height of the figure that suits the table [CSS pixel].
    """

    name: str
    draw: Callable[[Run, Arms, Axes | None], tuple[Axes, pa.Table]]
    tabulate: Callable[[Run, Arms], pa.Table]
    paint: Callable[[Axes, pa.Table], None]
    applies: Callable[[Run], bool]
    explain: Callable[[Run, pa.Table], Caption]
    height: Callable[[pa.Table], float]


class Rendered(NamedTuple):
    """A figure as a file.

    Attributes:
        content: Its bytes.
        caption: What is said about it.
        table: What it shows.
    """

    content: bytes
    caption: Caption
    table: pa.Table
