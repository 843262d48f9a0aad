"""Files of hosts, one each: databases, logs, traces, scripts, written shard by shard."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from analysis.dataset.export import prepare_folder
from analysis.dataset.run import Run
from analysis.hosts.kinds import HostKind, Hosts
from analysis.hosts.lives import Life, lives
from analysis.records import injection, kernel_log, rasdaemon, trace
from analysis.records.clock import TimedLines
from analysis.records.collectors import Collector
from node_sim.errors import ConfigError, ExecutionError


class ExportOrder(NamedTuple):
    """What to write.

    Attributes:
        run: The run.
        hosts: Its servers in the arm.
        arm: The arm.
        seed: Seed of the run.
        start_us: When its time is 0 [us since 1970].
        nodes: Nodes to write; None is those that have rows.
        collector: What they record with.
        at_most: Records of a window of corrected errors.
    """

    run: Run
    hosts: Hosts
    arm: str
    seed: int
    start_us: int
    nodes: Collection[int] | None
    collector: Collector
    at_most: int


class HostTotals(NamedTuple):
    """What was written.

    Attributes:
        hosts: Files.
        written: Rows or lines, by table or kind.
        lost: What the collector lost, by table or kind and reason.
    """

    hosts: int
    written: Counter[str]
    lost: Counter[tuple[str, str]]


HostCounts = tuple[Counter[str], Counter[tuple[str, str]]]
_WriteHost = Callable[[Path, Life, str, HostKind, ExportOrder], HostCounts]


def _write_database(path: Path, life: Life, _name: str, kind: HostKind, order: ExportOrder) -> HostCounts:
    found = rasdaemon.records(life, kind, order.seed, order.start_us, collector=order.collector, at_most=order.at_most)
    connection = rasdaemon.create(path, order.collector)
    try:
        written = rasdaemon.append(connection, found.records)
    finally:
        connection.close()
    return written, found.lost


def _write_lines(path: Path, lines: TimedLines, header: list[str]) -> None:
    with path.open("x", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in header)
        stream.writelines(f"{line}\n" for _, line in lines)


def _write_log(path: Path, life: Life, name: str, kind: HostKind, order: ExportOrder) -> HostCounts:
    found = kernel_log.log_lines(
        life, name, kind, order.seed, order.start_us, collector=order.collector, at_most=order.at_most
    )
    _write_lines(path, found.lines, [])
    return found.written, found.lost


def _write_trace(path: Path, life: Life, _name: str, kind: HostKind, order: ExportOrder) -> HostCounts:
    found = trace.trace_lines(life, kind, order.seed, order.start_us, collector=order.collector, at_most=order.at_most)
    _write_lines(path, found.lines, trace.header_lines(kind))
    return found.written, found.lost


def _write_script(path: Path, life: Life, name: str, kind: HostKind, order: ExportOrder) -> HostCounts:
    text, written = injection.script(life, name, kind, order.seed, order.start_us, order.at_most)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return written, Counter()


FILES: Final[dict[str, tuple[str, _WriteHost]]] = {
    "rasdaemon": (f"{{host}}/{rasdaemon.FILE}", _write_database),
    "kernel-log": ("{host}.log", _write_log),
    "trace": ("{host}.txt", _write_trace),
    "injection-script": ("{host}.sh", _write_script),
}
"""Formats: the file of a host below the folder, and what writes it."""


def write_hosts(order: ExportOrder, form: str, folder: Path) -> HostTotals:
    """Write the files of hosts; each gets its name when it is whole, and none is overwritten.

    Args:
        order: Which hosts, and what of them.
        form: One of ``FILES``.
        folder: Where to; it is made if need be.

    Raises:
        ConfigError: A file is there already, or nothing can be written there.
        ExecutionError: A file could not be written.
    """
    prepare_folder(order.run, folder, ())
    where, write = FILES[form]
    totals = HostTotals(0, Counter(), Counter())
    for node, life in _lives(order):
        name = order.hosts.name(node)
        path = folder / where.format(host=name)
        with _made(path) as place:
            written, lost = write(place, life, name, order.hosts.kind(node), order)
        totals.written.update(written)
        totals.lost.update(lost)
        totals = totals._replace(hosts=totals.hosts + 1)
    return totals


def _lives(order: ExportOrder) -> Iterator[tuple[int, Life]]:
    """Yield the lives of the hosts that are wanted; one that has no rows has an empty life."""
    rest = sorted(order.nodes, reverse=True) if order.nodes is not None else []
    for node, life in lives(order.run, order.arm, order.nodes):
        while rest and rest[-1] < node:
            yield rest.pop(), []
        if rest and rest[-1] == node:
            rest.pop()
        yield node, life
    yield from ((node, []) for node in reversed(rest))


@contextmanager
def _made(path: Path) -> Iterator[Path]:
    """Give a place beside a path to write to; the file gets its name at the end."""
    if os.path.lexists(path):
        msg = f"{path}: there already, expected new files; move it away, or choose another folder with -o"
        raise ConfigError(msg)
    temporary = path.with_name(f".hwpoison-fleet-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ExecutionError(_cannot(path, error.strerror)) from None
    except rasdaemon.DATABASE_ERRORS as error:
        raise ExecutionError(_cannot(path, str(error))) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _cannot(path: Path, why: str | None) -> str:
    return f"{path}: {why}, expected to write it; make room, or choose another folder with -o"


def total_lines(form: str, folder: Path, totals: HostTotals, collector: Collector) -> Iterator[str]:
    """Yield the lines that say what was written, and what the collector lost of it.

    Args:
        form: One of ``FILES``.
        folder: Where to.
        totals: What was written.
        collector: What hosts record with.
    """
    yield f"{folder}: {form} of {totals.hosts:,} host{'s' * (totals.hosts != 1)}"
    for what, number in sorted(totals.written.items()):
        yield f"  {what:<34} {number:>11,}"
    if totals.lost:
        yield f"lost by {collector.name}:"
        for (what, reason), number in sorted(totals.lost.items()):
            yield f"  {what:<34} {number:>11,}  {reason}"
