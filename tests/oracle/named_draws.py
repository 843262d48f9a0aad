"""Named random draws one at a time, in plain Python integers.

**Models.** Philox4x32-10 and Poisson points in bins, by the same names as ``node_sim.draws``, from the published
algorithm and not from its arrays.

**Leaves out.** Nothing.

**Assumes.** Keys are given as pairs of integers.

**Sources.** Salmon et al., SC 2011.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

Key = tuple[int, int]
Four = tuple[int, int, int, int]

LOW = 0xFFFFFFFF


@lru_cache(maxsize=1 << 17)
def philox(key: Key, c0: int, c1: int = 0, c2: int = 0, c3: int = 0) -> Four:
    """Return the four words named by a counter."""
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & LOW, (p0 >> 32) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return c0, c1, c2, c3


def unit32(word: int) -> float:
    """Turn a word into a uniform inside (0, 1)."""
    return (word + 0.5) * 2.0**-32


def unit53(high: int, low: int) -> float:
    """Turn two words into a uniform inside (0, 1)."""
    return ((((high << 32) | low) >> 12) + 0.5) * 2.0**-52


def below(word: int, n: int) -> int:
    """Turn a word into an integer on 0 … n - 1."""
    return (word * n) >> 32


def split(value: int) -> tuple[int, int]:
    """Split a 64-bit integer into the low and the high word."""
    return value & LOW, value >> 32


POISSON_ONE = list(accumulate(math.exp(-1.0) / math.factorial(count) for count in range(19)))


class Point(NamedTuple):
    """A point of a Poisson process with its name: bin, and position in the bin."""

    time: int
    bin: int
    position: int


@lru_cache(maxsize=1 << 17)
def points_of_bin(key: Key, tag: int, width: int, number: int) -> tuple[Point, ...]:
    """Return the points of one bin in the order of their positions."""
    low, high = split(number)
    draws = list(philox(key, low, high, tag, 0))
    count = bisect_right(POISSON_ONE, unit32(draws[0]))
    while len(draws) <= count:
        draws.extend(philox(key, low, high, tag, len(draws) // 4))
    return tuple(
        Point(number * width + int(unit32(draw) * width), number, position)
        for position, draw in enumerate(draws[1 : 1 + count])
    )


def next_point(key: Key, tag: int, width: int, after: int, limit: int) -> Point | None:
    """Return the first point later than ``after`` and before ``limit``."""
    number = after // width
    while number * width < limit:
        later = [point for point in points_of_bin(key, tag, width, number) if after < point.time < limit]
        if later:
            return min(later, key=lambda point: (point.time, point.position))
        number += 1
    return None


def last_point(key: Key, tag: int, width: int, until: int) -> Point | None:
    """Return the last point at or before ``until``."""
    for number in range(until // width, -1, -1):
        earlier = [point for point in points_of_bin(key, tag, width, number) if point.time <= until]
        if earlier:
            return max(earlier, key=lambda point: (point.time, -point.position))
    return None
