"""Error check and scrub (ECS) of DDR5: every device reads all its code words in a period and counts the wrong ones.

**Models.** A pass reads every code word of the on-die code once, so it also sees the single wrong bits which that
code hides from everybody else. While a burst of a hard fault lasts, each of its bits is wrong with probability 1/2 at
a read. If the wrong words, or the rows with such words, are at least the threshold times the Gbit of the device,
firmware finds their number at the end of the pass. Hidden columns of the published partial extents stay below the
smallest threshold; whole ones do not.

**Leaves out.** Soft faults: a pass writes single bits of theirs back. Faults of a device together. The row with most
wrong words, which the device names as well.

**Assumes.** Passes begin at multiples of the period and go through every fault's words evenly; the count is its mean.
Words lie along the lines of a row. Nothing is wrong inside the device if wires are (lane, command/address, several
ranks).

**Sources.** Two ways of counting, and smaller counts that are masked: Linux 6.15 ABI/testing/sysfs-edac-ecs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from node_sim.codes import EcsUnit, Mode
from node_sim.corrected.bursts import active_windows, draw_bursts
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import Dimm
from node_sim.draws import Seed
from node_sim.elementary import expm1
from node_sim.records import Floats, Index, Ints, take
from node_sim.server.hardware import Server
from node_sim.server.policy import Policy
from node_sim.units import hours_to_ns

ON_DIE_WORD_BITS = 128
"""Data bits of a word of the on-die code."""
_ON_WIRES = (Mode.LANE, Mode.COMMAND_ADDRESS, Mode.MULTI_RANK)


class Passes(NamedTuple):
    """Passes that count enough, ordered by (fault, time); arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        begin_ns: Begin of the pass [ns].
        end_ns: Its end, when the count is read [ns].
        wrong: Wrong words, or rows with wrong words.
    """

    fault: Ints
    begin_ns: Ints
    end_ns: Ints
    wrong: Ints

    def take(self, index: Index) -> Passes:
        """Select some passes."""
        return take(self, index)


def no_passes() -> Passes:
    """Return an empty list of passes."""
    empty = np.empty(0, np.int64)
    return Passes(empty, empty, empty, empty)


def _wrong_share(lines: Ints, bits: Ints) -> Floats:
    """Probability that one at least of the faulty bits (``bits`` of each line) is wrong at a read; 0 for no line."""
    share: Floats = -expm1(-math.log(2.0) * (lines * bits))
    return share


def mean_counts(faults: FaultTable, dimm: Dimm, unit: EcsUnit) -> Floats:
    """Return how many words or rows a whole pass finds wrong on average during a burst, shape ``(n_faults,)``."""
    box, cells = faults.box, faults.cells
    bits = cells.n_dq * cells.n_beats
    if unit is EcsUnit.ROWS:
        of_row = _wrong_share(box.n_lines, bits)
    else:
        word_lines = max(1, ON_DIE_WORD_BITS // (dimm.width * dimm.beats))
        head = np.minimum(box.n_lines, -box.line % word_lines)
        whole, tail = np.divmod(box.n_lines - head, word_lines)
        of_row = _wrong_share(head, bits) + whole * _wrong_share(np.full_like(whole, word_lines), bits)
        of_row += _wrong_share(tail, bits)
    inside = faults.hard & ~np.isin(faults.mode, _ON_WIRES)
    return np.where(inside, of_row * box.n_rows * box.n_banks, 0.0)


def simulate_passes(seed: Seed, faults: FaultTable, server: Server, policy: Policy, horizon_ns: int) -> Passes:
    """Find the passes whose count of one fault reaches the threshold.

    Args:
        seed: Of the run.
        faults: Faults.
        server: Of the nodes.
        policy: The arm's settings.
        horizon_ns: End of simulated time; passes that end later are left out [ns].
    """
    ecc = policy.ecc
    if ecc.ecs == "off":
        return no_passes()
    period_ns, threshold = hours_to_ns(ecc.ecs_hours), ecc.ecs_threshold * server.dram.gbit
    mean = mean_counts(faults, Dimm.of(server), EcsUnit.of(ecc.ecs))
    some = np.flatnonzero(mean >= threshold)
    active = active_windows(draw_bursts(seed, faults, some, policy.errors, horizon_ns), period_ns, horizon_ns)
    begin_ns = active.window * period_ns
    wrong = (mean[active.fault] * (active.active_ns / period_ns)).astype(np.int64)
    passes = Passes(active.fault, begin_ns, begin_ns + period_ns, wrong)
    return passes.take((wrong >= threshold) & (passes.end_ns < horizon_ns))
