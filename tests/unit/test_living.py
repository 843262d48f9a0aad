"""A living fleet: its clock, what its hosts show and its totals at any time, also backwards and lap after lap."""

import json
import re

import pytest

from analysis.hosts.changes import CORRECTED, POISONED, CounterRise, Down, HostCounter, changes
from analysis.hosts.counters import state_at
from analysis.hosts.lives import lives
from analysis.hosts.node_exporter import FAMILIES, ExporterView, HostSample, host_samples
from analysis.living.clock import ENDS, SPEED_MAX, ClockTime, FleetClock
from analysis.living.compact import CompactChanges
from analysis.living.exposition import exposition
from analysis.living.pages import OWN, Pages
from analysis.living.served import LivingHost, check_targets, chosen_nodes, start_ns
from analysis.living.times import time_in_run
from analysis.living.totals import TOTALS, times_down
from fleet.commands import serve as command
from fleet.stored.views import start_us
from node_sim.errors import ConfigError
from node_sim.units import NS_PER_DAY, NS_PER_S
from tests.living import fleet_of, living_run, pages_at, samples_of

HORIZON_NS = 100 * NS_PER_S


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return living_run(tmp_path_factory.mktemp("living") / "run", 24)


@pytest.fixture(scope="module")
def fleet(run):
    return fleet_of(run)


