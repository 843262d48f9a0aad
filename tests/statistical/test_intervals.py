"""Intervals of clustered counts: oracles where there are, and coverage of compound Poisson counts known exactly.

The small form of ``test_coverage.py``. A coverage is held against 93 %: a check fails if so few intervals have the
truth in them that an estimator with 93 % would show it once in 10⁶ times.
"""

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.effects import Paired, effect, ratio
from analysis.estimators.intervals import (
    count_interval,
    difference_interval,
    share_interval,
    trials_of_clusters,
    unseen_size,
)
from analysis.estimators.rates import Ends, rate, weights
from tests.node_sums import nodes, sums_of

FLEETS = 3000
AT_LEAST = 0.93


def covers(hits, at_least=AT_LEAST):
    """Whether so many hits of so many are not too few."""
    return stats.binom.cdf(np.sum(hits), np.size(hits), at_least) > 1e-6


GARWOOD = {
    0: (0.0, 3.6888794541139363),
    1: (0.025317807984289876, 5.571643390938898),
    2: (0.24220927854396496, 7.224687667723961),
    5: (1.6234863901184207, 11.66833207932267),
    40: (28.576586441788965, 54.46864696398408),
    1000: (938.9730184076952, 1063.952136016302),
}
"""What ``confint_poisson(count, 1, method="exact-c")`` of statsmodels 0.15.0 returns."""
WILSON = {(0, 9): (0.0, 0.29914504841954415), (3, 10): (0.10779126740630104, 0.6032218525388546)}
"""What its ``proportion_confint(part, whole, method="wilson")`` returns."""


@pytest.mark.parametrize("count", GARWOOD)
def test_the_interval_of_a_poisson_count_is_garwoods(count):
    assert count_interval(count, count, 1.0) == pytest.approx(GARWOOD[count], abs=1e-9)


@pytest.mark.parametrize("size", [3.0, 38.0])
def test_no_cluster_has_the_bound_of_a_poisson_count_times_the_size(size):
    assert count_interval(0.0, 0.0, size) == (0.0, pytest.approx(size * stats.chi2.ppf(0.975, 2) / 2))


def test_limits_of_weighted_poisson_counts_are_fay_and_feuers():
    """Their formula, by chi-square quantiles: v / 2T of one with 2T²/v degrees, the upper with a weight more."""
    weight, count = np.asarray([1.0, 4.0, 38.0]), np.asarray([9, 2, 1])
    total, variance = weight @ count, weight**2 @ count
    more, wider = total + weight.max(), variance + weight.max() ** 2
    low = variance / (2 * total) * stats.chi2.ppf(0.025, 2 * total**2 / variance)
    high = wider / (2 * more) * stats.chi2.ppf(0.975, 2 * more**2 / wider)
    assert count_interval(total, variance, weight.max()) == pytest.approx((low, high))


@pytest.mark.parametrize(("part", "whole"), [(0, 9), (3, 10), (40, 40)])
def test_the_interval_of_a_share_is_wilsons(part, whole):
    expected = stats.binomtest(part, whole).proportion_ci(method="wilson")
    assert share_interval(part / whole, whole) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert share_interval(part / whole, whole) == pytest.approx(WILSON.get((part, whole), expected), abs=1e-12)


def test_few_clusters_are_worth_fewer_trials_as_student_has_wider_limits():
    assert trials_of_clusters(100.0, 6.0) == pytest.approx(100 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 5)) ** 2)
    assert trials_of_clusters(100.0, 1.0) < 3.0


def test_a_difference_of_large_counts_is_that_of_normal_ones():
    low, high = difference_interval(40_000.0, 30_000.0, (80_000.0, 90_000.0), (3.0, 3.0))
    half = stats.norm.ppf(0.975) * np.sqrt(170_000)
    assert (low, high) == pytest.approx((10_000 - half, 10_000 + half), abs=0.02 * half)


LAWS = {
    "single": lambda _draw, n: np.ones(n),
    "a kill or all of a panic": lambda draw, n: np.where(draw.random(n) < 0.1, 38.0, 1.0),
    "rarely a panic": lambda draw, n: np.where(draw.random(n) < 0.02, 38.0, 1.0),
    "geometric": lambda draw, n: draw.geometric(0.4, n).astype(float),
    "lognormal": lambda draw, n: np.ceil(np.exp(1.5 * draw.standard_normal(n))),
}
MEANS = {"single": 1.0, "a kill or all of a panic": 4.7, "rarely a panic": 1.74, "geometric": 2.5}
BOUNDS = {"single": 1.0, "a kill or all of a panic": 38.0, "rarely a panic": 38.0}


def clusters(draw, law, mean):
    """Total, sum of squares, largest and number of clusters, each of shape ``(fleets,)``."""
    count = draw.poisson(mean, FLEETS)
    size, fleet = LAWS[law](draw, count.sum()), np.repeat(np.arange(FLEETS), count)
    largest = np.zeros(FLEETS)
    np.maximum.at(largest, fleet, size)
    total, square = (np.bincount(fleet, weight, FLEETS) for weight in (size, size**2))
    return total, square, largest, count


