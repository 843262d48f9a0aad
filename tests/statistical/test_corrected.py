"""Corrected errors: order statistics, bursts, counts and first sight of soft faults, in closed form.

False-alarm rate 1e-6 per check, divided by the number of points where there are several.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Mode
from node_sim.corrected.windows import Windows, error_time_ns, errors_before
from node_sim.dram.faults import Cells, FaultTable, Habit, simulate_faults
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Purpose, Seed
from node_sim.errors import ConfigError
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Detection, ErrorProcess, Levels, Policy
from node_sim.server.workload import Use, Workload
from node_sim.units import NS_PER_YEAR
from tests.handmade import corrected_windows, soft_rows
from tests.oracle.fault_growth import Draws
from tests.oracle.named_draws import unit32

ALPHA = 1e-6
SEED = Seed.of(20260402)
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
LENGTH_NS = 10**15
NOTHING_USED = Use(free=1.0, kernel=0.0, anonymous=0.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0)
ALL_USED = Use(free=0.0, kernel=0.0, anonymous=1.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0)


def make_windows(errors: np.ndarray, u: np.ndarray, low_ns: int = 5, length_ns: int = LENGTH_NS) -> Windows:
    """One window for each count and uniform."""
    zero = np.zeros(errors.size, np.int64)
    low = zero + low_ns
    return Windows.even(
        zero, zero, low, low + length_ns, errors, zero + 1, u, np.zeros(errors.size, np.bool_), zero - 1
    )


def make_faults(
    n: int,
    *,
    hard: bool,
    time_ns: int | np.ndarray = 0,
    level: float = 0.0,
    pace: float | None = None,
    intermittent: bool | np.ndarray = False,
    n_pages: int = 1,
    mode: Mode = Mode.ROW,
) -> FaultTable:
    """Faults of n different nodes, with first bursts (and paces, if not given) from a generator of our own."""
    zero = np.zeros(n, np.int64)
    one, rng = zero + 1, np.random.default_rng(99)
    first_burst, drawn = rng.exponential(size=n), rng.normal(size=n)
    return FaultTable(
        node_id=np.arange(n),
        tag=zero + (3 << 24) + 7,
        time_ns=zero + time_ns,
        mode=zero + int(mode),
        hard=np.full(n, hard),
        habit=Habit(
            np.full(n, level), drawn if pace is None else np.full(n, pace), first_burst, zero + intermittent > 0
        ),
        cells=Cells(zero, one, one, one, one),
        box=Footprint(zero, zero, zero, zero, zero, one, one, one, one),
        order=PageOrder(zero, one),
        n_pages=zero + n_pages,
        first_pfn=zero,
    )


def simulate(faults: FaultTable, policy: Policy, horizon_ns: int) -> Windows:
    return corrected_windows(SEED, faults, np.ones(faults.time_ns.size, np.bool_), policy, horizon_ns)


ORDERS = [(1, 1), (1, 2), (2, 2), (1, 10), (4, 10), (10, 10), (37, 1000), (999, 1000), (7200, 7200)]


@pytest.mark.parametrize(("k", "n"), ORDERS)
def test_the_time_of_the_kth_error_is_distributed_as_the_kth_order_statistic(k, n):
    u = np.random.default_rng([k, n]).random(20_000)
    share = (error_time_ns(make_windows(np.full(u.size, n), u), np.full(u.size, k)) - 5) / LENGTH_NS
    assert stats.kstest(share, stats.beta(k, n - k + 1).cdf).pvalue > ALPHA


@pytest.mark.parametrize(("k", "n"), ORDERS)
def test_the_mean_time_of_the_kth_error_is_k_over_n_plus_1(k, n):
    u = (np.arange(20_000) + 0.5) / 20_000
    share = (error_time_ns(make_windows(np.full(u.size, n), u), np.full(u.size, k)) - 5) / LENGTH_NS
    # The midpoint rule on an even grid of a monotone function from 0 to 1 is off by at most half a cell.
    assert share.mean() == pytest.approx(k / (n + 1), abs=0.5 / 20_000 + 1e-12)


@pytest.mark.parametrize("n", [2, 3, 17, 500])
def test_later_errors_of_a_window_come_later(n):
    k = np.arange(1, n + 1)
    for u in (1e-9, 0.01, 0.5, 0.99, 1 - 1e-9):
        time = error_time_ns(make_windows(np.full(n, n), np.full(n, u)), k)
        assert (np.diff(time) >= 0).all()
        assert np.unique(time).size > n / 2


def test_errors_lie_inside_their_window():
    rng = np.random.default_rng(4)
    errors = rng.integers(1, 7201, 5000)
    windows = make_windows(errors, np.clip(rng.random(5000), 2**-53, 1 - 2**-53), 10, 86_400)
    for k in (np.ones_like(errors), errors):
        time = error_time_ns(windows, k)
        assert time.min() >= 10
        assert time.max() < 10 + 86_400


def test_errors_before_a_time_are_those_counted_one_by_one():
    rng = np.random.default_rng(5)
    errors = np.append(rng.integers(1, 60, 400), [1, 1, 2, 2])
    windows = make_windows(errors, rng.random(errors.size), 1000, 50_000)
    for time_ns in (0, 1000, 1001, 9_000, 26_000, 45_000, 50_999, 51_000, 99_999):
        time = np.full(errors.size, time_ns)
        counted = np.zeros_like(errors)
        for k in range(1, int(errors.max()) + 1):
            there = np.flatnonzero(errors >= k)
            counted[there] += error_time_ns(windows.take(there), np.full(there.size, k)) < time_ns
        assert np.array_equal(errors_before(windows, time), counted)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_an_error_is_not_before_its_own_time_but_before_the_next_instant(k):
    windows = make_windows(np.full(200, 30), np.random.default_rng(6).random(200))
    time = error_time_ns(windows, np.full(200, k))
    assert np.array_equal(errors_before(windows, time), np.full(200, k - 1))
    assert np.array_equal(errors_before(windows, time + 1), np.full(200, k))


BURSTS = Policy(
    errors=ErrorProcess(
        burst_interval_days=40.0,
        burst_days=4.0,
        intermittent_interval_days=15.0,
        intermittent_days=1.5,
        burst_spread=0.0,
    )
)
HABITS = {False: (40.0, 4.0), True: (15.0, 1.5)}
"""Mean interval and length of bursts of permanent and intermittent faults [days]."""
STARTS_D = (0.0, 33.3)
"""In days; the second is not at the start of a bin of bursts, nor of a window."""
N_BURSTS, END_D = 40_000, 160.5


@pytest.fixture(scope="module")
def bursty() -> FaultTable:
    """Faults of which every other is intermittent; of each two, every other starts late."""
    number = np.arange(N_BURSTS)
    start = np.asarray([round(day * DAY_NS) for day in STARTS_D])[number // 2 % 2]
    return make_faults(N_BURSTS, hard=True, time_ns=start, intermittent=number % 2)


@pytest.fixture(scope="module")
def burst_windows(bursty) -> Windows:
    return simulate(bursty, BURSTS, round(END_D * DAY_NS))


def p_active(begin_d: float, end_d: float, interval_d: float, length_d: float) -> float:
    """Probability that bursts cover some of a time, counted from the start of the fault [days].

    The first burst reaches the time with probability exp(-begin/m). The others that reach it are Poisson with mean
    m (1 - exp(-begin/m)) / interval (M/G/infinity, empty at 0), those that start in it with mean (end - begin) over
    interval.
    """
    reaches = np.exp(-begin_d / length_d)
    return 1.0 - (1.0 - reaches) * np.exp(-(length_d * (1.0 - reaches) + end_d - begin_d) / interval_d)


def of_habit(found: Windows, rests: bool, late: int) -> Windows:
    return found.take((found.fault % 2 == rests) & (found.fault // 2 % 2 == late))


GROUPS = [(rests, late) for rests in HABITS for late in range(len(STARTS_D))]
LATER_WINDOWS = (34, 35, 37, 39, 40, 45, 60, 80, 119, 120, 159, 160)
"""The last of them is half as long as the others."""


@pytest.mark.parametrize("late", range(len(STARTS_D)))
def test_the_window_in_which_a_hard_fault_starts_is_active_from_then_on(burst_windows, late):
    start = burst_windows.take((burst_windows.fault // 2 % 2 == late) & (burst_windows.window == int(STARTS_D[late])))
    assert start.fault.size == N_BURSTS / 2
    assert set(start.low_ns.tolist()) == {round(STARTS_D[late] * DAY_NS)}


@pytest.mark.parametrize(("rests", "late"), GROUPS)
def test_a_window_is_active_as_often_as_bursts_of_that_rate_and_length_cover_it(burst_windows, rests, late):
    found, start = of_habit(burst_windows, rests, late), STARTS_D[late]
    p = [
        stats.binomtest(
            int((found.window == window).sum()),
            N_BURSTS // 4,
            p_active(window - start, min(window + 1, END_D) - start, *HABITS[rests]),
        ).pvalue
        for window in LATER_WINDOWS
    ]
    assert min(p) > ALPHA / len(p)


@pytest.mark.parametrize("share", [0.1, 0.35, 0.7])
@pytest.mark.parametrize(("rests", "late"), GROUPS)
def test_bursts_begin_in_a_window_by_a_time_as_often_as_they_cover_what_is_before(burst_windows, rests, late, share):
    found, start, p = of_habit(burst_windows, rests, late), STARTS_D[late], []
    for window in LATER_WINDOWS:
        until = window + share * (min(window + 1, END_D) - window)
        mine = (found.window == window) & (found.low_ns < until * DAY_NS)
        expected = p_active(window - start, until - start, *HABITS[rests])
        p.append(stats.binomtest(int(mine.sum()), N_BURSTS // 4, expected).pvalue)
    assert min(p) > ALPHA / len(p)


@pytest.mark.parametrize("share", [0.1, 0.35, 0.7])
@pytest.mark.parametrize(("rests", "late"), GROUPS)
def test_bursts_end_in_a_window_after_a_time_as_often_as_they_cover_what_is_after(burst_windows, rests, late, share):
    found, start, p = of_habit(burst_windows, rests, late), STARTS_D[late], []
    for window in LATER_WINDOWS:
        end = min(window + 1, END_D)
        since = window + share * (end - window)
        mine = (found.window == window) & (found.high_ns > since * DAY_NS)
        expected = p_active(since - start, end - start, *HABITS[rests])
        p.append(stats.binomtest(int(mine.sum()), N_BURSTS // 4, expected).pvalue)
    assert min(p) > ALPHA / len(p)


@pytest.mark.parametrize(("rests", "late"), GROUPS)
def test_bursts_cover_an_instant_as_often_as_servers_of_an_unlimited_queue_are_busy(burst_windows, rests, late):
    # The end of a window: bursts last to it, or the fault rests.
    found, start, p = of_habit(burst_windows, rests, late), STARTS_D[late], []
    for window in LATER_WINDOWS:
        end = min(window + 1, END_D)
        mine = (found.window == window) & (found.high_ns == round(end * DAY_NS))
        expected = p_active(end - start, end - start, *HABITS[rests])
        p.append(stats.binomtest(int(mine.sum()), N_BURSTS // 4, expected).pvalue)
    assert min(p) > ALPHA / len(p)


@pytest.mark.parametrize("gap_d", [0.5, 1.0, 2.0, 4.0])
def test_a_fault_rests_in_two_windows_as_often_as_bursts_of_exponential_length_leave_out_both(gap_d):
    # Given that it rests in the first, bursts reach the second that begin after the first and last to it: an unlimited
    # queue that starts empty. How the share falls with the gap tells the law of lengths, not only their mean.
    interval_d, length_d, cut_d, n = 2.0, 2.0, 0.25, 20_000
    process = ErrorProcess(window_hours=6.0, burst_interval_days=interval_d, burst_days=length_d, burst_spread=0.0)
    windows = simulate(make_faults(n, hard=True), Policy(errors=process), 11 * DAY_NS)
    begin_d = 6.0
    first = round(begin_d / cut_d)
    both = np.isin(windows.window, (first, first + 1 + round(gap_d / cut_d)))
    rests = n - np.unique(windows.fault[both]).size
    later = length_d * -np.expm1(-gap_d / length_d) + cut_d
    expected = (1.0 - p_active(begin_d, begin_d + cut_d, interval_d, length_d)) * np.exp(-later / interval_d)
    assert stats.binomtest(rests, n, expected).pvalue > ALPHA


@pytest.mark.parametrize("late", range(len(STARTS_D)))
def test_the_first_burst_ends_exactly_when_its_length_says(bursty, burst_windows, late):
    # Of first bursts that end in the window in which they begin. Others hide the end if they reach beyond it: those
    # that begin before it with the probability of lasting so long, and all that begin in the rest of the window.
    mean_d, interval_d = (
        np.where(bursty.habit.intermittent, HABITS[True][part], HABITS[False][part]) for part in (1, 0)
    )
    length_d, left_d = bursty.habit.first_burst * mean_d, 1.0 - STARTS_D[late] % 1.0
    found = burst_windows.take((burst_windows.fault // 2 % 2 == late) & (burst_windows.window == int(STARTS_D[late])))
    found = found.take(length_d[found.fault] < left_d)
    length_d, mean_d, interval_d = length_d[found.fault], mean_d[found.fault], interval_d[found.fault]
    end_ns = found.low_ns + 1 + length_d * DAY_NS
    assert (found.high_ns > end_ns - 2).all()
    alone = np.exp(-(mean_d * -np.expm1(-length_d / mean_d) + left_d - length_d) / interval_d)
    seen = int((found.high_ns < end_ns + 2).sum())
    # 4.9 is the two-sided normal quantile of 1e-6.
    assert abs(seen - alone.sum()) < 4.9 * np.sqrt((alone * (1 - alone)).sum())


def test_windows_of_a_fault_do_not_repeat(burst_windows):
    name = burst_windows.fault * 1000 + burst_windows.window
    assert np.unique(name).size == name.size


def test_windows_are_ordered_by_fault_and_window(burst_windows):
    assert (np.diff(burst_windows.fault * 1000 + burst_windows.window) > 0).all()


def test_bursts_of_a_window_lie_in_it(burst_windows):
    assert (burst_windows.low_ns < burst_windows.high_ns).all()
    assert np.array_equal(burst_windows.low_ns // DAY_NS, burst_windows.window)
    assert np.array_equal((burst_windows.high_ns - 1) // DAY_NS, burst_windows.window)
    assert burst_windows.high_ns.max() == round(END_D * DAY_NS)


def test_errors_lie_between_the_first_and_the_last_burst_of_their_window(burst_windows):
    for k in (np.ones_like(burst_windows.errors), burst_windows.errors):
        time_ns = error_time_ns(burst_windows, k)
        assert (time_ns >= burst_windows.low_ns).all()
        assert (time_ns < burst_windows.high_ns).all()


def test_a_fault_has_no_window_before_it_starts():
    start = np.random.default_rng(7).integers(0, 399 * DAY_NS, 2000)
    windows = simulate(make_faults(2000, hard=True, time_ns=start), BURSTS, 400 * DAY_NS)
    assert (windows.low_ns >= start[windows.fault]).all()
    assert windows.high_ns.max() <= 400 * DAY_NS


def test_bursts_do_not_depend_on_how_windows_are_cut():
    faults = make_faults(500, hard=True)
    short, long = (
        simulate(faults, Policy(errors=ErrorProcess(window_hours=hours, ce_cap_per_day=10_000_000)), 60 * DAY_NS)
        for hours in (6.0, 24.0)
    )
    name = short.fault * 60 + short.window // 4
    first, last = (np.flatnonzero(np.diff(name, **{side: -1})) for side in ("prepend", "append"))
    assert np.array_equal(name[first], long.fault * 60 + long.window)
    assert np.array_equal(short.low_ns[first], long.low_ns)
    assert np.array_equal(short.high_ns[last], long.high_ns)


RARE_DAYS, SHORT_DAYS, N_RARE = 50.0, 0.01, 20_000
"""Bursts so short that every other window of a day is active independently of the rest, given the fault's rate."""
EVERY_OTHER = np.arange(2, 202, 2)


