"""How likely reads fail, and go unnoticed, read a second time: one fault, or two, one after the other.

Silent shares are enumerated apart from the product: of SECDED from how often two columns have the same sum, of
Reed-Solomon codes from the ratios of two errors that look like one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from functools import cache
from itertools import combinations
from typing import NamedTuple

from scipy import special

from node_sim.catalog.designs import DESIGNS, Design
from node_sim.catalog.pins_per_read import QUANTILES, shown_pins
from node_sim.catalog.sddc import HIGH_HALF, LOCATOR_BITS, LOW_HALF, NARROW_BEATS, NARROW_FACTOR, UNIFORM_RISK
from node_sim.draws import Purpose
from node_sim.ecc.locator import LOCATOR_CODES, risk_table
from node_sim.server.policy import Ecc
from node_sim.server.risk import Risk
from tests.oracle.fault_growth import Draws, Fault
from tests.oracle.named_draws import unit32


class ReadRisk(NamedTuple):
    """Probability that a read fails, and then that it goes unnoticed."""

    p: float
    silent: float


def risk_of(draws: Draws, fault: Fault, ecc: Ecc) -> ReadRisk:
    """Judge the reads of one fault."""
    design = DESIGNS[ecc.code]
    if not design.block_code:
        return ReadRisk(1.0, 1.0)
    if fault.on_wires:
        return ReadRisk(0.0 if ecc.command_retry and not fault.hard else 1.0, 0.0)
    if fault.second:
        return ReadRisk(grown(unit32(draws(Purpose.RISK, fault.node, fault.tag)[1]), ecc.risk), 0.0)
    if fault.n_dq > 1 and design.by_bits:
        return risk_by_pins(fault, unit32(draws(Purpose.RISK, fault.node, fault.tag)[0]))
    if ecc.code == "sddc_locator":
        return ReadRisk(risk_by_locator(fault, ecc.locator_bits, ecc.variant), 0.0)
    if fault.n_dq > 1 and design.locator_bits:
        return ReadRisk(risk_by_class(draws, fault, ecc.risk), 0.0)
    return ReadRisk(0.0, 0.0)


def risk_by_locator(fault: Fault, bits: int, variant: str) -> float:
    """Return the share of the errors of the fault's class that the locator does not find.

    The enumeration of the classes has a second reading of its own in ``tests/unit/test_locator.py``.
    """
    across = bool(fault.pins & LOW_HALF and fault.pins & HIGH_HALF)
    return shares_by_class(bits, variant)[fault.n_dq, fault.n_beats, across]


@cache
def shares_by_class(bits: int, variant: str) -> dict[tuple[int, int, bool], float]:
    """Return the enumerated shares."""
    rows = risk_table(LOCATOR_CODES[variant](bits))
    return {(row.n_dq, row.n_beats, row.crosses_halves): row.p_uncorrected for row in rows}


def grown(u: float, risk: Risk) -> float:
    """Return the risk of what has grown: log-uniform up to 1."""
    return math.exp((1.0 - u) * math.log(risk.grown_low))


def risk_by_class(draws: Draws, fault: Fault, risk: Risk) -> float:
    """Return the risk under the locator."""
    if not (fault.pins & LOW_HALF and fault.pins & HIGH_HALF):
        return 0.0
    repeats, place, tail, _ = (unit32(word) for word in draws(Purpose.RISK, fault.node, fault.tag))
    if fault.wider:
        return grown(place, risk)
    n = fault.n_dq
    share = {2: risk.share_2dq, 3: risk.share_3dq, 4: risk.share_4dq}[n]
    neighbours = [((1 << n) - 1) << first for first in range(5 - n)]
    across = sum(1 for pins in neighbours if pins & LOW_HALF and pins & HIGH_HALF) / len(neighbours)
    if repeats * across < share:
        return math.exp(math.log(risk.high) + place * math.log(risk.low / risk.high))
    median = {2: risk.tail_2dq, 3: risk.tail_3dq, 4: risk.tail_4dq}[n]
    most = UNIFORM_RISK * (NARROW_FACTOR if fault.n_beats <= NARROW_BEATS else 1.0)
    return min(most, median * math.exp(risk.tail_sigma * float(special.ndtri(tail))))


# ------------------------------------------------------------------------------------------- SECDED by pins


def risk_by_pins(fault: Fault, u: float) -> ReadRisk:
    """Return the risk of a fault at a quantile: a read fails if it shows two pins or more."""
    shown = shown_pins(fault.mode, fault.n_dq)
    right = min(max(bisect_right(QUANTILES, u), 1), len(QUANTILES) - 1)
    (u0, u1), (v0, v1) = QUANTILES[right - 1 : right + 1], shown.all_wrong[right - 1 : right + 1]
    widest = v0 + (u - u0) / (u1 - u0) * (v1 - v0)
    fewer = shown.mean[: fault.n_dq - 1]
    of_pins = [share / sum(fewer) * (1.0 - widest) for share in fewer] + [widest]
    fails = sum(of_pins[1:])
    unnoticed = sum(share * unnoticed_sets()[n] for n, share in enumerate(of_pins, start=1))
    return ReadRisk(fails, unnoticed / fails if fails else 0.0)


@cache
def unnoticed_sets() -> dict[int, float]:
    """Return which share of sets of 1 … 4 wrong bits of 72 SECDED takes for right, or for one wrong bit.

    All columns have odd weight: two or four of them add up to no column, three never to nothing; four to nothing where
    two pairs have the same sum, and then each three of them to the fourth.
    """
    columns = [column for column in range(256) if column.bit_count() in (1, 3)]
    columns += [sum(1 << (first + step) % 8 for step in range(5)) for first in range(8)]
    assert len(set(columns)) == 72
    sums = Counter(a ^ b for a, b in combinations(columns, 2))
    fours = sum(math.comb(count, 2) for count in sums.values()) // 3
    return {1: 0.0, 2: 0.0, 3: 4 * fours / math.comb(72, 3), 4: fours / math.comb(72, 4)}


# -------------------------------------------------------------------------------------------- two faults


def words_of(design: Design, beats: int) -> list[int]:
    """Cut the beats of a fault into those of each code word."""
    mask = (1 << design.beats_per_word) - 1
    return [beats >> first & mask for first in range(0, design.beats, design.beats_per_word)]


def fail_together(code: str, a: Fault, b: Fault) -> bool:
    """Say whether two faults with lines in common make words uncorrectable."""
    design = DESIGNS[code]
    if not any(x and y for x, y in zip(words_of(design, a.beats), words_of(design, b.beats), strict=True)):
        return False
    if design.on_die and any(one.n_dq == one.n_beats == 1 for one in (a, b)):
        return False
    return a.device != b.device or (design.by_bits and a.pins != b.pins)


def shown_share(code: str, reader: Fault, other: Fault) -> float:
    """Return how often some bit of the other fault is wrong in the words of a read of the reader."""
    design = DESIGNS[code]
    words = zip(words_of(design, reader.beats), words_of(design, other.beats), strict=True)
    return 1.0 - 0.5 ** sum(theirs.bit_count() * other.n_dq for mine, theirs in words if mine)


def silent_together(code: str, a: Fault, b: Fault, locator_bits: int = LOCATOR_BITS) -> float:
    """Return the share of uncorrectable reads of two faults that go unnoticed: a line of several words."""
    design = DESIGNS[code]
    if design.locator_bits:
        return design.devices / 2 ** (locator_bits if code == "sddc_locator" else LOCATOR_BITS)
    if not design.block_code.startswith("rs"):  # distance 4: two wrong symbols are detected
        return 0.0
    no_word_fails = no_word_is_detected = 1.0
    for mine, theirs in zip(words_of(design, a.beats), words_of(design, b.beats), strict=True):
        symbols = symbol(a.pins, mine), symbol(b.pins, theirs)
        fails = math.prod(1.0 - 0.5 ** mask.bit_count() for mask in symbols)
        quiet = unnoticed_errors(design.devices, a.device, b.device, *symbols) / 2 ** sum(
            mask.bit_count() for mask in symbols
        )
        no_word_fails *= 1.0 - fails
        no_word_is_detected *= 1.0 - fails + quiet
    return (no_word_is_detected - no_word_fails) / (1.0 - no_word_fails)


def symbol(pins: int, beats: int) -> int:
    """Return the bits of a symbol of two beats."""
    return (pins if beats & 1 else 0) | (pins << 4 if beats & 2 else 0)


@cache
def logarithms() -> tuple[list[int], dict[int, int]]:
    """Return the powers of x modulo x^8 + x^4 + x^3 + x^2 + 1, and their logarithms."""
    powers = [1]
    while len(powers) < 255:
        double = powers[-1] << 1
        powers.append(double ^ 0x11D if double & 0x100 else double)
    return powers, {power: exponent for exponent, power in enumerate(powers)}


@cache
def unnoticed_errors(devices: int, i: int, j: int, mask_i: int, mask_j: int) -> int:
    """Count the errors e of device i and f of device j inside masks, none 0, that look like one of one device.

    Their syndromes are e + f and e x^i + f x^j: those of device k if the second is x^k of the first. That depends on
    f / e alone: f / e = (x^i + x^k) / (x^j + x^k).
    """
    powers, log = logarithms()
    count = 0
    for k in set(range(devices)) - {i, j}:
        ratio = log[powers[i] ^ powers[k]] - log[powers[j] ^ powers[k]]
        for e in range(1, 256):
            if not e & ~mask_i and not powers[(log[e] + ratio) % 255] & ~mask_j:
                count += 1
    return count
