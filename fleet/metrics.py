"""Prometheus metrics of a run: the committed tallies, and what shards in flight have done; no event is counted here."""

from __future__ import annotations

import html
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.progress import Event, GivenUp, Reached, Retried
from fleet.stored.exported import GAUGES, IN_FLIGHT, INFO, INFO_HELP, PREFIX, RETRIES, RETRIES_HELP, ROWS, ROWS_HELP
from fleet.stored.headline import FAMILIES, INDEX, REGISTRY
from fleet.stored.tally import Tally
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST: Final = "127.0.0.1"
METRICS: Final = "/metrics"


class _InFlight(NamedTuple):
    """A shard in flight: when its attempt began, and what is done of it."""

    begun_s: float
    nodes: int
    rows: int


class RunCollector(Collector):
    """Renders the tally of the shards committed so far, and how far those in flight are."""

    def __init__(
        self,
        arms: tuple[str, ...],
        groups: tuple[str, ...],
        shards: int,
        nodes: int,
        info: dict[str, str],
        clock_s: Callable[[], float] = time.monotonic,
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
        self.in_flight: dict[int, _InFlight] = {}
        self.clock_s = clock_s
        self.lock = Lock()  # so that no scrape sees a shard twice, or not at all

    def add(self, event: Event) -> None:
        """Take in what the driver tells."""
        with self.lock:
            if isinstance(event, Reached):
                before = self.in_flight.get(event.shard_id)
                begun_s = before.begun_s if before else self.clock_s()
                self.in_flight[event.shard_id] = _InFlight(begun_s, event.nodes, event.rows)
            elif isinstance(event, Retried | GivenUp):
                self.retries += isinstance(event, Retried)
                self.in_flight.pop(event.shard_id, None)
            else:
                self.tally = self.tally + event.receipt.tally
                self.done += 1
                self.in_flight.pop(event.receipt.shard.shard_id, None)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        with self.lock:
            tally, done, retries, attempts = self.tally, self.done, self.retries, tuple(self.in_flight.values())
        now_s = self.clock_s()
        yield InfoMetricFamily(PREFIX + INFO, INFO_HELP, value=self.info)
        values = {
            "shards": self.shards,
            "shards_committed": done,
            "nodes": self.nodes,
            "nodes_committed": float(tally.nodes.sum()),
            "shards_in_flight": len(attempts),
            "nodes_in_flight": sum(one.nodes for one in attempts),
            "rows_in_flight": sum(one.rows for one in attempts),
            "shard_lag_seconds": max((now_s - one.begun_s for one in attempts), default=0.0),
        }
        for name, sentence in (GAUGES | IN_FLIGHT).items():
            yield GaugeMetricFamily(PREFIX + name, sentence, value=values[name])
        yield CounterMetricFamily(PREFIX + RETRIES, RETRIES_HELP, value=retries)
        rows = CounterMetricFamily(PREFIX + ROWS, ROWS_HELP, labels=["arm"])
        for arm, name in enumerate(self.arms):
            rows.add_metric([name], float(tally.rows[arm]))
        yield rows
        for name, (sentence, label) in FAMILIES.items():
            labels = ["arm", "group", *([label] if label else [])]
            family = CounterMetricFamily(PREFIX + name, sentence, labels=labels)
            mine = [metric for metric in REGISTRY if metric.family == name]
            for arm, arm_name in enumerate(self.arms):
                for group, group_name in enumerate(self.groups):
                    for metric in mine:
                        amount = float(tally.total[arm, group, INDEX[metric.key]])
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
    Thread(target=_serve, args=(server,), daemon=True).start()
    return f"http://[{host}]:{port}{METRICS}" if six else f"http://{host}:{port}{METRICS}"


def _serve(server: WSGIServer) -> None:
    """Serve, and leave all signals to the main thread, which may hold them back."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    server.serve_forever()


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
