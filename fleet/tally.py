"""Tallies: per arm and node group, sums over nodes from which rates and paired effects follow without a scan.

For the vector x of a node's metrics the tally keeps Σx, Σx·xᵀ and, against the same node in the baseline arm (x₀),
Σx·x₀ᵀ. Tallies of shards add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node_sim.codes import ErrorKind, Fate, LifecycleKind, OfflineResult, Result, SignalName, Timing
from node_sim.records import Flags, Floats, Ints
from node_sim.units import NS_PER_YEAR, PAGE_BYTES

METRICS = (
    "node_years",
    "faults",
    "ce",
    "ue",
    "sdc",
    "machine_checks",
    "mf_ignored",
    "mf_failed",
    "mf_delayed",
    "mf_recovered",
    "kills_early_ao",
    "kills_late_ar",
    "kills_direct_ar",
    "kills_sigkill",
    "losses",
    "panics",
    "io_errors",
    "ue_survived",
    "pages_offlined",
    "pages_not_offlined",
    "ecs_reports",
    "cordons",
    "dimm_replacements",
    "memory_lost_byte_years",
)
"""What is counted per node, in stored order."""

INDEX = {name: position for position, name in enumerate(METRICS)}
KILLS = ("kills_early_ao", "kills_late_ar", "kills_direct_ar", "kills_sigkill")
Tables = Mapping[str, pa.Table]


@dataclass
class Tally:
    """Sums over nodes; arrays of shape ``(arms, groups, …)``.

    Attributes:
        nodes: Nodes of each group, shape ``(groups,)``.
        total: Σx, shape ``(arms, groups, metrics)``.
        square: Σx·xᵀ, shape ``(arms, groups, metrics, metrics)``.
        cross: Σx·x₀ᵀ with x₀ of the first arm, same shape.
        rows: Rows of each arm's view over all tables, shape ``(arms,)``.
    """

    nodes: Ints
    total: Floats
    square: Floats
    cross: Floats
    rows: Ints

    @classmethod
    def zero(cls, arms: int, groups: int) -> Tally:
        """Return the tally of no nodes."""
        m = len(METRICS)
        square = np.zeros((arms, groups, m, m))
        return cls(
            np.zeros(groups, np.int64), np.zeros((arms, groups, m)), square, square.copy(), np.zeros(arms, np.int64)
        )

    def __add__(self, other: Tally) -> Tally:
        """Return the tally of both sets of nodes."""
        return Tally(
            self.nodes + other.nodes,
            self.total + other.total,
            self.square + other.square,
            self.cross + other.cross,
            self.rows + other.rows,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain lists for a manifest."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Tally:
        """Read what ``to_json`` wrote."""
        return cls(
            np.asarray(document["nodes"], np.int64),
            np.asarray(document["total"], np.float64),
            np.asarray(document["square"], np.float64),
            np.asarray(document["cross"], np.float64),
            np.asarray(document["rows"], np.int64),
        )


def _ints(table: pa.Table, column: str) -> Ints:
    values: Ints = table.column(column).to_numpy().astype(np.int64)
    return values


def _codes(table: pa.Table, column: str) -> Ints:
    """Codes of an enumeration column written with its full vocabulary; -1 for null."""
    chunks = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in table.column(column).chunks]
    return np.concatenate(chunks).astype(np.int64) if chunks else np.empty(0, np.int64)


class NodeCounts:
    """Metrics of some nodes, one row each."""

    def __init__(self, nodes: Ints, horizon_ns: int) -> None:
        """Start with no events; ``nodes`` are ascending node numbers."""
        self.nodes = nodes
        self.horizon_ns = horizon_ns
        self.x = np.zeros((nodes.size, len(METRICS)))

    def _row(self, node_id: Ints) -> Ints:
        return np.searchsorted(self.nodes, node_id)

    def add(self, metric: str, node_id: Ints, amount: npt.ArrayLike = 1.0) -> None:
        """Add an amount for each event, shape ``(n,)`` or scalar, to the node it happened to."""
        weight = np.broadcast_to(np.asarray(amount, np.float64), node_id.shape)
        self.x[:, INDEX[metric]] += np.bincount(self._row(node_id), weight, self.nodes.size)

    def add_tables(self, tables: Tables) -> None:
        """Count the events of one arm's tables (without ``faults``)."""
        down_node, down_ns = self._add_lifecycle(tables.get("lifecycle"))
        if "errors" in tables:
            table = tables["errors"]
            kind, node = _codes(table, "kind"), _ints(table, "node_id")
            count = table.column("ce_count").fill_null(0).to_numpy()
            self.add("ce", node, count)
            self.add("ue", node[kind == ErrorKind.UE])
            self.add("sdc", node[kind == ErrorKind.SDC])
            self._add_survived(tables)
        for name in ("ecs_reports", "machine_checks", "io_errors"):
            if name in tables:
                self.add(name, _ints(tables[name], "node_id"))
        if "memory_failures" in tables:
            table = tables["memory_failures"]
            result, node = _codes(table, "result"), _ints(table, "node_id")
            for code in Result:
                self.add(f"mf_{code.text.lower()}", node[result == code])
            self._add_lost(node, _ints(table, "time_ns"), _ints(table, "lost_bytes"), down_node, down_ns)
        if "signals" in tables:
            self._add_signals(tables["signals"])
        if "page_offlines" in tables:
            table = tables["page_offlines"]
            done, node = _codes(table, "result") == OfflineResult.OFFLINED, _ints(table, "node_id")
            self.add("pages_offlined", node[done])
            self.add("pages_not_offlined", node[~done])
            self._add_lost(
                node[done], _ints(table, "time_ns")[done], np.full(int(done.sum()), PAGE_BYTES), down_node, down_ns
            )

    def _add_signals(self, table: pa.Table) -> None:
        killed = _codes(table, "fate") == Fate.KILLED
        node = _ints(table, "node_id")[killed]
        timing, signal = _codes(table, "timing")[killed], _codes(table, "signal")[killed]
        by_bus = signal == SignalName.SIGBUS
        for metric, code in zip(KILLS, (Timing.EARLY, Timing.LATE, Timing.DIRECT), strict=False):
            self.add(metric, node[by_bus & (timing == code)])
        self.add("kills_sigkill", node[~by_bus])
        self.add("losses", node)

    def _add_lifecycle(self, table: pa.Table | None) -> tuple[Ints, Ints]:
        """Count panics and repairs and subtract the time down; return (node, start) of all intervals down."""
        self.x[:, 0] = self.horizon_ns / NS_PER_YEAR
        if table is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        node, kind = _ints(table, "node_id"), _codes(table, "kind")
        start, end = _ints(table, "time_ns"), np.minimum(_ints(table, "end_ns"), self.horizon_ns)
        panic = kind == LifecycleKind.PANIC
        self.add("panics", node[panic])
        self.add("losses", node[panic], _ints(table, "processes_lost")[panic])
        self.add("cordons", node[kind == LifecycleKind.CORDON])
        self.add("dimm_replacements", node[kind == LifecycleKind.DIMM_REPLACEMENT])
        node, start, end = down_intervals(node, start, end)
        self.add("node_years", node, -(end - start) / NS_PER_YEAR)
        return node, start

    def _add_lost(self, node: Ints, time_ns: Ints, lost_bytes: Ints, down_node: Ints, down_ns: Ints) -> None:
        """Add the memory out of use from a time to the next boot."""
        until = next_after(node, time_ns, down_node, down_ns, self.horizon_ns)
        self.add("memory_lost_byte_years", node, lost_bytes * ((until - time_ns) / NS_PER_YEAR))

    def _add_survived(self, tables: Tables) -> None:
        """Count the UEs after which no process died, no data was lost and the node stayed up."""
        errors = tables["errors"]
        ue = _codes(errors, "kind") == ErrorKind.UE
        node, name = _ints(errors, "node_id")[ue], row_names(errors, "seq")[ue]
        if not node.size:
            return
        harmed = set_of_roots(tables, np.sort(name))
        self.add("ue_survived", node[~np.isin(name, harmed)])


