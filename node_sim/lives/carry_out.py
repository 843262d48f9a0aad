"""Orders of a policy of one's own, carried out: pages go offline, DIMMs are replaced, nodes cordoned and drained.

**Models.** The kernel answers as it does to any daemon (``corrected/asking.py``). A page that goes offline is out of
use from the time of the order to the next boot. The first order that is about the node cordons it; more that come
before the repair add DIMMs to it, or end the drain at once.

**Leaves out.** The time that a daemon takes to do what it is told.

**Assumes.** Work that is taken off a node at once goes on elsewhere, unharmed.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import LifecycleReason, OfflineTrigger
from node_sim.hwpoison.offline_answers import results_of
from node_sim.lives.kernel_answers import ask_kernel
from node_sim.lives.ordered import OrderKind, Withdrawn
from node_sim.lives.places import poisoned_now
from node_sim.lives.repair import begin_drain
from node_sim.lives.rows import EventLog, last_rows
from node_sim.lives.state import LaneState, forget_spells, huge_pages, listed_frames
from node_sim.memory.pages import HUGE_PAGES
from node_sim.records import NULL, Ints, join
from node_sim.units import FOREVER, PAGE_BYTES

_NONE = np.empty(0, np.int64)


def carry_out(state: LaneState, lane: Ints) -> None:
    """Carry out the next orders of lanes, all of those that come at one time."""
    which = state.agenda.pop(lane)
    kind = state.agenda.orders.kind[which]
    pages, others = which[kind == OrderKind.OFFLINE], which[kind != OrderKind.OFFLINE]
    if pages.size:
        _ask(state, pages)
    if others.size:
        _take_from_service(state, others)


def _causes(state: LaneState, which: Ints) -> Ints:
    """Return the faults, in the store, whose errors led to orders; of those without one, any in place in the lane.

    A name alone does not tell: a DIMM that is put in at another time in another lane has the same names.
    """
    places, lane, asked = state.places, state.agenda.lane[which], state.agenda.orders.fault_id[which]
    known = state.store.faults.fault_id[places.fault].astype(np.int64)
    of_lane, name = np.concatenate((places.lane, lane)), np.concatenate((known, asked))
    pair = of_lane * name.size + np.unique(name, return_inverse=True)[1]
    have, wanted = pair[: known.size], pair[known.size :]
    by_pair, by_lane = np.argsort(have), np.argsort(places.lane, kind="stable")
    at = by_pair[np.minimum(np.searchsorted(have[by_pair], wanted), have.size - 1)]
    some = by_lane[np.searchsorted(places.lane[by_lane], lane)]
    return places.fault[np.where(have[at] == wanted, at, some)]


def _ask(state: LaneState, which: Ints) -> None:
    """Ask the kernel to take pages offline, each once in a lane."""
    lane, orders = state.agenda.lane[which], state.agenda.orders.take(which)
    pfn, time_ns, asking = orders.target, orders.time_ns, np.zeros(state.node_id.size, np.bool_)
    asking[lane] = True
    answers = ask_kernel(state, poisoned_now(state, asking), lane, pfn)
    gone, fault = answers.gone, _causes(state, which)
    huge = np.where(gone, HUGE_PAGES[answers.kind], 1)
    names = state.log.add(
        "page_offlines",
        lane=lane,
        time_ns=time_ns,
        fault=fault,
        cause=-1 - fault,
        pfn=pfn,
        trigger=np.full(lane.size, int(OfflineTrigger.OWN_POLICY)),
        result=results_of(answers.errno, answers.poisoned),
        errno=answers.errno,
        n_pages=gone.astype(np.int64),
        pool_lost_bytes=_pool_lost_bytes(state, lane, pfn, huge),
    )
    state.ordered_rows.append((names, orders.cause_ns))
    _withdraw(state, Withdrawn(lane, pfn, time_ns, huge).take(gone))


def _pool_lost_bytes(state: LaneState, lane: Ints, pfn: Ints, huge: Ints) -> Ints:
    """Return the size of the huge page that each offlining breaks up: the first one in it in a boot [bytes]."""
    lost, n = np.zeros(lane.size, np.int64), state.world.address_map.pages
    some = np.flatnonzero(huge > 1)
    if some.size:
        before = state.withdrawn.take(state.withdrawn.huge > 1)
        names = lane[some] * n + pfn[some] // huge[some] * huge[some]
        _, first = np.unique(names, return_index=True)
        fresh = some[first][~np.isin(names[first], before.lane * n + before.pfn // before.huge * before.huge)]
        lost[fresh] = huge[fresh] * PAGE_BYTES
    return lost


def _withdraw(state: LaneState, gone: Withdrawn) -> None:
    """Take pages out of use, and let the huge pages that they were part of be broken up."""
    state.withdrawn = join([state.withdrawn, gone])
    counts = (state.policies.replace_ce > 0) | state.policies.replace_risky
    state.turned[gone.lane[counts[state.arm_set[gone.lane]]]] = True
    frames = state.frames
    mine, at = listed_frames(state, gone.lane, gone.pfn)
    frames.out_ns[mine] = np.minimum(frames.out_ns[mine], gone.time_ns[at])
    state.changed.append((mine, gone.time_ns[at]))
    forget_spells(state, mine)
    for size in np.unique(gone.huge[gone.huge > 1]).tolist():
        some, n = gone.take(gone.huge == size), state.world.address_map.pages
        whole = np.flatnonzero(huge_pages(state, np.arange(frames.lane.size)) == size)
        names, first = np.unique(some.lane * n + some.pfn // size, return_index=True)
        asked = frames.lane[whole] * n + frames.pfn[whole] // size
        place = np.minimum(np.searchsorted(names, asked), names.size - 1)
        inside = names[place] == asked
        mates, when = whole[inside], some.time_ns[first[place[inside]]]
        frames.dissolved_ns[mates] = np.minimum(frames.dissolved_ns[mates], when)
        state.changed.append((mates, when))
        forget_spells(state, mates)


def _take_from_service(state: LaneState, which: Ints) -> None:
    """Cordon nodes, note the DIMMs that are to be replaced, and end drains at once where that is ordered."""
    lane, orders, drain = state.agenda.lane[which], state.agenda.orders.take(which), state.drain
    replace = orders.kind == OrderKind.REPLACE
    state.ordered_dimm[lane[replace], orders.target[replace]] = True
    fresh, first = np.unique(lane, return_index=True)
    in_service = drain.begin_ns[fresh] == FOREVER
    fresh, first = fresh[in_service], first[in_service]
    if fresh.size:
        fault, nothing = _causes(state, which[first]), np.full(fresh.size, NULL)
        reason = np.full(fresh.size, int(LifecycleReason.OWN_POLICY))
        begin_drain(state, fresh, fault, -1 - fault, orders.time_ns[first], nothing, reason)
        state.cause_ns[fresh] = orders.cause_ns[first]
    at_once = orders.kind == OrderKind.DRAIN
    mine = lane[at_once]
    drain.end_ns[mine] = np.minimum(drain.end_ns[mine], orders.time_ns[at_once])
    state.stirred_ns[mine] = np.maximum(state.stirred_ns[mine], orders.time_ns[at_once])


def link_orders(log: EventLog, rows: list[tuple[Ints, Ints]]) -> None:
    """Name the errors that led to orders as the causes of their rows, once all are logged.

    It is the row of the same lane and fault that was the last to begin by the time of the error.

    Args:
        log: Rows; changed.
        rows: Names of the rows of orders, and the times of the errors that led to them [ns].
    """
    name, cause_ns = (np.concatenate(parts) for parts in zip((_NONE, _NONE), *rows, strict=True))
    if not name.size:
        return
    errors, order = log.table("errors"), np.argsort(name)
    name, cause_ns = name[order], cause_ns[order]
    for table in ("page_offlines", "lifecycle"):
        for chunk in log.chunks[table]:
            at = np.minimum(np.searchsorted(name, chunk["name"]), name.size - 1)
            mine = np.flatnonzero((name[at] == chunk["name"]) & (cause_ns[at] >= 0))
            if mine.size:
                lane, fault = (chunk[part][mine].astype(np.int64) for part in ("lane", "fault"))
                chunk["cause"][mine] = last_rows(errors, lane, fault, cause_ns[at[mine]])
