"""Prometheus metrics of a run, rendered from the committed tallies; nothing is counted per event."""

from __future__ import annotations

import html
import socket
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.progress import Event, Retried
from fleet.stored.exported import GAUGES, INFO, INFO_HELP, PREFIX, RETRIES, RETRIES_HELP, ROWS, ROWS_HELP
from fleet.stored.headline import FAMILIES, INDEX, REGISTRY
from fleet.stored.tally import Tally
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST: Final = "127.0.0.1"
METRICS: Final = "/metrics"


class RunCollector(Collector):
    """Renders the tally of the shards committed so far."""

    def __init__(
        self, arms: tuple[str, ...], groups: tuple[str, ...], shards: int, nodes: int, info: dict[str, str]
    ) -> None:
        """Start with nothing committed: every known series exists, at zero."""
        self.arms = arms
        self.groups = groups
        self.shards = shards
        self.nodes = nodes
        self.info = info
        self.tally = Tally.zero(len(arms), len(groups))
        self.done = 0
        self.retries = 0

    def add(self, event: Event) -> None:
        """Count a committed shard, or one that is tried again."""
        if isinstance(event, Retried):
            self.retries += 1
            return
        self.tally = self.tally + event.receipt.tally
        self.done += 1

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield InfoMetricFamily(PREFIX + INFO, INFO_HELP, value=self.info)
        values = {
            "shards": self.shards,
            "shards_committed": self.done,
            "nodes": self.nodes,
            "nodes_committed": float(self.tally.nodes.sum()),
        }
        for name, sentence in GAUGES.items():
            yield GaugeMetricFamily(PREFIX + name, sentence, value=values[name])
        yield CounterMetricFamily(PREFIX + RETRIES, RETRIES_HELP, value=self.retries)
        rows = CounterMetricFamily(PREFIX + ROWS, ROWS_HELP, labels=["arm"])
        for arm, name in enumerate(self.arms):
            rows.add_metric([name], float(self.tally.rows[arm]))
        yield rows
        for name, (sentence, label) in FAMILIES.items():
            labels = ["arm", "group", *([label] if label else [])]
            family = CounterMetricFamily(PREFIX + name, sentence, labels=labels)
            mine = [metric for metric in REGISTRY if metric.family == name]
            for arm, arm_name in enumerate(self.arms):
                for group, group_name in enumerate(self.groups):
                    for metric in mine:
                        amount = float(self.tally.total[arm, group, INDEX[metric.key]])
                        family.add_metric([arm_name, group_name, *([metric.value] if label else [])], amount)
            yield family


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each in a thread that does not outlive the process."""

    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request, and waits for nobody for ever."""

    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
        """Write nothing."""


def serve_metrics(collector: RunCollector, port: int, host: str = HOST) -> str:
    """Serve the metrics of a run until the process ends; return the URL.

    Raises:
        ConfigError: The host or the port cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        family, _, _, _, (address, *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        six = family == socket.AF_INET6
        server = make_server(
            str(address), port, _site(make_wsgi_app(registry), collector.info), _Server6 if six else _Server, _Quiet
        )
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no name of a host"
        option = f"--metrics-host {host} --metrics-port {port}" if host != HOST else f"--metrics-port {port}"
        msg = f"{option}: {why}, expected a free port on {host}; choose another"
        raise ConfigError(msg) from None
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://[{host}]:{port}{METRICS}" if six else f"http://{host}:{port}{METRICS}"


def _site(metrics: WSGIApplication, info: dict[str, str]) -> WSGIApplication:
    """Return the pages: the metrics, one at ``/`` that leads there, and nothing else."""
    page = (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>hwpoison-fleet</title>'
        f"<h1>hwpoison-fleet</h1><p>Run {html.escape(info.get('run', ''))}</p>"
        f'<p><a href="{METRICS}">Metrics</a> for Prometheus</p></html>\n'
    )

    def site(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method, path = environment["REQUEST_METHOD"], environment.get("PATH_INFO", "")
        if path not in ("/", METRICS):
            return _answer(
                start, method, "404 Not Found", "text/plain", f"no such page; the metrics are at {METRICS}\n"
            )
        if method not in ("GET", "HEAD"):
            return _answer(start, method, "405 Method Not Allowed", "text/plain", "GET and HEAD only\n")
        if path == "/":
            return _answer(start, method, "200 OK", "text/html", page)
        found = metrics({**environment, "REQUEST_METHOD": "GET"}, start)  # theirs knows no HEAD
        return [] if method == "HEAD" else found

    return site


def _answer(start: StartResponse, method: str, status: str, kind: str, text: str) -> list[bytes]:
    content = text.encode(errors="replace")
    allow = [("Allow", "GET, HEAD")] if status.startswith("405") else []
    headers = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(content))), *allow]
    start(status, headers)
    return [] if method == "HEAD" else [content]
