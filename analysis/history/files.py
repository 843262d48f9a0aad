"""Writing a history: a new file, whole or not at all, however many samples it has."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from analysis.dataset.run import Run
from analysis.history.fleet import fleet_families
from analysis.history.grid import SampleGrid
from analysis.history.hosts import HOST_FAMILIES, HostsAsked, host_series
from analysis.history.series import EOF_LINE, family_of, write_series
from node_sim.errors import ConfigError, ExecutionError


class Written(NamedTuple):
    """What was written.

    Attributes:
        series: Series.
        samples: Samples.
        size_bytes: Size of the file.
    """

    series: int
    samples: int
    size_bytes: int


def check_target(path: Path, run: Run) -> None:
    """Check that a history can be written, before anything is read.

    Raises:
        ConfigError: Something is there already, it is in the folder of the run, or there is no folder for it.
    """
    mend = "choose another file with -o"
    if os.path.lexists(path):
        msg = f"{path}: there already, expected a new file; move it away, or {mend}"
        raise ConfigError(msg)
    if not path.parent.is_dir():
        msg = f"{path}: no folder {path.parent}, expected one that is there; make it, or {mend}"
        raise ConfigError(msg)
    if isinstance(run.path, Path) and path.resolve().is_relative_to(run.path.resolve()):
        msg = f"{path}: in the folder of the run, expected one outside; {mend}"
        raise ConfigError(msg)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        msg = f"{path}: the folder cannot be written, expected one that can; {mend}"
        raise ConfigError(msg)


def write_fleet(path: Path, run: Run, arms: list[str], grid: SampleGrid) -> Written:
    """Write the history of a run's counters.

    Raises:
        ExecutionError: It cannot be written.
    """
    n_series = n_samples = 0
    with _new_file(path) as stream:
        for family, series in fleet_families(run, arms, grid):
            stream.write(family.head())
            for one in series:
                n_samples += write_series(stream, family, one, grid)
                n_series += 1
    return Written(n_series, n_samples, path.stat().st_size)


def write_hosts(path: Path, asked: HostsAsked) -> Written:
    """Write what hosts showed; each is followed once, and each family collected in a file that has no name.

    Raises:
        ExecutionError: It cannot be written.
    """
    families = {name: family_of(name, kind, sentence) for name, (kind, sentence) in HOST_FAMILIES.items()}
    n_series = n_samples = 0
    with _new_file(path) as stream, ExitStack() as opened:
        collected: dict[str, BinaryIO] = {}
        for name, series in host_series(asked):
            if name not in collected:
                collected[name] = opened.enter_context(_nameless(path.parent))
                collected[name].write(families[name].head())
            n_samples += write_series(collected[name], families[name], series, asked.grid)
            n_series += 1
        _join(stream, (collected[name] for name in families if name in collected))
    return Written(n_series, n_samples, path.stat().st_size)


def _join(stream: BinaryIO, collected: Iterable[BinaryIO]) -> None:
    """Put files one after the other; each is gone when it has been read."""
    for one in collected:
        one.seek(0)
        shutil.copyfileobj(one, stream, 1 << 20)
        one.close()


def _nameless(folder: Path) -> BinaryIO:
    return tempfile.TemporaryFile(dir=folder)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file beside its place, end it as OpenMetrics asks, and put it there.

    Raises:
        ExecutionError: It cannot be written.
    """
    beside = path.with_name(f".hwpoison-fleet-{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.write(EOF_LINE)
            stream.flush()
            os.fsync(stream.fileno())
        beside.rename(path)
    except OSError as error:
        msg = f"{path}: {error.strerror or error}, expected to write it; make room, or choose another file with -o"
        raise ExecutionError(msg) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
