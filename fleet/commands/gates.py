"""Gates on the command line: the option, and what becomes of its verdicts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from fleet.commands.printing import say

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


def leave_if_failed(verdicts: Sequence[Verdict]) -> None:
    """Leave with the exit code of gates if one has failed."""
    if any(not verdict.passed for verdict in verdicts):
        sys.exit(EXIT_GATE)
