"""Counting the rows of a shard by node: what each metric of the registry comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet.stored.arrays import Numbers, from_numpy, to_numpy
from fleet.stored.headline import INDEX, METRICS, REGISTRY, Count
from fleet.stored.tally import Tally
from node_sim.codes import UP_KINDS, ErrorKind, Fate, LifecycleKind
from node_sim.names import slot_in_fleet
from node_sim.records import NULL, Flags, Ints
from node_sim.units import NS_PER_YEAR, PAGE_BYTES

Tables = Mapping[str, pa.Table]


NODES_AT_ONCE = 8192
"""Nodes added to the sums together, at some 4 KiB each."""


def _ints(table: pa.Table, column: str, null: int = NULL) -> Ints:
    """Values of a column, with ``null`` in the place of nulls."""
    return _numbers(table.column(column).chunks, null).astype(np.int64)


def _codes(table: pa.Table, column: str) -> Ints:
    """Codes of an enumeration column written with its full vocabulary; -1 for null."""
    return _numbers([chunk.indices for chunk in table.column(column).chunks], NULL).astype(np.int64)


def _numbers(chunks: Sequence[pa.Array], null: int) -> Numbers:
    """Put the values of chunks together."""
    return np.concatenate([to_numpy(chunk, null) for chunk in chunks]) if chunks else np.empty(0, np.int64)


class NodeCounts:
    """Metrics of some nodes, one row each."""

    def __init__(self, nodes: Ints, dimm_bytes: Ints, horizon_ns: int) -> None:
        """Start with no events; ``nodes`` are ascending node numbers, with the size of their DIMMs beside them."""
        self.nodes = nodes
        self.dimm_bytes = dimm_bytes
        self.horizon_ns = horizon_ns
        self.x = np.zeros((nodes.size, len(METRICS)))

    def add(self, metric: str, node_id: Ints, amount: npt.ArrayLike = 1.0) -> None:
        """Add an amount for each event, shape ``(n,)`` or scalar, to the node it happened to."""
        self._add(metric, np.searchsorted(self.nodes, node_id), amount)

    def _add(self, metric: str, row: Ints, amount: npt.ArrayLike) -> None:
        weight = np.broadcast_to(np.asarray(amount, np.float64), row.shape)
        self.x[:, INDEX[metric]] += np.bincount(row, weight, self.nodes.size)

    def add_tables(self, tables: Tables) -> None:
        """Count the events of one arm's tables by the registry, and compute what no count of rows gives.

        Args:
            tables: Rows of these nodes; of ``faults``, which arms share, rows of others are passed over, and rows of
                DIMMs that were not in place in this arm.
        """
        for name, table in tables.items():
            mine = [(key, count) for key, count in _COUNTS if count.table == name]
            if mine:
                kept = self._faults_here(tables) if name == "faults" else slice(None)
                self._count_rows(table, kept, mine)
        for compute in COMPUTED.values():
            compute(self, tables)

    def _faults_here(self, tables: Tables) -> Flags:
        """Return which faults hit DIMMs in place in these nodes."""
        faults = tables["faults"]
        found: Flags = np.isin(_ints(faults, "node_id"), self.nodes)
        return found & faults_in_place(faults, tables.get("lifecycle"))

    def _count_rows(self, table: pa.Table, kept: Flags | slice, counts: list[tuple[str, Count]]) -> None:
        """Count some rows of one table; codes are decoded once for all counts."""
        row = np.searchsorted(self.nodes, _ints(table, "node_id")[kept])
        codes = {
            column: _codes(table, column)[kept] for _, count in counts for column, _ in (*count.where, *count.unless)
        }
        for key, count in counts:
            amount = _ints(table, count.weight, 0)[kept] if count.weight else np.ones(1)
            if not (count.where or count.unless):
                self._add(key, row, amount)
                continue
            tests = [codes[column] == code for column, code in count.where]
            tests += [codes[column] != code for column, code in count.unless]
            some = np.flatnonzero(np.logical_and.reduce(tests))
            self._add(key, row[some], amount[some] if count.weight else amount)


_COUNTS: Final = [(metric.key, count) for metric in REGISTRY for count in metric.counts]


def _node_years(counts: NodeCounts, tables: Tables) -> None:
    """Count the time up: the horizon less the intervals down."""
    counts.x[:, INDEX["node_years"]] = counts.horizon_ns / NS_PER_YEAR
    node, start_ns, end_ns = _down(tables, counts.horizon_ns)
    counts.add("node_years", node, -(end_ns - start_ns) / NS_PER_YEAR)


def _ue_survived(counts: NodeCounts, tables: Tables) -> None:
    """Count the UEs after which no process died, no data was lost and the node stayed up."""
    if "errors" not in tables:
        return
    errors = tables["errors"]
    ue = _codes(errors, "kind") == ErrorKind.UE
    node, name = _ints(errors, "node_id")[ue], row_names(errors, "seq")[ue]
    if not node.size:
        return
    harmed = set_of_roots(tables, np.sort(name))
    counts.add("ue_survived", node[~np.isin(name, harmed)])


def _memory_lost(counts: NodeCounts, tables: Tables) -> None:
    """Integrate lost memory [byte-years] from each loss to the node's next boot, and DIMMs that are mapped out."""
    if "memory_failures" in tables:
        table = tables["memory_failures"]
        lost = _ints(table, "node_id"), _ints(table, "time_ns"), _ints(table, "lost_bytes")
        _until_boot(counts, tables, "memory_lost_byte_years", lost)
    if "page_offlines" in tables:
        table = tables["page_offlines"]
        offlined = _ints(table, "node_id"), _ints(table, "time_ns"), _ints(table, "n_pages") * PAGE_BYTES
        _until_boot(counts, tables, "memory_lost_byte_years", offlined)

    if "lifecycle" in tables:
        _without_dimms(counts, tables)


