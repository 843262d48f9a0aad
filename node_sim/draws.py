"""Named random draws.

**Models.** A draw is named by what it is about (node, fault, page, bin of time) and by its purpose, never by
how many draws came before it. The generator is Philox4x32-10: the counter is the name, the key is (seed,
purpose). Poisson processes are drawn in bins of width 1/rate, so "next point after t" costs O(1) and knows no
history.

**Leaves out.** Cryptographic strength; streams longer than one counter word of blocks per name.

**Assumes.** Distinct (seed, purpose) pairs give distinct 64-bit keys; the keys are themselves Philox outputs,
so a collision among the few purposes of a run has probability below 1e-16.

**Sources.** Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, with its
known-answer vectors (``tests/unit/test_draws.py``).
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.records import Floats, Index, Ints, take
from node_sim.units import FOREVER

Words = npt.NDArray[np.uint32]
Wide = npt.NDArray[np.uint64]

CHUNK = 16384
"""Counters mixed at a time: the working set of one chunk stays in the first cache levels."""

FEW = 1024
"""Up to so many counters both halves of a round are done at once."""

_MULTIPLIERS = np.asarray([0xD2511F53, 0xCD9E8D57], np.uint64)
_WEYL = np.asarray([0x9E3779B9, 0xBB67AE85], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_ROUNDS = 10


class Purpose(enum.IntEnum):
    """What a draw is for; part of the key, so two purposes never share a random number."""

    SCREEN = 1
    FAULT = 2
    BURST = 3
    WINDOW = 4
    SEEN = 5
    NODE = 6
    BLOCK = 7
    PAGE = 8
    OUTCOME = 9


class Tag(enum.IntEnum):
    """What a draw of a child stream (of one block or one page) is for; the fourth counter word."""

    TENANCY = 1
    TENANT = 2
    STATIC = 3
    ACCESS_HOT = 4
    ACCESS_COLD = 5
    ACCESS_MARK = 6
    LATENCY = 7
    FSYNC = 8
    TOUCH_HOT = 9
    TOUCH_COLD = 10
    REFILL = 11


class Key(NamedTuple):
    """A Philox key: two 32-bit words, scalars or arrays of one shape."""

    low: npt.NDArray[np.uint64]
    high: npt.NDArray[np.uint64]

    def take(self, index: Index) -> Key:
        """Select elements of an array key."""
        return take(self, index)


def _mix_many(cells: Wide, key: Key, out: Words) -> None:
    """Apply the ten rounds, each half of a round by itself: no operand is copied.

    Args:
        cells: The four counter words, then room to work, shape ``(7, n)``; changed.
        key: Scalars, or of shape ``(n,)``.
        out: The words drawn, shape ``(4, n)``.
    """
    c0, c1, c2, c3, p0, p1, spare = cells
    k0, k1 = key.low, key.high
    for _ in range(_ROUNDS):
        np.multiply(c0, _MULTIPLIERS[0], out=p0)
        np.multiply(c2, _MULTIPLIERS[1], out=p1)
        np.right_shift(p1, _SHIFT, out=spare)
        np.bitwise_xor(spare, c1, out=spare)
        np.bitwise_xor(spare, k0, out=c0)
        np.bitwise_and(p1, _LOW, out=c1)
        np.right_shift(p0, _SHIFT, out=spare)
        np.bitwise_xor(spare, c3, out=spare)
        np.bitwise_xor(spare, k1, out=c2)
        np.bitwise_and(p0, _LOW, out=c3)
        k0 = (k0 + _WEYL[0]) & _LOW
        k1 = (k1 + _WEYL[1]) & _LOW
    out[0], out[1], out[2], out[3] = c0, c1, c2, c3


def _mix_few(cells: Wide, key: Key, out: Words) -> None:
    """Apply the ten rounds, both halves at once: for few numbers the operations count, not their size.

    Args:
        cells: The four counter words, shape ``(4, n)``.
        key: Scalars, or of shape ``(n,)``.
        out: The words drawn, shape ``(4, n)``.
    """
    n = cells.shape[1]
    # Words 0 and 2 change places every round, and with them their multipliers and key words; words 3 and 1 do not.
    even, odd = cells[[0, 2]].astype(np.uint32).ravel(), cells[[3, 1]].astype(np.uint32).ravel()
    keys, steps = np.empty((3, n), np.uint32), np.empty((3, n), np.uint32)
    keys[0] = keys[2] = key.high
    keys[1] = key.low
    steps[0] = steps[2] = _WEYL[1]
    steps[1] = _WEYL[0]
    schedule, step = keys.ravel(), steps.ravel()
    both = np.repeat(_MULTIPLIERS[[0, 1, 0]], n)
    product = np.empty(2 * n, np.uint64)
    halves = product.view(np.uint32)
    low, high = (halves[0::2], halves[1::2]) if sys.byteorder == "little" else (halves[1::2], halves[0::2])
    for number in range(_ROUNDS):
        turn = slice(n, 3 * n) if number % 2 else slice(0, 2 * n)
        np.multiply(even, both[turn], out=product)
        np.bitwise_xor(high, odd, out=even)
        np.bitwise_xor(even, schedule[turn], out=even)
        odd[n:], odd[:n] = low[:n], low[n:]
        np.add(schedule, step, out=schedule)
    out[0], out[2], out[3], out[1] = even[:n], even[n:], odd[:n], odd[n:]


def words(
    key: Key, c0: npt.ArrayLike, c1: npt.ArrayLike = 0, c2: npt.ArrayLike = 0, c3: npt.ArrayLike = 0
) -> tuple[Words, Words, Words, Words]:
    """Return the four 32-bit words named by each counter.

    Args:
        key: Key words, scalars or arrays of shape ``(n,)``.
        c0: First counter word, shape ``(n,)`` or scalar, 0 … 2**32-1; so are the other three.
        c1: Second counter word.
        c2: Third counter word.
        c3: Fourth counter word.

    Returns:
        Four arrays of shape ``(n,)``, independent and uniform over 32-bit words.

    Source:
        Philox4x32-10, Salmon et al. SC 2011.
    """
    parts = [np.asarray(part) for part in (c0, c1, c2, c3)]
    n = max((part.shape[0] for part in (*parts, key.low) if part.ndim), default=1)
    out = np.empty((4, n), np.uint32)
    if n <= FEW:
        cells = np.empty((4, n), np.uint64)
        for cell, part in zip(cells, parts, strict=True):
            cell[:] = part
        _mix_few(cells, key, out)
        return out[0], out[1], out[2], out[3]
    room = np.empty((7, min(n, CHUNK)), np.uint64)  # reused: fresh memory would cost as much as the rounds
    for start in range(0, n, CHUNK):
        chunk = slice(start, min(start + CHUNK, n))
        scratch = room[:, : chunk.stop - start]
        for cell, part in zip(scratch, parts, strict=False):
            np.copyto(cell, part[chunk] if part.ndim else part, casting="unsafe")
        mine = key if not key.low.ndim else take(key, chunk)
        _mix_many(scratch, mine, out[:, chunk])
    return out[0], out[1], out[2], out[3]


def derive_key(seed: int, purpose: Purpose) -> Key:
    """Return the key of one purpose under a 64-bit seed."""
    base = Key(np.asarray(seed & 0xFFFFFFFF, np.uint64), np.asarray((seed >> 32) & 0xFFFFFFFF, np.uint64))
    first, second, _, _ = words(base, np.asarray([int(purpose)]))
    return Key(first.astype(np.uint64)[0:1].reshape(()), second.astype(np.uint64)[0:1].reshape(()))


@dataclass(frozen=True)
class Seed:
    """The seed of a run, with the key of every purpose derived once."""

    value: int
    keys: tuple[Key, ...]

    @classmethod
    def of(cls, value: int) -> Seed:
        """Derive all purpose keys from a 64-bit seed."""
        return cls(value, tuple(derive_key(value, purpose) for purpose in Purpose))

    def key(self, purpose: Purpose) -> Key:
        """Return the key of one purpose."""
        return self.keys[int(purpose) - 1]


def unit53(high: Words, low: Words) -> Floats:
    """Turn two words into uniforms strictly inside (0, 1): the odd multiples of 2**-53."""
    whole = (high.astype(np.uint64) << _SHIFT) | low.astype(np.uint64)
    return ((whole >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def unit32(word: Words) -> Floats:
    """Turn one word into uniforms strictly inside (0, 1), 32 bits."""
    return (word.astype(np.float64) + 0.5) * 2.0**-32


def below(word: Words, n: npt.ArrayLike) -> Ints:
    """Turn one word into integers uniform on 0 … n-1 (bias below n/2**32)."""
    return ((word.astype(np.uint64) * np.asarray(n, np.uint64)) >> _SHIFT).astype(np.int64)


def child_key(parent: tuple[Words, Words, Words, Words]) -> Key:
    """Turn the words drawn for a thing (block, page) into the key of its own child stream."""
    return Key(parent[0].astype(np.uint64), parent[1].astype(np.uint64))


def split64(value: npt.ArrayLike) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Split non-negative 64-bit integers into the low and the high counter word."""
    wide = np.asarray(value).astype(np.uint64)
    return wide & _LOW, wide >> _SHIFT