def active_windows(spread: float, pace: float | None) -> np.ndarray:
    """How many of the windows ``EVERY_OTHER`` of each of many faults are active."""
    process = ErrorProcess(burst_interval_days=RARE_DAYS, burst_days=SHORT_DAYS, burst_spread=spread)
    windows = simulate(make_faults(N_RARE, hard=True, pace=pace), Policy(errors=process), 202 * DAY_NS)
    return np.bincount(windows.fault[np.isin(windows.window, EVERY_OTHER)], minlength=N_RARE)


def p_rare(rate_factor: np.ndarray) -> np.ndarray:
    """Probability that one of them is active: a burst starts in it or lasts into it."""
    return -np.expm1(-rate_factor * (1.0 + SHORT_DAYS) / RARE_DAYS)


def lognormal_law(spread: float) -> np.ndarray:
    """Chances of 0, 1, … active windows if rates are lognormal with mean 1: a mixture of binomials."""
    z = np.linspace(-9.0, 9.0, 6001)
    weight = stats.norm.pdf(z) * (z[1] - z[0])
    p = p_rare(np.exp(spread * z - spread**2 / 2))
    count = np.arange(EVERY_OTHER.size + 1)
    return stats.binom.pmf(count[:, None], EVERY_OTHER.size, p[None, :]) @ weight


