"""The command export edac-sysfs: what one host shows in /sys and /proc at a time, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fleet.commands.completion import arms_of_run
from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import say
from fleet.printable import visible
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from fleet.stored.store import RunStore

_LAYOUTS: Final = ("legacy", "dimm", "none")


@click.command("edac-sysfs", short_help="What a host shows in /sys and /proc.")
@click.argument("folder", metavar="DIR", type=Folder())
@click.option("-o", "out", required=True, type=UsablePath(), help="New folder, for sys/ and proc/.")
@click.option("--node", type=click.IntRange(min=0), required=True, help="Node.")
@click.option("--at", required=True, metavar="TIME|12d", help="Time, or days since the run began.")
@click.option("--arm", metavar="NAME", help="Arm.  [default: the first]", shell_complete=arms_of_run)
@click.option(
    "--layout",
    type=click.Choice(_LAYOUTS),
    help="What sysfs has of DIMMs: csrows, no csrows, nothing.  [default: none if firmware comes first, else legacy]",
)
def edac_sysfs_command(folder: RunStore, out: Path, node: int, at: str, arm: str | None, layout: str | None) -> None:
    """Write what one host of a finished run shows at a time, for collectors that read files.

    OUT/sys and OUT/proc are what node_exporter takes for --path.sysfs and --path.procfs (collectors edac, meminfo and
    stat); ras-mc-ctl reads OUT/sys/devices/system where /sys/devices/system is.
    """
    from analysis.dataset.run import open_run
    from analysis.hosts.changes import changes
    from analysis.hosts.counters import state_at
    from analysis.hosts.lives import lives
    from analysis.hosts.node_exporter import ExporterView
    from analysis.living.sysfs import host_files, write_tree
    from analysis.living.times import time_in_run
    from fleet.commands.hosts import hosts_of
    from fleet.run import open_plan
    from fleet.stored.views import start_us

    run = open_run(folder)
    chosen = run.arms[0 if arm is None else run.check_arm(arm)]
    fleet, plan = open_plan(folder)
    if node >= fleet.nodes:
        msg = f"--node {node}: expected 0 to {fleet.nodes - 1}; choose another"
        raise ConfigError(msg)
    if isinstance(run.path, Path) and out.resolve().is_relative_to(run.path.resolve()):
        msg = f"{out}: in the folder of the run, expected one outside; choose another with -o"
        raise ConfigError(msg)
    start_s = start_us(plan) / 1e6
    now_ns = time_in_run("--at", at, start_s, run.horizon_ns)
    hosts = hosts_of(fleet, chosen)
    kind = hosts.kind(node)
    state = state_at(
        [one for _, life in lives(run, chosen, [node]) for one in changes(life, kind, plan["seed"])], now_ns
    )
    if not state.is_up(now_ns):
        msg = f"--at {at}: {hosts.name(node)} is down, expected a time at which it is up; choose another"
        raise ConfigError(msg)
    shown = ExporterView(start_s, layout or "")
    files = host_files(kind, state, now_ns, start_s, shown.layout_of(kind))
    write_tree(out, files)
    say(f"{visible(str(out))}: {len(files)} files of {hosts.name(node)}")
