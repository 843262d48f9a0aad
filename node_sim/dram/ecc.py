"""What the memory controller makes of a wrong code word.

**Models.** SECDED (72,64), chipkill (one 8-bit symbol per x4 device over two beats, RS(18,16)) and no code;
single faults by the number of data pins they corrupt, and two faults that meet in one code word.

**Leaves out.** Three or more faults in one word, DDR5 on-die codes, several code words of a line failing
together.

**Assumes.** All non-zero patterns on the faulty pins are equally likely at each read. A command/address fault
is caught by command/address parity, so it is detected under any code and never corrected.

**Sources.** Outcome by weight: enumeration of one Hsiao (72,64) matrix; two random symbols of RS(18,16): 16/255
miscorrect.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import Mode

CODES: Final = ("none", "secded", "chipkill")

SECDED_BY_WEIGHT: Final[dict[int, tuple[float, float, float]]] = {
    1: (1.0, 0.0, 0.0),
    2: (0.0, 1.0, 0.0),
    3: (0.0, 0.4363, 0.5637),
    4: (0.0, 0.9939, 0.0061),
}
"""(CE, DUE, SDC) of 1-4 wrong bits of one nibble under one Hsiao (72,64) matrix, enumerated."""

CHIPKILL_TWO_SYMBOLS: Final = (0.0, 0.9373, 0.0627)
"""(CE, DUE, SDC) of two random wrong symbols of RS(18,16) over 8-bit symbols: 16/255 per code word."""

MAX_DQ: Final = 4


class Verdict(NamedTuple):
    """Probabilities that a read of a faulty word is corrected, detected as uncorrectable, or silently wrong."""

    p_ce: float
    p_due: float
    p_sdc: float


def _secded_on_pins(n_dq: int) -> Verdict:
    """Average over the 2**n - 1 patterns on n pins."""
    patterns = 2**n_dq - 1
    totals = [0.0, 0.0, 0.0]
    for weight, outcome in SECDED_BY_WEIGHT.items():
        share = math.comb(n_dq, weight) / patterns
        totals = [total + share * p for total, p in zip(totals, outcome, strict=True)]
    return Verdict(*totals)


def classify(code: str, mode: Mode, n_dq: int) -> Verdict:
    """Judge one fault alone in its code word.

    Args:
        code: One of ``CODES``.
        mode: Mode of the fault.
        n_dq: Faulty data pins of the device, 1 … 4.
    """
    if code == "none":
        return Verdict(0.0, 0.0, 1.0)
    if mode is Mode.COMMAND_ADDRESS:
        return Verdict(0.0, 1.0, 0.0)
    if code == "chipkill":
        return Verdict(1.0, 0.0, 0.0)
    return _secded_on_pins(n_dq)


def classify_pair(code: str, same_device: bool) -> Verdict:
    """Judge two faults that meet in one code word, each of which the code corrects alone."""
    if code == "none":
        return Verdict(0.0, 0.0, 1.0)
    if code == "chipkill":
        return Verdict(1.0, 0.0, 0.0) if same_device else Verdict(*CHIPKILL_TWO_SYMBOLS)
    return Verdict(0.0, 1.0, 0.0)


def verdict_table(code: str) -> npt.NDArray[np.float64]:
    """Enumerate ``classify`` for one code: shape ``(modes, MAX_DQ + 1, 3)``; zero pins count as one."""
    return np.asarray([[classify(code, mode, max(n_dq, 1)) for n_dq in range(MAX_DQ + 1)] for mode in Mode])
