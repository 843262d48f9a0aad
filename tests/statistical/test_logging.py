"""How many errors are logged: saturation, storms and firmware, against numbers worked out by hand.

All checks are exact.
"""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.corrected.windows import Windows, logged
from node_sim.dram.faults import Cells, FaultTable, Habit
from node_sim.dram.geometry import Footprint
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Seed
from node_sim.server.hardware import Server
from node_sim.server.policy import Detection, ErrorProcess, Policy
from node_sim.server.workload import Use, Workload
from tests.handmade import corrected_windows, soft_rows

SEED = Seed.of(20260403)
S_NS = 10**9
HOUR_NS = 3600 * S_NS
DAY_NS = 24 * HOUR_NS
QUARTER_NS = 15 * 60 * S_NS
MANY = 10_000_000
"""A cap that nothing meets."""
NOTHING_USED = Use(free=1.0, kernel=0.0, anonymous=0.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0)
ALL_USED = Use(free=0.0, kernel=0.0, anonymous=1.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0)


def log_one(errors: float, active_ns: int, window_hours: int = 24, **process: object) -> int:
    """Logged errors of one window."""
    usual = {"window_hours": float(window_hours), "ce_cap_per_day": MANY, "ce_cap_per_quarter_hour": MANY}
    given = ErrorProcess(**usual | process)
    found = logged(np.asarray([errors]), np.asarray([active_ns]), given)
    assert found.dtype == np.int64
    return int(found[0])


@pytest.mark.parametrize("active_ns", [1, S_NS, QUARTER_NS, DAY_NS])
@pytest.mark.parametrize(("errors", "count"), [(1.0, 1), (1.99, 1), (2.0, 2), (123_456.7, 123_456)])
def test_without_rules_the_whole_part_of_the_errors_is_logged(errors, count, active_ns):
    assert log_one(errors, active_ns) == count


@pytest.mark.parametrize(
    ("errors", "window_hours", "count"),
    [
        (7199.9, 24, 7199),
        (7200.0, 24, 7200),
        (7200.9, 24, 7200),
        (1e12, 24, 7200),
        (1e12, 48, 14_400),
        (1e12, 6, 1800),
        (1e12, 1, 300),
        (299.5, 1, 299),
    ],
)
@pytest.mark.parametrize("active_ns", [1, QUARTER_NS, HOUR_NS])
def test_logs_saturate_at_their_cap_per_day_in_proportion_to_the_window(errors, window_hours, count, active_ns):
    assert log_one(errors, active_ns, window_hours, ce_cap_per_day=7200) == count


def test_a_window_logs_one_error_however_small_the_cap():
    assert log_one(50.0, HOUR_NS, 1, ce_cap_per_day=1) == 1


