"""The command that compares arms, of one run or of two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fleet.commands.completion import arms_of_run
from fleet.commands.folder import Folder
from fleet.commands.gates import any_failed, fail_if_option, leaving_if, print_verdicts
from fleet.commands.paths import UsablePath
from fleet.commands.printing import columns, print_json, say, say_fitted
from fleet.printable import typed
from fleet.shortage import check_address_space
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from analysis.comparison.compared import Comparison, Line
    from analysis.comparison.gates import Gate, Verdict, Vocabulary
    from fleet.stored.store import RunStore

    Asked = tuple[Comparison, tuple[Gate, ...], Vocabulary]


def _split(texts: Sequence[str]) -> list[str]:
    """Split lists at commas."""
    return [name.strip() for text in texts for name in text.split(",")]


@click.command("compare")
@click.argument("folder", type=Folder())
@click.argument("other", type=Folder(), required=False)
@click.option(
    "--baseline",
    metavar="ARM",
    help="Arm to compare with.  [default: the first; of two runs, its namesake]",
    shell_complete=arms_of_run,
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME,…", help="Metrics to show.  [default: the main ones]")
@click.option(
    "--by",
    metavar="WHAT",
    help="Effects within groups of nodes (group), or kills and losses by page_use, process or cause.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV table, a line an effect.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Simulate the fleet at both ends of each headline assumption; how much the effects hang on it.",
)
@click.option(
    "--figure", type=UsablePath(), metavar="FILE", help="Draw what the effects hang on, too: .svg, .pdf or .png."
)
@click.option("--nodes", type=click.IntRange(min=1), help="Nodes of these simulations.  [default: those of the run]")
@click.option("--pareto", metavar="METRIC,METRIC", help="Rank the arms by each, and say which are on the front.")
@click.option(
    "--cost",
    metavar="WHAT=PRICE,…",
    help="Rank the arms by what happened at these prices: kill, loss, panic, io_error, "
    "sdc, replacement, cordon, gib_year (of memory lost).",
)
@fail_if_option
def compare_command(  # noqa: PLR0913, PLR0917 - one argument per option
    folder: RunStore,
    other: RunStore | None,
    baseline: str | None,
    metrics: tuple[str, ...],
    by: str | None,
    as_csv: bool,
    as_json: bool,
    sensitivity: bool,
    figure: Path | None,
    nodes: int | None,
    pareto: str | None,
    cost: str | None,
    fail_if: tuple[str, ...],
) -> None:
    """Compare every arm with a baseline, paired node by node.

    OTHER is a run whose arms are compared with those of FOLDER: node by node if both have the same faults (seed, nodes,
    years, hardware), else as independent samples, which a warning says.

    If an arm acted on corrected errors (offlined pages, replaced DIMMs at a limit of CE or ECS), a second table shows
    what that is worth: UEs avoided and the DIMMs and memory spent on each, precision, recall and lead time of the
    alarms about DIMMs. An alarm is right if the DIMM has a UE after it in the baseline, which should not act on
    corrected errors itself.

    Exit code 3: a condition of --fail-if holds.
    """
    _check_together(as_csv, as_json, {"--nodes": nodes, "--figure": figure}, sensitivity)
    if sensitivity:
        others = {"OTHER": other, "--by": by, "--pareto": pareto, "--cost": cost, "--fail-if": fail_if}
        _check_alone("--sensitivity", others)
        _vary(folder, baseline, _split(metrics), (nodes, figure), as_csv=as_csv, as_json=as_json)
    elif pareto is not None or cost is not None:
        _check_alone("--pareto or --cost", {"OTHER": other, "--by": by, "--metric": metrics, "--fail-if": fail_if})
        _rank(folder, pareto, cost, as_csv=as_csv, as_json=as_json)
    else:
        _compare((folder, other), baseline, (_split(metrics), by), fail_if, as_csv=as_csv, as_json=as_json)


def _check_together(as_csv: bool, as_json: bool, with_it: Mapping[str, object], sensitivity: bool) -> None:
    """Refuse options that contradict each other, or that lack the one that they are about."""
    if as_csv and as_json:
        msg = "--csv: given with --json, expected one of them; leave one out"
        raise click.UsageError(msg)
    for name, value in with_it.items():
        if value is not None and not sensitivity:
            msg = f"{name}: given without --sensitivity, expected with it"
            raise click.UsageError(msg)


def _compare(
    runs: tuple[RunStore, RunStore | None],
    baseline: str | None,
    shown: tuple[list[str], str | None],
    fail_if: tuple[str, ...],
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print effects, and what came of gates on them."""
    from analysis.comparison.compared import check_metrics
    from analysis.comparison.gates import judge

    (folder, other), by = runs, shown[1]
    chosen = check_metrics(*shown)
    asked = _one(folder, baseline, fail_if) if other is None else _two(folder, other, baseline, fail_if)
    comparison, gates, known = asked
    lines = list(comparison.lines(chosen or _usual(by, shown=not (as_csv or as_json)), by))
    verdicts = judge(gates, known, comparison.figure)
    with leaving_if(any_failed(verdicts)):
        if as_json:
            _print_json(comparison, lines, by, verdicts)
        elif as_csv:
            from analysis.comparison.compared import effects_table
            from analysis.text.compared import table_csv

            say(table_csv(effects_table(lines, by or "")))
        else:
            _print_lines(comparison, lines, by, usual=not chosen)
        if not as_json:
            print_verdicts(verdicts, err=as_csv)


