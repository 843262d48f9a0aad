"""How likely an erroneous read of one fault alone is not corrected, and then not even detected.

**Models.** The code's verdict on what a read shows. SECDED: a read shows some of the fault's data pins
(``catalog/pins_per_read.py``), and fails if it shows more than one. SDDC with a short locator (``sddc_table``):
patterns inside one half of the pins are corrected; of those across, some faults repeat one that another device
explains, too, the others meet one now and then. ``sddc_locator`` is such a code by its algebra: the share of bad
patterns of a class of faults is enumerated (``locator.py``), of faults that have grown, too. Codes that correct a
device are never wrong about one. Commands or addresses that arrive wrong time after time are uncorrectable under any
code.

**Leaves out.** Which wrong pins share a beat: those of one read are wrong in one beat at least.

**Assumes.** A fault keeps its risk for life. Which of its pins a SECDED read shows does not matter: columns of a check
matrix are not public, any set of as many is as likely, the same in all beats of the line. A soft fault is a fixed set
of wrong bits, so one verdict holds for all of its words.

**Sources.** ``catalog/sddc.py``; silent shares: ``block_codes.py``, enumerated.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from node_sim.catalog.designs import DESIGNS, PINS
from node_sim.catalog.pins_per_read import QUANTILES, shown_pins
from node_sim.catalog.sddc import NARROW_BEATS, NARROW_FACTOR, UNIFORM_RISK
from node_sim.codes import Mode
from node_sim.dram.faults import Cells, FaultTable
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.block_codes import BLOCK_CODES
from node_sim.ecc.locator import risks_by_class
from node_sim.elementary import exp, power
from node_sim.names import is_second_device, is_wider
from node_sim.records import Flags, Floats, Index, Ints, take
from node_sim.server.policy import Ecc
from node_sim.server.risk import Risk

CROSSING: Final = np.asarray([0.0, 0.0, 1 / 3, 1.0, 1.0])
"""Share of sets of 0 … 4 neighbouring pins that reach into both halves."""


class Readable(NamedTuple):
    """What the risk of a read depends on, as ``FaultTable`` has it; arrays of shape ``(n_faults,)``."""

    node_id: Ints
    tag: Ints
    mode: Ints
    hard: Flags
    cells: Cells

    @property
    def on_wires(self) -> Flags:
        """Which faults make commands or addresses wrong, not data."""
        found: Flags = self.mode == Mode.COMMAND_ADDRESS
        return found

    def take(self, index: Index) -> Readable:
        """Select some faults."""
        return take(self, index)


class ReadRisk(NamedTuple):
    """Verdict on erroneous reads; arrays of shape ``(n_faults,)``.

    Attributes:
        p: Probability that one is not corrected; of a second device: that a read shows both devices.
        silent: Probability that one that is not corrected goes unnoticed.
    """

    p: Floats
    silent: Floats

    def take(self, index: Index) -> ReadRisk:
        """Select some faults."""
        return take(self, index)


def read_risk(seed: Seed, faults: FaultTable | Readable, ecc: Ecc) -> ReadRisk:
    """Judge the erroneous reads of each fault as if it were the only one.

    Args:
        seed: Of the run.
        faults: Faults.
        ecc: Settings of the arm.
    """
    design, n = DESIGNS[ecc.code], faults.tag.size
    risk = ReadRisk(np.zeros(n), np.zeros(n))
    if not design.block_code:
        return ReadRisk(np.ones(n), np.ones(n))
    some = np.flatnonzero(shows_several_pins(faults))
    if some.size and design.by_bits:
        risk.p[some], risk.silent[some] = _by_pins(seed, faults.take(some), design.block_code)
    elif some.size and design.by_algebra:
        risk.p[some] = _by_algebra(faults.cells.take(some), ecc)
    elif some.size and design.locator_bits:
        risk.p[some] = _by_class(seed, faults.take(some), ecc.risk)
    second = np.flatnonzero(is_second_device(faults.tag))
    _, place, _, _ = words(seed.key(Purpose.RISK), faults.node_id[second], faults.tag[second])
    risk.p[second] = grown_risk(unit32(place), ecc.risk)
    risk.p[faults.on_wires & ~is_retried(faults, ecc)] = 1.0
    return risk


def shows_several_pins(faults: FaultTable | Readable) -> Flags:
    """Return of which faults some reads show several wrong pins: under SECDED those that it does not always correct."""
    return (faults.cells.n_dq > 1) & ~faults.on_wires


def most_silent(ecc: Ecc) -> float:
    """Return the greatest share of the uncorrected reads of one fault that can go unnoticed."""
    design = DESIGNS[ecc.code]
    if not design.block_code:
        return 1.0
    return float(unnoticed_by_pins(design.block_code).max()) if design.by_bits else 0.0


def is_retried(faults: FaultTable | Readable, ecc: Ecc) -> Flags:
    """Return for which faults the second try of a command succeeds: those that pass."""
    return faults.on_wires & ~faults.hard & ecc.command_retry


def grown_risk(u: Floats, risk: Risk) -> Floats:
    """Return the risk of faults that have grown, at quantiles ``u``."""
    found: Floats = power(risk.grown_low, 1.0 - u)
    return found


def _by_pins(seed: Seed, faults: FaultTable | Readable, block_code: str) -> tuple[Floats, Floats]:
    """Return how often reads show more than one pin, and how often they go unnoticed then."""
    place, _, _, _ = words(seed.key(Purpose.RISK), faults.node_id, faults.tag)
    kind = faults.mode * (PINS + 1) + faults.cells.n_dq
    order = np.argsort(kind, kind="stable")
    u, kinds, begin = unit32(place)[order], *np.unique(kind[order], return_index=True)
    by_number, unnoticed = list(Mode), unnoticed_by_pins(block_code)[1:]
    p, silent = np.empty((2, u.size))
    for number, low, high in zip(kinds.tolist(), begin.tolist(), [*begin.tolist()[1:], u.size], strict=True):
        mode, n_dq = divmod(number, PINS + 1)
        shares = shares_of_pins(by_number[mode], n_dq, u[low:high])
        p[order[low:high]] = 1.0 - shares[0]
        silent[order[low:high]] = (unnoticed[:n_dq, None] * shares).sum(axis=0)
    silent /= np.maximum(p, np.finfo(float).tiny)
    return p, silent


def shares_of_pins(mode: Mode, n_dq: int, u: Floats) -> Floats:
    """Return the shares of reads with 1 … ``n_dq`` wrong pins of faults at quantiles ``u``, shape ``(n_dq, n)``."""
    shown = shown_pins(mode, n_dq)
    widest = np.interp(u, QUANTILES, shown.all_wrong)
    fewer = np.asarray(shown.mean[:-1])
    return np.vstack(((fewer / fewer.sum())[:, None] * (1.0 - widest), widest))


@cache
def unnoticed_by_pins(block_code: str) -> Floats:
    """Return which share of sets of 0 … 4 wrong bits goes unnoticed under a code that corrects one."""
    code = BLOCK_CODES[block_code]()
    mean = [np.arange(1 << n) @ code.unnoticed_subsets(n) for n in range(3, PINS + 1)]
    return np.asarray([0.0, 0.0, 0.0, mean[0], mean[1] - PINS * mean[0]])


def _by_algebra(cells: Cells, ecc: Ecc) -> Floats:
    """Return the enumerated share of errors of each fault's class that the locator does not find."""
    found: Floats = risks_by_class(ecc.variant, ecc.locator_bits)[
        cells.n_dq, cells.n_beats, cells.cross_halves.astype(np.int64)
    ]
    return found


def _by_class(seed: Seed, faults: FaultTable | Readable, risk: Risk) -> Floats:
    """Return the risk of faults on several pins under a locator that names the device from its pattern."""
    repeats, place, tail, _ = words(seed.key(Purpose.RISK), faults.node_id, faults.tag)
    n_dq = faults.cells.n_dq
    repeated = risk.high * power(risk.low / risk.high, unit32(place))
    narrow = faults.cells.n_beats <= NARROW_BEATS
    cap = UNIFORM_RISK * np.where(narrow, NARROW_FACTOR, 1.0)
    other = np.minimum(cap, risk.tails()[n_dq] * exp(risk.tail_sigma * special.ndtri(unit32(tail))))
    p = np.where(unit32(repeats) * CROSSING[n_dq] < risk.shares()[n_dq], repeated, other)
    p = np.where(is_wider(faults.tag), grown_risk(unit32(place), risk), p)
    return np.where(faults.cells.cross_halves, p, 0.0)
