"""Logs, databases and traces of the hosts that are served, which grow as time passes.

What a host records is worked out once and laid by in a file that nobody sees; as its time comes, each batch of whole
lines goes into the file of the host by one call of ``write()``: only while that runs does a file end within a line.

**Leaves out.** What was recorded before the clock began, and hosts that record nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from analysis.hosts.kinds import Hosts
from analysis.hosts.lives import Life
from analysis.living.sysfs import check_new
from analysis.records import kernel_log, rasdaemon, trace
from analysis.records.collectors import COLLECTORS, COMPLETE
from node_sim.errors import ConfigError, ExecutionError

TRACE_FILE: Final = "trace.txt"
_COLLECTOR: Final = COLLECTORS[COMPLETE]


class _Growing(NamedTuple):
    """A file that grows.

    Attributes:
        path: Where it is.
        head: Lines at its beginning.
        times: When each of its lines is due [ns].
        ends: Where each ends among the lines laid by, after where the first begins.
    """

    path: Path
    head: str
    times: array[int]
    ends: array[int]


class HostWriter:
    """Writes what hosts record, when its time has come."""

    def __init__(self, folder: Path, hosts: Hosts, seed: int, start_us: int) -> None:
        """Make the folder.

        Args:
            folder: Where to; new or empty.
            hosts: What the hosts are.
            seed: Seed of the run.
            start_us: When the time of the run is 0 [us since 1970].

        Raises:
            ConfigError: The folder has something in it, or cannot be made.
        """
        check_new(folder, "--write")
        try:
            folder.mkdir(exist_ok=True)
            self._laid_by: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as we are
        except OSError as error:
            msg = f"{folder}: {error.strerror}, expected a folder that can be written; choose another with --write"
            raise ConfigError(msg) from None
        self._folder, self._hosts, self._seed, self._start_us = folder, hosts, seed, start_us
        self._files: list[_Growing] = []
        self._done: list[int] = []

    def add(self, node: int, life: Life) -> None:
        """Lay by what a host records in its life."""
        name, kind = self._hosts.name(node), self._hosts.kind(node)
        log = kernel_log.log_lines(life, name, kind, self._seed, self._start_us)
        events = trace.trace_lines(life, kind, self._seed, self._start_us)
        stored = rasdaemon.records(life, kind, self._seed, self._start_us)
        head = "".join(f"{line}\n" for line in trace.header_lines(kind))
        self._lay_by(self._folder / f"{name}.log", "", log.lines)
        self._lay_by(self._folder / name / TRACE_FILE, head, events.lines)
        rows = ((time_ns, json.dumps((table, values))) for time_ns, table, values in stored.records)
        self._lay_by(self._folder / name / rasdaemon.FILE, "", rows)

    def _lay_by(self, path: Path, head: str, lines: Iterable[tuple[int, str]]) -> None:
        found = _Growing(path, head, array("q"), array("q", [self._laid_by.tell()]))
        for time_ns, line in lines:
            self._laid_by.write(f"{line}\n".encode())
            found.times.append(time_ns)
            found.ends.append(self._laid_by.tell())
        if found.times:
            self._files.append(found)

    def begin(self, now_ns: int) -> None:
        """Make the files, and pass over what was recorded before a time.

        Raises:
            ExecutionError: A file cannot be written.
        """
        self._done = [bisect_left(file.times, now_ns) for file in self._files]
        for file in self._files:
            try:
                file.path.parent.mkdir(exist_ok=True)
                if file.path.name == rasdaemon.FILE:
                    rasdaemon.create(file.path, _COLLECTOR).close()
                else:
                    _append(file.path, file.head.encode())
            except (OSError, *rasdaemon.DATABASE_ERRORS) as error:
                raise _failed(file.path, error) from None

    def advance(self, now_ns: int) -> None:
        """Write what hosts have recorded since the last time.

        Raises:
            ExecutionError: A file cannot be written.
        """
        for n, file in enumerate(self._files):
            until = bisect_right(file.times, now_ns)
            if until > self._done[n]:
                first, end = file.ends[self._done[n]], file.ends[until]
                self._laid_by.seek(first)
                self._done[n] = until
                try:
                    self._write(file, self._laid_by.read(end - first))
                except (OSError, *rasdaemon.DATABASE_ERRORS) as error:
                    raise _failed(file.path, error) from None

    def _write(self, file: _Growing, lines: bytes) -> None:
        if file.path.name != rasdaemon.FILE:
            _append(file.path, lines)
            return
        rows = [json.loads(line) for line in lines.splitlines()]
        connection = rasdaemon.create(file.path, _COLLECTOR)
        try:
            rasdaemon.append(connection, ((0, table, tuple(values)) for table, values in rows))
        finally:
            connection.close()


def _append(path: Path, lines: bytes) -> None:
    """Write whole lines at the end of a file at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        while lines:
            lines = lines[os.write(descriptor, lines) :]
    finally:
        os.close(descriptor)


def _failed(path: Path, error: Exception) -> ExecutionError:
    why = getattr(error, "strerror", None) or error
    msg = f"{path}: {why}, expected to write there; make room, or choose another folder with --write"
    return ExecutionError(msg)
