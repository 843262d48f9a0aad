"""Bad pages of lanes: which there are, how long their frames stay in use, and who touches each next.

**Models.** A page rests once it is healed or silent, and wakes at the next boot unless its fault is gone. A frame that
went out of use, whoever took it out and whichever fault hits it, is read by nobody but the patrol scrubber until then.
The scrubber begins a round at every boot.

**Leaves out.** What a touch leads to; ``touches.py`` has it.

**Assumes.** The scrubber passes over a line it has reported in this boot; a silent error on a frame out of use harms
nobody and has no row.

**Sources.** Patrol scrub begins anew at boot: registers of the memory controller are set up by firmware.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from node_sim.corrected.asking import Offlines
from node_sim.corrected.eras import spans_of
from node_sim.corrected.marks import find_names
from node_sim.corrected.offlining import find_offlines
from node_sim.lives.bank_frames import take_banks_out
from node_sim.lives.failing_reads import find_reads
from node_sim.lives.places import open_eras, poisoned_now
from node_sim.lives.state import (
    LaneFrames,
    LanePages,
    LaneState,
    extend,
    forget_spells,
    has_reads,
    huge_pages,
    listed_frames,
    mask_of,
    name_frame,
    spells_at,
)
from node_sim.memory.pages import HUGE_PAGES
from node_sim.memory.processes import NOBODY
from node_sim.memory.sightings import Range, next_scrub_ns, next_sighting, replace_spells
from node_sim.records import Flags, Floats, Ints, expand_counts, take
from node_sim.units import FOREVER

PAGES_AT_ONCE = 1 << 12
"""Bad pages whose next touch is found together."""
PAIR_WORK: Final = 0.03
"""Looks at bad pages that take as long as to compare a page that goes offline with another fault of its lane."""


def start_pages(state: LaneState) -> None:
    """List the bad pages of the faults in place at the start, and find their first touches."""
    _list_pages(state, np.arange(state.places.lane.size))
    _plan(state, np.ones(state.node_id.size, np.bool_))
    _look_ahead(state, np.arange(state.pages.lane.size), np.zeros(state.pages.lane.size, np.int64))


def retire(state: LaneState, which: Ints) -> None:
    """Let bad pages rest until the next boot."""
    state.pages.dead[which] = True
    state.pages.next_ns[which] = FOREVER


def _list_pages(state: LaneState, place: Ints) -> None:
    """List the bad pages of faults put in place."""
    pages = state.store.pages
    fault = state.places.fault[place]
    start = np.searchsorted(pages.fault, fault)
    owner, step = expand_counts(np.searchsorted(pages.fault, fault, side="right") - start)
    page, lane = start[owner] + step, state.places.lane[place[owner]]
    frame, first_read = _frames_of(state, lane, page), pages.first_read[page]
    extend(state.pages, LanePages.of(lane, place[owner], page, frame, first_read))
    state.frames.shared = np.bincount(state.pages.frame, minlength=state.frames.lane.size) > 1


def _frames_of(state: LaneState, lane: Ints, page: Ints) -> Ints:
    """Return the frames of bad pages of lanes; those not met before are listed."""
    frames, pfn = state.frames, state.store.pages.pfn
    asked = name_frame(state, lane, pfn[page])
    by_name = np.argsort(asked, kind="stable")
    names = np.unique(asked)
    first = by_name[np.searchsorted(asked[by_name], names)]
    found = np.full(names.size, -1)
    old, at = listed_frames(state, lane[first], pfn[page[first]])
    found[at] = old
    new = np.flatnonzero(found < 0)
    of_lane, of_page = lane[first[new]], page[first[new]]
    freed_ns = np.where(state.boot_ns[of_lane] > 0, state.boot_ns[of_lane], -1)
    found[new] = extend(frames, LaneFrames.of(of_lane, pfn[of_page], of_page, freed_ns))
    return found[np.searchsorted(names, asked)]


def _plan(state: LaneState, lanes: Flags) -> None:
    """Work out when corrected errors take the frames of marked lanes offline in this boot, if nothing else does.

    A huge page of a pool is broken up when one of its 4 KiB pages goes offline. Frames that ``memory_failure()`` has
    marked in this boot, or whose huge page it has, are out of use when their marks say.
    """
    frames, asks = state.frames, (state.policies.ce_threshold > 0) | (state.policies.row_columns > 0)
    counts: Flags = lanes & asks[state.arm_set]
    mine = np.flatnonzero(counts[frames.lane])
    state.last_offline_ns[lanes] = -1
    if not mine.size:
        return
    counts &= np.bincount(frames.lane[mine], minlength=counts.size) > 0
    which = mine[(frames.poisoned_ns[mine] == FOREVER) & (frames.neighbour_ns[mine] == FOREVER)]
    huge = huge_pages(state, mine)
    whole = (huge > 1) & (frames.dissolved_ns[mine] > state.remarked_ns[frames.lane[mine]])
    mine, huge = mine[whole], huge[whole]
    frames.out_ns[which] = frames.dissolved_ns[mine] = FOREVER
    lane, found = _planned(state, counts)
    if not found.era.size:
        return
    np.maximum.at(state.last_offline_ns, lane, found.time_ns)
    take_banks_out(state, which, mine, lane[found.of_bank], found.take(found.of_bank))
    lane, found = lane[~found.of_bank], found.take(~found.of_bank)
    name = name_frame(state, lane, found.pfn)
    hit, time_ns = _earliest(name, found.time_ns, name_frame(state, frames.lane[which], frames.pfn[which]))
    frames.out_ns[which[hit]] = time_ns
    size, pages = HUGE_PAGES[found.kind], state.world.address_map.pages
    some = np.flatnonzero(size > 1)
    if some.size and mine.size:
        name = _name_huge(lane[some], found.pfn[some], size[some], pages)
        hit, time_ns = _earliest(
            name, found.time_ns[some], _name_huge(frames.lane[mine], frames.pfn[mine], huge, pages)
        )
        frames.dissolved_ns[mine[hit]] = time_ns


def _planned(state: LaneState, lanes: Flags) -> tuple[Ints, Offlines]:
    """Return the pages that go offline in marked lanes until the horizon, and the banks that are asked for.

    Returns:
        Their lanes, and what they are if nothing else happens.
    """
    places, store = state.places, state.store
    eras = open_eras(state, np.flatnonzero(lanes[places.lane] & (places.removed_ns == FOREVER)))
    poisoned = poisoned_now(state, lanes)
    counted = find_offlines(
        eras, spans_of(eras, store.index), store.index, store.faults, state.world.ground(), poisoned
    )
    n = state.work.size
    gone, others = (np.bincount(lane, minlength=n) for lane in (eras.lane[counted.offlines.era], eras.lane))
    state.work += PAIR_WORK * gone * others
    found = counted.offlines.take(counted.offlines.offlined | counted.offlines.of_bank)
    return eras.lane[found.era], found


def _plan_anew(state: LaneState) -> None:
    """Plan anew in lanes that count by row or bank: pages that show no more errors let others stay in use longer.

    Where no page was to go offline later, fewer errors take none.
    """
    lanes: Flags = (state.remarked_ns >= 0) & ~state.booted & (state.last_offline_ns > state.remarked_ns)
    if not lanes.any():
        return
    frames = state.frames
    before = frames.out_ns.copy(), frames.dissolved_ns.copy()
    _plan(state, lanes)
    moved = np.flatnonzero((frames.out_ns != before[0]) | (frames.dissolved_ns != before[1]))
    forget_spells(state, moved)
    state.changed.append((moved, state.remarked_ns[frames.lane[moved]]))


def _name_huge(lane: Ints, pfn: Ints, huge: Ints, pages: int) -> Ints:
    """Name the huge pages of lanes that 4 KiB pages are part of: by their first one."""
    return lane * pages + pfn // huge * huge


def _earliest(names: Ints, time_ns: Ints, asked: Ints) -> tuple[Ints, Ints]:
    """Return which of some names are among others, and the earliest time of each [ns]."""
    order = np.lexsort((time_ns, names))
    hit, at = find_names(names[order], asked)
    return hit, time_ns[order][at]


def _look_ahead(state: LaneState, which: Ints, after_ns: Ints) -> None:
    """Find the next touch of bad pages later than a time."""
    awake = ~state.pages.dead[which]
    which, after_ns = which[awake], after_ns[awake]
    state.work += np.bincount(state.pages.lane[which], minlength=state.work.size)
    order = np.argsort(state.pages.page[which], kind="stable")
    known = has_reads(state, which[order])
    for mine, find in ((order[~known], _find_touches), (order[known], find_reads)):
        for start in range(0, mine.size, PAGES_AT_ONCE):
            some = mine[start : start + PAGES_AT_ONCE]
            find(state, which[some], after_ns[some])


def _find_touches(state: LaneState, which: Ints, after_ns: Ints) -> None:
    """Find the next touch of bad pages of soft faults, ordered by page.

    Lanes of a node that have lived alike share the answer.
    """
    pages, store, world = state.pages, state.store, state.world
    bad, lane, frame = pages.page[which], pages.lane[which], pages.frame[which]
    fault, out_ns = store.pages.fault[bad], state.frames.out_ns[frame]
    after = np.maximum(after_ns, store.faults.time_ns[fault])
    round_ns = np.where(state.boot_ns[lane] > 0, state.boot_ns[lane], store.phase_ns[bad])
    period_ns = world.policy.detection.scrub_ns
    scrub = next_scrub_ns(round_ns, store.pages.pfn[bad], world.address_map.pages, after, period_ns)
    end_ns = np.minimum(world.horizon_ns, state.drain.end_ns[lane])
    passed_over = pages.seen[which] | (store.pages.silent[bad] & (scrub >= out_ns)) | (scrub >= end_ns)
    where = Range(after, np.where(passed_over, FOREVER, scrub), np.minimum(out_ns, end_ns))
    mask, at_writeback = mask_of(state, frame), state.policies.found_at_writeback[state.arm_set[lane]]
    own = ~_as_before(state, lane, (bad, *where, *mask[:-1], at_writeback))
    asked, answer = np.flatnonzero(own), np.cumsum(own) - 1
    spell = spells_at(state, frame[asked], after[asked])
    replace_spells(state.frames.spell, frame[~own], spell.take(answer[~own]))
    drawn, deaths = store.frames.take(bad[asked]), state.killed_ns
    found = next_sighting(world.memory, drawn, mask.take(asked), deaths, spell, at_writeback[asked], take(where, asked))
    found = take(found, answer)
    pages.next_ns[which] = np.where(found.observer >= 0, found.time_ns, FOREVER)
    pages.observer[which], pages.mark[which], pages.process[which] = found.observer, found.mark, found.process
    pages.silent[which] = store.pages.silent[bad]


def _as_before(state: LaneState, lane: Ints, columns: tuple[Ints | Floats, ...]) -> Flags:
    """Return which elements are as the one before them: in all columns, and in who has died in their lanes."""
    equal = np.ones(lane.size, np.bool_)
    equal[0] = False
    for column in columns:
        equal[1:] &= column[1:] == column[:-1]
    some = np.flatnonzero(equal)
    equal[some] = (state.killed_ns[lane[some]] == state.killed_ns[lane[some - 1]]).all(axis=1)
    return equal


def _wake(state: LaneState) -> None:
    """A reboot forgets page isolation: let bad pages be touched again, unless their fault is gone."""
    pages, places, store, frames = state.pages, state.places, state.store, state.frames
    state.poisoned.append(poisoned_now(state, state.booted))
    state.withdrawn = state.withdrawn.take(~state.booted[state.withdrawn.lane])
    for place in state.fresh_places:
        _list_pages(state, place)
    state.fresh_places.clear()
    mine = np.flatnonzero(state.booted[frames.lane])
    frames.poisoned_ns[mine] = frames.out_ns[mine] = FOREVER
    frames.neighbour_ns[mine] = frames.dissolved_ns[mine] = FOREVER
    frames.freed_ns[mine] = state.boot_ns[frames.lane[mine]]
    forget_spells(state, mine)
    which = np.flatnonzero(state.booted[pages.lane])
    fault = store.pages.fault[pages.page[which]]
    pages.seen[which] = pages.logged[which] = False
    healed = ~store.faults.hard[fault] & (store.faults.time_ns[fault] < state.boot_ns[pages.lane[which]])
    pages.dead[which] = healed | (places.removed_ns[pages.place[which]] != FOREVER)
    pages.next_ns[which] = FOREVER
    _plan(state, state.booted)


def _users_changed(state: LaneState, live: Ints) -> tuple[Flags, Ints]:
    """Return which bad pages this step may have given another next touch by a boot, a kill or a cordon, and when [ns].

    Boots and kills free frames, and a process that has died touches none. A cordon adds no touch and allows none once
    the node is drained: pages whose next touch comes later have none in this boot; of the others users may have left
    before it.
    """
    pages, drain, lane = state.pages, state.drain, state.pages.lane[live]
    time_ns = np.where(state.booted, state.boot_ns, state.stirred_ns)[lane]
    process = pages.process[live]
    freed = state.frames.freed_ns[pages.frame[live]] == time_ns
    died = (process != NOBODY) & (state.killed_ns[lane, process] == time_ns)
    changed = (time_ns >= 0) & (freed | died)
    cordoned = (drain.begin_ns == state.stirred_ns)[lane] & ~changed
    late = pages.next_ns[live] >= drain.end_ns[lane]
    pages.next_ns[live[cordoned & late]] = FOREVER
    return changed | (cordoned & ~late), time_ns


def look_on(state: LaneState, live: Ints, touched: Ints, touched_ns: Ints) -> Ints:
    """Find the next touches of all bad pages whose prospects this step has changed.

    Args:
        state: Of the lanes; changed.
        live: Bad pages that can still be touched, ascending.
        touched: Those that were just touched.
        touched_ns: When.

    Returns:
        Those that can still be touched, with those of DIMMs installed in this step.
    """
    known = state.pages.lane.size
    if state.booted.any():
        _wake(state)
        live = np.concatenate((live, np.arange(known, state.pages.lane.size)))
    _plan_anew(state)
    of_frame = np.full(state.frames.lane.size, -1)
    for frame, time_ns in state.changed:
        of_frame[frame] = time_ns
    users_changed, time_ns = _users_changed(state, live)
    from_ns = np.where(users_changed, time_ns, of_frame[state.pages.frame[live]])
    at = np.searchsorted(live, touched)
    from_ns[at] = np.where(from_ns[at] >= 0, from_ns[at], touched_ns)
    which = np.flatnonzero(from_ns >= 0)
    _look_ahead(state, live[which], from_ns[which])
    state.booted[:] = False
    state.stirred_ns[:] = state.remarked_ns[:] = -1
    state.changed.clear()
    return live
