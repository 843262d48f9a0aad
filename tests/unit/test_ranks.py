"""Ranks of arms, costs and fronts, by hand, by brute force, and against the counts of a run."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import open_run
from analysis.comparison.ranks import (
    OBJECTIVES,
    PRICED,
    SHORT,
    Largest,
    Objective,
    PairSums,
    Rank,
    Ranking,
    dominated,
    largest_events,
    parse_cost,
    parse_objectives,
    rank_arms,
    ranking,
)
from analysis.estimators.rates import Ends, weights
from analysis.text.document import summary_document
from analysis.text.ranked import ranking_lines, ranking_table, rankings_json
from fleet.stored.headline import BY_KEY, INDEX
from node_sim.errors import ConfigError
from tests.fleets import busy_fleet, run_fleet

LARGEST = Largest(Ends(panic=40, page=8), 2.0**30, 1.0)
ONE = Objective("x", "", weights("ue"), 1.0, 0.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("ranks") / "run"
    run_fleet(busy_fleet(nodes=120), root, shard_nodes=50)
    return open_run(root)


def ranked(*arms, nodes=None, objective=ONE):
    """Arms with what each has in some nodes."""
    x = np.asarray(arms, float)
    sums = PairSums(len(arms))
    for part in np.array_split(x, 3, axis=1):
        sums.add(part)
    return ranking(objective, tuple("abcdef"[: len(arms)]), x.sum(axis=1), sums, nodes or x.shape[1])


def test_arms_that_are_far_apart_have_ranks_without_doubt():
    few, many = np.tile([0, 0, 1], 200), np.tile([0, 2, 3], 200)
    found = ranked(many, few, np.zeros(600))
    assert found.ranks == (Rank(3, 3, 3), Rank(2, 2, 2), Rank(1, 1, 1))


def test_arms_that_are_alike_share_a_rank_that_may_be_any_of_theirs():
    some = np.tile([0, 1], 300)
    found = ranked(some, some, np.tile([3, 5], 300))
    assert found.ranks == (Rank(1, 1, 2), Rank(1, 1, 2), Rank(3, 3, 3))


@pytest.mark.parametrize("nodes", [1, 5])
def test_nothing_tells_of_ranks_where_nothing_or_one_node_differs(nodes):
    assert ranked([0.0] * nodes, [0.0] * nodes).ranks == (Rank(1, 1, 2),) * 2
    assert ranked([9.0] + [0.0] * (nodes - 1), [0.0] * nodes).ranks == (Rank(2, 1, 2), Rank(1, 1, 2))
    assert ranked([0.0] * nodes).ranks == (Rank(1, 1, 1),)


def test_few_events_do_not_tell_where_one_event_may_be_large():
    one, other = np.tile([0] * 9 + [1], 60), np.zeros(600)
    assert ranked(one, other).ranks == (Rank(2, 2, 2), Rank(1, 1, 1))
    heavy = ONE._replace(heavy=1000.0)
    assert ranked(one, other, objective=heavy).ranks == (Rank(2, 1, 2), Rank(1, 1, 2))


def test_sums_over_pairs_are_those_of_plain_loops():
    x = np.random.default_rng(1).poisson(0.4, (4, 90)).astype(float)
    sums = PairSums(4)
    for part in np.array_split(x, 4, axis=1):
        sums.add(part)
    for arm in range(4):
        for other in range(4):
            more = [max(0.0, a - b) for a, b in zip(x[arm], x[other], strict=True)]
            assert sums.more[arm, other] == sum(more)
            assert sums.more_square[arm, other] == sum(m * m for m in more)
            assert sums.nodes_more[arm, other] == sum(m > 0 for m in more)
            assert sums.largest[arm, other] == max(more)
    assert sums.most == x.max()


def test_more_arms_are_told_apart_less_easily():
    base = np.tile([0, 1, 0, 1], 200)
    less = base.copy()
    less[:16] = 0
    apart = [ranked(base, less, *[base] * more).ranks[1] for more in (0, 4)]
    assert apart == [Rank(1, 1, 1), Rank(1, 1, 6)]


def test_ranks_of_a_run_are_by_what_its_summary_counts(run):
    document = summary_document(run)["arms"]
    per = 1000 / (120 * run.plan["years"])
    objectives = parse_objectives("losses,memory_lost,ue,dimm_replacements", LARGEST)
    rankings = rank_arms(run, objectives)
    for one, key in zip(rankings, ("losses", "memory_lost_byte_years", "ue", "dimm_replacements"), strict=True):
        scale = per if BY_KEY[key].unit == "1" else per / 2**30
        values = [document[arm][key] * scale for arm in run.arms]
        assert one.totals == pytest.approx(values)
        for value, rank in zip(values, one.ranks, strict=True):
            assert rank.value == 1 + sum(other < value * (1.0 - 1e-13) for other in values)
            assert rank.low <= rank.value <= rank.high
    assert any(rank.low == rank.high for rank in rankings[0].ranks)


def test_cost_is_the_sum_of_prices_times_counts(run):
    document = summary_document(run)["arms"]["default"]
    found = rank_arms(run, [parse_cost("kill=2,panic=30,gib_year=0.5,replacement=7,loss=.1", largest_events(run))])[0]
    spent = 2 * sum(document["kills"].values()) + 30 * document["panics"] + 7 * document["dimm_replacements"]
    spent += 0.5 * document["memory_lost_byte_years"] / 2**30 + 0.1 * document["losses"]
    assert found.totals[0] == pytest.approx(spent * 1000 / 120)


def test_what_one_event_comes_to_follows_from_the_policies(run):
    assert largest_events(run).lost_bytes == 2.0**30
    for setting in ({"repair.map_out": True}, {"page_offline.scope": "bank"}):
        run.plan["scenario"]["arm"]["more"] = {"set": setting}
        assert largest_events(run).lost_bytes == max(group.dimm_bytes for group in run.groups)
    del run.plan["scenario"]["arm"]["more"]
    (kills, losses, memory) = parse_objectives("kills,losses,memory_lost", LARGEST)
    assert (kills.event, losses.event, memory.heavy) == (8.0, 40.0, 1.0)


def test_the_front_is_that_of_all_pairs():
    rng = np.random.default_rng(5)
    totals = rng.integers(0, 4, (2, 6)).astype(float)
    arms = tuple("abcdef")
    none = np.zeros((6, 6), np.bool_)
    sure = none.copy()
    sure[0, 1] = True
    rankings = [Ranking(ONE, arms, one, (Rank(1, 1, 6),) * 6, sure) for one in totals]
    found = dominated(rankings)
    for at, arm in enumerate(arms):
        better = [
            other
            for n, other in enumerate(arms)
            if (totals[:, n] <= totals[:, at]).all() and (totals[:, n] < totals[:, at]).any()
        ]
        assert found[arm][0] == better
        assert found[arm][1] == (["a"] if arm == "b" else [])
    assert dominated([rankings[0], Ranking(ONE, arms, totals[1], rankings[0].ranks, none)])["b"][1] == []


def test_text_table_and_json_say_the_same(run):
    rankings = rank_arms(run, parse_objectives("losses,ue", LARGEST))
    document = rankings_json(rankings, front=True)
    lines = ranking_lines(rankings, front=True)
    for row in ranking_table(rankings).to_pylist():
        one = document["ranks"][row["objective"]]["arms"][row["arm"]]
        assert (one["rank"], one["ci95"]) == (row["rank"], [row["rank_low"], row["rank_high"]])
        text = f"{row['rank']} [{row['rank_low']}, {row['rank_high']}]"
        assert any(line.startswith(row["arm"]) and text in line for line in lines)
    assert {arm for arm, one in document["front"].items() if one["on_front"]} == {
        line.split()[0] for line in lines[1:] if line.endswith("yes")
    }


def test_all_that_can_be_asked_for_is_known():
    for names in (OBJECTIVES, tuple(SHORT)):
        assert len(parse_objectives(",".join(names), LARGEST)) == len(names)
    for name in PRICED:
        assert parse_cost(f"{name}=1", LARGEST).weights.any()
    assert parse_objectives("ue, memory_lost", LARGEST)[1].weights[INDEX["memory_lost_byte_years"]] == 2.0**-30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kils,pannics", ("did you mean kills?", "did you mean panics?")),
        ("kills", ("at least two",)),
        ("kills,kills", ("each once",)),
        ("node_years,ue_survived", ("--pareto node_years", "--pareto ue_survived")),
    ],
)
def test_wrong_objectives_are_named_at_once(text, words):
    with pytest.raises(ConfigError) as error:
        parse_objectives(text, LARGEST)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kil=1,panic=x", ("did you mean kill?", "--cost panic=x")),
        ("kill=-1,panic=nan,sdc=inf,loss", ("kill=-1", "panic=nan", "sdc=inf", "--cost loss")),
        ("kill=1,kill=2", ("given twice",)),
        ("kill=0", ("expected one above it",)),
        ("", ("expected one of kill",)),
    ],
)
def test_wrong_prices_are_named_at_once(text, words):
    with pytest.raises(ConfigError) as error:
        parse_cost(text, LARGEST)
    assert all(word in str(error.value) for word in words)
