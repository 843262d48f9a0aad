"""Comparisons of two runs, by groups and by what kills came from, against arms of one run and against SQL."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import astuple

import duckdb
import numpy as np
import pytest

from analysis import open_run
from analysis.comparison.compared import ALL, check_metrics, compare_arms, compare_runs, effects_table
from analysis.comparison.effects import compare_run
from analysis.comparison.two_runs import pairs_of_arms
from analysis.estimators.intervals import apart_interval, quotient_interval
from analysis.text.compared import comparison_json, comparison_lines, first_line, table_csv
from fleet.scenario.decode import decode
from fleet.scenario.same_faults import differences_in_faults
from fleet.stored.headline import BY_KEY
from node_sim.errors import ConfigError
from tests.fleets import busy_document, run_fleet

ARMS = ("default", "page_offline_2_per_24h")
NODES = 100


def fleet(*arms, nodes=NODES, **groups):
    document = busy_document(nodes)
    document["arm"] = {arm: document["arm"][arm] for arm in arms}
    for name, faults in groups.items():
        document["group"][name]["faults"] |= faults
    return decode("compared", document)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of two arms, and runs of each alone, cut into other shards."""
    root = tmp_path_factory.mktemp("compared")
    run_fleet(fleet(*ARMS), root / "both", shard_nodes=25)
    run_fleet(fleet(ARMS[0]), root / "first", shard_nodes=35)
    run_fleet(fleet(ARMS[1]), root / "second", shard_nodes=17)
    return {name: open_run(root / name) for name in ("both", "first", "second")}


def test_arms_of_two_runs_are_compared_as_if_they_were_of_one(runs):
    joint, apart = compare_run(runs["both"])[ARMS[1]], compare_runs(runs["first"], runs["second"]).effects(ARMS[1])
    assert any(effect.differing for effect in joint.values())
    for key, effect in joint.items():
        found = apart[key]
        assert found.differing == effect.differing, key
        for name in ("difference", "ratio"):
            here, there = getattr(found, name), getattr(effect, name)
            for one, other in zip(astuple(here), astuple(there), strict=True):
                assert one == (other if other is None else pytest.approx(other, rel=1e-9, abs=1e-9))


def test_a_run_is_exactly_like_itself_and_like_its_copy_in_other_shards(runs, tmp_path):
    run_fleet(fleet(*ARMS), tmp_path / "again", shard_nodes=22)
    for other in (runs["both"], open_run(tmp_path / "again")):
        comparison = compare_runs(runs["both"], other)
        for arm in ARMS:
            for effect in comparison.effects(arm).values():
                assert (effect.difference.value, effect.differing) == (0.0, 0)
                assert effect.ratio.value in {1.0, None}
    assert "no node differs" in first_line(comparison)[0]
    assert first_line(comparison)[0].startswith("paired")


def test_pairs_are_namesakes_or_all_against_one_arm(runs):
    both, second = runs["both"], runs["second"]
    assert pairs_of_arms(both, both) == tuple((arm, arm) for arm in ARMS)
    assert pairs_of_arms(both, both, ARMS[1]) == tuple((arm, ARMS[1]) for arm in ARMS)
    assert pairs_of_arms(runs["first"], second) == ((ARMS[1], ARMS[0]),)
    with pytest.raises(ConfigError, match="did you mean default"):
        pairs_of_arms(both, second, "defualt")


def test_faults_are_the_same_by_what_scenarios_mean_not_by_how_they_are_written():
    one = fleet(ARMS[0])
    assert differences_in_faults(one, fleet(*ARMS), (1, 1)) == []
    assert differences_in_faults(one, fleet(ARMS[0], secded={"site": "new_york"}), (1, 1)) == []
    spelled = busy_document(NODES)
    spelled["group"] = {f"{name}_2": group for name, group in spelled["group"].items()}
    assert differences_in_faults(one, decode("renamed", spelled), (1, 1)) == []
    assert differences_in_faults(one, one, (1, 2)) == ["seed 1 and 2"]
    assert differences_in_faults(one, fleet(ARMS[0], secded={"site": "denver"}), (1, 1)) == [
        "group secded: faults.site new_york and denver"
    ]
    more = differences_in_faults(one, fleet(ARMS[0], nodes=NODES + 1), (1, 1))
    assert more[0] == f"nodes {NODES} and {NODES + 1}"


def test_runs_with_other_faults_are_independent_samples(runs, tmp_path):
    run_fleet(fleet(*ARMS), tmp_path / "other", seed=2)
    comparison = compare_runs(runs["both"], open_run(tmp_path / "other"), ("seed 1 and 2",))
    line = first_line(comparison)[0]
    assert line.startswith("warning: not paired")
    assert "seed 1 and 2" in line
    wide, paired = comparison.effects(ARMS[1])["ue"], compare_run(runs["both"])[ARMS[1]]["ue"]
    assert wide.differing is None
    assert wide.wanted is None
    assert wide.difference.high - wide.difference.low > paired.difference.high - paired.difference.low
    with pytest.raises(ConfigError, match="expected runs whose nodes can be paired"):
        comparison.by("process", ARMS[1])
    assert set(comparison.by("group", ARMS[1])) == {"sddc", "altitude", "secded"}


