"""The locator code read a second time: fields by tables of logarithms or by long division, bad errors by null spaces.

An error e of device d is not corrected if some device k has the same locator for it. That is linear in e: the bad
errors of a mask are the null spaces of L_d + L_k over its bits, put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

EXPONENTS = {12: (12, 6, 4, 1, 0), 16: (16, 12, 3, 1, 0), 32: (32, 22, 2, 1, 0)}
DEVICES, PINS, BEATS = 18, 4, 8
Code = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Bits of the locator, coefficients x, coefficients y."""


def remainder(polynomial: int, bits: int) -> int:
    """Divide a polynomial by that of the field."""
    divisor = sum(1 << exponent for exponent in EXPONENTS[bits])
    while polynomial.bit_length() > bits:
        polynomial ^= divisor << (polynomial.bit_length() - bits - 1)
    return polynomial


@cache
def logarithms(bits: int) -> tuple[list[int], dict[int, int]]:
    """Return the powers of x, as many as there are, and the logarithms of all of them."""
    powers = [1]
    while (following := remainder(powers[-1] << 1, bits)) != 1:
        powers.append(following)
    return powers, {power: exponent for exponent, power in enumerate(powers)}


def multiply(a: int, b: int, bits: int) -> int:
    """Multiply two polynomials modulo that of the field: small fields by logarithms."""
    if bits > 16:
        return remainder(sum_of(a << place for place in range(b.bit_length()) if b >> place & 1), bits)
    a, b = remainder(a, bits), remainder(b, bits)
    if not a or not b:
        return 0
    powers, logarithm = logarithms(bits)
    return powers[(logarithm[a] + logarithm[b]) % len(powers)]


def sum_of(parts: Iterable[int]) -> int:
    """Add polynomials."""
    total = 0
    for part in parts:
        total ^= part
    return total


def null_space(columns: Sequence[int]) -> list[int]:
    """Return a basis of the sets of columns whose sum is 0, each set as a mask."""
    pivots: dict[int, tuple[int, int]] = {}
    found = []
    for place, column in enumerate(columns):
        rest, members = column, 1 << place
        while rest and rest.bit_length() in pivots:
            other, its_members = pivots[rest.bit_length()]
            rest, members = rest ^ other, members ^ its_members
        if rest:
            pivots[rest.bit_length()] = rest, members
        else:
            found.append(members)
    return found


def span(basis: Sequence[int]) -> np.ndarray:
    """Return all sums of some errors."""
    found = np.zeros(1, np.int64)
    for one in basis:
        found = np.concatenate([found, found ^ one])
    return found


def columns(code: Code) -> list[list[int]]:
    """Return the locator of each bit of each device."""
    bits, *coefficients = code
    cells_of_device = [(pin, beat) for pin in range(PINS) for beat in range(BEATS)]
    return [
        [
            multiply(coefficients[pin // 2][device], 1 << (BEATS * (pin % 2) + beat), bits)
            for pin, beat in cells_of_device
        ]
        for device in range(DEVICES)
    ]


def cells(pins: int, beats: int) -> list[int]:
    """Return the places of the bits of a mask."""
    return [BEATS * pin + beat for pin in range(PINS) for beat in range(BEATS) if pins >> pin & 1 and beats >> beat & 1]


def bad_errors(by_device: list[list[int]], pins: int, beats: int, device: int) -> np.ndarray:
    """Return the errors of a device, not 0, inside a mask that are not corrected, sorted."""
    places = cells(pins, beats)
    found = []
    for other in range(DEVICES):
        if other != device:
            basis = null_space([by_device[device][place] ^ by_device[other][place] for place in places])
            found.append(
                span([sum_of(1 << place for at, place in enumerate(places) if one >> at & 1) for one in basis])
            )
    errors = np.sort(np.concatenate(found))
    return errors[1:][np.diff(errors) > 0]


def risk(by_device: list[list[int]], pins: int, beats: int, device: int) -> float:
    """Return the exact share of errors inside a mask that are not corrected in a device."""
    return bad_errors(by_device, pins, beats, device).size / ((1 << len(cells(pins, beats))) - 1)
