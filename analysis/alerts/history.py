"""What a host lived through, as far as its series show it: when counters rose, and when it was down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.hosts.changes import CORRECTED, HANDLED, POISONED, UNCORRECTED, Change, CounterRise, Down
from analysis.hosts.node_exporter import FAMILIES
from node_sim.records import Ints

UP: Final = "up"
"""Of Prometheus itself: whether the scrape succeeded; the only series that hosts that are down have."""
SHOWN: Final = (UP, *FAMILIES)
_RISES: Final = {
    CORRECTED: ("node_edac_correctable", "node_edac_csrow_correctable", "node_edac_channel_correctable"),
    UNCORRECTED: ("node_edac_uncorrectable", "node_edac_csrow_uncorrectable"),
    POISONED: ("node_memory_HardwareCorrupted",),
    HANDLED: ("hwpoison_node_memory_failures",),
}
"""Beginnings of the names of families that a counter is part of."""


@dataclass(frozen=True)
class History:
    """A host's life as its series show it.

    Attributes:
        node: The host.
        changes: All changes, in order of time.
        downs_ns: Begin and end of each time down, apart and ascending, shape ``(downs, 2)`` [ns].
    """

    node: int
    changes: Sequence[Change]
    downs_ns: Ints

    @classmethod
    def of(cls, node: int, changes: Sequence[Change]) -> History:
        """Take the changes of a host; times down that touch are one."""
        downs: list[list[int]] = []
        for one in sorted((change.time_ns, change.end_ns) for change in changes if isinstance(change, Down)):
            if downs and one[0] <= downs[-1][1]:
                downs[-1][1] = max(downs[-1][1], one[1])
            else:
                downs.append(list(one))
        return cls(node, changes, np.asarray(downs, np.int64).reshape(-1, 2))

    def rises_ns(self, names: frozenset[str]) -> Ints:
        """Return when some series rise, each time once, ascending; no name is all."""
        wanted = {what for what, parts in _RISES.items() if not names or any(one.startswith(parts) for one in names)}
        rises = {one.time_ns for one in self.changes if isinstance(one, CounterRise) and one.counter.what in wanted}
        return np.asarray(sorted(rises), np.int64)
