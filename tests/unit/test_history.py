"""Histories: counters as the rows until a sample make them, hosts as their counters say, text as readers take it."""

from __future__ import annotations

import io
import re
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from analysis import open_run
from analysis.comparison.recount import rows_to_count
from analysis.history.files import write_fleet, write_hosts
from analysis.history.fleet import _count, _info, count_fleet_series, fleet_families
from analysis.history.grid import SampleGrid
from analysis.history.hosts import HostsAsked, count_host_series, nodes_with_rows
from analysis.history.series import Segment, Series, SeriesFamily, write_series
from analysis.hosts.changes import Down, changes
from analysis.hosts.counters import state_at
from analysis.hosts.lives import lives
from analysis.hosts.node_exporter import ExporterView, host_samples
from fleet.commands.hosts import hosts_of
from fleet.metrics import RunCollector
from fleet.progress import Kept
from fleet.scenario.decode import decode
from fleet.stored.counting import tally_shard
from fleet.stored.exported import PREFIX, ROWS
from fleet.stored.headline import BY_KEY, INDEX, METRICS
from fleet.stored.tally import Tally
from node_sim.units import NS_PER_S, NS_PER_YEAR
from tests.fleets import counting_document, run_fleet

END_S = 1_800_000_000
DAY_S = 86_400
RARE = {"kills_sigkill", "mf_ignored", "mf_delayed"}
"""What happens to nobody in so small a run; it is counted as its like."""
DEGRADED = {
    "kernel.memory_failure_recovery": 0,
    "repair.map_out": True,
    "repair.technician_days": 200.0,
    "repair.cordon.ue": 10,
}


@pytest.fixture(scope="module")
def fleet():
    document = counting_document(150)
    document["arm"] = {name: document["arm"][name] for name in ("default", "early_kill", "page_offline_2_per_24h")}
    document["arm"]["degraded"] = {"set": DEGRADED}
    document["group"]["secded"]["server"] = {"ranks": 1}
    return decode("test", document)


@pytest.fixture(scope="module")
def run(fleet, tmp_path_factory):
    root = tmp_path_factory.mktemp("history") / "a run"
    run_fleet(fleet, root, shard_nodes=60)
    return open_run(root)


def grid_of(run, step_s=DAY_S):
    return SampleGrid(run.horizon_ns, step_s, END_S)


# ---- when ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon_s", "step_s", "stamps"),
    [
        (100, 10, [900, 910, 920, 930, 940, 950, 960, 970, 980, 990, 1000]),
        (95, 50, [905, 955, 1000]),
        (95.5, 50, [904, 954, 1000]),
        (3, 50, [997, 1000]),
        (50, 50, [950, 1000]),
        (0.25, 1, [999, 1000]),
    ],
)
def test_samples_are_at_the_start_at_each_step_and_at_the_end(horizon_s, step_s, stamps):
    grid = SampleGrid(int(horizon_s * NS_PER_S), step_s, 1000)
    assert grid.stamps_s(0, grid.samples) == stamps
    assert grid.stamps_s(1, 2) == stamps[1:2]
    times = [grid.time_ns(sample) for sample in range(grid.samples)]
    assert times[0] == 0
    assert times[-1] == grid.horizon_ns
    assert all(a < b for a, b in pairwise(times))
    assert all(time_ns <= (stamp - grid.start_s) * NS_PER_S for time_ns, stamp in zip(times, stamps, strict=True))
    for sample, time_ns in enumerate(times[1:], 1):
        around = np.asarray([times[sample - 1] + 1, time_ns - 1, time_ns])
        assert grid.first_after(around).tolist() == [sample] * 3
    assert grid.first_after(np.asarray([0])).tolist() == [1]


# ---- the counters of a run ----------------------------------------------------------------------------------------


def values(segments, samples):
    """A value for each sample; segments follow each other without a gap."""
    found = []
    for first, end, value in segments:
        assert first == len(found)
        found += value if isinstance(value, list) else [value] * (end - first)
    assert len(found) == samples
    return found


def tally_until(run, time_ns):
    """The tally of a run that ended at a time: its rows until then, counted anew."""
    total = Tally.zero(len(run.arms), len(run.groups))
    for tables, groups, dimm_bytes, n_arms, _ in rows_to_count(run, run.arms):
        cut = [(arms, name, rows.filter(pc.less_equal(rows["time_ns"], time_ns))) for arms, name, rows in tables]
        cut = [(arms, name, rows) for arms, name, rows in cut if rows.num_rows]
        total += tally_shard(cut, groups, dimm_bytes, n_arms, time_ns)
    return total


