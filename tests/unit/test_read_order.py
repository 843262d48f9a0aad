"""Corrected and failing reads of a window come in one order."""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.corrected.bad_reads import Failures, failure_times_ns
from node_sim.corrected.read_order import EVEN, Gaps, LostReads, join_gaps
from node_sim.corrected.soft_sightings import SoftSightings
from node_sim.corrected.windows import (
    Active,
    Reads,
    Windows,
    error_time_ns,
    errors_before,
    join_windows,
    simulate_windows,
)
from node_sim.dram.faults import FaultTable
from node_sim.server.policy import ErrorProcess, Policy
from node_sim.units import NS_PER_DAY, NS_PER_S
from tests.handmade import faults_of
from tests.oracle.wrong_reads import accepted

N, MINUTE_NS = 40, 60 * NS_PER_S
ALL = ErrorProcess(ce_cap_per_day=10_000_000, ce_cap_per_quarter_hour=10_000_000)
NO_SOFT = SoftSightings(*(np.empty(0, np.int64) for _ in range(3)), np.empty(0, np.bool_))


def faults() -> FaultTable:
    return faults_of({"hard": True, "n_pages": 3})


def reads_of(seed: int, most: int = 200) -> tuple[Reads, LostReads]:
    """Windows of one fault a day; of some no read fails, of others some or all, in any order."""
    rng, day = np.random.default_rng(seed), np.arange(N) * NS_PER_DAY
    wrong = rng.integers(1, most, N) + rng.random(N)
    active = Active(np.zeros(N, np.int64), np.arange(N), day, day + NS_PER_DAY, np.full(N, MINUTE_NS))
    share = rng.choice([0.0, 0.02, 0.3, 0.9, 1.0], N)
    failing = [np.flatnonzero(rng.random(int(n)) < p) + 1 for n, p in zip(wrong, share, strict=True)]
    window = np.repeat(np.arange(N), [part.size for part in failing])
    read = np.concatenate(failing)
    return Reads(active, wrong, rng.random(N), rng.random(N) < 0.3), LostReads(
        np.bincount(window, minlength=N), window, read
    )


def windows_of(reads: Reads, lost: LostReads, process: ErrorProcess = ALL) -> Windows:
    return simulate_windows(faults(), np.ones(1, np.bool_), Policy(errors=process), reads, lost, NO_SOFT)


def times_of(windows: Windows, at: int) -> list[int]:
    k = np.arange(1, int(windows.errors[at]) + 1)
    found: list[int] = error_time_ns(windows.take(np.full(k.size, at)), k).tolist()
    return found


@pytest.mark.parametrize("seed", range(10))
def test_as_many_errors_precede_a_failing_read_as_reads_before_it_are_right(seed: int) -> None:
    reads, lost = reads_of(seed)
    windows = windows_of(reads, lost)
    failing_ns = failure_times_ns(reads, faults(), Failures(0 * lost.read, lost.window, lost.read))
    of = {window: at for at, window in enumerate(windows.window.tolist())}
    there = np.isin(lost.window, windows.window)
    found = iter(errors_before(windows.take([of[window] for window in lost.window[there].tolist()]), failing_ns[there]))
    times = {window: times_of(windows, at) for window, at in of.items()}
    for window, read, time_ns in zip(lost.window.tolist(), lost.read.tolist(), failing_ns.tolist(), strict=True):
        before = read - 1 - np.count_nonzero(lost.read[lost.window == window] < read)
        if window not in of:
            assert before == 0
            continue
        assert next(found) == before
        assert sum(time < time_ns for time in times[window]) == before
        assert time_ns not in times[window]


@pytest.mark.parametrize("seed", range(5))
def test_every_error_comes_when_its_read_does_and_failures_when_theirs(seed: int) -> None:
    reads, lost = reads_of(seed)
    windows = windows_of(reads, lost)
    every = windows_of(reads, LostReads(0 * lost.n_lost, lost.window[:0], lost.read[:0]))
    for at, window in enumerate(windows.window.tolist()):
        gone = set(lost.read[lost.window == window].tolist())
        (of_all,) = np.flatnonzero(every.window == window).tolist()
        right = [time for read, time in enumerate(times_of(every, of_all), 1) if read not in gone]
        assert times_of(windows, at) == right


