"""Event rows as columns: collected in chunks while lanes run, then ordered, numbered and linked.

**Models.** Numbering: the faults of a node come first (the same in every arm), then all other rows by time; at
one time the order of the tables is the causal order. ``cause_seq`` points to the row that caused a row.

**Leaves out.** Storage; tables are plain dictionaries of arrays.

**Assumes.** A row is added after the row that caused it.

**Sources.** None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import Persistence
from node_sim.columns import TABLE_NAMES, TABLES, Columns
from node_sim.dram.faults import FaultTable
from node_sim.errors import ModelError
from node_sim.names import slot_of
from node_sim.records import NULL, Ints

EVENT_TABLES = TABLE_NAMES[1:]
"""All tables but ``faults``."""
_WORD_BITS = 63
"""Bits of the numbers that rows are sorted by."""
COMMON: tuple[int, ...] = ()
"""Arms of the rows that are the same in every arm."""


class ArmTables(NamedTuple):
    """Event tables of some nodes under a set of arms; ``arms`` is ``COMMON`` for rows of all arms."""

    arms: tuple[int, ...]
    tables: dict[str, Columns]


def persistence(faults: FaultTable) -> Ints:
    """Return the stored persistence of faults."""
    stays = np.where(faults.habit.intermittent, int(Persistence.INTERMITTENT), int(Persistence.HARD))
    return np.where(faults.hard, stays, int(Persistence.SOFT))


def fault_columns(faults: FaultTable, seq: Ints) -> Columns:
    """Turn faults into the columns of their table."""
    box, cells = faults.box, faults.cells

    def of_cells(part: Ints) -> Ints:
        return np.where(faults.on_wires, NULL, part)

    return {
        "time_ns": faults.time_ns,
        "node_id": faults.node_id,
        "fault_id": faults.fault_id,
        "seq": seq,
        "dimm": slot_of(faults.tag),
        "generation": faults.generation,
        "rank": of_cells(box.rank),
        "device": of_cells(cells.device),
        "mode": faults.mode,
        "persistence": persistence(faults),
        "bank": of_cells(box.bank),
        "row": of_cells(box.row),
        "line": of_cells(box.line),
        "n_banks": of_cells(box.n_banks),
        "n_rows": of_cells(box.n_rows),
        "n_lines": of_cells(box.n_lines),
        "n_dq": of_cells(cells.n_dq),
        "n_beats": of_cells(cells.n_beats),
        "n_pages": np.where(faults.on_wires, 0, faults.n_pages),
        "first_pfn": of_cells(faults.first_pfn),
    }


@dataclass
class EventLog:
    """Rows of all event tables of a set of lanes, in the order they were added.

    A row is named by its position over all tables; ``cause`` is such a name, or ``-1 - fault`` for a fault.
    """

    chunks: dict[str, list[dict[str, npt.NDArray[np.generic]]]] = field(
        default_factory=lambda: {name: [] for name in EVENT_TABLES}
    )
    size: int = 0

    def add(self, table: str, **columns: npt.NDArray[np.generic]) -> Ints:
        """Add rows and return their names.

        Args:
            table: Name of the table.
            columns: ``lane``, ``time_ns``, ``fault``, ``cause`` and the table's own columns, each of shape ``(n,)``.
        """
        n = columns["time_ns"].shape[0]
        name = np.arange(self.size, self.size + n)
        if n:
            self.chunks[table].append({"name": name, **columns})
            self.size += n
        return name

    def column(self, table: str, column: str) -> npt.NDArray[np.generic]:
        """Return one column of one table, all chunks joined; an empty integer array if there are no rows."""
        parts = [chunk[column] for chunk in self.chunks[table]]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def table(self, table: str) -> Columns:
        """Return all columns of one table, empty if there are no rows."""
        chunks = self.chunks[table]
        if not chunks:
            return {}
        return {column: np.concatenate([chunk[column] for chunk in chunks]) for column in chunks[0]}

    def hand_over(self, table: str) -> Columns:
        """Return all columns of one table and keep none: rows are most of what a long life takes of memory."""
        chunks, self.chunks[table] = self.chunks[table], []
        names = list(chunks[0]) if chunks else []
        return {column: np.concatenate([chunk.pop(column) for chunk in chunks]) for column in names}


def _order(lane: Ints, time_ns: Ints) -> npt.NDArray[np.intp]:
    """Sort rows, which stand in the order of their tables and names, by (lane, time, table, name).

    One stable sort by one word: most rows of a lane stand in long runs already. If lane and time have more bits than a
    word, the time is rounded down, and rows that become equal by it are sorted anew.
    """
    time_bits = int(time_ns.max()).bit_length()
    rounded = max(0, time_bits + int(lane.max()).bit_length() - _WORD_BITS)
    word = lane.astype(np.int64) << (time_bits - rounded) | time_ns.astype(np.int64) >> rounded
    order = np.argsort(word, kind="stable")
    if rounded:
        equal = np.diff(word[order]) == 0
        where = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
        rows = order[where]
        order[where] = rows[np.lexsort((rows, time_ns[rows], word[rows]))]
    return order


def number_rows(log: EventLog, first_seq: Ints, faults: FaultTable, fault_seq: Ints) -> dict[str, Columns]:
    """Order, number and link all rows of a log.

    Args:
        log: Rows of the lanes; emptied.
        first_seq: First number after the faults of each lane's node, shape ``(n_lanes,)``.
        faults: Faults the rows refer to.
        fault_seq: Number of each fault's own row, shape ``(n_faults,)``.

    Returns:
        For each event table its columns as declared, with ``lane`` beside them, ordered by (lane, seq).
    """
    tables = {name: log.hand_over(name) for name in EVENT_TABLES}
    some = [name for name in EVENT_TABLES if tables[name]]
    if not some:
        return {}
    lane = np.concatenate([tables[name]["lane"] for name in some])
    time_ns = np.concatenate([tables[name]["time_ns"] for name in some])
    name_of = np.concatenate([tables[name]["name"] for name in some])
    # All tables stand one after the other; order lists their rows by (lane, time, table, name), and the place of a
    # row among those of its lane is its number.
    order = _order(lane, time_ns)
    sorted_lane = lane[order]
    starts = np.flatnonzero(np.diff(sorted_lane, prepend=-1))
    lengths = np.diff(np.append(starts, sorted_lane.size))
    seq_by_name = np.empty(log.size, np.int64)
    position = np.arange(order.size) - np.repeat(starts, lengths)
    seq_by_name[name_of[order]] = first_seq[sorted_lane] + position
    done, first = {}, 0
    for name in some:
        table = tables.pop(name)
        seq = seq_by_name[table["name"]]
        rows = order[(order >= first) & (order < first + seq.size)] - first  # of this table, in the common order
        first += seq.size
        columns = {column: table.pop(column)[rows] for column in list(table)}
        done[name] = _linked(columns, seq[rows], seq_by_name, faults, fault_seq)
    return done


def _linked(columns: Columns, seq: Ints, seq_by_name: Ints, faults: FaultTable, fault_seq: Ints) -> Columns:
    """Replace internal names by the stored identifiers."""
    cause = columns.pop("cause").astype(np.int64)
    fault = columns.pop("fault").astype(np.int64)
    columns.pop("name")
    from_fault = cause < 0
    cause_seq = np.where(from_fault, fault_seq[np.where(from_fault, -1 - cause, 0)], seq_by_name[np.maximum(cause, 0)])
    if bool((cause_seq >= seq).any()):
        msg = "events: a row is numbered before its cause; please report this with the scenario and the seed"
        raise ModelError(msg)
    head = {
        "time_ns": columns.pop("time_ns"),
        "node_id": faults.node_id[fault],
        "fault_id": faults.fault_id[fault],
        "seq": seq,
        "cause_seq": cause_seq,
    }
    return {**head, **columns}


def last_rows(rows: Columns, lane: Ints, fault: Ints, time_ns: Ints) -> Ints:
    """Return the names of the last rows of lanes and faults that begin at given times or earlier; there is one of each.

    Args:
        rows: Rows with columns ``lane``, ``fault``, ``time_ns`` and ``name``.
        lane: Lanes, shape ``(n,)``.
        fault: Fault of each.
        time_ns: Time of each [ns].

    Raises:
        ModelError: There is none.
    """
    n = rows["name"].size
    time = np.concatenate((rows["time_ns"], time_ns))
    of_fault, of_lane = (np.concatenate((rows[name], mine)) for name, mine in (("fault", fault), ("lane", lane)))
    asked = np.arange(time.size) >= n
    order = np.lexsort((asked, time, of_fault, of_lane))
    before = np.maximum.accumulate(np.where(asked[order], 0, np.arange(order.size)))
    found = np.empty(order.size, np.int64)
    found[order] = order[before]
    at = found[n:]
    if bool((at >= n).any()) or bool(((rows["lane"][at] != lane) | (rows["fault"][at] != fault)).any()):
        msg = "events: a decision has no row that led to it; please report this with the scenario and the seed"
        raise ModelError(msg)
    return rows["name"][at].astype(np.int64)


def split_by_arms(tables: dict[str, Columns], classes: list[tuple[int, ...]], n_nodes: int) -> list[ArmTables]:
    """Split tables ordered by lane (class-major) into one part per class, with columns as narrow as stored."""
    parts = []
    for position, arms in enumerate(classes):
        cut = (position * n_nodes, (position + 1) * n_nodes)
        mine = {}
        for name, columns in tables.items():
            low, high = np.searchsorted(columns["lane"], cut)
            if low < high:
                some = (columns[column.name][low:high].astype(column.carried) for column in TABLES[name])
                mine[name] = dict(zip((column.name for column in TABLES[name]), some, strict=True))
        parts.append(ArmTables(arms, mine))
    return parts