def classes(expected: np.ndarray) -> list[int]:
    """First counts of neighbouring classes of which 25 or more are expected each."""
    first, total = [0], 0.0
    for count, part in enumerate(expected.tolist()):
        if total >= 25.0 and expected[count:].sum() >= 25.0:
            first.append(count)
            total = 0.0
        total += part
    return first


@pytest.mark.parametrize("pace", [-1.5, 0.0, 1.0, 2.5])
def test_the_rate_of_bursts_of_a_fault_is_a_factor_exp_of_its_pace(pace):
    spread = 0.8
    p = p_rare(np.exp(spread * pace - spread**2 / 2))
    seen = int(active_windows(spread, pace).sum())
    assert stats.binomtest(seen, N_RARE * EVERY_OTHER.size, float(p)).pvalue > ALPHA


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
def test_the_number_of_active_windows_of_a_fault_is_a_lognormal_mixture_of_mean_rate_one_per_interval(spread):
    law = lognormal_law(spread)
    assert law.sum() == pytest.approx(1.0, abs=1e-12)
    seen = np.bincount(active_windows(spread, None), minlength=law.size)
    first = classes(N_RARE * law)
    expected = np.add.reduceat(N_RARE * law, first)
    assert stats.chisquare(np.add.reduceat(seen, first), expected).pvalue > ALPHA


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_mean_and_overdispersion_of_bursts_are_those_of_lognormal_rates(spread):
    law, count = lognormal_law(spread), np.arange(EVERY_OTHER.size + 1)
    active = active_windows(spread, None)
    for power in (count, count * (count - 1) / 2):
        mean = law @ power
        error = np.sqrt((law @ power**2 - mean**2) / N_RARE)
        # 5.0 is the two-sided normal quantile of 5e-7.
        assert abs(power[active].mean() - mean) < 5.0 * error
    # The oracle itself against its limit of rare bursts: one burst per interval, and pairs exp(spread**2) times as
    # frequent as without spread, both up to a second burst in a window and to the length of bursts.
    once = EVERY_OTHER.size / RARE_DAYS
    second = 1.5 / RARE_DAYS * np.exp(spread**2)
    assert law @ count == pytest.approx(once, rel=second)
    pairs = law @ (count * (count - 1)) / (1 - 1 / EVERY_OTHER.size)
    assert pairs == pytest.approx(once**2 * np.exp(spread**2), rel=3 * second * np.exp(spread**2))


