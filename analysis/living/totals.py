"""What has happened in a fleet until a time, of all of its hosts together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from analysis.hosts.changes import CORRECTED, POISONED, Change, CounterRise, Down
from analysis.hosts.lives import Life, Row
from analysis.living.clock import ClockTime
from node_sim.codes import ErrorKind, Fate, LifecycleKind
from node_sim.records import Ints

TOTALS: Final = {
    "corrected_errors": "Corrected errors that hosts logged.",
    "uncorrected_errors": "Pages in which an uncorrected error was noticed first since the boot.",
    "hardware_corrupted_pages": "Pages that HardwareCorrupted of hosts rose by.",
    "kills": "Processes that a signal ended because of bad memory.",
    "panics": "Panics.",
    "boots": "Boots after the first.",
}
"""What is counted, and its sentence."""
_DOWN: Final = "down"
_OF_COUNTERS: Final = {CORRECTED: "corrected_errors", POISONED: "hardware_corrupted_pages"}


def times_down(changes: Iterable[Change]) -> list[Down]:
    """Return when a host is down; times that overlap or touch are one, which one boot ends."""
    found: list[Down] = []
    for change in changes:
        if isinstance(change, Down):
            if found and change.time_ns <= found[-1].end_ns:
                found[-1] = Down(found[-1].time_ns, max(found[-1].end_ns, change.end_ns))
            else:
                found.append(change)
    return found


class _Steps:
    """Times and amounts in 16 bytes each, added in any order, then summed up."""

    def __init__(self) -> None:
        self.times = array("q")
        self.amounts = array("q")

    def add(self, time_ns: int, amount: int) -> None:
        self.times.append(time_ns)
        self.amounts.append(amount)

    def summed(self) -> tuple[Ints, Ints]:
        """Return the times in order, and the sum before each and after the last."""
        times, amounts = np.array(self.times, np.int64), np.array(self.amounts, np.int64)
        order = np.argsort(times, kind="stable")
        return times[order], np.concatenate([np.zeros(1, np.int64), np.cumsum(amounts[order])])


class FleetTotals:
    """Counts of a fleet by time; filled host by host, then closed."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._steps = {name: _Steps() for name in (*TOTALS, _DOWN)}
        self._closed: dict[str, tuple[Ints, Ints]] = {}

    def add(self, life: Life, changes: Sequence[Change]) -> None:
        """Add a host: its rows, and its changes in order of time."""
        for change in changes:
            if isinstance(change, CounterRise) and (name := _OF_COUNTERS.get(change.counter.what)):
                self._steps[name].add(change.time_ns, change.amount)
        for down in times_down(changes):
            self._steps[_DOWN].add(down.time_ns, 1)
            self._steps[_DOWN].add(down.end_ns, -1)
            self._steps["boots"].add(down.end_ns, 1)
        for table, row in life:
            if (name := _name_of(table, row)) is not None:
                self._steps[name].add(row["time_ns"], 1)

    def close(self) -> None:
        """Put what was added in order of time; nothing is added later."""
        self._closed = {name: steps.summed() for name, steps in self._steps.items()}
        self._steps.clear()

    def first_ns(self, name: str) -> int | None:
        """Return when something happens for the first time; None is never."""
        times, _ = self._closed[name]
        return int(times[0]) if len(times) else None

    def until(self, name: str, moment: ClockTime) -> int:
        """Return how much of something there has been, that of earlier laps included."""
        times, sums = self._closed[name]
        return moment.lap * int(sums[-1]) + int(sums[np.searchsorted(times, moment.now_ns, "right")])

    def down(self, moment: ClockTime) -> int:
        """Return how many hosts are down."""
        return self.until(_DOWN, ClockTime(0, moment.now_ns))


def _name_of(table: str, row: Row) -> str | None:
    """Return the total that a row adds to."""
    if table == "errors" and row["kind"] == ErrorKind.UE.text:
        return "uncorrected_errors"
    if table == "signals" and row["fate"] == Fate.KILLED.text:
        return "kills"
    if table == "lifecycle" and row["kind"] == LifecycleKind.PANIC.text:
        return "panics"
    return None
