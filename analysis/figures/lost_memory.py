"""When how much memory of nodes is out of use.

**Models.** A page that memory_failure() or soft offlining takes is out of use until the node's next boot, or the end of
the run; a DIMM that is mapped out until it is replaced, less the time for which the node is down meanwhile. Times their
sizes, these are the metric ``memory_lost_byte_years``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from analysis.dataset.run import Run
from analysis.figures.views import ints, is_code
from fleet.stored.cells import Tables
from fleet.stored.spans import down_intervals, next_after
from node_sim.codes import UP_KINDS, LifecycleKind
from node_sim.records import Ints
from node_sim.units import PAGE_BYTES

COLUMNS: Final = {
    "memory_failures": ("node_id", "time_ns", "lost_bytes"),
    "page_offlines": ("node_id", "time_ns", "n_pages"),
    "lifecycle": ("node_id", "time_ns", "end_ns", "kind"),
}


class Losses(NamedTuple):
    """Memory out of use over some time; what is back meanwhile has a negative size. All of shape ``(n,)``."""

    since_ns: Ints
    until_ns: Ints
    size_bytes: Ints


def losses_of(run: Run, tables: Tables) -> Losses:
    """Return what some nodes lose in one arm."""
    lifecycle = tables["lifecycle"]
    is_down = ~is_code(lifecycle, "kind", *UP_KINDS)
    node, begin_ns, end_ns = (ints(lifecycle, name) for name in ("node_id", "time_ns", "end_ns"))
    end_ns = np.minimum(end_ns, run.horizon_ns)
    down = down_intervals(node[is_down], begin_ns[is_down], end_ns[is_down])
    pages = []
    for name, column, size in (("memory_failures", "lost_bytes", 1), ("page_offlines", "n_pages", PAGE_BYTES)):
        table = tables[name]
        since_ns = ints(table, "time_ns")
        until_ns = next_after(ints(table, "node_id"), since_ns, down[0], down[1], run.horizon_ns)
        pages.append(Losses(since_ns, until_ns, size * ints(table, column)))
    out = is_code(lifecycle, "kind", LifecycleKind.MAP_OUT)
    dimms = _mapped_out(run, (node[out], begin_ns[out], end_ns[out]), down)
    return Losses(*(np.concatenate(parts) for parts in zip(*pages, dimms, strict=True)))


def _mapped_out(run: Run, out: tuple[Ints, Ints, Ints], down: tuple[Ints, Ints, Ints]) -> Losses:
    """Return DIMMs that are mapped out; each down time of their nodes meanwhile gives them back."""
    node, since_ns, until_ns = out
    firsts = np.asarray([group.first_node for group in run.groups])
    sizes = np.asarray([group.dimm_bytes for group in run.groups], np.int64)
    size_bytes = sizes[np.searchsorted(firsts, node, side="right") - 1]
    of, at = np.nonzero(node[:, None] == down[0]) if node.size else (np.empty(0, np.int64), np.empty(0, np.int64))
    begin, end = np.maximum(since_ns[of], down[1][at]), np.minimum(until_ns[of], down[2][at])
    some = end > begin
    return Losses(
        np.concatenate((since_ns, begin[some])),
        np.concatenate((until_ns, end[some])),
        np.concatenate((size_bytes, -size_bytes[of][some])),
    )
