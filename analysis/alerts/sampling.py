"""At which steps a rule is evaluated on a host, and which of the scrapes it needs for the same answers as all of them.

**Models.** Between two changes of what a rule looks at its answer stays, so it is evaluated where one can come: when
a counter rises or the host goes down or comes up, and when that leaves a window or reaches an offset. Of the scrapes,
Prometheus takes the last before each evaluation and the first and last of each window, and of those between them only
what changes: these, and the two around each change, give exactly what all scrapes give. Where a window reaches over a
boot, the engine extrapolates by the mean distance of samples, so there are a thousand in it.

**Leaves out.** Marks of staleness: after a host went down its series are seen for as long as the engine looks back.

**Assumes.** Steps and windows are multiples of the scrape interval, so that the same number of scrapes is in a window
at every step. Each host is scraped at a time of its own within the interval.

**Sources.** Prometheus 2.42, promql/functions.go (``extrapolatedRate``) and promql/engine.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from analysis.alerts.expression import Reach
from analysis.alerts.history import History
from node_sim.records import Flags, Ints
from node_sim.units import NS_PER_S

LOOK_BACK_NS: Final = 300 * NS_PER_S
"""How old a sample may be that the engine takes for the present (query.lookback-delta)."""
IN_WINDOW: Final = 1000
"""Scrapes of a window that reaches over a boot."""
_NS_PER_MS: Final = NS_PER_S // 1000


class Clock(NamedTuple):
    """Times of a host's scrapes and of the evaluations of a rule.

    Attributes:
        scrape_ns: Time between scrapes [ns].
        phase_ns: Time of the first scrape, below that [ns].
        step_ns: Time between evaluations, the first of which is at 0 [ns].
        horizon_ns: End of simulated time [ns].
    """

    scrape_ns: int
    phase_ns: int
    step_ns: int
    horizon_ns: int

    @property
    def steps(self) -> int:
        """Number of evaluations."""
        return self.horizon_ns // self.step_ns + 1

    def last_scrape(self, time_ns: Ints) -> Ints:
        """Return the number of the last scrape not after some times; negative if there is none."""
        return (time_ns - self.phase_ns) // self.scrape_ns

    def first_scrape(self, time_ns: Ints) -> Ints:
        """Return the number of the first scrape not before some times."""
        return -((self.phase_ns - time_ns) // self.scrape_ns)

    def scrape_time_ns(self, scrape: Ints) -> Ints:
        """Return the times of scrapes [ns]."""
        return self.phase_ns + scrape * self.scrape_ns


def phase_of(seed: int, node: int, scrape_ns: int) -> int:
    """Return when a host is scraped within the interval: whole milliseconds, never with an evaluation [ns]."""
    most = scrape_ns // _NS_PER_MS
    draw = np.random.Generator(np.random.Philox(key=[seed, node])).integers(1, max(2, most))
    return int(draw) * _NS_PER_MS


class Wanted(NamedTuple):
    """What a rule needs of a host.

    Attributes:
        steps: Numbers of the steps at which it is evaluated, ascending; the first is 0.
        scrapes: Numbers of the scrapes, ascending, those that a host that is down does not answer among them.
    """

    steps: Ints
    scrapes: Ints


def wanted(reach: Reach, history: History, clock: Clock, *, every: bool = False) -> Wanted:
    """Return what a rule needs of a host.

    Args:
        reach: What it looks at.
        history: Of the host.
        clock: When it is scraped and evaluated.
        every: Take all steps and all scrapes.
    """
    up_again = np.concatenate((np.zeros(1, np.int64), history.downs_ns[:, 1]))
    down = history.downs_ns[:, 0]
    rises = history.rises_ns(reach.names)
    if every:
        found = Wanted(np.arange(clock.steps), np.arange(clock.last_scrape(np.asarray([clock.horizon_ns]))[0] + 1))
    elif reach.dense:
        found = _all_around(reach, np.concatenate((rises, down, up_again)), clock)
    else:
        steps = _steps(reach, np.concatenate((rises, down, down + LOOK_BACK_NS, up_again)), up_again, clock)
        parts = [
            _of_steps(reach, steps * clock.step_ns, clock),
            *_around(rises, clock),
            *_around(down, clock),
            *_around(up_again, clock),
            *_over_boots(reach, history, rises, clock),
        ]
        found = Wanted(steps, np.unique(np.concatenate(parts)))
    inside = (found.scrapes >= 0) & (clock.scrape_time_ns(found.scrapes) <= clock.horizon_ns)
    return found._replace(scrapes=found.scrapes[inside])


def is_down(history: History, time_ns: Ints) -> Flags:
    """Return at which times a host is down."""
    if not history.downs_ns.size:
        return np.zeros(time_ns.shape, np.bool_)
    at = np.searchsorted(history.downs_ns[:, 0], time_ns, side="right") - 1
    found: Flags = (at >= 0) & (time_ns < history.downs_ns[at, 1])
    return found


def _steps(reach: Reach, events: Ints, boots: Ints, clock: Clock) -> Ints:
    """Return the steps at which an answer can change."""
    since_boot = [boots + one for one in reach.clocks_ns]
    events = np.unique(np.concatenate((events, *since_boot)))
    delays = {offset + window for offset in reach.offsets_ns for window in (0, *reach.windows_ns)}
    times = np.unique(np.concatenate([events + delay for delay in sorted(delays)]))
    first = -((clock.scrape_ns - times) // clock.step_ns)
    last = -(-(times + 2 * clock.scrape_ns) // clock.step_ns)
    return _between(first, last, clock.steps)


def _between(first: Ints, last: Ints, end: int) -> Ints:
    """Return the numbers from ``first`` to ``last`` of each pair that are below an end, and 0."""
    first, last = np.maximum(first, 0), np.minimum(last, end - 1)
    length = np.maximum(last - first + 1, 0)
    before = np.repeat(np.cumsum(length) - length, length)
    numbers = np.repeat(first, length) + np.arange(int(length.sum())) - before
    return np.unique(np.concatenate((np.zeros(1, np.int64), numbers)))


def _of_steps(reach: Reach, times: Ints, clock: Clock) -> Ints:
    """Return the scrapes at the ends of what a rule looks at from some steps."""
    parts = []
    for offset in reach.offsets_ns:
        parts.append(clock.last_scrape(times - offset))
        parts += [clock.first_scrape(times - offset - window) for window in reach.windows_ns]
    return np.concatenate(parts)


def _around(events: Ints, clock: Clock) -> tuple[Ints, ...]:
    """Return the last scrape before each event, and the two after it: a rate needs two."""
    first = clock.first_scrape(events)
    return first - 1, first, first + 1


def _over_boots(reach: Reach, history: History, rises: Ints, clock: Clock) -> Iterable[Ints]:
    """Yield scrapes of windows that reach over a time down and see something rise."""
    for window in reach.windows_ns:
        stride = max(1, window // IN_WINDOW // clock.scrape_ns)
        spans = [(begin - window, begin) for begin in history.downs_ns[:, 0].tolist()]
        spans += [(end, end + window) for end in (0, *history.downs_ns[:, 1].tolist())]
        for low, high in spans:
            if np.searchsorted(rises, low) < np.searchsorted(rises, high, side="right"):
                first, last = (int(clock.first_scrape(np.asarray([one]))[0]) for one in (low, high))
                yield np.arange(first, last + 1, stride)


def _all_around(reach: Reach, events: Ints, clock: Clock) -> Wanted:
    """Return all steps at which events are seen, and all scrapes that they look at."""
    clocks = max(reach.clocks_ns, default=0)
    length = reach.longest_ns + clocks + LOOK_BACK_NS + 2 * clock.scrape_ns
    steps = _between(events // clock.step_ns - 1, -(-(events + length) // clock.step_ns), clock.steps)
    low = clock.first_scrape(events - reach.longest_ns - LOOK_BACK_NS - clock.step_ns)
    high = clock.last_scrape(events + length + clock.step_ns)
    return Wanted(steps, _between(low, high, int(clock.last_scrape(np.asarray([clock.horizon_ns]))[0]) + 1))
