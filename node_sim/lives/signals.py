"""Signals and I/O errors: sent at once, or pending until the owner's next access or the next fsync.

**Models.** A signalled process dies or handles it; one that dies gives its memory back, and late kills that waited for
it are off. Frames it gave back are free until they are filled again, but for poisoned ones, which never return. A late
kill comes at the owner's next access to any line of the page, an I/O error at the next fsync of the damaged file.

**Leaves out.** Several owners of one page.

**Assumes.** At most one pending thing happens to a lane in one step.

**Sources.** ``hwpoison/outcome_table.py``, which says who is told.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import Fate, IoCall, OnSigbus, SignalCode, SignalName, Timing
from node_sim.draws import Tag, split64, unit32, words
from node_sim.hwpoison.kernel import EIO
from node_sim.lives.state import LaneState, Pending, Waits, fault_of, forget_spells, pfn_of, spells_at
from node_sim.memory.sightings import next_owner_access
from node_sim.records import NULL, Ints, join
from node_sim.units import FOREVER


def return_errors(state: LaneState, lost: Pending) -> None:
    """Return the I/O errors of lost data whose fsync has come."""
    state.log.add(
        "io_errors",
        lane=lost.lane,
        time_ns=lost.time_ns,
        fault=fault_of(state, lost.which),
        cause=lost.cause,
        pfn=pfn_of(state, lost.which),
        call=np.full(lost.lane.size, int(IoCall.FSYNC)),
        errno=np.full(lost.lane.size, EIO),
    )


def kill_late(state: LaneState, late: Pending) -> None:
    """Signal owners that touch a page they have lost."""
    name, code, timing = (
        np.full(late.lane.size, int(one)) for one in (SignalName.SIGBUS, SignalCode.MCEERR_AR, Timing.LATE)
    )
    signal_owners(state, late, name, code, timing)


def signal_owners(state: LaneState, to: Pending, name: Ints, code: Ints, timing: Ints) -> None:
    """Signal the owners; those that die give their memory back."""
    processes = state.world.memory.processes
    dies = (code == SignalCode.KERNEL) | (processes.on_sigbus[to.owner] == OnSigbus.DIE)
    state.log.add(
        "signals",
        lane=to.lane,
        time_ns=to.time_ns,
        fault=fault_of(state, to.which),
        cause=to.cause,
        process_class=processes.kind[to.owner],
        process=to.owner,
        signal=name,
        code=code,
        timing=timing,
        lsb=np.where(code == SignalCode.KERNEL, 0, to.lsb),
        fate=np.where(dies, int(Fate.KILLED), int(Fate.HANDLED)),
    )
    if dies.any():
        _die(state, to.lane[dies], to.owner[dies], to.time_ns[dies])


def _die(state: LaneState, lane: Ints, owner: Ints, time_ns: Ints) -> None:
    """Let processes die, at most one per lane."""
    state.killed_ns[lane, owner] = time_ns
    died, when = np.full(state.node_id.size, NULL), np.zeros(state.node_id.size, np.int64)
    died[lane], when[lane] = owner, time_ns
    waiting = state.pending
    off = (waiting.what == Waits.KILL) & (died[waiting.lane] == waiting.owner)
    state.pending = waiting.take(~off)
    frames = state.frames
    mine = np.flatnonzero(died[frames.lane] != NULL)
    at_ns = when[frames.lane[mine]]
    freed = spells_at(state, mine, at_ns).tenancy.owner == died[frames.lane[mine]]
    back, at_ns = mine[freed], at_ns[freed]
    frames.freed_ns[back] = at_ns
    forget_spells(state, back)
    poisoned = frames.poisoned_ns[back] < FOREVER
    frames.out_ns[back[poisoned]] = np.minimum(frames.out_ns[back[poisoned]], at_ns[poisoned])
    state.stirred_ns[lane] = time_ns


def schedule_late(state: LaneState, things: Pending) -> None:
    """Schedule late kills at the owners' next access to the page."""
    if not things.lane.size:
        return
    frames = state.store.frames.take(state.pages.page[things.which])
    spell = spells_at(state, state.pages.frame[things.which], things.time_ns)
    at = next_owner_access(state.world.memory, frames, spell, things.time_ns)
    late = things._replace(time_ns=at, what=np.full(at.size, int(Waits.KILL)))
    wait_for(state, late.take(at < state.world.horizon_ns))


def schedule_eio(state: LaneState, things: Pending) -> None:
    """Schedule the I/O errors of lost dirty file pages at the next fsync."""
    if not things.lane.size:
        return
    low, high = split64(things.read_ns)
    key = state.store.frames.page_key.take(state.pages.page[things.which])
    draw, _, _, _ = words(key, low, high, int(Tag.FSYNC))
    mean = state.policies.fsync_ns[state.arm_set[things.lane]]
    at = things.time_ns + (-np.log(unit32(draw)) * mean).astype(np.int64)
    wait_for(state, things._replace(time_ns=at, what=np.full(at.size, int(Waits.EIO))))


def wait_for(state: LaneState, things: Pending) -> None:
    """Let things wait for their time."""
    if things.lane.size:
        state.pending = join([state.pending, things])
