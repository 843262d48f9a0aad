"""The commands that simulate a fleet: run and resume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from fleet.commands.completion import of_scenario, scenarios
from fleet.commands.completion import settings as settings_completion
from fleet.commands.folder import Folder
from fleet.commands.gates import fail_if_option
from fleet.commands.printing import print_notices, say
from fleet.commands.progress import KINDS, shown_progress
from fleet.commands.summary import print_summary
from fleet.shortage import check_address_space
from fleet.stored.plan import SHARD_NODES_MAX

if TYPE_CHECKING:
    from fleet.engines.choice import EngineChoice
    from fleet.progress import Event, Progress
    from fleet.scenario.fleet import Fleet
    from fleet.stored.store import RunStore


class _At(NamedTuple):
    """Where metrics are served; without a port, nowhere."""

    host: str | None
    port: int | None


def _engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option(
            "--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="Engine."
        ),
        click.option("--workers", type=click.IntRange(1, 4096), help="Workers at a time.  [default: one per core]"),
        click.option("--address", help="Ray cluster to use.  [default: start one on this machine]"),
        click.option(
            "--nodes-per-actor", type=click.IntRange(1, SHARD_NODES_MAX), help="Nodes a Ray actor holds at a time."
        ),
        click.option(
            "--aggregators", type=click.IntRange(1, 4096), help="Actors that write.  [default: one for 4 hosts]"
        ),
        click.option(
            "--progress",
            type=click.Choice(KINDS),
            default="auto",
            show_default=True,
            help="How far it is, on stderr: a bar, or a line at most every 10 s and one at the end; auto: a bar on a "
            "terminal, else lines if it lasts more than 10 s.",
        ),
        click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics at this port."),
        click.option(
            "--metrics-host",
            metavar="ADDRESS",
            help="Address to serve them at; 0.0.0.0 is all of this machine, open to whoever reaches it.  "
            "[default: 127.0.0.1]",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON document."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _choice(
    engine: str, workers: int | None, address: str | None, nodes_per_actor: int | None, aggregators: int | None
) -> EngineChoice:
    from fleet.engines.choice import EngineChoice

    return EngineChoice(engine, workers, address, nodes_per_actor, aggregators)


def _default_folder(fleet: Fleet) -> Path:
    """Name a new folder below runs/: sorted by time, never one that exists."""
    from datetime import UTC, datetime

    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{fleet.scenario.name}"
    candidates = [Path("runs") / (stem if n == 0 else f"{stem}-{n}") for n in range(100)]
    return next((path for path in candidates if not os.path.lexists(path)), candidates[-1])


@contextmanager
def _watched(kind: str, nodes: int, metrics: Progress | None) -> Iterator[Progress]:
    """Show how far a run is, and tell the exporter, if there is one."""
    with shown_progress(kind, nodes) as show:

        def tell(event: Event) -> None:
            if metrics is not None:
                metrics(event)
            show(event)

        yield tell


def _check_host(host: str | None, port: int | None) -> None:
    """Check that an address is of metrics that are served.

    Raises:
        UsageError: None are.
    """
    if host is not None and port is None:
        msg = f"--metrics-host {host}: no metrics are served, expected --metrics-port, too; add it"
        raise click.UsageError(msg)


def _collector(fleet: Fleet, seed: int, root: RunStore | Path, engine: str, shards: int, at: _At) -> Progress | None:
    """Serve metrics if a port is given; return what they are told by."""
    if at.port is None:
        return None
    from fleet.metrics import HOST, RunCollector, serve_metrics
    from fleet.run import versions
    from fleet.stored.address import run_name
    from fleet.stored.exported import run_info

    info = run_info(
        run=run_name(root if isinstance(root, Path) else root.path),
        scenario=fleet.scenario.name,
        sha256=fleet.sha256(),
        seed=seed,
        version=versions()["hwpoison-fleet"],
        engine=engine,
    )
    groups = tuple(group.name for group in fleet.groups)
    collector = RunCollector(fleet.arms, groups, shards, fleet.nodes, info)
    say(f"metrics: {serve_metrics(collector, at.port, at.host or HOST)}", err=True)
    return collector.add


@click.command("run")
@click.argument("scenario", default="baseline", shell_complete=scenarios)
@click.option(
    "-o",
    "--output",
    type=Folder(),
    help="Folder or URL (file:///PATH, s3://BUCKET/NAME) of the run.  [default: a new folder in runs/]",
)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME",
    help="Run only this arm; repeatable, the first is the baseline.",
    shell_complete=of_scenario("arm"),
)
@click.option("--nodes", type=int, help="Nodes of the fleet.")
@click.option("--years", type=float, help="Simulated years.")
@click.option("--seed", type=int, help="Seed.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a setting in all groups and arms.",
    shell_complete=settings_completion,
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="KEY=V1,V2",
    help="Replace the arms by a grid of values.",
    shell_complete=settings_completion,
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="Add an arm in which your own function decides (own_policy.function); repeatable.",
)
@click.option("--shard-nodes", type=click.IntRange(1, SHARD_NODES_MAX), help="Nodes per shard; never changes a row.")
@click.option("--resume-if-planned", is_flag=True, help="Resume the run if its folder (-o) has its plan already.")
@_engine_options
@fail_if_option
def run_command(  # noqa: PLR0913, PLR0917 - one argument per option
    scenario: str,
    output: RunStore | None,
    arms: tuple[str, ...],
    nodes: int | None,
    years: float | None,
    seed: int | None,
    settings: tuple[str, ...],
    sweeps: tuple[str, ...],
    policies: tuple[str, ...],
    shard_nodes: int | None,
    resume_if_planned: bool,
    engine: str,
    workers: int | None,
    address: str | None,
    nodes_per_actor: int | None,
    aggregators: int | None,
    progress: str,
    metrics_port: int | None,
    metrics_host: str | None,
    as_json: bool,
    fail_if: tuple[str, ...],
) -> None:
    """Simulate a fleet under one or several policies (SCENARIO: a shipped name or a TOML file).

    Exit code 3: the run is complete, and a condition of --fail-if holds.
    """
    if resume_if_planned and output is None:
        msg = "--resume-if-planned: needs the folder of the run; add -o"
        raise click.UsageError(msg)
    _check_host(metrics_host, metrics_port)
    check_address_space()
    from fleet.run import is_planned, planned_shards, start_run
    from fleet.scenario.overrides import load_fleet

    fleet = load_fleet(scenario, {"nodes": nodes, "years": years, "seed": seed}, settings, arms, sweeps, policies)
    _check_gates(fleet, fail_if)
    print_notices(fleet)
    choice = _choice(engine, workers, address, nodes_per_actor, aggregators)
    if resume_if_planned and output is not None and is_planned(output, fleet):
        _resume(output, choice, progress, _At(metrics_host, metrics_port), as_json=as_json, fail_if=fail_if)
        return
    root = output or _default_folder(fleet)
    shards = planned_shards(fleet, choice, shard_nodes)
    at = _At(metrics_host, metrics_port)
    watch = _collector(fleet, fleet.scenario.seed, root, choice.name, len(shards), at)
    with _watched(progress, fleet.nodes, watch) as tell:
        start_run(fleet, fleet.scenario.seed, root, choice, shard_nodes, tell)
    print_summary(root, as_json=as_json, hints=True, fail_if=fail_if)


def _check_gates(fleet: Fleet, fail_if: tuple[str, ...]) -> None:
    """Read gates before anything is simulated.

    Raises:
        ConfigError: Some are none, or about what the fleet has not.
    """
    if fail_if:
        from analysis.comparison.gates import parse_gates, vocabulary_of_rates

        parse_gates(fail_if, vocabulary_of_rates(fleet.arms, (group.name for group in fleet.groups)))


@click.command("resume")
@click.argument("folder", type=Folder())
@_engine_options
def resume_command(  # noqa: PLR0913, PLR0917 - one argument per option
    folder: RunStore,
    engine: str,
    workers: int | None,
    address: str | None,
    nodes_per_actor: int | None,
    aggregators: int | None,
    progress: str,
    metrics_port: int | None,
    metrics_host: str | None,
    as_json: bool,
) -> None:
    """Finish an interrupted run, or mend one: only shards that are not committed, or not as committed, are simulated.

    All parts are read and compared with their commits first; what is lost, cut or altered is named and made again. A
    plan, a commit or a run.json that was altered, or is of another run, is refused (exit code 4).
    """
    _check_host(metrics_host, metrics_port)
    check_address_space()
    choice = _choice(engine, workers, address, nodes_per_actor, aggregators)
    _resume(folder, choice, progress, _At(metrics_host, metrics_port), as_json=as_json)


def _resume(
    folder: RunStore,
    choice: EngineChoice,
    progress: str,
    at: _At,
    *,
    as_json: bool,
    fail_if: tuple[str, ...] = (),
) -> None:
    """Finish or mend a run and print its summary."""
    from fleet.run import open_plan, resume_run

    def mending(line: str) -> None:
        say(f"mending: {line}", err=True)

    fleet, plan = open_plan(folder)
    watch = _collector(fleet, plan["seed"], folder, choice.name, len(plan["shards"]), at)
    with _watched(progress, fleet.nodes, watch) as tell:
        resume_run(folder, choice, tell, mending)
    print_summary(folder, as_json=as_json, hints=True, fail_if=fail_if)