def row_names(table: pa.Table, seq_column: str) -> npt.NDArray[np.uint64]:
    """Name rows of one arm: node and seq in one word."""
    return (_ints(table, "node_id").astype(np.uint64) << np.uint64(32)) | _ints(table, seq_column).astype(np.uint64)


def set_of_roots(tables: Tables, roots: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return which root rows (UEs) led to a kill, an I/O error or a panic, following ``cause_seq``."""
    parent_of: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]] = {}
    for name in ("machine_checks", "memory_failures"):
        if name in tables:
            names, causes = row_names(tables[name], "seq"), row_names(tables[name], "cause_seq")
            order = np.argsort(names)
            parent_of[name] = (names[order], causes[order])
    harm = []
    for name, column, code in (
        ("signals", "fate", int(Fate.KILLED)),
        ("io_errors", "", 0),
        ("lifecycle", "kind", int(LifecycleKind.PANIC)),
    ):
        if name in tables:
            cause = row_names(tables[name], "cause_seq")
            harm.append(cause[_codes(tables[name], column) == code] if column else cause)
    found = np.concatenate(harm) if harm else np.empty(0, np.uint64)
    for name in ("memory_failures", "machine_checks"):
        if name in parent_of:
            names, causes = parent_of[name]
            at = np.minimum(np.searchsorted(names, found), names.size - 1)
            found = np.where(names[at] == found, causes[at], found)
    return np.intersect1d(found, roots)


def down_intervals(node: Ints, start_ns: Ints, end_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Merge intervals that repeat (several DIMMs of one repair); intervals of a node do not overlap otherwise."""
    order = np.lexsort((end_ns, start_ns, node))
    node, start_ns, end_ns = node[order], start_ns[order], end_ns[order]
    new = np.ones(node.size, np.bool_)
    new[1:] = (np.diff(node) != 0) | (np.diff(start_ns) != 0) | (np.diff(end_ns) != 0)
    return node[new], start_ns[new], end_ns[new]


def next_after(node: Ints, time_ns: Ints, other_node: Ints, other_ns: Ints, default_ns: int) -> Ints:
    """Return, for each (node, time), the first time >= it among the others of the same node, or the default."""
    if not other_node.size:
        return np.full(node.shape, default_ns, np.int64)
    order = np.lexsort((other_ns, other_node))
    other_node, other_ns = other_node[order], other_ns[order]
    all_node, all_ns = np.concatenate((other_node, node)), np.concatenate((other_ns, time_ns))
    is_query = np.arange(all_node.size) >= other_node.size
    merged = np.lexsort((~is_query, all_ns, all_node))
    before = np.cumsum(~is_query[merged])
    position = np.empty(all_node.size, np.int64)
    position[merged] = before
    at = np.minimum(position[other_node.size :], other_node.size - 1)
    known = (position[other_node.size :] < other_node.size) & (other_node[at] == node)
    return np.where(known, other_ns[at], default_ns)


def faults_in_place(faults: pa.Table, lifecycle: pa.Table | None) -> Flags:
    """Return which rows of ``faults`` hit a DIMM that was in place in an arm, given that arm's ``lifecycle``."""
    generation = _ints(faults, "generation")
    first_dimm: Flags = generation == 0
    if lifecycle is None:
        return first_dimm
    swapped = _codes(lifecycle, "kind") == LifecycleKind.DIMM_REPLACEMENT
    swap_dimm = (_ints(lifecycle, "node_id") << 8)[swapped] | lifecycle.column("dimm").fill_null(0).to_numpy()[swapped]
    swap_ns = _ints(lifecycle, "end_ns")[swapped]
    dimm, time_ns = (_ints(faults, "node_id") << 8) | _ints(faults, "dimm"), _ints(faults, "time_ns")
    all_dimm, all_ns = np.concatenate((swap_dimm, dimm)), np.concatenate((swap_ns, time_ns))
    is_fault = np.arange(all_dimm.size) >= swap_dimm.size
    merged = np.lexsort((is_fault, all_ns, all_dimm))
    swaps = np.cumsum(~is_fault[merged])
    first = np.searchsorted(all_dimm[merged], all_dimm[merged])
    in_dimm = swaps - np.concatenate(([0], swaps))[first]
    installed = np.empty(all_dimm.size, np.int64)
    installed[merged] = in_dimm
    in_place: Flags = generation == installed[swap_dimm.size :]
    return in_place


def tally_shard(
    tables: Sequence[tuple[tuple[int, ...], str, pa.Table]],
    groups: Sequence[tuple[int, int]],
    n_arms: int,
    horizon_ns: int,
) -> Tally:
    """Count the tables of one shard.

    Args:
        tables: (arms, table name, rows); no arms means all.
        groups: First node and number of nodes of each group within the shard; number 0 where it has none.
        n_arms: Arms of the run.
        horizon_ns: End of simulated time [ns].
    """
    tally = Tally.zero(n_arms, len(groups))
    tally.nodes[:] = [nodes for _, nodes in groups]
    common = {name: rows for arms, name, rows in tables if not arms}
    own = [_joined([(n, r) for a, n, r in tables if arm in a]) for arm in range(n_arms)]
    faults = common.pop("faults", None)
    touched = [_ints(rows, "node_id") for part in own for rows in part.values()]
    special = np.unique(np.concatenate(touched)) if touched else np.empty(0, np.int64)
    everyone = np.concatenate([np.arange(first, first + nodes) for first, nodes in groups])
    plain = everyone[~np.isin(everyone, special, assume_unique=True)]
    shared = NodeCounts(plain, horizon_ns)
    shared.add_tables(common)
    _add_faults(shared, faults, None)
    _accumulate(tally, range(n_arms), groups, shared, shared)
    baseline: NodeCounts | None = None
    for arm, part in enumerate(own):
        counts = NodeCounts(special, horizon_ns)
        counts.add_tables(part)
        _add_faults(counts, faults, part.get("lifecycle"))
        baseline = baseline or counts
        _accumulate(tally, (arm,), groups, counts, baseline)
        tally.rows[arm] += sum(rows.num_rows for rows in part.values())
    tally.rows += sum(rows.num_rows for rows in common.values()) + (faults.num_rows if faults is not None else 0)
    return tally


def _joined(named: list[tuple[str, pa.Table]]) -> dict[str, pa.Table]:
    """Put tables of the same name together."""
    found: dict[str, list[pa.Table]] = {}
    for name, rows in named:
        found.setdefault(name, []).append(rows)
    return {name: pa.concat_tables(rows) for name, rows in found.items()}


def _add_faults(counts: NodeCounts, faults: pa.Table | None, lifecycle: pa.Table | None) -> None:
    if faults is None or not counts.nodes.size:
        return
    node = _ints(faults, "node_id")
    mine = np.isin(node, counts.nodes) & faults_in_place(faults, lifecycle)
    counts.add("faults", node[mine])


def _accumulate(
    tally: Tally, arms: Sequence[int] | range, groups: Sequence[tuple[int, int]], counts: NodeCounts, base: NodeCounts
) -> None:
    """Add nodes, which have the same metrics in all the given arms, to the sums of those arms."""
    for position, (first, nodes) in enumerate(groups):
        low, high = np.searchsorted(counts.nodes, (first, first + nodes))
        x, x0 = counts.x[low:high], base.x[low:high]
        total, square = x.sum(axis=0), x.T @ x
        cross = square if counts is base else x.T @ x0
        for arm in arms:
            tally.total[arm, position] += total
            tally.square[arm, position] += square
            tally.cross[arm, position] += cross
