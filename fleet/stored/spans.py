"""Times of nodes against other times of the same nodes: intervals down, what comes next, how many came before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.records import Ints


class NodeSpans(NamedTuple):
    """Times of nodes [ns], column by column."""

    node: Ints
    begin_ns: Ints
    end_ns: Ints


def down_intervals(node: Ints, start_ns: Ints, end_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Merge intervals that repeat (several DIMMs of one repair); intervals of a node do not overlap otherwise."""
    order = np.lexsort((end_ns, start_ns, node))
    node, start_ns, end_ns = node[order], start_ns[order], end_ns[order]
    new = np.ones(node.size, np.bool_)
    new[1:] = (np.diff(node) != 0) | (np.diff(start_ns) != 0) | (np.diff(end_ns) != 0)
    return node[new], start_ns[new], end_ns[new]


def next_after(node: Ints, time_ns: Ints, other_node: Ints, other_ns: Ints, default_ns: int) -> Ints:
    """Return, for each (node, time), the first time >= it among the others of the same node, or the default."""
    if not other_node.size:
        return np.full(node.shape, default_ns, np.int64)
    order = np.lexsort((other_ns, other_node))
    other_node, other_ns = other_node[order], other_ns[order]
    all_node, all_ns = np.concatenate((other_node, node)), np.concatenate((other_ns, time_ns))
    is_query = np.arange(all_node.size) >= other_node.size
    merged = np.lexsort((~is_query, all_ns, all_node))
    before = np.cumsum(~is_query[merged])
    position = np.empty(all_node.size, np.int64)
    position[merged] = before
    at = np.minimum(position[other_node.size :], other_node.size - 1)
    known = (position[other_node.size :] < other_node.size) & (other_node[at] == node)
    return np.where(known, other_ns[at], default_ns)


def events_by(name: Ints, time_ns: Ints, other_name: Ints, other_ns: Ints) -> Ints:
    """Return, for each (name, time), how many of the others have the same name and a time <= it."""
    all_name, all_ns = np.concatenate((other_name, name)), np.concatenate((other_ns, time_ns))
    is_query = np.arange(all_name.size) >= other_name.size
    merged = np.lexsort((is_query, all_ns, all_name))
    events = np.cumsum(~is_query[merged])
    first = np.searchsorted(all_name[merged], all_name[merged])
    found = np.empty(all_name.size, np.int64)
    found[merged] = events - np.concatenate(([0], events))[first]
    return found[other_name.size :]
