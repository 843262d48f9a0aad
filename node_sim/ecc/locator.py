"""A code of one parity device and a locator: which errors of a device it corrects, which of two it takes for one.

**Models.** A device of four data pins gives 32 bits of a line: eight beats of pins 0 and 1 (half a), of pins 2 and 3
(half b). The parity device shows which bits are wrong, the locator L_d(a, b) = x_d a + y_d b over GF(2**bits) in which
of 18 devices d. All x differ, and all y, so errors inside one half are located; one across the halves is not if another
device has the same locator for it. Coefficients are ``structured``, x_d = α^d and y_d = α^2d, or ``random``.

**Leaves out.** Three wrong devices; erasures. The devices that hold parity and locators are like the others.

**Assumes.** Bit 8 * pin + beat of an error is a pin in a beat, so a half holds its first pin in the low bits. No vendor
has published coefficients or the order of bits; both decide which narrow errors are bad. With 12 bits a half is taken
modulo the polynomial, so the 15 halves that it divides are located nowhere. Under structured coefficients an error is
bad if a = (α^d + α^k) b; narrow halves need no reduction for that, so 32 bits help them no more than 16.

**Sources.** Registers of Intel's Skylake-SP: a parity syndrome of 32 bits and a locator syndrome of 16, of 12 in the
"+1" modes. Huawei: safe are errors inside pins 0 and 1 or inside pins 2 and 3. That the code has this form is inferred
from the two. Checked in ``tests/unit/test_locator.py`` against ``tests/oracle/catalog/locator_code.csv``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, NamedTuple

import numpy as np

from node_sim.catalog.designs import PINS
from node_sim.catalog.patterns import DDR4_BEATS
from node_sim.draws import Key, Words, words
from node_sim.records import Flags, Floats, Ints

DEVICES: Final = 18
EXACT_BITS_MAX: Final = 14
SAMPLES: Final = 1 << EXACT_BITS_MAX
"""All errors inside a mask of up to ``EXACT_BITS_MAX`` bits are judged, of larger masks so many drawn ones."""

POLYNOMIALS: Final = {12: 0x1053, 16: 0x1100B, 32: 0x100400007}
"""By bits of the locator: x^12 + x^6 + x^4 + x + 1, x^16 + x^12 + x^3 + x + 1, x^32 + x^22 + x^2 + x + 1.

All are primitive: α = x generates the field, so its first powers differ, and so do their squares.
"""

_HALF_BITS: Final = PINS // 2 * DDR4_BEATS
_HALF: Final = (1 << _HALF_BITS) - 1
_LOW_PINS: Final = (1 << PINS // 2) - 1
_COEFFICIENTS, _ERRORS = (Key(np.asarray(purpose, np.uint64), np.asarray(0, np.uint64)) for purpose in (1, 2))


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


def _errors_within(pins: int, beats: int) -> Ints:
    """Return the errors, not 0, of some pins in some beats: all of them, or some drawn with equal chances."""
    cells = itertools.product(range(PINS), range(DDR4_BEATS))
    bits = [1 << (DDR4_BEATS * pin + beat) for pin, beat in cells if (pins >> pin) & (beats >> beat) & 1]
    if len(bits) <= EXACT_BITS_MAX:
        return _sums(bits)[1:]
    drawn: Ints = words(_ERRORS, np.arange(SAMPLES), pins, beats)[0].astype(np.int64) & sum(bits)
    return drawn[drawn > 0]


def mask_risks(pins: int, beats: int, code: LocatorCode) -> Floats:
    """Return the share of errors that are not corrected among those of some pins in some beats, shape ``(DEVICES,)``.

    Both are masks, not 0. All errors inside are equally likely, also those that leave out one of the pins or beats; of
    large masks all devices are given the same errors.
    """
    found: Floats = code.uncorrected(_errors_within(pins, beats)).mean(axis=1)
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
    risks = defaultdict(list)
    for pins in (((1 << n_dq) - 1) << first for n_dq in range(1, PINS + 1) for first in range(PINS - n_dq + 1)):
        crosses = 0 < pins & _LOW_PINS < pins
        for beats in range(1, 1 << DDR4_BEATS):
            risks[pins.bit_count(), beats.bit_count(), crosses].append(mask_risks(pins, beats, code))
    means = {kind: (float(np.mean(risk)), float(np.mean(np.asarray(risk) > 0))) for kind, risk in risks.items()}
    return [PatternRisk(*kind, *means[kind]) for kind in sorted(means)]
