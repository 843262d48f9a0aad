"""What the memory controller makes of a wrong line.

**Models.** The codes of ``block_codes.py`` over a rank: one fault by mode and number of faulty data pins, and two
faults that meet in a code word. A line is several code words. It is silently wrong only if none of them is detected and
one at least is miscorrected or unnoticed.

**Leaves out.** Three or more faults in one word; third wrong bits that an on-die code adds to other lines.

**Assumes.** Any set of pins and any devices are as likely as others; they are the same in all code words of the line.
At each read each faulty pin is wrong in each affected beat with probability 1/2, and the line is judged given that
something in it is wrong. A command/address fault is caught by command/address parity, so it is detected under any code
and never corrected. An on-die code hides one wrong bit of a line's device and leaves more to the rank.

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
from node_sim.dram.faults import ONE_BEAT, Cells
from node_sim.dram.geometry import Dimm
from node_sim.ecc.block_codes import BLOCK_CODES
from node_sim.records import Flags, Floats, Ints

MAX_DQ: Final = 4


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


def _line(right: float, fails: float, silent: float, words: int) -> Verdict:
    """Return the verdict of a line of ``words`` code words, given that at least one is wrong.

    Args:
        right: Probability that nothing is wrong in one of the affected code words.
        fails: … that the code does not correct it.
        silent: … that this is not noticed.
        words: Affected code words.
    """
    wrong = 1.0 - right**words
    survives = (1.0 - fails) ** words
    unnoticed = (1.0 - fails + silent) ** words - survives
    return Verdict((survives - right**words) / wrong, (1.0 - survives - unnoticed) / wrong, unnoticed / wrong)


def _mean(verdicts: Iterable[tuple[float, Verdict]]) -> Verdict:
    """Average verdicts with weights that add up to 1."""
    weights, parts = zip(*verdicts, strict=True)
    return Verdict(*(np.asarray(weights) @ np.asarray(parts)).tolist())


@cache
def _by_bits(design: Design, n_dq: int, *, one_beat: bool) -> Verdict:
    """Judge n faulty pins of a device under a code that corrects one bit, over all sets of columns they can be.

    The set is the same in all beats of the line.
    """
    patterns = 1 << n_dq
    words = 1 if one_beat else design.words
    shares = BLOCK_CODES[design.block_code]().unnoticed_subsets(n_dq)
    fails = (patterns - 1 - n_dq) / patterns
    return _mean(
        (share, _line(1 / patterns, fails, unnoticed / patterns, words)) for unnoticed, share in enumerate(shares)
    )


def classify(code: str, mode: Mode, n_dq: int) -> Verdict:
    """Judge one fault alone.

    Args:
        code: One of ``DESIGNS``.
        mode: Mode of the fault.
        n_dq: Faulty data pins of the device, 1 … 4.

    Returns:
        All zero if the devices correct it themselves.
    """
    design = DESIGNS[code]
    if not design.block_code:
        return Verdict(0.0, 0.0, 1.0)
    if mode is Mode.COMMAND_ADDRESS:
        return Verdict(0.0, 1.0, 0.0)
    if design.on_die and n_dq == 1 and mode in ONE_BEAT:
        return Verdict(0.0, 0.0, 0.0)
    if design.by_bits:
        return _by_bits(design, n_dq, one_beat=mode in ONE_BEAT)
    return Verdict(1.0, 0.0, 0.0)


@cache
def verdict_table(code: str) -> Floats:
    """Enumerate ``classify`` for one code: shape ``(modes, MAX_DQ + 1, 3)``; zero pins count as one."""
    return np.asarray([[classify(code, mode, max(n_dq, 1)) for n_dq in range(MAX_DQ + 1)] for mode in Mode])


# ---------------------------------------------------------------------------------------- two faults


_PIN_SETS: Final = tuple(range(1, 1 << PINS))


def _masks(design: Design) -> tuple[list[int], list[int], list[bool]]:
    """List what a fault can hit of a symbol: bits, pins, and whether it is one beat."""
    beats = design.beats_per_word
    one = [(pins << (PINS * beat), pins.bit_count(), True) for pins in _PIN_SETS for beat in range(beats)]
    every = [(sum(pins << (PINS * beat) for beat in range(beats)), pins.bit_count(), False) for pins in _PIN_SETS]
    masks, counts, single = zip(*(one + every), strict=True)
    return list(masks), list(counts), list(single)


@cache
def _unnoticed_pairs(design: Design) -> Floats:
    """Return how often errors under two masks go unnoticed, shape ``(ordered pairs, masks, masks)``."""
    masks = np.asarray(_masks(design)[0])
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


def classify_pair(code: str, pins: tuple[int, int], one_beat: tuple[bool, bool]) -> Verdict:
    """Judge two faults of different devices that meet in a code word, given that both make it wrong.

    Args:
        code: One of ``DESIGNS`` but "none".
        pins: Faulty data pins of each, 1 … 4; under a code that corrects bits the code corrects only one.
        one_beat: Which of them touch one beat of a line only.
    """
    design = DESIGNS[code]
    if design.by_bits:
        return Verdict(0.0, 1.0, 0.0)  # two wrong bits, which such a code detects
    masks, counts, single = (np.asarray(part) for part in _masks(design))
    first, second = (np.flatnonzero((counts == n) & (single == one)) for n, one in zip(pins, one_beat, strict=True))
    unnoticed = _unnoticed_pairs(design)[:, first[:, None], second[None, :]]
    wrong = [1.0 - 2.0 ** -int(masks[which[0]]).bit_count() for which in (first, second)]
    both = wrong[0] * wrong[1]
    silent, times = np.unique(unnoticed, return_counts=True)
    words = 1 if any(one_beat) else design.words
    verdict = _mean(
        (share, _line(1.0 - both, both, float(p), words)) for p, share in zip(silent, times / times.sum(), strict=True)
    )
    return Verdict(0.0, verdict.p_due, verdict.p_sdc)


@cache
def pair_table(code: str) -> Floats:
    """Enumerate the silent share of ``classify_pair``: shape ``(2, 2, MAX_DQ + 1, MAX_DQ + 1)``, by beats and pins."""
    table = np.zeros((2, 2, MAX_DQ + 1, MAX_DQ + 1))
    for one_a, one_b, n_a, n_b in np.ndindex(table.shape):
        if n_a and n_b:
            table[one_a, one_b, n_a, n_b] = classify_pair(code, (n_a, n_b), (bool(one_a), bool(one_b))).p_sdc
    return table


def judge_pairs(code: str, a: Cells, b: Cells) -> tuple[Flags, Floats]:
    """Judge pairs of faults whose boxes have lines in common and each of which the code corrects alone.

    Returns:
        Which pairs make uncorrectable words, and the share of the first uncorrectable reads that is silent.
    """
    design = DESIGNS[code]
    one_a, one_b = a.beat >= 0, b.beat >= 0
    same_word = ~(one_a & one_b) | (a.beat // design.beats_per_word == b.beat // design.beats_per_word)
    apart = (a.device != b.device) | ((a.pins != b.pins) & design.by_bits)
    hidden = ((one_a & (a.n_dq == 1)) | (one_b & (b.n_dq == 1))) & design.on_die
    silent: Floats = pair_table(code)[one_a.astype(np.int64), one_b.astype(np.int64), a.n_dq, b.n_dq]
    return same_word & apart & ~hidden, silent
