"""How far a run is, on standard error: a bar, or lines for a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from fleet.commands.printing import say
from fleet.progress import Committed, Event, Kept, Progress, Retried, tell_nobody

KINDS: Final = ("auto", "bar", "plain", "none")
PERIOD_S: Final = 10.0
"""Lines come no more often; a run that is shorter has none, unless they are asked for."""
BAR_WIDTH: Final = 24
"""So that a fleet of ten million nodes fits a line of 80 columns."""
MINUTES_FROM_S: Final = 120.0
HOURS_FROM_S: Final = 7200.0
WHOLE_FROM_PER_S: Final = 10.0
"""Rates below it have a decimal."""


@contextmanager
def shown_progress(kind: str, nodes: int) -> Iterator[Progress]:
    """Show how far a run of so many nodes is, in a way of ``KINDS``; yield what it is told by."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    if kind == "none" or sys.stderr is None:
        yield tell_nobody
    elif kind == "bar" or (kind == "auto" and on_terminal):
        with drawn_bar(nodes) as progress:
            yield progress
    else:
        lines = Lines(nodes, always=kind == "plain")
        yield lines.tell
        lines.end()


class Headway:
    """How far a run is.

    Attributes:
        nodes: Planned.
        before: Nodes that were committed before this process began.
        done: Nodes committed since.
        retries: Shards tried again since.
    """

    def __init__(self, nodes: int) -> None:
        """Start with nothing done."""
        self.nodes = nodes
        self.before = 0
        self.done = 0
        self.retries = 0

    def add(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Retried):
            self.retries += 1
        elif isinstance(event, Kept):
            self.before += event.receipt.shard.nodes
        elif isinstance(event, Committed):
            self.done += event.receipt.shard.nodes

    def line(self, passed_s: float) -> str:
        """Say how far the run is after so long a time [s]; the rate is of the nodes since this process began."""
        committed = self.before + self.done
        parts = [f"{committed:,} of {self.nodes:,} nodes"]
        if self.done and passed_s > 0:
            rate_per_s = self.done / passed_s
            left_s = (self.nodes - committed) / rate_per_s
            parts += [_rate(rate_per_s), f"{_duration(left_s)} left" if left_s else f"in {_duration(passed_s)}"]
        return ", ".join((*parts, self.retried()))

    def retried(self) -> str:
        """Say how many shards were tried again."""
        return "1 retry" if self.retries == 1 else f"{self.retries:,} retries"


def _rate(per_s: float) -> str:
    """Return a rate with two significant digits."""
    return f"{float(f'{per_s:.2g}'):,.{0 if per_s >= WHOLE_FROM_PER_S else 1}f}/s"


def _duration(time_s: float) -> str:
    """Return a time in a unit that suits it."""
    if time_s < MINUTES_FROM_S:
        return f"{time_s:.0f} s"
    return f"{time_s / 60:.0f} min" if time_s < HOURS_FROM_S else f"{time_s / 3600:.1f} h"


def _time_of_day() -> str:
    return time.strftime("%H:%M:%S")


class Lines:
    """Says how far a run is in a line at most every ``PERIOD_S``, and in one at its end."""

    def __init__(
        self,
        nodes: int,
        *,
        always: bool,
        clock_s: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], str] = _time_of_day,
    ) -> None:
        """Begin now; ``always`` has also a run that is shorter say how far it came."""
        self._count = Headway(nodes)
        self._always = always
        self._clock_s = clock_s
        self._time_of_day = time_of_day
        self._begun_s = self._said_s = clock_s()
        self._unsaid = False

    def tell(self, event: Event) -> None:
        """Count an event, and say so if it is time."""
        self._count.add(event)
        if not isinstance(event, Committed | Retried):
            return
        self._unsaid = True
        now_s = self._clock_s()
        if now_s - self._said_s >= PERIOD_S:
            self._say(now_s)

    def end(self) -> None:
        """Say how far the run came, unless the last line has."""
        now_s = self._clock_s()
        if self._unsaid and (self._always or now_s - self._begun_s > PERIOD_S):
            self._say(now_s)

    def _say(self, now_s: float) -> None:
        say(f"{self._time_of_day()} {self._count.line(now_s - self._begun_s)}", err=True)
        self._said_s, self._unsaid = now_s, False


@contextmanager
def drawn_bar(nodes: int, clock_s: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Draw a bar, which goes when the run ends; yield what it is told by."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    count = Headway(nodes)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(BAR_WIDTH),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.completed:,.0f} nodes, {task.fields[retried]}"),
    )
    console = Console(stderr=True, force_terminal=True)
    with Bar(*columns, console=console, transient=True, get_time=clock_s) as bar:
        task = bar.add_task("simulating", total=nodes, retried=count.retried())

        def tell(event: Event) -> None:
            count.add(event)
            if isinstance(event, Kept):
                bar.reset(task, completed=count.before)  # else the time left would be that of reading commits
            else:
                bar.update(task, completed=count.before + count.done, retried=count.retried())

        yield tell