def size_of(law, largest, count, unknown):
    """Size of one more cluster: the bound of the law, or what was seen, or else something."""
    if law in BOUNDS:
        return BOUNDS[law]
    return unseen_size(largest, count) if count else unknown


@pytest.mark.parametrize("mean", [0.3, 1, 3, 10, 30])
@pytest.mark.parametrize("law", BOUNDS)
def test_counts_of_clusters_whose_bound_is_known_are_covered_however_few(law, mean):
    draw = np.random.default_rng(31)
    truth = mean * MEANS[law]
    found = [count_interval(t, v, BOUNDS[law]) for t, v, *_ in zip(*clusters(draw, law, mean), strict=True)]
    assert covers([low <= truth <= high for low, high in found])


@pytest.mark.parametrize("mean", [5, 10, 30, 100])
@pytest.mark.parametrize("law", ["geometric", "lognormal"])
def test_counts_of_clusters_without_a_bound_are_covered_if_there_are_several(law, mean):
    draw = np.random.default_rng(32)
    truth = mean * MEANS.get(law, LAWS[law](np.random.default_rng(1), 10**7).mean())
    found = [
        count_interval(t, v, size_of(law, largest, n, 1.0))
        for t, v, largest, n in zip(*clusters(draw, law, mean), strict=True)
    ]
    assert covers([low <= truth <= high for low, high in found])


@pytest.mark.parametrize(("up", "down"), [(0.2, 0.2), (0.0, 1.5), (3.0, 1.0), (10.0, 0.3), (8.0, 30.0)])
@pytest.mark.parametrize("law", BOUNDS)
def test_differences_are_covered_also_where_few_nodes_or_none_differ(law, up, down):
    draw = np.random.default_rng(33)
    truth = (up - down) * MEANS[law]
    both = zip(*clusters(draw, law, up)[:2], *clusters(draw, law, down)[:2], strict=True)
    size = BOUNDS[law]
    found = [difference_interval(more, less, (v, w), (size, size)) for more, v, less, w in both]
    assert covers([low <= truth <= high for low, high in found])


def fleet(draw, n, kills, panics):
    """Nodes of which some have a kill, and others a panic that takes 38 processes along."""
    killed, panicked = draw.poisson(kills, n), draw.poisson(panics, n)
    return nodes(n, kills_direct_ar=killed, panics=panicked, losses=killed + 38 * panicked)


def test_losses_of_a_fleet_are_covered_though_it_may_have_no_panic():
    draw, n, kills, panics = np.random.default_rng(34), 1000, 0.005, 0.001
    truth = 1000 * (kills + 38 * panics)
    found = [rate(sums_of(fleet(draw, n, kills, panics), ends=Ends(38, 16)), "losses") for _ in range(600)]
    assert covers([one.low <= truth <= one.high for one in found])


def test_differences_and_ratios_of_losses_are_covered_though_an_arm_spares_few_panics():
    """An arm that spares a third of the panics and adds a few kills, in fleets with two panics on average."""
    draw, n, kills, panics, added = np.random.default_rng(35), 400, 0.02, 0.005, 0.0025
    differences, ratios = [], []
    for _ in range(600):
        base = fleet(draw, n, kills, panics)
        arm = base.copy()
        spared = (draw.random(n) < 1 / 3) & (weights("panics") @ base.T > 0)
        arm[spared] = nodes(1)
        arm += fleet(draw, n, added, 0.0) - nodes(n)
        found = effect(sums_of(arm, base, Ends(38, 16)), "losses")
        apart = added - 38 * panics / 3 - kills * -np.expm1(-panics) / 3  # kills of a spared node are gone, too
        differences.append(found.difference.low <= 1000 * apart <= found.difference.high)
        if found.ratio.value is not None:
            ratios.append(found.ratio.low <= 1 + apart / (kills + 38 * panics) <= found.ratio.high)
    assert covers(differences)
    assert covers(ratios)


@pytest.mark.parametrize(("up", "down"), [(0.0, 2.0), (2.0, 0.5), (20.0, 6.0)])
def test_ratios_of_clustered_counts_are_covered(up, down):
    """Of twelve clusters in the baseline on average, of which some are avoided, and some that the arm alone has."""
    draw, truth, hits = np.random.default_rng(36), 1 + (up - down) / 12, []
    for _ in range(FLEETS):
        kept, avoided, added = (draw.geometric(0.4, draw.poisson(mean)).astype(float) for mean in (12 - down, down, up))
        base = np.concatenate((kept, avoided))
        if not base.size:
            continue
        paired = Paired.by_node(2000, np.concatenate((kept, 0 * avoided, added)), np.concatenate((base, 0 * added)))
        found = ratio(paired)
        hits.append(found.low <= truth <= found.high)
    assert covers(hits)
