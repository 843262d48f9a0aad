"""The series of hosts as text that promtool turns into blocks, each with the scrapes that rules need of it.

**Models.** What node_exporter shows, and ``up``, which Prometheus adds; labels of the target are instance, job, group
and site.

**Leaves out.** Series that no rule names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TextIO

import numpy as np

from analysis.alerts.expression import CLOCK
from analysis.alerts.history import UP, History
from analysis.alerts.sampling import Clock, is_down
from analysis.hosts.counters import HostState
from analysis.hosts.kinds import Hosts
from analysis.hosts.node_exporter import ExporterView, host_samples
from node_sim.records import Ints
from node_sim.units import NS_PER_S

JOB: Final = "node"
_NS_PER_MS: Final = NS_PER_S // 1000
Labels = tuple[tuple[str, str], ...]


class HostSeries(NamedTuple):
    """A host whose series are written.

    Attributes:
        history: What it lived through.
        clock: When it is scraped.
        scrapes: Numbers of the scrapes that are written, by family.
    """

    history: History
    clock: Clock
    scrapes: Mapping[str, Ints]

    @property
    def samples(self) -> int:
        """Scrapes of all families together."""
        return sum(part.size for part in self.scrapes.values())


def write_host(out: TextIO, host: HostSeries, hosts: Hosts, shown: ExporterView) -> set[str]:
    """Write the series of a host; return the families that it has.

    Args:
        out: Where to.
        host: Which, and which of its scrapes.
        hosts: All hosts.
        shown: How they show themselves.
    """
    node, group = host.history.node, hosts.group(host.history.node)
    target: Labels = (
        ("group", hosts.groups[group]),
        ("instance", hosts.name(node)),
        ("job", JOB),
        ("site", hosts.sites[group]),
    )
    every = np.unique(np.concatenate([*host.scrapes.values(), np.empty(0, np.int64)]))
    times = host.clock.scrape_time_ns(every)
    stamps = _stamps(times, shown.start_s)
    down = is_down(host.history, times)
    values = _values(host.history, hosts, shown, times[~down], frozenset(host.scrapes))
    clock = [f"{shown.start_s + time_ns / NS_PER_S:.3f}" for time_ns in times[~down].tolist()]
    place = np.cumsum(~down) - 1
    written = set()
    for family, labels, texts in values:
        mine = np.searchsorted(every, host.scrapes[family])
        mine = mine[~down[mine]]
        written.add(family)
        shown_values = clock if family == CLOCK else texts
        _write_series(
            out, family, (*target, *labels), [shown_values[at] for at in place[mine]], [stamps[at] for at in mine]
        )
    if UP in host.scrapes:
        mine = np.searchsorted(every, host.scrapes[UP])
        _write_series(out, UP, target, ["0" if down[at] else "1" for at in mine], [stamps[at] for at in mine])
        written.add(UP)
    return written


def _stamps(times_ns: Ints, start_s: float) -> list[str]:
    """Return times as OpenMetrics writes them, to the millisecond."""
    start_ms = round(start_s * 1000)
    return [f"{ms // 1000}.{ms % 1000:03d}\n" for ms in (times_ns // _NS_PER_MS + start_ms).tolist()]


def _values(
    history: History, hosts: Hosts, shown: ExporterView, times: Ints, families: frozenset[str]
) -> list[tuple[str, Labels, list[str]]]:
    """Return family, labels and value at some times of each series of a host, the times ascending."""
    name, kind = hosts.name(history.node), hosts.kind(history.node)
    state = HostState(history.changes)
    changed = np.asarray([change.time_ns for change in history.changes], np.int64)
    epoch = np.searchsorted(changed, times, side="right")
    _, first, of_epoch = np.unique(epoch, return_index=True, return_inverse=True)
    found: dict[tuple[str, Labels], list[str]] = {}
    for now_ns in times[first].tolist():
        state.advance(now_ns)
        for sample in host_samples(name, kind, state, now_ns, shown, families):
            found.setdefault((sample.family, sample.labels), []).append(f"{sample.value:.17g}")
    where = of_epoch.tolist()
    return [(family, labels, [texts[at] for at in where]) for (family, labels), texts in found.items()]


def _write_series(out: TextIO, family: str, labels: Labels, values: list[str], stamps: list[str]) -> None:
    """Write the samples of a series."""
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels))
    head = f"{family}{{{inside}}} "
    out.write("".join([f"{head}{value} {stamp}" for value, stamp in zip(values, stamps, strict=True)]))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
