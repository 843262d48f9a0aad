"""Words of the terminal's tables: one name for one thing, one of it in the singular, units that can be read."""

from __future__ import annotations

import pytest

from analysis import open_run
from analysis.comparison.effects import compare_run
from analysis.estimators.rates import Sums, ends_of, rate
from analysis.text.differences import effect_lines
from analysis.text.document import node_years
from analysis.text.layout import format_byte_years, format_estimate
from analysis.text.lines import summary_lines
from fleet.stored.headline import BY_KEY, EFFECTS_SHOWN, RATES_SHOWN
from tests.fleets import busy_fleet, run_fleet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("text") / "run"
    run_fleet(busy_fleet(nodes=60), root)
    return open_run(root)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0.0, "0"),
        (4.86e-05, "under 1 B-year"),
        (0.999, "under 1 B-year"),
        (1.0, "1 B-years"),
        (999.4, "999 B-years"),
        (1000.0, "0.977 KiB-years"),
        (182_272.0, "178 KiB-years"),
        (5 * 2**30, "5 GiB-years"),
        (2.0**50, "1.02e+03 TiB-years"),
    ],
)
def test_memory_over_time_has_a_unit_that_can_be_read(size, text):
    assert format_byte_years(size) == text


def test_a_metric_has_one_name_in_all_tables_and_sentences(run):
    lines = effect_lines(compare_run(run), run.arms[0], node_years(run))
    text = "\n".join(lines)
    assert [key for key in BY_KEY if "_" in key and key in text] == []
    assert all(BY_KEY[key].title in text for key in EFFECTS_SHOWN)
    assert all(BY_KEY[key].title for key in (*EFFECTS_SHOWN, *RATES_SHOWN))
    titles = [metric.title for metric in BY_KEY.values() if metric.title]
    assert len(set(titles)) == len(titles)


def test_the_table_of_rates_begins_with_uncorrected_errors(run):
    line = next(line for line in summary_lines(run, 200) if line.startswith("UEs "))
    sums = [Sums.of(run.tally, arm, ends=ends_of(group.processes for group in run.groups)) for arm in range(4)]
    shown = [format_estimate(rate(one, "ue")) for one in sums]
    assert [cell.strip() for cell in line.removeprefix("UEs").split("  ") if cell] == shown


def test_one_of_a_kind_is_in_the_singular_and_columns_stay_below_each_other(run, monkeypatch):
    one = dict.fromkeys(("nodes", "faults", "ue", "kills", "panics"), 1.0)
    many = dict.fromkeys(one, 12.0)
    monkeypatch.setattr("analysis.text.lines.group_ue", lambda _run, _arm: {"a": one, "b": many})
    lines = summary_lines(run)
    start = next(place for place, line in enumerate(lines) if line.startswith("node groups in arm")) + 1
    first, second = lines[start : start + 2]
    assert first.split()[1:] == ["1", "node", "1", "fault", "1", "UE", "1", "kill", "1", "panic"]
    assert second.split()[1:] == ["12", "nodes", "12", "faults", "12", "UEs", "12", "kills", "12", "panics"]
    assert [first.index(noun) for noun in ("node", "fault", "UE", "kill", "panic")] == [
        second.index(noun) for noun in ("node", "fault", "UE", "kill", "panic")
    ]
