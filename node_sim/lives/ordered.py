"""Orders that a policy of one's own has given to lanes: which come next, and the pages they have taken offline.

**Models.** A list of orders by lane and time. One whose time comes while the node is down is lost.

**Leaves out.** What an order does; ``carry_out.py`` has it.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.records import Index, Ints, expand_counts, take
from node_sim.units import FOREVER


class OrderKind(enum.IntEnum):
    """What is ordered: of rows, all their pages are."""

    OFFLINE = 0
    REPLACE = 1
    CORDON = 2
    DRAIN = 3


class Orders(NamedTuple):
    """Orders, ordered by (node, time); arrays of shape ``(n,)``.

    Attributes:
        node_id: Node.
        time_ns: When [ns].
        kind: ``OrderKind``.
        target: Page number, or DIMM slot; -1 where the node is meant.
        fault_id: Fault whose error led to it (``names.fault_ids``), as a signed number; -1 if none did.
        cause_ns: Time of that error [ns].
    """

    node_id: Ints
    time_ns: Ints
    kind: Ints
    target: Ints
    fault_id: Ints
    cause_ns: Ints

    @classmethod
    def of(cls, rows: list[tuple[int, ...]]) -> Orders:
        """Make orders of rows in any order."""
        table = np.asarray(rows, np.int64).reshape(-1, len(cls._fields))
        found = cls(*table.T)
        return found.take(np.lexsort((found.time_ns, found.node_id)))

    def take(self, index: Index) -> Orders:
        """Select some orders."""
        return take(self, index)


class Withdrawn(NamedTuple):
    """Pages that a policy has had taken offline in the present boots of lanes; arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        pfn: Page.
        time_ns: When [ns].
        huge: 4 KiB pages of the page of a pool that was broken up for it, 1 if none was.
    """

    lane: Ints
    pfn: Ints
    time_ns: Ints
    huge: Ints

    @classmethod
    def none(cls) -> Withdrawn:
        """Return no pages."""
        return cls(*(np.empty(0, np.int64) for _ in cls._fields))

    def take(self, index: Index) -> Withdrawn:
        """Select some."""
        return take(self, index)


@dataclass
class Agenda:
    """Orders of lanes and which of them come next.

    Attributes:
        orders: All orders, ordered by (lane, time).
        lane: Lane of each.
        start: First order of each group: those of one lane and time, shape ``(n_groups + 1,)``.
        position: Group that comes next in each lane, shape ``(n_lanes,)``.
        end: First group of the next lane.
        next_ns: When it comes [ns], ``FOREVER`` if there is none.
    """

    orders: Orders
    lane: Ints
    start: Ints
    position: Ints
    end: Ints
    next_ns: Ints

    @classmethod
    def of(cls, orders: Orders, lane: Ints, n_lanes: int) -> Agenda:
        """List the orders of lanes, which are ordered by (lane, time)."""
        new = (np.diff(lane, prepend=-1) != 0) | (np.diff(orders.time_ns, prepend=-1) != 0)
        start = np.flatnonzero(new)
        every = np.arange(n_lanes)
        position, end = (np.searchsorted(lane[start], every, side=side) for side in ("left", "right"))
        agenda = cls(orders, lane, np.append(start, lane.size), position, end, np.full(n_lanes, FOREVER))
        agenda._look(every)
        return agenda

    def _look(self, lane: Ints) -> None:
        """Note when the next orders of lanes come."""
        left = self.position[lane] < self.end[lane]
        self.next_ns[lane] = FOREVER
        some = lane[left]
        self.next_ns[some] = self.orders.time_ns[self.start[self.position[some]]]

    def pop(self, lane: Ints) -> Ints:
        """Return the next orders of lanes, each of which has some, and go on to those that come after them."""
        group = self.position[lane]
        owner, step = expand_counts(self.start[group + 1] - self.start[group])
        self.position[lane] += 1
        self._look(lane)
        found: Ints = self.start[group][owner] + step
        return found

    def lose(self, lane: Ints, until_ns: Ints) -> None:
        """Lose the orders of lanes that come before a time."""
        late = self.next_ns[lane] < until_ns
        while late.any():
            self.position[lane[late]] += 1
            self._look(lane)
            late = self.next_ns[lane] < until_ns
