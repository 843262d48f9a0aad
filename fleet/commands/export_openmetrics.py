"""The command export openmetrics: the past of a run, for a Prometheus that was not there."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from fleet.commands.completion import arms_of_run
from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import say, say_fitted
from fleet.printable import typed
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from analysis.dataset.run import Run
    from analysis.history.grid import SampleGrid
    from analysis.history.hosts import HostsAsked
    from fleet.stored.store import RunStore

SERIES_MAX: Final = 5_000
SAMPLES_MAX: Final = 100_000_000
"""Half a minute and 9 GB; promtool takes some ten minutes for so many."""
KEPT_DAYS: Final = 30
"""For so long after it was written a history stays, if Prometheus is told to keep what the command prints."""
BLOCK: Final = "8760h"
"""Longest block that promtool may make: by default they span two hours, and a year is thousands of them."""
_S_PER_UNIT: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_S_PER_DAY: Final = _S_PER_UNIT["d"]
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
NOW: Final = "now"
WITH_EVENTS: Final = "with-events"


class _Step(click.ParamType[int]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return whole seconds."""
        found = re.fullmatch(r"(\d{1,6})([smhdw])", str(value))
        if found is None or not int(found[1]):
            self.fail(f"{value!r}, expected a number of s, m, h, d or w, such as 6h", param, ctx)
        return int(found[1]) * _S_PER_UNIT[found[2]]