def times_of(run, fleet):
    """Times at which something is different from before, and between them."""
    events = sorted(fleet.totals._closed["down"][0].tolist())
    assert events, "nobody goes down"
    return [0, *(one + d for one in events[:6] for d in (-1, 0, 1)), run.horizon_ns // 2, run.horizon_ns]


# ---- clock -------------------------------------------------------------------------------------------------------


def test_simulated_time_passes_at_its_speed_from_its_start():
    clock = FleetClock(5 * NS_PER_S, HORIZON_NS, begin_s=1000.0, speed=3.0)
    assert clock.moment(1000.0) == (0, 5 * NS_PER_S)
    assert clock.moment(1010.0) == (0, 35 * NS_PER_S)
    assert clock.left_s(1010.0) == pytest.approx(65 / 3)


def test_at_the_end_time_stands_still_or_begins_anew():
    hold, loop = (FleetClock(90 * NS_PER_S, HORIZON_NS, 0.0, 1.0, end) for end in ("hold", "loop"))
    assert hold.moment(1e6) == (0, HORIZON_NS)
    assert loop.moment(9.5) == (0, 99_500_000_000)
    assert loop.moment(10.0) == (1, 0)
    assert loop.moment(215.0) == (3, 5 * NS_PER_S)


def test_the_command_offers_what_the_rooms_know():
    assert (command._ENDS, command.SPEED_MAX) == (ENDS, SPEED_MAX)


# ---- hosts -------------------------------------------------------------------------------------------------------


def test_compact_changes_are_the_changes():
    a, b = HostCounter(CORRECTED, 1, 0, 0), HostCounter(POISONED)
    found = [CounterRise(1, a, 5), CounterRise(2, b, 1), Down(3, 9), CounterRise(12, a, 1 << 40)]
    known = {}
    compact = CompactChanges(found, known)
    assert list(compact) == found
    assert compact[1:3] == found[1:3]
    assert (len(compact), known) == (4, {a: a, b: b})


def test_a_host_shows_the_same_whichever_way_a_time_is_reached(run, fleet):
    """Against its state found anew for each time."""
    seed = run.plan["seed"]
    for node, life in lives(run, fleet.arm):
        kind = fleet.hosts.kind(node)
        every = changes(life, kind, seed)
        host = LivingHost(node, "x", kind, every)
        times = [0, *(one.time_ns + d for one in every[:: max(1, len(every) // 6)] for d in (0, 1)), run.horizon_ns]
        for moment in [ClockTime(0, t) for t in times] + [
            ClockTime(0, times[3]),
            ClockTime(1, times[2]),
            ClockTime(1, times[5]),
        ]:
            assert host.at(moment) == state_at(every, moment.now_ns), (node, moment)


def test_text_is_what_the_samples_are(fleet):
    host = next(iter(fleet.served.values()))
    now_ns = 30 * NS_PER_DAY
    pages = pages_at(fleet, now_ns, compatible="1.12")
    expected = host_samples(
        host.name, host.kind, host.at(ClockTime(0, now_ns)), now_ns, ExporterView(fleet.start_s, "", "1.12")
    )
    answer = pages.answer(f"/nodes/{host.node}/metrics", "x")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert samples_of(answer.body) == {(one.family, frozenset(one.labels)): one.value for one in expected}
    for family in re.findall(r"^# HELP (\S+)", answer.body, re.MULTILINE):
        assert f"# TYPE {family} {FAMILIES[family][0]}\n" in answer.body


@pytest.mark.parametrize(
    ("reporting", "label"), [("amd", "mc1_csrow0_channel1"), ("intel", "CPU_SrcID1_MC0_Chan1_DIMM0")]
)
def test_node_exporter_writes_labels_of_dimms_in_its_own_way(fleet, reporting, label):
    """Without #, and with an underscore before csrow and channel, as drivers for AMD name them."""
    kind = next(iter(fleet.served.values())).kind
    kind = kind._replace(reporting=reporting, sockets=2, channels=2, dimms_per_channel=1)
    found = host_samples("x", kind, state_at([], 0), 0, ExporterView(0.0, "legacy", "1.12"))
    labels = [dict(one.labels) for one in found if one.family == "node_edac_channel_correctable_errors_total"]
    assert [one["dimm_label"] for one in labels if (one["controller"], one["channel"]) == ("1", "1")] == [label]


def test_labels_are_escaped_and_whole_numbers_are_written_whole():
    samples = [HostSample("a", (("x", 'back\\slash "quote"\nline'),), 1 << 53), HostSample("a", (), 0.1)]
    assert exposition(samples, {"a": ("gauge", "Sentence.")}).splitlines() == [
        "# HELP a Sentence.",
        "# TYPE a gauge",
        'a{x="back\\\\slash \\"quote\\"\\nline"} 9007199254740992',
        "a 0.1",
    ]


def test_a_host_that_is_down_answers_503_and_others_are_not_there(run, fleet):
    node, life = next((node, life) for node, life in lives(run, fleet.arm) if any(t == "lifecycle" for t, _ in life))
    down = times_down(changes(life, fleet.hosts.kind(node), 1))[0]
    path = f"/nodes/{node}/metrics"
    assert pages_at(fleet, down.time_ns - 1).answer(path, "").status == 200
    assert pages_at(fleet, down.time_ns).answer(path, "").status == 503
    assert pages_at(fleet, down.end_ns - 1).answer(path, "").status == 503
    back = pages_at(fleet, down.end_ns).answer(path, "")
    assert back.status == 200
    found = samples_of(back.body)
    assert found["node_boot_time_seconds", frozenset()] == int(fleet.start_s + down.end_ns / NS_PER_S)
    assert not any(value for (name, _), value in found.items() if "errors" in name or "Corrupted" in name)
    others = (
        "/nodes/24/metrics",
        "/nodes/00/metrics",
        "/nodes/-1/metrics",
        "/nodes/0/metrics/",
        "/nodes//metrics",
        "/x",
    )
    assert {pages_at(fleet, 0).answer(path, "").status for path in others} == {404}


def test_targets_are_discovered_with_their_group_and_site(fleet):
    answer = pages_at(fleet, 0).answer("/sd", "box:9464")
    assert answer.content_type == "application/json"
    assert json.loads(answer.body)[23] == {
        "targets": ["box:9464"],
        "labels": {
            "instance": "sim-00023", "__metrics_path__": "/nodes/23/metrics", "group": "firmware_first",
            "site": "new_york",
        },
    }  # fmt: skip
    assert len(json.loads(answer.body)) == 24


# ---- totals ------------------------------------------------------------------------------------------------------


def test_times_down_that_overlap_or_touch_are_one():
    found = [Down(1, 5), CounterRise(2, HostCounter(POISONED), 1), Down(4, 8), Down(8, 9), Down(20, 30), Down(21, 22)]
    assert times_down(found) == [Down(1, 9), Down(20, 30)]


def test_totals_are_those_of_the_rows_at_any_time(run, fleet):
    """Against the hosts asked one by one, and the rows counted one by one."""
    everybody = dict(lives(run, fleet.arm))
    boots = {node: times_down(changes(life, fleet.hosts.kind(node), 1)) for node, life in everybody.items()}
    for now_ns in times_of(run, fleet):
        found = {
            key[0].removeprefix(OWN): v
            for key, v in samples_of(pages_at(fleet, now_ns).answer("/metrics", "").body).items()
        }
        rows = [(t, row) for life in everybody.values() for t, row in life if row["time_ns"] <= now_ns]
        up = sum(pages_at(fleet, now_ns).answer(f"/nodes/{node}/metrics", "").status == 200 for node in range(24))
        assert fleet.totals.down(ClockTime(0, now_ns)) == 24 - up
        assert found["uncorrected_errors_total"] == sum(t == "errors" and row["kind"] == "UE" for t, row in rows)
        assert found["kills_total"] == sum(t == "signals" and row["fate"] == "killed" for t, row in rows)
        assert found["panics_total"] == sum(t == "lifecycle" and row["kind"] == "panic" for t, row in rows)
        assert found["boots_total"] == sum(one.end_ns <= now_ns for downs in boots.values() for one in downs)
    assert found["corrected_errors_total"] == sum(
        row["ce_count"] for t, row in rows if t == "errors" and row["kind"] == "CE"
    )
    assert found["simulated_timestamp_seconds"] == pytest.approx(fleet.start_s + run.horizon_ns / NS_PER_S)


def test_totals_of_later_laps_go_on(run, fleet):
    for name in TOTALS:
        whole = fleet.totals.until(name, ClockTime(0, run.horizon_ns))
        assert fleet.totals.until(name, ClockTime(2, 0)) == 2 * whole + fleet.totals.until(name, ClockTime(0, 0))


def test_a_new_lap_is_a_boot_of_every_host_at_a_later_date(run, fleet):
    host = fleet.served[0]
    clock = FleetClock(run.horizon_ns - NS_PER_S, run.horizon_ns, 0.0, 1.0, "loop")
    now_s = 0.5
    pages = Pages(fleet, clock, lambda: now_s, "legacy", "1.5")
    before = samples_of(pages.answer("/nodes/0/metrics", "").body)
    now_s = 2.0
    after = samples_of(pages.answer("/nodes/0/metrics", "").body)
    assert host.node == 0
    assert any(value for (name, _), value in before.items() if "correctable" in name)
    assert not any(value for (name, _), value in after.items() if "correctable" in name or "Corrupted" in name)
    time_key, boot_key = ("node_time_seconds", frozenset()), ("node_boot_time_seconds", frozenset())
    assert after[time_key] - before[time_key] == pytest.approx(1.5)
    assert after[boot_key] == int(fleet.start_s + run.horizon_ns / NS_PER_S) > before[boot_key]


# ---- which nodes, and when ---------------------------------------------------------------------------------------


def test_nodes_with_uncorrected_errors_are_served_first_then_those_with_others(run):
    arm = run.arms[0]
    worst = {node for node, life in lives(run, arm) if any(t in ("machine_checks", "lifecycle") for t, _ in life)}
    some = chosen_nodes(run, arm, None, 3)
    assert len(some) == 3 < len(worst)
    assert set(some) <= worst
    assert some == sorted(some)
    assert chosen_nodes(run, arm, 5, None) == list(range(5))
    assert chosen_nodes(run, arm, 5, 5) == list(range(5))
    assert set(chosen_nodes(run, arm, None, len(worst))) == worst


@pytest.mark.parametrize(("nodes", "sample"), [(25, None), (None, 25), (5, 6)])
def test_nodes_that_are_not_there_are_refused(run, nodes, sample):
    with pytest.raises(ConfigError, match=r"--(nodes|sample) \d+: there are (24|5) nodes"):
        chosen_nodes(run, run.arms[0], nodes, sample)


def test_many_targets_are_served_only_if_somebody_says_so():
    check_targets(5000, chosen=False)
    check_targets(50_000, chosen=True)
    with pytest.raises(ConfigError, match="5,001 nodes, expected at most 5,000"):
        check_targets(5001, chosen=False)


def test_a_fleet_begins_ten_minutes_before_the_first_event_of_a_kind(run, fleet):
    errors = run.table("errors").to_pylist()
    first = min(row["time_ns"] for row in errors if row["kind"] == "UE")
    assert start_ns(fleet, "first:ue") == max(0, first - 600 * NS_PER_S)
    panics = run.table("lifecycle").to_pylist()
    assert start_ns(fleet, "first:panic") == min(r["time_ns"] for r in panics if r["kind"] == "panic") - 600 * NS_PER_S
    assert start_ns(fleet, None) == 0
    healthy = fleet_of(run, [next(n for n in range(24) if n not in {r["node_id"] for r in panics})])
    with pytest.raises(ConfigError, match="first:panic: there is none on the nodes served"):
        start_ns(healthy, "first:panic")


def test_times_are_days_or_dates_with_their_zone(run):
    start_s = start_us(run.plan) / 1e6
    at = [time_in_run("--at", text, start_s, run.horizon_ns) for text in ("1.5d", "2025-01-02T13:00:00+01:00", "0d")]
    assert at == [36 * 3600 * NS_PER_S, 36 * 3600 * NS_PER_S, 0]
    for text in ("2025-01-02", "2025-01-02T12:00:00", "d", "nand", "infd", "1e400d", "5", "", "9" * 5000 + "d"):
        with pytest.raises(ConfigError, match="expected days"):
            time_in_run("--at", text, start_s, run.horizon_ns)
    for text in ("-1d", "367d", "2024-12-31T23:59:59Z", "9999-01-01T00:00:00Z"):
        with pytest.raises(
            ConfigError, match="not within the run, expected 2025-01-01T00:00:00Z to 2026-01-01T06:00:00Z"
        ):
            time_in_run("--at", text, start_s, run.horizon_ns)
