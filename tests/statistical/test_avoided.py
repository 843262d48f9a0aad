"""Events avoided, costs per event avoided, medians: exact checks, and coverage with a false-alarm rate of 1e-6."""

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.effects import Paired, cost_per_avoided, share_avoided
from analysis.estimators.rates import UNDEFINED, NodeSums, median

Z = 1.959963984540054
COST, EVENTS = np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0])


def sums_of(arm, base, nodes=100_000):
    """Sums over nodes of (cost, events), shape ``(n, 2)``; to other nodes nothing happened."""
    arm, base = (np.asarray(x, float) for x in (arm, base))
    return NodeSums(nodes, arm.sum(axis=0), arm.T @ arm, arm.T @ base, base.sum(axis=0), base.T @ base)


def avoided(arm, base):
    """Share of the events of nodes in the baseline that the arm does not have; to other nodes nothing happened."""
    return share_avoided(Paired.by_node(100_000, np.asarray(arm, float), np.asarray(base, float)))


def wilson(share, trials):
    """Ends p that solve (p - share)² = Z² p (1 - p) / trials."""
    return sorted(np.roots([1 + Z**2 / trials, -2 * share - Z**2 / trials, share**2]))


def test_a_share_avoided_in_some_nodes_has_wilsons_interval_of_so_many_nodes():
    generator = np.random.default_rng(7)
    base = generator.geometric(0.4, 3000)
    arm = np.where(generator.random(3000) < 0.3, 0, base)
    found, share = avoided(arm, base), 1 - arm.sum() / base.sum()
    low, high = wilson(share, base.sum() ** 2 / (base**2).sum())
    assert found.value == pytest.approx(share)
    assert found.high == pytest.approx(high, abs=0.15 * (high - share))
    assert found.low == pytest.approx(low, abs=0.15 * (share - low))


def test_events_that_only_the_arm_has_widen_the_interval():
    """As many nodes lose an event as others gain one: the truth may be on either side of 0."""
    base, arm = np.zeros(300), np.zeros(300)
    base[:200] = 1
    arm[100:300] = 1
    found = avoided(arm, base)
    assert found.value == 0.0
    # The share lost is of 200, binomial; the share gained is to 200 as one Poisson count to another.
    half = Z * np.sqrt(0.5 * 0.5 / 200 + 0.5**2 * (1 / 100 + 1 / 200))
    assert (found.low, found.high) == pytest.approx((-half, half), rel=0.15)


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize(("left", "share"), [(0, 1.0), (1, 0.0)])
def test_if_all_or_nothing_is_avoided_each_node_is_a_trial_at_most(size, left, share):
    base = np.full(40, size)
    found = avoided(left * base, base)
    bound = stats.binomtest(round(40 * share), 40).proportion_ci(method="wilson")
    assert found.value == share
    assert found.low <= bound.low + 1e-12
    assert found.high >= bound.high - 1e-12
    assert found.high - found.low < 0.6


def test_one_node_tells_little_however_many_events_it_has():
    found = avoided([20], [50])
    assert found.value == pytest.approx(0.6)
    assert found.high - found.low > 0.7
    assert avoided([50], [20]).low < -4
    assert avoided([5], [0]) == UNDEFINED


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_intervals_of_the_share_avoided_cover_the_truth_about_as_often_as_they_say(share):
    """Of 60 nodes with 2.5 events on average."""
    generator = np.random.default_rng(11)
    trials, covered = 3000, 0
    for _ in range(trials):
        base = generator.geometric(0.4, 60)
        found = avoided(np.where(generator.random(60) < share, 0, base), base)
        covered += found.low <= share <= found.high
    assert stats.binom.cdf(covered, trials, 0.94) > 1e-6


def test_the_ends_of_a_cost_per_event_avoided_are_where_it_differs_significantly():
    """Fieller's set: at its ends the paired sum of (cost - end x avoided) is ``Z`` standard errors from 0."""
    generator = np.random.default_rng(3)
    base = np.column_stack((generator.poisson(0.1, 500), generator.geometric(0.5, 500)))
    arm = base + np.column_stack((generator.poisson(2.0, 500), -generator.binomial(base[:, 1], 0.4)))
    found = cost_per_avoided(sums_of(arm, base, 500), COST, EVENTS)
    spent, avoided = arm[:, 0] - base[:, 0], base[:, 1] - arm[:, 1]
    assert found.value == pytest.approx(spent.sum() / avoided.sum())
    assert found.low < found.value < found.high
    for end, side in ((found.low, 1), (found.high, -1)):
        apart = spent - end * avoided
        assert apart.sum() / (apart.std() * np.sqrt(500)) == pytest.approx(side * Z, rel=1e-9)


def test_intervals_of_a_cost_per_event_avoided_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(12)
    trials, covered = 3000, 0
    for _ in range(trials):
        base = np.column_stack((np.zeros(400), generator.poisson(0.5, 400)))
        arm = np.column_stack((generator.poisson(0.6, 400), generator.binomial(base[:, 1].astype(int), 0.6)))
        found = cost_per_avoided(sums_of(arm, base, 400), COST, EVENTS)
        covered += found.low <= 0.6 / 0.2 <= found.high
    assert stats.binom.cdf(covered, trials, 0.94) > 1e-6


def test_a_cost_has_no_interval_if_perhaps_nothing_is_avoided_and_no_value_if_nothing_is():
    base = np.asarray([[0, 3], [0, 1], [0, 2]])
    less, more = np.asarray([[1, 2], [1, 3], [0, 0]]), np.asarray([[1, 4], [0, 1], [0, 2]])
    found = cost_per_avoided(sums_of(less, base), COST, EVENTS)
    assert (found.value, found.low, found.high) == (2.0, None, None)
    assert cost_per_avoided(sums_of(more, base), COST, EVENTS) == UNDEFINED
    assert cost_per_avoided(sums_of(base, base), COST, EVENTS) == UNDEFINED


@pytest.mark.parametrize(("n", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8), (50, 18)])
def test_the_interval_of_a_median_is_that_of_published_ranks(n, rank):
    """Smaller rank of the two that enclose the median with 95 % or more (sign test; Hollander and Wolfe, table A.2)."""
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    found = median(values)
    assert (found.value, found.low, found.high) == ((n + 1) / 2, rank, n + 1 - rank)


def test_few_values_have_a_median_without_an_interval_and_none_have_none():
    assert median(np.empty(0)) == UNDEFINED
    found = median(np.asarray([3.0, 1.0, 2.0, 9.0, 8.0]))
    assert (found.value, found.low, found.high) == (3.0, None, None)
    assert found.to_json() == {"value": 3.0, "ci95": None}
