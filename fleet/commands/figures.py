"""The command that draws a finished run: figures as files, and the tables behind them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fleet.commands.folder import Folder
from fleet.commands.paths import UsablePath
from fleet.commands.printing import say
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

if TYPE_CHECKING:
    from analysis.figures.figure import Rendered, RunFigure
    from fleet.stored.store import RunStore

NAMES: Final = (
    "kills_by_cause",
    "losses_by_arm",
    "difference_to_baseline",
    "response_to_sweep",
    "heat_map_of_sweep",
    "results_by_page_type",
    "what_followed_ues",
    "concentration_of_ce",
    "time_from_ce_to_ue",
    "fleet_over_time",
    "memory_against_kills",
)
"""Figures in the order of the report; a test holds them equal to ``analysis.figures.FIGURES``."""
_FORMATS: Final = ("svg", "pdf", "png")
_SIZE: Final = re.compile(r"(\d+)[x×](\d+)")


class _Size(click.ParamType):  # type: ignore[type-arg]
    """A width and a height in CSS pixels."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Read WxH."""
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r}, expected WIDTHxHEIGHT in CSS pixels, as 900x500", param, ctx)
        return float(found[1]), float(found[2])


@click.command("figures", epilog=f"Figures: {', '.join(NAMES)}.")
@click.argument("folder", type=Folder())
@click.option("-o", "--output", type=UsablePath(), required=True, help="Folder of the files; made if it is not there.")
@click.option("--only", metavar="NAME,…", multiple=True, help="Draw these figures only; repeatable.")
@click.option(
    "--format", "kind", type=click.Choice(_FORMATS), default="svg", show_default=True, help="Format of the files."
)
@click.option(
    "--size", type=_Size(), help="Width and height in CSS pixels (1/96 inch).  [default: as the figure needs]"
)
@click.option("--dpi", type=float, default=192.0, show_default=True, help="Resolution of a PNG; 96 is a pixel a pixel.")
@click.option("--csv", "with_csv", is_flag=True, help="Write the tables behind the figures, too, as NAME.csv.")
def figures_command(
    folder: RunStore,
    output: Path,
    only: tuple[str, ...],
    kind: str,
    size: tuple[float, float] | None,
    dpi: float,
    with_csv: bool,
) -> None:
    """Draw a finished run: one file per figure, whose title states what the data say.

    A figure that has nothing to show of a run, as a response curve of a run that is no sweep, is left out. The same run
    gives the same bytes. Files of figures are replaced, others never.
    """
    names = _asked_for(only)
    from analysis.dataset.run import open_run
    from analysis.figures import FIGURES, render
    from analysis.figures.files import is_figure
    from analysis.figures.style import load_matplotlib

    load_matplotlib()
    run = open_run(folder)
    chosen = [FIGURES[name] for name in names or NAMES]
    missing = [figure.name for figure in chosen if not figure.applies(run)]
    if names and missing:
        msg = f"--only {','.join(missing)}: has nothing to show of this run ({folder}); leave it out"
        raise ConfigError(msg)
    wanted = [figure for figure in chosen if figure.name not in missing]
    for figure in wanted:
        _check_free(output / f"{figure.name}.{kind}", is_figure)
    if wanted:
        _make(output)
    for figure in wanted:
        drawn = render(figure, run, kind, size=size, dpi=dpi)
        for line in _write(output, figure, drawn, kind, with_csv=with_csv):
            say(line)
    for name in missing:
        say(f"{name}: has nothing to show of this run")


def _asked_for(only: tuple[str, ...]) -> list[str]:
    """Return the names asked for.

    Raises:
        ConfigError: There is no such figure.
    """
    names = list(dict.fromkeys(name for text in only for name in (part.strip() for part in text.split(",")) if name))
    wrong = [f"--only {name}: {one_of(name, NAMES)}" for name in names if name not in NAMES]
    if only and not names:
        wrong = [f"--only: no name, expected some of {', '.join(NAMES)}"]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return names


def _write(output: Path, figure: RunFigure, drawn: Rendered, kind: str, *, with_csv: bool) -> list[str]:
    """Write a figure, and its table if that is wanted; return the paths.

    Raises:
        ConfigError: A file cannot be written, or is in the way and none of ours.
    """
    from analysis.figures.files import is_figure, is_table, table_as_csv

    path = output / f"{figure.name}.{kind}"
    put_in_place(path, drawn.content, ours=is_figure)
    if not with_csv:
        return [str(path)]
    table = output / f"{figure.name}.csv"
    put_in_place(table, table_as_csv(drawn.table), ours=is_table(drawn.table))
    return [str(path), str(table)]


def _make(folder: Path) -> None:
    """Make the folder of the files.

    Raises:
        ConfigError: It cannot be made.
    """
    from fleet.stored.written import not_written

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(folder, error, "choose another folder with -o") from None


def _check_free(path: Path, ours: Any) -> None:
    """Check that nothing is in the place of a file but a file of ours.

    Raises:
        ConfigError: Something is.
    """
    if path.is_symlink() or (path.exists() and not (path.is_file() and ours(path.read_bytes()))):
        msg = f"{path}: is there, expected nothing or a file of this command; move it, or choose another -o"
        raise ConfigError(msg)


def check_figure(figure: Path | None) -> None:
    """Check the kind of a figure, and that there is a folder for it, before anything is simulated.

    Raises:
        ConfigError: It is none.
    """
    if figure is None:
        return
    if figure.suffix[1:] not in _FORMATS:
        known = ", ".join(f".{kind}" for kind in _FORMATS)
        msg = f"--figure {figure}: {figure.suffix or 'no suffix'}, expected one of {known}; rename it"
        raise ConfigError(msg)
    if not figure.parent.is_dir():
        msg = f"--figure {figure}: no folder {figure.parent}, expected one that is there; make it, or choose another"
        raise ConfigError(msg)
    from analysis.figures.style import load_matplotlib

    load_matplotlib()


def put_in_place(path: Path, content: bytes, ours: Any) -> None:
    """Put a file in place in its folder, whole or not at all.

    Raises:
        ConfigError: It cannot be written there, or another file is in the way.
        ExecutionError: There is no room.
    """
    from fleet.stored.written import not_written

    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _check_free(path, ours)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise not_written(path, error) from None