def _without_dimms(counts: NodeCounts, tables: Tables) -> None:
    """Add the DIMMs that are mapped out times the years that their nodes are up meanwhile."""
    table = tables["lifecycle"]
    table = table.filter(from_numpy(_codes(table, "kind") == LifecycleKind.MAP_OUT))
    node, since_ns = _ints(table, "node_id"), _ints(table, "time_ns")
    until_ns = np.minimum(_ints(table, "end_ns"), counts.horizon_ns)
    down_node, down_ns, up_ns = _down(tables, counts.horizon_ns)
    total_ns = np.concatenate(([0], np.cumsum(up_ns - down_ns)))
    first = np.searchsorted(down_node, node)
    # A node goes down after the boot that maps a DIMM out, and boots by the time a new one is in place.
    begin, end = (first + events_by(node, time_ns - 1, down_node, down_ns) for time_ns in (since_ns, until_ns))
    up_years = (until_ns - since_ns - (total_ns[end] - total_ns[begin])) / NS_PER_YEAR
    size_bytes = counts.dimm_bytes[np.searchsorted(counts.nodes, node)]
    counts.add("memory_lost_byte_years", node, size_bytes * up_years)


def _pool_lost(counts: NodeCounts, tables: Tables) -> None:
    """Integrate what pools of huge pages have lost [byte-years], likewise."""
    for name in ("memory_failures", "page_offlines"):
        if name in tables:
            columns = ("node_id", "time_ns", "pool_lost_bytes")
            node, time_ns, lost_bytes = (_ints(tables[name], column) for column in columns)
            _until_boot(counts, tables, "pool_lost_byte_years", (node, time_ns, lost_bytes))


def _until_boot(counts: NodeCounts, tables: Tables, metric: str, lost: tuple[Ints, Ints, Ints]) -> None:
    """Add losses (node, time [ns], bytes) times the years to the node's next boot."""
    node, time_ns, lost_bytes = lost
    down_node, down_ns, _ = _down(tables, counts.horizon_ns)
    until = next_after(node, time_ns, down_node, down_ns, counts.horizon_ns)
    counts.add(metric, node, lost_bytes * ((until - time_ns) / NS_PER_YEAR))


COMPUTED: Final[dict[str, Callable[[NodeCounts, Tables], None]]] = {
    "node_years": _node_years,
    "ue_survived": _ue_survived,
    "memory_lost_byte_years": _memory_lost,
    "pool_lost_byte_years": _pool_lost,
}
"""Metrics that no count of rows gives, by key."""


