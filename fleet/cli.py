"""The command line: the only module that knows all the others, and loads them only when it needs them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fleet.dram_command import dram_command
from fleet.kernel_commands import conform_command, inject_command
from fleet.scenario_commands import scenario_group

if TYPE_CHECKING:
    from fleet.manifest import Document, Receipt
    from fleet.run import EngineChoice
    from fleet.scenario import Fleet

EXIT_FAILED, EXIT_USAGE, EXIT_DATA, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 4, 130, 143


def _fail(message: str, code: int) -> NoReturn:
    """Print an error and leave."""
    for line in message.splitlines():
        click.echo(f"error: {line}", err=True)
    sys.exit(code)


class _TerminatedError(KeyboardInterrupt):
    """The process was told to end (SIGTERM)."""


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise _TerminatedError


class _Guarded(click.Group):
    """Turns errors of ours and Ctrl-C into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        signal.signal(signal.SIGTERM, _terminate)
        try:
            return super().invoke(ctx)
        except _TerminatedError:
            _fail("terminated; what is committed is kept, 'hwpoison-fleet resume' goes on", EXIT_TERMINATED)
        except KeyboardInterrupt:
            _fail("interrupted; what is committed is kept, 'hwpoison-fleet resume' goes on", EXIT_INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(EXIT_FAILED)
        except (click.exceptions.Exit, click.ClickException, SystemExit):
            raise
        except Exception as error:
            errors = import_module("node_sim.errors")
            if isinstance(error, errors.ConfigError | errors.ModelError):
                _fail(str(error), EXIT_USAGE)
            if isinstance(error, errors.DataError):
                _fail(str(error), EXIT_DATA)
            if isinstance(error, errors.SimError):
                _fail(str(error), EXIT_FAILED)
            raise


@click.group(cls=_Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="hwpoison-fleet", prog_name="hwpoison-fleet")
def main() -> None:
    """Simulate what memory errors do to a fleet of Linux servers, and what another policy would have done.

    Exit codes: 0 ok, 1 run failed, 2 usage or scenario wrong, 3 rows differ (conform),
    4 data unreadable, 130 interrupted, 143 terminated.
    """


def _engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Engine."
        ),
        click.option("--workers", type=click.IntRange(1, 4096), help="Workers at a time.  [default: one per core]"),
        click.option("--address", help="Ray cluster to use.  [default: start one on this machine]"),
        click.option("--nodes-per-actor", type=click.IntRange(1, 131_072), help="Nodes a Ray actor holds at a time."),
        click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics on 127.0.0.1."),
        click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON document."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _choice(engine: str, workers: int | None, address: str | None, nodes_per_actor: int | None) -> EngineChoice:
    choice: EngineChoice = import_module("fleet.run").EngineChoice(engine, workers, address, nodes_per_actor)
    return choice


def _default_folder(fleet: Fleet) -> Path:
    """Name a new folder below runs/: sorted by time, never one that exists."""
    from datetime import UTC, datetime

    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{fleet.scenario.name}"
    candidates = [Path("runs") / (stem if n == 0 else f"{stem}-{n}") for n in range(100)]
    return next((path for path in candidates if not path.exists()), candidates[-1])


def _run_with_progress(
    nodes: int, metrics: Callable[[Receipt], None] | None, work: Callable[[Callable[[Receipt], None]], Document]
) -> Document:
    """Run work with a progress bar on a terminal."""

    def observe(receipt: Receipt) -> None:
        if metrics is not None:
            metrics(receipt)

    if not sys.stderr.isatty():
        return work(observe)
    progress = import_module("rich.progress")
    console = import_module("rich.console").Console(stderr=True)
    columns = (*progress.Progress.get_default_columns(), progress.TextColumn("{task.completed:,.0f} nodes"))
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=nodes)

        def advance(receipt: Receipt) -> None:
            observe(receipt)
            bar.advance(task, receipt.shard.nodes)

        return work(advance)


def _collector(fleet: Fleet, seed: int, shards: int, port: int | None) -> Callable[[Receipt], None] | None:
    if port is None:
        return None
    metrics = import_module("fleet.metrics")
    info = {"scenario": fleet.scenario.name, "scenario_sha256": fleet.sha256(), "seed": str(seed)}
    groups = tuple(group.name for group in fleet.groups)
    collector = metrics.RunCollector(fleet.arms, groups, shards, fleet.nodes, info)
    metrics.serve_metrics(collector, port)
    click.echo(f"metrics: http://{metrics.HOST}:{port}/metrics", err=True)
    add: Callable[[Receipt], None] = collector.add
    return add


def _print_summary(root: Path, *, as_json: bool, hints: bool) -> None:
    """Print the summary of a run, and what to type next."""
    run = import_module("analysis.dataset").open_run(root)
    summary = import_module("analysis.summary")
    if as_json:
        _print_json(summary.summary_document(run))
        return
    click.echo("\n".join(summary.summary_lines(run)))
    if hints:
        node = import_module("analysis.examples").example_node(run)
        click.echo(f"\ndata: {root} (Parquet tables by arm; {run.manifest['seconds']:.1f} s)")
        click.echo(f"next: hwpoison-fleet replay {root} --node {node}")
        click.echo(f"      hwpoison-fleet compare {root} --baseline {run.arms[-1]}")


