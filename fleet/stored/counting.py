"""Counting the rows of a shard by node: what each metric of the registry comes to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet.stored.causes import row_names, set_of_roots
from fleet.stored.cells import Tables, codes, ints
from fleet.stored.headline import INDEX, METRICS, REGISTRY, Count
from fleet.stored.spans import NodeSpans, down_intervals, events_by, next_after
from fleet.stored.tally import Tally
from node_sim.codes import UP_KINDS, ErrorKind, LifecycleKind
from node_sim.names import slot_in_fleet
from node_sim.records import Flags, Ints
from node_sim.units import NS_PER_YEAR, PAGE_BYTES

NODES_AT_ONCE = 8192
"""Nodes added to the sums together, at some 4 KiB each."""


class MetricCounts(ABC):
    """Metrics of the rows of one arm: the registry and what is computed say which, a subclass where they are counted.

    Attributes:
        horizon_ns: End of simulated time [ns].
    """

    def __init__(self, horizon_ns: int) -> None:
        """Start with no events."""
        self.horizon_ns = horizon_ns

    @abstractmethod
    def _place(self, table: pa.Table, kept: Flags | slice) -> Ints:
        """Return where some rows of a table are counted."""

    @abstractmethod
    def _add(self, metric: str, place: Ints, amount: npt.ArrayLike) -> None:
        """Add amounts, shape of the places or scalar."""

    @abstractmethod
    def _is_counted(self, node_id: Ints) -> Flags:
        """Return which nodes are counted here."""

    @abstractmethod
    def dimm_bytes_of(self, node_id: Ints) -> Ints:
        """Return the memory of a DIMM of nodes."""

    @abstractmethod
    def add_horizon(self, metric: str) -> None:
        """Add the simulated years of every node."""

    @abstractmethod
    def add_spans(self, metric: str, spans: NodeSpans, weight: npt.ArrayLike) -> None:
        """Add weights times the years of spans."""

    @abstractmethod
    def add_spans_up(self, metric: str, spans: NodeSpans, weight: Ints, down: NodeSpans) -> None:
        """Add weights times the years of spans in which their nodes are up; no span begins or ends while down."""

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

    def add_rows(self, metric: str, table: pa.Table, kept: Flags) -> None:
        """Count some rows of a table."""
        self._add(metric, self._place(table, kept), 1.0)

    def _faults_here(self, tables: Tables) -> Flags:
        """Return which faults hit DIMMs in place in these nodes."""
        faults = tables["faults"]
        return self._is_counted(ints(faults, "node_id")) & faults_in_place(faults, tables.get("lifecycle"))

    def _count_rows(self, table: pa.Table, kept: Flags | slice, counts: list[tuple[str, Count]]) -> None:
        """Count some rows of one table; codes are decoded once for all counts."""
        place = self._place(table, kept)
        code_of = {
            column: codes(table, column)[kept] for _, count in counts for column, _ in (*count.where, *count.unless)
        }
        for key, count in counts:
            amount = ints(table, count.weight, 0)[kept] if count.weight else np.ones(1)
            if not (count.where or count.unless):
                self._add(key, place, amount)
                continue
            tests = [code_of[column] == code for column, code in count.where]
            tests += [code_of[column] != code for column, code in count.unless]
            some = np.flatnonzero(np.logical_and.reduce(tests))
            self._add(key, place[some], amount[some] if count.weight else amount)


class NodeCounts(MetricCounts):
    """Metrics of some nodes, one row each."""

    def __init__(self, nodes: Ints, dimm_bytes: Ints, horizon_ns: int) -> None:
        """Start with no events; ``nodes`` are ascending node numbers, with the size of their DIMMs beside them."""
        super().__init__(horizon_ns)
        self.nodes = nodes
        self.dimm_bytes = dimm_bytes
        self.x = np.zeros((nodes.size, len(METRICS)))

    def _place(self, table: pa.Table, kept: Flags | slice) -> Ints:
        found: Ints = np.searchsorted(self.nodes, ints(table, "node_id")[kept])
        return found

    def _add(self, metric: str, place: Ints, amount: npt.ArrayLike) -> None:
        weight, column = np.asarray(amount, np.float64), self.x[:, INDEX[metric]]
        if weight.size == 1:
            column += weight * np.bincount(place, minlength=self.nodes.size)
        else:
            column += np.bincount(place, weight, self.nodes.size)

    def _is_counted(self, node_id: Ints) -> Flags:
        found: Flags = np.isin(node_id, self.nodes)
        return found

    def dimm_bytes_of(self, node_id: Ints) -> Ints:
        """Return the memory of a DIMM of nodes."""
        return self.dimm_bytes[np.searchsorted(self.nodes, node_id)]

    def add_horizon(self, metric: str) -> None:
        """Give every node its simulated years."""
        self.x[:, INDEX[metric]] = self.horizon_ns / NS_PER_YEAR

    def add_spans(self, metric: str, spans: NodeSpans, weight: npt.ArrayLike) -> None:
        """Add weights times the years of spans to their nodes."""
        years = (spans.end_ns - spans.begin_ns) / NS_PER_YEAR
        self._add(metric, np.searchsorted(self.nodes, spans.node), np.multiply(weight, years))

    def add_spans_up(self, metric: str, spans: NodeSpans, weight: Ints, down: NodeSpans) -> None:
        """Add weights times the years of spans in which their nodes are up, to these nodes."""
        total_ns = np.concatenate(([0], np.cumsum(down.end_ns - down.begin_ns)))
        first = np.searchsorted(down.node, spans.node)
        begin, end = (
            first + events_by(spans.node, time_ns - 1, down.node, down.begin_ns)
            for time_ns in (spans.begin_ns, spans.end_ns)
        )
        up_years = (spans.end_ns - spans.begin_ns - (total_ns[end] - total_ns[begin])) / NS_PER_YEAR
        self._add(metric, np.searchsorted(self.nodes, spans.node), weight * up_years)


_COUNTS: Final = [(metric.key, count) for metric in REGISTRY for count in metric.counts]


def _node_years(counts: MetricCounts, tables: Tables) -> None:
    """Count the time up: the horizon less the intervals down."""
    counts.add_horizon("node_years")
    counts.add_spans("node_years", _down(tables, counts.horizon_ns), -1.0)


def _ue_survived(counts: MetricCounts, tables: Tables) -> None:
    """Count the UEs after which no process died, no data was lost and the node stayed up."""
    if "errors" not in tables:
        return
    errors = tables["errors"]
    survived = codes(errors, "kind") == ErrorKind.UE
    if not survived.any():
        return
    name = row_names(errors, "seq")[survived]
    survived[survived] = ~np.isin(name, set_of_roots(tables, np.sort(name)))
    counts.add_rows("ue_survived", errors, survived)


def _memory_lost(counts: MetricCounts, tables: Tables) -> None:
    """Integrate lost memory [byte-years] from each loss to the node's next boot, and DIMMs that are mapped out."""
    if "memory_failures" in tables:
        table = tables["memory_failures"]
        lost = ints(table, "node_id"), ints(table, "time_ns"), ints(table, "lost_bytes")
        _until_boot(counts, tables, "memory_lost_byte_years", lost)
    if "page_offlines" in tables:
        table = tables["page_offlines"]
        offlined = ints(table, "node_id"), ints(table, "time_ns"), ints(table, "n_pages") * PAGE_BYTES
        _until_boot(counts, tables, "memory_lost_byte_years", offlined)

    if "lifecycle" in tables:
        _without_dimms(counts, tables)


