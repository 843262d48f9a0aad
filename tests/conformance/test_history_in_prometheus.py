"""Histories as a real Prometheus has them: every sample is there, and at the end are the counts of the summary."""

from __future__ import annotations

import re
import time

import pytest

from analysis import open_run
from analysis.hosts.changes import Down, changes
from analysis.hosts.lives import lives
from fleet.commands.hosts import hosts_of
from fleet.scenario.decode import decode
from fleet.stored.headline import BY_KEY, FAMILIES, INDEX, METRICS
from node_sim.units import NS_PER_S
from tests.back_filled import back_filled, export, fill, samples_in
from tests.fleets import busy_document, run_fleet

STEP_S = 6 * 3600
SCRAPED = {"job": "hwpoison-fleet", "instance": "run"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    document = busy_document(120)
    document["arm"] = {name: document["arm"][name] for name in ("default", "early_kill", "no_recovery")}
    root = tmp_path_factory.mktemp("past") / "run"
    run_fleet(decode("test", document), root)
    return open_run(root)


@pytest.fixture(scope="module")
def fallen(run):
    """Nodes that are down for longer than a step, and when."""
    hosts = hosts_of(decode("test", run.plan["scenario"]), "default")
    found = {}
    for node, life in lives(run, "default"):
        for one in changes(life, hosts.kind(node), run.plan["seed"]):
            if isinstance(one, Down) and one.end_ns < run.horizon_ns and one.end_ns - one.time_ns > STEP_S * NS_PER_S:
                found.setdefault(node, []).append(one)
    assert found
    return dict(list(found.items())[:3])


@pytest.fixture(scope="module")
def server(run, fallen, tmp_path_factory):
    """Both histories in one Prometheus, whose only configuration is what the export printed."""
    folder = tmp_path_factory.mktemp("filled")
    fleet = export(run.path, folder / "x.om")
    data = fill(fleet)
    assert samples_in(data) == fleet.samples
    nodes = ",".join(map(str, (0, 1, *fallen)))
    hosts = export(run.path, folder / "n.om", "--series", "nodes", "--nodes", nodes, "--step", "6h")
    fill(hosts, data)
    assert samples_in(data) == fleet.samples + hosts.samples
    with back_filled([hosts, fleet], data) as found:
        found.told, found.end_s = (fleet, hosts), int(re.findall(r" (\d+)\n# EOF", (folder / "x.om").read_text())[-1])
        found.hosts_end_s = int(re.findall(r" (\d+)\n# EOF", (folder / "n.om").read_text())[-1])
        time.sleep(3)  # retention deletes what is too old within seconds of the start
        yield found


def test_the_history_ends_now(server):
    assert time.time() - 600 < server.end_s <= time.time()


def test_at_the_end_there_are_the_counts_of_the_summary_in_all_arms(run, server):
    for name, (_, label) in FAMILIES.items():
        found = {
            (labels["arm"], labels["group"], labels.get(label, "")): value
            for labels, value in server.query(f"hwpoison_fleet_{name}_total", server.end_s)
            if labels.items() >= SCRAPED.items()
        }
        wanted = {
            (arm, group.name, BY_KEY[key].value): float(run.tally.total[position, n, INDEX[key]])
            for position, arm in enumerate(run.arms)
            for n, group in enumerate(run.groups)
            for key in METRICS
            if BY_KEY[key].family == name
        }
        assert found == pytest.approx(wanted, rel=1e-9), name
    rows = {labels["arm"]: value for labels, value in server.query("hwpoison_fleet_rows_total", server.end_s)}
    assert rows == dict(zip(run.arms, run.tally.rows.tolist(), strict=True))
    assert server.value("hwpoison_fleet_nodes_committed", server.end_s) == 120
    ((labels, _),) = server.query("hwpoison_fleet_run_info", server.end_s)
    assert (labels["run"], labels["scenario"], labels["seed"], labels["engine"]) == ("run", "baseline", "1", "local")


def test_the_first_sample_of_every_counter_is_0(run, server):
    start_s = server.end_s - run.horizon_ns // NS_PER_S
    counters = '{__name__=~"hwpoison_fleet_.+_total"}'
    assert server.query(f"count({counters} == 0)", start_s) == server.query(f"count({counters})", start_s)
    assert server.query(f"count({counters})", start_s - 1) == []
    assert server.value(f"count({counters})", start_s) == server.told[0].series - 9  # the info and eight gauges


def test_the_whole_increase_is_what_the_summary_counts(run, server):
    """Samples that retention deletes, or counters that fall, would be noticed."""
    span_s = run.horizon_ns // NS_PER_S
    asked = {"ue": 'errors_total{kind="ue"}', "node_years": "node_years_total", "losses": "losses_total"}
    for key, name in asked.items():
        series = f"hwpoison_fleet_{name}[{span_s + 1}s]"
        grown = f"sum by (arm) (max_over_time({series}) - min_over_time({series}))"
        found = {labels["arm"]: value for labels, value in server.query(grown, server.end_s)}
        wanted = {arm: run.tally.total[n, :, INDEX[key]].sum() for n, arm in enumerate(run.arms)}
        assert found == pytest.approx(wanted)
        assert {value for _, value in server.query(f"resets({series})", server.end_s)} == {0}


def test_a_host_that_is_down_shows_nothing_but_that_it_is(run, fallen, server):
    hosts = hosts_of(decode("test", run.plan["scenario"]), "default")
    start_s = server.hosts_end_s - run.horizon_ns // NS_PER_S
    for node, downs in fallen.items():
        name = hosts.name(node)
        for down in downs:
            step = -(-down.time_ns // (STEP_S * NS_PER_S))
            at_s = start_s + step * STEP_S
            window = f'{{instance="{name}"}}[1s]'
            assert server.value(f"last_over_time(up{window})", at_s) == 0
            assert server.value(f"last_over_time(node_time_seconds{window})", at_s) is None
            after_s = start_s + -(-down.end_ns // (STEP_S * NS_PER_S)) * STEP_S
            assert server.value(f"last_over_time(up{window})", after_s) == 1
            assert server.value(f"last_over_time(node_time_seconds{window})", after_s) == after_s
            boot_s = server.value(f"last_over_time(node_boot_time_seconds{window})", after_s)
            assert boot_s == start_s + down.end_ns // NS_PER_S
            assert server.value(f"sum(last_over_time(node_edac_correctable_errors_total{window}))", after_s) is not None


def test_hosts_have_the_labels_that_scraping_them_gives(server):
    found = server.query('up{job="hwpoison-fleet",instance="sim-00001"}', server.hosts_end_s)
    ((labels, value),) = found
    assert (labels["group"], labels["site"], value) == ("sddc", "new_york", 1)
