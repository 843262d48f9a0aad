"""Eras and the windows that reach into them, against a comparison of each with each."""

import numpy as np
import pytest

from node_sim.corrected import eras as joined
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.windows import Windows, error_time_ns

N_FAULTS, WIDTH, HORIZON = 5, 1000, 60_000


def windows_of(rng):
    """Windows of hard and soft faults: one a number, and several of a nanosecond each, which scrubbers see last."""
    rows = []
    for fault in range(N_FAULTS):
        for window in np.flatnonzero(rng.random(HORIZON // WIDTH) < (0.9 if fault else 0.02)).tolist():
            begin = window * WIDTH
            if fault % 2:
                times = np.sort(rng.integers(begin, begin + WIDTH, 3))
                scrub = rng.random(3) < 0.5
                rows += [(fault, window, time, time + 1, 1, late) for late in (0, 1) for time in times[scrub == late]]
            else:
                low, high = np.sort(rng.choice(WIDTH, 2, replace=False) + begin)
                rows.append((fault, window, low, high, int(rng.integers(1, 9)), 0))
    fault, window, low, high, errors, scrub = np.asarray(rows).T
    page = np.where(fault % 2, 0, -1)
    return Windows.even(fault, window, low, high, errors, np.ones_like(fault), rng.random(fault.size), scrub > 0, page)


def eras_of(rng, windows, n=200):
    """Eras with ends anywhere, and at or beside those of windows."""
    ends = np.concatenate((windows.low_ns, windows.high_ns))
    close = rng.choice(ends, (n, 2)) + rng.integers(-1, 2, (n, 2))
    edges = np.sort(np.where(rng.random((n, 2)) < 0.5, close, rng.integers(-10, HORIZON + 10, (n, 2))), axis=1)
    zero = np.zeros(n, np.int64)
    return Eras(zero, rng.integers(0, N_FAULTS, n), edges[:, 0], edges[:, 1], *(zero,) * 4, np.zeros((n, 1), np.int64))


def slow_spans(eras, windows):
    """Errors of each pair of era and window, counted one by one."""
    found = {}
    for era, (fault, from_ns, to_ns) in enumerate(zip(eras.fault, eras.from_ns, eras.to_ns, strict=True)):
        for at in np.flatnonzero(windows.fault == fault).tolist():
            one = windows.take(np.asarray([at]))
            times = [error_time_ns(one, np.asarray([k]))[0] for k in range(1, int(one.errors[0]) + 1)]
            first, last = (sum(time < cut for time in times) for cut in (from_ns, to_ns))
            if first < last:
                found[era, at] = (first, last)
    return found


@pytest.mark.parametrize("few", [0, 40, 1 << 30])
@pytest.mark.parametrize("seed", range(4))
def test_eras_meet_the_windows_with_errors_in_them_however_they_are_searched(monkeypatch, seed, few):
    monkeypatch.setattr(joined, "FEW_WINDOWS", few)
    rng = np.random.default_rng(seed)
    windows = windows_of(rng)
    eras = eras_of(rng, windows)
    found = spans_of(eras, WindowIndex(windows, N_FAULTS))
    pairs = zip(found.era.tolist(), found.window.tolist(), strict=True)
    assert dict(zip(pairs, zip(found.first, found.last, strict=True), strict=True)) == slow_spans(eras, windows)
    assert (np.diff(found.era * windows.fault.size + found.window) > 0).all()


def test_few_windows_are_left_to_be_compared():
    rng = np.random.default_rng(7)
    windows = windows_of(rng)
    eras = eras_of(rng, windows)
    index = WindowIndex(windows, N_FAULTS)
    _, size = index.within(eras)
    many = index.size[eras.fault] > joined.FEW_WINDOWS
    spans = spans_of(eras, index)
    met = np.bincount(spans.era, minlength=eras.lane.size)
    assert many.any()
    # At each end of an era: windows of the same number.
    assert (size - met)[many].max() <= 2 * 3