@pytest.mark.parametrize("step_s", [DAY_S, 40 * DAY_S, 100_000 * DAY_S])
def test_at_each_sample_counters_are_those_of_a_run_that_ended_then(run, step_s):
    grid = grid_of(run, step_s)
    counted = _count(run, run.arms, grid)
    chosen = {1, grid.samples // 3, grid.samples // 2, grid.last - 1, grid.last} - {0}
    chosen = {sample for sample in chosen if sample <= grid.last}
    later = {"ue_survived"}  # a UE that harms somebody after the cut would count as survived
    compared = set()
    for sample in chosen:
        time_ns = grid.time_ns(sample)
        tally = tally_until(run, time_ns) if sample < grid.last else run.tally
        for position, arm in enumerate(run.arms):
            assert values(counted[arm].segments(ROWS, 0), grid.samples)[sample] == tally.rows[position]
            for group in range(len(run.groups)):
                for metric in METRICS:
                    if metric in later and sample < grid.last:
                        continue
                    wanted = float(tally.total[position, group, INDEX[metric]])
                    found = values(counted[arm].segments(metric, group), grid.samples)[sample]
                    assert found == pytest.approx(wanted, rel=1e-9, abs=0), (metric, sample)
                    compared.add((metric, wanted > 0))
    assert {metric for metric in METRICS if (metric, True) in compared} >= set(METRICS) - RARE


def test_counters_begin_at_0_and_never_fall(run):
    grid = grid_of(run, DAY_S // 2)
    for arm, counted in _count(run, run.arms, grid).items():
        for group in range(len(run.groups)):
            for metric in METRICS:
                found = values(counted.segments(metric, group), grid.samples)
                assert found[0] == 0, (arm, metric)
                assert found == sorted(found), (arm, metric)


def test_node_years_grow_with_time_less_the_time_down(run):
    grid = grid_of(run)
    for arm, counted in _count(run, run.arms, grid).items():
        rows = run.table("lifecycle", arm).to_pylist()
        down = {(r["node_id"], r["time_ns"], r["end_ns"]) for r in rows if r["kind"] not in ("cordon", "map_out")}
        for group, info in enumerate(run.groups):
            found = values(counted.segments("node_years", group), grid.samples)
            mine = [(a, b) for node, a, b in down if info.first_node <= node < info.first_node + info.nodes]
            for sample in (1, 7, 150, grid.last):
                now = grid.time_ns(sample)
                lost = sum(max(0, min(end, now) - start) for start, end in mine)
                assert found[sample] == pytest.approx((info.nodes * now - lost) / NS_PER_YEAR, rel=1e-12)


def test_a_ue_that_harms_nobody_counts_when_it_is_seen(run):
    grid = grid_of(run)
    counted = _count(run, run.arms, grid)
    for arm in run.arms:
        ue = values(counted[arm].segments("ue", 0), grid.samples)
        survived = values(counted[arm].segments("ue_survived", 0), grid.samples)
        assert all(a <= b for a, b in zip(survived, ue, strict=True))


def test_short_steps_do_not_change_what_is_counted_nor_need_more_memory(run):
    few, many = (_count(run, run.arms, grid_of(run, step_s))["default"] for step_s in (DAY_S, 60))
    kept = [sum(cells.size for cells, _ in (one._steps.merge(), one._slopes.merge())) for one in (few, many)]
    rows = run.tally.rows[0]
    assert kept[1] < 20 * rows < many.grid.samples
    for metric in METRICS:
        first = many._first_cell(metric, 0)
        steps = many._steps.between(first, first + many.grid.samples)[1].sum()
        if metric in ("node_years", "memory_lost_byte_years", "pool_lost_byte_years"):
            continue
        assert steps == values(few.segments(metric, 0), few.grid.samples)[-1]


def test_counts_of_many_parts_are_put_together(run, monkeypatch):
    grid = grid_of(run)
    whole = _count(run, run.arms, grid)["degraded"]
    monkeypatch.setattr("analysis.history.counts.PENDING_MAX", 3)
    monkeypatch.setattr("analysis.history.counts.SAMPLES_AT_ONCE", 7)
    parts = _count(run, run.arms, grid)["degraded"]
    for metric in METRICS:
        for group in range(len(run.groups)):
            a, b = (values(one.segments(metric, group), grid.samples) for one in (whole, parts))
            assert a == pytest.approx(b, rel=1e-12)


def test_names_labels_and_sentences_are_those_of_the_exporter(run):
    collector = RunCollector(run.arms, tuple(group.name for group in run.groups), 3, 150, _info(run))
    for receipt in run.receipts:
        collector.add(Kept(receipt))
    registry = CollectorRegistry()
    registry.register(collector)
    scraped = list(read_text(generate_latest(registry).decode()))
    wanted = {(s.name, *sorted(s.labels.items())): s.value for family in scraped for s in family.samples}
    stream, grid = io.BytesIO(), grid_of(run, 100 * DAY_S)
    heads = {}
    for family, series in fleet_families(run, run.arms, grid):
        heads[family.sample_name()] = family.help
        stream.write(family.head())
        for one in series:
            write_series(stream, family, one, grid)
    found = {}
    for family in read_openmetrics(stream.getvalue().decode() + "# EOF\n"):
        for sample in family.samples:
            if float(sample.timestamp) == END_S:
                labels = dict(sample.labels)
                assert (labels.pop("job"), labels.pop("instance")) == ("hwpoison-fleet", "a run")
                found[(sample.name, *sorted(labels.items()))] = sample.value
    assert found == pytest.approx(wanted, rel=1e-9)
    assert len(found) == count_fleet_series(run, run.arms)
    sentences = {family.samples[0].name: family.documentation for family in scraped}
    assert heads == sentences


# ---- hosts --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hosts(fleet):
    return hosts_of(fleet, "degraded")


@pytest.fixture(scope="module")
def asked(run, hosts):
    rows = {node: len(life) for node, life in lives(run, "degraded")}
    busy = sorted(rows, key=lambda node: -rows[node])[:3]
    fallen = [node for node, life in lives(run, "degraded") if any(table == "lifecycle" for table, _ in life)]
    quiet = [node for node in range(150) if node not in rows][:2]
    return HostsAsked(run, "degraded", hosts, sorted({*busy, *fallen[:6], *quiet}), grid_of(run, 4 * DAY_S))


@cache
def _labels(text):
    return re.findall(r'(\w+)="(.*?)"', text)


def labels_of(text):
    return dict(_labels(text))


@pytest.fixture(scope="module")
def told(asked, tmp_path_factory):
    """Samples of all hosts by instance and time, and what was written."""
    path = tmp_path_factory.mktemp("hosts") / "hosts.om"
    written = write_hosts(path, asked)
    found = {}
    for line in path.read_text().splitlines():
        if line[0] != "#":
            name, text, value, stamp_s = re.fullmatch(r"(\w+)\{(.*)\} (\S+) (\d+)", line).groups()
            labels = labels_of(text)
            key = labels.pop("instance"), int(stamp_s)
            assert labels.pop("job") == "hwpoison-fleet"
            where = labels.pop("group"), labels.pop("site")
            found.setdefault(key, {})[name, tuple(sorted(labels.items()))] = float(value), where
    return found, written


def test_at_each_sample_a_host_shows_what_its_counters_are_and_nothing_while_it_is_down(run, asked, hosts, told):
    found, written = told
    of_node = dict(lives(run, "degraded"))
    was_down = n_samples = 0
    shown = ExporterView(asked.grid.start_s)
    for node in asked.nodes:
        kind, name = hosts.kind(node), hosts.name(node)
        happened = changes(of_node.get(node, []), kind, run.plan["seed"])
        where = hosts.groups[hosts.group(node)], hosts.sites[hosts.group(node)]
        for sample, stamp_s in enumerate(asked.grid.stamps_s(0, asked.grid.samples)):
            now_ns = asked.grid.time_ns(sample)
            state = state_at(happened, now_ns)
            wanted = {("up", ()): (state.is_up(now_ns), where)}
            if state.is_up(now_ns):
                for one in host_samples(name, kind, state, now_ns, shown):
                    value = stamp_s if one.family == "node_time_seconds" else one.value
                    wanted[one.family, one.labels] = (value, where)
            was_down += not state.is_up(now_ns)
            assert found[name, stamp_s] == wanted
            n_samples += len(wanted)
    assert was_down > 3
    assert n_samples == written.samples
    assert len(found) == len(asked.nodes) * asked.grid.samples


def test_hosts_have_as_many_series_as_were_counted_before(asked, told):
    assert count_host_series(asked) == told[1].series


def test_a_host_is_the_same_alone_and_among_others(asked, tmp_path):
    some = list(asked.nodes)[::9]
    write_hosts(tmp_path / "some.om", asked._replace(nodes=some))
    alone = (tmp_path / "some.om").read_text().splitlines()
    names = {asked.hosts.name(node) for node in some}
    assert {line.split('instance="')[1][:9] for line in alone if line[0] != "#"} == names
    write_hosts(tmp_path / "all.om", asked)
    everybody = (tmp_path / "all.om").read_text().splitlines()
    assert [line for line in everybody if line[0] == "#" or line.split('instance="')[1][:9] in names] == alone


def test_hosts_with_events_are_those_that_have_rows_to_show(run):
    found = nodes_with_rows(run, "degraded")
    assert found == [node for node, _ in lives(run, "degraded")]
    assert 0 < len(found) < 150


def test_a_boot_between_two_samples_sets_counters_to_0_and_leaves_no_gap(run, asked, hosts, told):
    found, _ = told
    quick = 0
    stamps = asked.grid.stamps_s(0, asked.grid.samples)
    for node, life in lives(run, "degraded", asked.nodes):
        for down in changes(life, hosts.kind(node), run.plan["seed"]):
            if isinstance(down, Down) and down.end_ns < run.horizon_ns:
                first, last = asked.grid.first_after(np.asarray([down.time_ns, down.end_ns])).tolist()
                boot = found[hosts.name(node), stamps[last]].get(("node_boot_time_seconds", ()))
                assert boot is None or boot[0] >= asked.grid.start_s + down.end_ns // NS_PER_S
                quick += first == last
    assert quick


# ---- text ---------------------------------------------------------------------------------------------------------


def text_of(family, series, grid):
    stream = io.BytesIO(family.head())
    stream.seek(0, io.SEEK_END)
    write_series(stream, family, series, grid)
    return stream.getvalue().decode() + "# EOF\n"


def test_labels_are_escaped_and_empty_ones_left_out():
    grid = SampleGrid(10 * NS_PER_S, 10, 100)
    labels = {"arm": 'a"b\\c\nd', "b": "é", "empty": ""}
    text = text_of(SeriesFamily("x", "gauge", "A \\ b."), Series(labels, [Segment(0, 2, 0.1)]), grid)
    (family,) = read_openmetrics(text)
    assert [sample.labels for sample in family.samples] == [{"arm": 'a"b\\c\nd', "b": "é"}] * 2
    assert [sample.value for sample in family.samples] == [0.1, 0.1]
    assert [float(sample.timestamp) for sample in family.samples] == [90, 100]
    assert family.documentation == "A \\ b."


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (2**53, "9007199254740992"), (0.1 + 0.2, "0.30000000000000004"), (1e-9, "1e-09")]
)
def test_values_have_all_their_digits(value, text):
    grid = SampleGrid(10 * NS_PER_S, 10, 100)
    assert f" {text} 90\n" in text_of(SeriesFamily("x", "gauge", "."), Series({}, [Segment(0, 2, value)]), grid)


