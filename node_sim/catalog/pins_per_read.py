"""How many of a fault's data pins one read of it shows wrong, by mode and pins."""

from __future__ import annotations

from typing import Final, NamedTuple

from node_sim.catalog.values import Published
from node_sim.codes import Mode

QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Of the shares below; straight lines in between."""


class Shown(NamedTuple):
    """Reads of faults of one mode and number of pins.

    Attributes:
        mean: Mean share of reads with 1, 2, … wrong pins.
        all_wrong: Quantiles between faults (at ``QUANTILES``) of the share of reads with all pins wrong.
    """

    mean: tuple[float, ...]
    all_wrong: tuple[float, ...]


def _shown(mean: tuple[float, ...], *inner: float) -> Shown:
    return Shown(mean, (0.0, *inner, 1.0))


PINS_PER_READ: Final[Published[dict[tuple[Mode, int], Shown]]] = Published(
    {
        (Mode.ROW, 2): _shown((0.682, 0.318), 0.028, 0.091, 0.167, 0.5, 0.909),
        (Mode.ROW, 3): _shown((0.466, 0.27, 0.264), 0.049, 0.1, 0.167, 0.333, 0.661),
        (Mode.ROW, 4): _shown((0.15, 0.203, 0.28, 0.367), 0.067, 0.148, 0.25, 0.534, 0.959),
        (Mode.COLUMN, 2): _shown((0.073, 0.927), 0.867, 1.0, 1.0, 1.0, 1.0),
        (Mode.COLUMN, 3): _shown((0.021, 0.146, 0.833), 0.144, 0.968, 1.0, 1.0, 1.0),
        (Mode.COLUMN, 4): _shown((0.003, 0.018, 0.083, 0.896), 0.596, 0.931, 1.0, 1.0, 1.0),
        (Mode.BANK, 2): _shown((0.542, 0.458), 0.053, 0.095, 0.262, 0.98, 1.0),
        (Mode.BANK, 3): _shown((0.287, 0.302, 0.41), 0.044, 0.097, 0.351, 0.528, 1.0),
        (Mode.BANK, 4): _shown((0.033, 0.05, 0.089, 0.828), 0.356, 0.769, 0.97, 1.0, 1.0),
        (Mode.MULTI_BANK, 2): _shown((0.449, 0.551), 0.028, 0.077, 0.571, 1.0, 1.0),
        (Mode.MULTI_BANK, 4): _shown((0.086, 0.082, 0.098, 0.734), 0.151, 0.464, 0.959, 1.0, 1.0),
    },
    "share of distinct corrected signatures",
    "DIMMs of Huawei's 2024 set (hwcloud-RAS/SmartMem), Purley, with five or more signatures in the last 6 h, counted "
    "from the stage-2 feature cache of CelestialMelody/ucas-os-lab-7-memory-failure-prediction @25815b7",
    "computed",
)

SHOWN_LIKE: Final = {
    Mode.BIT: Mode.ROW,
    Mode.WORD: Mode.ROW,
    Mode.LANE: Mode.ROW,
    Mode.MULTI_RANK: Mode.MULTI_BANK,
}
"""Modes that were not counted, and whose table they take: few cells err like a row, wires like several banks."""


def shown_pins(mode: Mode, n_dq: int) -> Shown:
    """Return what reads of faults of a mode and number of pins (2 … 4) show."""
    table, like = PINS_PER_READ.value, SHOWN_LIKE.get(mode, mode)
    return table.get((like, n_dq)) or table[Mode.BANK, n_dq]
