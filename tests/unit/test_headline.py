"""The registry of metrics: what it names exists, and what it holds reaches tally, exporter, documents and text."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from analysis import open_run
from analysis.comparison.effects import compare_run, to_json
from analysis.comparison.recount import tally_against
from analysis.text.document import summary_document
from analysis.text.lines import summary_lines
from fleet.metrics import PREFIX, RunCollector
from fleet.stored.counting import COMPUTED
from fleet.stored.headline import BY_KEY, EFFECTS_SHOWN, FAMILIES, INDEX, KILLS, METRICS, RATES_SHOWN, REGISTRY, Count
from node_sim.codes import Mode
from node_sim.columns import TABLES
from tests.fleets import busy_fleet, run_fleet

STORED = [metric for metric in REGISTRY if not metric.parts]
COUNTS = [(metric, count) for metric in REGISTRY for count in metric.counts]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("headline") / "run"
    run_fleet(busy_fleet(60), root)
    return open_run(root)


def test_keys_are_unique_and_stored_in_order():
    assert len(BY_KEY) == len(REGISTRY)
    assert [INDEX[key] for key in METRICS] == list(range(len(STORED)))


@pytest.mark.parametrize(("metric", "count"), COUNTS, ids=lambda item: getattr(item, "key", getattr(item, "table", "")))
def test_a_count_names_columns_of_its_table_and_codes_of_these_columns(metric, count):
    columns = {column.name: column for column in TABLES[count.table]}
    assert all(isinstance(code, columns[name].code) for name, code in count.where)
    assert count.weight is None or columns[count.weight].code is None
    assert metric.key in INDEX


def test_a_count_of_faults_takes_those_of_the_nodes_that_were_in_place(run, monkeypatch):
    from fleet.stored import counting

    monkeypatch.setattr(counting, "_COUNTS", [("ecs_reports", Count("faults", (("mode", Mode.BIT),)))])
    tally, order = tally_against(run, run.arms[1])
    for position, arm in enumerate(order):
        faults, lifecycle = run.table("faults", arm), run.table("lifecycle", arm)
        mine = counting.faults_in_place(faults, lifecycle) & np.asarray(pc.equal(faults.column("mode"), "bit"))
        assert tally.total[position, :, INDEX["ecs_reports"]].sum() == mine.sum() > 0


def test_metrics_without_a_count_are_computed_by_name():
    assert {metric.key for metric in STORED if not metric.counts} == set(COMPUTED)


def test_totals_are_sums_of_stored_metrics_of_one_family():
    for metric in REGISTRY:
        assert set(metric.parts) <= set(METRICS)
        assert len({BY_KEY[part].family for part in metric.parts}) <= 1
    assert BY_KEY["kills"].parts == KILLS


def test_every_counter_of_the_exporter_has_metrics_and_a_label_where_it_has_several():
    for name, family in FAMILIES.items():
        mine = [metric for metric in STORED if metric.family == name]
        assert mine
        assert bool(family.label) == (len(mine) > 1)
        assert len({metric.value for metric in mine}) == len(mine)
        assert family.help.endswith(".")


def test_every_stored_metric_has_one_series_per_arm_and_group():
    collector = RunCollector(("a", "b"), ("g",), 1, 10, {})
    seen = {
        (sample.name.removeprefix(PREFIX).removesuffix("_total"), sample.labels.get(FAMILIES[name].label, ""))
        for family in collector.collect()
        for sample in family.samples
        if (name := family.name.removeprefix(PREFIX)) in FAMILIES and sample.labels["arm"] == "b"
    }
    assert seen == {(metric.family, metric.value) for metric in STORED}


def test_every_metric_has_a_paired_effect_with_a_json_key(run):
    found = to_json(compare_run(run))
    assert set(found) == set(run.arms[1:])
    for effects in found.values():
        assert set(effects) == set(BY_KEY)
        assert all(
            {"difference", "ratio", "unit", "nodes_differing", "times_the_node_years_wanted"} == set(effect)
            for effect in effects.values()
        )


def test_every_metric_stands_at_its_path_in_the_document_of_an_arm(run):
    for position, arm in enumerate(run.arms):
        document = summary_document(run)["arms"][arm]
        for metric in STORED:
            value = document
            for key in metric.path:
                value = value[key]
            total = run.tally.total[position, :, INDEX[metric.key]].sum()
            assert value == (round(total) if metric.unit == "1" else total)
        assert sum(document["kills"].values()) == sum(
            round(run.tally.total[position, :, INDEX[k]].sum()) for k in KILLS
        )
        assert set(document["rates_per_1000_node_years"]) == {
            f"{metric.key}_rate" for metric in REGISTRY if metric.unit == "1"
        }


def test_the_terminal_shows_the_headline_metrics_in_their_order(run):
    lines = summary_lines(run)
    names = [line.strip().split("  ")[0] for line in lines]
    begin = next(number for number, line in enumerate(lines) if line.startswith("per 1,000 node-years")) + 1
    assert names[begin : begin + len(RATES_SHOWN)] == [BY_KEY[key].title for key in RATES_SHOWN]
    first = next(number for number, line in enumerate(lines) if line.startswith("difference to"))
    assert names[first + 1 : first + 1 + len(EFFECTS_SHOWN)] == [BY_KEY[key].title for key in EFFECTS_SHOWN]
