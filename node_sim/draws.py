"""Named random draws.

**Models.** A draw is named by what it is about (node, fault, page, bin of time) and by its purpose, never by
how many draws came before it. The generator is Philox4x32-10: the counter is the name, the key is (seed,
purpose).

**Leaves out.** Cryptographic strength; streams longer than one counter word of blocks per name.

**Assumes.** Distinct (seed, purpose) pairs give distinct 64-bit keys; the keys are themselves Philox outputs,
so a collision among the few purposes of a run has probability below 1e-16.

**Sources.** Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, with its
known-answer vectors (``tests/unit/test_draws.py``).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.records import Floats, Index, Ints, take

Words = npt.NDArray[np.uint32]
Wide = npt.NDArray[np.uint64]

CHUNK = 16384
"""Counters mixed at a time: the working set of one chunk stays in the first cache levels."""

FEW = 1024
"""Up to so many counters both halves of a round are done at once."""

_MULTIPLIERS = np.asarray([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_WEYL = np.asarray([[0x9E3779B9], [0xBB67AE85]], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_ROUNDS = 10
_KEY_STEPS = (np.arange(_ROUNDS, dtype=np.uint64)[:, None, None] * _WEYL).astype(np.uint32)
"""What is added to the two key words in each round, modulo 2**32, shape ``(10, 2, 1)``."""


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
    RISK = 10
    GROWTH = 11
    TECHNICIAN = 12


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
    PARTIAL_WRITE = 12
    OWNER = 13
    READER = 14


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


def _mix_few(even: Words, odd: Words, key: Key, out: Words) -> None:
    """Apply the ten rounds, both halves at once: for few numbers the operations count, not their size.

    A round is ``even, odd = high ^ odd ^ key, low``, where high and low are the halves of even times the multipliers,
    those of words 0 and 2 in each other's place.

    Args:
        even: Counter words 0 and 2, shape ``(2, n)``; changed.
        odd: Counter words 1 and 3, shape ``(2, n)``.
        key: Scalars, or of shape ``(n,)``.
        out: The words drawn, shape ``(4, n)``.
    """
    keys = np.empty_like(even)
    keys[0], keys[1] = key.low, key.high
    products = np.empty((2, *even.shape), np.uint64)  # of this round and the last, whose low halves are still read
    halves = products.view(np.uint32).reshape(*products.shape, 2)[:, ::-1]
    low, high = (halves[..., 0], halves[..., 1]) if np.little_endian else (halves[..., 1], halves[..., 0])
    for number, of_round in enumerate(keys + _KEY_STEPS):
        turn = number % 2
        np.multiply(even, _MULTIPLIERS, out=products[turn])
        np.bitwise_xor(high[turn], odd, out=even)
        np.bitwise_xor(even, of_round, out=even)
        odd = low[turn]
    out[0::2], out[1::2] = even, odd


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
    if not n:
        return out[0], out[1], out[2], out[3]
    if n <= FEW:
        cells = np.empty((2, 2, n), np.uint32)
        for place, part in zip(((0, 0), (1, 0), (0, 1), (1, 1)), parts, strict=True):
            cells[place] = part
        _mix_few(cells[0], cells[1], key, out)
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
    term, total, table = math.exp(-1.0), 0.0, []
    for count in range(19):
        total += term
        table.append(total)
        term /= count + 1
    return np.asarray(table)


_POISSON_ONE_CDF = _poisson_one_cdf()


def poisson_one(word: Words) -> Ints:
    """Turn one word into a Poisson count with mean 1."""
    return np.searchsorted(_POISSON_ONE_CDF, unit32(word), side="right").astype(np.int64)
