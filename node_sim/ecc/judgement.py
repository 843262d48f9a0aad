"""Which faults make uncorrectable words, alone or together, and on which pages.

**Models.** The verdict of the code on each fault alone, and on two faults of one DIMM that meet in a code word, unless
one of them has been mapped out before (``corrected/sparing.py``). An uncorrectable read is detected (UE) or silent
(SDC), drawn once per page. With full memory mirroring a detected one is answered from the copy on another channel, so
it is a corrected error, also where commands or addresses were wrong; silent ones stay silent.

**Leaves out.** More than two faults in a word; pages beyond the first ``FRAMES_PER_FAULT_MAX`` in the order of a fault:
the node is cordoned long before it has met so many of them. Faults of a line and its copy; the half of the memory that
mirroring costs.

**Assumes.** A soft fault meets a later one only within one round of the scrubber, for rounds begin at multiples of the
scrub period; reads do not heal it, so without a scrubber it stays. An uncorrectable word can be read at any time, not
only during a burst. Of two faults the code corrects alone the later is the one that makes words uncorrectable. A
command that is repeated after wrong parity sometimes succeeds: a command/address fault then shows corrected errors, and
uncorrected ones all the same.

**Sources.** ``ecc/verdicts.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from node_sim.codes import Mode
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap, Dimm, Footprint, intersect
from node_sim.dram.page_order import draw_page_order
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.verdicts import judge_each, judge_pairs
from node_sim.names import dimm_of_fault
from node_sim.records import Flags, Floats, Ints, expand_counts, pairs_within, take
from node_sim.server.hardware import Server
from node_sim.server.policy import Ecc, Policy

FRAMES_PER_FAULT_MAX = 32
PAIRS_AT_ONCE = 1 << 20


def is_present(since_ns: Ints, hard: Flags, now_ns: Ints, scrub_ns: int) -> Flags:
    """Return whether faults are still there at a later time: soft ones until the next round of the scrubber begins.

    Without a scrubber (0) they stay for ever.
    """
    if not scrub_ns:
        return np.ones_like(hard)
    present: Flags = hard | (since_ns // scrub_ns == now_ns // scrub_ns)
    return present


class Judgement(NamedTuple):
    """What an arm's code makes of each fault; arrays of shape ``(n_faults,)``.

    Attributes:
        corrected: It shows corrected errors.
        uncorrected: It makes words that neither the code nor a copy corrects.
        p_sdc: Probability that a page's first uncorrectable read is silent.
        box: Where its words are uncorrectable.
        alone: ``box`` is the fault's own footprint, not an overlap with another fault.
        stays: Writing does not heal it.
    """

    corrected: Flags
    uncorrected: Flags
    p_sdc: Floats
    box: Footprint
    alone: Flags
    stays: Flags


def _pairs(faults: FaultTable, dimm: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield all pairs (earlier, later) of faults of the same DIMM, those of some DIMMs at a time."""
    order = np.lexsort((faults.tag, faults.time_ns, dimm))
    owner = dimm[order]
    _, start, size = np.unique(owner, return_index=True, return_counts=True)
    batch = np.cumsum(size * (size - 1) // 2) // PAIRS_AT_ONCE
    for low, high in pairwise([*start[np.diff(batch, prepend=-1) > 0].tolist(), owner.size]):
        earlier, later = pairs_within(owner[low:high])
        yield order[low:high][earlier], order[low:high][later]


def dimms_of(faults: FaultTable) -> Ints:
    """Number the DIMM of each fault by node, slot and generation."""
    return dimm_of_fault(faults.fault_id).astype(np.int64)


def judge_alone(faults: FaultTable, ecc: Ecc) -> Judgement:
    """Judge each fault as if it were the only one, by the code; a copy of the line adds to ``corrected`` only."""
    p_ce, p_due, p_sdc = judge_each(ecc.code, faults.mode, faults.cells).T
    uncorrected = p_due + p_sdc > 0
    silent = p_sdc / np.where(uncorrected, p_due + p_sdc, 1.0)
    box = Footprint(*(part.copy() for part in faults.box))
    alone, stays = np.ones_like(uncorrected), faults.hard.copy()
    retried = (faults.mode == Mode.COMMAND_ADDRESS) & ecc.command_retry & (ecc.code != "none")
    corrected = (p_ce > 0) | retried | (ecc.mirroring & (p_due > 0))
    return Judgement(corrected, uncorrected, silent, box, alone, stays)


def judge_together(
    judgement: Judgement, faults: FaultTable, dimm: Ints, server: Server, policy: Policy, spared_ns: Ints
) -> Judgement:
    """Judge all faults that meet in their DIMMs under one arm's code.

    Args:
        judgement: Of ``judge_alone``; its arrays are changed.
        faults: All faults of some DIMMs.
        dimm: Number of the DIMM each fault is in, shape ``(n_faults,)``.
        server: Of the nodes.
        policy: The arm's settings.
        spared_ns: From when on each fault's cells are mapped out [ns], shape ``(n_faults,)``.
    """
    for pairs in _pairs(faults, dimm):
        _judge_pairs(judgement, faults, pairs, server, policy, spared_ns)
    if policy.ecc.mirroring:
        return judgement._replace(uncorrected=judgement.uncorrected & (judgement.p_sdc > 0))
    return judgement


def _judge_pairs(
    judgement: Judgement,
    faults: FaultTable,
    pairs: tuple[Ints, Ints],
    server: Server,
    policy: Policy,
    spared_ns: Ints,
) -> None:
    """Mark later faults that meet an earlier one in a code word; of several the one that started first counts."""
    earlier, later = pairs
    code, scrub_ns = policy.ecc.code, policy.detection.scrub_ns
    if not earlier.size or code == "none":
        return
    alone = ~judgement.uncorrected[earlier] & ~judgement.uncorrected[later]
    present = is_present(faults.time_ns[earlier], faults.hard[earlier], faults.time_ns[later], scrub_ns)
    spared = np.minimum(spared_ns[earlier], spared_ns[later]) < faults.time_ns[later]
    some = np.flatnonzero(present & alone & ~spared)
    earlier, later = earlier[some], later[some]
    box, common = intersect(faults.box.take(earlier), faults.box.take(later), Dimm.of(server))
    fails, silent = judge_pairs(code, faults.cells.take(earlier), faults.cells.take(later))
    hit = np.flatnonzero(common & fails)
    first = earlier[hit]
    hit = hit[np.lexsort((faults.tag[first], faults.time_ns[first]))[::-1]]  # what is written last stays
    who = later[hit]
    judgement.uncorrected[who], judgement.alone[who] = True, False
    judgement.p_sdc[who] = silent[hit]
    judgement.stays[who] = faults.hard[earlier[hit]] & faults.hard[who]
    for mine, part in zip(judgement.box, box, strict=True):
        mine[who] = part[hit]


class BadPages(NamedTuple):
    """Pages with uncorrectable words, ordered by (fault, page); arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        page: Number of the page in the order in which the fault shows those of its uncorrectable box.
        pfn: Physical page number.
        silent: Its uncorrectable reads are not detected.
    """

    fault: Ints
    page: Ints
    pfn: Ints
    silent: Flags


def bad_pages(
    seed: Seed, faults: FaultTable, judgement: Judgement, address_map: AddressMap, *, mirroring: bool
) -> BadPages:
    """List the pages that can show uncorrected errors, among the first ``FRAMES_PER_FAULT_MAX`` of each fault."""
    fault = np.flatnonzero(judgement.uncorrected)
    box = judgement.box.take(fault)
    count = address_map.page_count(box)
    owner, page = expand_counts(np.minimum(count, FRAMES_PER_FAULT_MAX))
    order = draw_page_order(seed, faults.node_id[fault], faults.tag[fault], count)
    fault, place = fault[owner], order.take(owner).place(page, count[owner])
    draw, _, _, _ = words(seed.key(Purpose.OUTCOME), faults.node_id[fault], faults.tag[fault], page)
    pages = BadPages(
        fault=fault,
        page=page,
        pfn=address_map.page(box.take(owner), place),
        silent=unit32(draw) < judgement.p_sdc[fault],
    )
    return take(pages, pages.silent) if mirroring else pages
