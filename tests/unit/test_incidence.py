"""Cumulative incidence with competing events: by hand, against closed forms, and against statsmodels."""

import math

import numpy as np
import pytest
from statsmodels.duration.survfunc import CumIncidenceRight, SurvfuncRight

from analysis.estimators.incidence import CENSORED, COMPETING, OF_INTEREST, cumulative_incidence
from analysis.estimators.intervals import Z

# Ten units: time, what ended it. At risk before 1, 2, 3, 5, 6, 8: 10, 9, 7, 4, 3, 1.
BY_HAND = [
    (1, OF_INTEREST),
    (2, COMPETING),
    (2, CENSORED),
    (3, OF_INTEREST),
    (3, OF_INTEREST),
    (4, CENSORED),
    (5, COMPETING),
    (6, OF_INTEREST),
    (7, CENSORED),
    (8, OF_INTEREST),
]


def curve_of(pairs):
    time, end = (np.asarray(part) for part in zip(*pairs, strict=True))
    return cumulative_incidence(time, end)


def test_the_curve_is_the_one_computed_by_hand():
    found = curve_of(BY_HAND)
    assert found.time.tolist() == [1, 2, 3, 5, 6, 8]
    assert found.at_risk.tolist() == [10, 9, 7, 4, 3, 1]
    assert found.events.tolist() == [1, 0, 2, 0, 1, 1]
    assert found.competing.tolist() == [0, 1, 0, 1, 0, 0]
    # Free of both just before: 1, 9/10, 9/10 * 8/9 = 4/5, 4/5 * 5/7 = 4/7, 4/7 * 3/4 = 3/7, 3/7 * 2/3 = 2/7.
    steps = [1 / 10, 0, 4 / 5 * 2 / 7, 0, 3 / 7 / 3, 2 / 7]
    assert found.value == pytest.approx(np.cumsum(steps))
    assert found.ended == pytest.approx(np.cumsum([0, 9 / 10 / 9, 0, 4 / 7 / 4, 0, 0]))
    assert found.value[-1] + found.ended[-1] == pytest.approx(1.0)


def variance_by_double_loop(found):
    """The variance as its formula is written, term by term."""
    free = [1.0]
    for n, a, b in zip(found.at_risk, found.events, found.competing, strict=True):
        free.append(free[-1] * (1 - (a + b) / n))
    result = []
    for t in range(found.time.size):
        total = 0.0
        for i in range(t + 1):
            n, d1 = int(found.at_risk[i]), int(found.events[i])
            d = d1 + int(found.competing[i])
            rest = found.value[t] - found.value[i]
            total += rest**2 * d / (n * (n - d)) if n > d else 0.0
            total += free[i] ** 2 * d1 * (n - d1) / n**3 - 2 * rest * free[i] * d1 / n**2
        result.append(total)
    return np.asarray(result)


def random_units(seed, n=300):
    random = np.random.default_rng(seed)
    return [(int(t), int(k)) for t, k in zip(random.integers(1, 60, n), random.integers(0, 3, n), strict=True)]


@pytest.mark.parametrize("pairs", [BY_HAND[:-1], random_units(1), random_units(2, 40)])
def test_the_interval_is_that_of_the_variance_on_the_scale_log_minus_log(pairs):
    found = curve_of(pairs)
    some = (found.value > 0.0) & (found.value < 1.0)
    value, deviation = found.value[some], np.sqrt(variance_by_double_loop(found)[some])
    middle, half = np.log(-np.log(value)), Z * deviation / np.abs(value * np.log(value))
    assert found.low[some] == pytest.approx(np.exp(-np.exp(middle + half)))
    assert found.high[some] == pytest.approx(np.exp(-np.exp(middle - half)))
    assert np.isnan(found.low[~some]).all()


def test_without_censoring_it_is_the_share_and_its_binomial_variance():
    pairs = [(t, OF_INTEREST if t % 3 else COMPETING) for t in range(1, 91)]
    found = curve_of(pairs)
    share = np.cumsum([t % 3 > 0 for t in range(1, 91)]) / 90
    assert found.value == pytest.approx(share)
    expected = share * (1 - share) / 90
    assert variance_by_double_loop(found)[:-1] == pytest.approx(expected[:-1], abs=1e-9)
    half = Z * np.sqrt(expected[29]) / (share[29] * -math.log(share[29]))
    assert found.high[29] == pytest.approx(share[29] ** math.exp(-half))


def test_without_competing_events_it_is_one_minus_kaplan_and_meier():
    pairs = [(t, min(kind, OF_INTEREST)) for t, kind in random_units(3)]
    found = curve_of(pairs)
    oracle = SurvfuncRight(*(np.asarray(part, float) for part in zip(*pairs, strict=True)))
    assert found.time == pytest.approx(oracle.surv_times)
    assert found.value == pytest.approx(1 - oracle.surv_prob)
    assert np.sqrt(variance_by_double_loop(found)) == pytest.approx(oracle.surv_prob_se, rel=1e-6)


def test_it_is_the_curve_of_statsmodels():
    pairs = random_units(4)
    found = curve_of(pairs)
    oracle = CumIncidenceRight(*(np.asarray(part) for part in zip(*pairs, strict=True)))
    for mine, theirs in ((found.value, oracle.cinc[0]), (found.ended, oracle.cinc[1])):
        at = np.searchsorted(oracle.times, found.time)
        assert mine == pytest.approx(theirs[at])


def test_nobody_and_nothing_have_an_empty_curve():
    none = np.empty(0, np.int64)
    assert cumulative_incidence(none, none).time.size == 0
    assert cumulative_incidence(np.asarray([3, 4]), np.asarray([CENSORED, CENSORED])).time.size == 0


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """2,000 samples of 200 units; 95 % within 3.1 %, which chance alone leaves once in a million times or less."""
    random = np.random.default_rng(5)
    rates, end_of_watch, t = (0.3, 0.5), 2.0, 1.0
    truth = rates[0] / sum(rates) * (1 - math.exp(-sum(rates) * t))
    held = 0
    for _ in range(2000):
        first, second = (random.exponential(1 / rate, 200) for rate in rates)
        watched = random.uniform(0.0, end_of_watch, 200)
        time = np.minimum(np.minimum(first, second), watched)
        end = np.select([time == first, time == second], [OF_INTEREST, COMPETING], CENSORED)
        found = cumulative_incidence((time * 1e9).astype(np.int64), end)
        at = np.searchsorted(found.time, t * 1e9) - 1
        held += bool(found.low[at] <= truth <= found.high[at])
    assert abs(held / 2000 - 0.95) < 0.031
