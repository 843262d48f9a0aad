"""State of lanes as arrays: DIMM generations, faults in place, eras, bad pages and things still to come.

**Models.** One lane is one node under one set of arms. All lanes of a call share one store of faults; lanes
refer to it.

**Leaves out.** Decisions; they are in ``lanes.py``.

**Assumes.** Nothing beyond ``physics.py``.

**Sources.** None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.catalog.numbers import QUEUE_ENTRIES, SPARE_ROWS
from node_sim.codes import LifecycleReason
from node_sim.corrected.eras import Eras, spans_of
from node_sim.corrected.live_errors import limit_times
from node_sim.corrected.offlining import find_offlines
from node_sim.corrected.reports import first_reports
from node_sim.dram.names import GENERATIONS_MAX
from node_sim.errors import ModelError
from node_sim.lives.physics import Store, World
from node_sim.lives.policies import PPR_OFF, PPR_SOFT, spare_name, takes_one_row
from node_sim.memory.sightings import Mask, next_scrub_ns, next_sighting
from node_sim.records import Flags, Index, Ints, expand_counts, join, take
from node_sim.units import FOREVER

NEVER_KILLED = -2


@dataclass
class InPlace:
    """Faults in place in lanes: one element per (lane, fault of an installed DIMM)."""

    lane: Ints
    fault: Ints
    installed_ns: Ints
    removed_ns: Ints
    era_from_ns: Ints
    suspect: Ints
    """Row that makes the fault a case for post-package repair, -1 if there is none."""
    why: Ints
    """Reason that row gives."""
    ppr: Ints
    """Repair that hides the fault."""

    @classmethod
    def of(cls, lane: Ints, fault: Ints, installed_ns: Ints) -> InPlace:
        """List faults of DIMMs installed at given times."""
        n = lane.size
        forever, off = np.full(n, FOREVER), np.full(n, PPR_OFF)
        return cls(lane, fault, installed_ns, forever, installed_ns.copy(), np.full(n, -1), np.full(n, -1), off)

    def accuse(self, place: Ints, row: Ints, reason: Ints | int) -> None:
        """Make faults in place cases for post-package repair."""
        self.suspect[place], self.why[place] = row, reason

    def append(self, lane: Ints, fault: Ints, installed_ns: Ints) -> Ints:
        """Add faults of a DIMM installed at a time; return their positions."""
        first = self.lane.size
        more = InPlace.of(lane, fault, installed_ns)
        for name in self.__dataclass_fields__:
            setattr(self, name, np.concatenate((getattr(self, name), getattr(more, name))))
        return np.arange(first, first + lane.size)


@dataclass
class LanePages:
    """Bad pages in lanes: one element per (lane, bad page of a fault in place)."""

    lane: Ints
    place: Ints
    page: Ints
    next_ns: Ints
    observer: Ints
    mark: npt.NDArray[np.float64]
    limit_ns: Ints
    error: Ints
    seen: Flags
    poisoned: Flags
    dead: Flags

    @classmethod
    def of(cls, lane: Ints, place: Ints, page: Ints) -> LanePages:
        """List bad pages whose next touch is not known yet."""
        n = lane.size
        never = np.full(n, FOREVER)
        off = np.zeros(n, np.bool_)
        zero = np.zeros(n, np.int64)
        return cls(lane, place, page, never, zero - 1, np.zeros(n), never.copy(), zero, off, off.copy(), off.copy())

    def append(self, more: LanePages) -> Ints:
        """Add bad pages; return their positions."""
        first = self.lane.size
        for name in self.__dataclass_fields__:
            setattr(self, name, np.concatenate((getattr(self, name), getattr(more, name))))
        return np.arange(first, self.lane.size)


class Pending(NamedTuple):
    """Things that will happen to a lane unless it goes down first."""

    lane: Ints
    time_ns: Ints
    late: Flags
    owner: Ints
    lsb: Ints
    fault: Ints
    pfn: Ints
    cause: Ints

    def take(self, index: Index) -> Pending:
        """Select some."""
        return take(self, index)


def no_pending() -> Pending:
    """Return an empty list of pending things."""
    empty = np.empty(0, np.int64)
    return Pending(empty, empty, np.empty(0, np.bool_), empty, empty, empty, empty, empty)


class Limits(NamedTuple):
    """What lets something be taken out of use, arrays of shape ``(n_lanes,)``.

    Attributes:
        ce_threshold: Corrected errors that take a page offline; 0 = never.
        replace_ce: Corrected errors that let a DIMM be replaced; 0 = never.
        replace_ecs: Whether a report of error check and scrub does.
    """

    ce_threshold: Ints
    replace_ce: Ints
    replace_ecs: Flags


@dataclass
class LaneState:
    """All state of the lanes of one call; arrays of shape ``(n_lanes, …)``."""

    world: World
    store: Store
    node_id: Ints
    arm_set: Ints
    limits: Limits
    generation: Ints
    ue_count: Ints
    had_ue: Flags
    boot_ns: Ints
    booted: Flags
    stirred_ns: Ints
    killed_ns: Ints
    bank_busy_ns: Ints
    queue_ns: Ints
    queue_next: Ints
    limit_ns: Ints
    limit_place: Ints
    limit_reason: Ints
    places: InPlace
    pages: LanePages
    pending: Pending = field(default_factory=no_pending)
    closed_eras: list[Eras] = field(default_factory=list)
    fresh_places: list[Ints] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        world: World,
        store: Store,
        node_id: Ints,
        arm_set: Ints,
        limits: Limits,
        place: tuple[Ints, Ints],
    ) -> LaneState:
        """Put the faults of generation 0 in place at time 0.

        Args:
            world: What the lanes share.
            store: Their faults.
            node_id: Node of each lane.
            arm_set: Arm set of each lane.
            limits: Of each lane.
            place: Lane and fault of each fault in place.
        """
        n, server = node_id.size, world.hardware.server
        lane, fault = place
        state = cls(
            world=world,
            store=store,
            node_id=node_id,
            arm_set=arm_set,
            limits=limits,
            generation=np.zeros((n, server.dimms), np.int64),
            ue_count=np.zeros(n, np.int64),
            had_ue=np.zeros((n, server.dimms), np.bool_),
            boot_ns=np.zeros(n, np.int64),
            booted=np.zeros(n, np.bool_),
            stirred_ns=np.full(n, -1),
            killed_ns=np.full((n, world.memory.processes.count), NEVER_KILLED),
            bank_busy_ns=np.zeros((n, server.sockets * server.channels), np.int64),
            queue_ns=np.zeros((n, QUEUE_ENTRIES.value), np.int64),
            queue_next=np.zeros(n, np.int64),
            limit_ns=np.full(n, FOREVER),
            limit_place=np.full(n, -1),
            limit_reason=np.full(n, -1),
            places=InPlace.of(lane, fault, np.zeros(lane.size, np.int64)),
            pages=LanePages.of(*(np.empty(0, np.int64) for _ in range(3))),
        )
        state.add_pages(np.arange(lane.size))
        state.watch(np.arange(n))
        return state

    def mask(self, lane: Ints) -> Mask:
        """Return what the arms have done to the users of frames in lanes."""
        return Mask(self.boot_ns[lane], lane, self.killed_ns)

    def add_pages(self, place: Ints) -> None:
        """List the bad pages of faults put in place and find their first touches."""
        pages = self.store.pages
        fault = self.places.fault[place]
        start = np.searchsorted(pages.fault, fault)
        owner, step = expand_counts(np.searchsorted(pages.fault, fault, side="right") - start)
        page = start[owner] + step
        added = self.pages.append(LanePages.of(self.places.lane[place[owner]], place[owner], page))
        self.limit(added)
        self.look_ahead(added, self.places.installed_ns[self.pages.place[added]])

    def limit(self, which: Ints) -> None:
        """Work out until when bad pages can be touched: the horizon, or when corrected errors took them offline."""
        pages, places, store = self.pages, self.places, self.store
        pages.limit_ns[which] = self.world.horizon_ns
        lane = pages.lane[which]
        place = pages.place[which]
        mine = which[(self.limits.ce_threshold[lane] > 0) & store.alone[places.fault[place]]]
        if not mine.size:
            return
        of_place, back = np.unique(pages.place[mine], return_inverse=True)
        eras = self._eras(of_place)
        spans = spans_of(eras, store.index)
        share = (self.world.seed, self.world.policy.workload.use.kernel)
        found, _, _ = find_offlines(eras, spans, store.index, store.faults, self.world.address_map, share)
        wide = np.int64(1) << 32
        name = (found.era * wide + found.page)[found.offlined]
        time_ns = found.time_ns[found.offlined]
        asked = back * wide + store.pages.page[pages.page[mine]]
        position = np.minimum(np.searchsorted(name, asked), max(name.size - 1, 0))
        if name.size:
            hit = name[position] == asked
            pages.limit_ns[mine[hit]] = np.minimum(pages.limit_ns[mine[hit]], time_ns[position[hit]])

    def watch(self, lane: Ints) -> None:
        """Find out when, by which fault and in what, lanes reach a limit of faults in their present boot."""
        lane = lane[(self.limits.replace_ce[lane] > 0) | self.limits.replace_ecs[lane]]
        if not lane.size:
            return
        places = self.places
        self.limit_ns[lane], self.limit_place[lane] = FOREVER, -1
        watched = np.zeros(self.node_id.size, np.bool_)
        watched[lane] = True
        place = np.flatnonzero(watched[places.lane] & (places.removed_ns == FOREVER))
        eras = self._eras(place)
        by_ce, by_ecs = self._ce_limits(eras), self._ecs_limits(eras)
        time_ns = np.minimum(by_ce, by_ecs)
        order = np.lexsort((place, time_ns, eras.lane))
        order = order[time_ns[order] < FOREVER]
        first, at = np.unique(eras.lane[order], return_index=True)
        which = order[at]
        self.limit_place[first] = place[which]
        self.limit_ns[first] = time_ns[which] + 1
        corrected = by_ce[which] <= by_ecs[which]
        self.limit_reason[first] = np.where(corrected, int(LifecycleReason.CE_LIMIT), int(LifecycleReason.ECS_LIMIT))

    def _ce_limits(self, eras: Eras) -> Ints:
        """Return when eras reach the limit of corrected errors [ns]."""
        store, found = self.store, np.full(eras.lane.size, FOREVER)
        limit = self.limits.replace_ce[eras.lane]
        some = np.flatnonzero(limit > 0)
        share = (self.world.seed, self.world.policy.workload.use.kernel)
        found[some] = limit_times(
            eras.take(some), store.index, store.faults, self.world.address_map, share, limit[some]
        )
        return found

    def _ecs_limits(self, eras: Eras) -> Ints:
        """Return when eras have the first report that lets a DIMM be replaced [ns]."""
        found = np.full(eras.lane.size, FOREVER)
        some = np.flatnonzero(self.limits.replace_ecs[eras.lane])
        found[some] = first_reports(eras.take(some), self.store.passes)
        return found

    def _eras(self, place: Ints) -> Eras:
        """Return the present eras of faults in place, as if nothing happened until the horizon."""
        places = self.places
        lane = places.lane[place]
        to_ns = np.full(place.size, self.world.horizon_ns)
        return Eras(lane, places.fault[place], places.era_from_ns[place], to_ns, self.limits.ce_threshold[lane])

    def look_ahead(self, which: Ints, after_ns: Ints) -> None:
        """Find the next touch of bad pages later than a time."""
        which, after_ns = which[~self.pages.dead[which]], after_ns[~self.pages.dead[which]]
        if not which.size:
            return
        pages, store, world = self.pages, self.store, self.world
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
            self.mask(lane),
        )
        pages.next_ns[which] = np.where(found.observer >= 0, found.time_ns, FOREVER)
        pages.observer[which], pages.mark[which] = found.observer, found.mark

    def go_down(self, lane: Ints, start_ns: Ints, end_ns: Ints) -> None:
        """Take lanes down for an interval: eras end, tenancies end, what was pending is off."""
        places = self.places
        begin, until = np.full(self.node_id.size, -1), np.full(self.node_id.size, -1)
        begin[lane], until[lane] = start_ns, end_ns
        mine = np.flatnonzero((begin[places.lane] >= 0) & (places.removed_ns == FOREVER))
        self._close_eras(mine, begin[places.lane[mine]])
        places.era_from_ns[mine] = until[places.lane[mine]]
        self.boot_ns[lane] = end_ns
        self.bank_busy_ns[lane] = 0
        self.queue_ns[lane] = 0
        self.pending = self.pending.take(begin[self.pending.lane] < 0)
        self.booted[lane] = True

    def _wake_pages(self) -> None:
        """Bring bad pages back that were out of use before the boot: withdrawing a page does not survive it."""
        pages, places = self.pages, self.places
        which = np.flatnonzero(self.booted[pages.lane])
        fault = self.store.pages.fault[pages.page[which]]
        pages.seen[which] = pages.poisoned[which] = False
        healed = ~self.store.stays[fault] & (self.store.faults.time_ns[fault] < self.boot_ns[pages.lane[which]])
        pages.dead[which] = healed | (places.removed_ns[pages.place[which]] != FOREVER)
        pages.next_ns[which] = FOREVER
        self.limit(which[~pages.dead[which]])

    def look_on(self, touched: Ints, touched_ns: Ints) -> None:
        """Find the next touches of all bad pages whose prospects this step has changed.

        Args:
            touched: Bad pages that were just touched.
            touched_ns: When.
        """
        pages, rebooted = self.pages, np.flatnonzero(self.booted)
        if rebooted.size:
            self._wake_pages()
        from_ns = np.where(self.booted, self.boot_ns, self.stirred_ns)
        which = np.flatnonzero(from_ns[pages.lane] >= 0)
        calm = from_ns[pages.lane[touched]] < 0
        self.look_ahead(
            np.concatenate((which, touched[calm])), np.concatenate((from_ns[pages.lane[which]], touched_ns[calm]))
        )
        self.booted[:] = False
        self.stirred_ns[:] = -1
        for place in self.fresh_places:
            self.add_pages(place)
        self.fresh_places.clear()
        self.watch(rebooted)

    def _close_eras(self, place: Ints, end_ns: Ints) -> None:
        places = self.places
        begin = places.era_from_ns[place]
        some = begin < end_ns
        place, begin, end = place[some], begin[some], end_ns[some]
        lane = places.lane[place]
        self.closed_eras.append(Eras(lane, places.fault[place], begin, end, self.limits.ce_threshold[lane]))

    def remove_dimms(self, lane: Ints, slot: Ints, time_ns: Ints) -> None:
        """Replace DIMMs (pairs of lane and slot) of lanes that are down; the new ones' faults are put in place."""
        store, places = self.store, self.places
        when = np.full(self.generation.shape, -1)
        when[lane, slot] = time_ns
        at = when[places.lane, store.faults.box.slot[places.fault]]
        gone = np.flatnonzero((at >= 0) & (places.removed_ns == FOREVER))
        places.removed_ns[gone] = at[gone]
        self.generation[lane, slot] += 1
        worn = np.flatnonzero(self.generation[lane, slot] > GENERATIONS_MAX)
        if worn.size:
            node = int(self.node_id[lane[worn[0]]])
            msg = (
                f"node {node}: a DIMM is replaced for more than {GENERATIONS_MAX} times, expected fewer; "
                "raise the limits of repair or lower fit_factor or years"
            )
            raise ModelError(msg)
        new = store.install(self.node_id[lane], slot, self.generation[lane, slot], time_ns)
        count = np.asarray([len(part) for part in new], np.int64)
        if count.sum():
            fault = np.concatenate([np.asarray(part, np.int64) for part in new])
            owner = np.repeat(np.arange(lane.size), count)
            self.fresh_places.append(places.append(lane[owner], fault, time_ns[owner]))

    def spare_is_free(self, place: Ints) -> Flags:
        """Return which faults in place, taken one by one, can be replaced by a spare row nobody uses."""
        faults = self.store.faults.take(self.places.fault[place])
        free = takes_one_row(faults)
        free &= self._spares_used(place) < SPARE_ROWS.value
        return free

    def _spare_of(self, place: Ints) -> Ints:
        """Name the lane and the bank group whose spare rows a fault in place needs."""
        name = spare_name(self.store.faults.take(self.places.fault[place]), self.world.hardware.server.dram)
        return (self.places.lane[place] << 31) | name

    def _spares_used(self, place: Ints) -> Ints:
        """Count the spare rows in use in the bank groups of faults in place."""
        used = np.sort(self._spare_of(np.flatnonzero(self.places.ppr != PPR_OFF)))
        name = self._spare_of(place)
        return np.searchsorted(used, name, side="right") - np.searchsorted(used, name)

    def use_spare_rows(self, lane: Ints, end_ns: Ints, kind: Ints) -> Ints:
        """Repair suspected faults of lanes at the end of a boot, as far as there are spare rows; return their places.

        Args:
            lane: Lanes, each once.
            end_ns: End of the boot [ns], per lane.
            kind: Kind of post-package repair, per lane.
        """
        places = self.places
        kind_of, end_of = np.full(self.node_id.size, PPR_OFF), np.zeros(self.node_id.size, np.int64)
        kind_of[lane], end_of[lane] = kind, end_ns
        wanted = (kind_of[places.lane] != PPR_OFF) & (places.suspect >= 0) & (places.removed_ns == FOREVER)
        place = np.flatnonzero(wanted)
        place = place[self.spare_is_free(place)]
        faults, name = self.store.faults.take(places.fault[place]), self._spare_of(place)
        order = np.lexsort((faults.tag, faults.time_ns, name))
        place, name = place[order], name[order]
        waiting = np.arange(place.size) - np.searchsorted(name, name)
        place = place[waiting + self._spares_used(place) < SPARE_ROWS.value]
        places.ppr[place], places.removed_ns[place] = kind_of[places.lane[place]], end_of[places.lane[place]]
        return place

    def power_off(self, lane: Ints, end_ns: Ints) -> None:
        """Bring the faults back that soft repair hid in lanes that were down until ``end_ns``."""
        places = self.places
        until = np.full(self.node_id.size, -1)
        until[lane] = end_ns
        back = np.flatnonzero((until[places.lane] >= 0) & (places.ppr == PPR_SOFT))
        places.ppr[back], places.removed_ns[back], places.suspect[back] = PPR_OFF, FOREVER, -1
        places.era_from_ns[back] = until[places.lane[back]]

    def all_eras(self) -> Eras:
        """Close the eras still open at the horizon and return all, ordered by lane and fault."""
        open_ = np.flatnonzero(self.places.removed_ns == FOREVER)
        self._close_eras(open_, np.full(open_.size, self.world.horizon_ns))
        eras = join(self.closed_eras)
        return eras.take(np.lexsort((eras.from_ns, eras.fault, eras.lane)))
