"""A code of one parity device and a locator: which errors of a device it corrects, which of two it takes for one.

**Models.** A device of four data pins gives 32 bits of a line: eight beats of pins 0 and 1 (half a), of pins 2 and 3
(half b). The parity device shows which bits are wrong, the locator L_d(a, b) = x_d a + y_d b over GF(2**bits) in which
of 18 devices d. All x differ, and all y, so errors inside one half are located; one across the halves is not if another
device has the same locator for it. Coefficients are ``structured``, x_d = α^d and y_d = α^2d, or ``random``.

Fleets ask which share of the errors of a class of faults is not corrected.

**Leaves out.** Three wrong devices; erasures; that a fault repeats few errors (``sddc_table`` has that spread). The
devices that hold parity and locators are like the others.

**Assumes.** A read shows any error inside the fault's pins and beats, all with equal chances; of a class (how many
pins, how many beats, whether it reaches into both halves) each fault is given the mean over places and devices. Bit
8 * pin + beat of an error is a pin in a beat, so a half holds its first pin in the low bits. No vendor has published
coefficients or the order of bits; both decide which narrow errors are bad. With 12 bits a half is taken modulo the
polynomial, so the 15 halves that it divides are located nowhere. Under structured coefficients an error is bad if
a = (α^d + α^k) b; narrow halves need no reduction for that, so 32 bits help them no more than 16.

**Sources.** Registers of Intel's Skylake-SP: a parity syndrome of 32 bits and a locator syndrome of 16, of 12 in the
"+1" modes. Huawei: safe are errors inside pins 0 and 1 or inside pins 2 and 3. That the code has this form is inferred
from the two. Checked in ``tests/unit/test_locator.py`` against ``tests/oracle/catalog/locator_code.csv``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, NamedTuple

import numpy as np

from node_sim.catalog.designs import PINS
from node_sim.catalog.patterns import DDR4_BEATS
from node_sim.draws import Key, Words, words
from node_sim.records import Flags, Floats, Ints

DEVICES: Final = 18
POLYNOMIALS: Final = {12: 0x1053, 16: 0x1100B, 32: 0x100400007}
"""By bits of the locator: x^12 + x^6 + x^4 + x + 1, x^16 + x^12 + x^3 + x + 1, x^32 + x^22 + x^2 + x + 1.

All are primitive: α = x generates the field, so its first powers differ, and so do their squares.
"""

_HALF_BITS: Final = PINS // 2 * DDR4_BEATS
_HALF: Final = (1 << _HALF_BITS) - 1
_LOW_PINS: Final = (1 << PINS // 2) - 1
_COEFFICIENTS = Key(np.asarray(1, np.uint64), np.asarray(0, np.uint64))


def product(element: int, factor: int, bits: int) -> int:
    """Multiply an element of GF(2**bits) by a polynomial of any degree."""
    total = 0
    while factor:
        if factor & 1:
            total ^= element
        element <<= 1
        if element >> bits:
            element ^= POLYNOMIALS[bits]
        factor >>= 1
    return total


def _sums(parts: Iterable[int]) -> Ints:
    """Return the sums (exclusive or) of all subsets of n numbers, shape ``(2**n,)``; bit i of the index is part i."""
    found = np.zeros(1, np.int64)
    for part in parts:
        found = np.concatenate([found, found ^ part])
    return found


@dataclass(frozen=True, eq=False)
class LocatorCode:
    """The code of one parity device and a locator.

    Attributes:
        bits: Of the locator: 12, 16 or 32.
        x: Coefficient of half a of each device, all different.
        y: Coefficient of half b of each device, all different.
    """

    bits: int
    x: tuple[int, ...]
    y: tuple[int, ...]

    def locator(self, device: int, error: int) -> int:
        """Return the locator of an error of 32 bits in one device."""
        a, b = error & _HALF, error >> _HALF_BITS
        assert 0 <= b <= _HALF
        return product(self.x[device], a, self.bits) ^ product(self.y[device], b, self.bits)

    def located(self, parity: int, locator: int) -> list[int]:
        """Return the devices in which the wrong bits that the parity shows would have this locator."""
        return [device for device in range(DEVICES) if self.locator(device, parity) == locator]

    def corrects(self, device: int, error: int) -> bool:
        """Say whether an error of one device, not 0, is corrected; else it is detected."""
        assert error
        return self.located(error, self.locator(device, error)) == [device]

    def is_silent(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Say whether errors of two devices go unnoticed: together they look like one of one device, or like none.

        Each is given as device and error, not 0; else they are detected.
        """
        assert one[0] != other[0]
        assert min(one[1], other[1]) > 0
        parity, locator = one[1] ^ other[1], self.locator(*one) ^ self.locator(*other)
        return parity == locator == 0 or len(self.located(parity, locator)) == 1

    @cached_property
    def _locator_by_half(self) -> list[Words]:
        """Locators of all values of half a, and of half b, by device: shape ``(DEVICES, 2**16)``."""
        alone = [[self.locator(device, 1 << bit) for bit in range(2 * _HALF_BITS)] for device in range(DEVICES)]
        halves = slice(_HALF_BITS), slice(_HALF_BITS, None)
        return [np.asarray([_sums(bits[half]) for bits in alone], np.uint32) for half in halves]

    def locators(self, error: Ints) -> Words:
        """Return the locators of errors in each device, shape ``(DEVICES, n)``."""
        a, b = self._locator_by_half
        return a.take(error & _HALF, axis=1) ^ b.take(error >> _HALF_BITS, axis=1)

    def uncorrected(self, error: Ints) -> Flags:
        """Say which errors are not corrected in each device, shape ``(DEVICES, n)``: ``corrects`` of many."""
        locator = self.locators(error)
        found = np.zeros(locator.shape, np.bool_)
        for one, other in itertools.combinations(range(DEVICES), 2):
            same = locator[one] == locator[other]
            found[one] |= same
            found[other] |= same
        return found


