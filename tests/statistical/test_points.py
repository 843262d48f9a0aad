"""Poisson points: exponential gaps, Poisson counts, uniform words. False-alarm rate 1e-6 per check."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from node_sim.draws import Key, Purpose, Seed, unit32, unit53, words
from node_sim.points import last_point, next_point

ALPHA = 1e-6
WIDTH_NS = 3_600_000_000_000
N = 20_000


def children(n: int, seed: int = 31) -> Key:
    """Keys of n children, each a stream of its own."""
    low, high, _, _ = words(Seed.of(seed).key(Purpose.PAGE), np.arange(n))
    return Key(low.astype(np.uint64), high.astype(np.uint64))


def test_the_gap_to_the_next_point_is_exponential_from_any_time():
    after = np.random.default_rng(1).integers(0, 1000 * WIDTH_NS, N)
    far = after + 100 * WIDTH_NS
    point = next_point(children(N), 1, np.full(N, WIDTH_NS), after, far)
    assert stats.kstest((point.time_ns - after) / WIDTH_NS, "expon").pvalue > ALPHA


def test_the_gap_back_to_the_last_point_is_exponential():
    until = np.random.default_rng(2).integers(500 * WIDTH_NS, 1000 * WIDTH_NS, N)
    point = last_point(children(N), 1, np.full(N, WIDTH_NS), until)
    assert stats.kstest((until - point.time_ns) / WIDTH_NS, "expon").pvalue > ALPHA


def test_the_gap_between_two_successive_points_is_exponential():
    limit = np.full(N, 1000 * WIDTH_NS)
    first = next_point(children(N), 1, np.full(N, WIDTH_NS), np.full(N, 7 * WIDTH_NS // 3), limit)
    second = next_point(children(N), 1, np.full(N, WIDTH_NS), first.time_ns, limit)
    gap = (second.time_ns - first.time_ns) / WIDTH_NS
    assert stats.kstest(gap, "expon").pvalue > ALPHA


@pytest.mark.parametrize("span_bins", [0.5, 2.5])
def test_the_count_of_points_in_a_span_is_poisson(span_bins):
    start = np.full(N, 13 * WIDTH_NS // 4)
    stop = start + int(span_bins * WIDTH_NS)
    count, now, key = np.zeros(N, np.int64), start, children(N)
    for _ in range(60):  # far more points than any span has
        point = next_point(key, 1, np.full(N, WIDTH_NS), now, stop)
        count += point.bin >= 0
        now = point.time_ns
    law = stats.poisson(span_bins)
    top = max(k for k in range(20) if N * law.sf(k - 1) >= 25)
    seen = np.bincount(np.minimum(count, top), minlength=top + 1)
    expected = N * np.append(law.pmf(np.arange(top)), law.sf(top - 1))
    assert stats.chisquare(seen, expected).pvalue > ALPHA


def test_uniforms_of_consecutive_names_are_uniform_and_uncorrelated():
    w0, w1, w2, _ = words(Seed.of(5).key(Purpose.FAULT), np.arange(200_000))
    u, v = unit53(w0, w1), unit32(w2)
    assert stats.kstest(u, "uniform").pvalue > ALPHA
    assert stats.kstest(v, "uniform").pvalue > ALPHA
    assert stats.pearsonr(u, v).pvalue > ALPHA
    assert stats.pearsonr(u[1:], u[:-1]).pvalue > ALPHA
