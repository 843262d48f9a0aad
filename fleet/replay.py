"""Replay: the rows of one node, simulated again alone and told as a timeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from fleet.engines.shard import run_shard
from fleet.scenario.fleet import Fleet
from fleet.stored.plan import Shard
from node_sim.codes import ErrorKind, LifecycleKind
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.units import NS_PER_DAY, NS_PER_S

StoredRow = dict[str, Any]


def replay_node(fleet: Fleet, seed: int, node_id: int, arm: str) -> dict[str, pa.Table]:
    """Simulate one node and return the tables of one arm's view.

    Raises:
        ConfigError: There is no such node or arm.
    """
    if not 0 <= node_id < fleet.nodes:
        msg = f"--node {node_id}: expected 0 to {fleet.nodes - 1}; this fleet has {fleet.nodes} nodes"
        raise ConfigError(msg)
    if arm not in fleet.arms:
        msg = f"--arm {arm}: {one_of(arm, fleet.arms)}"
        raise ConfigError(msg)
    position = fleet.arms.index(arm)
    found: dict[str, pa.Table] = {}
    for block in run_shard(fleet, seed, Shard(0, node_id, 1)):
        for arms, name, rows in block.tables:
            if not arms or position in arms:
                found[name] = pa.concat_tables([found[name], rows]) if name in found else rows
    return found


def timeline_rows(tables: dict[str, pa.Table]) -> list[tuple[str, StoredRow]]:
    """Return (table, row) of all tables in order of time; a cause stands before what it caused."""
    rows = [(name, row) for name, table in tables.items() for row in table.to_pylist()]
    return sorted(rows, key=lambda item: (item[1]["time_ns"], item[1]["seq"]))


def format_time(time_ns: int) -> str:
    """Write a time since the start as days and a clock."""
    days, rest = divmod(time_ns, NS_PER_DAY)
    seconds, fraction = divmod(rest, NS_PER_S)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{days:>4} d {hour:02}:{minute:02}:{second:02}.{fraction // 1_000_000:03}"


def _fault(row: StoredRow) -> str:
    if row["first_pfn"] is None:
        return f"{row['persistence']} {row['mode']} of DIMM {row['dimm']}.{row['generation']}: errors belong to no page"
    where = f"DIMM {row['dimm']}.{row['generation']} rank {row['rank']} device {row['device']} bank {row['bank']}"
    size = f"{row['n_banks']} bank x {row['n_rows']:,} rows x {row['n_lines']} lines, {row['n_pages']:,} pages"
    pattern = f"{row['n_dq']} DQ x {row['n_beats']} beats"
    return f"{row['persistence']} {row['mode']} at {where} row {row['row']:#x}: {size}, {pattern}"


def _error(row: StoredRow) -> str:
    if row["kind"] == "CE":
        until = format_time(row["last_time_ns"]).strip()
        pages = "1 page" if row["n_pages"] == 1 else f"{row['n_pages']:,} pages"
        where = f"on {pages} from {_page(row['first_pfn'])}" if row["n_pages"] else f"on {_page(None)}"
        return f"{row['ce_count']:,} CE {where}, seen by {row['observer']}, until {until}"
    before = f"{row['n_ce_before']:,} CE of the DIMM before" if row["n_ce_before"] else "no CE of the DIMM before"
    return f"{row['kind']} on {_page(row['first_pfn'])} ({row['path']}), seen by {row['observer']}, {before}"


def _page(pfn: int | None) -> str:
    return "no page" if pfn is None else f"pfn {pfn:#x}"


def _report(row: StoredRow) -> str:
    return f"error check and scrub counts {row['count']:,} {row['unit']} from {format_time(row['begin_ns']).strip()} on"


def _check(row: StoredRow) -> str:
    over = ", OVER" if row["overflow"] else ""
    reader = "" if row["kernel_read"] is None else f" ({row['kernel_read']})"
    context = "" if row["cpu_context"] == "none" else f" in {row['cpu_context']} context{reader}"
    return f"{row['severity']} bank {row['bank']}{context}{over}, {_page(row['pfn'])}: {row['action']}"


def _handled(row: StoredRow) -> str:
    used = f"(used as: {row['page_use']}, returned {row['errno']})"
    if row["page_type"] is None:
        return f"Memory failure: {row['pfn']:#x}: already hardware poisoned {used}"
    return f"Memory failure: {row['pfn']:#x}: recovery action for {row['page_type']}: {row['result']} {used}"


def _signal(row: StoredRow) -> str:
    who = f"{row['process_class']}[{row['process']}]"
    return f"{row['signal']}/{row['code']} lsb={row['lsb']} {row['timing']} to {who}: {row['fate']}"


def _io_error(row: StoredRow) -> str:
    return f"{row['call']} returns {row['errno']} for lost data of pfn {row['pfn']:#x}"


def _offline(row: StoredRow) -> str:
    more = f" with {row['n_pages'] - 1} other pages" if row["n_pages"] > 1 else ""
    return f"soft offline of pfn {row['pfn']:#x}{more} ({row['trigger']}): {row['result']}"


def _lifecycle(row: StoredRow) -> str:
    dimm = "" if row["dimm"] is None else f" of DIMM {row['dimm']}"
    lost = f", {row['processes_lost']} processes lost" if row["processes_lost"] else ""
    state = "goes on without it" if row["kind"] == LifecycleKind.MAP_OUT.text else "down"
    return f"{row['kind']}{dimm}: {row['reason']}; {state} until {format_time(row['end_ns']).strip()}{lost}"


_DESCRIBE: dict[str, tuple[str, Callable[[StoredRow], str]]] = {
    "faults": ("fault", _fault),
    "errors": ("error", _error),
    "ecs_reports": ("ECS", _report),
    "machine_checks": ("machine check", _check),
    "memory_failures": ("handler", _handled),
    "signals": ("signal", _signal),
    "io_errors": ("I/O error", _io_error),
    "page_offlines": ("page offline", _offline),
    "lifecycle": ("node", _lifecycle),
}


def timeline_lines(tables: dict[str, pa.Table], *, brief: bool = False) -> Iterator[str]:
    """Write the life of a node, one line per row: number, time, what happened, and the row that caused it.

    In brief, corrected errors of a fault between two other rows are one line: in how many windows, until when, and how
    many in all.
    """
    rows = timeline_rows(tables)
    for group in _folded(rows) if brief else ([item] for item in rows):
        name, row = group[0]
        kind, describe = _DESCRIBE[name]
        cause = f" <- {row['cause_seq']}" if "cause_seq" in row else ""
        text = describe(row) if len(group) == 1 else _windows([one for _, one in group])
        yield f"{row['seq']:>5} {format_time(row['time_ns'])}  {kind:<13} {text}{cause}"


def _folded(rows: list[tuple[str, StoredRow]]) -> Iterator[list[tuple[str, StoredRow]]]:
    """Put windows of corrected errors together, by fault, as long as nothing else happens to the node."""
    waiting: dict[tuple[int, int], list[tuple[str, StoredRow]]] = {}
    for name, row in rows:
        if name == "errors" and row["kind"] == ErrorKind.CE.text:
            waiting.setdefault((row["fault_id"], row["cause_seq"]), []).append((name, row))
        else:
            yield from waiting.values()
            waiting.clear()
            yield [(name, row)]
    yield from waiting.values()


def _windows(rows: list[StoredRow]) -> str:
    """Sum up windows of corrected errors of one fault."""
    total = sum(row["ce_count"] for row in rows)
    until = format_time(max(row["last_time_ns"] for row in rows)).strip()
    return f"{total:,} CE in {len(rows):,} windows, until {until}"
