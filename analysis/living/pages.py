"""What is answered to whom: the targets, the series of each host, the totals of the fleet."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from analysis.hosts.node_exporter import ExporterView, HostSample, host_samples
from analysis.living.clock import ClockTime, FleetClock
from analysis.living.exposition import CONTENT_TYPE, Families, exposition
from analysis.living.served import LivingFleet
from analysis.living.totals import TOTALS
from node_sim.units import NS_PER_S

OWN: Final = "hwpoison_fleet_serve_"
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_OF_NODE: Final = re.compile(r"/nodes/(0|[1-9][0-9]{0,9})/metrics")
_OWN_FAMILIES: Final[Families] = {
    f"{OWN}info": ("gauge", "The arm that is served."),
    f"{OWN}speed": ("gauge", "Simulated seconds in a second."),
    f"{OWN}simulated_timestamp_seconds": ("gauge", "Simulated time, since 1970."),
    f"{OWN}laps": ("gauge", "How often the time of the run is over and has begun anew."),
    f"{OWN}nodes": ("gauge", "Nodes that are served, up and down."),
    **{f"{OWN}{name}_total": ("counter", f"{text[:-1]}, since the run began.") for name, text in TOTALS.items()},
}


class Answer(NamedTuple):
    """An answer.

    Attributes:
        status: Of HTTP.
        content_type: Of the body.
        body: The body.
    """

    status: int
    content_type: str
    body: str


NOT_FOUND: Final = Answer(404, TEXT, "no such page\n")


class Pages:
    """Answers what is asked of a fleet."""

    def __init__(
        self, fleet: LivingFleet, clock: FleetClock, clock_s: Callable[[], float], layout: str, compatible: str
    ) -> None:
        """Serve a fleet.

        Args:
            fleet: The fleet.
            clock: Its clock.
            clock_s: The clock that never goes back [s].
            layout: One of ``LAYOUTS``; empty is what suits each host.
            compatible: One of ``COMPATIBLE``.
        """
        self._fleet = fleet
        self._clock = clock
        self._clock_s = clock_s
        self._shown = ExporterView(fleet.start_s, layout, compatible)
        self._fixed: dict[str, Callable[[str], Answer]] = {
            "/": self._index,
            "/sd": self._targets,
            "/metrics": self._totals,
            "/-/healthy": lambda _: Answer(200, TEXT, "Healthy.\n"),
        }

    def answer(self, path: str, authority: str) -> Answer:
        """Return what is asked for.

        Args:
            path: Without a query.
            authority: Host and port by which the client knows us.
        """
        if path in self._fixed:
            return self._fixed[path](authority)
        found = _OF_NODE.fullmatch(path)
        return NOT_FOUND if found is None else self._node(int(found[1]))

    def _now(self) -> ClockTime:
        return self._clock.moment(self._clock_s())

    def _start_s(self, moment: ClockTime) -> float:
        """Return when the time of the run was 0 in this lap."""
        return self._fleet.start_s + moment.lap * (self._fleet.horizon_ns / NS_PER_S)

    def _node(self, node: int) -> Answer:
        host = self._fleet.served.get(node)
        if host is None:
            return NOT_FOUND
        moment = self._now()
        state = host.at(moment)
        if not state.is_up(moment.now_ns):
            return Answer(503, TEXT, f"{host.name} is down\n")
        shown = self._shown._replace(start_s=self._start_s(moment))
        return Answer(200, CONTENT_TYPE, exposition(host_samples(host.name, host.kind, state, moment.now_ns, shown)))

    def _targets(self, authority: str) -> Answer:
        """Return what Prometheus discovers by HTTP: one target for each host, all with our address."""
        hosts = self._fleet.hosts
        targets = []
        for node, host in self._fleet.served.items():
            group = hosts.group(node)
            labels = {
                "instance": host.name,
                "__metrics_path__": f"/nodes/{node}/metrics",
                "group": hosts.groups[group],
                "site": hosts.sites[group],
            }
            targets.append({"targets": [authority], "labels": labels})
        return Answer(200, JSON, json.dumps(targets))

    def _totals(self, _authority: str) -> Answer:
        return Answer(200, CONTENT_TYPE, exposition(self._samples(self._now()), _OWN_FAMILIES))

    def _samples(self, moment: ClockTime) -> Iterator[HostSample]:
        fleet, down = self._fleet, self._fleet.totals.down(moment)
        yield HostSample(f"{OWN}info", (("arm", fleet.arm),), 1)
        yield HostSample(f"{OWN}speed", (), self._clock.speed)
        yield HostSample(f"{OWN}simulated_timestamp_seconds", (), self._start_s(moment) + moment.now_ns / NS_PER_S)
        yield HostSample(f"{OWN}laps", (), moment.lap)
        yield HostSample(f"{OWN}nodes", (("state", "up"),), len(fleet.served) - down)
        yield HostSample(f"{OWN}nodes", (("state", "down"),), down)
        for name in TOTALS:
            yield HostSample(f"{OWN}{name}_total", (), fleet.totals.until(name, moment))

    def _index(self, _authority: str) -> Answer:
        hosts = self._fleet.served.values()
        links = "\n".join(f'<li><a href="/nodes/{one.node}/metrics">{html.escape(one.name)}</a></li>' for one in hosts)
        return Answer(200, _HTML, _INDEX.format(arm=html.escape(self._fleet.arm), n=len(hosts), links=links))


_INDEX: Final = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>hwpoison-fleet</title></head>
<body>
<h1>hwpoison-fleet: {n:,} hosts, arm {arm}</h1>
<ul>
<li><a href="/sd">/sd</a>: all targets, for http_sd_configs of Prometheus</li>
<li><a href="/metrics">/metrics</a>: totals of the fleet, and its clock</li>
<li><a href="/-/healthy">/-/healthy</a></li>
</ul>
<p>Hosts; one that is down answers 503:</p>
<ul>
{links}
</ul>
</body>
</html>
"""
