"""Bad pages of lanes: which there are, until when they can be touched, and who touches each next.

**Models.** A page rests once it is healed, silent or withdrawn, and wakes at the next boot unless its fault is gone. A
page that corrected errors took offline is not touched from then on.

**Leaves out.** What a touch leads to; ``touches.py`` has it.

**Assumes.** Corrected errors take bad pages offline only of a fault that is uncorrectable by itself: where two faults
meet, pages are numbered along the overlap.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.corrected.eras import spans_of
from node_sim.corrected.offlining import find_offlines
from node_sim.lives.places import open_eras
from node_sim.lives.state import LanePages, LaneState, extend, mask_of
from node_sim.memory.sightings import next_scrub_ns, next_sighting
from node_sim.records import Ints, expand_counts
from node_sim.units import FOREVER

_WIDE = np.int64(1) << 32
"""More than the pages of an era, so that (era, page) fits one word."""


def add_pages(state: LaneState, place: Ints) -> None:
    """List the bad pages of faults put in place and find their first touches."""
    pages = state.store.pages
    fault = state.places.fault[place]
    start = np.searchsorted(pages.fault, fault)
    owner, step = expand_counts(np.searchsorted(pages.fault, fault, side="right") - start)
    page = start[owner] + step
    added = extend(state.pages, LanePages.of(state.places.lane[place[owner]], place[owner], page))
    _limit(state, added)
    _look_ahead(state, added, state.places.installed_ns[state.pages.place[added]])


def retire(state: LaneState, which: Ints) -> None:
    """Let bad pages rest until the next boot."""
    state.pages.dead[which] = True
    state.pages.next_ns[which] = FOREVER


def _limit(state: LaneState, which: Ints) -> None:
    """Work out until when bad pages can be touched: the horizon, or when corrected errors took them offline."""
    pages, places, store = state.pages, state.places, state.store
    pages.limit_ns[which] = state.world.horizon_ns
    lane, place = pages.lane[which], pages.place[which]
    threshold = state.policies.ce_threshold[state.arm_set[lane]]
    mine = which[(threshold > 0) & store.alone[places.fault[place]]]
    if not mine.size:
        return
    of_place, era = np.unique(pages.place[mine], return_inverse=True)
    eras = open_eras(state, of_place)
    spans = spans_of(eras, store.index)
    share = (state.world.seed, state.world.policy.workload.use.kernel)
    found, _, _ = find_offlines(eras, spans, store.index, store.faults, state.world.address_map, share)
    name = (found.era * _WIDE + found.page)[found.offlined]  # ascending: offlines are ordered by (era, page)
    time_ns = found.time_ns[found.offlined]
    if not name.size:
        return
    asked = era * _WIDE + store.pages.page[pages.page[mine]]
    position = np.minimum(np.searchsorted(name, asked), name.size - 1)
    hit = name[position] == asked
    pages.limit_ns[mine[hit]] = np.minimum(pages.limit_ns[mine[hit]], time_ns[position[hit]])


def _look_ahead(state: LaneState, which: Ints, after_ns: Ints) -> None:
    """Find the next touch of bad pages later than a time."""
    awake = ~state.pages.dead[which]
    which, after_ns = which[awake], after_ns[awake]
    if not which.size:
        return
    pages, store, world = state.pages, state.store, state.world
    bad, lane = pages.page[which], pages.lane[which]
    fault = store.pages.fault[bad]
    after = np.maximum(after_ns, store.faults.time_ns[fault])
    period_ns = world.policy.detection.scrub_ns
    scrub = next_scrub_ns(store.phase_ns[bad], store.pages.pfn[bad], world.address_map.pages, after, period_ns)
    scrub = np.where(pages.seen[which], FOREVER, scrub)
    found = next_sighting(
        world.memory,
        store.frames.take(bad),
        scrub,
        after,
        np.minimum(pages.limit_ns[which], world.horizon_ns),
        store.stays[fault],
        mask_of(state, lane),
    )
    pages.next_ns[which] = np.where(found.observer >= 0, found.time_ns, FOREVER)
    pages.observer[which], pages.mark[which] = found.observer, found.mark


def _wake_pages(state: LaneState) -> None:
    """A reboot forgets page isolation: let bad pages be touched again, unless their fault is gone."""
    pages, places, store = state.pages, state.places, state.store
    which = np.flatnonzero(state.booted[pages.lane])
    fault = store.pages.fault[pages.page[which]]
    pages.seen[which] = pages.poisoned[which] = False
    healed = ~store.stays[fault] & (store.faults.time_ns[fault] < state.boot_ns[pages.lane[which]])
    pages.dead[which] = healed | (places.removed_ns[pages.place[which]] != FOREVER)
    pages.next_ns[which] = FOREVER
    _limit(state, which[~pages.dead[which]])


def look_on(state: LaneState, touched: Ints, touched_ns: Ints) -> None:
    """Find the next touches of all bad pages whose prospects this step has changed.

    Args:
        state: Of the lanes; changed.
        touched: Bad pages that were just touched.
        touched_ns: When.
    """
    pages = state.pages
    if state.booted.any():
        _wake_pages(state)
    from_ns = np.where(state.booted, state.boot_ns, state.stirred_ns)
    which = np.flatnonzero(from_ns[pages.lane] >= 0)
    calm = from_ns[pages.lane[touched]] < 0  # pages of the other lanes are looked at from the boot or kill on
    _look_ahead(
        state, np.concatenate((which, touched[calm])), np.concatenate((from_ns[pages.lane[which]], touched_ns[calm]))
    )
    state.booted[:] = False
    state.stirred_ns[:] = -1
    for place in state.fresh_places:
        add_pages(state, place)
    state.fresh_places.clear()