def _print_json(document: Any) -> None:
    import json

    click.echo(json.dumps(document, indent=1, allow_nan=False))


@main.command("run")
@click.argument("scenario", default="baseline")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: a new one in runs/]"
)
@click.option(
    "--arm", "arms", multiple=True, metavar="NAME", help="Run only this arm; repeatable, the first is the baseline."
)
@click.option("--nodes", type=int, help="Nodes of the fleet.")
@click.option("--years", type=float, help="Simulated years.")
@click.option("--seed", type=int, help="Seed.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting in all groups and arms.")
@click.option("--sweep", "sweeps", multiple=True, metavar="KEY=V1,V2", help="Replace the arms by a grid of values.")
@click.option("--shard-nodes", type=click.IntRange(1, 131_072), help="Nodes per shard; never changes a row.")
@_engine_options
def run_command(  # noqa: PLR0913, PLR0917 - one argument per option
    scenario: str,
    output: Path | None,
    arms: tuple[str, ...],
    nodes: int | None,
    years: float | None,
    seed: int | None,
    settings: tuple[str, ...],
    sweeps: tuple[str, ...],
    shard_nodes: int | None,
    engine: str,
    workers: int | None,
    address: str | None,
    nodes_per_actor: int | None,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Simulate a fleet under one or several policies (SCENARIO: a shipped name or a TOML file)."""
    overrides = {"nodes": nodes, "years": years, "seed": seed}
    fleet: Fleet = import_module("fleet.overrides").load_fleet(scenario, overrides, settings, arms, sweeps)
    driver = import_module("fleet.run")
    choice = _choice(engine, workers, address, nodes_per_actor)
    root = output or _default_folder(fleet)
    size = shard_nodes or nodes_per_actor or import_module("fleet.plan").default_shard_nodes(fleet.nodes)
    watch = _collector(fleet, fleet.scenario.seed, -(-fleet.nodes // size), metrics_port)
    _run_with_progress(
        fleet.nodes,
        watch,
        lambda progress: driver.start_run(fleet, fleet.scenario.seed, root, choice, shard_nodes, progress),
    )
    _print_summary(root, as_json=as_json, hints=True)


@main.command("resume")
@click.argument("folder", type=click.Path(path_type=Path))
@_engine_options
def resume_command(
    folder: Path,
    engine: str,
    workers: int | None,
    address: str | None,
    nodes_per_actor: int | None,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Finish an interrupted run: only shards that are not committed are simulated."""
    driver = import_module("fleet.run")
    choice = _choice(engine, workers, address, nodes_per_actor)
    fleet, plan = driver.open_plan(folder)
    watch = _collector(fleet, plan["seed"], len(plan["shards"]), metrics_port)
    _run_with_progress(fleet.nodes, watch, lambda progress: driver.resume_run(folder, choice, progress))
    _print_summary(folder, as_json=as_json, hints=True)


@main.command("summary")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def summary_command(folder: Path, as_json: bool) -> None:
    """Print rates, ratios and paired effects of a finished run."""
    _print_summary(folder, as_json=as_json, hints=False)


@main.command("compare")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--baseline", metavar="ARM", help="Arm to compare with.  [default: the first]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare_command(folder: Path, baseline: str | None, as_json: bool) -> None:
    """Compare every arm with a baseline, paired node by node."""
    run = import_module("analysis.dataset").open_run(folder)
    compare = import_module("analysis.compare")
    summary = import_module("analysis.summary")
    found = compare.compare_run(run, baseline)
    if as_json:
        _print_json({"baseline": baseline or run.arms[0], "effects": compare.to_json(found)})
        return
    click.echo("\n".join(summary.effect_lines(found, baseline or run.arms[0])).lstrip("\n"))
    click.echo("per 1,000 node-years, paired node by node, 95 % intervals")


@main.command("replay")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--node", type=int, required=True, help="Node to simulate again.")
@click.option("--arm", metavar="NAME", help="Arm.  [default: the first]")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as one JSON document.")
def replay_command(folder: Path, node: int, arm: str | None, as_json: bool) -> None:
    """Simulate one node of a run again, alone, and tell its life as a timeline."""
    run = import_module("analysis.dataset").open_run(folder)
    replay = import_module("fleet.replay")
    fleet, plan = import_module("fleet.run").open_plan(folder)
    chosen = arm or fleet.arms[0]
    tables = replay.replay_node(fleet, plan["seed"], node, chosen)
    same = import_module("analysis.examples").same_rows(run, chosen, node, tables)
    if as_json:
        rows = {name: table.to_pylist() for name, table in tables.items()}
        _print_json({"node": node, "arm": chosen, "equals_stored_rows": same, "tables": rows})
    else:
        click.echo(f"node {node} in arm {chosen}: row, time since the start, what happened, <- the row that caused it")
        lines = list(replay.timeline_lines(tables))
        click.echo("\n".join(lines) if lines else "  nothing happened to this node")
        click.echo(f"{len(lines)} rows, {'equal to' if same else 'DIFFERENT FROM'} those of the run")
    if not same:
        msg = f"{folder}: the rows of node {node} differ from a new simulation; was the run made by another version?"
        raise import_module("node_sim.errors").DataError(msg)


main.add_command(inject_command)
main.add_command(conform_command)
main.add_command(dram_command)
main.add_command(scenario_group)
