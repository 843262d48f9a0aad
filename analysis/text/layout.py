"""Tables as text: numbers with as many digits as they are good for, columns that fit a terminal, names that do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from analysis.estimators.rates import Estimate
from fleet.printable import fitted

GAP: Final = 2
"""Spaces before a cell."""
HEAD_LINES_MAX: Final = 3
"""Lines of a name above its column."""
NAME_MAX: Final = 26
NAME_MIN: Final = 18
"""Columns of a line of such a name, where there is room and where there is not."""
_BREAKS: Final = "_-.= "
"""Characters after which a name may go on in the next line, if there is no + between settings."""
_FOUR_DIGITS: Final = 999.5
_CUT: Final = ".."


def format_number(value: float) -> str:
    """Write a number: three digits from 1 on, two below, all before the decimal point of a large one."""
    size = abs(value)
    if size == 0.0:
        return "0"
    for least, form in ((99.95, ",.0f"), (9.995, ".1f"), (0.0995, ".2f"), (0.00995, ".3f"), (0.000995, ".4f")):
        if size >= least:
            return f"{value:{form}}"
    return f"{value:.1e}"


def format_estimate(estimate: Estimate, *, signed: bool = False, scale: float = 1.0) -> str:
    """Write a number, times ``scale``, with its interval."""
    if estimate.value is None:
        return "-"
    plus = "+" if signed and estimate.value > 0.0 else ""
    value = f"{plus}{format_number(scale * estimate.value)}"
    if estimate.low is None or estimate.high is None:
        return f"{value} [undefined]"
    return f"{value} [{format_number(scale * estimate.low)}, {format_number(scale * estimate.high)}]"


def format_byte_years(size: float) -> str:
    """Write memory out of use over time with a binary unit; less than a byte for a year is worth no digits."""
    if size < 1.0:
        return "under 1 B-year" if size else "0"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _FOUR_DIGITS:
            return f"{size:.3g} {unit}-years"
        size /= 1024
    return f"{size:.3g} TiB-years"


def cut(name: str, width: int, mark: str = "") -> str:
    """Leave out the middle of a name that is too long, and put a mark there."""
    if len(name) <= width:
        return name
    middle = f"{_CUT}{mark}{_CUT}" if mark else _CUT
    kept = max(0, width - len(middle))
    tail = kept // 2
    return name[: kept - tail] + middle + (name[-tail:] if tail else "")


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Return each name as it fits a width; those that would be cut to the same text bear their place among all."""
    plain = {name: cut(name, width) for name in names}
    shared = {text for text in plain.values() if list(plain.values()).count(text) > 1}
    return {
        name: cut(name, width, str(place)) if plain[name] in shared else plain[name]
        for place, name in enumerate(names, 1)
    }


def legend(short: dict[str, str], width: int) -> list[str]:
    """Tell which names were cut to what."""
    cuts = {text: name for name, text in short.items() if text != name}
    if not cuts:
        return []
    return ["names in full:", *(line for text, name in cuts.items() for line in fitted(f"  {text} = {name}", width))]


def head(name: str, width: int) -> list[str]:
    """Break a name into lines of a width, behind marks of punctuation; one that needs too many is cut."""
    lines, rest = [], name
    while len(rest) > width:
        at = rest.rfind("+", 0, width) + 1 or max(rest.rfind(mark, 0, width) for mark in _BREAKS) + 1 or width
        lines.append(rest[:at].rstrip())
        rest = rest[at:]
    lines.append(rest)
    return lines if len(lines) <= HEAD_LINES_MAX else [cut(name, width)]


def columns(
    title: str, names: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int, left: int = 0
) -> list[str]:
    """Lay out a table that has a row of cells for each figure and a column for each arm, in as few blocks as fit.

    Args:
        title: Stands above the names of the rows.
        names: Of the columns; they are broken into lines, or cut, where they are wider than their cells.
        rows: Each with its name and cells.
        width: Of the text.
        left: Columns for the names of the rows, if more than they need.
    """
    left = max(left, len(title), *(len(name) for name, _ in rows))
    cells = [[row[at] for _, row in rows] for at in range(len(names))]
    for most in (NAME_MAX, NAME_MIN):
        heads = [head(name, max(most, *map(len, column))) for name, column in zip(names, cells, strict=True)]
        wide = [max(map(len, [*lines, *column])) for lines, column in zip(heads, cells, strict=True)]
        if sum(wide) + GAP * len(wide) <= width - left:
            break
    lines: list[str] = []
    for block in _blocks([GAP + one for one in wide], width - left):
        lines += [""] * bool(lines)
        lines += _heading(title, left, [heads[at] for at in block], [wide[at] for at in block])
        lines += [_row(name, left, [row[at] for at in block], [wide[at] for at in block]) for name, row in rows]
    return lines + legend({name: lines[0] for name, lines in zip(names, heads, strict=True) if _CUT in lines[0]}, width)


def lines_of_arms(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], width: int) -> list[str]:
    """Lay out a table that has a line for each arm; names of arms that are too long are cut, and told below.

    Where there is no room for all cells, those before the last are left out, from the right.

    Args:
        titles: Of the names and of the cells, broken into lines where they are wider than the cells.
        rows: Each the name of an arm and its cells.
        width: Of the text.
    """
    first, *others = titles
    cells = [[row[at] for _, row in rows] for at in range(len(others))]
    every = [max(map(len, [*title.split(), *column])) for title, column in zip(others, cells, strict=True)]
    kept = _with_room(every, width - NAME_MIN)
    wide = [every[at] for at in kept]
    short = short_names([name for name, _ in rows], max(NAME_MIN, width - sum(wide) - GAP * len(wide)))
    left = max(len(first), *map(len, short.values()))
    heads = [textwrap.wrap(others[at], every[at]) for at in kept]
    lines = _heading(first, left, heads, wide)
    lines += [_row(short[name], left, [row[at] for at in kept], wide) for name, row in rows]
    out = [title for at, title in enumerate(others) if at not in kept]
    lines += fitted(f"no room for: {', '.join(out)}", width) if out else []
    return lines + legend(short, width)


def _with_room(wide: Sequence[int], room: int) -> list[int]:
    """Return which columns there is room for: as many of the first as fit beside the last."""
    last = len(wide) - 1
    kept = list(range(last))
    while kept and sum(GAP + wide[at] for at in (*kept, last)) > room:
        kept.pop()
    return [*kept, last]


def _heading(title: str, left: int, heads: Sequence[Sequence[str]], wide: Sequence[int]) -> list[str]:
    """Lay out the names of columns, the last line of each just above the cells."""
    tall = max(map(len, heads))
    padded = [[*[""] * (tall - len(lines)), *lines] for lines in heads]
    return [_row(title if at == tall - 1 else "", left, [lines[at] for lines in padded], wide) for at in range(tall)]


def _row(first: str, left: int, cells: Sequence[str], wide: Sequence[int]) -> str:
    right = "".join(f"{'':{GAP}}{cell:>{one}}" for cell, one in zip(cells, wide, strict=True))
    return f"{first:<{left}}{right}".rstrip()


def _blocks(wide: Sequence[int], room: int) -> list[list[int]]:
    """Put columns into as few blocks as fit, about as many in each, one at least."""
    n = len(wide)
    for n_blocks in range(1, n + 1):
        ends = [n * block // n_blocks for block in range(n_blocks + 1)]
        blocks = [list(range(low, high)) for low, high in pairwise(ends)]
        if all(sum(wide[at] for at in block) <= room for block in blocks):
            return blocks
    return [[at] for at in range(n)]