@pytest.mark.parametrize(
    ("errors", "active_ns", "count"),
    [
        (1e9, 1, 100),
        (1e9, QUARTER_NS - 1, 100),
        (1e9, QUARTER_NS, 100),
        (1e9, QUARTER_NS + 1, 200),
        (1e9, HOUR_NS, 400),
        (1e9, 5 * HOUR_NS // 2, 1000),
        (1e9, DAY_NS, 9600),
        (399.9, HOUR_NS, 399),
        (99.5, 1, 99),
    ],
)
def test_logs_saturate_at_their_cap_in_every_quarter_hour_of_activity(errors, active_ns, count):
    assert log_one(errors, active_ns, ce_cap_per_quarter_hour=100) == count


@pytest.mark.parametrize(
    ("active_ns", "count"), [(HOUR_NS, 400), (17 * HOUR_NS, 6800), (18 * HOUR_NS, 7200), (19 * HOUR_NS, 7200)]
)
def test_the_smaller_of_both_caps_counts(active_ns, count):
    assert log_one(1e9, active_ns, ce_cap_per_day=7200, ce_cap_per_quarter_hour=100) == count


STORMS = [
    # Above 15 errors per second of activity: the first one, then one at every poll.
    ("poll_30s", 1499.0, 100 * S_NS, 1499),
    ("poll_30s", 1500.0, 100 * S_NS, 1500),
    ("poll_30s", 1500.5, 100 * S_NS, 4),
    ("poll_30s", 1e9, 100 * S_NS, 4),
    ("poll_30s", 1e9, 29 * S_NS, 1),
    ("poll_30s", 1e9, 30 * S_NS, 2),
    ("poll_30s", 54_000.0, HOUR_NS, 54_000),
    ("poll_30s", 54_001.0, HOUR_NS, 121),
    # 86,400 s: the trigger is at 1,296,000.
    ("poll_30s", 1_296_000.0, DAY_NS, 1_296_000),
    ("poll_30s", 1_296_001.0, DAY_NS, 2881),
    # Above 5 errors in 64 s of activity; a poll a second sees all of up to one error a second.
    ("poll_1s", 5.0, 64 * S_NS, 5),
    ("poll_1s", 6.0, 64 * S_NS, 6),
    ("poll_1s", 65.0, 64 * S_NS, 65),
    ("poll_1s", 66.0, 64 * S_NS, 65),
    ("poll_1s", 1e9, 64 * S_NS, 65),
    ("poll_1s", 281.0, HOUR_NS, 281),
    ("poll_1s", 5000.0, HOUR_NS, 3601),
    ("poll_1s", 1e9, DAY_NS, 86_401),
    # A burst too short for a poll.
    ("poll_30s", 40.0, 1, 1),
    ("poll_1s", 40.0, 1, 1),
    ("poll_30s", 1.5, 1, 1),
    ("none", 1500.5, 100 * S_NS, 1500),
    ("none", 66.0, 64 * S_NS, 66),
    ("none", 40.0, 1, 40),
]


@pytest.mark.parametrize(("storm", "errors", "active_ns", "count"), STORMS)
def test_below_the_rate_of_a_storm_every_error_is_logged_and_above_it_one_at_every_poll(
    storm, errors, active_ns, count
):
    assert log_one(errors, active_ns, storm=storm) == count


@pytest.mark.parametrize(
    ("errors", "threshold", "count"),
    [(3.9, 4, 0), (4.0, 4, 1), (7.9, 4, 1), (8.0, 4, 2), (1000.0, 7, 142), (5.0, 1, 5), (999.0, 1000, 0)],
)
def test_firmware_reports_every_mth_error(errors, threshold, count):
    assert log_one(errors, HOUR_NS, firmware_threshold=threshold) == count


@pytest.mark.parametrize(
    ("errors", "active_ns", "options", "count"),
    [
        # 7200 of the day, then every thousandth.
        (1e6, DAY_NS, {"ce_cap_per_day": 7200, "firmware_threshold": 1000}, 7),
        # 3601 polls, 400 of four quarter hours, then every tenth.
        (1e6, HOUR_NS, {"storm": "poll_1s", "ce_cap_per_quarter_hour": 100, "firmware_threshold": 10}, 40),
        # 121 polls are below the cap of 400; every tenth of them.
        (1e6, HOUR_NS, {"storm": "poll_30s", "ce_cap_per_quarter_hour": 100, "firmware_threshold": 10}, 12),
        # A storm is one of errors, not of what is logged of them: 400 of 500 in an hour are no storm of 15 a second.
        (500.0, HOUR_NS, {"storm": "poll_30s", "ce_cap_per_quarter_hour": 100}, 400),
    ],
)
def test_polls_come_before_saturation_and_firmware_after_it(errors, active_ns, options, count):
    assert log_one(errors, active_ns, **options) == count


def make_faults(n: int, *, hard: bool, n_pages: int = 1) -> FaultTable:
    """Faults of n different nodes that start at time 0."""
    zero = np.zeros(n, np.int64)
    one, rng = zero + 1, np.random.default_rng(98)
    habit = Habit(rng.normal(size=n), rng.normal(size=n), rng.exponential(size=n), np.arange(n) % 2 > 0)
    return FaultTable(
        node_id=np.arange(n),
        tag=zero,
        time_ns=zero,
        mode=zero + int(Mode.ROW),
        hard=np.full(n, hard),
        habit=habit,
        cells=Cells(zero, one, one, one, one),
        box=Footprint(zero, zero, zero, zero, zero, one, one, one, one),
        order=PageOrder(zero, one),
        n_pages=zero + n_pages,
        first_pfn=zero,
    )


def simulate_hard(n_pages: int = 1, **process: object) -> Windows:
    """Windows of hard faults over two months."""
    faults = make_faults(1000, hard=True, n_pages=n_pages)
    policy = Policy(errors=ErrorProcess(**process))
    return corrected_windows(SEED, faults, np.ones(1000, np.bool_), policy, 60 * DAY_NS)


def without_counts(windows: Windows) -> Windows:
    """The windows with nothing said of how much was logged in them."""
    zero = np.zeros_like(windows.errors)
    return windows._replace(errors=zero, n_pages=zero)


def same(a: Windows, b: Windows) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("threshold", [2, 7, 100])
def test_firmware_hides_windows_with_fewer_errors_than_its_threshold_and_no_others(threshold):
    every, few = simulate_hard(), simulate_hard(firmware_threshold=threshold)
    kept = every.take(every.errors >= threshold)
    assert 0 < kept.errors.size < every.errors.size
    assert np.array_equal(few.errors, kept.errors // threshold)
    assert same(without_counts(few), without_counts(kept))


def test_no_more_pages_are_seen_than_errors_reported():
    windows = simulate_hard(n_pages=20, firmware_threshold=7)
    assert np.array_equal(windows.n_pages, np.minimum(windows.errors, 20))


@pytest.mark.parametrize("storm", ["poll_30s", "poll_1s"])
def test_storms_change_how_much_is_logged_and_not_when(storm):
    options = {"median_ce_per_window": 1e5, "ce_cap_per_day": MANY, "ce_cap_per_quarter_hour": MANY}
    options |= {"burst_days": 20.0, "intermittent_days": 20.0}
    calm, polled = simulate_hard(**options), simulate_hard(storm=storm, **options)
    assert same(without_counts(calm), without_counts(polled))
    assert (polled.errors <= calm.errors).all()
    # In windows that the first burst, from time 0 on, covers all of: 86,400 s.
    first_end_ns = make_faults(1000, hard=True).habit.first_burst * 20 * DAY_NS
    whole = (calm.window + 1) * DAY_NS <= first_end_ns[calm.fault]
    seen, trigger = {"poll_30s": (2881, 1_296_000), "poll_1s": (86_401, 6750)}[storm]
    expected = np.where(calm.errors > trigger, np.minimum(calm.errors, seen), calm.errors)
    assert ((calm.errors > trigger) & whole).sum() > 100
    assert ((calm.errors < trigger) & whole).sum() > 100
    assert np.array_equal(polled.errors[whole], expected[whole])


def test_saturation_counts_the_time_a_burst_lasts_and_not_the_window():
    # One error for each begun quarter hour; the first burst alone is of known length.
    n = 1000
    faults = make_faults(n, hard=True)
    faults = faults._replace(habit=faults.habit._replace(intermittent=np.zeros(n, np.bool_)))
    process = ErrorProcess(
        burst_days=0.3, burst_interval_days=2.0, median_ce_per_window=1e6, sigma_fault=0.0, ce_cap_per_quarter_hour=1
    )
    windows = corrected_windows(SEED, faults, np.ones(n, np.bool_), Policy(errors=process), DAY_NS)
    end_ns = np.minimum(1 + (faults.habit.first_burst * 0.3 * DAY_NS).astype(np.int64), DAY_NS)
    span_ns = windows.high_ns - windows.low_ns
    alone = windows.high_ns == end_ns[windows.fault]
    assert 500 < alone.sum() < n
    assert np.array_equal(windows.errors[alone], -(-span_ns[alone] // QUARTER_NS))
    # With others, no more than all of the time from the first to the last, and no less than the first alone.
    others = windows.take(~alone)
    assert (others.errors <= -(-(others.high_ns - others.low_ns) // QUARTER_NS)).all()
    assert (others.errors >= -(-end_ns[others.fault] // QUARTER_NS)).all()
    assert (others.errors < -(-(others.high_ns - others.low_ns) // QUARTER_NS)).mean() > 0.5


def simulate_soft(use: Use, n_rows: int, scrub_hours: float, **process: object) -> tuple[Windows, FaultTable]:
    """First sight of soft faults of whole rows."""
    policy = Policy(
        errors=ErrorProcess(**process),
        detection=Detection(scrub_hours=scrub_hours, hot_share=1.0),
        workload=Workload(use=use),
    )
    server = Server()
    faults = soft_rows(2000, server, n_rows)
    return corrected_windows(SEED, faults, np.ones(2000, np.bool_), policy, 400 * DAY_NS, server), faults


@pytest.mark.parametrize(
    ("n_rows", "options", "most", "every"),
    [
        (1, {}, MANY, 1),
        (1, {"firmware_threshold": 2}, MANY, 2),
        (1, {"firmware_threshold": 3}, MANY, 3),
        (400, {}, MANY, 1),
        (400, {"ce_cap_per_day": 10}, 10, 1),
        (400, {"ce_cap_per_day": 10, "firmware_threshold": 3}, 10, 3),
    ],
)
def test_the_scrubber_logs_each_page_of_a_soft_fault_once_as_far_as_the_rules_let_it(n_rows, options, most, every):
    windows, faults = simulate_soft(NOTHING_USED, n_rows, 24.0, **options)
    (pages,) = set(np.minimum(faults.n_pages, 32).tolist())
    assert pages == 32 or n_rows == 1
    assert set(np.bincount(windows.fault, minlength=2000).tolist()) == {min(pages, most) // every}
    assert set(windows.errors.tolist()) == {1}


def test_in_a_storm_a_soft_row_that_is_scrubbed_within_a_second_is_logged_once():
    plain, stormy = (simulate_soft(NOTHING_USED, 1, 24.0, storm=storm)[0] for storm in ("none", "poll_1s"))
    first, last = np.full(2000, 400 * DAY_NS), np.zeros(2000, np.int64)
    np.minimum.at(first, plain.fault, plain.low_ns)
    np.maximum.at(last, plain.fault, plain.low_ns)
    short = last - first < 10**9
    assert short.sum() > 1500
    assert set(np.bincount(stormy.fault, minlength=2000)[short].tolist()) == {1}


def test_a_soft_fault_of_fewer_pages_than_the_threshold_is_not_logged():
    assert simulate_soft(NOTHING_USED, 1, 24.0, firmware_threshold=33)[0].fault.size == 0


def test_a_soft_fault_of_one_page_never_meets_the_threshold_of_firmware():
    for threshold in (1, 2):
        policy = Policy(errors=ErrorProcess(firmware_threshold=threshold), workload=Workload(use=ALL_USED))
        found = corrected_windows(SEED, make_faults(2000, hard=False), np.ones(2000, np.bool_), policy, 400 * DAY_NS)
        assert (found.fault.size > 1000) == (threshold == 1)
