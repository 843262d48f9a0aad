"""Gates on the command line: the option, and what becomes of its verdicts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from fleet.commands.printing import OutputError, say

if TYPE_CHECKING:
    from analysis.comparison.gates import Verdict

EXIT_GATE: Final = 3


def fail_if_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that takes gates."""
    return click.option(
        "--fail-if",
        multiple=True,
        metavar="EXPR",
        help="Exit with 3, after all is printed, if it holds; repeatable. [lower:|upper:]METRIC[{arm=..,group=..}] OP "
        "NUMBER in the unit that the verdict repeats, e.g. 'upper:kills{arm=\"default\"} > 10'; lower: and upper: are "
        "the ends of the interval. Without an arm it is about each.",
    )(command)


def print_verdicts(verdicts: Sequence[Verdict], *, err: bool = False) -> None:
    """Print what came of gates, a line each."""
    for verdict in verdicts:
        say(verdict.line(), err=err)


@contextmanager
def leaving_if(failed: bool) -> Iterator[None]:
    """Print inside, then leave with the exit code of gates if one has failed, also if whoever reads has gone.

    A reader who has seen enough changes no verdict; what could not be printed for another reason is told as ever.
    """
    try:
        yield
    except OutputError as error:
        if not (failed and isinstance(error.__cause__, BrokenPipeError)):
            raise
    if failed:
        sys.exit(EXIT_GATE)


def any_failed(verdicts: Sequence[Verdict]) -> bool:
    """Return whether a gate has failed."""
    return any(not verdict.passed for verdict in verdicts)