def test_bursts_of_a_fault_start_once_an_hour_at_most_on_average():
    process = ErrorProcess(window_hours=1.0, burst_interval_days=0.1, burst_days=SHORT_DAYS, burst_spread=3.0)
    n = 3000
    windows = simulate(make_faults(n, hard=True, pace=5.0), Policy(errors=process), 2 * DAY_NS)
    expected = p_active(30 / 24, 31 / 24, 1 / 24, SHORT_DAYS)
    assert stats.binomtest(int((windows.window == 30).sum()), n, expected).pvalue > ALPHA


def counts(policy: ErrorProcess, level: float = 0.0, mode: Mode = Mode.ROW, n: int = 20_000) -> np.ndarray:
    """Errors of the first window of many faults."""
    windows = simulate(make_faults(n, hard=True, level=level, mode=mode), Policy(errors=policy), DAY_NS)
    return windows.errors


LEVELS = Levels(bit=0.5, row=1.0, column=4.0)


@pytest.mark.parametrize(
    ("level", "mode", "factor"),
    [(-1.0, Mode.ROW, 1.0), (0.0, Mode.ROW, 1.0), (1.5, Mode.ROW, 1.0), (0.0, Mode.BIT, 0.5), (1.0, Mode.COLUMN, 4.0)],
)
def test_counts_of_active_windows_are_lognormal_about_the_levels_of_mode_and_fault(level, mode, factor):
    process = ErrorProcess(
        median_ce_per_window=200.0,
        level=LEVELS,
        sigma_fault=0.8,
        sigma_window=1.2,
        ce_cap_per_day=10_000_000,
        ce_cap_per_quarter_hour=10_000_000,
    )
    errors = counts(process, level, mode)
    law = stats.lognorm(s=1.2, scale=200.0 * factor * np.exp(0.8 * level))
    for count in (20, 60, 200, 700, 2000):
        # errors = whole part of 1 + X, so errors > count exactly if X >= count.
        above = int((errors > count).sum())
        assert stats.binomtest(above, errors.size, law.sf(count)).pvalue > ALPHA / 5


