"""What commands print: text that a terminal can take, and documents."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from fleet.printable import WIDTH, fitted, printable, with_visible_place

if TYPE_CHECKING:
    from fleet.scenario.fleet import Fleet


JSON_VERSION: Final = 1
"""Of the documents; it is raised when a key goes or comes to mean something else."""
_LINE_MAX: Final = 800
"""Characters of a line of a message that are shown."""
NARROWEST: Final = 72
"""Columns below which lines of tables are wider than the terminal."""
_LINES_MAX: Final = 200
"""Lines of it."""


class OutputError(Exception):
    """Standard output takes nothing more."""


class Output:
    """Standard output, also of click's own help, whose failures are told from those of all other files."""

    def __init__(self, stream: TextIO) -> None:
        """Print to a stream."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Return what else a stream has."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputError(error.strerror) from error

    def flush(self) -> None:
        """Write what is left.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputError(error.strerror) from error


def say(text: str, *, err: bool = False) -> None:
    """Print text, as all commands do; nothing in it reaches a terminal as an order to it.

    An error stream that takes nothing is passed over: there is nowhere left to say so.
    """
    if not err:
        click.echo(printable(text))
        return
    with suppress(OSError):
        click.echo(printable(text), err=True)


def columns() -> int:
    """Return how wide text may be: as the terminal is, though no table is narrower than ``NARROWEST``."""
    if sys.stdout is None or not sys.stdout.isatty():
        return WIDTH
    return max(NARROWEST, shutil.get_terminal_size((WIDTH, 0)).columns)


def say_fitted(lines: Iterable[str]) -> None:
    """Print lines, those that are too wide broken."""
    width = columns()
    say("\n".join(part for line in lines for part in fitted(line, width)))


def shortened(message: str) -> list[str]:
    """Return the lines of a message, each with its place to be seen.

    The middle of long lines is left out, and there are not too many of them.
    """
    lines = [printable(with_visible_place(line)) for line in message.split("\n")]
    head, tail = 2 * _LINE_MAX // 3, _LINE_MAX // 3
    shown = [
        line if len(line) <= _LINE_MAX else f"{line[:head]} ... ({len(line):,} characters) ... {line[-tail:]}"
        for line in lines[:_LINES_MAX]
    ]
    more = len(lines) - len(shown)
    return [*shown, f"and more: {more:,} lines like these"] if more else shown


def print_json(kind: str, document: Mapping[str, Any]) -> None:
    """Print one JSON document that begins with its format; the schema of its kind is in ``fleet/schemas``."""
    say(json.dumps({"format": f"hwpoison-fleet {kind} {JSON_VERSION}", **document}, indent=1, allow_nan=False))


def print_notices(fleet: Fleet) -> None:
    """Print what is worth a word about a scenario, a line each, where errors are printed."""
    from fleet.scenario.notices import notices

    for notice in notices(fleet):
        say(f"notice: {notice.line()}", err=True)
