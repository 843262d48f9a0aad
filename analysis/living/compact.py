"""Changes of a host in 20 bytes each, as a host with a bad DIMM has tens of thousands a year."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, overload

from analysis.hosts.changes import Change, CounterRise, Down, HostCounter

_DOWN: Final = -1


class CompactChanges(Sequence[Change]):
    """Changes in order of time."""

    def __init__(self, changes: Iterable[Change], known: dict[HostCounter, HostCounter]) -> None:
        """Store changes.

        Args:
            changes: In order of time.
            known: Counters of all hosts, one of each; those of these changes are added.
        """
        self._times, self._amounts, self._of = array("q"), array("q"), array("i")
        counters: dict[HostCounter, int] = {}
        for change in changes:
            self._times.append(change.time_ns)
            if isinstance(change, CounterRise):
                counter = known.setdefault(change.counter, change.counter)
                self._of.append(counters.setdefault(counter, len(counters)))
                self._amounts.append(change.amount)
            else:
                self._of.append(_DOWN)
                self._amounts.append(change.end_ns)
        self._counters = tuple(counters)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._times)

    @overload
    def __getitem__(self, at: int) -> Change: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Change]: ...
    def __getitem__(self, at: int | slice) -> Change | Sequence[Change]:
        """Return one change, or some."""
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(len(self)))]
        if self._of[at] == _DOWN:
            return Down(self._times[at], self._amounts[at])
        return CounterRise(self._times[at], self._counters[self._of[at]], self._amounts[at])
