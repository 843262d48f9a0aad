"""The command serve: a fleet that lives while Prometheus watches it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from fleet.commands.completion import arms_of_run, of_scenario, run_folders, scenarios
from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import print_notices, say
from fleet.commands.progress import shown_progress
from fleet.shortage import check_address_space
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from analysis.dataset.run import Run
    from fleet.stored.store import RunStore

_LAYOUTS: Final = ("legacy", "dimm", "none")
_COMPATIBLE: Final = ("1.5", "1.12")
_ENDS: Final = ("hold", "exit", "loop")
SPEED_MAX: Final = 1e9
_NODES: Final = 1000
"""Of the scenario that is served if nobody names one, or as many as are to be chosen of them."""
_SPEED_TOLD: Final = 60
"""Speed above which it is said what windows of rules mean."""
_SPANS: Final = ((31_557_600, "years"), (86_400, "days"), (3600, "hours"), (60, "minutes"))


class _Source(Folder):
    """A run, or a scenario to simulate."""

    name = "source"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete a run or a scenario."""
        return [*run_folders(incomplete), *scenarios(ctx, param, incomplete)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the store of a run, or the text that names a scenario."""
        from fleet.scenario.document import scenario_names
        from fleet.stored.manifest import PLAN

        text = os.fsdecode(value)
        planned = os.path.lexists(os.path.join(text, PLAN))  # noqa: PTH118 - a path that cannot be is none
        if "://" in text or planned or (Path(text).is_dir() and text not in scenario_names()):
            return super().convert(value, param, ctx)
        return text


def _complete_arm(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return arms_of_run(ctx, param, incomplete) or of_scenario("arm")(ctx, param, incomplete)


@click.command("serve")
@click.argument("source", metavar="[SCENARIO|DIR]", required=False, type=_Source())
@click.option("--arm", metavar="NAME", help="Arm.  [default: the first]", shell_complete=_complete_arm)
@click.option("--nodes", type=click.IntRange(min=1), help="Nodes: of the scenario, or the first of the run.")
@click.option(
    "--sample", type=click.IntRange(min=1), help="Serve so many: nodes with uncorrected errors first, then with any."
)
@click.option("--port", type=click.IntRange(0, 65535), default=9464, show_default=True, help="Port; 0 is a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Simulated seconds in a second.")
@click.option(
    "--start",
    metavar="TIME|12d|first:ue|first:panic|first:kill",
    help="When to begin; first: 10 minutes before the first such event.  [default: when the run begins]",
)
@click.option(
    "--end",
    type=click.Choice(_ENDS),
    default="hold",
    show_default=True,
    help="At the end of the run: time stands still, the server ends, or all begins anew.",
)
@click.option(
    "--layout",
    type=click.Choice(_LAYOUTS),
    help="What sysfs has of DIMMs: csrows, no csrows, nothing.  [default: none if firmware comes first, else legacy]",
)
@click.option(
    "--compat",
    "compatible",
    type=click.Choice(_COMPATIBLE),
    default="1.5",
    show_default=True,
    help="Version of node_exporter; 1.12 adds series of channels.",
)
@click.option(
    "--write",
    "write",
    metavar="FOLDER",
    type=UsablePath(),
    help="New folder for HOST.log, HOST/trace.txt and HOST/ras-mc_event.db, which grow as time passes.",
)
def serve_command(  # noqa: PLR0913, PLR0917 - one argument per option
    source: RunStore | str | None,
    arm: str | None,
    nodes: int | None,
    sample: int | None,
    port: int,
    host: str,
    speed: float,
    start: str | None,
    end: str,
    layout: str | None,
    compatible: str,
    write: Path | None,
) -> None:
    """Serve a fleet that lives: what node_exporter would show of each host, as time passes.

    A DIR is a finished run, whose rows are served; a SCENARIO is simulated first; with neither, 1,000 nodes of baseline
    live. Prometheus finds the hosts at /sd (http_sd_configs; deploy/prometheus/config/serve.yml), the series of a host
    at /nodes/N/metrics, the totals at /metrics. A host that is down answers 503. Ctrl-C ends it.
    """
    if not 0 < speed <= SPEED_MAX:
        msg = f"--speed {speed:g}: expected more than 0 and at most {SPEED_MAX:g}; choose another"
        raise ConfigError(msg)
    if write is not None and end == "loop":
        msg = "--write: with --end loop, expected a time that begins once; leave one of them out"
        raise click.UsageError(msg)
    check_address_space()
    if source is None:
        source, nodes = "baseline", nodes or max(sample or 0, _NODES)
    from analysis.living.served import chosen_nodes, living_fleet, start_ns
    from analysis.living.server import bound_socket
    from analysis.living.serving import Serving, serve_fleet
    from analysis.living.writing import HostWriter
    from fleet.commands.hosts import hosts_of
    from fleet.run import open_plan
    from fleet.stored.views import start_us

    with bound_socket(host, port) as bound:
        with _opened(source, arm, nodes, sample) as run:
            chosen = run.arms[0 if arm is None else run.check_arm(arm)]
            fleet, plan = open_plan(run.root)
            hosts, wanted = hosts_of(fleet, chosen), chosen_nodes(run, chosen, nodes, sample)
            writer = None if write is None else HostWriter(write, hosts, plan["seed"], start_us(plan))
            living = living_fleet(run, hosts, chosen, wanted, None if writer is None else writer.add)
        how = Serving(start_ns(living, start), speed, end, layout or "", compatible, writer)
        if speed > _SPEED_TOLD:
            say(f"notice: speed {speed:g}: {_minute(speed)}", err=True)
        serve_fleet(bound, living, how, _announce)


def _announce(url: str) -> None:
    say(url)
    sys.stdout.flush()


def _minute(speed: float) -> str:
    """Say what a minute of Prometheus is."""
    unit_s, unit = next((unit_s, unit) for unit_s, unit in _SPANS if speed * 60 >= unit_s)
    return f"one minute of Prometheus is {speed * 60 / unit_s:,.1f} {unit} of the fleet, and so is [1m] in its rules"


@contextmanager
def _opened(source: RunStore | str, arm: str | None, nodes: int | None, sample: int | None) -> Iterator[Run]:
    """Open a run, or simulate a scenario into a folder that is removed in the end."""
    from analysis.dataset.run import open_run

    if not isinstance(source, str):
        yield open_run(source)
        return
    from tempfile import TemporaryDirectory

    from analysis.living.served import check_targets
    from fleet.engines.choice import EngineChoice
    from fleet.run import start_run
    from fleet.scenario.overrides import load_fleet

    changed = {"nodes": nodes}
    first = arm or load_fleet(source, changed, (), (), ()).arms[0]
    fleet = load_fleet(source, changed, (), (first,), ())
    check_targets(fleet.nodes, chosen=nodes is not None or sample is not None)
    print_notices(fleet)
    with TemporaryDirectory(prefix="hwpoison-fleet-serve-") as folder:
        root = Path(folder) / "run"
        with shown_progress("auto", fleet.nodes) as tell:
            start_run(fleet, fleet.scenario.seed, root, EngineChoice(), None, tell)
        yield open_run(root)