def _check_alone(option: str, others: Mapping[str, object]) -> None:
    """Refuse options that do not go with another."""
    given = [name for name, value in others.items() if value]
    if given:
        msg = f"{option}: given with {', '.join(given)}, expected without; leave one out"
        raise click.UsageError(msg)


def _vary(
    folder: RunStore,
    baseline: str | None,
    metrics: list[str],
    how: tuple[int | None, Path | None],
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Simulate a fleet at the ends of its assumptions, and say what they do to its effects."""
    check_address_space()
    from analysis.comparison.compared import check_metrics
    from analysis.comparison.sensitivity import sensitivity_json, tornado_table
    from analysis.text.compared import table_csv
    from analysis.text.tornado import tornado_lines
    from fleet.commands.figures import check_figure, put_in_place
    from fleet.commands.sensitivity import vary_assumptions
    from fleet.stored.headline import EFFECTS_SHOWN

    nodes, figure = how
    check_figure(figure)
    chosen = check_metrics(metrics)
    found = vary_assumptions(folder, baseline, nodes)
    if figure is not None:
        from analysis.figures.files import is_figure
        from analysis.figures.tornado import render_tornado

        put_in_place(figure, render_tornado(found, (chosen or ("losses",))[0], figure.suffix[1:]), ours=is_figure)
        say(f"wrote {typed(figure)}", err=True)
    if as_json:
        print_json("sensitivity", sensitivity_json(found, chosen or EFFECTS_SHOWN))
    elif as_csv:
        say(table_csv(tornado_table(found, chosen or EFFECTS_SHOWN)))
    else:
        say_fitted(tornado_lines(found, chosen or ("losses",)))


def _rank(folder: RunStore, pareto: str | None, cost: str | None, *, as_csv: bool, as_json: bool) -> None:
    """Rank the arms of a run."""
    from analysis.comparison.ranks import largest_events, parse_cost, parse_objectives, rank_arms
    from analysis.dataset.run import open_run
    from analysis.text.compared import table_csv
    from analysis.text.ranked import ranking_lines, ranking_table, rankings_json

    run = open_run(folder)
    largest = largest_events(run)
    objectives = parse_objectives(pareto, largest) if pareto is not None else ()
    priced = (parse_cost(cost, largest),) if cost is not None else ()
    rankings = rank_arms(run, (*objectives, *priced))
    front = pareto is not None
    if as_json:
        print_json("ranking", rankings_json(rankings, front=front))
    elif as_csv:
        say(table_csv(ranking_table(rankings)))
    else:
        say_fitted(ranking_lines(rankings, front=front))


def _usual(by: str | None, *, shown: bool) -> tuple[str, ...]:
    """Return the metrics that are given if none is named."""
    from analysis.comparison.breakdown import BY_ROWS
    from fleet.stored.headline import BY_KEY, EFFECTS_SHOWN

    if by not in {None, "group"}:
        return BY_ROWS[-1:] if shown else BY_ROWS  # a kill is a loss, too
    return EFFECTS_SHOWN if shown else tuple(BY_KEY)


def _one(folder: RunStore, baseline: str | None, fail_if: Sequence[str]) -> Asked:
    """Compare the arms of one run; its gates are read before anything is counted."""
    from analysis.comparison.compared import compare_arms
    from analysis.comparison.gates import parse_gates, vocabulary_of_effects
    from analysis.dataset.run import open_run

    run = open_run(folder)
    base = run.arms[run.check_arm(baseline)] if baseline else run.arms[0]
    _check_arms(folder, run.arms)
    known = vocabulary_of_effects((arm for arm in run.arms if arm != base), (group.name for group in run.groups))
    gates = parse_gates(fail_if, known)
    return compare_arms(run, base), gates, known


def _check_arms(folder: RunStore, arms: Sequence[str]) -> None:
    """Check that there is something to compare.

    Raises:
        ConfigError: The run has one arm.
    """
    if len(arms) == 1:
        msg = (
            f"{folder}: one arm, {arms[0]}, expected two or more to compare; run the fleet with --sweep KEY=V1,V2, or "
            f"a scenario with arms, or see 'hwpoison-fleet summary {typed(folder)}'"
        )
        raise ConfigError(msg)


def _two(folder: RunStore, other: RunStore, baseline: str | None, fail_if: Sequence[str]) -> Asked:
    """Compare the arms of two runs, likewise; say in the first line whether they are paired."""
    from analysis.comparison.compared import compare_runs
    from analysis.comparison.gates import parse_gates, vocabulary_of_effects
    from analysis.comparison.two_runs import pairs_of_arms
    from analysis.dataset.run import open_run

    base, run = open_run(folder), open_run(other)
    apart = _apart(folder, other)
    known = vocabulary_of_effects(
        (arm for arm, _ in pairs_of_arms(base, run, baseline)),
        (group.name for group in base.groups if not apart or group.name in {one.name for one in run.groups}),
    )
    gates = parse_gates(fail_if, known)
    return compare_runs(base, run, apart=tuple(apart), baseline=baseline), gates, known


def _apart(folder: RunStore, other: RunStore) -> list[str]:
    """Say in what two runs differ so that their nodes cannot be paired."""
    from fleet.run import open_plan
    from fleet.scenario.same_faults import differences_in_faults

    (one, plan), (another, other_plan) = open_plan(folder), open_plan(other)
    versions = [each["versions"]["hwpoison-fleet"] for each in (plan, other_plan)]
    made = [f"versions {versions[0]} and {versions[1]}"] if versions[0] != versions[1] else []
    return made + differences_in_faults(one, another, (plan["seed"], other_plan["seed"]))


def _print_json(comparison: Comparison, lines: Sequence[Line], by: str | None, verdicts: Sequence[Verdict]) -> None:
    from analysis.comparison.policies import compare_policies, policies_json
    from analysis.text.compared import comparison_json

    found: dict[str, Any] = {}
    if comparison.of_one_run:
        base = next(iter(comparison.pairs.values()), comparison.run.arms[0])
        found |= {"baseline": base, "ce_policies": policies_json(compare_policies(comparison.run, base))}
    else:
        runs = [str(run.path) for run in (comparison.base_run, comparison.run)]
        apart = list(comparison.apart)
        found |= {"runs": runs, "against": comparison.pairs, "paired": not apart, "differences_in_faults": apart}
    effects = comparison_json(lines, by)
    gates = [verdict.to_json() for verdict in verdicts]
    print_json("comparison", {**found, "by": by, "effects": effects, "gates": gates})


def _print_lines(comparison: Comparison, lines: Sequence[Line], by: str | None, *, usual: bool) -> None:
    """Print a comparison; that of one run in what is usual with a sentence on each arm, and policies on CEs."""
    from analysis.comparison.policies import compare_policies
    from analysis.text.ce_policies import policy_lines
    from analysis.text.compared import NOTE_UNPAIRED, comparison_lines, first_line
    from analysis.text.differences import effects_of_run, note_lines

    width = columns()
    if not comparison.of_one_run or by or not usual:
        say_fitted([*first_line(comparison), *comparison_lines(lines, by, width)])
        say(NOTE_UNPAIRED if comparison.apart else "\n".join(note_lines(width)))
        return
    run = comparison.run
    base = next(iter(comparison.pairs.values()), run.arms[0])
    effects = {arm: comparison.effects(arm) for arm in comparison.pairs}
    say("\n".join([*effects_of_run(run, effects, base, width), *note_lines(width)]))
    policies = compare_policies(run, base)
    if policies is not None and policies.arms:
        say("\n".join(policy_lines(policies, base, width)))
