"""Corrected errors of a fault: how many, in which windows, on which of its pages.

**Models.** A hard fault is active in bursts (Poisson starts, exponential lengths); an active window logs a
lognormal count, cut off by the logging cap. A soft fault is seen once by the scrubber or a reader, or
overwritten unseen.

**Leaves out.** Duration of storms below one window, growth of a fault, temperature and load.

**Assumes.** The n errors of a window hit its first K = min(n, pages) pages in turn, so a one-page fault puts
all of them on one page and a column fault touches each page about once. The time of the k-th of n errors is the
Beta quantile of one uniform per window, so every threshold sees the same errors.

**Sources.** Concentration and cap: Huawei, Google and Facebook rows of ``ce_process.csv``; bursts: SmartMem
sample logs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from node_sim.catalog.numbers import SOFT_WRITE_SHARE
from node_sim.config import Policy
from node_sim.dram.faults import FaultTable, expand_counts
from node_sim.draws import Purpose, Seed, poisson_one, unit32, unit53, words
from node_sim.records import Floats, Index, Ints, join, take
from node_sim.units import NS_PER_DAY, hours_to_ns, seconds_to_ns


class Windows(NamedTuple):
    """Active windows, ordered by (fault, window); arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        window: Number of the window since the start of the scenario.
        low_ns: Errors fall at or after this time [ns].
        high_ns: … and before this time [ns].
        errors: Logged corrected errors, >= 1.
        n_pages: Distinct pages that show them.
        u: The uniform that places the errors in the window.
        scrub: Whether the patrol scrubber is the observer.
    """

    fault: Ints
    window: Ints
    low_ns: Ints
    high_ns: Ints
    errors: Ints
    n_pages: Ints
    u: Floats
    scrub: npt.NDArray[np.bool_]

    def take(self, index: Index) -> Windows:
        """Select some windows."""
        return take(self, index)


def error_time_ns(windows: Windows, k: Ints) -> Ints:
    """Return the time of the k-th error (1 … errors) of each window [ns].

    Source:
        Order statistics of n uniform times: the k-th is Beta(k, n - k + 1).
    """
    n, u = windows.errors, windows.u
    inner = (k > 1) & (k < n)
    share: Floats = np.where(k == n, u ** (1.0 / n), -np.expm1(np.log1p(-u) / n))
    if inner.any():
        share[inner] = special.betaincinv(k[inner], n[inner] - k[inner] + 1, u[inner])
    return windows.low_ns + (share * (windows.high_ns - windows.low_ns)).astype(np.int64)


def errors_before(windows: Windows, time_ns: Ints) -> Ints:
    """Count the errors of each window that come before a time, by bisection on ``error_time_ns``."""
    low, high = np.zeros_like(windows.errors), windows.errors.copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        before = error_time_ns(windows, np.maximum(middle, 1)) < time_ns
        low, high = np.where(before, middle, low), np.where(before, high, middle - 1)
        high = np.maximum(low, high)
    return low


def _burst_windows(
    seed: Seed, faults: FaultTable, hard: Ints, policy: Policy, window_ns: int, horizon_ns: int
) -> tuple[Ints, Ints]:
    """Draw (fault, window) pairs in which hard faults are active; may repeat."""
    process = policy.errors
    interval_ns = round(process.burst_interval_days * NS_PER_DAY)
    length_windows = process.burst_days * NS_PER_DAY / window_ns
    start_ns = faults.time_ns[hard]
    first_bin = start_ns // interval_ns
    owner, step = expand_counts((horizon_ns - 1) // interval_ns - first_bin + 1)
    burst_bin = first_bin[owner] + step
    node_id, tag = faults.node_id[hard][owner], faults.tag[hard][owner]
    key = seed.key(Purpose.BURST)
    first = words(key, node_id, tag, burst_bin, 0)
    count = poisson_one(first[0])
    begin = [start_ns]
    length = [faults.cells.first_burst[hard]]
    who = [np.arange(hard.size)]
    for position in range(int(count.max(initial=0))):
        some = np.flatnonzero(count > position)
        cells = first if position == 0 else words(key, node_id[some], tag[some], burst_bin[some], position)
        place, span = (cells[1][some], cells[2][some]) if position == 0 else (cells[1], cells[2])
        begin.append(burst_bin[some] * interval_ns + (unit32(place) * interval_ns).astype(np.int64))
        length.append(-np.log(unit32(span)))
        who.append(owner[some])
    at, span_of, fault = np.concatenate(begin), np.concatenate(length), np.concatenate(who)
    alive = (at >= start_ns[fault]) & (at < horizon_ns)
    at, span_of, fault = at[alive], span_of[alive], fault[alive]
    first_window = at // window_ns
    last_window = np.minimum(first_window + (span_of * length_windows).astype(np.int64), (horizon_ns - 1) // window_ns)
    burst, offset = expand_counts(last_window - first_window + 1)
    return hard[fault[burst]], first_window[burst] + offset


def _hard_windows(seed: Seed, faults: FaultTable, hard: Ints, policy: Policy, horizon_ns: int) -> Windows:
    process = policy.errors
    window_ns = hours_to_ns(process.window_hours)
    fault, window = _burst_windows(seed, faults, hard, policy, window_ns, horizon_ns)
    n_windows = horizon_ns // window_ns + 1
    name = np.sort(fault * n_windows + window)
    name = name[np.diff(name, prepend=-1) > 0]
    fault, window = name // n_windows, name % n_windows
    w0, w1, w2, w3 = words(seed.key(Purpose.WINDOW), faults.node_id[fault], faults.tag[fault], window)
    log_count = process.sigma_fault * faults.cells.level[fault] + process.sigma_window * special.ndtri(unit32(w2))
    cap = max(1, round(process.ce_cap_per_day * window_ns / NS_PER_DAY))
    count = np.minimum(1.0 + process.median_ce_per_window * np.exp(log_count), cap).astype(np.int64)
    low_ns = np.maximum(window * window_ns, faults.time_ns[fault])
    return Windows(
        fault=fault,
        window=window,
        low_ns=low_ns,
        high_ns=np.minimum((window + 1) * window_ns, horizon_ns),
        errors=count,
        n_pages=np.minimum(count, faults.n_pages[fault]),
        u=unit53(w0, w1),
        scrub=unit32(w3) < process.scrub_share,
    )


def _soft_windows(seed: Seed, faults: FaultTable, soft: Ints, policy: Policy, horizon_ns: int) -> Windows:
    """Draw when, and by whom, each soft fault is first seen; overwritten ones are left out."""
    detection = policy.detection
    used = 1.0 - policy.workload.use.free
    w0, w1, w2, w3 = words(seed.key(Purpose.SEEN), faults.node_id[soft], faults.tag[soft])
    never = np.iinfo(np.int64).max // 4
    scrub_ns = detection.scrub_ns
    scrub_delay = (unit32(w0) * scrub_ns).astype(np.int64) if scrub_ns else np.full(soft.size, never)
    place = unit32(w1)
    mean_ns = np.where(
        place < used * detection.hot_share,
        seconds_to_ns(detection.hot_interval_s),
        hours_to_ns(detection.cold_interval_hours),
    )
    access_delay = np.where(place < used, np.minimum(-np.log(unit32(w2)) * mean_ns, never), never).astype(np.int64)
    by_scrub = scrub_delay <= access_delay
    seen_ns = faults.time_ns[soft] + np.minimum(scrub_delay, access_delay)
    kept = np.flatnonzero((seen_ns < horizon_ns) & (by_scrub | (unit32(w3) >= SOFT_WRITE_SHARE.value)))
    fault, seen_ns, by_scrub = soft[kept], seen_ns[kept], by_scrub[kept]
    window_ns = hours_to_ns(policy.errors.window_hours)
    cap = max(1, round(policy.errors.ce_cap_per_day * window_ns / NS_PER_DAY))
    pages = np.where(by_scrub, np.minimum(faults.n_pages[fault], cap), 1)
    return Windows(
        fault=fault,
        window=seen_ns // window_ns,
        low_ns=seen_ns,
        high_ns=seen_ns + 1,
        errors=pages,
        n_pages=pages,
        u=np.full(fault.size, 0.5),
        scrub=by_scrub,
    )


def simulate_windows(
    seed: Seed, faults: FaultTable, corrected: npt.NDArray[np.bool_], policy: Policy, horizon_ns: int
) -> Windows:
    """Draw the corrected errors of all faults that produce any, were nothing ever down or taken out.

    Args:
        seed: Of the run.
        faults: Faults.
        corrected: Which of them show corrected errors under the arm's code, shape ``(n_faults,)``.
        policy: The arm's settings.
        horizon_ns: End of simulated time [ns].
    """
    hard = _hard_windows(seed, faults, np.flatnonzero(corrected & faults.hard), policy, horizon_ns)
    soft = _soft_windows(seed, faults, np.flatnonzero(corrected & ~faults.hard), policy, horizon_ns)
    both = join([hard, soft])
    return both.take(np.argsort(both.fault, kind="stable"))
