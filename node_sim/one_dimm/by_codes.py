"""Faults of a lifetime judged by the real code of the design, from the pins and beats they make wrong.

**Models.** The verdicts of ``ecc/verdicts.py`` on each fault alone and on pairs that the code corrects alone.

**Leaves out.** Three faults in one code word.

**Assumes.** "Uncorrectable" means that some read of a line is not corrected, noticed or not; "silent" that the first
such read is not noticed.

**Sources.** ``ecc/verdicts.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from node_sim.dram.faults import draw_cells
from node_sim.dram.geometry import meet
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.verdicts import judge_each, judge_pairs, verdict_table
from node_sim.one_dimm.lifetimes import Incidents, LifetimeFaults, draw_damage, outlasts, with_several
from node_sim.one_dimm.question import Question
from node_sim.records import join, pairs_within


def judge_by_codes(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[Incidents, Incidents]:
    """Judge faults alone and in pairs by the design's code; the first uncorrectable read of a lifetime counts."""
    fails = (verdict_table(question.code)[..., 1:].sum(axis=-1) > 0).any(axis=(1, 2))
    some = faults.take(np.flatnonzero(fails[faults.mode]))
    cells = draw_cells(seed, some.node_id, some.tag, some.mode, some.hard, question.dimm)
    _, p_due, p_sdc = judge_each(question.code, some.mode, cells).T
    failing = p_due + p_sdc
    alone = np.flatnonzero(failing > 0)
    found, share = some.arrivals(alone), p_sdc[alone] / failing[alone]
    names = some.take(alone)
    if question.code != "none":
        pairs, pair_share, later = _judge_pairs(seed, question, with_several(faults))
        found, names = join([found, pairs]), join([names, later])
        share = np.concatenate([share, pair_share])
    order = np.lexsort((found.time_ns, found.lifetime))
    order = order[np.flatnonzero(np.diff(found.lifetime[order], prepend=-1))]
    draw, _, _, _ = words(seed.key(Purpose.OUTCOME), names.node_id[order], names.tag[order])
    return found.take(order), found.take(order[unit32(draw) < share[order]])


def _judge_pairs(
    seed: Seed, question: Question, several: LifetimeFaults
) -> tuple[Incidents, npt.NDArray[np.float64], LifetimeFaults]:
    """Find the pairs that make uncorrectable words of faults that the code corrects alone."""
    cells, box = draw_damage(seed, question, several)
    earlier, later = pairs_within(several.lifetime)
    hit = meet(box.take(earlier), box.take(later), question.dimm)
    earlier, later = earlier[hit], later[hit]
    lost = judge_each(question.code, several.mode, cells)[:, 1:].sum(axis=-1) > 0
    fails, silent = judge_pairs(question.code, cells.take(earlier), cells.take(later))
    kept = np.flatnonzero(fails & ~lost[earlier] & ~lost[later] & outlasts(question, several, earlier, later))
    return several.arrivals(later[kept]), silent[kept], several.take(later[kept])
