"""Headline counters of an arm over simulated time, by the definitions that tallies have.

**Models.** A row counts from its time on; one of corrected errors, which stands for a window, from the first of them. A
UE that harmed nobody counts from its own time, though that it did is known only later. Node-years and memory out of use
grow as time passes.

What is kept are the samples in which something changes, so memory is that of the rows, however short the step is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.groups import GroupInfo
from analysis.history.grid import SampleGrid
from analysis.history.series import Segment
from fleet.stored.cells import Tables, ints
from fleet.stored.counting import MetricCounts
from fleet.stored.exported import ROWS
from fleet.stored.headline import EXPOSURE, INDEX
from fleet.stored.spans import NodeSpans, events_by
from node_sim.records import Flags, Floats, Ints
from node_sim.units import NS_PER_YEAR

PENDING_MAX: Final = 1 << 20
SAMPLES_AT_ONCE: Final = 1 << 14
_PLACE: Final = {**INDEX, ROWS: len(INDEX)}
"""Places of what is counted: the stored metrics, and the rows of all tables together."""


class CellSums:
    """Amounts by cell, kept for the cells that have any."""

    def __init__(self) -> None:
        """Start with none."""
        self._cells: list[Ints] = []
        self._amounts: list[Floats] = []
        self._pending = 0

    def add(self, cell: Ints, amount: npt.ArrayLike) -> None:
        """Add amounts, shape of the cells or scalar."""
        if not cell.size:
            return
        self._cells.append(cell)
        self._amounts.append(np.broadcast_to(np.asarray(amount, np.float64), cell.shape))
        self._pending += cell.size
        if self._pending > PENDING_MAX:
            self.merge()
            self._pending = 0

    def merge(self) -> tuple[Ints, Floats]:
        """Return the cells, ascending, each once, and their amounts."""
        if not self._cells:
            return np.empty(0, np.int64), np.empty(0)
        cells, place = np.unique(np.concatenate(self._cells), return_inverse=True)
        amounts: Floats = np.bincount(place, np.concatenate(self._amounts), cells.size).astype(np.float64)
        self._cells, self._amounts = [cells], [amounts]
        return cells, amounts

    def between(self, first: int, end: int) -> tuple[Ints, Floats]:
        """Return the cells from one to before another, counted from the first, and their amounts."""
        cells, amounts = self.merge()
        some = slice(*np.searchsorted(cells, (first, end)))
        return cells[some] - first, amounts[some]


class TimeCounts(MetricCounts):
    """Metrics of the groups of an arm by sample of a grid."""

    def __init__(self, groups: Sequence[GroupInfo], grid: SampleGrid) -> None:
        """Start with all nodes up, and no rows."""
        super().__init__(grid.horizon_ns)
        self.grid = grid
        self._ends = np.cumsum([group.nodes for group in groups])
        self._dimm_bytes = np.asarray([group.dimm_bytes for group in groups], np.int64)
        self._steps, self._slopes = CellSums(), CellSums()
        nodes = np.asarray([group.nodes for group in groups], np.float64)
        whole = np.arange(nodes.size), np.zeros(nodes.size, np.int64), np.full(nodes.size, grid.horizon_ns)
        self._grow(EXPOSURE, *whole, nodes)

    def add_tables(self, tables: Tables) -> None:
        """Count the rows of some nodes, which must hold all rows of these nodes."""
        super().add_tables(tables)
        for table in tables.values():
            sample = self.grid.first_after(ints(table, "time_ns"))
            self._steps.add(self._cell(ROWS, np.zeros_like(sample), sample), 1.0)

    def segments(self, metric: str, group: int) -> Iterator[Segment]:
        """Yield the values of a metric, a key of the registry or ``rows`` (of group 0, for all), sample by sample."""
        first = self._first_cell(metric, group)
        steps, slopes = (sums.between(first, first + self.grid.samples) for sums in (self._steps, self._slopes))
        if slopes[0].size:
            yield from self._grown(steps, slopes)
            return
        edges = [0, *steps[0].tolist(), self.grid.samples]
        values = [0.0, *np.cumsum(steps[1]).tolist()]
        for (begin, end), value in zip(pairwise(edges), values, strict=True):
            yield Segment(begin, end, value)

    def _grown(self, steps: tuple[Ints, Floats], slopes: tuple[Ints, Floats]) -> Iterator[Segment]:
        """Yield values that grow between samples, and never fall where rounding would make them."""
        level = total = 0.0
        for begin in range(0, self.grid.samples, SAMPLES_AT_ONCE):
            end = min(begin + SAMPLES_AT_ONCE, self.grid.samples)
            added, slope = (_dense(sums, begin, end) for sums in (steps, slopes))
            slope = level + np.cumsum(slope)
            level = float(slope[-1])
            years = self.grid.step_ns / NS_PER_YEAR  # the last step may be shorter, and is in the steps
            values = np.maximum.accumulate(total + np.cumsum(added + slope * years))
            total = float(values[-1])
            yield Segment(begin, end, values.tolist())

    def _group(self, node_id: Ints) -> Ints:
        found: Ints = np.searchsorted(self._ends, node_id, side="right")
        return found

    def _first_cell(self, metric: str, group: int) -> int:
        return (group * len(_PLACE) + _PLACE[metric]) * self.grid.samples

    def _cell(self, metric: str, group: Ints, sample: Ints) -> Ints:
        found: Ints = (group * len(_PLACE) + _PLACE[metric]) * self.grid.samples + sample
        return found

    def _place(self, table: pa.Table, kept: Flags | slice) -> Ints:
        group = self._group(ints(table, "node_id")[kept])
        return self._cell(EXPOSURE, group, self.grid.first_after(ints(table, "time_ns")[kept]))

    def _add(self, metric: str, place: Ints, amount: npt.ArrayLike) -> None:
        self._steps.add(place + (_PLACE[metric] - _PLACE[EXPOSURE]) * self.grid.samples, amount)

    def _is_counted(self, node_id: Ints) -> Flags:
        return np.ones(node_id.shape, np.bool_)

    def dimm_bytes_of(self, node_id: Ints) -> Ints:
        """Return the memory of a DIMM of nodes."""
        return self._dimm_bytes[self._group(node_id)]

    def add_horizon(self, metric: str) -> None:
        """Do nothing: all nodes count from the beginning."""

    def add_spans(self, metric: str, spans: NodeSpans, weight: npt.ArrayLike) -> None:
        """Let a metric grow by weights a year for as long as spans last."""
        self._grow(metric, self._group(spans.node), spans.begin_ns, spans.end_ns, weight)

    def add_spans_up(self, metric: str, spans: NodeSpans, weight: Ints, down: NodeSpans) -> None:
        """Let a metric grow likewise, but not while nodes are down."""
        self.add_spans(metric, spans, weight)
        first = np.searchsorted(down.node, spans.node)
        begin, end = (
            first + events_by(spans.node, time_ns - 1, down.node, down.begin_ns)
            for time_ns in (spans.begin_ns, spans.end_ns)
        )
        of_span = np.repeat(np.arange(spans.node.size), end - begin)
        which = np.concatenate([np.arange(a, b) for a, b in zip(begin, end, strict=True)] or [of_span])
        self.add_spans(metric, NodeSpans(*(column[which] for column in down)), -weight[of_span])

    def _grow(self, metric: str, group: Ints, begin_ns: Ints, end_ns: Ints, weight: npt.ArrayLike) -> None:
        """Let a metric grow: by a part of a step where spans begin and end, and by whole steps between."""
        some = end_ns > begin_ns
        weights = np.broadcast_to(np.asarray(weight, np.float64), some.shape)[some] / NS_PER_YEAR
        group, begin_ns, end_ns = group[some], begin_ns[some], end_ns[some]
        step_ns = self.grid.step_ns
        first, last = begin_ns // step_ns + 1, -(-end_ns // step_ns)
        within = first == last
        at_first = np.where(within, end_ns, first * step_ns) - begin_ns
        at_last = np.where(within, 0, end_ns - (last - 1) * step_ns)
        self._steps.add(self._cell(metric, group, first), weights * at_first)
        self._steps.add(self._cell(metric, group, last), weights * at_last)
        long = last > first + 1
        for sample, sign in ((first + 1, 1), (last, -1)):
            self._slopes.add(self._cell(metric, group, sample)[long], (sign * weights * NS_PER_YEAR)[long])


def _dense(sums: tuple[Ints, Floats], begin: int, end: int) -> Floats:
    """Return the amounts of samples, most of which have none."""
    some = slice(*np.searchsorted(sums[0], (begin, end)))
    found = np.zeros(end - begin)
    found[sums[0][some] - begin] = sums[1][some]
    return found
