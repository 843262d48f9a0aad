"""Philox words, uniforms and Poisson points against published vectors and an independent scalar generator."""

from __future__ import annotations

import math

import numpy as np
import pytest

from node_sim import draws
from node_sim.draws import CHUNK, Key, Purpose, Seed, below, poisson_one, unit32, unit53, words
from node_sim.points import Points, last_point, next_point, points_around

MASK = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10 on Python integers."""
    x, (k0, k1) = list(counter), key
    for _ in range(10):
        left, right = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(right >> 32) ^ x[1] ^ k0, right & MASK, (left >> 32) ^ x[3] ^ k1, left & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return x[0], x[1], x[2], x[3]


def scalar_words(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, ...]:
    found = words(
        Key(np.asarray(key[0], np.uint64), np.asarray(key[1], np.uint64)), *(np.asarray([c]) for c in counter)
    )
    return tuple(int(word[0]) for word in found)


VECTORS = [
    ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK, MASK), (MASK,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("key", "counter", "answer"), VECTORS)
def test_words_are_the_published_known_answers(key, counter, answer):
    assert scalar_words(key, counter) == answer


@pytest.mark.parametrize(("key", "counter", "answer"), VECTORS)
def test_the_scalar_oracle_gives_the_published_known_answers(key, counter, answer):
    assert philox(counter, key) == answer


@pytest.mark.parametrize("n", [1, 500, draws.FEW + 1])
def test_words_equal_the_scalar_generator_on_random_counters_and_keys(n):
    rng = np.random.default_rng(20260101)
    cells = rng.integers(0, 2**32, (6, n), dtype=np.uint64)
    found = np.asarray(words(Key(cells[4], cells[5]), *cells[:4])).T.tolist()
    expected = [list(philox(tuple(row[:4]), tuple(row[4:]))) for row in cells.T.tolist()]
    assert found == expected


def test_words_do_not_depend_on_how_they_are_chunked(monkeypatch):
    key, counter = Seed.of(7).key(Purpose.FAULT), np.arange(2 * CHUNK + 17)
    whole = np.asarray(words(key, counter, 3, counter[::-1]))
    monkeypatch.setattr(draws, "CHUNK", 13)
    assert np.array_equal(whole, np.asarray(words(key, counter, 3, counter[::-1])))


def test_words_do_not_depend_on_which_others_are_asked():
    key, counter = Seed.of(7).key(Purpose.FAULT), np.arange(CHUNK + 100)
    order = np.random.default_rng(3).permutation(counter.size)[:1000]
    assert np.array_equal(np.asarray(words(key, counter))[:, order], np.asarray(words(key, counter[order])))


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 + 12345, 2**64 - 1])
def test_the_key_of_a_purpose_is_the_word_pair_of_seed_and_purpose(seed):
    derived = [(int(key.low), int(key.high)) for key in Seed.of(seed).keys]
    assert derived == [philox((int(p), 0, 0, 0), (seed & MASK, seed >> 32))[:2] for p in Purpose]


def test_every_purpose_has_its_own_key():
    keys = {(int(key.low), int(key.high)) for seed in range(100) for key in Seed.of(seed).keys}
    assert len(keys) == 100 * len(Purpose)


@pytest.mark.parametrize(("word", "value"), [(0, 0.5 * 2.0**-32), (2**31, 0.5 + 0.5 * 2.0**-32), (MASK, 1 - 2.0**-33)])
def test_unit32_is_the_middle_of_its_cell(word, value):
    assert unit32(np.asarray([word], np.uint32))[0] == value


@pytest.mark.parametrize(
    ("high", "low", "value"),
    [(0, 0, 2.0**-53), (MASK, MASK, 1 - 2.0**-53), (2**31, 0, 0.5 + 2.0**-53), (0, 2**12, 1.5 * 2.0**-52)],
)
def test_unit53_is_the_middle_of_its_cell(high, low, value):
    assert unit53(np.asarray([high], np.uint32), np.asarray([low], np.uint32))[0] == value


def test_below_is_the_whole_part_of_the_scaled_word():
    rng = np.random.default_rng(5)
    word = np.append(rng.integers(0, 2**32, 1000, dtype=np.uint32), np.asarray([0, MASK], np.uint32))
    n = np.append(rng.integers(1, 2**31, 1000), [1, 2**31])
    assert below(word, n).tolist() == [int(w) * int(m) // 2**32 for w, m in zip(word, n, strict=True)]


def poisson_quantile(u: float) -> int:
    """Return the smallest count whose Poisson(1) CDF exceeds u."""
    count = 0
    while math.fsum(math.exp(-1.0) / math.factorial(k) for k in range(count + 1)) <= u:
        count += 1
    return count


def test_poisson_one_is_the_quantile_of_the_poisson_law():
    word = np.random.default_rng(6).integers(0, 2**32, 2000, dtype=np.uint32)
    word = np.append(word, np.asarray([0, 2**32 - 1], np.uint32))
    assert poisson_one(word).tolist() == [poisson_quantile((int(w) + 0.5) / 2**32) for w in word]


WIDTH_NS = 1_000_003
BINS = 400
TAG = 5
KEYS = ((11, 22), (33, 44), (0xFFFFFFFF, 7))


def list_points(key: tuple[int, int], tag: int, first_bin: int = 0) -> list[tuple[int, int, int]]:
    """List all points of ``BINS`` bins as (time, bin, position): the counter is (bin low, bin high, tag, block)."""
    points = []
    for index in range(first_bin, first_bin + BINS):
        stream = [w for block in range(6) for w in philox((index & MASK, index >> 32, tag, block), key)]
        for position in range(poisson_quantile((stream[0] + 0.5) / 2**32)):
            offset = int((stream[1 + position] + 0.5) * 2.0**-32 * WIDTH_NS)
            points.append((index * WIDTH_NS + offset, index, position))
    return sorted(points)


def key_of(key: tuple[int, int], n: int) -> Key:
    return Key(np.full(n, key[0], np.uint64), np.full(n, key[1], np.uint64))


def as_rows(points: Points) -> list[tuple[int, int, int]]:
    return list(zip(points.time_ns.tolist(), points.bin.tolist(), points.position.tolist(), strict=True))


@pytest.mark.parametrize("key", KEYS)
def test_walking_with_next_point_visits_every_listed_point_once(key):
    listed, found, now = list_points(key, TAG), [], 0
    end = np.asarray([BINS * WIDTH_NS])
    while len(found) <= len(listed):
        point = next_point(key_of(key, 1), TAG, np.asarray([WIDTH_NS]), np.asarray([now]), end)
        if point.bin[0] < 0:
            break
        found += as_rows(point)
        now = int(point.time_ns[0])
    assert found == listed


@pytest.mark.parametrize("first_bin", [0, 2**33 - 3])
def test_next_point_is_the_first_listed_point_after_the_time(first_bin):
    key = KEYS[0]
    listed = list_points(key, TAG, first_bin)
    rng = np.random.default_rng(8)
    low = first_bin * WIDTH_NS
    after = rng.integers(low, low + (BINS - 30) * WIDTH_NS, 300)
    after = np.append(after, [point[0] for point in listed[:50]])
    limit = after + rng.integers(0, 4 * WIDTH_NS, after.size)
    found = next_point(key_of(key, after.size), TAG, np.full(after.size, WIDTH_NS), after, limit)
    expected = []
    for a, b in zip(after.tolist(), limit.tolist(), strict=True):
        inside = [point for point in listed if a < point[0] < b]
        expected.append(inside[0] if inside else (b, -1, 0))
    assert as_rows(found) == expected


@pytest.mark.parametrize("key", KEYS)
def test_last_point_is_the_last_listed_point_until_the_time(key):
    listed = list_points(key, TAG)
    until = np.random.default_rng(9).integers(0, BINS * WIDTH_NS, 300)
    until = np.append(until, [0, listed[0][0] - 1, *(point[0] for point in listed[:50])])
    found = last_point(key_of(key, until.size), TAG, np.full(until.size, WIDTH_NS), until)
    expected = []
    for t in until.tolist():
        inside = [point for point in listed if point[0] <= t]
        expected.append(inside[-1] if inside else (-1, -1, 0))
    assert as_rows(found) == expected


@pytest.mark.parametrize("n", [1, 7, 400])
@pytest.mark.parametrize("key", KEYS)
def test_points_around_a_time_are_the_last_and_the_next(key, n):
    listed = [point[0] for point in list_points(key, TAG)]
    at = np.random.default_rng(n).integers(0, (BINS - 30) * WIDTH_NS, n)
    at[0] = listed[3]
    keys, width = key_of(key, n), np.full(n, WIDTH_NS)
    for shift in (0, -1, listed[0] - 1 - at):
        last, next_ns = points_around(keys, TAG, width, at + shift)
        assert as_rows(last) == as_rows(last_point(keys, TAG, width, at + shift))
        assert next_ns.tolist() == [next(point for point in listed if point > t) for t in (at + shift).tolist()]


def test_points_of_different_tags_of_one_child_differ():
    width, after, limit = np.full(2, WIDTH_NS), np.zeros(2, np.int64), np.full(2, BINS * WIDTH_NS)
    found = next_point(key_of(KEYS[0], 2), np.asarray([TAG, TAG + 1]), width, after, limit)
    assert found.time_ns[0] != found.time_ns[1]
