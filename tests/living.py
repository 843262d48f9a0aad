"""Fleets that tests watch: hosts of all kinds to which everything happens, and the program that serves them."""

from __future__ import annotations

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from analysis import Run, open_run
from analysis.living.clock import FleetClock
from analysis.living.pages import Pages
from analysis.living.served import LivingFleet, living_fleet
from fleet.commands.hosts import hosts_of
from fleet.run import open_plan
from fleet.scenario.decode import decode
from tests.fleets import busy_document, run_fleet
from tests.processes import start

Samples = dict[tuple[str, frozenset], float]
"""Values by name and labels."""
KINDS = ("intel", "amd", "firmware_first")


def living_document(nodes: int = 40, fit_factor: float = 20.0) -> dict:
    """Few nodes of each kind with many faults; some kernels count per NUMA node."""
    document = busy_document(nodes, fit_factor)
    shape = {"share": 1 / 3, "server": {"sockets": 2, "channels": 6, "dimms_per_channel": 2}}
    document["group"] = {
        name: {**document["group"]["sddc"], **shape, "platform": {"reporting": name}} for name in KINDS
    }
    document["group"]["amd"]["kernel"] = {"profile": "6.12"}
    document["arm"] = {"default": {}, "other": {"set": {"kernel.memory_failure_recovery": 0}}}
    return document


def living_run(root: Path, nodes: int = 40, fit_factor: float = 20.0) -> Run:
    """Make a run of such a fleet."""
    run_fleet(decode("test", living_document(nodes, fit_factor)), root)
    return open_run(root)


def fleet_of(run: Run, nodes: object = None, arm: str | None = None) -> LivingFleet:
    """Return hosts of a run, in its first arm unless said otherwise."""
    fleet, _ = open_plan(run.root)
    chosen = arm or run.arms[0]
    return living_fleet(run, hosts_of(fleet, chosen), chosen, nodes or range(fleet.nodes))


def pages_at(fleet: LivingFleet, now_ns: int, layout: str = "", compatible: str = "1.5") -> Pages:
    """Return the pages of a fleet whose time stands still."""
    return Pages(fleet, FleetClock(now_ns, fleet.horizon_ns, 0.0), lambda: 0.0, layout, compatible)


def samples_of(text: str) -> Samples:
    """Read what an exporter shows."""
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


class Served:
    """A fleet that is served by the program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wait for its address."""
        self.process = process
        line = process.stdout.readline().strip()
        assert line, process.communicate()
        self.url = line.rstrip("/")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a page."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self, path: str = "/metrics") -> Samples:
        """Return the samples of a page."""
        status, text = self.get(path)
        assert status == 200, text
        return samples_of(text)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Have it end; return its exit code and what it said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


@contextmanager
def serving(*words: object, within: tuple[str, ...] = ()) -> Iterator[Served]:
    """Serve on a free port, as the last words of a command; what is said must be no traceback."""
    process = start("serve", *words, "--port", "0", within=within)
    try:
        served = Served(process)
        yield served
    finally:
        process.terminate()
        _, said = process.communicate(timeout=20) if not process.stderr.closed else ("", "")
        assert "Traceback" not in said