def test_counts_of_active_windows_are_at_least_one():
    assert counts(ErrorProcess(median_ce_per_window=0.01)).min() == 1


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.text)
def test_no_level_means_no_errors_so_zero_is_refused(mode):
    with pytest.raises(ConfigError, match=f"^{mode.text} = 0.0, expected a number from 0.001 to 1000$"):
        Levels(**{mode.text: 0.0})
    faint = ErrorProcess(level=Levels(**{mode.text: 0.001}), median_ce_per_window=0.01, sigma_fault=0.0)
    assert set(counts(faint, mode=mode, n=2000).tolist()) == {1}


def test_counts_saturate_at_the_cap_of_a_window():
    process = ErrorProcess(
        window_hours=6.0,
        median_ce_per_window=1e6,
        sigma_window=0.0,
        ce_cap_per_day=7200,
        ce_cap_per_quarter_hour=10_000_000,
    )
    assert set(counts(process).tolist()) == {1800}


def test_no_more_pages_than_errors_and_than_the_fault_has_show_them():
    windows = simulate(make_faults(3000, hard=True, n_pages=24), Policy(), 30 * DAY_NS)
    assert np.array_equal(windows.n_pages, np.minimum(windows.errors, 24))


def test_the_scrubber_is_the_observer_of_the_configured_share_of_windows(burst_windows):
    assert stats.binomtest(int(burst_windows.scrub.sum()), burst_windows.scrub.size, 0.05).pvalue > ALPHA


