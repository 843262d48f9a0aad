"""What commands print: text that a terminal can take, documents, and the summary of a run with what to type next."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from fleet.printable import WIDTH, fitted, printable, typed, with_visible_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.dataset.run import Run
    from fleet.scenario.fleet import Fleet
    from fleet.stored.store import AnyRoot


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


def print_summary(root: AnyRoot, *, as_json: bool, hints: bool, fail_if: Sequence[str] = ()) -> None:
    """Print the summary of a run, what to type next, and what came of gates; leave as they say if one has failed.

    Raises:
        DataError: The run is not complete, or a file is missing or was altered.
        ConfigError: A gate is none, or about what the run has not.
    """
    from analysis.dataset.run import open_run

    run = open_run(root)
    from analysis.comparison.gates import evaluate
    from analysis.dataset.examples import example_node
    from analysis.text.document import summary_document
    from analysis.text.lines import summary_lines
    from fleet.commands.gates import any_failed, leaving_if, print_verdicts

    verdicts = evaluate(run, fail_if)
    with leaving_if(any_failed(verdicts)):
        if as_json:
            print_json("summary", summary_document(run) | {"gates": [verdict.to_json() for verdict in verdicts]})
            return
        say("\n".join(summary_lines(run, columns())))
        if hints:
            _say_hints(root, run, example_node(run))
        print_verdicts(verdicts)


def _say_hints(root: AnyRoot, run: Run, node: int) -> None:
    """Print where the data are, and what to type next."""
    say(f"\ndata: {typed(root)} (Parquet tables by arm; {run.manifest['seconds']:.1f} s)")
    say(f"next: hwpoison-fleet report {typed(root)}")
    say(f"      hwpoison-fleet replay {typed(root)} --node {node}")
    if len(run.arms) > 1:
        say(f"      hwpoison-fleet compare {typed(root)}")
