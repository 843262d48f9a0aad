"""The summary of a run as commands print it, with what to type next and what came of gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.commands.gates import any_failed, leaving_if, print_verdicts
from fleet.commands.printing import columns, print_json, say
from fleet.printable import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.dataset.run import Run
    from fleet.stored.store import AnyRoot


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