def test_the_uniforms_of_windows_are_uniform_and_independent_of_counts(burst_windows):
    assert stats.kstest(burst_windows.u, "uniform").pvalue > ALPHA
    assert stats.spearmanr(burst_windows.u, burst_windows.errors).pvalue > ALPHA


def soft(n: int, use: Use, horizon_ns: int = 4000 * DAY_NS, **detection: float) -> Windows:
    policy = Policy(detection=Detection(**detection), workload=Workload(use=use))
    return simulate(make_faults(n, hard=False), policy, horizon_ns)


def test_in_free_memory_a_soft_fault_is_seen_by_the_scrubber_uniformly_over_its_period():
    windows = soft(20_000, NOTHING_USED, scrub_hours=24.0)
    assert windows.fault.size == 20_000
    assert windows.scrub.all()
    assert stats.kstest(windows.low_ns / DAY_NS, "uniform").pvalue > ALPHA


def test_in_free_memory_nobody_sees_a_soft_fault_without_a_scrubber():
    assert soft(5000, NOTHING_USED, scrub_hours=0.0).fault.size == 0


@pytest.mark.parametrize(("hot_share", "mean_ns"), [(1.0, 600 * 10**9), (0.0, 240 * HOUR_NS)])
def test_without_a_scrubber_a_soft_fault_is_seen_at_the_first_access(hot_share, mean_ns):
    windows = soft(20_000, ALL_USED, scrub_hours=0.0, hot_share=hot_share)
    assert not windows.scrub.any()
    assert stats.kstest(windows.low_ns / mean_ns, "expon").pvalue > ALPHA


def test_three_in_ten_first_accesses_overwrite_a_soft_fault_unseen():
    seen = soft(20_000, ALL_USED, scrub_hours=0.0, hot_share=1.0).fault.size
    assert stats.binomtest(seen, 20_000, 0.7).pvalue > ALPHA


