"""Exposure recomputed from rows: node-years up, by group; the second opinion on the manifest's figure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from analysis.dataset.run import Run
from node_sim.units import NS_PER_YEAR


def exposure_from_rows(run: Run, arm: str) -> dict[str, float]:
    """Return the node-years up of each group in an arm, from its ``lifecycle`` rows.

    Overlapping intervals of a node are merged and cut at the horizon. A node that drains, or goes on without a DIMM,
    is up.
    """
    rows = run.table("lifecycle", arm, columns=["node_id", "time_ns", "end_ns", "kind"])
    down = [kind not in ("cordon", "map_out") for kind in rows.column("kind").to_pylist()]
    rows = rows.filter(pa.array(down, pa.bool_()))
    node = rows.column("node_id").to_numpy().astype(np.int64)
    start = rows.column("time_ns").to_numpy()
    end = np.minimum(rows.column("end_ns").to_numpy(), run.horizon_ns)
    found = {}
    for group in run.groups:
        mine = np.flatnonzero((node >= group.first_node) & (node < group.first_node + group.nodes))
        down_ns = 0
        last_node, last_end = -1, 0
        for index in mine[np.lexsort((start[mine], node[mine]))]:
            begin = int(start[index])
            if int(node[index]) == last_node:
                begin = max(begin, last_end)
            else:
                last_node, last_end = int(node[index]), 0
            down_ns += max(0, int(end[index]) - begin)
            last_end = max(last_end, int(end[index]))
        found[group.name] = (group.nodes * run.horizon_ns - down_ns) / NS_PER_YEAR
    return found
