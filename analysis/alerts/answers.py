"""Answers of rules about hosts, as Prometheus gives them on the series of some hosts at a time.

**Models.** Hosts of which much is asked come last and few at a time, so that what is asked of one step is asked of
hosts that need it. An answer at a step that a host did not want says nothing, as its samples are not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from analysis.alerts.engine import POINTS_MAX, Programs, QueryServer, serving, write_blocks
from analysis.alerts.firing import Firing, firings
from analysis.alerts.history import SHOWN, History
from analysis.alerts.rules import AlertRule
from analysis.alerts.sampling import Clock, Wanted, phase_of, wanted
from analysis.alerts.series import HostSeries, write_host
from analysis.hosts.kinds import Hosts
from analysis.hosts.node_exporter import ExporterView
from node_sim.errors import ConfigError, ExecutionError
from node_sim.records import Ints
from node_sim.units import NS_PER_S

BATCH_SAMPLES: Final = 2_000_000
"""Samples of a batch; a file of 200 MB."""
BATCH_HOSTS: Final = 64
"""Hosts of a batch."""
BATCH_STEPS: Final = 30_000
"""Steps of a batch, of all hosts and rules together."""
_GAP: Final = 100
"""Steps that are asked for although nobody wants them, rather than asking twice."""
_AT_ONCE: Final = 2
"""Queries at once."""
AlertKey = tuple[tuple[str, str], ...]
"""Labels of an alert: two rows with the same are the same alert."""


class WatchedHosts(NamedTuple):
    """How hosts are watched.

    Attributes:
        hosts: All hosts.
        shown: How they show themselves.
        seed: Of the run.
        scrape_ns: Time between scrapes [ns].
        horizon_ns: End of simulated time [ns].
        every: Whether all steps and scrapes are taken, rather than those that matter.
        step_ns: Time between evaluations of groups that do not say it: the step of subqueries that do not [ns].
    """

    hosts: Hosts
    shown: ExporterView
    seed: int
    scrape_ns: int
    horizon_ns: int
    every: bool = False
    step_ns: int = 60 * NS_PER_S

    def clock(self, node: int, step_ns: int) -> Clock:
        """Return when a host is scraped and evaluated."""
        return Clock(self.scrape_ns, phase_of(self.seed, node, self.scrape_ns), step_ns, self.horizon_ns)


class Planned(NamedTuple):
    """What is asked of a host: the steps of each rule, and the series with their scrapes."""

    series: HostSeries
    steps: list[Ints]

    @property
    def n_steps(self) -> int:
        """Steps of all rules together."""
        return sum(part.size for part in self.steps)


class HostAnswers(NamedTuple):
    """What came of rules on a host.

    Attributes:
        node: The host.
        alerts: Of each rule, when each of its alerts fires.
        families: Series that the host has, of those that were asked for.
    """

    node: int
    alerts: list[list[list[Firing]]]
    families: frozenset[str]


def answers(
    programs: Programs, rules: Sequence[AlertRule], histories: Iterable[History], watched: WatchedHosts, folder: Path
) -> Iterator[HostAnswers]:
    """Yield what comes of rules on hosts, in any order of hosts.

    Args:
        programs: Prometheus and promtool.
        rules: Rules that can be judged.
        histories: Of the hosts.
        watched: How they are watched.
        folder: For files, which are deleted batch by batch.
    """
    planned = sorted((_plan(rules, one, watched) for one in histories), key=lambda one: one.n_steps)
    for number, batch in enumerate(_batches(planned)):
        place = folder / f"batch-{number}"
        place.mkdir()
        yield from _answer(programs, rules, batch, watched, place)


def _plan(rules: Sequence[AlertRule], history: History, watched: WatchedHosts) -> Planned:
    """Return what is asked of a host."""
    scrapes: dict[str, list[Ints]] = {}
    steps = []
    for rule in rules:
        found: Wanted = wanted(rule.reach, history, watched.clock(history.node, rule.step_ns), every=watched.every)
        steps.append(found.steps)
        for name in rule.reach.names or SHOWN:
            if name in SHOWN:
                scrapes.setdefault(name, []).append(found.scrapes)
    merged = {name: np.unique(np.concatenate(parts)) for name, parts in scrapes.items()}
    return Planned(HostSeries(history, watched.clock(history.node, NS_PER_S), merged), steps)


def _batches(planned: Iterable[Planned]) -> Iterator[list[Planned]]:
    """Yield hosts together, so many that they have a batch of samples."""
    batch: list[Planned] = []
    samples = steps = 0
    for one in planned:
        samples, steps = samples + one.series.samples, steps + one.n_steps
        if batch and (len(batch) == BATCH_HOSTS or samples > BATCH_SAMPLES or steps > BATCH_STEPS):
            yield batch
            batch, samples, steps = [], one.series.samples, one.n_steps
        batch.append(one)
    if batch:
        yield batch


def _answer(
    programs: Programs, rules: Sequence[AlertRule], batch: list[Planned], watched: WatchedHosts, folder: Path
) -> Iterator[HostAnswers]:
    """Ask about a batch of hosts."""
    text, data = folder / "series.txt", folder / "data"
    with text.open("w", encoding="utf-8") as out:
        families = [write_host(out, one.series, watched.hosts, watched.shown) for one in batch]
        out.write("# EOF\n")
    if any(families):
        write_blocks(programs.promtool, text, data)
    text.unlink()
    found: list[list[list[list[Firing]]]] = []
    with serving(programs.prometheus, folder, interval_s=watched.step_ns / NS_PER_S) as server:
        for at, rule in enumerate(rules):
            found.append(_fired(server, rule, batch, at, watched))
    for place, one in enumerate(batch):
        yield HostAnswers(one.series.history.node, [of_rule[place] for of_rule in found], frozenset(families[place]))
    shutil.rmtree(folder)


def _fired(
    server: QueryServer, rule: AlertRule, batch: list[Planned], at: int, watched: WatchedHosts
) -> list[list[list[Firing]]]:
    """Return when the alerts of a rule fire on each host of a batch.

    Raises:
        ConfigError: An alert is of no host.
        ExecutionError: Prometheus cannot tell.
    """
    names = {watched.hosts.name(one.series.history.node): place for place, one in enumerate(batch)}
    present: list[dict[AlertKey, list[Ints]]] = [{} for _ in batch]
    step_s = rule.step_ns / NS_PER_S

    def ask(part: tuple[int, int]) -> list[dict[str, Any]]:
        start_s = watched.shown.start_s + part[0] * step_s
        try:
            return server.query_range(rule.expression, start_s, step_s, part[1] - part[0] + 1)
        except ExecutionError as error:
            msg = f"{rule.name}: {error}"
            raise ExecutionError(msg) from None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for result in pool.map(ask, _parts(np.unique(np.concatenate([one.steps[at] for one in batch])))):
            for series in result:
                labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
                place = names.get(labels.get("instance", ""), -1)
                if place < 0:
                    msg = f"{rule.name}: an alert without the label instance of a host; leave the rule out"
                    raise ConfigError(msg)
                times = np.asarray([time_s for time_s, _ in series["values"]], np.float64)
                steps = np.rint((times - watched.shown.start_s) / step_s).astype(np.int64)
                present[place].setdefault(tuple(sorted(labels.items())), []).append(steps)
    steps_in_all = watched.horizon_ns // rule.step_ns + 1
    hold, keep = rule.in_steps(rule.hold_ns), rule.in_steps(rule.keep_ns)
    return [
        [
            firings(spans(one.steps[at], np.concatenate(parts), steps_in_all), hold, keep, steps_in_all)
            for parts in present[place].values()
        ]
        for place, one in enumerate(batch)
    ]


def _parts(steps: Ints) -> Iterator[tuple[int, int]]:
    """Yield first and last step of each query that is asked for some steps, ascending."""
    cuts = np.flatnonzero(np.diff(steps) > _GAP) + 1
    for part in np.split(steps, cuts):
        first, last = int(part[0]), int(part[-1])
        for begin in range(first, last + 1, POINTS_MAX):
            yield begin, min(begin + POINTS_MAX - 1, last)


def spans(evaluated: Ints, answered: Ints, steps: int) -> list[tuple[int, int]]:
    """Return first and last step of each time with an answer; it stays as it is from one evaluation to the next.

    Args:
        evaluated: Steps at which it was evaluated, ascending; the first is 0.
        answered: Steps with an answer, in any order; those that were not evaluated say nothing.
        steps: How many there are in all.
    """
    has = np.isin(evaluated, answered)
    edges = np.diff(np.concatenate(([False], has, [False])).astype(np.int8))
    ends = np.append(evaluated, steps)
    return [
        (int(evaluated[a]), int(ends[b]) - 1)
        for a, b in zip(*(np.flatnonzero(edges == e) for e in (1, -1)), strict=True)
    ]