def test_long_series_are_written_whole(monkeypatch):
    monkeypatch.setattr("analysis.history.series.LINES_AT_ONCE", 3)
    grid = SampleGrid(10 * NS_PER_S, 1, 100)
    pieces = [Segment(0, 4, [1.0, 2.0, 3.0, 4.5]), Segment(4, 5, 7.0), Segment(6, 11, None)]
    (family,) = read_openmetrics(text_of(SeriesFamily("x", "gauge", "."), Series({}, pieces), grid))
    assert [(float(s.timestamp), s.value) for s in family.samples] == [
        *zip(range(90, 94), (1, 2, 3, 4.5), strict=True),
        (94, 7),
        *((stamp, stamp) for stamp in range(96, 101)),
    ]


def test_a_file_has_each_family_once_its_series_in_order_and_an_end(run, tmp_path):
    written = write_fleet(tmp_path / "x.om", run, list(run.arms), grid_of(run, 50 * DAY_S))
    lines = (tmp_path / "x.om").read_text().splitlines()
    assert lines[-1] == "# EOF"
    assert written.size_bytes == (tmp_path / "x.om").stat().st_size
    names = [line.split("{")[0] for line in lines if line[0] != "#"]
    assert len([name for name, before in zip(names, [None, *names], strict=False) if name != before]) == len(set(names))
    series = [line.split("} ")[0] for line in lines if line[0] != "#"]
    once = list(dict.fromkeys(series))
    assert len(once) == written.series
    assert len(series) == written.samples
    arms = [one.split('arm="')[1].split('"')[0] for one in once if one.startswith("hwpoison_fleet_kills_total{")]
    assert arms == sorted(arms)
    assert len(set(arms)) == len(run.arms)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.om"]


def test_every_counter_of_the_registry_is_there(run):
    names = {family.sample_name() for family, _ in fleet_families(run, run.arms, grid_of(run))}
    assert {f"{PREFIX}{BY_KEY[key].family}_total" for key in METRICS} <= names


def test_nothing_is_left_of_a_history_that_failed(run, tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("analysis.history.files.write_series", failing)
    with pytest.raises(Exception, match=r"x\.om: No space left on device, expected to write it; make room"):
        write_fleet(tmp_path / "x.om", run, list(run.arms), grid_of(run))
    assert list(tmp_path.iterdir()) == []
