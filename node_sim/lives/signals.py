"""Signals and I/O errors: sent at once, or pending until the owner's next access or the next fsync.

**Models.** A signalled process dies or handles it; one that dies loses its memory from then on, and late kills that
waited for it are off. A late kill comes at the owner's next access to any line of the page, an I/O error at the next
fsync of the damaged file.

**Leaves out.** Several owners of one page.

**Assumes.** At most one pending thing happens to a lane in one step.

**Sources.** ``hwpoison/outcome_table.py``, which says who is told.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import Fate, IoCall, OnSigbus, SignalCode, SignalName, Timing
from node_sim.draws import Tag, split64, unit32, words
from node_sim.hwpoison.kernel import EIO
from node_sim.lives.state import LaneState, Pending, Touches, mask_of
from node_sim.memory.sightings import next_owner_access
from node_sim.records import NULL, Flags, Ints, join


def pending_step(state: LaneState, due: Ints) -> Flags:
    """Handle at most one pending thing per lane; return which lanes had one.

    Args:
        state: Of the lanes; changed.
        due: Time of this step in each lane [ns], shape ``(n_lanes,)``.
    """
    busy = np.zeros(state.node_id.size, np.bool_)
    waiting = state.pending
    ready = np.flatnonzero((waiting.time_ns == due[waiting.lane]) & (waiting.time_ns < state.world.horizon_ns))
    if not ready.size:
        return busy
    lanes, first = np.unique(waiting.lane[ready], return_index=True)
    chosen = ready[first]
    things = waiting.take(chosen)
    keep = np.ones(waiting.lane.size, np.bool_)
    keep[chosen] = False
    state.pending = waiting.take(keep)
    busy[lanes] = True
    lost = things.take(~things.late)
    state.log.add(
        "io_errors",
        lane=lost.lane,
        time_ns=lost.time_ns,
        fault=lost.fault,
        cause=lost.cause,
        pfn=lost.pfn,
        call=np.full(lost.lane.size, int(IoCall.FSYNC)),
        errno=np.full(lost.lane.size, EIO),
    )
    late = things.take(things.late)
    name, code, timing = (
        np.full(late.lane.size, int(one)) for one in (SignalName.SIGBUS, SignalCode.MCEERR_AR, Timing.LATE)
    )
    signal_owners(state, late, name, code, timing, late.time_ns)
    return busy


def signal_owners(state: LaneState, to: Pending, name: Ints, code: Ints, timing: Ints, now_ns: Ints) -> None:
    """Signal the owners; those that die lose their memory from now on."""
    processes = state.world.memory.processes
    dies = (code == SignalCode.KERNEL) | (processes.on_sigbus[to.owner] == OnSigbus.DIE)
    state.log.add(
        "signals",
        lane=to.lane,
        time_ns=to.time_ns,
        fault=to.fault,
        cause=to.cause,
        process_class=processes.kind[to.owner],
        process=to.owner,
        signal=name,
        code=code,
        timing=timing,
        lsb=np.where(code == SignalCode.KERNEL, 0, to.lsb),
        fate=np.where(dies, int(Fate.KILLED), int(Fate.HANDLED)),
    )
    if not dies.any():
        return
    lane, owner = to.lane[dies], to.owner[dies]
    state.killed_ns[lane, owner] = to.time_ns[dies]
    died = np.full(state.node_id.size, NULL)
    died[lane] = owner
    waiting = state.pending
    state.pending = waiting.take(~(waiting.late & (died[waiting.lane] == waiting.owner)))
    state.stirred_ns[lane] = now_ns[dies]


def schedule_late(state: LaneState, touches: Touches, things: Pending) -> None:
    """Schedule the late kills among some things at the owners' next access to the page."""
    some = np.flatnonzero(things.late)
    if not some.size:
        return
    lane, after = things.lane[some], things.time_ns[some]
    limit = np.full(some.size, state.world.horizon_ns)
    frames = state.store.frames.take(touches.page[some])
    at = next_owner_access(state.world.memory, frames, after, limit, mask_of(state, lane))
    _wait(state, things.take(some)._replace(time_ns=at).take(at < state.world.horizon_ns))


def schedule_eio(state: LaneState, touches: Touches, things: Pending, eio: Flags) -> None:
    """Schedule the I/O errors of lost dirty file pages at the next fsync."""
    some = np.flatnonzero(eio)
    if not some.size:
        return
    low, high = split64(touches.time_ns[some])
    draw, _, _, _ = words(state.store.frames.page_key.take(touches.page[some]), low, high, int(Tag.FSYNC))
    mean = state.policies.fsync_ns[state.arm_set[things.lane[some]]]
    at = things.time_ns[some] + (-np.log(unit32(draw)) * mean).astype(np.int64)
    _wait(state, things.take(some)._replace(time_ns=at, late=np.zeros(some.size, np.bool_)))


def _wait(state: LaneState, things: Pending) -> None:
    """Add pending things."""
    state.pending = join([state.pending, things])
