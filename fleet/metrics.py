"""Prometheus metrics of a run, rendered from the committed tallies; nothing is counted per event."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.manifest import Receipt
from fleet.tally import INDEX, Tally
from node_sim.errors import ConfigError

HOST = "127.0.0.1"
COUNTERS: dict[str, tuple[str, tuple[str, ...], dict[tuple[str, ...], str]]] = {
    "hwpoison_fleet_kills": (
        "Processes killed by a signal for bad memory, by cause.",
        ("cause",),
        {
            ("early_ao",): "kills_early_ao",
            ("late_ar",): "kills_late_ar",
            ("direct_ar",): "kills_direct_ar",
            ("sigkill",): "kills_sigkill",
        },
    ),
    "hwpoison_fleet_memory_failures": (
        "Pages handled by memory_failure(), by result.",
        ("result",),
        {(name,): f"mf_{name}" for name in ("ignored", "failed", "delayed", "recovered")},
    ),
    "hwpoison_fleet_errors": (
        "Memory errors: logged corrected errors, uncorrected and silent ones (first sight of a page per boot).",
        ("kind",),
        {("ce",): "ce", ("ue",): "ue", ("sdc",): "sdc"},
    ),
    "hwpoison_fleet_faults": ("DRAM faults.", (), {(): "faults"}),
    "hwpoison_fleet_machine_checks": ("Machine checks of uncorrected errors.", (), {(): "machine_checks"}),
    "hwpoison_fleet_losses": ("Processes lost: killed, or gone with a panic.", (), {(): "losses"}),
    "hwpoison_fleet_panics": ("Kernel panics.", (), {(): "panics"}),
    "hwpoison_fleet_io_errors": ("I/O errors returned for lost data.", (), {(): "io_errors"}),
    "hwpoison_fleet_ue_survived": (
        "UEs after which no process died, no data was lost and the node stayed up.",
        (),
        {(): "ue_survived"},
    ),
    "hwpoison_fleet_page_offlines": (
        "Attempts to soft-offline a page.",
        ("result",),
        {("offlined",): "pages_offlined", ("failed",): "pages_not_offlined"},
    ),
    "hwpoison_fleet_ecs_reports": (
        "Passes of error check and scrub whose count reaches the threshold.",
        (),
        {(): "ecs_reports"},
    ),
    "hwpoison_fleet_dimm_replacements": ("DIMMs replaced.", (), {(): "dimm_replacements"}),
    "hwpoison_fleet_cordons": ("Nodes cordoned.", (), {(): "cordons"}),
    "hwpoison_fleet_node_years": ("Node-years simulated, without time down.", (), {(): "node_years"}),
    "hwpoison_fleet_memory_lost_byte_years": (
        "Memory out of use, integrated over simulated time.",
        (),
        {(): "memory_lost_byte_years"},
    ),
}
"""Counters: help text, labels beside arm and group, and the tally metric of each label value."""


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

    def add(self, receipt: Receipt) -> None:
        """Count a committed shard."""
        self.tally = self.tally + receipt.tally
        self.done += 1

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield InfoMetricFamily("hwpoison_fleet_run", "The run.", value=self.info)
        yield GaugeMetricFamily("hwpoison_fleet_shards", "Shards planned.", value=self.shards)
        yield GaugeMetricFamily("hwpoison_fleet_shards_committed", "Shards committed.", value=self.done)
        yield GaugeMetricFamily("hwpoison_fleet_nodes", "Nodes planned.", value=self.nodes)
        committed = float(self.tally.nodes.sum())
        yield GaugeMetricFamily("hwpoison_fleet_nodes_committed", "Nodes committed.", value=committed)
        rows = CounterMetricFamily("hwpoison_fleet_rows", "Rows of the arm's view, over all tables.", labels=["arm"])
        for arm, name in enumerate(self.arms):
            rows.add_metric([name], float(self.tally.rows[arm]))
        yield rows
        for name, (sentence, labels, values) in COUNTERS.items():
            family = CounterMetricFamily(name, sentence, labels=["arm", "group", *labels])
            for arm, arm_name in enumerate(self.arms):
                for group, group_name in enumerate(self.groups):
                    for label, metric in values.items():
                        amount = float(self.tally.total[arm, group, INDEX[metric]])
                        family.add_metric([arm_name, group_name, *label], amount)
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
