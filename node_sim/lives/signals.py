"""Signals and I/O errors: sent at once, or pending until the owner's next access or the next fsync.

**Models.** A signalled process dies or handles it; one that dies gives its memory back, and late kills that waited for
it are off. Frames whose last owner it was are free until they are filled again, but for poisoned ones, which never
return. A late kill comes at each owner's own next access to any line of the page, an I/O error at the next fsync of the
damaged file.

**Leaves out.** Restarted processes that map again what the others share.

**Assumes.** At most one pending thing happens to a lane in one step.

**Sources.** ``hwpoison/outcomes.py``, which says who is told.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import Fate, IoCall, OnSigbus, SignalCode, SignalName, Timing
from node_sim.draws import Tag, split64, unit32, words
from node_sim.elementary import log
from node_sim.hwpoison.kernel import EIO
from node_sim.lives.pending import Pending, Waits
from node_sim.lives.state import LaneState, fault_of, forget_spells, mask_of, pfn_of, spells_at
from node_sim.memory.processes import NOBODY, members_of
from node_sim.memory.sightings import absent, next_owner_access
from node_sim.records import NULL, Flags, Ints, join
from node_sim.server.page_offline import OfflineScope
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
    """Signal owners that touch a page they have lost, unless they have left a node that drains by now."""
    late = late.take(~gone_by(state, late))
    name, code, timing = (
        np.full(late.lane.size, int(one)) for one in (SignalName.SIGBUS, SignalCode.MCEERR_AR, Timing.LATE)
    )
    signal_processes(state, late, name, code, timing)


def signal_processes(state: LaneState, to: Pending, name: Ints, code: Ints, timing: Ints) -> None:
    """Signal processes; those that die give their memory back."""
    if not to.lane.size:
        return
    processes = state.world.memory.processes
    dies = (code == SignalCode.KERNEL) | (processes.on_sigbus[to.process] == OnSigbus.DIE)
    state.log.add(
        "signals",
        lane=to.lane,
        time_ns=to.time_ns,
        fault=fault_of(state, to.which),
        cause=to.cause,
        process_class=processes.kind[to.process],
        process=to.process,
        signal=name,
        code=code,
        timing=timing,
        lsb=np.where(code == SignalCode.KERNEL, 0, to.lsb),
        fate=np.where(dies, int(Fate.KILLED), int(Fate.HANDLED)),
    )
    if dies.any():
        _die(state, to.lane[dies], to.process[dies], to.time_ns[dies])


def gone_by(state: LaneState, things: Pending) -> Flags:
    """Return which processes are owners of their pages no longer: killed, or gone from a node that drains."""
    mask = mask_of(state, state.pages.frame[things.which])
    return absent(state.world.memory, state.killed_ns, mask, things.since_ns, things.process, things.time_ns)


def _die(state: LaneState, lane: Ints, process: Ints, time_ns: Ints) -> None:
    """Let processes die, in each lane at one time; memory that has lost its last owner goes back."""
    state.killed_ns[lane, process] = time_ns
    when = np.full(state.node_id.size, NULL)
    when[lane] = time_ns
    waiting, count = state.pending, state.world.memory.processes.count
    dead = np.isin(waiting.lane * count + waiting.process, lane * count + process)
    state.pending = waiting.take(~(dead & (waiting.what == Waits.KILL)))
    frames = state.frames
    mine = np.flatnonzero(when[frames.lane] != NULL)
    at_ns = when[frames.lane[mine]]
    freed = _without_owners(state, mine, at_ns)
    back, at_ns = mine[freed], at_ns[freed]
    frames.freed_ns[back] = at_ns
    forget_spells(state, back)
    poisoned = frames.poisoned_ns[back] < FOREVER
    frames.out_ns[back[poisoned]] = np.minimum(frames.out_ns[back[poisoned]], at_ns[poisoned])
    together = poisoned & (state.policies.scope[state.arm_set[frames.lane[back]]] != OfflineScope.PAGE)
    state.remarked_ns[frames.lane[back[together]]] = at_ns[together]
    state.stirred_ns[lane] = time_ns


def _without_owners(state: LaneState, frame: Ints, time_ns: Ints) -> Flags:
    """Return which frames in use have lost all their owners by a time."""
    memory, tenancy = state.world.memory, spells_at(state, frame, time_ns).tenancy
    which, process = members_of(memory.processes, tenancy.owners)
    mask = mask_of(state, frame).take(which)
    gone = absent(memory, state.killed_ns, mask, tenancy.start_ns[which], process, time_ns[which])
    left = np.bincount(which[~gone], minlength=frame.size)
    lost: Flags = (tenancy.owners != NOBODY) & (left == 0)
    return lost


def schedule_late(state: LaneState, things: Pending) -> None:
    """Schedule late kills at the next accesses of processes to their pages."""
    if not things.lane.size:
        return
    memory, frame = state.world.memory, state.pages.frame[things.which]
    mask, spell = mask_of(state, frame), spells_at(state, frame, things.time_ns)
    frames = mask.apply(state.store.frames.take(state.pages.page[things.which]), things.time_ns)
    leaves_ns = memory.processes.leaves_ns(things.process, mask.drain_ns, mask.drained_ns)
    within = things.time_ns, np.minimum(spell.until_ns, leaves_ns)
    at = next_owner_access(memory, frames, spell.tenancy, things.process, within)
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
    at = things.time_ns + (-log(unit32(draw)) * mean).astype(np.int64)
    wait_for(state, things._replace(time_ns=at, what=np.full(at.size, int(Waits.EIO))))


def wait_for(state: LaneState, things: Pending) -> None:
    """Let things wait for their time."""
    if things.lane.size:
        state.pending = join([state.pending, things])
