"""What several commands print: documents, and the summary of a run with what to type next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.commands.folder import typed

if TYPE_CHECKING:
    from fleet.scenario.fleet import Fleet


def print_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=1, allow_nan=False))


def print_notices(fleet: Fleet) -> None:
    """Print what is worth a word about a scenario, a line each, where errors are printed."""
    from fleet.scenario.notices import notices

    for notice in notices(fleet):
        click.echo(f"notice: {notice.line()}", err=True)


def print_summary(root: Path, *, as_json: bool, hints: bool) -> None:
    """Print the summary of a run, and what to type next.

    Raises:
        DataError: The run is not complete, or a file is missing or was altered.
    """
    from analysis.dataset import open_run

    run = open_run(root)
    from analysis.examples import example_node
    from analysis.summary import summary_document
    from analysis.text import summary_lines

    if as_json:
        print_json(summary_document(run))
        return
    click.echo("\n".join(summary_lines(run)))
    if hints:
        click.echo(f"\ndata: {typed(root)} (Parquet tables by arm; {run.manifest['seconds']:.1f} s)")
        click.echo(f"next: hwpoison-fleet replay {typed(root)} --node {example_node(run)}")
        click.echo(f"      hwpoison-fleet compare {typed(root)} --baseline {run.arms[-1]}")
