"""Faults made by hand."""

from __future__ import annotations

import numpy as np

from node_sim.codes import Mode
from node_sim.corrected.windows import Windows, simulate_reads, simulate_windows
from node_sim.dram.faults import Cells, FaultTable, Habit
from node_sim.dram.geometry import Footprint
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Seed
from node_sim.records import Flags
from node_sim.server.policy import Policy

DEFAULTS = {
    "node_id": 0,
    "time_ns": 0,
    "device": 0,
    "rank": 0,
    "bank": 0,
    "row": 0,
    "line": 0,
    "n_ranks": 1,
    "n_banks": 1,
    "n_rows": 1,
    "n_lines": 1,
    "dimm": 0,
    "generation": 0,
    "hard": 1,
    "n_dq": 1,
    "mode": int(Mode.ROW),
    "beats": 255,
}


def faults_of(*rows: dict[str, int]) -> FaultTable:
    """Hard row faults of one line, all of them in one place unless said otherwise."""
    part = {name: np.asarray([(DEFAULTS | row)[name] for row in rows], np.int64) for name in DEFAULTS}
    n = len(rows)
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    return FaultTable(
        node_id=part["node_id"],
        tag=(part["dimm"] << 24) | (part["generation"] << 16) | np.arange(n),
        time_ns=part["time_ns"],
        mode=part["mode"],
        hard=part["hard"] == 1,
        cells=Cells(
            part["device"], part["n_dq"], (1 << part["n_dq"]) - 1, np.bitwise_count(part["beats"]), part["beats"]
        ),
        habit=Habit(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)),
        box=Footprint(
            part["dimm"],
            part["rank"],
            part["bank"],
            part["row"],
            part["line"],
            part["n_ranks"],
            part["n_banks"],
            part["n_rows"],
            part["n_lines"],
        ),
        order=PageOrder(zero, one),
        n_pages=one,
        first_pfn=zero,
    )


def corrected_windows(seed: Seed, faults: FaultTable, corrected: Flags, policy: Policy, horizon_ns: int) -> Windows:
    """Corrected errors of faults no read of which fails."""
    reads = simulate_reads(seed, faults, np.flatnonzero(faults.hard), policy, horizon_ns)
    return simulate_windows(seed, faults, corrected, policy, horizon_ns, reads, np.zeros(reads.u.size, np.int64))
