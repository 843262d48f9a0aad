"""Which faults are corrected, which words of soft faults are not, and which faults meet in a code word.

**Models.** The verdict of the code on each fault alone (``read_risk.py``), and on two faults of one DIMM that meet in a
code word, unless one of them has been mapped out before (``corrected/sparing.py``). Where a hard fault is among them,
its erroneous reads decide (``corrected/bad_reads.py``): they fail together with the other fault while it is there.
Words of soft faults are wrong until they are rewritten, and whoever reads one sees it. An uncorrectable read is
detected (UE) or silent (SDC), drawn per page of a soft fault. With full memory mirroring a detected one is answered
from the copy on another channel, so it is a corrected error; silent ones stay silent.

**Leaves out.** More than two faults in a word, and so whom a second device meets but its parent; pages of a soft fault
beyond the first ``FRAMES_PER_FAULT_MAX`` in its order: the node is cordoned long before it has met so many of them.
Faults of a line and its copy; the half of the memory that mirroring costs.

**Assumes.** A soft fault meets another one only within one round of the scrubber, for rounds begin at multiples of the
scrub period; reads do not heal it, so without a scrubber it stays. Of two soft faults the later is the one that makes
words uncorrectable; of a soft and a hard one the hard one, of two hard ones the later, whose reads are looked at. What
has grown meets no fault of its own family, but for a second device, which is read whenever the first is.

**Sources.** ``ecc/verdicts.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from node_sim.catalog.designs import DESIGNS
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap, Dimm, Footprint, intersect
from node_sim.dram.page_order import FRAMES_PER_FAULT_MAX, draw_page_order
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.read_risk import ReadRisk, read_risk
from node_sim.ecc.verdicts import judge_pairs, wrong_together
from node_sim.names import dimm_of_fault, is_second_device, parent_tag
from node_sim.records import Flags, Floats, Index, Ints, expand_counts, join, pairs_within, take
from node_sim.server.hardware import Server
from node_sim.server.policy import Ecc, Policy
from node_sim.units import FOREVER

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
        visible: Its erroneous reads reach the memory controller.
        risk: Of its erroneous reads.
        uncorrected: It is soft, and neither the code nor a copy corrects its words.
        p_sdc: Probability that a page's first uncorrectable read is silent, of these.
        box: Where its words are uncorrectable, of these.
        alone: ``box`` is the fault's own footprint, not an overlap with another fault.
    """

    corrected: Flags
    visible: Flags
    risk: ReadRisk
    uncorrected: Flags
    p_sdc: Floats
    box: Footprint
    alone: Flags


class Meetings(NamedTuple):
    """Faults that make words uncorrectable together, one of them hard; arrays of shape ``(n,)``.

    Attributes:
        reader: The fault whose erroneous reads fail, hard.
        other: The fault they meet.
        box: Where.
        p: Probability that an erroneous read of the one shows both, while the other is active.
        silent: Probability that this goes unnoticed.
        from_ns: Since when both are there [ns].
        until_ns: Until when [ns], ``FOREVER`` if for good.
    """

    reader: Ints
    other: Ints
    box: Footprint
    p: Floats
    silent: Floats
    from_ns: Ints
    until_ns: Ints

    def take(self, index: Index) -> Meetings:
        """Select some."""
        return take(self, index)


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


def judge_alone(seed: Seed, faults: FaultTable, ecc: Ecc) -> Judgement:
    """Judge each fault as if it were the only one, by the code; a copy of the line adds to ``corrected`` only.

    Args:
        seed: Of the run.
        faults: Faults.
        ecc: Settings of the arm.
    """
    design, cells = DESIGNS[ecc.code], faults.cells
    risk = read_risk(seed, faults, ecc)
    _, _, _, verdict = words(seed.key(Purpose.RISK), faults.node_id, faults.tag)
    wires = faults.on_wires
    uncorrected = ~faults.hard & ~wires & (unit32(verdict) < risk.p)
    visible = wires | ~((cells.n_dq == 1) & (cells.n_beats == 1) & design.on_die)
    visible &= ~is_second_device(faults.tag)  # it is read with the first
    fails = uncorrected | (wires & (risk.p > 0)) | (not design.block_code)
    corrected = visible & (~fails | (ecc.mirroring & (risk.silent < 1.0)))
    box = Footprint(*(part.copy() for part in faults.box))
    alone = np.ones_like(uncorrected)
    return Judgement(corrected, visible, risk, uncorrected, risk.silent.copy(), box, alone)


def corrected_cells(judgement: Judgement, faults: FaultTable) -> Flags:
    """Return which faults are wrong cells that the code corrects alone, whatever a copy of the line makes of others."""
    found: Flags = judgement.corrected & ~judgement.uncorrected & ~faults.on_wires
    return found


