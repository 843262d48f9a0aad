"""The command export: what a run holds, as files of a format that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fleet.commands.export_records import SHORT, records_command
from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import say
from fleet.printable import with_visible_place

if TYPE_CHECKING:
    from fleet.stored.store import RunStore

_SUFFIXES: Final = ("csv", "csv.gz", "parquet")


def _tables(suffix: str) -> click.Command:
    """Return the command that writes the tables of a run as files of a suffix."""

    @click.command(suffix, short_help=f"The tables, as {suffix}.")
    @click.argument("folder", metavar="DIR", type=Folder())
    @click.option("-o", "out", required=True, type=UsablePath(), help="Folder to write to; files in it are kept.")
    @click.option("--table", "tables", multiple=True, metavar="NAME", help="Table, may be given again.  [default: all]")
    @click.option("--arm", metavar="NAME", help="Rows of one arm.  [default: all arms]")
    def command(folder: RunStore, out: Path, tables: tuple[str, ...], arm: str | None) -> None:
        """Write the tables of a finished run, a file each, with arm, group and date of each row.

        Rows that all arms share are written once for each arm. Beside the tables there are arms, groups and columns,
        which says what each column holds.
        """
        from analysis.dataset.export import EXPORTED, export_views, exported
        from analysis.dataset.reading import EVERY_ARM
        from analysis.dataset.run import open_run

        chosen = tuple(dict.fromkeys(tables)) or EXPORTED
        for line in exported(export_views(open_run(folder), out, suffix, chosen, EVERY_ARM if arm is None else arm)):
            say(with_visible_place(line))

    return command


def _edac_sysfs() -> click.Command:
    from fleet.commands.export_edac_sysfs import edac_sysfs_command

    return edac_sysfs_command


def _openmetrics() -> click.Command:
    from fleet.commands.export_openmetrics import command

    return command


FORMATS: Final[dict[str, Callable[[], click.Command]]] = {
    **{suffix: partial(_tables, suffix) for suffix in _SUFFIXES},
    **{form: partial(records_command, form) for form in SHORT},
    "edac-sysfs": _edac_sysfs,
    "openmetrics": _openmetrics,
}
"""What loads the command of each format."""


class _Formats(click.Group):
    """Loads the command of a format when it is asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name all formats."""
        return list(FORMATS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of a format."""
        load = FORMATS.get(cmd_name)
        return None if load is None else load()


@click.group("export", cls=_Formats, subcommand_metavar="FORMAT DIR -o OUT [OPTIONS]")
def export_command() -> None:
    """Write a finished run in a format that other programs read.

    The tables as csv, csv.gz or parquet; the past of a run, or of its hosts, for Prometheus as openmetrics; what
    collectors on the hosts would have recorded as rasdaemon, kernel-log or trace; what a host shows as edac-sysfs;
    injection-script for test machines.
    """
