"""The commands that read one run: summary and replay."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from fleet.commands.completion import arms_of_run
from fleet.commands.folder import Folder
from fleet.commands.gates import fail_if_option
from fleet.commands.paths import UsablePath
from fleet.commands.printing import print_json, say
from fleet.commands.summary import print_summary
from fleet.printable import typed
from fleet.shortage import check_address_space
from node_sim.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from fleet.stored.store import RunStore


@click.command("summary")
@click.argument("folder", type=Folder())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@fail_if_option
def summary_command(folder: RunStore, as_json: bool, fail_if: tuple[str, ...]) -> None:
    """Print rates, ratios and paired effects of a finished run.

    Exit code 3: a condition of --fail-if holds.
    """
    print_summary(folder, as_json=as_json, hints=False, fail_if=fail_if)


def _draw(tables: Mapping[str, pa.Table], node: int, arm: str, figure: Path) -> None:
    """Draw the life of a node into a file."""
    from analysis.figures.files import is_figure
    from analysis.figures.timeline import render_timeline
    from fleet.commands.figures import put_in_place

    put_in_place(figure, render_timeline(tables, node, arm, figure.suffix[1:]), ours=is_figure)


BRIEF_FROM_ROWS: Final = 40
"""More rows than so many are folded where a person reads them."""


def _is_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()


@click.command("replay")
@click.argument("folder", type=Folder())
@click.option("--node", type=int, required=True, help="Node to simulate again.")
@click.option("--arm", metavar="NAME", help="Arm.  [default: the first]", shell_complete=arms_of_run)
@click.option(
    "--brief/--every-row",
    default=None,
    help="A line for all corrected errors of a fault between two other rows.  [default: brief on a terminal if there "
    f"are more than {BRIEF_FROM_ROWS} rows]",
)
@click.option("--figure", type=UsablePath(), metavar="FILE", help="Draw the timeline, too: .svg, .pdf or .png.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON document.")
def replay_command(
    folder: RunStore, node: int, arm: str | None, brief: bool | None, figure: Path | None, as_json: bool
) -> None:
    """Simulate one node of a run again, alone, and tell its life as a timeline.

    The rows must be those of the run, if it is finished.
    """
    check_address_space()
    from fleet.commands.figures import check_figure

    check_figure(figure)
    from analysis.dataset.examples import same_rows
    from analysis.dataset.run import open_run
    from fleet.replay import replay_node, timeline_lines
    from fleet.run import is_finished, open_plan

    run = open_run(folder) if is_finished(folder) else None
    fleet, plan = open_plan(folder)
    chosen = arm or fleet.arms[0]
    tables = replay_node(fleet, plan["seed"], node, chosen)
    same = None if run is None else same_rows(run, chosen, node, tables)
    if figure is not None:
        _draw(tables, node, chosen, figure)
        say(f"wrote {typed(figure)}", err=True)
    if as_json:
        rows = {name: table.to_pylist() for name, table in tables.items()}
        print_json("replay", {"node": node, "arm": chosen, "equals_stored_rows": same, "tables": rows})
    else:
        say(f"node {node} in arm {chosen}: row, time since the start, what happened, <- the row that caused it")
        rows = sum(table.num_rows for table in tables.values())
        short = brief if brief is not None else rows > BRIEF_FROM_ROWS and _is_terminal()
        lines = list(timeline_lines(tables, brief=short))
        say("\n".join(lines) if lines else "  nothing happened to this node")
        folded = f" in {len(lines)} lines (all with --every-row)" if len(lines) < rows else ""
        stored = {True: "equal to those of", False: "DIFFERENT FROM those of", None: "not compared with"}
        unfinished = ", which is not finished" if same is None else ""
        say(f"{rows} rows{folded}, {stored[same]} the run{unfinished}")
    if same is False:
        msg = f"{folder}: the rows of node {node} differ from a new simulation; was the run made by another version?"
        raise DataError(msg)