def judge_together(
    judgement: Judgement, faults: FaultTable, dimm: Ints, server: Server, policy: Policy, spared_ns: Ints
) -> tuple[Judgement, Meetings]:
    """Judge all faults that meet in their DIMMs under one arm's code.

    Args:
        judgement: Of ``judge_alone``; its arrays are changed.
        faults: All faults of some DIMMs.
        dimm: Number of the DIMM each fault is in, shape ``(n_faults,)``.
        server: Of the nodes.
        policy: The arm's settings.
        spared_ns: From when on each fault's cells are mapped out [ns], shape ``(n_faults,)``.
    """
    never = np.zeros(0, np.int64)
    boxes = Footprint(*(never,) * len(Footprint._fields))
    parts = [Meetings(never, never, boxes, np.zeros(0), np.zeros(0), never, never)]
    for pairs in _pairs(faults, dimm) if DESIGNS[policy.ecc.code].block_code else ():
        met = _find_meetings(judgement, faults, pairs, server, policy, spared_ns)
        hard = faults.hard[met.reader]
        _mark_soft(judgement, faults, met.take(~hard))
        parts.append(met.take(hard))
    meetings = join(parts)
    if policy.ecc.mirroring:
        judgement = judgement._replace(uncorrected=judgement.uncorrected & (judgement.p_sdc > 0))
    return judgement, meetings


def _find_meetings(
    judgement: Judgement,
    faults: FaultTable,
    pairs: tuple[Ints, Ints],
    server: Server,
    policy: Policy,
    spared_ns: Ints,
) -> Meetings:
    """Find the pairs (earlier, later) of faults, each corrected alone, that make words uncorrectable together."""
    ecc, code, scrub_ns, hard = policy.ecc, policy.ecc.code, policy.detection.scrub_ns, faults.hard
    earlier, later = pairs
    from_ns = faults.time_ns[later]
    gone_ns = np.minimum(spared_ns[earlier], spared_ns[later])
    second, root = is_second_device(faults.tag), parent_tag(faults.tag)
    own = second[later] & (faults.tag[earlier] == root[later])
    strangers = ~second[earlier] & ~second[later] & (root[earlier] != root[later])
    alone = corrected_cells(judgement, faults) | second
    soon = is_present(faults.time_ns[earlier], hard[earlier], from_ns, scrub_ns) & (gone_ns > from_ns)
    some = np.flatnonzero((own | strangers) & soon & alone[earlier] & alone[later])
    earlier, later, own = earlier[some], later[some], own[some]
    box, common = intersect(faults.box.take(earlier), faults.box.take(later), Dimm.of(server))
    fails, silent = judge_pairs(code, faults.cells.take(earlier), faults.cells.take(later), ecc.locator_bits)
    hit = np.flatnonzero(common & fails)
    earlier, later, box = earlier[hit], later[hit], box.take(hit)
    turned = hard[earlier] & (~hard[later] | second[later])
    reader, other = np.where(turned, earlier, later), np.where(turned, later, earlier)
    until_ns = np.where(hard[other], FOREVER, _round_end_ns(faults.time_ns[other], scrub_ns))
    share = box.lines / faults.box.take(reader).lines
    wrong = wrong_together(code, faults.cells.take(reader), faults.cells.take(other))
    times = faults.time_ns[later], np.minimum(until_ns, gone_ns[some[hit]])
    p = np.where(own[hit], judgement.risk.p[later], share * wrong)
    return Meetings(reader, other, box, p, silent[hit], *times)


def _round_end_ns(time_ns: Ints, scrub_ns: int) -> Ints:
    """Return when the round of the scrubber in which times lie ends [ns]; never without a scrubber (0)."""
    return (time_ns // scrub_ns + 1) * scrub_ns if scrub_ns else np.full(time_ns.shape, FOREVER)


def _mark_soft(judgement: Judgement, faults: FaultTable, met: Meetings) -> None:
    """Mark soft faults that meet an earlier soft one; of several the one that started first counts."""
    order = np.lexsort((faults.tag[met.other], faults.time_ns[met.other]))[::-1]  # what is written last stays
    met = met.take(order)
    who = met.reader
    judgement.uncorrected[who], judgement.alone[who] = True, False
    judgement.p_sdc[who] = met.silent
    for mine, part in zip(judgement.box, met.box, strict=True):
        mine[who] = part


class SoftPages(NamedTuple):
    """Pages of soft faults with uncorrectable words, ordered by (fault, page); arrays of shape ``(n,)``.

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
) -> SoftPages:
    """List the pages that can show uncorrected errors, among the first ``FRAMES_PER_FAULT_MAX`` of each fault."""
    fault = np.flatnonzero(judgement.uncorrected)
    box = judgement.box.take(fault)
    count = address_map.page_count(box)
    owner, page = expand_counts(np.minimum(count, FRAMES_PER_FAULT_MAX))
    order = draw_page_order(seed, faults.node_id[fault], faults.tag[fault], count)
    fault, place = fault[owner], order.take(owner).place(page, count[owner])
    draw, _, _, _ = words(seed.key(Purpose.OUTCOME), faults.node_id[fault], faults.tag[fault], page)
    pages = SoftPages(
        fault=fault,
        page=page,
        pfn=address_map.page(box.take(owner), place),
        silent=unit32(draw) < judgement.p_sdc[fault],
    )
    return take(pages, pages.silent) if mirroring else pages
