"""The command that writes a report of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleet.commands.folder import Folder
from fleet.commands.gates import any_failed, fail_if_option, leaving_if, print_verdicts
from fleet.commands.paths import UsablePath
from fleet.commands.printing import say
from fleet.printable import typed
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from analysis.dataset.run import Run
    from analysis.report.plain import Provenance, SourcedNumber
    from fleet.scenario.fleet import Fleet
    from fleet.stored.store import RunStore

FORMATS = ("html", "md")


@click.command("report")
@click.argument("folder", type=Folder())
@click.option(
    "-o", "--output", type=UsablePath(), metavar="FILE", help="File to write.  [default: report.html in the folder]"
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Format.  [default: that of FILE, or html]")
@click.option("--baseline", metavar="ARM", help="Arm to compare with.  [default: the first]")
@click.option("--top", type=click.IntRange(0, 1000), default=10, show_default=True, help="Servers to look at.")
@fail_if_option
def report_command(
    folder: RunStore, output: Path | None, form: str | None, baseline: str | None, top: int, fail_if: tuple[str, ...]
) -> None:
    """Write a report of a finished run that people read: one HTML file, without scripts and without a network.

    It has the answer, what was run and how to run it again, rates and effects with their intervals, the events that
    made the difference, figures, and what all that hangs on. In Markdown the figures are files beside it. An older
    report is overwritten, no other file is. What is asked with --fail-if stands in it, too.

    Exit code 3: the report is written, and a condition of --fail-if holds.
    """
    from analysis.comparison.gates import evaluate
    from analysis.dataset.run import open_run
    from analysis.figures import FIGURES
    from analysis.report.files import target_of, write_report
    from analysis.report.page import Wish, page_of
    from analysis.report.pictures import drawn
    from analysis.report.render import check_installed

    check_installed()
    run = open_run(folder)
    verdicts = evaluate(run, fail_if)
    chosen = form or ("md" if output is not None and output.suffix == ".md" else "html")
    target = target_of(output or _default(folder, chosen), chosen)
    page = page_of(run, provenance(run), Wish(baseline, top, [one.to_json() for one in verdicts]), FIGURES, drawn)
    written = write_report(page, target)
    with leaving_if(any_failed(verdicts)):
        say(f"wrote {typed(written)}")
        print_verdicts(verdicts)


def _default(folder: RunStore, form: str) -> Path:
    """Return the report of a run inside its folder.

    Raises:
        ConfigError: The run is not in a folder of this machine.
    """
    if not isinstance(folder.path, Path):
        msg = f"{folder}: expected a folder to write the report to, as this is a URL; choose a file with -o"
        raise ConfigError(msg)
    return folder.path / f"report.{form}"


def provenance(run: Run) -> Provenance:
    """Return what the scenario of a run tells beside its tables; little if this version cannot read it any more."""
    from analysis.report.plain import Difference, Provenance
    from fleet.scenario.decode import decode
    from fleet.scenario.differences import arm_differences
    from fleet.scenario.repeat import repeat_of

    folder = typed(run.path)
    try:
        fleet = decode(str(run.path), run.plan["scenario"])
    except ConfigError:
        return Provenance(folder)
    again = repeat_of(run.plan)
    return Provenance(
        folder,
        again.command if again else "",
        again.scenario if again else "",
        {arm: tuple(Difference(*one) for one in found) for arm, found in arm_differences(fleet).items()},
        sourced_numbers(fleet),
    )


def sourced_numbers(fleet: Fleet) -> dict[str, tuple[SourcedNumber, ...]]:
    """Return every number of the node groups of a scenario, with where it comes from."""
    from analysis.report.plain import SourcedNumber
    from fleet.scenario.describe import scenario_document

    return {
        group: tuple(
            SourcedNumber(one["key"], str(one["value"]), one["unit"], one["means"], one["origin"]) for one in entries
        )
        for group, entries in scenario_document(fleet)["groups"].items()
    }