@cache
def _structured(bits: int) -> LocatorCode:
    """Return the code with x_d = α^d and y_d = α^2d."""
    x = [1]
    while len(x) < DEVICES:
        x.append(product(x[-1], 2, bits))
    return LocatorCode(bits, tuple(x), tuple(product(one, one, bits) for one in x))


@cache
def _random(bits: int) -> LocatorCode:
    """Return a code with coefficients drawn once and for all; that they differ is tested."""
    drawn = words(_COEFFICIENTS, np.arange(DEVICES), bits)
    x, y, *_ = ((word >> np.uint32(32 - bits)).tolist() for word in drawn)
    return LocatorCode(bits, tuple(x), tuple(y))


LOCATOR_CODES: Final[dict[str, Callable[[int], LocatorCode]]] = {"structured": _structured, "random": _random}
"""Codes by variant, for the bits of the locator."""


def _inverse(element: int, bits: int) -> int:
    """Return the inverse in GF(2**bits): the element to the power of 2**bits - 2."""
    found, square = 1, product(element, element, bits)
    for _ in range(bits - 1):
        found, square = product(found, square, bits), product(square, square, bits)
    return found


class _Solutions(NamedTuple):
    """Pairs of devices, and which half a has the same locator in both with each bit of half b.

    Attributes:
        pair: Which pair one device and another make, shape ``(DEVICES, DEVICES - 1)``.
        half: Half a, up to multiples of the polynomial, for each bit of half b alone, shape ``(pairs, 16)``.
    """

    pair: Ints
    half: Words


@cache
def _solutions(code: LocatorCode) -> _Solutions:
    """Solve (x_d + x_k) a = (y_d + y_k) b for a; pairs with equal solutions are one."""
    ratios: list[int] = []
    pair = np.zeros((DEVICES, DEVICES), np.int64)
    for d, k in itertools.combinations(range(DEVICES), 2):
        inverse = _inverse(code.x[d] ^ code.x[k], code.bits)
        ratios.append(product(inverse, code.y[d] ^ code.y[k], code.bits))
        pair[d, k] = pair[k, d] = len(ratios) - 1
    half = [[product(ratio, 1 << bit, code.bits) for bit in range(_HALF_BITS)] for ratio in ratios]
    others = ~np.eye(DEVICES, dtype=np.bool_)
    assert all(len({ratios[p] for p in row}) == DEVICES - 1 for row in pair[others].reshape(DEVICES, -1).tolist())
    return _Solutions(pair[others].reshape(DEVICES, -1), np.asarray(half, np.uint32))


