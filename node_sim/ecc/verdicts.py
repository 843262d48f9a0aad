"""What the memory controller makes of a wrong line.

**Models.** The codes of ``block_codes.py`` over a rank: one fault by its numbers of faulty data pins and beats, and two
faults that meet in a code word, by their devices, pins and beats. A line is several code words. It is silently wrong
only if none of them is detected and one at least is miscorrected or unnoticed.

**Leaves out.** Three or more faults in one word; third wrong bits that an on-die code adds to other lines.

**Assumes.** Of a code that corrects bits any set of columns is as likely as others, the same in all code words of the
line. At each read each faulty pin is wrong in each affected beat with probability 1/2, and the line is judged given
that something in it is wrong. A command/address fault is caught by command/address parity, so it is detected under any
code and never corrected. An on-die code hides one wrong bit of a line's device and leaves more to the rank.

**Sources.** ``block_codes.py``, enumerated; checked in ``tests/unit/test_ecc.py`` against
``tests/oracle/catalog/ecc_outcomes.csv``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.catalog.designs import DESIGNS, PINS, Design
from node_sim.codes import Mode
from node_sim.dram.faults import Cells
from node_sim.dram.geometry import Dimm
from node_sim.ecc.block_codes import BLOCK_CODES
from node_sim.records import Flags, Floats, Ints

MAX_DQ: Final = 4
BEATS_MAX: Final = 16
"""Beats of a line of DDR5."""


def misfit(code: str, dimm: Dimm) -> str | None:
    """Say why a code does not fit the ranks of a DIMM, or nothing."""
    design, bits = DESIGNS[code], dimm.devices * dimm.width
    if not design.block_code:
        return None
    if bits != design.bits:
        return f"{dimm.devices} devices x {dimm.width} pins = {bits} bits, expected {design.bits} for {code}"
    if dimm.width != PINS and not design.by_bits:
        return f"x{dimm.width} devices, expected x{PINS} for {code}, which corrects a device of {PINS} pins"
    return None


class Verdict(NamedTuple):
    """Probabilities that a read of a wrong line is corrected, detected as uncorrectable, or silently wrong."""

    p_ce: float
    p_due: float
    p_sdc: float


def _line(right: Floats, fails: Floats, silent: Floats) -> Floats:
    """Judge lines of some affected code words, given that at least one is wrong.

    Args:
        right: Probability that nothing is wrong in each code word, shape ``(words, …)``.
        fails: … that the code does not correct it.
        silent: … that this is not noticed.

    Returns:
        The parts of ``Verdict``, shape ``(3, …)``.
    """
    survives, unnoticed = (1.0 - fails).prod(axis=0), (1.0 - fails + silent).prod(axis=0)
    all_right = right.prod(axis=0)
    verdict: Floats = np.asarray([survives - all_right, 1.0 - unnoticed, unnoticed - survives]) / (1.0 - all_right)
    return verdict


def _mean(verdicts: Iterable[tuple[float, Verdict]]) -> Verdict:
    """Average verdicts with weights that add up to 1."""
    weights, parts = zip(*verdicts, strict=True)
    return Verdict(*(np.asarray(weights) @ np.asarray(parts)).tolist())


@cache
def _unnoticed_shares(block_code: str, n: int) -> Floats:
    """Return ``unnoticed_subsets`` of a code."""
    return BLOCK_CODES[block_code]().unnoticed_subsets(n)


@cache
def _by_bits(design: Design, n_dq: int, n_beats: int) -> Verdict:
    """Judge n faulty pins of a device under a code that corrects one bit, over all sets of columns they can be.

    The set is the same in all beats of the line, each of which is a code word.
    """
    patterns = 1 << n_dq
    shares = _unnoticed_shares(design.block_code, n_dq)
    fails = (patterns - 1 - n_dq) / patterns
    return _mean(
        (share, Verdict(*_line(*np.full((n_beats, 3), (1 / patterns, fails, unnoticed / patterns)).T).tolist()))
        for unnoticed, share in enumerate(shares)
    )


def classify(code: str, mode: Mode, n_dq: int, n_beats: int) -> Verdict:
    """Judge one fault alone.

    Args:
        code: One of ``DESIGNS``.
        mode: Mode of the fault.
        n_dq: Faulty data pins of the device, 1 … 4.
        n_beats: Faulty beats of the line, at least 1.

    Returns:
        All zero if the devices correct it themselves.
    """
    design = DESIGNS[code]
    if not design.block_code:
        return Verdict(0.0, 0.0, 1.0)
    if mode is Mode.COMMAND_ADDRESS:
        return Verdict(0.0, 1.0, 0.0)
    if design.on_die and n_dq == n_beats == 1:
        return Verdict(0.0, 0.0, 0.0)
    if design.by_bits:
        return _by_bits(design, n_dq, n_beats)
    return Verdict(1.0, 0.0, 0.0)


@cache
def verdict_table(code: str) -> Floats:
    """Enumerate ``classify`` for one code: shape ``(modes, MAX_DQ + 1, BEATS_MAX + 1, 3)``; zero counts as one."""
    beats = range(BEATS_MAX + 1)
    return np.asarray(
        [[[classify(code, mode, max(n, 1), max(m, 1)) for m in beats] for n in range(MAX_DQ + 1)] for mode in Mode]
    )


def judge_each(code: str, mode: Ints, cells: Cells) -> Floats:
    """Judge faults alone: the columns of ``Verdict``, shape ``(n, 3)``."""
    found: Floats = verdict_table(code)[mode, cells.n_dq, cells.n_beats]
    return found


# ---------------------------------------------------------------------------------------- two faults


_SUBSETS: Final = 1 << PINS


def _spread(pins: int, beats: int) -> int:
    """Return the bits of a symbol that some pins are in some beats of its code word."""
    return sum(pins << (PINS * beat) for beat in range(beats.bit_length()) if beats >> beat & 1)


@cache
def _unnoticed_pairs(design: Design) -> Floats:
    """Return how often errors under two masks go unnoticed, by ordered pair of devices, pins and beats of each.

    Shape ``(pairs, masks, masks)``; the mask of some pins in some beats of a code word is at ``beats * 16 + pins``.
    """
    beats = range(1 << design.beats_per_word)
    masks = np.asarray([_spread(pins, some) for some in beats for pins in range(_SUBSETS)])
    errors = 1 << np.bitwise_count(masks).astype(np.int64)
    pairs = BLOCK_CODES[design.block_code]().unnoticed_in_two()
    counts = np.asarray([_count_under(masks, _count_under(masks, pair).T).T for pair in pairs])
    shares: Floats = counts / (errors[:, None] * errors[None, :])
    return shares


def _count_under(masks: Ints, found: npt.NDArray[np.generic]) -> npt.NDArray[np.uint16]:
    """Sum, for each mask, the rows of the errors that lie in it: bit by bit, each row takes that without the bit along.

    Args:
        masks: Bits that may be wrong, shape ``(n,)``.
        found: Counts by error, shape ``(2**bits, m)``, below 2**16 in all.
    """
    counts = found.astype(np.uint16, order="C")
    for bit in range(counts.shape[0].bit_length() - 1):
        halves = counts.reshape(-1, 2, 1 << bit, counts.shape[1])
        halves[:, 1] += halves[:, 0]
    return counts[masks]


def judge_pairs(code: str, a: Cells, b: Cells) -> tuple[Flags, Floats]:
    """Judge pairs of faults whose boxes have lines in common and each of which the code corrects alone.

    Both make all the code words wrong that they share; of those that they do not share each is corrected.

    Returns:
        Which pairs make uncorrectable words, and the share of the first uncorrectable reads that is silent.
    """
    design = DESIGNS[code]
    apart = (a.device != b.device) | ((a.pins != b.pins) & design.by_bits)
    hidden = ((a.n_dq == 1) & (a.n_beats == 1)) | ((b.n_dq == 1) & (b.n_beats == 1))
    fails = _shares_word(design, a, b) & apart & ~(hidden & design.on_die)
    silent = np.zeros(fails.size)
    if design.locator_bits:
        silent[fails] = design.devices / (1 << design.locator_bits)
    elif not design.by_bits:  # two wrong bits are detected
        some = np.flatnonzero(fails)
        silent[some] = _silent_share(design, a.take(some), b.take(some))
    return fails, silent


def wrong_together(code: str, reader: Cells, other: Cells) -> Floats:
    """Return how often cells of the other fault are wrong at a read that shows some of the reader's.

    Each of its bits in the code words that they share is wrong with probability 1/2.
    """
    design = DESIGNS[code]
    bits = np.zeros(other.n_dq.size, np.int64)
    for word in range(design.words):
        touched = _beats_in(design, reader, word) > 0
        bits += np.where(touched, np.bitwise_count(_beats_in(design, other, word)) * other.n_dq, 0)
    share: Floats = -np.expm1(-np.log(2.0) * bits)
    return share


def _beats_in(design: Design, cells: Cells, word: int) -> Ints:
    """Return which beats of a code word faults touch, as masks."""
    found: Ints = (cells.beats >> (word * design.beats_per_word)) & ((1 << design.beats_per_word) - 1)
    return found


def _shares_word(design: Design, a: Cells, b: Cells) -> Flags:
    """Return which pairs have a code word in common."""
    both = [(_beats_in(design, a, word) > 0) & (_beats_in(design, b, word) > 0) for word in range(design.words)]
    found: Flags = np.any(both, axis=0)
    return found


def _silent_share(design: Design, a: Cells, b: Cells) -> Floats:
    """Return the share of silent ones among the uncorrectable reads of pairs of faults of different devices."""
    pair = a.device * (design.devices - 1) + b.device - (b.device > a.device)
    beats = np.asarray([[_beats_in(design, cells, word) for word in range(design.words)] for cells in (a, b)])
    masks = beats * _SUBSETS + np.asarray([a.pins, b.pins])[:, None]
    wrong = 1.0 - 0.5 ** (np.bitwise_count(beats) * np.asarray([a.n_dq, b.n_dq])[:, None])
    fails = wrong.prod(axis=0)
    _, detected, silent = _line(1.0 - fails, fails, _unnoticed_pairs(design)[pair, masks[0], masks[1]])
    share: Floats = silent / (detected + silent)
    return share