def test_accesses_and_the_scrubber_compete_for_a_soft_fault():
    # Access exponential with mean m, scrubber uniform on (0, T): P(scrubber first) = m/T (1 - exp(-T/m)).
    n, m = 20_000, 1.0 / 2.0
    windows = soft(n, ALL_USED, scrub_hours=24.0, hot_share=0.0, cold_interval_hours=12.0)
    p_scrub = m * (1.0 - np.exp(-1.0 / m))
    assert stats.binomtest(int(windows.scrub.sum()), n, p_scrub).pvalue > ALPHA
    assert stats.binomtest(int((~windows.scrub).sum()), n, 0.7 * (1.0 - p_scrub)).pvalue > ALPHA


def test_a_soft_fault_of_one_page_is_seen_at_most_once():
    windows = soft(20_000, ALL_USED)
    assert np.unique(windows.fault).size == windows.fault.size
    assert set(windows.errors.tolist()) == set(windows.n_pages.tolist()) == {1}
    assert set(windows.page.tolist()) == {0}


@pytest.mark.parametrize("scrub_hours", [0.0, 24.0])
def test_a_soft_fault_of_one_page_is_seen_when_the_four_words_of_its_name_say(scrub_hours):
    free, hot_share, hot_s, cold_hours, n = 0.3, 0.4, 600.0, 30.0, 3000
    use = replace(ALL_USED, free=free, anonymous=1.0 - free)
    windows = soft(n, use, 400 * DAY_NS, scrub_hours=scrub_hours, hot_share=hot_share, cold_interval_hours=cold_hours)
    draws, expected = Draws(SEED), []
    for node in range(n):
        by_scrub, by_use, by_time, by_kind = (unit32(word) for word in draws(Purpose.SEEN, node, (3 << 24) + 7))
        mean = hot_s * 1e9 if by_use < (1.0 - free) * hot_share else cold_hours * HOUR_NS
        scrub = int(by_scrub * scrub_hours * HOUR_NS) if scrub_hours else math.inf
        access = int(-math.log(by_time) * mean) if by_use < 1.0 - free else math.inf
        if min(scrub, access) < 400 * DAY_NS and (scrub <= access or by_kind >= 0.3):
            expected.append((node, min(scrub, access), scrub <= access))
    found = list(zip(windows.fault.tolist(), windows.low_ns.tolist(), windows.scrub.tolist(), strict=True))
    assert len(found) > n // 3
    assert [(row[0], row[2]) for row in found] == [(row[0], row[2]) for row in expected]
    assert [row[1] for row in found] == pytest.approx([row[1] for row in expected], rel=0, abs=2000)


SERVER = Server()
FREE, HOT_SHARE, HOT_NS, COLD_NS, PERIOD_NS = 0.2, 0.25, 2 * HOUR_NS, 30 * HOUR_NS, 24 * HOUR_NS


@pytest.fixture(scope="module")
def soft_row_windows() -> tuple[Windows, int, int]:
    """Errors of soft row faults, how many faults, and how many pages each."""
    faults, n = soft_rows(4000, SERVER), 4000
    detection = Detection(scrub_hours=24.0, hot_share=HOT_SHARE, hot_interval_s=7200.0, cold_interval_hours=30.0)
    policy = Policy(detection=detection, workload=Workload(use=replace(ALL_USED, free=FREE, anonymous=1.0 - FREE)))
    (pages,) = set(faults.n_pages.tolist())
    return corrected_windows(SEED, faults, np.ones(n, np.bool_), policy, 400 * DAY_NS, SERVER), n, pages


def shares_of_pages() -> dict[str, float]:
    """Shares of pages first met by the scrubber, by a read, and never: a uniform time against an exponential one."""
    scrub = FREE
    for share, mean in ((HOT_SHARE, HOT_NS / PERIOD_NS), (1.0 - HOT_SHARE, COLD_NS / PERIOD_NS)):
        scrub += (1.0 - FREE) * share * mean * -math.expm1(-1.0 / mean)
    return {"scrub": scrub, "read": 0.7 * (1.0 - scrub), "never": 0.3 * (1.0 - scrub)}


