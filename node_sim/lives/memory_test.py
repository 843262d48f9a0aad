"""The memory test of the boot after a panic: firmware maps out DIMMs with uncorrected errors; the node does without.

**Models.** With ``repair.map_out``, the boot after a panic maps out every DIMM that had an uncorrected error in a log
since it was installed, unless a spare row has repaired the fault (``repair.ppr``). From then on its faults are out of
service. A technician comes for each DIMM a lognormal time after that boot (``repair.technician_days``), and on the
first visit to a node replaces all DIMMs that had such errors by then. One DIMM of a node always stays: if all had
errors, that in the last slot.

**Leaves out.** Boots after a repair, which has replaced all DIMMs that the test would map out. DIMMs that a platform
maps out along with one, such as those of its channel.

**Assumes.** Page numbers stay as they are, though interleaving on a real machine would change them all: other faults
keep their pages, and those pages their uses and users. Work goes on as before on what is left. A panic whose boot ends
after the horizon maps nothing out.

**Sources.** None published; the time is assumed (``catalog/numbers.py``).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from node_sim.codes import LifecycleKind, LifecycleReason
from node_sim.draws import Purpose, unit32, words
from node_sim.elementary import exp
from node_sim.lives.dimms import take_out
from node_sim.lives.mapped_out import MapOuts
from node_sim.lives.state import LaneState
from node_sim.names import dimm_draw
from node_sim.records import NULL, Flags, Ints, join
from node_sim.units import FOREVER


def map_out_dimms(state: LaneState, lane: Ints, boot_ns: Ints, cause: Ints, fault: Ints) -> None:
    """Map out the DIMMs with uncorrected errors of nodes that boot after a panic, and send for a technician.

    Args:
        state: Of the lanes; changed.
        lane: Lanes that boot, each once, shape ``(n,)``.
        boot_ns: End of the boot [ns], shape ``(n,)``.
        cause: Row of the panic, shape ``(n,)``.
        fault: Its fault, shape ``(n,)``.
    """
    tested = np.flatnonzero(state.policies.map_out[state.arm_set[lane]] & (boot_ns < state.world.horizon_ns))
    if not tested.size:
        return
    which, slot = np.nonzero(_failing(state, lane[tested]))
    booting = tested[which]
    mine, since_ns = lane[booting], boot_ns[booting]
    due_ns = since_ns + _technician_ns(state, mine, slot)
    state.map_outs = join([state.map_outs, MapOuts(mine, slot, since_ns, due_ns, cause[booting], fault[booting])])
    take_out(state, mine, slot, since_ns)
    in_service = state.drain.begin_ns[mine] == FOREVER
    np.minimum.at(state.visit_ns, mine[in_service], due_ns[in_service])


def _failing(state: LaneState, lane: Ints) -> Flags:
    """Return which DIMMs of lanes the test maps out, shape ``(n, slots)``."""
    places, n_slots = state.places, state.generation.shape[1]
    position = np.full(state.node_id.size, NULL)
    position[lane] = np.arange(lane.size)
    had_ue = (places.suspect >= 0) & (places.why == int(LifecycleReason.DIMM_HAD_UE)) & (places.removed_ns == FOREVER)
    place = np.flatnonzero(had_ue & (position[places.lane] >= 0))
    failing, absent = (np.zeros((lane.size, n_slots), np.bool_) for _ in range(2))
    failing[position[places.lane[place]], state.store.faults.box.slot[places.fault[place]]] = True
    out = np.flatnonzero(position[state.map_outs.lane] >= 0)
    absent[position[state.map_outs.lane[out]], state.map_outs.slot[out]] = True
    empty = np.flatnonzero((failing | absent).all(axis=1))
    failing[empty, n_slots - 1 - failing[empty, ::-1].argmax(axis=1)] = False
    return failing


def _technician_ns(state: LaneState, lane: Ints, slot: Ints) -> Ints:
    """Draw how long it takes until a technician comes for DIMMs [ns], at most to the horizon."""
    key, arm = state.world.seed.key(Purpose.TECHNICIAN), state.arm_set[lane]
    word, _, _, _ = words(key, state.node_id[lane], dimm_draw(state.generation[lane, slot], slot))
    spread = exp(state.policies.technician_sigma[arm] * special.ndtri(unit32(word)))
    time_ns: Ints = np.minimum(state.policies.technician_ns[arm] * spread, state.world.horizon_ns).astype(np.int64)
    return time_ns


def end_map_outs(state: LaneState, lane: Ints, end_ns: Ints) -> MapOuts:
    """Log what has been mapped out in lanes, now that the end is known; return it, its rows as causes of what follows.

    Args:
        state: Of the lanes; changed.
        lane: Lanes, each once, shape ``(n,)``.
        end_ns: When new DIMMs are in place [ns], or the horizon, shape ``(n,)``.
    """
    until = np.full(state.node_id.size, NULL)
    until[lane] = end_ns
    mine = until[state.map_outs.lane] >= 0
    ended, state.map_outs = state.map_outs.take(mine), state.map_outs.take(~mine)
    rows = state.log.add(
        "lifecycle",
        lane=ended.lane,
        time_ns=ended.since_ns,
        fault=ended.fault,
        cause=ended.cause,
        kind=np.full(ended.lane.size, int(LifecycleKind.MAP_OUT)),
        reason=np.full(ended.lane.size, int(LifecycleReason.DIMM_HAD_UE)),
        end_ns=until[ended.lane],
        dimm=ended.slot,
        processes_lost=np.zeros(ended.lane.size, np.int64),
    )
    return ended._replace(cause=rows)
