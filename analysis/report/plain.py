"""What a report consists of, as plain data: sections of blocks, which templates turn into HTML or Markdown.

All texts are plain text; what they hold is never markup. A section module turns a run into a ``Section`` and nothing
else, so that it can be tested without a template.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Cell:
    """A cell of a grid: a text, and what is written smaller beside it, an interval for instance."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Head:
    """Head of a column: its name, a unit or gloss, and whether it holds ``text``, ``prose``, ``number`` or ``code``."""

    text: str
    small: str = ""
    holds: str = "number"


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; the ``lead`` one is the answer."""

    kind: ClassVar = "paragraph"
    text: str
    lead: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    kind: ClassVar = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Commands:
    """Lines to type, or a file to save, in one block."""

    kind: ClassVar = "commands"
    text: str


@dataclass(frozen=True)
class Grid:
    """A table: the first cell of a row names it."""

    kind: ClassVar = "grid"
    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def reads_as_rows(self) -> bool:
        """Whether its rows are read one by one, so that a narrow page may put the cells of each below each other."""
        return any(head.holds == "prose" for head in self.heads)

    def transposed(self) -> Grid:
        """Return rows as columns; all columns but the first must hold numbers."""
        first = self.heads[0]
        columns = (
            (Cell(head.text, head.small), *(row[at] for row in self.rows)) for at, head in enumerate(self.heads) if at
        )
        heads = (first, *(Head(row[0].text, row[0].small) for row in self.rows))
        return Grid(self.caption, heads, tuple(columns))


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: Of the figure; names its file, and its ids in the page.
        svg: What is drawn, as one ``<svg>`` element.
        title: What it shows, as a sentence.
        sentence: How to read it.
        numbers: The table behind it.
        wide: Whether a narrow page is to show it in a box that is moved sideways.
    """

    kind: ClassVar = "picture"
    name: str
    svg: str
    title: str
    sentence: str
    numbers: Grid
    wide: bool = False


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when asked for."""

    kind: ClassVar = "folded"
    summary: str
    blocks: tuple[Content, ...]


@dataclass(frozen=True)
class Titled:
    """Blocks under a heading of their own."""

    kind: ClassVar = "titled"
    title: str
    blocks: tuple[Content, ...]


Content = Paragraph | Bullets | Commands | Grid | Picture | Folded | Titled


@dataclass(frozen=True)
class Section:
    """A part of the report; ``key`` is its anchor."""

    key: str
    title: str
    blocks: tuple[Content, ...]


@dataclass(frozen=True)
class ReportPage:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Difference:
    """A setting in which an arm is not the first one, in some groups; no groups stand for all."""

    key: str
    was: str
    now: str
    unit: str = ""
    means: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourcedNumber:
    """A setting of the scenario: what it means, and where its value comes from."""

    key: str
    value: str
    unit: str
    means: str
    origin: str


@dataclass(frozen=True)
class Provenance:
    """What a run's own tables do not hold, but its scenario does.

    Attributes:
        folder: The run, as it is typed in a shell.
        command: What simulates it again, with the same rows.
        scenario_file: What has to be saved for that first, if anything.
        differences: Settings in which each arm differs from the first one.
        numbers: Settings of each group under the arm that changes nothing.
    """

    folder: str
    command: str = ""
    scenario_file: str = ""
    differences: dict[str, tuple[Difference, ...]] = field(default_factory=dict)
    numbers: dict[str, tuple[SourcedNumber, ...]] = field(default_factory=dict)
