"""Prometheus metrics of a run, rendered from the committed tallies; nothing is counted per event."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.progress import Event, Retried
from fleet.stored.headline import FAMILIES, INDEX, REGISTRY
from fleet.stored.tally import Tally
from node_sim.errors import ConfigError

HOST = "127.0.0.1"
PREFIX = "hwpoison_fleet_"


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
        yield InfoMetricFamily(f"{PREFIX}run", "The run.", value=self.info)
        yield GaugeMetricFamily(f"{PREFIX}shards", "Shards planned.", value=self.shards)
        yield GaugeMetricFamily(f"{PREFIX}shards_committed", "Shards committed.", value=self.done)
        sentence = (
            "Attempts at a shard that failed for a reason outside of it and were repeated, since the driver began."
        )
        yield CounterMetricFamily(f"{PREFIX}shard_retries", sentence, value=self.retries)
        yield GaugeMetricFamily(f"{PREFIX}nodes", "Nodes planned.", value=self.nodes)
        committed = float(self.tally.nodes.sum())
        yield GaugeMetricFamily(f"{PREFIX}nodes_committed", "Nodes committed.", value=committed)
        rows = CounterMetricFamily(f"{PREFIX}rows", "Rows of the arm's view, over all tables.", labels=["arm"])
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


def serve_metrics(collector: RunCollector, port: int) -> None:
    """Serve the metrics of a run on 127.0.0.1 until the process ends.

    Raises:
        ConfigError: The port cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        msg = f"--metrics-port {port}: {error.strerror}, expected a free port on {HOST}; choose another"
        raise ConfigError(msg) from None
