"""What alerts should have warned of: the first event of a kind that each host had.

**Models.** ``ue`` is the first uncorrected error that anybody on the host read (each makes a machine check), ``panic``
the first kernel panic, ``kill`` the first process that a signal for bad memory ended. Later events of a host are what
the first one made known.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow.compute as pc

from analysis.dataset.run import Run
from analysis.hosts.lives import UNSEEN
from node_sim.codes import ErrorKind, Fate, LifecycleKind
from node_sim.columns import TABLES
from node_sim.records import Ints


class TruthKind(NamedTuple):
    """Rows that are events of a kind: a table, a column and its value."""

    table: str
    column: str
    value: str
    words: str


TRUTHS: Final = {
    "ue": TruthKind("errors", "kind", ErrorKind.UE.text, "uncorrected error"),
    "panic": TruthKind("lifecycle", "kind", LifecycleKind.PANIC.text, "kernel panic"),
    "kill": TruthKind("signals", "fate", Fate.KILLED.text, "killed process"),
}


def first_events(run: Run, arm: str, kind: str) -> dict[int, int]:
    """Return when each host that has events of a kind has the first [ns].

    Args:
        run: The run.
        arm: Arm.
        kind: One of ``TRUTHS``.
    """
    table, column, value, _ = TRUTHS[kind]
    rows = run.table(table, arm, columns=["node_id", "time_ns", column])
    rows = rows.filter(pc.equal(rows[column], value)).sort_by([("node_id", "ascending"), ("time_ns", "ascending")])
    node, time_ns = (rows[name].to_numpy() for name in ("node_id", "time_ns"))
    nodes, first = np.unique(node, return_index=True)
    return dict(zip(nodes.tolist(), time_ns[first].tolist(), strict=True))


def nodes_with_rows(run: Run, arm: str) -> Ints:
    """Return the hosts that have rows that a host can show, ascending."""
    parts = [run.table(name, arm, columns=["node_id"])["node_id"].to_numpy() for name in TABLES if name not in UNSEEN]
    return np.unique(np.concatenate(parts)).astype(np.int64)
