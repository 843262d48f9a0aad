"""Exporting a run: its views as files that other programs read, batch by batch."""

from __future__ import annotations

import gzip
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from analysis.dataset.reading import EVERY_ARM
from analysis.dataset.run import Run
from fleet.stored.views import SIDE_VIEWS, side_views
from node_sim.columns import TABLES
from node_sim.errors import ConfigError, ExecutionError
from node_sim.guesses import one_of

EXPORTED: Final = (*TABLES, *SIDE_VIEWS)
"""Views that can be exported."""


class Writer(Protocol):
    """What takes the batches of a file."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write some rows."""


Opened = AbstractContextManager[Writer]


class _Crlf:
    """Ends lines as RFC 4180 has it; no text of a run has a line break in it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.closed = False

    def write(self, content: bytes) -> int:
        return self._stream.write(bytes(content).replace(b"\n", b"\r\n"))

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self.closed = True


@contextmanager
def _csv(stream: BinaryIO, schema: pa.Schema) -> Iterator[Writer]:
    with csv.CSVWriter(pa.PythonFile(_Crlf(stream), "w"), schema) as writer:
        yield writer


@contextmanager
def _csv_gz(stream: BinaryIO, schema: pa.Schema) -> Iterator[Writer]:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as packed,
        _csv(packed, schema) as writer,  # type: ignore[arg-type]
    ):
        yield writer


@contextmanager
def _parquet(stream: BinaryIO, schema: pa.Schema) -> Iterator[Writer]:
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        yield writer


FORMATS: Final[dict[str, Callable[[BinaryIO, pa.Schema], Opened]]] = {
    "csv": _csv,
    "csv.gz": _csv_gz,
    "parquet": _parquet,
}
"""Formats by the suffix of their files."""


def export_views(
    run: Run, folder: Path, suffix: str, views: Sequence[str] = EXPORTED, arm: str = EVERY_ARM
) -> Iterator[tuple[Path, int]]:
    """Write views of a run as files; yield each with its rows once it is there.

    A file gets its name when it is whole. None is overwritten.

    Args:
        run: The run.
        folder: Where to; it is made if need be.
        suffix: One of ``FORMATS``.
        views: Names of views.
        arm: Arm, or all of them.

    Raises:
        ConfigError: There is no such view or arm, a file of the name is there, or nothing can be written there.
        ExecutionError: A file could not be written.
    """
    for view in views:
        if view not in EXPORTED:
            msg = f"{run.root}: table {view!r}, {one_of(view, EXPORTED)}"
            raise ConfigError(msg)
    if arm != EVERY_ARM:
        run.check_arm(arm)
    targets = {view: folder / f"{view}.{suffix}" for view in views}
    prepare_folder(run, folder, targets.values())
    for view, path in targets.items():
        schema, batches = _view(run, view, arm)
        yield path, _write(path, FORMATS[suffix], schema, batches)


def prepare_folder(run: Run, folder: Path, targets: Iterable[Path]) -> None:
    """Make the folder of an export, unless it is the run's own or has files of the names.

    Args:
        run: The run.
        folder: The folder.
        targets: Files that will be written.

    Raises:
        ConfigError: It is, or it cannot be made.
    """
    if isinstance(run.path, Path) and folder.resolve().is_relative_to(run.path.resolve()):
        msg = f"{folder}: in the folder of the run, expected one outside; choose another with -o"
        raise ConfigError(msg)
    if there := [path for path in targets if os.path.lexists(path)]:
        msg = f"{there[0]}: there already, expected new files; move it away, or choose another folder with -o"
        raise ConfigError(msg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: {error.strerror}, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg) from None


def _view(run: Run, view: str, arm: str) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    if view in TABLES:
        schema = run.view_schema(view)
        return schema, run.view_batches(view, arm, schema)
    table = side_views(run.plan)[view].table()
    return table.schema, table.to_batches()


def _write(
    path: Path, opened: Callable[[BinaryIO, pa.Schema], Opened], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> int:
    """Write a file beside its place, then move it there; return its rows.

    Raises:
        ExecutionError: It cannot be written.
    """
    temporary = path.with_name(f".hwpoison-fleet-{uuid.uuid4().hex}.tmp")
    rows = 0
    try:
        with temporary.open("xb") as stream, opened(stream, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        temporary.replace(path)
    except OSError as error:
        msg = f"{path}: {error.strerror or error}, expected to write it; make room, or choose another folder with -o"
        raise ExecutionError(msg) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return rows


def exported(found: Iterable[tuple[Path, int]]) -> Iterator[str]:
    """Yield a line for each file as it is written."""
    for path, rows in found:
        yield f"{path}: {rows:,} row{'s' * (rows != 1)}"
