"""State of lanes as records of arrays: DIMM generations, faults in place, eras, bad pages and things still to come.

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
from node_sim.hwpoison.outcome_table import HandlerTable
from node_sim.lives.physics import Store
from node_sim.lives.policies import PPR_OFF, PolicyColumns
from node_sim.lives.rows import EventLog
from node_sim.lives.world import World
from node_sim.memory.sightings import Mask
from node_sim.records import NULL, Flags, Floats, Index, Ints, take
from node_sim.units import FOREVER

NEVER_KILLED = -2
"""Time of the last kill of a process that was never killed: before -1, the start of what was there from the first."""


class Touches(NamedTuple):
    """Touches of bad pages, at most one per lane; arrays of shape ``(n,)``."""

    which: Ints
    lane: Ints
    time_ns: Ints
    page: Ints
    fault: Ints
    observer: Ints
    mark: Floats

    def take(self, index: Index) -> Touches:
        """Select some."""
        return take(self, index)


class AtLimit(NamedTuple):
    """Limits reached in lanes: which (``LifecycleReason``), and by which fault in place, -1 if by none alone."""

    place: Ints
    reason: Ints


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
        next_ns: Next touch [ns], ``FOREVER`` if there is none.
        observer: Who touches it next (``Observer``), -1 if nobody.
        mark: Uniform of that touch, which decides what is left open.
        limit_ns: Until when it can be touched [ns].
        error: Row of its first sight since the last boot.
        seen: It has been seen since the last boot.
        poisoned: The kernel has marked it since the last boot.
        dead: It rests until the next boot.
    """

    lane: Ints
    place: Ints
    page: Ints
    next_ns: Ints
    observer: Ints
    mark: Floats
    limit_ns: Ints
    error: Ints
    seen: Flags
    poisoned: Flags
    dead: Flags

    @classmethod
    def of(cls, lane: Ints, place: Ints, page: Ints) -> LanePages:
        """List bad pages whose next touch is not known yet."""
        n = lane.size
        never, zero, off = np.full(n, FOREVER), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        return cls(lane, place, page, never, zero + NULL, np.zeros(n), never.copy(), zero, off, off.copy(), off.copy())


R = TypeVar("R", InPlace, LanePages)


def extend(record: R, more: R) -> Ints:
    """Add elements to a record in place; return their positions."""
    first = record.lane.size
    for item in fields(record):
        setattr(record, item.name, np.concatenate((getattr(record, item.name), getattr(more, item.name))))
    return np.arange(first, record.lane.size)


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
        ue_count: Uncorrected errors since the last repair.
        had_ue: Which DIMMs had some, by slot.
        boot_ns: End of the last time down [ns], 0 if none.
        booted: It has gone down in this step.
        stirred_ns: When a kill in this step changed who uses memory [ns], -1 if none did.
        killed_ns: Last kill by process [ns], ``NEVER_KILLED`` if none.
        bank_busy_ns: Until when the bank of a channel holds an unread record [ns].
        queue_ns: Until when each entry is taken in what holds records for the handler (ring, pool or queue) [ns].
        queue_next: Entry that is filled next.
        limit_ns: When a fault reaches a limit in this boot [ns].
        limit_place: Which fault in place that is.
        limit_reason: Which limit (``LifecycleReason``).
        places: Faults in place.
        pages: Bad pages.
        pending: Late kills and I/O errors still to come.
        closed_eras: Eras that have ended.
        fresh_places: Faults of DIMMs installed in this step, whose bad pages are not listed yet.
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


def mask_of(state: LaneState, lane: Ints) -> Mask:
    """Return what the arms have done to the users of frames in lanes."""
    return Mask(state.boot_ns[lane], lane, state.killed_ns)