def test_windows_without_failing_reads_are_spread_evenly_whatever_is_lost_on_average() -> None:
    reads, _ = reads_of(1)
    nothing = np.empty(0, np.int64)
    lost = LostReads(reads.whole // 2, nothing, nothing)
    windows = windows_of(reads, lost)
    assert (windows.order == EVEN).all()
    assert np.array_equal(windows.errors, reads.whole - reads.whole // 2)


@pytest.mark.parametrize(
    "process",
    [
        ErrorProcess(firmware_threshold=3),
        ErrorProcess(ce_cap_per_day=20),
        ErrorProcess(ce_cap_per_day=50, firmware_threshold=2),
        ErrorProcess(storm="poll_1s"),
    ],
)
def test_of_errors_that_are_left_out_each_gap_keeps_its_share(process: ErrorProcess) -> None:
    reads, lost = reads_of(3, most=900)
    windows = windows_of(reads, lost, process)
    assert windows.errors.sum() < windows_of(reads, lost).errors.sum()
    failing_ns = failure_times_ns(reads, faults(), Failures(0 * lost.read, lost.window, lost.read))
    of = {window: at for at, window in enumerate(windows.window.tolist())}
    there = [rank for rank, window in enumerate(lost.window.tolist()) if window in of]
    found = errors_before(windows.take([of[window] for window in lost.window[there].tolist()]), failing_ns[there])
    assert len(there) > 1000
    for rank, n in zip(there, found.tolist(), strict=True):
        window = int(lost.window[rank])
        before = int(lost.read[rank]) - 1 - (rank - int(np.searchsorted(lost.window, window)))
        left = float(reads.wrong[window]) - int(lost.n_lost[window])
        room = accepted(left, MINUTE_NS, process)
        assert n == before * room // int(left) // process.firmware_threshold
    for at in range(windows.errors.size):
        times = times_of(windows, at)
        assert times == sorted(set(times) - set(failing_ns.tolist()))


def test_reads_lost_on_average_are_the_last_ones() -> None:
    reads, _ = reads_of(5)
    window, read = np.asarray([4, 4]), np.asarray([2, 9])
    assert reads.whole[4] > 20
    n_lost = np.zeros(N, np.int64)
    n_lost[4] = reads.whole[4] - 3
    windows = windows_of(reads, LostReads(n_lost, window, read))
    (at,) = np.flatnonzero(windows.window == 4).tolist()
    failing_ns = failure_times_ns(reads, faults(), Failures(0 * read, window, read))
    assert errors_before(windows.take([at, at]), failing_ns).tolist() == [1, 3]
    every = windows_of(reads, LostReads(0 * n_lost, window[:0], read[:0]))
    all_times = times_of(every, int(np.flatnonzero(every.window == 4)[0]))
    assert times_of(windows, at) == [all_times[read - 1] for read in (1, 5, 8)]  # two, evenly among the reads 3 to 8


def test_windows_put_together_or_taken_apart_keep_their_order() -> None:
    one, other = windows_of(*reads_of(6)), windows_of(*reads_of(7))
    both = join_windows([one, other])
    back = join_windows([both.take(np.arange(one.errors.size)), both.take(np.flatnonzero(both.errors > 3))])
    for windows, first, mine in ((both, 0, one), (both, one.errors.size, other), (back, 0, one)):
        for at in range(mine.errors.size):
            assert times_of(windows, first + at) == times_of(mine, at)
    assert join_gaps(Gaps.none(), one.gaps).name.tolist() == one.gaps.name.tolist()


def test_errors_are_counted_where_most_reads_fail_and_the_others_lie_anywhere() -> None:
    """The search for a time begins far off, and must not go on error by error."""
    rng, n = np.random.default_rng(8), 100_000
    reads, _ = reads_of(8)
    wrong = np.full(N, float(n))
    of_one = [np.sort(rng.choice(n // 2, 16, replace=False)) + 1 for _ in range(N)]
    window, read = np.repeat(np.arange(N), 16), np.concatenate(of_one)
    lost = LostReads(np.full(N, n - 20_000), window, read)
    windows = windows_of(reads._replace(wrong=wrong), lost)
    k = rng.integers(1, windows.errors + 1)
    time_ns = error_time_ns(windows, k)
    assert np.array_equal(errors_before(windows, time_ns), k - 1)
    assert np.array_equal(errors_before(windows, time_ns + 1), k)