def _without_dimms(counts: MetricCounts, tables: Tables) -> None:
    """Add the DIMMs that are mapped out times the years that their nodes are up meanwhile.

    A node goes down after the boot that maps a DIMM out, and boots by the time a new one is in place.
    """
    spans = _lifecycle_spans(tables["lifecycle"], lambda kind: kind == LifecycleKind.MAP_OUT, counts.horizon_ns)
    size_bytes = counts.dimm_bytes_of(spans.node)
    counts.add_spans_up("memory_lost_byte_years", spans, size_bytes, _down(tables, counts.horizon_ns))


def _pool_lost(counts: MetricCounts, tables: Tables) -> None:
    """Integrate what pools of huge pages have lost [byte-years], likewise."""
    for name in ("memory_failures", "page_offlines"):
        if name in tables:
            columns = ("node_id", "time_ns", "pool_lost_bytes")
            node, time_ns, lost_bytes = (ints(tables[name], column) for column in columns)
            _until_boot(counts, tables, "pool_lost_byte_years", (node, time_ns, lost_bytes))


def _until_boot(counts: MetricCounts, tables: Tables, metric: str, lost: tuple[Ints, Ints, Ints]) -> None:
    """Add losses (node, time [ns], bytes) times the years to the node's next boot."""
    node, time_ns, lost_bytes = lost
    down = _down(tables, counts.horizon_ns)
    until_ns = next_after(node, time_ns, down.node, down.begin_ns, counts.horizon_ns)
    counts.add_spans(metric, NodeSpans(node, time_ns, until_ns), lost_bytes)


COMPUTED: Final[dict[str, Callable[[MetricCounts, Tables], None]]] = {
    "node_years": _node_years,
    "ue_survived": _ue_survived,
    "memory_lost_byte_years": _memory_lost,
    "pool_lost_byte_years": _pool_lost,
}
"""Metrics that no count of rows gives, by key."""


def _down(tables: Tables, horizon_ns: int) -> NodeSpans:
    """Return all intervals down, by node and start, cut at the horizon."""
    if "lifecycle" not in tables:
        return NodeSpans(*np.empty((3, 0), np.int64))
    down = _lifecycle_spans(tables["lifecycle"], lambda kind: ~np.isin(kind, UP_KINDS), horizon_ns)
    return NodeSpans(*down_intervals(*down))


def _lifecycle_spans(table: pa.Table, of_kind: Callable[[Ints], Flags], horizon_ns: int) -> NodeSpans:
    """Return from when to when rows of some kinds last, cut at the horizon."""
    some = np.flatnonzero(of_kind(codes(table, "kind")))
    node, begin_ns, end_ns = (ints(table, column)[some] for column in ("node_id", "time_ns", "end_ns"))
    return NodeSpans(node, begin_ns, np.minimum(end_ns, horizon_ns))


def faults_in_place(faults: pa.Table, lifecycle: pa.Table | None) -> Flags:
    """Return which rows of ``faults`` hit a DIMM that was in use in an arm, given that arm's ``lifecycle``."""
    generation = ints(faults, "generation")
    first_dimm: Flags = generation == 0
    if lifecycle is None:
        return first_dimm
    kind, end_ns = codes(lifecycle, "kind"), ints(lifecycle, "end_ns")
    slot = ints(lifecycle, "dimm", 0)
    changed, since_ns = slot_in_fleet(ints(lifecycle, "node_id"), slot), ints(lifecycle, "time_ns")
    dimm, time_ns = slot_in_fleet(ints(faults, "node_id"), ints(faults, "dimm")), ints(faults, "time_ns")
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
    found = [np.empty(0, np.int64)]
    for rows in tables:
        node = ints(rows, "node_id")
        found.append(node[np.flatnonzero(np.diff(node, prepend=-1))])  # most rows stand by node
    return np.unique(np.concatenate(found))


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
