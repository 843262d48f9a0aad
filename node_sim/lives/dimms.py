"""DIMMs of lanes: out of service, replaced by a new generation, and spare rows for the faults of one that stays.

**Models.** A replaced DIMM takes its faults away; those of the new one are put in place. Post-package repair gives a
fault that takes one row of a device the spare row of its bank group, while there is one.

**Leaves out.** Which DIMMs are due, and when; ``repair.py`` decides that.

**Assumes.** Firmware tests a row before it repairs it, so soft faults take no spare.

**Sources.** Spare rows per bank group: ``catalog/numbers.py``; hard and soft repair: Linux 6.15
Documentation/edac/memory_repair.rst.
"""

from __future__ import annotations

import numpy as np

from node_sim.catalog.numbers import SPARE_ROWS
from node_sim.catalog.parts import Part
from node_sim.dram.faults import FaultTable
from node_sim.errors import ModelError
from node_sim.lives.policies import PPR_OFF, PPR_SOFT
from node_sim.lives.state import InPlace, LaneState, extend
from node_sim.names import GENERATIONS_MAX, dimm_tag
from node_sim.records import NULL, Flags, Ints
from node_sim.units import FOREVER


def takes_one_row(faults: FaultTable) -> Flags:
    """Return which faults a spare row can replace."""
    box = faults.box
    one: Flags = faults.hard & (box.n_ranks == 1) & (box.n_banks == 1) & (box.n_rows == 1)
    return one


def spare_name(faults: FaultTable, part: Part) -> Ints:
    """Name the bank group whose spare row each fault needs: slot, generation, rank, device, group; below 2**31."""
    group = faults.box.bank // (part.banks // part.bank_groups)
    name: Ints = (dimm_tag(faults.tag) << 4) | faults.box.rank
    return (((name << 6) | faults.cells.device) << 4) | group


def spare_is_free(state: LaneState, place: Ints) -> Flags:
    """Return which faults in place, taken one by one, can be replaced by a spare row nobody uses."""
    faults = state.store.faults.take(state.places.fault[place])
    return takes_one_row(faults) & (_spares_used(state, place) < SPARE_ROWS.value)


def _spare_of(state: LaneState, place: Ints) -> Ints:
    """Name the lane and the bank group whose spare rows a fault in place needs."""
    name = spare_name(state.store.faults.take(state.places.fault[place]), state.world.hardware.server.dram)
    return (state.places.lane[place] << 31) | name


def _spares_used(state: LaneState, place: Ints) -> Ints:
    """Count the spare rows in use in the bank groups of faults in place."""
    used = np.sort(_spare_of(state, np.flatnonzero(state.places.ppr != PPR_OFF)))
    name = _spare_of(state, place)
    return np.searchsorted(used, name, side="right") - np.searchsorted(used, name)


def use_spare_rows(state: LaneState, lane: Ints, end_ns: Ints, kind: Ints) -> Ints:
    """Repair suspected faults of lanes at the end of a boot, as far as there are spare rows; return their places.

    Args:
        state: Of the lanes; changed.
        lane: Lanes, each once.
        end_ns: End of the boot [ns], per lane.
        kind: Kind of post-package repair, per lane.
    """
    places = state.places
    kind_of, end_of = np.full(state.node_id.size, PPR_OFF), np.zeros(state.node_id.size, np.int64)
    kind_of[lane], end_of[lane] = kind, end_ns
    wanted = (kind_of[places.lane] != PPR_OFF) & (places.suspect >= 0) & (places.removed_ns == FOREVER)
    place = np.flatnonzero(wanted)
    place = place[spare_is_free(state, place)]
    faults, name = state.store.faults.take(places.fault[place]), _spare_of(state, place)
    order = np.lexsort((faults.tag, faults.time_ns, name))
    place, name = place[order], name[order]
    # Faults that want a row of the same bank group stand together, the oldest first; each waits for those before it.
    waiting = np.arange(place.size) - np.searchsorted(name, name)
    place = place[waiting + _spares_used(state, place) < SPARE_ROWS.value]
    places.ppr[place], places.removed_ns[place] = kind_of[places.lane[place]], end_of[places.lane[place]]
    return place


def power_off(state: LaneState, lane: Ints, end_ns: Ints) -> None:
    """Bring the faults back that soft repair hid in lanes that were down until ``end_ns``."""
    places = state.places
    until = np.full(state.node_id.size, -1)
    until[lane] = end_ns
    back = np.flatnonzero((until[places.lane] >= 0) & (places.ppr == PPR_SOFT))
    places.ppr[back], places.removed_ns[back], places.suspect[back] = PPR_OFF, FOREVER, NULL
    places.era_from_ns[back] = until[places.lane[back]]


def take_out(state: LaneState, lane: Ints, slot: Ints, time_ns: Ints) -> None:
    """Take the faults of DIMMs (pairs of lane and slot) out of service."""
    places = state.places
    when = np.full(state.generation.shape, NULL)
    when[lane, slot] = time_ns
    at = when[places.lane, state.store.faults.box.slot[places.fault]]
    gone = np.flatnonzero((at >= 0) & (places.removed_ns == FOREVER))
    places.removed_ns[gone] = at[gone]


def remove_dimms(state: LaneState, lane: Ints, slot: Ints, time_ns: Ints) -> None:
    """Replace DIMMs (pairs of lane and slot) of lanes that are down; the new ones' faults are put in place.

    Raises:
        ModelError: A slot has had more DIMMs than a fault's name can tell apart.
    """
    store, places = state.store, state.places
    take_out(state, lane, slot, time_ns)
    state.generation[lane, slot] += 1
    worn = np.flatnonzero(state.generation[lane, slot] > GENERATIONS_MAX)
    if worn.size:
        node = int(state.node_id[lane[worn[0]]])
        msg = (
            f"node {node}: a DIMM is replaced for more than {GENERATIONS_MAX} times, expected fewer; "
            "raise the limits of repair or lower fit_factor or years"
        )
        raise ModelError(msg)
    new = store.install(state.node_id[lane], slot, state.generation[lane, slot], time_ns)
    count = np.asarray([len(part) for part in new], np.int64)
    if count.sum():
        fault = np.concatenate([np.asarray(part, np.int64) for part in new])
        owner = np.repeat(np.arange(lane.size), count)
        state.fresh_places.append(extend(places, InPlace.of(lane[owner], fault, time_ns[owner])))
