"""Estimators against independent readings and by simulation; every check has a false-alarm rate of 1e-6 or is exact."""

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.effects import effect, effect_on_exposure
from analysis.estimators.rates import Ends, proportion, rate, survival_ratio, weights
from fleet.stored.headline import INDEX
from tests.node_sums import nodes, sums_of

Z = 1.959963984540054


def limits(total, square, size):
    """Fay and Feuer's by chi-square quantiles."""
    more, wider = total + size, square + size**2
    low = square / (2 * total) * stats.chi2.ppf(0.025, 2 * total**2 / square) if total else 0.0
    return low, wider / (2 * more) * stats.chi2.ppf(0.975, 2 * more**2 / wider)


@pytest.mark.parametrize(("count", "size"), [(7, 2 + 4 / 7), (0, 1.0)])
def test_the_rate_of_scattered_events_allows_for_a_node_with_some_more(count, size):
    x = nodes(100_000)
    x[:count, INDEX["panics"]] = 1
    found = rate(sums_of(x), "panics")
    expected = [1000 * value / 100_000 for value in (count, *limits(count, count, size))]
    assert [found.value, found.low, found.high] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("metric", "size"), [("losses", 38), ("kills", 16), ("kills_sigkill", 16), ("panics", 1)])
def test_no_event_has_a_bound_that_knows_what_one_would_cost(metric, size):
    found = rate(sums_of(nodes(2000), ends=Ends(38, 16)), metric)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1000 * size * stats.chi2.ppf(0.975, 2) / 2 / 2000)


def test_no_event_in_an_arm_may_cost_what_one_costs_in_another():
    base = nodes(2000)
    base[:3, INDEX["sdc"]] = [1, 9, 2]
    sums = sums_of(nodes(2000), base)
    assert rate(sums, "sdc").high == pytest.approx(1000 * 9 * stats.chi2.ppf(0.975, 2) / 2 / 2000)
    assert rate(sums, "ue").high == pytest.approx(1000 * stats.chi2.ppf(0.975, 2) / 2 / 2000)


def test_while_few_nodes_have_losses_a_panic_may_come():
    x = nodes(2000)
    x[:9, INDEX["losses"]] = 1
    few = rate(sums_of(x, ends=Ends(38, 16)), "losses").high
    assert few == pytest.approx(1000 * limits(9, 9, 38)[1] / 2000, rel=2e-3)
    x[:10, INDEX["losses"]] = 1
    assert rate(sums_of(x, ends=Ends(38, 16)), "losses").high < few / 3


def test_a_single_node_tells_no_interval():
    x, base = nodes(1, panics=3, ue=2, ue_survived=1), nodes(1, panics=1, ue=2)
    sums = sums_of(x, base)
    found = effect(sums, "panics")
    values = rate(sums, "panics"), proportion(sums, weights("ue_survived"), weights("ue"))
    for one in (*values, found.difference, found.ratio, effect_on_exposure(sums).difference):
        assert (one.low, one.high) == (None, None)
    assert [one.value for one in (*values, found.difference, found.ratio)] == [3000.0, 0.5, 2000.0, 3.0]


@pytest.mark.parametrize("metric", ["pages_offlined", "memory_lost_byte_years"])
def test_what_a_few_nodes_have_most_of_has_no_interval(metric):
    found = effect(sums_of(nodes(2000, **{metric: 7.0}), nodes(2000, **{metric: 1.0})), metric)
    assert (found.difference.value, found.difference.low, found.ratio.low) == (6000.0, None, None)


def test_clustered_events_widen_the_interval_by_the_cluster_size():
    scattered, clustered = nodes(100_000), nodes(100_000)
    scattered[:400, INDEX["losses"]] = 1
    clustered[:10, INDEX["losses"]] = 40
    narrow, wide = (rate(sums_of(x, ends=Ends(40, 16)), "losses") for x in (scattered, clustered))
    assert narrow.value == wide.value
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt(40), rel=0.1)


@pytest.mark.parametrize("size", [1.0, 5.0])
def test_intervals_of_rates_cover_the_truth_as_often_as_they_say(size):
    generator = np.random.default_rng(20)
    trials, n, mean = 1500, 400, 0.05
    covered = 0
    for _ in range(trials):
        found = rate(sums_of(nodes(n, kills_direct_ar=size * generator.poisson(mean, n))), "kills_direct_ar")
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


