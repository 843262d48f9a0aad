"""The database of rasdaemon on a host.

**Models.** ``mc_event``, ``mce_record``, ``memory_failure_event`` and ``signal_event`` as a release stores them, with
all of its other tables empty.

**Leaves out.** Registers that the run does not know (time stamp counter, instruction pointer): 0.

**Assumes.** The host keeps UTC.

**Sources.** rasdaemon v0.6.8 and v0.8.5: ras-record.c (tables), ras-mc-handler.c (``grain`` is log2 of its bytes),
mce-intel.c and mce-amd-smca.c (texts), ras-memory-failure-handler.c (``pfn`` as text), ras-signal-handler.c.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from analysis.hosts.corrected import ROWS_PER_WINDOW
from analysis.hosts.kinds import AMD, HostKind
from analysis.hosts.lives import Life, Row
from analysis.records.clock import WallClock
from analysis.records.collectors import (
    COLLECTORS,
    COMPLETE,
    OTHER_TEXT,
    TRACE_TEXTS,
    Collector,
    schema_of,
    stored_page_type,
)
from analysis.records.edac_lines import EdacEvent
from analysis.records.events import MC_EVENT, MCE_RECORD, MEMORY_FAILURE, SIGNAL, trace_events
from analysis.records.mce_texts import error_text, mcg_text, status_text
from analysis.records.processes import comm_of, pid_of
from analysis.records.signal_codes import CODES, NUMBERS
from analysis.records.trace import MCG_CAP
from analysis.records.words import CheckWords

DATABASE_ERRORS: Final = (sqlite3.Error,)
FILE: Final = "ras-mc_event.db"
"""Name of the database in the folder of a host."""
_TYPES: Final = {"key": "INTEGER PRIMARY KEY", "integer": "INTEGER", "text": "TEXT", "blob": "BLOB"}
_SIGN, _WORD = 1 << 63, 1 << 64
_CPUID: Final = {AMD: 0x830F10}
_CPUID_INTEL = 0x50654
_VENDOR: Final = {AMD: 2}
CellsByColumn = dict[str, Any]
"""A row: values by column."""
Record = tuple[int, str, tuple[Any, ...]]
"""(time [ns], table, row): its values in the order of the collector's columns, without ``id``."""


class Recorded(NamedTuple):
    """What a collector makes of a life.

    Attributes:
        records: Its records, in order of time.
        lost: Events that it does not store, or stores wrongly, by kind and reason.
    """

    records: list[Record]
    lost: Counter[tuple[str, str]]


def records(
    life: Life,
    kind: HostKind,
    seed: int,
    start_us: int,
    *,
    collector: Collector = COLLECTORS[COMPLETE],
    at_most: int = ROWS_PER_WINDOW,
) -> Recorded:
    """Return the records of a host.

    Args:
        life: Its rows.
        kind: What it is.
        seed: Seed of the run.
        start_us: When the time of the run is 0 [us since 1970].
        collector: Who records.
        at_most: Records of a window of corrected errors.
    """
    found = Recorded([], Counter())
    cells_of, schema = _cells_of(kind, collector), schema_of(collector.tables)
    after_time = {table: [*schema.get(table, ())][2:] for table in cells_of}
    clock, made = WallClock(start_us), dict[Any, tuple[Any, ...]]()  # most records are like the one before
    for event in trace_events(life, kind, seed, collector, at_most):
        if event.lost is not None:
            found.lost[event.kind, event.lost] += 1
            continue
        table, what = event.kind, event.what
        values = None if isinstance(what, dict) else made.get(what)
        if values is None:
            cells = cells_of[table](what)
            values = tuple(cells[column] for column in after_time[table])
        if not isinstance(what, dict):
            made[what] = values
        elif table == MEMORY_FAILURE and values[1] != TRACE_TEXTS.get(what["page_type"], what["page_type"]):
            found.lost[table, OTHER_TEXT] += 1
        found.records.append((event.time_ns, table, (f"{clock.text(clock.us(event.time_ns))} +0000", *values)))
    return found


def signed(word: int) -> int:
    """Return a word of 64 bits as SQLite stores it."""
    return word - _WORD if word & _SIGN else word


def _cells_of(kind: HostKind, collector: Collector) -> dict[str, Callable[[Any], CellsByColumn]]:
    """Return what makes the rows of each table."""

    def of_pages(row: Row) -> CellsByColumn:
        return {
            "pfn": f"{row['pfn']:#x}",
            "page_type": stored_page_type(collector, kind.rules, row["page_type"]),
            "action_result": row["result"],
        }

    return {
        MC_EVENT: _of_edac,
        MCE_RECORD: lambda words: _of_check(words, kind),
        MEMORY_FAILURE: of_pages,
        SIGNAL: _of_signal,
    }


def _of_edac(event: EdacEvent) -> CellsByColumn:
    top, middle, lower = event.layers
    return {
        "err_count": event.errors,
        "err_type": event.kind,
        "err_msg": event.message,
        "label": event.label,
        "mc": event.controller,
        "top_layer": top,
        "middle_layer": middle,
        "lower_layer": lower,
        "address": event.address,
        "grain": event.grain.bit_length() - 1,
        "syndrome": 0,
        "driver_detail": event.detail,
    }


def _of_check(words: CheckWords, kind: HostKind) -> CellsByColumn:
    word = words.word
    return {
        "mcgcap": MCG_CAP,
        "mcgstatus": word.mcgstatus,
        "status": signed(word.status),
        "addr": words.address,
        "misc": word.misc,
        "ip": 0,
        "tsc": 0,
        "walltime": 0,
        "ppin": 0,
        "cpu": words.socket,
        "cpuid": _CPUID.get(kind.reporting, _CPUID_INTEL),
        "apicid": words.socket,
        "socketid": words.socket,
        "cs": 0,
        "bank": words.bank,
        "cpuvendor": _VENDOR.get(kind.reporting, 0),
        "microcode": 0,
        "bank_name": "",
        "error_msg": error_text(words),
        "mcgstatus_msg": mcg_text(words),
        "mcistatus_msg": status_text(words),
        "mcastatus_msg": "",
        "user_action": "",
        "mc_location": "",
    }


def _of_signal(row: Row) -> CellsByColumn:
    return {
        "sig": NUMBERS[row["signal"]],
        "errorno": 0,
        "code": CODES[row["code"]],
        "comm": comm_of(row),
        "pid": pid_of(row),
        "grp": 0,
        "res": 0,
    }


def create(path: Path, collector: Collector) -> sqlite3.Connection:
    """Make a database with all tables of a collector, unless they are there, and return a connection to it.

    Args:
        path: Where.
        collector: Who records.
    """
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")  # who loses power makes it anew
    tables = [
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(f'{name} {_TYPES[kind]}' for name, kind in columns.items())});"
        for table, columns in schema_of(collector.tables).items()
    ]
    connection.executescript("\n".join(["BEGIN;", *tables, "COMMIT;"]))
    return connection


def append(connection: sqlite3.Connection, new: Iterable[Record]) -> Counter[str]:
    """Append records to a database of the collector that they are of, all or none; return how many of each table.

    Args:
        connection: To the database.
        new: The records, in order of time.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for _, table, values in new:
        rows.setdefault(table, []).append(values)
    with connection:
        for table, of_table in rows.items():
            places = ", ".join("?" * len(of_table[0]))
            connection.executemany(f"INSERT INTO {table} VALUES (NULL, {places})", of_table)  # noqa: S608 - our names
    return Counter({table: len(of_table) for table, of_table in rows.items()})
