"""Which data pins and beats of a device faults touch, by mode and generation of the memory."""

from __future__ import annotations

from typing import Final

from node_sim.catalog.fit import PINS_PER_FAULT
from node_sim.catalog.parts import DDR4
from node_sim.catalog.values import Published
from node_sim.codes import Mode

PINS_MAX: Final = 4
"""Data pins that a fault of one device touches at most; of an x8 device no more are counted."""
DDR4_BEATS: Final = 8

PatternCounts = tuple[tuple[int, ...], ...]
"""DIMMs by data pins (1 … 4, rows) and beats (1 … 8, columns)."""

DDR4_PATTERNS: Final[Published[dict[Mode, PatternCounts]]] = Published(
    {
        Mode.BIT: (
            (38420, 460, 552, 566, 377, 188, 47, 3),
            (45, 221, 15, 32, 8, 24, 5, 10),
            (14, 154, 8, 26, 18, 37, 40, 33),
            (7, 130, 8, 53, 80, 409, 1178, 1894),
        ),
        Mode.COLUMN: (
            (169, 13, 28, 42, 44, 40, 32, 11),
            (4, 20, 0, 10, 1, 5, 1, 3),
            (4, 52, 0, 2, 3, 3, 4, 2),
            (0, 73, 0, 7, 11, 52, 144, 979),
        ),
        Mode.ROW: (
            (6081, 1446, 334, 150, 75, 57, 38, 9),
            (114, 367, 217, 144, 63, 51, 48, 41),
            (26, 73, 10, 7, 0, 0, 0, 0),
            (12, 103, 5, 60, 1, 1, 6, 40),
        ),
        Mode.BANK: (
            (405, 158, 64, 52, 69, 107, 150, 48),
            (11, 55, 10, 11, 4, 10, 2, 11),
            (7, 28, 5, 4, 1, 1, 3, 2),
            (13, 88, 1, 29, 1, 12, 33, 856),
        ),
        Mode.MULTI_BANK: (
            (315, 62, 24, 8, 7, 7, 5, 10),
            (3, 56, 7, 8, 3, 1, 1, 0),
            (0, 1, 0, 1, 0, 0, 0, 0),
            (1, 3, 0, 5, 0, 1, 3, 45),
        ),
    },
    "DIMM",
    "DIMMs with CE of Huawei's 2024 set (hwcloud-RAS/SmartMem), Purley: widest pattern in the last 6 h, counted from "
    "the stage-2 feature cache of CelestialMelody/ucas-os-lab-7-memory-failure-prediction @25815b7",
    "computed",
)
"""x4, 8 beats; the set's "cell" is a bit here, for its errors stay at one column address, and so in one line.

Nobody has counted faults that take in several ranks; they are given the shares of those of several banks.
"""

ONE_BEAT: Final = (Mode.BIT, Mode.WORD, Mode.COLUMN)
"""Modes that stay at one column address: in one beat of a line, where nothing else is known."""

Shares = list[list[float]]
"""Shares of faults by data pins (1 … 4) and beats (1 …), not normalised."""


def pattern_shares(generation: int, beats: int, width: int) -> dict[Mode, Shares]:
    """Return the shares of patterns by mode.

    Args:
        generation: Of the memory, as in DDR4. Only of DDR4 are pins and beats known together, in lines of one rank; of
            others the pins, and faults that stay at one column address take one beat, others all.
        beats: Beats of a line.
        width: Data pins of the device.
    """
    pins = PINS_PER_FAULT | {Mode.COMMAND_ADDRESS: tuple(float(n == min(width, PINS_MAX)) for n in range(1, 5))}
    found = {}
    for mode in Mode:
        at = 0 if mode in ONE_BEAT else beats - 1
        shares = pins.get(mode, (1.0, 0.0, 0.0, 0.0))
        found[mode] = [[share * (beat == at) for beat in range(beats)] for share in shares]
    if generation == DDR4 and beats == DDR4_BEATS:
        known = DDR4_PATTERNS.value | {Mode.MULTI_RANK: DDR4_PATTERNS.value[Mode.MULTI_BANK]}
        found |= {mode: [[float(count) for count in row] for row in counts] for mode, counts in known.items()}
    return found
