"""How sure the report is: p belongs to the interval beside it, and Holm's method is Holm's."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.comparison.effects import Effect, Paired, ratio
from analysis.estimators.rates import Estimate
from analysis.report.effects import shown_p, verdict
from analysis.report.evidence import P_MIN, adjusted, adjusted_p, p_value


def paired(more, less, nodes=100_000):
    """Nodes that have one more, and others that have one less, of 200 that have one in the baseline."""
    base = np.concatenate([np.zeros(more), np.ones(less), np.ones(200)])
    arm = np.concatenate([np.ones(more), np.zeros(less), np.ones(200)])
    return Paired.by_node(nodes, arm, base)


@pytest.mark.parametrize(("more", "less"), [(0, 3), (2, 9), (9, 2), (30, 31), (40, 61), (0, 40), (300, 200)])
def test_p_is_below_5_percent_exactly_where_the_95_percent_interval_leaves_0_out(more, less):
    low, high = paired(more, less).interval()
    assert (p_value(paired(more, less)) < 0.05) == (low > 0 or high < 0)


@pytest.mark.parametrize("level", [0.5, 0.1, 0.01, 1e-4])
def test_the_interval_of_the_level_that_p_names_touches_0(level):
    one = paired(40, 61)
    p = p_value(one)
    inside, outside = (one.interval(tail=factor * p / 2) for factor in (0.99, 1.01))
    assert inside[1] >= 0 > outside[1]
    low, high = one.interval(tail=level / 2)
    assert (p < level) == (low > 0 or high < 0)


def test_p_of_many_equal_differences_is_that_of_the_normal_law():
    more, less = 5_200, 4_950
    z = (more - less) / math.sqrt(more + less)
    assert p_value(paired(more, less, nodes=10**7)) == pytest.approx(2 * stats.norm.sf(z), rel=0.05)


def test_p_is_of_both_sides_alike_and_ends_somewhere():
    assert p_value(paired(3, 20)) == pytest.approx(p_value(paired(20, 3)), rel=1e-3)
    assert p_value(paired(0, 1000)) == P_MIN
    assert p_value(paired(50, 50)) == 1.0


def test_adjusting_is_holms_method():
    rng = np.random.default_rng(1)
    for n in (1, 2, 7, 40):
        values = rng.random(n) ** 4
        expected = multipletests(values, method="holm")[1]
        assert adjusted(list(values)) == pytest.approx(expected)
    assert adjusted([]) == []


def effect(more, less, *, interval=True):
    one = paired(more, less) if more + less else Paired.by_node(100, np.ones(3), np.ones(3))
    low, high = one.interval() if interval else (None, None)
    return Effect(Estimate(float(more - less), low, high), ratio(one), one)


def test_only_differences_that_could_be_told_are_adjusted_for():
    effects = {
        "a": {"x": effect(0, 40), "y": effect(0, 0)},
        "b": {"x": effect(5, 9, interval=False), "y": effect(2, 9)},
    }
    found = adjusted_p(effects, ("x", "y"))
    assert set(found) == {("a", "x"), ("b", "y")}
    assert found["b", "y"] == pytest.approx(p_value(paired(2, 9)), rel=1e-3)
    assert found["a", "x"] == pytest.approx(2 * p_value(paired(0, 40)), rel=1e-3)


@pytest.mark.parametrize(
    ("found", "p", "words"),
    [
        (effect(0, 40), 1e-6, "fewer"),
        (effect(40, 0), 1e-6, "more"),
        (effect(2, 12), 0.2, "perhaps fewer"),
        (effect(5, 9), 1.0, "the node-years would"),
        (effect(9, 9), 1.0, "as much up as down"),
        (effect(0, 0), None, "no server differs"),
        (effect(5, 9, interval=False), None, "no interval"),
    ],
)
def test_a_verdict_says_what_the_data_tell(found, p, words):
    assert words in verdict(found, p)


def test_node_years_wanted_are_those_of_the_effect():
    found = effect(5, 9)
    assert f"about {found.wanted:.2g} ×" in verdict(found, 1.0)


def test_p_is_written_with_two_digits():
    assert [shown_p(p) for p in (None, 1e-9, 0.0123, 1.0, 0.9999)] == ["–", "< 0.0001", "0.012", "1", "1"]
