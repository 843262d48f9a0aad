"""Node groups of a run, and which of them a node belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class GroupInfo:
    """A node group of a run.

    Of its processes, how many of each kind a node runs in the first arm. What plans before schema version 5 do not
    tell is empty.
    """

    name: str
    first_node: int
    nodes: int
    dimm_bytes: int
    processes: dict[str, int]
    part: str = ""
    code: str = ""
    site: str = ""
    workload: str = ""
    dimms: int = 0


def groups_of(node_id: pa.Array, groups: Sequence[GroupInfo]) -> pa.Array:
    """Return the name of the group of each node; the groups follow each other in node numbers."""
    names = pa.array([group.name for group in groups], pa.utf8())
    ends = np.cumsum([group.nodes for group in groups])
    return names.take(pa.array(np.searchsorted(ends, node_id.to_numpy(zero_copy_only=False), side="right")))