@pytest.mark.parametrize(("up", "down"), [(0.02, 0.0), (0.02, 0.03), (0.002, 0.03), (0.002, 0.0)])
def test_a_paired_difference_is_that_of_what_some_nodes_have_more_and_others_less(up, down):
    generator = np.random.default_rng(4)
    n = 3000
    shared = 1 + generator.poisson(0.05, n)
    apart = generator.poisson(up, n) - generator.binomial(shared, down)
    x0, x = nodes(n, panics=shared), nodes(n, panics=shared + apart)
    x[:, 0] -= generator.random(n) * 0.1
    found = effect(sums_of(x, x0), "panics")
    more, less = np.maximum(apart, 0), np.maximum(-apart, 0)
    differing, total = (apart != 0).sum(), apart.sum()
    assert differing
    size, most = np.abs(apart).max() * (2 + 4 / differing), max(shared.max(), (shared + apart).max())
    usual = (apart**2).sum() / np.abs(apart).sum()
    counts = (more > 0).sum(), (less > 0).sum()
    if differing < 10:
        sizes = [max(size, most) if count else most for count in counts]
    else:
        sizes = [usual if here < 10 <= there else size for here, there in (counts, counts[::-1])]
    mean = total**2 / n
    (l1, u1), (l2, u2) = (
        limits(side.sum(), (side**2).sum() - mean * (side.sum() == max(more.sum(), less.sum())), weight)
        for side, weight in zip((more, less), sizes, strict=True)
    )
    low = total - np.hypot(more.sum() - l1, u2 - less.sum())
    high = total + np.hypot(u1 - more.sum(), less.sum() - l2)
    assert found.differing == differing
    assert [found.difference.value, found.difference.low, found.difference.high] == pytest.approx(
        [1000 * value / n for value in (total, low, high)], rel=1e-9
    )


def test_the_interval_of_a_paired_ratio_is_hardly_wider_than_the_linearised_one():
    """And much narrower than that of two counts that share nothing."""
    generator = np.random.default_rng(6)
    n = 3000
    shared = generator.poisson(0.5, n)
    x0 = nodes(n, panics=shared)
    x = nodes(n, panics=shared + generator.poisson(0.05, n))
    found = effect(sums_of(x, x0), "panics").ratio
    mine, base = x[:, INDEX["panics"]], x0[:, INDEX["panics"]]
    apart = mine / mine.sum() - base / base.sum()
    half = Z * np.sqrt((apart**2).sum())
    ratio = mine.sum() / base.sum()
    assert found.value == pytest.approx(ratio)
    assert 1.0 < (found.high - found.low) / (2 * ratio * half) < 1.3
    assert found.high - found.low < ratio * Z * np.sqrt(1 / mine.sum() + 1 / base.sum())


def test_paired_difference_of_the_time_up_equals_the_direct_formula_by_node():
    generator = np.random.default_rng(5)
    n = 3000
    x0, x = nodes(n), nodes(n)
    down = generator.random(n) * 0.1
    x0[:, 0] -= down
    x[:, 0] -= down + (generator.random(n) < 0.02) * 0.3
    found = effect_on_exposure(sums_of(x, x0))
    each = 1000 * (x[:, 0] - x0[:, 0])
    half = Z * each.std() / np.sqrt(n)
    assert found.difference.value == pytest.approx(each.mean(), rel=1e-9)
    assert found.difference.low == pytest.approx(each.mean() - half, abs=0.5 * half)
    assert found.difference.high == pytest.approx(each.mean() + half, abs=0.5 * half)
    assert found.difference.high < 0.0
    assert found.ratio.value == pytest.approx(x[:, 0].sum() / x0[:, 0].sum())
    assert found.ratio.low < found.ratio.value < found.ratio.high < 1.0


def test_equal_arms_are_up_for_equally_long_as_far_as_the_longest_time_down_tells():
    x = nodes(1000)
    x[:, 0] -= np.random.default_rng(1).random(1000) * 0.1
    found = effect_on_exposure(sums_of(x))
    longest = 1000 * (1.0 - x[:, 0].min()) * stats.chi2.ppf(0.975, 2) / 2 / 1000
    assert (found.difference.value, found.differing) == (0.0, 0)
    assert (found.difference.low, found.difference.high) == pytest.approx((-longest, longest))


def test_the_same_events_are_no_difference_however_long_the_nodes_were_up():
    events = np.random.default_rng(1).poisson(0.1, 1000)
    x, base = nodes(1000, panics=events), nodes(1000, panics=events)
    x[:, 0] -= 0.01
    found = effect(sums_of(x, base), "panics")
    bound = events.max() * stats.chi2.ppf(0.975, 2) / 2
    assert (found.difference.value, found.ratio.value, found.differing, found.wanted) == (0.0, 1.0, 0, None)
    assert (found.difference.low, found.difference.high) == pytest.approx((-bound, bound))
    assert found.ratio.low < 1.0 < found.ratio.high


def test_so_many_more_nodes_as_named_tell_arms_apart():
    base = nodes(4000)
    base[:40, INDEX["panics"]] = 1
    arm = base.copy()
    arm[:3, INDEX["panics"]] = 0
    few = effect(sums_of(arm, base), "panics")
    assert few.difference.low < 0.0 < few.difference.high
    assert few.wanted > 1.5
    times = int(np.ceil(few.wanted))
    many = effect(sums_of(np.tile(arm, (times, 1)), np.tile(base, (times, 1))), "panics")
    assert (many.wanted, many.difference.high < 0.0) == (1.0, True)