def test_the_interval_of_a_quotient_holds_the_ratios_whose_difference_may_be_0():
    rng = np.random.default_rng(1)
    for _ in range(200):
        a, b = rng.gamma(1.0, size=2) * 10
        one = (a, a * rng.uniform(), a * (1 + rng.gamma(1.0)))
        other = (b, b * rng.uniform(0.01, 1.0), b * (1 + rng.gamma(1.0)))
        low, high = quotient_interval(one, other)
        assert low <= a / b <= high
        assert apart_interval(one, tuple(low * x for x in other))[0] == pytest.approx(0.0, abs=1e-9 * a)
        assert apart_interval(one, tuple(high * x for x in other))[1] == pytest.approx(0.0, abs=1e-9 * a)
    assert quotient_interval((0.0, 0.0, 3.0), (2.0, 1.0, 4.0)) == (0.0, pytest.approx(3.0 / 3.0**0.5))


def by_sql(run, arm, what):
    """Return losses by level, counted by SQL."""
    signals, handled, life = (run.table(name, arm) for name in ("signals", "memory_failures", "lifecycle"))
    levels = {
        "page_use": "coalesce(h.page_use, 'no page handled')",
        "process": "s.process_class",
        "cause": "case when s.signal = 'SIGKILL' then 'SIGKILL' when s.timing = 'early' then 'early AO' "
        "when s.timing = 'late' then 'late AR' else 'direct AR' end",
    }
    tables = {"signals": signals, "handled": handled, "life": life}
    with duckdb.connect() as database:
        for name, table in tables.items():
            database.register(name, table)
        rows = database.execute(
            f"""select {levels[what]}, count(*) from signals s left join handled h
                on h.node_id = s.node_id and h.seq = s.cause_seq where s.fate = 'killed' group by 1
                union all select 'panic', sum(processes_lost) from life where kind = 'panic'"""
        ).fetchall()
    return {level: count for level, count in rows if count}


@pytest.mark.parametrize("what", ["page_use", "process", "cause"])
def test_effects_by_level_are_those_of_rows_counted_by_sql(runs, what):
    run = runs["both"]
    found = compare_arms(run).by(what, ARMS[1])
    base, arm = (by_sql(run, name, what) for name in ARMS)
    up = run.tally.total[0, :, 0].sum()
    assert set(found) == set(base) | set(arm)
    assert len(found) > 2
    for level, effects in found.items():
        assert effects["losses"].difference.value == pytest.approx(
            1000 * (arm.get(level, 0) - base.get(level, 0)) / up, abs=1e-9
        )
        assert ("kills" in effects) == (level != "panic")
    whole = compare_run(run)[ARMS[1]]
    for metric in ("kills", "losses"):
        each = [effects[metric].difference.value for effects in found.values() if metric in effects]
        assert sum(each) == pytest.approx(whole[metric].difference.value)


def test_effects_within_groups_add_up(runs):
    run = runs["both"]
    comparison = compare_arms(run)
    up = dict(zip((group.name for group in run.groups), run.tally.total[0, :, 0], strict=True))
    for metric in ("ue", "losses", "pages_offlined"):
        each = comparison.by("group", ARMS[1])
        total = sum(up[name] * each[name][metric].difference.value for name in up)
        assert total / sum(up.values()) == pytest.approx(comparison.effects(ARMS[1])[metric].difference.value)


def test_csv_and_json_hold_the_effects_as_they_are(runs):
    comparison = compare_arms(runs["both"])
    lines = list(comparison.lines(check_metrics(["kills", "ce", "kills"])))
    assert [line.metric for line in lines] == ["kills", "ce"]
    rows = list(csv.DictReader(io.StringIO(table_csv(effects_table(lines)))))
    for row, line in zip(rows, lines, strict=True):
        assert float(row["difference"]) == line.effect.difference.value
        assert row["difference_low"] == ("" if line.metric == "ce" else str(line.effect.difference.low))
        assert (row["level"], row["by"]) == (ALL, ALL)
    document = json.loads(json.dumps(comparison_json(lines, None), allow_nan=False))
    assert document[ARMS[1]]["kills"]["difference"]["value"] == lines[0].effect.difference.value
    nested = comparison_json(list(comparison.lines(("losses",), "cause")), "cause")
    assert set(nested[ARMS[1]]) == set(comparison.by("cause", ARMS[1]))


def test_columns_stand_below_each_other(runs):
    heading, *lines = comparison_lines(list(compare_arms(runs["both"]).lines(tuple(BY_KEY), "group")), "group", 200)
    assert heading == "difference to default"
    assert len({len(line) for line in lines}) == 1


def test_metrics_and_ways_to_divide_that_are_none_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        check_metrics(["kils", "panic"], "grup")
    assert "did you mean group?" in str(error.value)
    with pytest.raises(ConfigError) as error:
        check_metrics(["kils", "pannics"])
    assert str(error.value).count("did you mean") == 2
    with pytest.raises(ConfigError, match="expected one of kills, losses"):
        check_metrics(["ue"], "process")
