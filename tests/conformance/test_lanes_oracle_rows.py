"""Rows of DIMMs that go offline: the lanes against the event heap, in worlds made for them, and what they meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from node_sim.codes import OfflineResult, OfflineTrigger
from node_sim.dram.geometry import Dimm
from node_sim.lives.block import BlockRows
from tests.conformance.test_lanes_oracle import LEAST, ROWED, Row, block_of, check_world, draw_world, rows_of

ROW_WORLDS = 20


@pytest.mark.parametrize("number", range(ROWED, ROWED + ROW_WORLDS))
def test_every_row_equals_that_of_the_event_heap(number: int) -> None:
    check_world(number)


def rows_asked(block: BlockRows) -> Iterator[list[Row]]:
    """Yield the rows of ``page_offlines`` of each row of a DIMM that was to go offline."""
    for part in block.parts:
        asked: dict[Any, list[Row]] = {}
        for row in rows_of("page_offlines", part.tables["page_offlines"]) if "page_offlines" in part.tables else ():
            if row["trigger"] != OfflineTrigger.CE_THRESHOLD:
                asked.setdefault((row["node_id"], row["cause_seq"], row["time_ns"]), []).append(row)
        yield from asked.values()


def share_a_row(one: Row, other: Row, dimm: Dimm) -> bool:
    """Return whether two faults of a node have a row in common, apart from its lines; of several ranks the first."""

    def covers(a: Row, b: Row, name: str, size: int, n: int) -> bool:
        return ((b[name] or 0) - (a[name] or 0)) % size < n

    found = all(one[name] == other[name] for name in ("node_id", "dimm", "generation", "rank"))
    for name, size in (("bank", dimm.banks), ("row", dimm.rows)):
        n = f"n_{name}s"
        found &= covers(one, other, name, size, one[n] or 0) or covers(other, one, name, size, other[n] or 0)
    return found


def test_sample_has_rows_that_go_offline() -> None:
    met: Counter[Any] = Counter()
    for number in range(ROWED, ROWED + ROW_WORLDS):
        block, dimm = block_of(number), Dimm.of(draw_world(number).hardware.server)
        faults = [row for row in rows_of("faults", block.faults) if row["n_pages"]]
        of_name = {(fault["node_id"], fault["fault_id"]): fault for fault in faults}
        shared = set()
        for pages in rows_asked(block):
            results = {page["result"] for page in pages}
            own = of_name[pages[0]["node_id"], pages[0]["fault_id"]]
            met[OfflineTrigger(pages[0]["trigger"] or 0)] += 1
            met["refused in part"] += len(results) > 1
            met["poisoned in part"] += OfflineResult.ALREADY_POISONED in results and len(results) > 1
            if any(other is not own and share_a_row(own, other, dimm) for other in faults):
                shared.add(own["node_id"])
        met["nodes with a row of two faults"] += len(shared)
    wanted = [OfflineTrigger.ROW_THRESHOLD, OfflineTrigger.ROW_COLUMNS, "refused in part", "poisoned in part"]
    wanted.append("nodes with a row of two faults")
    few = {what: met[what] for what in wanted if met[what] < LEAST}
    assert not few, f"met fewer than {LEAST} times: {few}; all: {dict(met)}"
