"""What to cite for the numbers of a scenario: its sources with what each is needed for, as text and as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any, Final, NamedTuple

from analysis.report.plain import SourcedNumber
from analysis.report.sources import by_source, reason, where_read
from fleet.printable import WIDTH
from node_sim.catalog.field import STUDIES, Figure
from node_sim.catalog.works import Work, work_of

PROGRAM: Final = "hwpoison-fleet"
_OF_FIGURES: Final = {"fitted": "fitted to", "calibrates": "calibrated to", "predicted": "compared with"}
_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{one: f"\\{one}" for one in "&%$#_{}"},
}
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_AT_SPACES: Final[dict[str, Any]] = {"break_long_words": False, "break_on_hyphens": False}
_KEY_WORDS: Final = 4
"""Words of a source in its key."""


class Need(NamedTuple):
    """What a source is needed for.

    Attributes:
        what: What was taken from it.
        detail: Where it is in the source, or what it says; may be empty.
        read: How it was read; empty where its name says so.
    """

    what: str
    detail: str
    read: str

    def text(self) -> str:
        """Write it in a line."""
        detail = f" [{self.detail}]" if self.detail else ""
        return f"{self.what}{detail}{f' ({self.read})' if self.read else ''}"


class Citation(NamedTuple):
    """A source, and what it is needed for.

    Attributes:
        name: As sources of numbers name it.
        work: The paper; None if it is none.
        needs: What for.
    """

    name: str
    work: Work | None
    needs: Sequence[Need]


def citations(numbers: Iterable[SourcedNumber], field_study: str = "none") -> list[Citation]:
    """Return the sources of numbers, and of the figures of a field study that the scenario stands for; papers first.

    Args:
        numbers: Numbers of a scenario, of which each setting counts once.
        field_study: Study of its figures, of ``STUDIES``, or ``none``.
    """
    found: dict[str, list[Need]] = {}
    for (source, confidence), of_source in by_source(numbers).items():
        name, detail = _parted(source)
        found.setdefault(name, []).append(Need(reason(of_source), detail, where_read(confidence)))
    figures = STUDIES[field_study].figures if field_study in STUDIES else ()
    for name, need in filter(None, map(_need_of, figures)):
        found.setdefault(name, []).append(need)
    listed = [Citation(name, work_of(name), tuple(dict.fromkeys(needs))) for name, needs in found.items()]
    return sorted(listed, key=lambda one: (one.work is None, one.work.year if one.work else 0, one.name.lower()))


def _parted(source: str) -> tuple[str, str]:
    """Part the name of a source from what is said of it."""
    work = work_of(source)
    if work is not None:
        return work.begins, source.removeprefix(work.begins).lstrip(",: ")
    name, _, detail = source.partition(": ")
    return name, detail


def _need_of(figure: Figure) -> tuple[str, Need] | None:
    if figure.published is None:
        return None
    name, detail = _parted(figure.published.source)
    what = f"{_OF_FIGURES[figure.role]} {figure.metric.replace('_', ' ')}"
    return name, Need(what, detail, where_read(figure.published.confidence))


def citation_lines(cited: Sequence[Citation], version: str) -> list[str]:
    """Write sources as lines of text."""
    lines = []
    for one in cited:
        lines += [_written_out(one.work) if one.work else one.name, *(f"    - {need.text()}" for need in one.needs), ""]
    return [*lines, f"{PROGRAM} {version}", "    - the simulation itself"]


def _written_out(work: Work) -> str:
    doi = f" doi:{work.doi}" if work.doi else ""
    return f"{', '.join(work.authors)}: {work.title}. {work.where}, {work.year}.{doi}"


def bibtex_lines(cited: Sequence[Citation], version: str) -> list[str]:
    """Write sources as entries of BibTeX."""
    lines, keys = [], {PROGRAM}
    for one in cited:
        key = one.work.key if one.work else _key(one.name, keys)
        keys.add(key)
        note = {"note": "; ".join(need.text() for need in one.needs)}
        lines += _entry("inproceedings", key, _of_paper(one.work) | note) if one.work else []
        lines += [] if one.work else _entry("misc", key, {"title": one.name} | note)
    return [*lines, *_entry("misc", PROGRAM, {"title": PROGRAM, "note": f"Version {version}: the simulation itself"})]


def _of_paper(work: Work) -> dict[str, str]:
    fields = {
        "author": " and ".join(work.authors),
        "title": work.title,
        "booktitle": work.where,
        "year": str(work.year),
    }
    return fields | ({"doi": work.doi} if work.doi else {})


def _entry(kind: str, key: str, fields: dict[str, str]) -> list[str]:
    """Write an entry; titles keep their capitals."""
    lines = [f"@{kind}{{{key},"]
    for name, text in fields.items():
        written = f"{{{_escaped(text)}}}" if name == "title" else _escaped(text)
        lines += wrap(f"{name} = {{{written}}},", WIDTH, initial_indent="  ", subsequent_indent="    ", **_AT_SPACES)
    return [*lines, "}", ""]


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _key(name: str, taken: set[str]) -> str:
    """Make a key of the first words of a source, that no other has."""
    words = [word for word in _NO_WORD.split(name.lower()) if word]
    key = "-".join(words[:_KEY_WORDS])
    return next(one for one in (key, *(f"{key}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)
