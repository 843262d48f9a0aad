"""Text that a terminal can be given: nothing in it is an order to it, and no line is wider than it is."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from typing import Final

WIDTH: Final = 100
"""Columns of text that is not for a terminal."""
_HANG_MAX: Final = 48
"""A second column that begins further right leaves no room to go on below it."""
_FIRST_COLUMN = re.compile(r" *\S+(?: \S+)* {2,}(?=\S)")


def printable(text: str) -> str:
    """Write control characters, marks that turn the text around and lone bytes as escapes, all but ends of lines."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if one == "\n" or one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def visible(name: str) -> str:
    """Return a name as it is, or in quotes if nobody would see where it begins or ends, or that it is there at all."""
    return name if name and name == name.strip() and "\n" not in name else repr(name)


def with_visible_place(line: str) -> str:
    """Return a line of a message, the place that it begins with, up to the first colon and blank, as ``visible``."""
    place, colon, what = line.partition(": ")
    return f"{visible(place)}{colon}{what}" if colon else line


def fitted(line: str, width: int, hang: int | None = None) -> list[str]:
    """Break a line into lines of a width.

    Those after the first begin below the second column, if the line has two; else they are set in.

    Args:
        line: One line, maybe of columns with two spaces or more between them.
        width: Columns there are.
        hang: Columns by which the lines after the first are set in, if not as said above.
    """
    if len(line) <= width:
        return [line]
    if hang is None:
        first = _FIRST_COLUMN.match(line)
        hang = first.end() if first else width
        hang = hang if hang <= min(_HANG_MAX, width // 2) else len(line) - len(line.lstrip()) + 2
    return textwrap.wrap(line, width, subsequent_indent=" " * hang, break_on_hyphens=False)


def typed(root: object) -> str:
    """Return a path or URL as it is typed in a shell; what is not printable is written as bash reads it."""
    text = str(root)
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    letters = (one if one.isprintable() and one not in "\\'" else _as_bytes(one) for one in text)
    return f"$'{''.join(letters)}'"


def _as_bytes(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