def _poisson_one_cdf() -> Floats:
    """CDF of the Poisson law with mean 1 at 0, 1, … (beyond the end its tail is below 2**-53)."""
    term, total, table = np.exp(-1.0), 0.0, []
    for count in range(19):
        total += term
        table.append(total)
        term /= count + 1
    return np.asarray(table)


_POISSON_ONE_CDF = _poisson_one_cdf()


def poisson_one(word: Words) -> Ints:
    """Turn one word into a Poisson count with mean 1."""
    return np.searchsorted(_POISSON_ONE_CDF, unit32(word), side="right").astype(np.int64)


class Points(NamedTuple):
    """Points of Poisson processes, one for each asked process; ``bin`` is -1 where there is none."""

    time_ns: Ints
    bin: Ints
    position: Ints


def _bin_points(key: Key, tag: npt.ArrayLike, width_ns: Ints, bin_index: Ints) -> tuple[Ints, Ints]:
    """Draw the points of one bin per process: times ``(n, k_max)`` (padded with -1) and counts ``(n,)``."""
    low, high = split64(bin_index)
    tag_word = np.asarray(tag, np.uint64)
    first = words(key, low, high, tag_word, 0)
    count = poisson_one(first[0])
    most = int(count.max(initial=0))
    time_ns = np.full((bin_index.shape[0], max(most, 1)), -1, np.int64)
    columns: list[Words] = list(first[1:])
    while len(columns) < most:
        columns.extend(words(key, low, high, tag_word, 1 + (len(columns) - 3) // 4))
    for position in range(most):
        time = bin_index * width_ns + (unit32(columns[position]) * width_ns).astype(np.int64)
        time_ns[:, position] = np.where(position < count, time, -1)
    return time_ns, count


def _bins_at_once(n: int) -> int:
    """Return how many bins of each of n processes are looked into together: for few, more cost the same as one."""
    return max(1, min(8, 256 // n))


def _look_into(key: Key, tags: Ints, width_ns: Ints, some: Ints, bins: Ints) -> tuple[Ints, int]:
    """Draw the points of several bins of some processes.

    Args:
        key: Child keys of all processes, shape ``(n,)``.
        tags: Of all, shape ``(n,)``.
        width_ns: Width of their bins [ns], shape ``(n,)``.
        some: Which processes, shape ``(m,)``.
        bins: Bins of each, shape ``(m, k)``.

    Returns:
        Times of their points, bin by bin, padded with -1, shape ``(m, k * most)``, and ``most``, the room of each bin.
    """
    which = np.repeat(some, bins.shape[1])
    time_ns, _ = _bin_points(key.take(which), tags[which], width_ns[which], bins.ravel())
    return time_ns.reshape(some.size, -1), time_ns.shape[1]


def next_point(key: Key, tag: npt.ArrayLike, width_ns: Ints, after_ns: Ints, limit_ns: Ints) -> Points:
    """Find, for each process, its first point later than a time.

    Args:
        key: Child keys, arrays of shape ``(n,)``.
        tag: Which process of the child, scalar or ``(n,)``.
        width_ns: Width of a bin [ns] = 1/rate, shape ``(n,)``, > 0.
        after_ns: Times [ns], shape ``(n,)``, >= 0; points at or before are passed over.
        limit_ns: Search no further than this [ns], shape ``(n,)``.

    Returns:
        Time [ns] and name (bin, index) of each point; ``limit_ns`` and bin -1 where none comes before the limit.

    Source:
        A Poisson process has independent Poisson(1) counts in bins of width 1/rate, uniform inside.
    """
    n = after_ns.shape[0]
    found = Points(limit_ns.copy(), np.full(n, -1, np.int64), np.zeros(n, np.int64))
    tags = np.broadcast_to(np.asarray(tag, np.int64), (n,))
    bin_index = after_ns // width_ns
    open_ = np.flatnonzero(after_ns < limit_ns)
    while open_.size:
        bins = bin_index[open_, None] + np.arange(_bins_at_once(open_.size))
        late, most = _look_into(key, tags, width_ns, open_, bins)
        late = np.where(late > after_ns[open_, None], late, np.iinfo(np.int64).max)
        position = late.argmin(axis=1)
        best = late[np.arange(open_.size), position]
        hit = best < limit_ns[open_]
        rows, at = open_[hit], position[hit]
        found.time_ns[rows], found.bin[rows], found.position[rows] = best[hit], bins[hit, at // most], at % most
        bin_index[open_] += bins.shape[1]
        open_ = open_[~hit & (bin_index[open_] * width_ns[open_] < limit_ns[open_])]
    return found


def points_around(key: Key, tag: int, width_ns: Ints, at_ns: Ints) -> tuple[Points, Ints]:
    """Find, for each process, its last point at or before a time, and when the next one comes.

    Args:
        key: Child keys, arrays of shape ``(n,)``.
        tag: Which process of the child.
        width_ns: Width of a bin [ns] = 1/rate, shape ``(n,)``, > 0.
        at_ns: Times [ns], shape ``(n,)``, >= 0.

    Returns:
        The last points as of ``last_point``, and the times of the next ones [ns].
    """
    n = at_ns.shape[0]
    half = _bins_at_once(max(n, 1)) // 2
    middle = at_ns // width_ns
    bins = middle[:, None] + np.arange(-half, half + 1)
    time_ns, most = _look_into(key, np.full(n, tag), width_ns, np.arange(n), np.maximum(bins, 0))
    real = (time_ns >= 0) & np.repeat(bins >= 0, most, axis=1)
    early = np.where(real & (time_ns <= at_ns[:, None]), time_ns, -1)
    late = np.where(real & (time_ns > at_ns[:, None]), time_ns, FOREVER)
    at = early.argmax(axis=1)
    each = np.arange(n)
    none = early[each, at] < 0
    last = Points(early[each, at], np.where(none, -1, bins[each, at // most]), np.where(none, 0, at % most))
    next_ns = late.min(axis=1, initial=FOREVER)
    before = np.flatnonzero(none & (middle > half))
    if before.size:
        earlier = last_point(key.take(before), tag, width_ns[before], (middle - half)[before] * width_ns[before] - 1)
        for column, cells in zip(last, earlier, strict=True):
            column[before] = cells
    after = np.flatnonzero(next_ns == FOREVER)
    if after.size:
        from_ns = (middle + half + 1)[after] * width_ns[after] - 1
        next_ns[after] = next_point(
            key.take(after), tag, width_ns[after], from_ns, np.full(after.size, FOREVER)
        ).time_ns
    return last, next_ns


def last_point(key: Key, tag: npt.ArrayLike, width_ns: Ints, until_ns: Ints) -> Points:
    """Find, for each process, its last point at or before a time; time and bin are -1 where there is none since 0.

    Args:
        key: Child keys, arrays of shape ``(n,)``.
        tag: Which process of the child, scalar or ``(n,)``.
        width_ns: Width of a bin [ns] = 1/rate, shape ``(n,)``, > 0.
        until_ns: Times [ns], shape ``(n,)``, >= 0.

    Returns:
        Time [ns] and name (bin, index) of each point.
    """
    n = until_ns.shape[0]
    found = Points(np.full(n, -1, np.int64), np.full(n, -1, np.int64), np.zeros(n, np.int64))
    tags = np.broadcast_to(np.asarray(tag, np.int64), (n,))
    bin_index = until_ns // width_ns
    open_ = np.arange(n)
    while open_.size:
        bins = bin_index[open_, None] - np.arange(_bins_at_once(open_.size))
        early, most = _look_into(key, tags, width_ns, open_, np.maximum(bins, 0))
        early = np.where((early <= until_ns[open_, None]) & np.repeat(bins >= 0, most, axis=1), early, -1)
        position = early.argmax(axis=1)
        best = early[np.arange(open_.size), position]
        hit = best >= 0
        rows, at = open_[hit], position[hit]
        found.time_ns[rows], found.bin[rows], found.position[rows] = best[hit], bins[hit, at // most], at % most
        bin_index[open_] -= bins.shape[1]
        open_ = open_[~hit & (bin_index[open_] >= 0)]
    return found
