"""Estimators against independent readings and by simulation; every check has a false-alarm rate of 1e-6 or is exact."""

import numpy as np
import pytest
from scipy import stats

from analysis.compare import effect, effect_on_exposure
from analysis.rates import Sums, count_interval, proportion, rate, survival_ratio, weights
from fleet.stored.headline import INDEX, METRICS

M = len(METRICS)


def sums_of(x, x0=None):
    """Sums over nodes of given metric vectors."""
    x0 = x if x0 is None else x0
    return Sums(x.shape[0], x.sum(axis=0), x.T @ x, x.T @ x0, x0.sum(axis=0), x0.T @ x0)


def nodes(n, **columns):
    x = np.zeros((n, M))
    x[:, INDEX["node_years"]] = 1.0
    for name, values in columns.items():
        x[:, INDEX[name]] = values
    return x


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40, 1000])
def test_interval_of_a_poisson_count_is_garwoods(count):
    low, high = count_interval(count, count)
    expected = (stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, stats.chi2.ppf(0.975, 2 * count + 2) / 2)
    assert (low, high) == pytest.approx(expected, rel=1e-9)


def test_rate_of_scattered_events_has_the_exact_poisson_interval():
    x = nodes(100_000)
    x[:7, INDEX["panics"]] = 1
    found = rate(sums_of(x), weights("panics"))
    expected = [
        1000 * value / 100_000 for value in (7, *(stats.chi2.ppf(q, 2 * k) / 2 for q, k in ((0.025, 7), (0.975, 8))))
    ]
    assert [found.value, found.low, found.high] == pytest.approx(expected, rel=1e-3)


def test_clustered_events_widen_the_interval_by_the_cluster_size():
    scattered, clustered = nodes(100_000), nodes(100_000)
    scattered[:400, INDEX["losses"]] = 1
    clustered[:10, INDEX["losses"]] = 40
    narrow, wide = (rate(sums_of(x), weights("losses")) for x in (scattered, clustered))
    assert narrow.value == wide.value
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt(40), rel=0.1)


@pytest.mark.parametrize("size", [1.0, 5.0])
def test_intervals_of_rates_cover_the_truth_as_often_as_they_say(size):
    generator = np.random.default_rng(20)
    trials, n, mean = 4000, 2000, 0.01
    covered = 0
    for _ in range(trials):
        found = rate(sums_of(nodes(n, kills_direct_ar=size * generator.poisson(mean, n))), weights("kills_direct_ar"))
        covered += found.low <= 1000 * size * mean <= found.high
    assert stats.binom.cdf(covered, trials, 0.94) > 1e-6


@pytest.mark.parametrize("size", [1, 30])
def test_a_proportion_is_known_as_well_as_wilsons_of_so_many_nodes_that_do_all_or_nothing(size):
    x = nodes(5000)
    x[:300, INDEX["ue"]] = size
    x[:120, INDEX["ue_survived"]] = size
    found = proportion(sums_of(x), weights("ue_survived"), weights("ue"))
    wilson = stats.binomtest(120, 300).proportion_ci(method="wilson")
    assert [found.value, found.low, found.high] == pytest.approx([0.4, wilson.low, wilson.high], rel=2e-3)


def test_the_survival_ratio_is_of_detected_errors():
    x = nodes(100, ue=3, ue_survived=1, sdc=7)
    assert survival_ratio(sums_of(x)).value == pytest.approx(1 / 3)


def test_proportion_of_nothing_is_undefined():
    found = proportion(sums_of(nodes(10)), weights("ue_survived"), weights("ue"))
    assert found.value is None


def test_paired_difference_equals_the_direct_formula_by_node():
    generator = np.random.default_rng(4)
    n = 3000
    shared = generator.poisson(0.05, n)
    x0 = nodes(n, panics=shared)
    x = nodes(n, panics=shared + generator.poisson(0.01, n))
    x[:, 0] -= generator.random(n) * 0.1
    found = effect(sums_of(x, x0), weights("panics")).difference
    e, e0 = x[:, 0].sum(), x0[:, 0].sum()
    r, r0 = x[:, INDEX["panics"]].sum() / e, x0[:, INDEX["panics"]].sum() / e0
    influence = (x[:, INDEX["panics"]] - r * x[:, 0]) / e - (x0[:, INDEX["panics"]] - r0 * x0[:, 0]) / e0
    half = 1.959963984540054 * np.sqrt((influence**2).sum())
    assert [found.value, found.low, found.high] == pytest.approx(
        [1000 * (r - r0), 1000 * (r - r0 - half), 1000 * (r - r0 + half)], rel=1e-9
    )


def test_paired_ratio_equals_the_direct_formula_by_node():
    generator = np.random.default_rng(6)
    n = 3000
    shared = generator.poisson(0.5, n)
    x0 = nodes(n, panics=shared)
    x = nodes(n, panics=shared + generator.poisson(0.05, n))
    found = effect(sums_of(x, x0), weights("panics")).ratio
    mine, base = x[:, INDEX["panics"]], x0[:, INDEX["panics"]]
    apart = mine / mine.sum() - base / base.sum()
    spread = np.exp(1.959963984540054 * np.sqrt((apart**2).sum()))
    ratio = mine.sum() / base.sum()
    assert [found.value, found.low, found.high] == pytest.approx([ratio, ratio / spread, ratio * spread], rel=1e-9)


def test_paired_difference_of_the_time_up_equals_the_direct_formula_by_node():
    generator = np.random.default_rng(5)
    n = 3000
    x0, x = nodes(n), nodes(n)
    down = generator.random(n) * 0.1
    x0[:, 0] -= down
    x[:, 0] -= down + (generator.random(n) < 0.02) * 0.3
    found = effect_on_exposure(sums_of(x, x0))
    each = 1000 * (x[:, 0] - x0[:, 0])
    half = 1.959963984540054 * each.std() / np.sqrt(n)
    assert [found.difference.value, found.difference.low, found.difference.high] == pytest.approx(
        [each.mean(), each.mean() - half, each.mean() + half], rel=1e-7
    )
    assert found.ratio.value == pytest.approx(x[:, 0].sum() / x0[:, 0].sum())
    assert found.ratio.low < found.ratio.value < found.ratio.high < 1.0


def test_equal_arms_are_up_for_equally_long():
    x = nodes(1000)
    x[:, 0] -= np.random.default_rng(1).random(1000) * 0.1
    found = effect_on_exposure(sums_of(x)).difference
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_equal_arms_differ_by_exactly_nothing():
    x = nodes(1000, panics=np.random.default_rng(1).poisson(0.1, 1000))
    found = effect(sums_of(x), weights("panics"))
    assert found.difference.value == 0.0
    assert found.difference.high == pytest.approx(0.0, abs=1e-6)
    assert found.ratio.value == 1.0