def _down(tables: Tables, horizon_ns: int) -> tuple[Ints, Ints, Ints]:
    """Return node, start and end [ns] of all intervals down, cut at the horizon."""
    if "lifecycle" not in tables:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    table = tables["lifecycle"]
    table = table.filter(from_numpy(~np.isin(_codes(table, "kind"), UP_KINDS)))
    end_ns = np.minimum(_ints(table, "end_ns"), horizon_ns)
    return down_intervals(_ints(table, "node_id"), _ints(table, "time_ns"), end_ns)


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


def events_by(name: Ints, time_ns: Ints, other_name: Ints, other_ns: Ints) -> Ints:
    """Return, for each (name, time), how many of the others have the same name and a time <= it."""
    all_name, all_ns = np.concatenate((other_name, name)), np.concatenate((other_ns, time_ns))
    is_query = np.arange(all_name.size) >= other_name.size
    merged = np.lexsort((is_query, all_ns, all_name))
    events = np.cumsum(~is_query[merged])
    first = np.searchsorted(all_name[merged], all_name[merged])
    found = np.empty(all_name.size, np.int64)
    found[merged] = events - np.concatenate(([0], events))[first]
    return found[other_name.size :]


def faults_in_place(faults: pa.Table, lifecycle: pa.Table | None) -> Flags:
    """Return which rows of ``faults`` hit a DIMM that was in use in an arm, given that arm's ``lifecycle``."""
    generation = _ints(faults, "generation")
    first_dimm: Flags = generation == 0
    if lifecycle is None:
        return first_dimm
    kind, end_ns = _codes(lifecycle, "kind"), _ints(lifecycle, "end_ns")
    slot = _ints(lifecycle, "dimm", 0)
    changed, since_ns = slot_in_fleet(_ints(lifecycle, "node_id"), slot), _ints(lifecycle, "time_ns")
    dimm, time_ns = slot_in_fleet(_ints(faults, "node_id"), _ints(faults, "dimm")), _ints(faults, "time_ns")
    swap, out = kind == LifecycleKind.DIMM_REPLACEMENT, kind == LifecycleKind.MAP_OUT
    installed = events_by(dimm, time_ns, changed[swap], end_ns[swap])
    begun, ended = (events_by(dimm, time_ns, changed[out], at_ns[out]) for at_ns in (since_ns, end_ns))
    in_place: Flags = (generation == installed) & (begun == ended)
    return in_place


def tally_shard(
    tables: Sequence[tuple[tuple[int, ...], str, pa.Table]],
    groups: Sequence[tuple[int, int]],
    dimm_bytes: Sequence[int],
    n_arms: int,
    horizon_ns: int,
    counted: Sequence[int] | None = None,
) -> Tally:
    """Count the tables of one shard, or of some of its nodes; such counts add up.

    Args:
        tables: (arms, table name, rows); no arms means all.
        groups: First node and number of the nodes of each group; number 0 where it has none.
        dimm_bytes: Memory of a DIMM of each group.
        n_arms: Arms of the run.
        horizon_ns: End of simulated time [ns].
        counted: How many nodes of each group the tables are of, if not of all.
    """
    tally = Tally.zero(n_arms, len(groups))
    tally.nodes[:] = [nodes for _, nodes in groups] if counted is None else counted
    common = _joined([(name, rows) for arms, name, rows in tables if not arms])
    own = [_joined([(n, r) for a, n, r in tables if arm in a]) for arm in range(n_arms)]
    tally.rows += sum(rows.num_rows for rows in common.values())
    special = _nodes_of([rows for part in own for rows in part.values()])
    others = np.setdiff1d(_nodes_of(list(common.values())), special, assume_unique=True)
    shared = NodeCounts(others, _size_of_dimms(others, groups, dimm_bytes), horizon_ns)
    shared.add_tables(common)
    _accumulate(tally, range(n_arms), groups, shared, shared)
    known = np.sort(np.concatenate((special, others)))
    for position, (first, nodes) in enumerate(groups):
        low, high = np.searchsorted(known, (first, first + nodes))
        tally.add_idle(position, int(tally.nodes[position] - (high - low)), horizon_ns / NS_PER_YEAR)
    baseline: NodeCounts | None = None
    for arm, counts in enumerate(counts_apart(tables, groups, dimm_bytes, n_arms, horizon_ns)):
        baseline = baseline or counts
        _accumulate(tally, (arm,), groups, counts, baseline)
        tally.rows[arm] += sum(rows.num_rows for rows in own[arm].values())
    return tally


