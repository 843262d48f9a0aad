"""Faults of a lifetime judged by the real code of the design, from the pins and beats they make wrong.

**Models.** The law of ``ecc/read_risk.py`` for each fault alone, the same as in a fleet, and the verdicts of
``ecc/verdicts.py`` on pairs that the code corrects alone.

**Leaves out.** Three faults in one code word. How often a fault is read: under ``sddc_table`` a single device counts as
corrected here, though a read of it fails now and then.

**Assumes.** "Uncorrectable" means that some read of a line is not corrected, noticed or not; "silent" that the first
such read is not noticed. Of several earlier faults that one meets, the one that started first counts.

**Sources.** ``ecc/read_risk.py``, ``ecc/verdicts.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from node_sim.catalog.designs import DESIGNS
from node_sim.dram.faults import Cells, draw_cells
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.read_risk import Readable, most_silent, read_risk, shows_several_pins
from node_sim.ecc.verdicts import judge_pairs
from node_sim.one_dimm.lifetimes import (
    Incidents,
    LifetimeFaults,
    draw_damage,
    outlasts,
    pairs_by_later,
    with_several,
)
from node_sim.one_dimm.question import Question
from node_sim.records import NULL, join
from node_sim.server.policy import Ecc


def judge_by_codes(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[Incidents, Incidents]:
    """Judge faults alone and in pairs by the design's code; the first uncorrectable read of a lifetime counts."""
    ecc = Ecc(question.code)
    lost, cells = _failing_alone(seed, question, faults)
    found, names, share = lost.arrivals(slice(None)), lost, np.zeros(lost.tag.size)
    if DESIGNS[question.code].block_code:
        pairs, later, pair_share = _judge_pairs(seed, question, with_several(faults))
        found, names = join([found, pairs]), join([names, later])
        share = np.concatenate([share, pair_share])
    order = np.lexsort((found.time_ns, found.lifetime))
    order = order[np.flatnonzero(np.diff(found.lifetime[order], prepend=-1))]
    draw, _, _, _ = words(seed.key(Purpose.OUTCOME), names.node_id[order], names.tag[order])
    u = unit32(draw)
    asked = order[np.flatnonzero((found.partner[order] == NULL) & (u < most_silent(ecc)))]  # others are detected
    if asked.size:
        share[asked] = read_risk(seed, _readable(lost.take(asked), cells.take(asked)), ecc).silent
    return found.take(order), found.take(order[u < share[order]])


def _readable(faults: LifetimeFaults, cells: Cells) -> Readable:
    """Return what the risk of reads depends on."""
    return Readable(faults.node_id, faults.tag, faults.mode, faults.hard, cells)


def _failing_alone(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[LifetimeFaults, Cells]:
    """Find the faults some reads of which the code does not correct, and their cells; over devices there are none."""
    design = DESIGNS[question.code]
    if design.block_code and not design.by_bits:
        faults = faults.take(slice(0, 0))
    cells = draw_cells(seed, faults.node_id, faults.tag, faults.mode, faults.hard, question.dimm)
    if not design.by_bits:
        return faults, cells
    lost = np.flatnonzero(shows_several_pins(_readable(faults, cells)))
    return faults.take(lost), cells.take(lost)


def _judge_pairs(
    seed: Seed, question: Question, several: LifetimeFaults
) -> tuple[Incidents, LifetimeFaults, npt.NDArray[np.float64]]:
    """Find the pairs that make uncorrectable words of faults that the code corrects alone.

    Returns:
        The meetings, the later fault of each, and the share of the first uncorrectable reads that is silent.
    """
    cells, box = draw_damage(seed, question, several)
    earlier, later = pairs_by_later(several, box, question.dimm)
    fails, silent = judge_pairs(question.code, cells.take(earlier), cells.take(later))
    fails &= outlasts(question, several, earlier, later)
    if DESIGNS[question.code].by_bits:
        lost = shows_several_pins(_readable(several, cells))
        fails &= ~lost[earlier] & ~lost[later]
    kept = np.flatnonzero(fails)
    return several.meetings(earlier[kept], later[kept]), several.take(later[kept]), silent[kept]
