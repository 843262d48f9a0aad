"""State of lanes as records of arrays: DIMM generations, faults in place, bad pages, frames, things still to come.

**Models.** One lane is one node under one set of arms. All lanes of a call share one store of faults; lanes
refer to it.

**Leaves out.** Whatever changes the arrays; each link changes what it decides about.

**Assumes.** Nothing beyond ``physics.py``.

**Sources.** None.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeVar

import numpy as np

from node_sim.corrected.eras import Eras
from node_sim.corrected.marks import Poisoned
from node_sim.hwpoison.handler_table import HandlerTable
from node_sim.lives.mapped_out import MapOuts, no_map_outs
from node_sim.lives.ordered import Agenda, Withdrawn
from node_sim.lives.pending import Pending, no_pending
from node_sim.lives.physics import Store
from node_sim.lives.policies import PPR_OFF, PolicyColumns
from node_sim.lives.rows import EventLog
from node_sim.lives.world import World
from node_sim.memory.pages import HUGE_PAGES, Tenancy
from node_sim.memory.sightings import Mask, Spell, replace_spells, spell_of
from node_sim.records import NULL, Flags, Floats, Index, Ints, join, take
from node_sim.units import FOREVER

NEVER_KILLED = -1
"""Time of the last kill of a process that was never killed."""


class Touches(NamedTuple):
    """Touches of bad pages, at most one per lane; arrays of shape ``(n,)``."""

    which: Ints
    lane: Ints
    time_ns: Ints
    page: Ints
    fault: Ints
    observer: Ints
    mark: Floats
    process: Ints

    def take(self, index: Index) -> Touches:
        """Select some."""
        return take(self, index)


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
        never, nothing, off = np.full(n, FOREVER), np.full(n, NULL), np.full(n, PPR_OFF)
        return cls(lane, fault, installed_ns, never, installed_ns.copy(), nothing, nothing.copy(), off)


@dataclass
class LanePages:
    """Bad pages in lanes: one element per (lane, bad page of a fault in place).

    Attributes:
        lane: Lane.
        place: Index into the faults in place.
        page: Index into the bad pages of the store.
        frame: Index into the frames.
        next_ns: Next touch [ns], ``FOREVER`` if there is none.
        observer: Who touches it next (``Observer``), -1 if nobody.
        mark: Uniform of that touch, which decides what is left open.
        process: Owner whose access it is, ``NOBODY`` if it is nobody's.
        error: Row of its first sight since the last boot.
        seen: It has been seen since the last boot.
        logged: A log shows it since the last boot.
        dead: It rests until the next boot.
        read: Index of the first of its failing reads that is yet to come, if it has any.
        silent: Nobody notices the next touch.
    """

    lane: Ints
    place: Ints
    page: Ints
    frame: Ints
    next_ns: Ints
    observer: Ints
    mark: Floats
    process: Ints
    error: Ints
    seen: Flags
    logged: Flags
    dead: Flags
    read: Ints
    silent: Flags

    @classmethod
    def of(cls, lane: Ints, place: Ints, page: Ints, frame: Ints, first_read: Ints) -> LanePages:
        """List bad pages whose next touch is not known yet."""
        n = lane.size
        never, nothing = np.full(n, FOREVER), np.full(n, NULL)
        seen, logged, dead, silent = (np.zeros(n, np.bool_) for _ in range(4))
        next_touch = never, nothing, np.zeros(n), nothing.copy(), nothing.copy()
        return cls(lane, place, page, frame, *next_touch, seen, logged, dead, first_read, silent)


@dataclass
class LaneFrames:
    """Page frames with bad pages in lanes: one element per (lane, frame), whichever faults hit it.

    Attributes:
        lane: Lane.
        pfn: Page number.
        page: Index of one of its bad pages in the store.
        freed_ns: When it last went back to the free lists, by a kill or a boot [ns], -1 if never.
        poisoned_ns: When ``memory_failure()`` marked it in this boot [ns], ``FOREVER`` if it did not.
        out_ns: When it goes out of use in this boot [ns], ``FOREVER`` if it does not.
        neighbour_ns: When another 4 KiB page of its huge page of a pool was marked in this boot [ns], else ``FOREVER``.
        dissolved_ns: When the huge page of a pool that it is part of is broken up in this boot [ns], else ``FOREVER``.
        shared: It has several bad pages: of several faults, or of one that knows it under several numbers.
        spell: Its use when it was last asked for.
    """

    lane: Ints
    pfn: Ints
    page: Ints
    freed_ns: Ints
    poisoned_ns: Ints
    out_ns: Ints
    neighbour_ns: Ints
    dissolved_ns: Ints
    shared: Flags
    spell: Spell

    @classmethod
    def of(cls, lane: Ints, pfn: Ints, page: Ints, freed_ns: Ints) -> LaneFrames:
        """List frames that are in use."""
        n = lane.size
        never, zero, past = np.full(n, FOREVER), np.zeros(n, np.int64), np.full(n, -1)
        no = np.zeros(n, np.bool_)
        tenancy = Tenancy(zero, zero.copy(), zero.copy(), no, np.zeros(n), no.copy())
        spell = Spell(tenancy, past, past.copy())
        return cls(lane, pfn, page, freed_ns, never, never.copy(), never.copy(), never.copy(), no.copy(), spell)


R = TypeVar("R", InPlace, LanePages, LaneFrames)


def extend(record: R, more: R) -> Ints:
    """Add elements to a record in place; return their positions."""
    first = record.lane.size
    for item in fields(record):
        old, new = getattr(record, item.name), getattr(more, item.name)
        setattr(record, item.name, join([old, new]) if isinstance(old, tuple) else np.concatenate((old, new)))
    return np.arange(first, record.lane.size)


@dataclass
class Drains:
    """Cordons of lanes that have not been repaired yet; arrays of shape ``(n_lanes,)``.

    Attributes:
        begin_ns: When the node was cordoned [ns], ``FOREVER`` if it is in service.
        end_ns: When it is drained and goes down for repair [ns].
        fault: Fault that is answered.
        cause: Row that shows it, or a fault as the causes of rows name it.
        place: Fault in place at a limit, -1 if none is at one alone.
        reason: Which limit (``LifecycleReason``).
    """

    begin_ns: Ints
    end_ns: Ints
    fault: Ints
    cause: Ints
    place: Ints
    reason: Ints

    @classmethod
    def none(cls, n: int) -> Drains:
        """Return the state of n lanes in service."""
        never, nothing = np.full(n, FOREVER), np.full(n, NULL)
        return cls(never, never.copy(), nothing, nothing.copy(), nothing.copy(), nothing.copy())


@dataclass
class LaneState:
    """All state of the lanes of one call; arrays of shape ``(n_lanes, …)``.

    Attributes:
        world: What the lanes share.
        store: Their faults.
        policies: Settings of the arms by arm set.
        handler: ``memory_failure()`` of the arms' kernels as a table.
        log: Rows of what has happened so far.
        node_id: Node.
        arm_set: Index into ``policies``.
        generation: DIMM generation by slot.
        ue_count: Uncorrected errors (page and boot) that a log shows since the last repair.
        had_ue: Which DIMMs had some, by slot.
        boot_ns: End of the last time down [ns], 0 if none.
        booted: It has gone down in this step.
        stirred_ns: When this step changed who uses memory [ns], -1 if it did not.
        turned: The kernel marked one of its frames in this step, so that limits may be reached later.
        remarked_ns: When this step changed which frames are poisoned or out of use, in lanes that count by row [ns];
            -1 if it did not.
        work: Steps, looks at bad pages, and pages compared with other faults, weighed by what they cost.
        last_offline_ns: When counting takes the last page offline in this boot, as planned [ns]; -1 if none.
        killed_ns: Last kill by process [ns], ``NEVER_KILLED`` if none.
        bank_busy_ns: Until when the bank of a channel holds an unread record [ns].
        queue_ns: Until when each entry is taken in what holds records for the handler (ring, pool or queue) [ns].
        queue_next: Entry that is filled next.
        limit_ns: When a fault reaches a limit in this boot [ns].
        limit_place: Which fault in place that is.
        limit_reason: Which limit (``LifecycleReason``).
        visit_ns: When a technician comes for the DIMMs mapped out [ns], ``FOREVER`` if nobody does.
        drain: Its cordon and what follows.
        agenda: What a policy of one's own has ordered.
        ordered_dimm: Which DIMMs it wants replaced, by slot.
        cause_ns: Time of the error that led it to the present cordon [ns], -1 if none did.
        places: Faults in place.
        pages: Bad pages.
        frames: Their page frames.
        pending: Late kills, I/O errors and calls of the handler still to come.
        map_outs: DIMMs that firmware has mapped out.
        closed_eras: Eras that have ended.
        poisoned: Frames that were poisoned in boots that have ended.
        withdrawn: Pages that orders have taken offline in the present boots.
        ordered_rows: Names of rows of orders, and the times of the errors that led to them [ns].
        downs: Lanes that went down, from when to when [ns].
        fresh_places: Faults of DIMMs installed in this step, whose bad pages are not listed yet.
        changed: Frames whose state has changed in this step, and when [ns].
    """

    world: World
    store: Store
    policies: PolicyColumns
    handler: HandlerTable
    log: EventLog
    node_id: Ints
    arm_set: Ints
    generation: Ints
    ue_count: Ints
    had_ue: Flags
    boot_ns: Ints
    booted: Flags
    stirred_ns: Ints
    turned: Flags
    remarked_ns: Ints
    work: Floats
    last_offline_ns: Ints
    killed_ns: Ints
    bank_busy_ns: Ints
    queue_ns: Ints
    queue_next: Ints
    limit_ns: Ints
    limit_place: Ints
    limit_reason: Ints
    visit_ns: Ints
    drain: Drains
    agenda: Agenda
    ordered_dimm: Flags
    cause_ns: Ints
    places: InPlace
    pages: LanePages
    frames: LaneFrames
    pending: Pending = field(default_factory=no_pending)
    map_outs: MapOuts = field(default_factory=no_map_outs)
    closed_eras: list[Eras] = field(default_factory=list)
    poisoned: list[Poisoned] = field(default_factory=list)
    withdrawn: Withdrawn = field(default_factory=Withdrawn.none)
    ordered_rows: list[tuple[Ints, Ints]] = field(default_factory=list)
    downs: list[tuple[Ints, Ints, Ints]] = field(default_factory=list)
    fresh_places: list[Ints] = field(default_factory=list)
    changed: list[tuple[Ints, Ints]] = field(default_factory=list)


def fault_of(state: LaneState, which: Ints) -> Ints:
    """Return the faults of bad pages."""
    return state.store.pages.fault[state.pages.page[which]]


def pfn_of(state: LaneState, which: Ints) -> Ints:
    """Return the page numbers of bad pages."""
    return state.store.pages.pfn[state.pages.page[which]]


def has_reads(state: LaneState, which: Ints) -> Flags:
    """Return on which bad pages single reads fail; the words of others are wrong until they are rewritten."""
    found: Flags = state.store.pages.n_reads[state.pages.page[which]] > 0
    return found


def name_frame(state: LaneState, lane: Ints, pfn: Ints) -> Ints:
    """Name frames of lanes, and the one that stands for errors without an address (-1)."""
    return lane * (state.world.address_map.pages + 1) + pfn + 1


def listed_frames(state: LaneState, lane: Ints, pfn: Ints) -> tuple[Ints, Ints]:
    """Return which pages of lanes have a listed frame: the frames, and their positions in the question."""
    known = name_frame(state, state.frames.lane, state.frames.pfn)
    if not known.size:
        return known, known
    order, asked = np.argsort(known), name_frame(state, lane, pfn)
    at = order[np.minimum(np.searchsorted(known[order], asked), order.size - 1)]
    which = np.flatnonzero(known[at] == asked)
    return at[which], which


def mask_of(state: LaneState, frame: Ints) -> Mask:
    """Return what the arms have done to the users of frames."""
    frames, drain = state.frames, state.drain
    lane = frames.lane[frame]
    return Mask(frames.freed_ns[frame], frames.dissolved_ns[frame], drain.begin_ns[lane], drain.end_ns[lane], lane)


def huge_pages(state: LaneState, frame: Ints) -> Ints:
    """Return how many 4 KiB pages a page of the pool has that frames are part of for ever; 1 for other frames."""
    return HUGE_PAGES[state.store.frames.kind[state.frames.page[frame]]]


def spells_at(state: LaneState, frame: Ints, time_ns: Ints) -> Spell:
    """Return the uses of frames at times, as the arms have left them; known ones are not worked out again."""
    known = state.frames.spell
    spell = known.take(frame)
    old = np.flatnonzero((time_ns < spell.from_ns) | (time_ns >= spell.until_ns))
    if old.size:
        drawn = state.store.frames.take(state.frames.page[frame[old]])
        new = spell_of(state.world.memory, drawn, time_ns[old], mask_of(state, frame[old]))
        replace_spells(spell, old, new)
        replace_spells(known, frame[old], new)
    return spell


def forget_spells(state: LaneState, frame: Ints) -> None:
    """Work out the uses of frames anew when they are next asked for."""
    state.frames.spell.until_ns[frame] = -1
