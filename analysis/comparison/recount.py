"""Counting the rows of a run again, some nodes at a time: against another baseline, or node by node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import pyarrow as pa

from analysis.dataset.run import Run
from fleet.stored.counting import tally_shard
from fleet.stored.manifest import COMMON_ARM, PartFile, Receipt
from fleet.stored.plan import Shard, groups_in
from fleet.stored.tally import Tally

ROWS_AT_ONCE: Final = 500_000
"""Rows of all arms, some 100 bytes each, held together where nodes have alike many; a shard may have any number."""
RowsToCount = tuple[list[tuple[tuple[int, ...], str, pa.Table]], list[tuple[int, int]], list[int], int, int]


def tally_against(run: Run, baseline: str) -> tuple[Tally, tuple[str, ...]]:
    """Count a run again with another arm as the baseline; return the tally and its order of arms."""
    position = run.check_arm(baseline)
    order = (baseline, *(arm for arm in run.arms if arm != baseline))
    if position == 0:
        return run.tally, order
    total = Tally.zero(len(order), len(run.groups))
    for rows in rows_to_count(run, order):
        total += tally_shard(*rows)
    return total, order


def rows_to_count(run: Run, order: Sequence[str]) -> Iterator[RowsToCount]:
    """Yield the arguments of ``tally_shard`` for all nodes of a run, some at a time, arms in some order.

    What is counted of them adds up: no row has to do with a row of another node.
    """
    dimm_bytes = [group.dimm_bytes for group in run.groups]
    for receipt in run.receipts:
        for nodes in _pieces(receipt):
            tables = [(_arms_of(part.arm, order), part.table, rows) for part, rows in _rows(run, receipt, nodes)]
            yield tables, groups_in(nodes, run.groups), dimm_bytes, len(order), run.horizon_ns


def _pieces(receipt: Receipt) -> Iterator[Shard]:
    """Cut a shard into pieces of about ``ROWS_AT_ONCE`` rows."""
    shard = receipt.shard
    pieces = min(shard.nodes, -(-sum(part.rows for part in receipt.parts) // ROWS_AT_ONCE)) or 1
    ends = [shard.first_node + shard.nodes * piece // pieces for piece in range(pieces + 1)]
    for first, end in pairwise(ends):
        yield Shard(shard.shard_id, first, end - first)


def _rows(run: Run, receipt: Receipt, nodes: Shard) -> Iterator[tuple[PartFile, pa.Table]]:
    """Read the rows of some nodes of a shard, part by part, but parts that have none."""
    wanted = range(nodes.first_node, nodes.first_node + nodes.nodes)
    for part in receipt.parts:
        rows = run.read_nodes(part, wanted) if nodes.nodes < receipt.shard.nodes else run.read_part(part)
        if rows.num_rows:
            yield part, rows


def _arms_of(arm: str, order: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the arms of a part; none means all."""
    return () if arm == COMMON_ARM else (order.index(arm),)
