"""What a host shows at a time: its counters since the boot, and whether it is up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from analysis.hosts.changes import Change, CounterRise, Down, HostCounter

FIRST_BOOT_NS: Final = 0
"""Hosts boot when the time of a run begins."""


@dataclass
class HostState:
    """What a host shows, as its time goes on.

    Attributes:
        changes: All of its changes, in order of time.
        at: Changes that have been.
        counts: What each counter counted since the boot.
        boot_ns: When it booted last.
        down_until_ns: When it is up again; not after now if it is up.
    """

    changes: Sequence[Change]
    at: int = 0
    counts: Counter[HostCounter] = field(default_factory=Counter)
    boot_ns: int = FIRST_BOOT_NS
    down_until_ns: int = 0

    def advance(self, now_ns: int) -> None:
        """Go on to a time, which is not before the one of the last call; a change at that very time has happened."""
        while self.at < len(self.changes) and self.changes[self.at].time_ns <= now_ns:
            change = self.changes[self.at]
            if isinstance(change, CounterRise):
                self.counts[change.counter] += change.amount
            else:
                self._go_down(change)
            self.at += 1

    def is_up(self, now_ns: int) -> bool:
        """Whether the host answers."""
        return now_ns >= self.down_until_ns

    def _go_down(self, down: Down) -> None:
        self.counts.clear()
        self.boot_ns = self.down_until_ns = max(self.down_until_ns, down.end_ns)


def state_at(changes: Sequence[Change], now_ns: int) -> HostState:
    """Return what a host shows at a time."""
    state = HostState(changes)
    state.advance(now_ns)
    return state
