"""Rows by name, and which of them led to harm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet.stored.cells import Tables, codes, ints
from node_sim.codes import Fate, LifecycleKind


def row_names(table: pa.Table, seq_column: str) -> npt.NDArray[np.uint64]:
    """Name rows of one arm: node and seq in one word."""
    return (ints(table, "node_id").astype(np.uint64) << np.uint64(32)) | ints(table, seq_column).astype(np.uint64)


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
            harm.append(cause[codes(tables[name], column) == code] if column else cause)
    found = np.concatenate(harm) if harm else np.empty(0, np.uint64)
    for name in ("memory_failures", "machine_checks"):
        if name in parent_of:
            names, causes = parent_of[name]
            at = np.minimum(np.searchsorted(names, found), names.size - 1)
            found = np.where(names[at] == found, causes[at], found)
    return np.intersect1d(found, roots)