class _End(click.ParamType[int | None]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return whole seconds since 1970; ``now`` is None."""
        if value == NOW:
            return None
        found = None
        if _RFC3339.fullmatch(str(value)):
            with suppress(ValueError, OverflowError):
                found = int(datetime.fromisoformat(str(value).upper()).timestamp())
        if found is None:
            self.fail(f"{value!r}, expected {NOW} or a time such as 2026-01-31T12:00:00Z", param, ctx)
        return found


class _Nodes(click.ParamType[list[tuple[int, int]]]):
    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ranges of nodes; no range is nodes with events."""
        if value == WITH_EVENTS:
            return []
        ranges = [re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", one) for one in str(value).split(",")]
        found = [(int(one[1]), int(one[2] or one[1])) for one in ranges if one]
        if len(found) < len(ranges) or any(first > last for first, last in found):
            self.fail(f"{value!r}, expected {WITH_EVENTS} or nodes such as 3,10-19", param, ctx)
        return found


class _Wanted(NamedTuple):
    """What was asked for on the command line."""

    out: Path
    arm: str | None
    max_series: int


@click.command("openmetrics", short_help="The past of a run, or of its hosts, for Prometheus.")
@click.argument("folder", metavar="DIR", type=Folder())
@click.option("-o", "out", required=True, type=UsablePath(), metavar="FILE", help="File to write; a new one.")
@click.option("--step", "step_s", type=_Step(), default="1d", show_default=True, help="Time between samples.")
@click.option(
    "--end",
    "end_s",
    type=_End(),
    default=NOW,
    show_default=True,
    help="When the last sample is, as RFC 3339 has it: the whole history is moved there.",
)
@click.option(
    "--series",
    type=click.Choice(["fleet", "nodes"]),
    default="fleet",
    show_default=True,
    help="The counters of the run, as its exporter has them, or what hosts show, as node_exporter has it.",
)
@click.option(
    "--nodes", type=_Nodes(), help="Hosts of --series nodes: with-events, or nodes such as 3,10-19.  [default: all]"
)
@click.option(
    "--arm", metavar="NAME", help="One arm.  [default: all arms; of hosts, the first]", shell_complete=arms_of_run
)
@click.option(
    "--max-series", type=click.IntRange(min=1), default=SERIES_MAX, show_default=True, help="More are refused."
)
def command(  # noqa: PLR0913, PLR0917 - one argument per option
    folder: RunStore,
    out: Path,
    step_s: int,
    end_s: int | None,
    series: str,
    nodes: list[tuple[int, int]] | None,
    arm: str | None,
    max_series: int,
) -> None:
    """Write the past of a run as OpenMetrics text, which promtool turns into data of Prometheus.

    Of --series fleet, counters are those of the exporter of a run, over simulated time: 0 at the start, at the end what
    the summary says. Of --series nodes, hosts show what node_exporter would, and nothing while they are down. The two
    commands that bring it into Prometheus are printed.
    """
    from analysis.dataset.run import open_run
    from analysis.history.files import check_target
    from analysis.history.grid import SampleGrid

    if series == "fleet" and nodes is not None:
        msg = "--nodes: the counters of a run are of all its nodes, expected --series nodes beside it; add it"
        raise click.UsageError(msg)
    run = open_run(folder)
    check_target(out, run)
    now_s = int(datetime.now(UTC).timestamp())
    grid = SampleGrid(run.horizon_ns, step_s, now_s if end_s is None else end_s)
    if grid.start_s < 0:
        msg = f"--end: the history is {grid.horizon_s:,} s long, expected all of it since 1970; choose a later time"
        raise ConfigError(msg)
    wanted = _Wanted(out, arm, max_series)
    if series == "fleet":
        _write_fleet(run, grid, wanted)
    else:
        _write_nodes(run, grid, wanted, [(0, run.plan["nodes"] - 1)] if nodes is None else nodes)
    _say_commands(out, grid, now_s)


def _write_fleet(run: Run, grid: SampleGrid, wanted: _Wanted) -> None:
    from analysis.history.files import write_fleet
    from analysis.history.fleet import count_fleet_series

    arms = list(run.arms) if wanted.arm is None else [run.arms[run.check_arm(wanted.arm)]]
    _check_size(count_fleet_series(run, arms), grid, wanted, f"of {len(arms):,} arms", "choose one with --arm")
    _say_written(write_fleet(wanted.out, run, arms, grid), grid, wanted.out)


def _write_nodes(run: Run, grid: SampleGrid, wanted: _Wanted, nodes: list[tuple[int, int]]) -> None:
    from analysis.history.files import write_hosts
    from analysis.history.hosts import count_host_series

    asked = _asked(run, grid, wanted, nodes)
    mend = f"choose some with --nodes ({WITH_EVENTS}, or a list)"
    _check_size(count_host_series(asked), grid, wanted, f"of {len(asked.nodes):,} nodes", mend)
    _say_written(write_hosts(wanted.out, asked), grid, wanted.out)


def _asked(run: Run, grid: SampleGrid, wanted: _Wanted, nodes: list[tuple[int, int]]) -> HostsAsked:
    """Return which hosts are asked.

    Raises:
        ConfigError: There are no such nodes.
    """
    from analysis.history.hosts import HostsAsked, nodes_with_rows
    from fleet.commands.hosts import hosts_of
    from fleet.run import open_plan

    arm = run.arms[0] if wanted.arm is None else run.arms[run.check_arm(wanted.arm)]
    hosts = hosts_of(open_plan(run.root)[0], arm)
    beyond = [last for _, last in nodes if last >= hosts.nodes]
    if beyond:
        msg = f"--nodes: node {beyond[0]}, expected 0 to {hosts.nodes - 1}"
        raise ConfigError(msg)
    chosen = sorted({node for first, last in nodes for node in range(first, last + 1)})
    return HostsAsked(run, arm, hosts, chosen or nodes_with_rows(run, arm), grid)


def _check_size(series: int, grid: SampleGrid, wanted: _Wanted, what: str, mend: str) -> None:
    """Check that there are not too many series or samples.

    Raises:
        ConfigError: There are.
    """
    if series > wanted.max_series:
        msg = f"{series:,} series {what}, expected at most {wanted.max_series:,}; {mend}, or raise --max-series"
        raise ConfigError(msg)
    if series * grid.samples > SAMPLES_MAX:
        msg = (
            f"{series * grid.samples:,} samples in {series:,} series {what}, expected at most {SAMPLES_MAX:,}; "
            "choose a longer --step, or fewer series"
        )
        raise ConfigError(msg)


def _say_written(written: Any, grid: SampleGrid, out: Path) -> None:
    begin, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (grid.start_s, grid.end_s))
    say_fitted(
        [
            f"{typed(out)}: {written.samples:,} samples in {written.series:,} series, {written.size_bytes:,} bytes",
            f"from {begin:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ}",
        ]
    )


def _say_commands(out: Path, grid: SampleGrid, now_s: int) -> None:
    """Print how it gets into Prometheus, which deletes what is older than it is told to keep."""
    data = typed(f"{out}.tsdb")
    kept_days = -(-(max(now_s, grid.end_s) - grid.start_s) // _S_PER_DAY) + KEPT_DAYS
    say("\nto see it in Prometheus:")
    say(f"  promtool tsdb create-blocks-from openmetrics {typed(out)} \\\n    {data} --max-block-duration={BLOCK}")
    say(
        f"  prometheus --config.file=/dev/null --storage.tsdb.path={data} \\\n"
        f"    --storage.tsdb.retention.time={kept_days}d --query.lookback-delta={grid.step_ns // 10**9}s"
    )