def counts_apart(
    tables: Sequence[tuple[tuple[int, ...], str, pa.Table]],
    groups: Sequence[tuple[int, int]],
    dimm_bytes: Sequence[int],
    n_arms: int,
    horizon_ns: int,
) -> Iterator[NodeCounts]:
    """Yield, arm by arm, what is counted of the nodes that arms may tell apart; all others are alike in all arms.

    The arguments are those of ``tally_shard``.
    """
    own = [_joined([(n, r) for a, n, r in tables if arm in a]) for arm in range(n_arms)]
    faults = _joined([(name, rows) for arms, name, rows in tables if not arms and name == "faults"])
    special = _nodes_of([rows for part in own for rows in part.values()])
    for part in own:
        counts = NodeCounts(special, _size_of_dimms(special, groups, dimm_bytes), horizon_ns)
        counts.add_tables(part | faults)
        yield counts


def tally_pair(
    base: Tables, tables: Tables, groups: Sequence[tuple[int, int]], dimm_bytes: Sequence[int], horizon_ns: int
) -> Tally:
    """Count two views of some nodes, which may be of two runs of the same faults; the first is the baseline.

    The arguments are those of ``tally_shard``, and so is what is returned, of two arms.
    """
    tally = Tally.zero(2, len(groups))
    tally.nodes[:] = [nodes for _, nodes in groups]
    views = (base, tables)
    nodes = _nodes_of([rows for view in views for rows in view.values()])
    baseline: NodeCounts | None = None
    for arm, view in enumerate(views):
        counts = NodeCounts(nodes, _size_of_dimms(nodes, groups, dimm_bytes), horizon_ns)
        counts.add_tables(view)
        baseline = baseline or counts
        _accumulate(tally, (arm,), groups, counts, baseline)
        tally.rows[arm] += sum(rows.num_rows for rows in view.values())
    for position, (first, n) in enumerate(groups):
        low, high = np.searchsorted(nodes, (first, first + n))
        tally.add_idle(position, n - int(high - low), horizon_ns / NS_PER_YEAR)
    return tally


def _nodes_of(tables: Sequence[pa.Table]) -> Ints:
    """Return the nodes that have rows, ascending."""
    return np.unique(np.concatenate([np.empty(0, np.int64), *(_ints(rows, "node_id") for rows in tables)]))


def _size_of_dimms(nodes: Ints, groups: Sequence[tuple[int, int]], dimm_bytes: Sequence[int]) -> Ints:
    """Return the memory of a DIMM of each of some nodes."""
    filled = [(first, size) for (first, n), size in zip(groups, dimm_bytes, strict=True) if n]
    firsts, sizes = (np.asarray(part, np.int64) for part in zip(*filled, strict=True))
    found: Ints = sizes[np.searchsorted(firsts, nodes, side="right") - 1]
    return found


def _joined(named: list[tuple[str, pa.Table]]) -> dict[str, pa.Table]:
    """Put tables of the same name together."""
    found: dict[str, list[pa.Table]] = {}
    for name, rows in named:
        found.setdefault(name, []).append(rows)
    return {name: pa.concat_tables(rows) for name, rows in found.items()}


def _accumulate(
    tally: Tally, arms: Sequence[int] | range, groups: Sequence[tuple[int, int]], counts: NodeCounts, base: NodeCounts
) -> None:
    """Add nodes, which have the same metrics in all the given arms, to the sums of those arms."""
    for position, (first, nodes) in enumerate(groups):
        low, high = np.searchsorted(counts.nodes, (first, first + nodes)).tolist()
        for start in range(low, high, NODES_AT_ONCE):
            some = slice(start, min(start + NODES_AT_ONCE, high))
            tally.add(arms, position, counts.x[some], base.x[some], counts.horizon_ns / NS_PER_YEAR)
