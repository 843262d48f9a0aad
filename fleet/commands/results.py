"""The commands that read a finished run: summary, compare and replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fleet.commands.completion import arms_of_run
from fleet.commands.folder import Folder, typed
from fleet.commands.printing import columns, print_json, print_summary, say
from fleet.shortage import check_address_space
from node_sim.errors import ConfigError, DataError

if TYPE_CHECKING:
    from fleet.stored.store import RunStore

MIN_ARMS = 2


@click.command("summary")
@click.argument("folder", type=Folder())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def summary_command(folder: RunStore, as_json: bool) -> None:
    """Print rates, ratios and paired effects of a finished run."""
    print_summary(folder, as_json=as_json, hints=False)


@click.command("compare")
@click.argument("folder", type=Folder())
@click.option(
    "--baseline", metavar="ARM", help="Arm to compare with.  [default: the first]", shell_complete=arms_of_run
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare_command(folder: RunStore, baseline: str | None, as_json: bool) -> None:
    """Compare every arm with a baseline, paired node by node.

    If an arm acted on corrected errors (offlined pages, replaced DIMMs at a limit of CE or ECS), a second table shows
    what that is worth: UEs avoided and the DIMMs and memory spent on each, precision, recall and lead time of the
    alarms about DIMMs. An alarm is right if the DIMM has a UE after it in the baseline, which should not act on
    corrected errors itself.
    """
    from analysis.comparison.effects import compare_run, to_json
    from analysis.comparison.policies import compare_policies, policies_json
    from analysis.dataset.run import open_run
    from analysis.text.ce_policies import policy_lines
    from analysis.text.differences import comparison_lines, note_lines

    run = open_run(folder)
    chosen = baseline or run.arms[0]
    run.check_arm(chosen)
    _check_arms(folder, run.arms)
    found, policies = compare_run(run, chosen), compare_policies(run, chosen)
    if as_json:
        print_json(
            "comparison", {"baseline": chosen, "effects": to_json(found), "ce_policies": policies_json(policies)}
        )
        return
    width = columns()
    say("\n".join([*comparison_lines(run, found, chosen, width), *note_lines(width)]))
    if policies is not None and policies.arms:
        say("\n".join(policy_lines(policies, chosen, width)))


def _check_arms(folder: RunStore, arms: tuple[str, ...]) -> None:
    """Check that there is something to compare.

    Raises:
        ConfigError: The run has one arm.
    """
    if len(arms) < MIN_ARMS:
        msg = (
            f"{folder}: one arm, {arms[0]}, expected two or more to compare; run the fleet with --sweep KEY=V1,V2, or "
            f"a scenario with arms, or see 'hwpoison-fleet summary {typed(folder)}'"
        )
        raise ConfigError(msg)


@click.command("replay")
@click.argument("folder", type=Folder())
@click.option("--node", type=int, required=True, help="Node to simulate again.")
@click.option("--arm", metavar="NAME", help="Arm.  [default: the first]", shell_complete=arms_of_run)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON document.")
def replay_command(folder: RunStore, node: int, arm: str | None, as_json: bool) -> None:
    """Simulate one node of a run again, alone, and tell its life as a timeline.

    The rows must be those of the run, if it is finished.
    """
    check_address_space()
    from analysis.dataset.examples import same_rows
    from analysis.dataset.run import open_run
    from fleet.replay import replay_node, timeline_lines
    from fleet.run import is_finished, open_plan

    run = open_run(folder) if is_finished(folder) else None
    fleet, plan = open_plan(folder)
    chosen = arm or fleet.arms[0]
    tables = replay_node(fleet, plan["seed"], node, chosen)
    same = None if run is None else same_rows(run, chosen, node, tables)
    if as_json:
        rows = {name: table.to_pylist() for name, table in tables.items()}
        print_json("replay", {"node": node, "arm": chosen, "equals_stored_rows": same, "tables": rows})
    else:
        say(f"node {node} in arm {chosen}: row, time since the start, what happened, <- the row that caused it")
        lines = list(timeline_lines(tables))
        say("\n".join(lines) if lines else "  nothing happened to this node")
        stored = {True: "equal to those of", False: "DIFFERENT FROM those of", None: "not compared with"}
        unfinished = ", which is not finished" if same is None else ""
        say(f"{len(lines)} rows, {stored[same]} the run{unfinished}")
    if same is False:
        msg = f"{folder}: the rows of node {node} differ from a new simulation; was the run made by another version?"
        raise DataError(msg)
