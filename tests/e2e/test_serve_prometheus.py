"""A real Prometheus watches a living fleet: a thousand hosts at little cost, and one that panics and comes back."""

import os
import re
import time
from pathlib import Path

import pytest

from analysis import open_run
from analysis.hosts.changes import changes
from analysis.hosts.counters import state_at
from analysis.hosts.lives import lives
from analysis.living.totals import times_down
from node_sim.units import NS_PER_DAY, NS_PER_S
from tests.living import fleet_of, living_run, serving
from tests.prometheus import prometheus

CONFIG = (Path(__file__).parents[2] / "deploy" / "prometheus" / "config" / "serve.yml").read_text()
TARGETS = 1000
JOB = 'job="hwpoison-fleet-hosts"'
TICK_S = os.sysconf("SC_CLK_TCK")


def config_for(served, interval_s=None):
    """The shipped configuration, with the address of a server, and an interval of one's own."""
    text = CONFIG.replace("127.0.0.1:9464", served.url.removeprefix("http://"))
    assert text.count(served.url) == 1
    if interval_s is None:
        return text
    for name, value in (("scrape_interval", interval_s), ("scrape_timeout", interval_s)):
        text, found = re.subn(rf"{name}: \S+", f"{name}: {value}s", text)
        assert found == 1
    return text


def core_s(pid):
    """CPU time of a process [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK_S


def most_memory_mb(pid):
    """Most resident memory that a process has had [MB]."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1000


def watch(watched_s):
    """Serve a thousand hosts of the baseline, have them watched, and hold the costs against their limits."""
    with serving("baseline", "--nodes", TARGETS) as served, prometheus(config_for(served)) as server:
        until_s = time.monotonic() + 90
        while server.value(f"count(up{{{JOB}}} == 1)") != TARGETS:
            assert time.monotonic() < until_s, server.query(f"count(up{{{JOB}}})")
            time.sleep(0.5)
        used_s, began_s = core_s(served.process.pid), time.monotonic()
        time.sleep(watched_s)
        share = (core_s(served.process.pid) - used_s) / (time.monotonic() - began_s)
        slowest = f"quantile_over_time(0.99, scrape_duration_seconds{{{JOB}}}[{watched_s}s])"
        p99_s = server.value(f"quantile(0.99, {slowest})")
        up = server.value(f"count(up{{{JOB}}} == 1)")
        scrapes = server.value(f"sum(count_over_time(up{{{JOB}}}[{watched_s}s]))")
        samples = server.value(f"sum(scrape_samples_scraped{{{JOB}}})")
        of_server = served.samples()
        memory_mb = most_memory_mb(served.process.pid)
    print(f"p99 {p99_s:.4f} s, {share:.3f} of a core, {memory_mb:.0f} MB, {samples:.0f} samples")
    assert up == of_server["hwpoison_fleet_serve_nodes", frozenset({("state", "up")})]
    assert scrapes >= TARGETS * (watched_s // 15 - 1)
    assert p99_s < 0.1
    assert share < 0.1
    assert memory_mb < 200


def test_a_thousand_hosts_are_watched_at_little_cost():
    watch(60)


@pytest.mark.long
def test_so_they_are_for_ten_minutes():
    watch(600)


COUNTED = (
    "node_edac_correctable_errors_total",
    "node_edac_uncorrectable_errors_total",
    "node_memory_HardwareCorrupted_bytes",
)
ARM = "other"
"""Panics whenever memory_failure() is called."""
SPEED, BEFORE_S = 50, 20
"""Seconds of ours before the panic: a machine that is busy needs several until Prometheus is ready and has scraped."""
SIMULATED_S = "hwpoison_fleet_serve_simulated_timestamp_seconds"
QUIET_NS = 250 * NS_PER_S


@pytest.fixture(scope="module")
def panicking(tmp_path_factory):
    """A run, and when one of its hosts panics and boots: it has counted something long before, and is quiet after."""
    root = tmp_path_factory.mktemp("panicking") / "run"
    run = living_run(root, 60, 5.0)
    fleet = fleet_of(run, arm=ARM)
    for node, life in lives(run, fleet.arm):
        kind = fleet.hosts.kind(node)
        every = changes(life, kind, run.plan["seed"])
        for down in times_down(every):
            counted = sum(state_at(every, down.time_ns - BEFORE_S * SPEED * NS_PER_S).counts.values())
            quiet = not any(down.end_ns <= one.time_ns < down.end_ns + QUIET_NS for one in every)
            once = down.end_ns - down.time_ns <= 2 * kind.reboot_ns and down.time_ns > NS_PER_DAY
            if counted and quiet and once and kind.reporting != "firmware_first":
                return root, node, down
    pytest.fail("no host panics and comes back")


def test_a_host_that_panics_is_down_and_comes_back_with_counters_at_zero(panicking):
    root, node, down = panicking
    start_s = fleet_of(open_run(root), [node]).start_s
    down_s = (down.end_ns - down.time_ns) / NS_PER_S / SPEED
    start_d = (down.time_ns - BEFORE_S * SPEED * NS_PER_S) / NS_PER_DAY
    host = f'instance="sim-{node:05d}"'
    words = (root, "--arm", ARM, "--start", f"{start_d!r}d", "--speed", SPEED)
    with serving(*words) as served, prometheus(config_for(served, 1)) as server:
        began = time.time()
        while served.samples()[SIMULATED_S, frozenset()] < start_s + down.end_ns / NS_PER_S + 4 * SPEED:
            time.sleep(0.2)
        span = (began, time.time(), 0.5)
        up = [value for _, value in server.query_range(f"up{{{host}}}", *span)[0][1]]
        boots = {value for _, value in server.query_range(f"node_boot_time_seconds{{{host}}}", *span)[0][1]}
        counts = {
            name: [value for _, value in server.query_range(f"sum by (instance) ({name}{{{host}}})", *span)[0][1]]
            for name in COUNTED
        }
        both = f'count(up{{{JOB}}} == 1) - on () hwpoison_fleet_serve_nodes{{state="up"}}'
        difference = [value for _, value in server.query_range(both, *span)[0][1]]
    first, last = up.index(0), len(up) - up[::-1].index(0)
    assert set(up[first:last]) == {0}
    assert set(up[:first]) == {1} == set(up[last:])
    assert (last - first) / 2 == pytest.approx(down_s, abs=2.5)
    assert len(boots) == 2
    assert max(boots) == int(start_s + down.end_ns / NS_PER_S)
    assert sum(values[0] for values in counts.values()) > 0, "what it had counted when it panicked"
    assert {name: values[-1] for name, values in counts.items()} == dict.fromkeys(COUNTED, 0)
    assert sorted(difference)[len(difference) // 2] == 0