@pytest.mark.parametrize("how", ["scrub", "read", "never"])
def test_pages_of_a_soft_row_fault_are_first_met_as_competing_rates_say(soft_row_windows, how):
    # Pages of a fault are met together, so their share is averaged by fault, and the faults are independent.
    windows, n, pages = soft_row_windows
    assert 1 < pages <= 32
    scrub, read = (np.bincount(windows.fault[some], minlength=n) for some in (windows.scrub, ~windows.scrub))
    share = {"scrub": scrub, "read": read, "never": pages - scrub - read}[how] / pages
    error = share.std(ddof=1) / math.sqrt(n)
    assert abs(share.mean() - shares_of_pages()[how]) < 4.9 * error  # two-sided normal quantile of 1e-6


def test_errors_of_a_soft_row_fault_are_spread_over_the_times_at_which_its_pages_are_met(soft_row_windows):
    windows, n, _ = soft_row_windows
    assert np.unique(windows.fault * 100 + windows.page).size == windows.fault.size  # no page twice
    last, first = np.zeros(n, np.int64), np.full(n, 400 * DAY_NS)
    np.maximum.at(last, windows.fault, windows.low_ns)
    np.minimum.at(first, windows.fault, windows.low_ns)
    assert np.median(last - first) > HOUR_NS
    assert last.max() < PERIOD_NS  # the scrubber has met every page by then


def test_the_scrubber_passes_neighbouring_pages_one_after_the_other():
    faults = soft_rows(500, SERVER)
    policy = Policy(detection=Detection(scrub_hours=24.0), workload=Workload(use=NOTHING_USED))
    windows = corrected_windows(SEED, faults, np.ones(500, np.bool_), policy, 400 * DAY_NS, SERVER)
    address_map = AddressMap(SERVER)
    pfn = faults.pages(address_map, windows.fault, windows.page)
    passed = pfn / address_map.pages * PERIOD_NS
    by_fault = {int(windows.fault[i]): i for i in np.flatnonzero(windows.page == 0)}
    first = np.asarray([by_fault[fault] for fault in windows.fault.tolist()])
    later = (windows.low_ns - windows.low_ns[first] - (passed - passed[first])) % PERIOD_NS
    assert np.minimum(later, PERIOD_NS - later).max() < 2000


def test_a_soft_fault_is_not_seen_after_the_horizon():
    windows = soft(20_000, NOTHING_USED, DAY_NS // 2, scrub_hours=24.0)
    assert windows.low_ns.max() < DAY_NS // 2
    assert stats.binomtest(windows.fault.size, 20_000, 0.5).pvalue > ALPHA


@pytest.mark.parametrize("hard", [True, False])
def test_a_fault_has_the_same_windows_whatever_others_are_computed_with_it(hard):
    start = np.random.default_rng(8).integers(0, 300 * DAY_NS, 3000)
    faults = make_faults(3000, hard=hard, time_ns=start, n_pages=5 if hard else 1, intermittent=np.arange(3000) % 2)
    whole = simulate(faults, Policy(), 400 * DAY_NS)
    some = np.random.default_rng(9).permutation(3000)[:800]
    part = simulate(faults.take(some), Policy(), 400 * DAY_NS)
    part = part._replace(fault=some[part.fault])
    part = part.take(np.lexsort((part.window, part.fault)))
    kept = whole.take(np.isin(whole.fault, some))
    assert all(np.array_equal(a, b) for a, b in zip(part, kept, strict=True))


def test_a_fault_that_is_not_corrected_has_no_windows():
    faults = make_faults(100, hard=True)
    corrected = np.arange(100) % 3 == 0
    windows = corrected_windows(SEED, faults, corrected, Policy(), 100 * DAY_NS)
    assert set(windows.fault.tolist()) == set(np.flatnonzero(corrected).tolist())


def test_without_a_scrubber_unused_pages_show_nothing_in_a_century():
    century = 100 * NS_PER_YEAR
    hardware = Hardware(faults=Faults(fit_factor=5.0))
    policy = Policy(detection=Detection(scrub_hours=0.0), workload=Workload(use=NOTHING_USED))
    faults = simulate_faults(Seed.of(3), np.arange(20), hardware, century)
    soft_only = faults.take(~faults.hard)
    assert soft_only.time_ns.size > 500
    shown = corrected_windows(Seed.of(3), soft_only, np.ones(soft_only.time_ns.size, np.bool_), policy, century)
    assert shown.fault.size == 0
