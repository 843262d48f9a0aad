"""What single hosts of a run showed under the names of node_exporter, node after node.

**Models.** What Prometheus would have stored, had it asked at each step: while a host is down there is no sample of it
but ``up``, which is 0.

**Leaves out.** Marks of staleness, which no format of files has: where a host is down, a series has a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from analysis.dataset.run import Run
from analysis.history.fleet import JOB
from analysis.history.grid import SampleGrid
from analysis.history.series import Segment, Series
from analysis.hosts.changes import Change, Down, changes
from analysis.hosts.counters import HostState
from analysis.hosts.kinds import Hosts
from analysis.hosts.lives import UNSEEN, Life, lives
from analysis.hosts.node_exporter import FAMILIES, ExporterView, host_samples
from fleet.stored.manifest import COMMON_ARM
from node_sim.units import NS_PER_S

UP: Final = "up"
HOST_FAMILIES: Final = {**FAMILIES, UP: ("gauge", "Whether the host answered.")}
"""Type and sentence of each family, in the order in which they are shown."""
_CLOCK: Final = "node_time_seconds"
_Shows = tuple[str, tuple[tuple[str, str], ...]]
"""Family and labels of a series of a host."""


class HostsAsked(NamedTuple):
    """What is asked of whom.

    Attributes:
        run: The run.
        arm: Arm.
        hosts: Its servers.
        nodes: Those that are asked.
        grid: When.
    """

    run: Run
    arm: str
    hosts: Hosts
    nodes: Sequence[int]
    grid: SampleGrid

    @property
    def shown(self) -> ExporterView:
        """How hosts show themselves: their clocks go as the history does."""
        return ExporterView(float(self.grid.start_s))


def nodes_with_rows(run: Run, arm: str) -> list[int]:
    """Return the nodes that have rows which hosts can show."""
    run.check_arm(arm)
    parts = [part for part in run.parts if part.arm in (COMMON_ARM, arm) and part.table not in UNSEEN]
    columns = [run.read_part(part, ["node_id"])["node_id"].to_numpy() for part in parts]
    found: list[int] = np.unique(np.concatenate([np.empty(0, np.uint32), *columns])).tolist()
    return found


def count_host_series(asked: HostsAsked) -> int:
    """Return how many series ``host_series`` yields."""
    groups = [asked.hosts.group(node) for node in asked.nodes]
    of_group = {group: len(_labels_at_start(asked, asked.hosts.first_nodes[group])) + 1 for group in set(groups)}
    return sum(of_group[group] for group in groups)


def host_series(asked: HostsAsked) -> Iterator[tuple[str, Series]]:
    """Yield the series of all nodes that are asked, each with its family; those of a family in order."""
    for node, life in _all_lives(asked):
        name, group = asked.hosts.name(node), asked.hosts.group(node)
        of_host = {
            "job": JOB,
            "instance": name,
            "group": asked.hosts.groups[group],
            "site": asked.hosts.sites[group],
        }
        happened = changes(life, asked.hosts.kind(node), asked.run.plan["seed"])
        values, up = _follow(asked, node, happened)
        for (family, labels), segments in values.items():
            yield family, Series(of_host | dict(labels), segments)
        yield UP, Series(of_host, up)


def _all_lives(asked: HostsAsked) -> Iterator[tuple[int, Life]]:
    """Yield the lives of the nodes in order, also of those that have no rows."""
    wanted = iter(sorted(asked.nodes))
    for node, life in lives(asked.run, asked.arm, asked.nodes):
        for other in wanted:
            if other == node:
                break
            yield other, []
        yield node, life
    yield from ((other, []) for other in wanted)


def _labels_at_start(asked: HostsAsked, node: int) -> list[_Shows]:
    samples = host_samples(asked.hosts.name(node), asked.hosts.kind(node), HostState(()), 0, asked.shown)
    return [(one.family, one.labels) for one in samples]


def _follow(asked: HostsAsked, node: int, happened: list[Change]) -> tuple[dict[_Shows, list[Segment]], list[Segment]]:
    """Return the segments of each series of a node, and those of ``up``."""
    grid, state = asked.grid, HostState(happened)
    name, kind, shown = asked.hosts.name(node), asked.hosts.kind(node), asked.shown
    values: dict[_Shows, list[Segment]] = {labels: [] for labels in _labels_at_start(asked, node)}
    up: list[Segment] = []
    marks = _marks(grid, happened)
    for first, end in zip(marks, (*marks[1:], grid.samples), strict=True):
        now_ns = grid.time_ns(first)
        state.advance(now_ns if first else -NS_PER_S)
        answers = state.is_up(now_ns)
        _extend(up, Segment(first, end, float(answers)))
        if answers:
            for one in host_samples(name, kind, state, now_ns, shown):
                value = None if one.family == _CLOCK else one.value
                _extend(values[one.family, one.labels], Segment(first, end, value))
    return values, up


def _marks(grid: SampleGrid, happened: Collection[Change]) -> list[int]:
    """Return the samples in which a node may show something else than in the one before."""
    edges = [one.time_ns for one in happened] + [one.end_ns for one in happened if isinstance(one, Down)]
    times_ns = np.asarray([edge for edge in edges if edge <= grid.horizon_ns], np.int64)
    found: list[int] = np.unique(np.concatenate(([0], grid.first_after(times_ns)))).tolist()
    return found


def _extend(segments: list[Segment], more: Segment) -> None:
    """Add a segment, or make the last one longer if it has the same value."""
    if segments and segments[-1].end == more.first and segments[-1].value == more.value:
        segments[-1] = segments[-1]._replace(end=more.end)
    else:
        segments.append(more)
