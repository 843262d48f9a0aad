"""The rules of FaultSim, for comparison on equal terms: whole extents, devices counted, pins ignored.

**Models.** SECDED fails at any fault but a bit, and at two different bits of one group of four cells. Chipkill fails
where faults of two devices overlap; a fault that has met two other devices is silent.

**Leaves out.** What a real code makes of the pins that are wrong; ``by_codes.py`` has that.

**Assumes.** The two other devices of a silent failure need not be wrong at the same time.

**Sources.** FaultSim (Nair, Roberts, Qureshi; ACM TACO 12(4), 2015), github.com/Prashant-GTech/FaultSim-A-Memory-
Reliability-Simulator at commit cb3350b: its repair rules "BCH 1,2" and "ChipKill 1,2" as read, and as measured over 1e7
lifetimes; ``tests/statistical/test_lifetimes.py`` holds the figures.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from node_sim.codes import Mode
from node_sim.dram.faults import Cells
from node_sim.draws import Seed
from node_sim.one_dimm.lifetimes import (
    Incidents,
    LifetimeFaults,
    draw_damage,
    no_incidents,
    outlasts,
    pairs_by_later,
    with_several,
)
from node_sim.one_dimm.question import FAULTSIM_CODES, Question
from node_sim.records import Flags, Ints, join

_QUERY_BITS: Final = 4
"""FaultSim asks for each of the four lowest cell addresses under SECDED."""
_SYMBOL_BITS: Final = 8
"""… and merges the eight lowest into a symbol under chipkill."""


def _share_cells(question: Question, faults: LifetimeFaults, cells: Cells, pair: tuple[Ints, Ints], bits: int) -> Flags:
    """Whether two faults that share lines meet in a group of ``bits`` neighbouring cells of a device.

    All faults but bits take all pins.
    """
    a, b = pair
    whole = faults.mode != Mode.BIT
    pin = np.where(whole, 0, np.bitwise_count(cells.pins - 1))
    every = cells.n_beats == question.dimm.beats
    beat = np.bitwise_count((cells.beats & -cells.beats) - 1).astype(np.int64)
    group = (beat * question.dimm.width + pin) // bits
    same_beat = (whole[a] | whole[b]) & (beat[a] == beat[b])
    share: Flags = every[a] | every[b] | same_beat | (group[a] == group[b])
    return share


def _secded(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[Incidents, Incidents]:
    """Any fault but a bit is uncorrectable; so are two different bits of one four-bit group."""
    alone = faults.arrivals(np.flatnonzero(faults.mode != Mode.BIT))
    bits = with_several(faults.take(np.flatnonzero(faults.mode == Mode.BIT)))
    cells, box = draw_damage(seed, question, bits)
    earlier, later = pairs_by_later(bits, box, question.dimm)
    hit = _share_cells(question, bits, cells, (earlier, later), _QUERY_BITS)
    hit &= (cells.device[earlier] != cells.device[later]) | (cells.pins[earlier] != cells.pins[later])
    hit &= outlasts(question, bits, earlier, later)
    return join([alone, bits.meetings(earlier[hit], later[hit])]), no_incidents()


def _chipkill(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[Incidents, Incidents]:
    """A fault that faults of other devices overlap: one other is uncorrectable, two are silent."""
    several = with_several(faults)
    cells, box = draw_damage(seed, question, several)
    earlier, later = pairs_by_later(several, box, question.dimm)
    hit = _share_cells(question, several, cells, (earlier, later), _SYMBOL_BITS)
    earlier, later = earlier[hit], later[hit]
    apart: Flags = (cells.device[earlier] != cells.device[later]) & outlasts(question, several, earlier, later)
    earlier, later = earlier[apart], later[apart]
    return several.meetings(earlier, later), _met_by_two(several, cells.device, earlier, later)


def _met_by_two(faults: LifetimeFaults, device: Ints, earlier: Ints, later: Ints) -> Incidents:
    """Find when faults are overlapped by a second other device; the devices need not be there at the same time.

    The partner of such a failure is the other fault of its last meeting.
    """
    mine, other = np.concatenate([earlier, later]), np.concatenate([later, earlier])
    when, first = np.concatenate([later, later]), np.concatenate([earlier, earlier])  # ordered by time in a lifetime
    order = np.lexsort((first, when, device[other], mine))
    mine, other, when, first = mine[order], other[order], when[order], first[order]
    fresh = np.flatnonzero((np.diff(mine, prepend=-1) != 0) | (np.diff(device[other], prepend=-1) != 0))
    order = fresh[np.lexsort((when[fresh], mine[fresh]))]
    second = np.flatnonzero(np.diff(mine[order]) == 0) + 1
    return faults.meetings(first[order[second]], when[order[second]])


def _none(_seed: Seed, _question: Question, faults: LifetimeFaults) -> tuple[Incidents, Incidents]:
    """Every fault is uncorrectable and silent."""
    every = faults.arrivals(slice(None))
    return every, every


FAULTSIM_RULES: Final = dict(zip(FAULTSIM_CODES, (_none, _secded, _chipkill), strict=True))
"""Rule by name of the code: uncorrectable and silent incidents of some lifetimes."""
