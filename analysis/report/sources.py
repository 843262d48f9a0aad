"""Where the published numbers come from: each source, with what it is used for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from analysis.report.plain import Cell, Content, Folded, Grid, Head, Paragraph, Provenance, Section, SourcedNumber

TITLE: Final = "Sources"
_PUBLISHED: Final = re.compile(r"published: (?P<source>.*?)(?: \[(?P<confidence>[\w-]+)\])?", re.DOTALL)
CONFIDENCE: Final = {
    "read": "read there",
    "read-secondary": "read in a text that cites it",
    "measured": "measured",
    "computed": "computed from it",
    "recalled-unverified": "recalled, not looked up",
}
NAMED: Final = 6
"""So many numbers of a source are named."""


def sources_section(about: Provenance) -> Section:
    """List the sources of the numbers of a scenario, and why each is needed."""
    found = by_source(one for numbers in about.numbers.values() for one in numbers)
    if not found:
        return Section(
            "sources", TITLE, (Paragraph("The scenario of this run is not known, so neither are its sources."),)
        )
    heads = (Head("source", holds="prose"), Head("what for", holds="prose"), Head("numbers"))
    rows = tuple(
        (Cell(source, where_read(confidence)), Cell(reason(numbers)), Cell(str(len(numbers))))
        for (source, confidence), numbers in found.items()
    )
    text = (
        "Published numbers of the scenario and where they were read; all other numbers are assumptions, choices or "
        "definitions. 'hwpoison-fleet scenario show' gives every number of a scenario with its origin, 'scenario cite' "
        "what to cite for them, with --bibtex for a bibliography."
    )
    grid = Grid("Sources of the published numbers", heads, rows)
    blocks: tuple[Content, ...] = (
        Paragraph(text),
        grid if len(rows) <= 12 else Folded(f"{len(rows)} sources", (grid,)),
    )
    return Section("sources", TITLE, blocks)


def by_source(numbers: Iterable[SourcedNumber]) -> dict[tuple[str, str], list[SourcedNumber]]:
    """Collect the published ones of some numbers by source and how it was read, each setting once."""
    found: dict[tuple[str, str], dict[str, SourcedNumber]] = {}
    for one in numbers:
        known = _PUBLISHED.fullmatch(one.origin)
        if known:
            found.setdefault((known["source"], known["confidence"] or ""), {}).setdefault(one.key, one)
    return {source: list(of_source.values()) for source, of_source in found.items()}


def where_read(confidence: str) -> str:
    """Say how a number was read in its source."""
    return CONFIDENCE.get(confidence, confidence)


def reason(numbers: list[SourcedNumber]) -> str:
    """Say what numbers of a source mean; of many the first few."""
    said = list(dict.fromkeys(one.means.rstrip(".") or one.key for one in numbers))
    more = f"; and {len(said) - NAMED} more" if len(said) > NAMED else ""
    return "; ".join(said[:NAMED]) + more