def _bits_within(pins: int, beats: int) -> list[int]:
    """Return the places in a half of some of its pins in some beats."""
    cells = itertools.product(range(PINS // 2), range(DDR4_BEATS))
    return [DDR4_BEATS * pin + beat for pin, beat in cells if (pins >> pin) & (beats >> beat) & 1]


def _ranks(vectors: Words) -> Ints:
    """Return the rank over GF(2) of the vectors along the first axis, for each place of the other axes."""
    left, rank = vectors.copy(), np.zeros(vectors.shape[1:], np.int64)
    for at, pivot in enumerate(left):
        rank += pivot != 0
        rest = left[at + 1 :]
        rest ^= pivot * (rest & pivot & -pivot != 0)
    return rank


def _risks(pins: int, beats: Sequence[int], code: LocatorCode) -> Floats:
    """Return ``mask_risks`` of some pins in several sets of as many beats each, shape ``(n_sets, DEVICES)``."""
    low = np.asarray([_bits_within(pins & _LOW_PINS, one) for one in beats], np.int64).T
    high = np.asarray([_bits_within(pins >> PINS // 2, one) for one in beats], np.int64).T
    solutions, n_bits = _solutions(code), len(low) + len(high)
    residue = np.asarray([product(1, 1 << bit, code.bits) for bit in range(_HALF_BITS)], np.uint32)
    halves_b = solutions.half.T[high]
    halves_a = np.broadcast_to(residue[low][..., None], (*low.shape, halves_b.shape[2]))
    same = 1 << n_bits - _ranks(np.concatenate([halves_a, halves_b]))
    # Of these, a and b are both 0 or multiples of the polynomial: their locator is 0 in every device.
    zero = 1 << n_bits - _ranks(residue[low]) - _ranks(residue[high])
    bad = (same - zero[:, None])[:, solutions.pair].sum(axis=2) + zero[:, None] - 1
    found: Floats = bad / ((1 << n_bits) - 1)
    return found


def mask_risks(pins: int, beats: int, code: LocatorCode) -> Floats:
    """Return the share of errors that are not corrected among those of some pins in some beats, shape ``(DEVICES,)``.

    Both are masks, not 0. All errors inside are equally likely, also those that leave out one of the pins or beats.
    Exact: with each other device, halves a and b inside the mask that solve the equation are a null space over GF(2).
    """
    found: Floats = _risks(pins, [beats], code)[0]
    return found


def mask_risk(pins: int, beats: int, device: int, code: LocatorCode) -> float:
    """Return ``mask_risks`` of one device."""
    return float(mask_risks(pins, beats, code)[device])


class PatternRisk(NamedTuple):
    """Of masks of so many neighbouring pins and beats: share of errors not corrected, of masks with any such error."""

    n_dq: int
    n_beats: int
    crosses_halves: bool
    p_uncorrected: float
    share_with_any: float


def risk_table(code: LocatorCode) -> list[PatternRisk]:
    """Return the risks of all kinds of masks, sorted; masks of one kind are equally likely."""
    risks: dict[tuple[int, int, bool], list[Floats]] = defaultdict(list)
    for pins in (((1 << n_dq) - 1) << first for n_dq in range(1, PINS + 1) for first in range(PINS - n_dq + 1)):
        crosses = 0 < pins & _LOW_PINS < pins
        for n_beats in range(1, DDR4_BEATS + 1):
            beats = [one for one in range(1, 1 << DDR4_BEATS) if one.bit_count() == n_beats]
            risks[pins.bit_count(), n_beats, crosses].extend(_risks(pins, beats, code))
    means = {kind: (float(np.mean(risk)), float(np.mean(np.asarray(risk) > 0))) for kind, risk in risks.items()}
    return [PatternRisk(*kind, *means[kind]) for kind in sorted(means)]


@cache
def risks_by_class(variant: str, bits: int) -> Floats:
    """Return the shares of ``risk_table`` by number of pins, of beats, and whether the pins reach into both halves."""
    found = np.zeros((PINS + 1, DDR4_BEATS + 1, 2))
    for row in risk_table(LOCATOR_CODES[variant](bits)):
        found[row.n_dq, row.n_beats, int(row.crosses_halves)] = row.p_uncorrected
    return found
