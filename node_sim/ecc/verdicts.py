"""What the memory controller makes of two faults that meet, and which ranks a code fits.

**Models.** The codes of ``block_codes.py`` over a rank: two faults that meet in a code word, by their devices, pins and
beats. A line is several code words. It is silently wrong only if none of them is detected and one at least is
miscorrected or unnoticed. ``read_risk.py`` judges one fault.

**Leaves out.** Three or more faults in one word; third wrong bits that an on-die code adds to other lines.

**Assumes.** At each read each faulty pin is wrong in each affected beat with probability 1/2, and the line is judged
given that a word of it is not corrected. An on-die code hides one wrong bit of a line's device and leaves more to the
rank.

**Sources.** ``block_codes.py``, enumerated; checked in ``tests/unit/test_ecc.py`` against
``tests/oracle/catalog/ecc_outcomes.csv``.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from node_sim.catalog.designs import DESIGNS, PINS, Design
from node_sim.catalog.sddc import LOCATOR_BITS
from node_sim.dram.faults import Cells
from node_sim.dram.geometry import Dimm
from node_sim.ecc.block_codes import BLOCK_CODES
from node_sim.elementary import expm1
from node_sim.records import Flags, Floats, Ints


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


def judge_pairs(code: str, a: Cells, b: Cells, locator_bits: int = LOCATOR_BITS) -> tuple[Flags, Floats]:
    """Judge pairs of faults whose boxes have lines in common and each of which the code corrects alone.

    Both make all the code words wrong that they share; of those that they do not share each is corrected.

    Args:
        code: One of ``DESIGNS``.
        a: One fault of each pair.
        b: The other one.
        locator_bits: Of a locator by algebra; of 2**bits pairs of errors so many are silent as there are devices.

    Returns:
        Which pairs make uncorrectable words, and the share of the first uncorrectable reads that is silent.
    """
    design = DESIGNS[code]
    apart = (a.device != b.device) | ((a.pins != b.pins) & design.by_bits)
    hidden = ((a.n_dq == 1) & (a.n_beats == 1)) | ((b.n_dq == 1) & (b.n_beats == 1))
    fails = _shares_word(design, a, b) & apart & ~(hidden & design.on_die)
    silent = np.zeros(fails.size)
    if design.locator_bits:
        silent[fails] = design.devices / (1 << (locator_bits if design.by_algebra else design.locator_bits))
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
    share: Floats = -expm1(-math.log(2.0) * bits)
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
    wrong = 1.0 - np.ldexp(1.0, -(np.bitwise_count(beats) * np.asarray([a.n_dq, b.n_dq])[:, None]))
    fails = wrong.prod(axis=0)
    unnoticed = _unnoticed_pairs(design)[pair, masks[0], masks[1]]
    corrected, not_detected = (1.0 - fails).prod(axis=0), (1.0 - fails + unnoticed).prod(axis=0)
    share: Floats = (not_detected - corrected) / (1.0 - corrected)
    return share
