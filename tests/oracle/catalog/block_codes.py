"""Block codes enumerated from their definitions: a Hsiao (72,64) code and RS(18,16) over GF(256)."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

CHECK_BITS = 8
NIBBLES = 18


def hsiao_columns(rng: np.random.Generator) -> list[int]:
    """Return the 72 columns of a Hsiao matrix in random order: all of weight 1 and 3, and eight of weight 5."""
    weight = {w: [c for c in range(1, 256) if c.bit_count() == w] for w in (1, 3, 5)}
    five = rng.choice(weight[5], 8, replace=False).tolist()
    return rng.permutation(weight[1] + weight[3] + five).tolist()


def judge_syndrome(syndrome: int, wrong: frozenset[int], columns: list[int]) -> str:
    """Say what a decoder does: SDC if it sees no error or flips a good bit."""
    if syndrome == 0:
        return "SDC"
    if syndrome in columns:
        return "CE" if wrong == {columns.index(syndrome)} else "SDC"
    return "DUE"


def nibble_outcomes(columns: list[int], weight: int) -> dict[str, Fraction]:
    """Share of each outcome over all patterns of one weight inside an aligned nibble."""
    counts = {"CE": 0, "DUE": 0, "SDC": 0}
    for nibble in range(NIBBLES):
        for bits in itertools.combinations(range(4 * nibble, 4 * nibble + 4), weight):
            syndrome = 0
            for bit in bits:
                syndrome ^= columns[bit]
            counts[judge_syndrome(syndrome, frozenset(bits), columns)] += 1
    total = sum(counts.values())
    return {name: Fraction(count, total) for name, count in counts.items()}


def _multiply(a: int, b: int) -> int:
    """Multiply in GF(256) with x^8 + x^4 + x^3 + x^2 + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


def rs_two_symbol_outcomes(symbols: int = 18) -> dict[str, Fraction]:
    """Share of each outcome over all pairs of wrong symbols of a distance-3 Reed-Solomon code.

    The first error value is 1: multiplying both by a constant multiplies both syndromes and changes no verdict.
    """
    locator = [1]
    for _ in range(symbols - 1):
        locator.append(_multiply(locator[-1], 2))
    counts = {"CE": 0, "DUE": 0, "SDC": 0}
    for i, j in itertools.combinations(range(symbols), 2):
        for value in range(1, 256):
            s0 = 1 ^ value
            s1 = locator[i] ^ _multiply(value, locator[j])
            # The decoder corrects symbol k if the syndromes are those of one wrong symbol there.
            correctable = s0 != 0 and any(_multiply(s0, x) == s1 for x in locator)
            silent = correctable or (s0 == 0 and s1 == 0)
            counts["SDC" if silent else "DUE"] += 1
    total = sum(counts.values())
    return {name: Fraction(count, total) for name, count in counts.items()}
