"""When an alert fires: the state machine of Prometheus over spans of steps at which an expression has an answer.

**Models.** An alert is pending from the first step with an answer, fires once that was ``for`` ago, and ends with the
first step without an answer, or if it fires, with the first one at which none came for ``keep_firing_for``. An answer
that comes before that goes on with the same alert.

**Sources.** Prometheus 2.42, rules/alerting.go (``AlertingRule.Eval``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Firing(NamedTuple):
    """An alert fires.

    Attributes:
        start: Step at which it begins to.
        end: Step at which it no longer does; one after the last step of all if it fires at the end.
    """

    start: int
    end: int


def firings(spans: Iterable[tuple[int, int]], hold: int, keep: int, steps: int) -> list[Firing]:
    """Return when an alert fires.

    Args:
        spans: First and last step of each time at which there is an answer at every step, in order, apart from each
            other by a step or more.
        hold: Steps of ``for``, rounded up.
        keep: Steps of ``keep_firing_for``, rounded up.
        steps: How many steps there are in all.
    """
    found: list[Firing] = []
    start: int | None = None
    gone = 0
    for first, last in spans:
        # At the step at which it would end, an answer still goes on with it.
        if start is not None and first > gone + keep:
            found.append(Firing(start, gone + keep))
            start = None
        if start is None and first + hold <= last:
            start = first + hold
        gone = last + 1
    if start is not None:
        found.append(Firing(start, min(gone + keep, steps)))
    return found


def merged(every: Iterable[Firing]) -> list[Firing]:
    """Return the times at which at least one of some alerts fires."""
    found: list[Firing] = []
    for one in sorted(every):
        if found and one.start <= found[-1].end:
            found[-1] = Firing(found[-1].start, max(found[-1].end, one.end))
        else:
            found.append(one)
    return found


def fires_at_end(one: Firing, steps: int) -> bool:
    """Whether an alert fires at the last step."""
    return one.end >= steps
