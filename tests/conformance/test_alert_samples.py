"""Alerts evaluated where answers can change, on the scrapes that matter, against all steps and all scrapes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from analysis.alerts.answers import WatchedHosts, answers
from analysis.alerts.engine import Programs
from analysis.alerts.history import History
from analysis.alerts.rules import read_rules
from analysis.hosts.changes import CORRECTED, POISONED, UNCORRECTED, CounterRise, Down, HostCounter
from analysis.hosts.counters import HostState
from analysis.hosts.kinds import HostKind, Hosts
from analysis.hosts.node_exporter import ExporterView, host_samples
from node_sim.catalog.kernels import switches_of
from node_sim.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from tests.debian import program

MINUTE = 60 * NS_PER_S
KIND = HostKind("6.12", switches_of("6.12"), "intel", 1, 4, 1, 1 << 34, 15 * MINUTE)
HOSTS = Hosts(100, (0,), (KIND,), ("g",), ("new_york",))
EXPRESSIONS = {
    "Popular": "increase(node_edac_correctable_errors_total[1m]) > 0",
    "Hour": "increase(node_edac_correctable_errors_total[1h]) >= 10",
    "Nine": "increase(node_edac_correctable_errors_total[1h]) > 9.2",
    "Days": "increase(node_edac_correctable_errors_total[6h]) >= 5 and "
    "increase(node_edac_correctable_errors_total[6h] offset 12h) >= 5",
    "Rate": "rate(node_edac_csrow_correctable_errors_total[30m]) * 1800 > 3",
    "Changes": "changes(node_memory_HardwareCorrupted_bytes[2h]) > 1",
    "Grew": "node_memory_HardwareCorrupted_bytes - min_over_time(node_memory_HardwareCorrupted_bytes[1h]) > 0",
    "Sum": "sum without (controller) (increase(node_edac_uncorrectable_errors_total[3h])) > 0",
    "Counter": "node_edac_uncorrectable_errors_total > 0",
    "Young": "node_time_seconds - node_boot_time_seconds < 2 * 3600 and on (instance) max_over_time("
    "node_memory_HardwareCorrupted_bytes[1d]) > 0",
    "Old": "(time() - node_boot_time_seconds) / 60 / 60 > 2 * 7",
    "Down": "up == 0",
    "Silent": "node_boot_time_seconds unless on (instance) node_edac_correctable_errors_total",
    "Mean": "avg_over_time(node_edac_csrow_uncorrectable_errors_total[1h]) > 0.5",
}


def rules_file(folder: Path) -> Path:
    """Write all rules, those of a name that comes often with ``for`` or ``keep_firing_for``."""
    lines = ["groups:", "  - name: all", "    rules:"]
    for name, expression in EXPRESSIONS.items():
        lines += [f"      - alert: {name}", f"        expr: {expression}"]
        lines += ["        for: 10m"] * (name in ("Hour", "Counter", "Down"))
        lines += ["        keep_firing_for: 30m"] * (name in ("Popular", "Grew"))
    path = folder / "rules.yml"
    path.write_text("\n".join(lines) + "\n")
    return path


def life(random: Random, horizon_ns: int) -> list:
    """Bursts and single errors of all kinds, and times down."""
    found = []
    for _ in range(random.choice((1, 4, 12))):
        what = random.choice((CORRECTED, CORRECTED, UNCORRECTED, POISONED))
        counter = (
            HostCounter(what) if what == POISONED else HostCounter(what, random.randrange(2), random.randrange(2), 0)
        )
        begin, length = random.randrange(horizon_ns), random.choice((0, MINUTE, NS_PER_HOUR, 10 * NS_PER_HOUR))
        rises = random.choice((1, 2, 11, 40))
        found += [
            CounterRise(begin + random.randrange(length + 1), counter, random.choice((1, 1, 5))) for _ in range(rises)
        ]
    for _ in range(random.choice((0, 0, 1, 3))):
        begin = random.choice((random.randrange(horizon_ns), random.choice(found).time_ns + 3 * NS_PER_S))
        found.append(Down(begin, begin + random.choice((3 * MINUTE, 15 * MINUTE, 20 * NS_PER_HOUR))))
    downs = [one for one in found if isinstance(one, Down)]
    seen = [
        one
        for one in found
        if isinstance(one, Down) or not any(down.time_ns <= one.time_ns < down.end_ns for down in downs)
    ]
    return sorted(seen, key=lambda one: (one.time_ns, isinstance(one, Down)))


def by_hand() -> list[list]:
    """Nine errors at once are not 9.2, however few samples there are, also when the host is down soon after."""
    place = HostCounter(CORRECTED, 0, 0, 0)
    burst = [CounterRise(10 * NS_PER_HOUR + 7 * NS_PER_S, place, 9)]
    poisoned = CounterRise(20 * NS_PER_HOUR, HostCounter(POISONED), 1)
    return [
        burst,
        [*burst, Down(10 * NS_PER_HOUR + 30 * MINUTE, 10 * NS_PER_HOUR + 44 * MINUTE)],
        [*burst, poisoned, Down(20 * NS_PER_HOUR + 10 * MINUTE, 20 * NS_PER_HOUR + 25 * MINUTE)],
    ]


def compare(tmp_path: Path, hosts: int, days: float, seed: int) -> int:
    """Compare the times at which alerts fire; return how many there are."""
    random = Random(seed)
    horizon_ns = int(days * NS_PER_DAY)
    made = [*by_hand(), *(life(random, horizon_ns) for _ in range(hosts))]
    histories = [History.of(node, one) for node, one in enumerate(made)]
    programs = Programs(program("prometheus"), program("promtool"))
    rules = read_rules(programs, rules_file(tmp_path), tmp_path / "rules", MINUTE)
    found = []
    for every in (False, True):
        (folder := tmp_path / str(every)).mkdir()
        watched = WatchedHosts(HOSTS, ExporterView(1.7e9), 1, 15 * NS_PER_S, horizon_ns, every=every)
        by_node = {one.node: one.alerts for one in answers(programs, rules, histories, watched, folder)}
        found.append({
            (node, rule.name): sorted(alert for alert in alerts[at] if alert)
            for node, alerts in by_node.items()
            for at, rule in enumerate(rules)
        })  # fmt: skip
    wrong = {key: (found[0][key], found[1][key]) for key in found[0] if found[0][key] != found[1][key]}
    assert wrong == {}
    return sum(len(alerts) for alerts in found[0].values())


def test_the_scrapes_that_matter_give_the_same_alerts_as_all(tmp_path):
    assert compare(tmp_path, hosts=5, days=1.5, seed=1) > 20


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
def test_the_scrapes_that_matter_give_the_same_alerts_as_all_for_a_week(tmp_path, seed):
    assert compare(tmp_path, hosts=8, days=7.0, seed=seed) > 30


def test_a_rise_changes_no_series_but_those_that_are_said_to_rise_with_it():
    shown = ExporterView(0.0, compatible="1.12")
    for what in (CORRECTED, UNCORRECTED, POISONED, "handled"):
        place = HostCounter(what, 0, 0, 0) if what in (CORRECTED, UNCORRECTED) else HostCounter(what)
        place = HostCounter(what, result="failed") if what == "handled" else place
        history = History.of(0, [CounterRise(5, place, 3)])
        states = [HostState(history.changes), HostState(history.changes)]
        states[1].advance(5)
        before, after = (list(host_samples("n", KIND, state, 5, shown)) for state in states)
        risen = {one.family for one, other in zip(before, after, strict=True) if one != other}
        assert risen
        for family in {one.family for one in after}:
            assert (history.rises_ns(frozenset({family})).tolist() == [5]) == (family in risen)


def test_times_down_that_touch_are_one():
    found = History.of(0, [Down(5, 9), Down(8, 20), Down(20, 30), Down(31, 32)])
    assert found.downs_ns.tolist() == [[5, 30], [31, 32]]
    assert all(a[1] < b[0] for a, b in pairwise(found.downs_ns.tolist()))
