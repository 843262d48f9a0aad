"""The formats of the command export that collectors on the hosts would have recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import say_fitted

if TYPE_CHECKING:
    from fleet.stored.store import RunStore

WITH_EVENTS: Final = "with-events"
COLLECTORS: Final = ("complete", "rasdaemon-0.8.5", "rasdaemon-0.6.8-debian12")
SHORT: Final = {
    "rasdaemon": "The databases of rasdaemon, one a host.",
    "kernel-log": "The kernel's logs, one a host.",
    "trace": "Trace events as text of ftrace, one file a host.",
    "injection-script": "Shell scripts that inject the errors of a host, for a test machine.",
}
"""Formats, and a sentence about each."""
_LONG: Final = {
    "rasdaemon": """Write OUT/HOST/ras-mc_event.db of each host, as rasdaemon would have stored it.

    All tables of the collector's release are there, also empty ones. Tables and rows are counted at the end, and what
    the collector lost.
    """,
    "kernel-log": """Write OUT/HOST.log of each host: lines of its kernel as journalctl -o short-iso-precise shows them.

    With a collector the log is that of the host's disk: it has no panics, nor what the firmware keeps to itself.
    """,
    "trace": """Write OUT/HOST.txt of each host: trace events of memory errors and signals, as ftrace prints them.

    Times are seconds since 1970. With a collector, only events that it has enabled and outlives are there.
    """,
    "injection-script": """Write OUT/HOST.sh for each host: it injects the errors of the host on a TEST machine.

    A script does nothing but print what it would do, unless it is called with --i-understand, as root, on a machine
    that was booted with hwpoison_test_machine on its command line.
    """,
}


def records_command(form: str) -> click.Command:
    """Return the command that writes a format."""

    @click.command(form, short_help=SHORT[form], help=_LONG[form])
    @click.argument("folder", metavar="DIR", type=Folder())
    @click.option("-o", "out", required=True, type=UsablePath(), help="Folder to write to; files in it are kept.")
    @click.option(
        "--nodes", metavar="LIST", default=WITH_EVENTS, show_default=True, help="Nodes, such as 1,5,10-20, or this."
    )
    @click.option("--arm", metavar="NAME", help="Arm.  [default: the first]")
    @click.option(
        "--collector", type=click.Choice(COLLECTORS), default=COLLECTORS[0], show_default=True,
        help="What hosts record with; complete is all that happened.",
    )  # fmt: skip
    @click.option(
        "--rows-per-window", type=click.IntRange(1, 1_000_000), default=60, show_default=True,
        help="Records of a window of corrected errors, more if one would hold over 65,535.",
    )  # fmt: skip
    def command(folder: RunStore, out: Path, nodes: str, arm: str | None, collector: str, rows_per_window: int) -> None:
        from analysis.dataset.run import open_run
        from analysis.records.collectors import collector_of
        from analysis.records.host_files import ExportOrder, total_lines, write_hosts
        from fleet.commands.hosts import hosts_of
        from fleet.commands.node_list import nodes_of
        from fleet.run import open_plan
        from fleet.stored.views import start_us

        run = open_run(folder)
        fleet, plan = open_plan(folder)
        arm = fleet.arms[0] if arm is None else arm
        run.check_arm(arm)
        order = ExportOrder(
            run=run,
            hosts=hosts_of(fleet, arm),
            arm=arm,
            seed=plan["seed"],
            start_us=start_us(plan),
            nodes=None if nodes == WITH_EVENTS else nodes_of(nodes, fleet.nodes),
            collector=collector_of(collector),
            at_most=rows_per_window,
        )
        say_fitted(total_lines(form, out, write_hosts(order, form, out), order.collector))

    return command
