"""Block codes as codes: check matrices, decoders, and what they make of wrong bits and wrong devices.

**Models.** SECDED (72,64) after Hsiao, Reed-Solomon (18,16) and (10,8) over GF(256), a code of 36 symbols over GF(16)
that corrects one symbol and detects two (SSC-DSD), an on-die single-error-correcting code (136,128).

**Leaves out.** Erasures: no decoder knows which device is bad.

**Assumes.** Nothing public says which column of a SECDED matrix belongs to which pin, so wrong bits of one device are a
random set of columns.

**Sources.** Hsiao, IBM J. Res. Dev. 1970: all columns of weight 1 and 3, eight of weight 5, rows as even as can be.
Distance 4 over GF(16) with four check symbols: no three points of an elliptic quadric are on a line (Bose 1947).
Correcting one symbol of distance 3, or one bit: linear codes and their syndromes, any textbook.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from node_sim.records import Flags, Floats, Ints

_GF256, _GF16 = 0x11D, 0x13
_BYTE, _NIBBLE = 8, 4


@dataclass(frozen=True, eq=False)
class BlockCode:
    """A linear code that corrects one wrong symbol.

    Attributes:
        syndromes: Syndrome of symbol i with error e alone, shape ``(symbols, values)``; column 0 is no error.
        correctable: Which errors of one symbol it is built to correct, shape ``(values,)``.
        syndrome_bits: Check bits.
    """

    syndromes: Ints
    correctable: Flags
    syndrome_bits: int

    @property
    def symbols(self) -> int:
        """Symbols of a code word."""
        return int(self.syndromes.shape[0])

    def detected(self) -> Flags:
        """Which syndromes the decoder reports as uncorrectable, shape ``(2**syndrome_bits,)``."""
        found = np.ones(1 << self.syndrome_bits, np.bool_)
        found[0] = False
        found[self.syndromes[:, self.correctable].ravel()] = False
        return found

    def unnoticed_in_two(self) -> Flags:
        """Say which errors (e, f) of two symbols go unnoticed, shape ``(ordered pairs, values, values)``.

        Two wrong symbols are more than the decoder corrects; where e or f is 0 the entry is False.
        """
        detected = self.detected()
        pairs = [
            ~detected[self.syndromes[i][:, None] ^ self.syndromes[j][None, :]]
            for i in range(self.symbols)
            for j in range(self.symbols)
            if i != j
        ]
        found = np.asarray(pairs)
        found[:, 0, :] = found[:, :, 0] = False
        return found

    def unnoticed_subsets(self, n: int) -> Floats:
        """Return how often 0, 1, 2, … of the subsets of n bits go unnoticed when wrong, shape ``(2**n,)``.

        For a code whose symbols are bits: over all sets of n bits. One wrong bit is corrected; of more those go
        unnoticed whose syndrome is 0 or that of one bit.
        """
        every = itertools.chain.from_iterable(itertools.combinations(self.syndromes[:, 1].tolist(), n))
        sets = np.fromiter(every, np.int16).reshape(-1, n).T.copy()
        unnoticed = ~self.detected()
        count = np.zeros(sets.shape[1], np.int8)
        for size in range(2, n + 1):
            for members in itertools.combinations(range(n), size):
                count += unnoticed[functools.reduce(np.bitwise_xor, (sets[member] for member in members))]
        return np.bincount(count, minlength=1 << n) / sets.shape[1]


def _bits(columns: list[int], check_bits: int) -> BlockCode:
    syndromes = np.asarray([[0, column] for column in columns], np.int64)
    return BlockCode(syndromes, np.asarray([False, True]), check_bits)


def _product(a: Ints | int, b: Ints | int, polynomial: int, bits: int) -> Ints:
    """Multiply in GF(2**bits)."""
    a, b = np.broadcast_arrays(np.asarray(a, np.int64), np.asarray(b, np.int64))
    total = np.zeros(a.shape, np.int64)
    for _ in range(bits):
        total = np.where(b & 1, total ^ a, total)
        a = np.where(a >> (bits - 1), (a << 1) ^ polynomial, a << 1)
        b = b >> 1
    return total


def _of_weight(weight: int, bits: int) -> list[int]:
    return [value for value in range(1, 1 << bits) if value.bit_count() == weight]


@cache
def hsiao_72_64() -> BlockCode:
    """Return the SECDED code of a 64-bit word: odd-weight columns, rows with as equal numbers of ones as can be.

    The eight columns of weight 5 are the rotations of one, so every check bit looks at 5 of them and at as many of the
    56 of weight 3 as every other.
    """
    five = [((0b00011111 << turn) | (0b00011111 >> (8 - turn))) & 0xFF for turn in range(8)]
    return _bits(_of_weight(1, 8) + _of_weight(3, 8) + five, 8)


@cache
def on_die_136_128() -> BlockCode:
    """Return a single-error-correcting code of a 128-bit word with eight check bits.

    Vendors do not publish theirs; this is the cyclic Hamming code of the same polynomial, cut short to 136 bits.
    """
    return _bits(_powers(136), 8)


def _powers(n: int) -> list[int]:
    """Return 1, x, x^2, … in GF(256)."""
    found = [1]
    while len(found) < n:
        found.append(int(_product(found[-1], 2, _GF256, _BYTE)))
    return found


@cache
def reed_solomon(symbols: int) -> BlockCode:
    """Return the code of ``symbols`` bytes of which two check, over GF(256) with x^8 + x^4 + x^3 + x^2 + 1."""
    values = np.arange(256)
    second = _product(np.asarray(_powers(symbols))[:, None], values[None, :], _GF256, _BYTE)
    return BlockCode((values[None, :] << _BYTE) | second, values > 0, 2 * _BYTE)


@cache
def ssc_dsd_36() -> BlockCode:
    """Return the code of 36 nibbles of which four check: points (1, x, y, x^2 + xy + cy^2) of a quadric over GF(16)."""
    field = np.arange(16)
    roots = _product(field, field, _GF16, _NIBBLE) ^ field
    constant = int(next(c for c in field if c not in roots))  # t^2 + t + c has no root, so the quadric has no line
    x, y = np.divmod(np.arange(36), 16)
    squares = _product(x, x, _GF16, _NIBBLE) ^ _product(x, y, _GF16, _NIBBLE)
    last = squares ^ _product(constant, _product(y, y, _GF16, _NIBBLE), _GF16, _NIBBLE)
    syndromes = np.zeros((36, 16), np.int64)
    for coordinate in (np.ones(36, np.int64), x, y, last):
        syndromes = (syndromes << _NIBBLE) | _product(coordinate[:, None], field[None, :], _GF16, _NIBBLE)
    return BlockCode(syndromes, field > 0, 4 * _NIBBLE)


BLOCK_CODES: Final[dict[str, Callable[[], BlockCode]]] = {
    "hsiao_72_64": hsiao_72_64,
    "rs_18_16": lambda: reed_solomon(18),
    "rs_10_8": lambda: reed_solomon(10),
    "ssc_dsd_36": ssc_dsd_36,
}
"""Codes of a word by the name that ``catalog/designs.py`` gives them."""
