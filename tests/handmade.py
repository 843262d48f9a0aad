"""Faults made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from node_sim.codes import Mode
from node_sim.columns import Columns
from node_sim.corrected.read_order import LostReads
from node_sim.corrected.soft_sightings import simulate_soft_sightings
from node_sim.corrected.windows import Windows, simulate_reads, simulate_windows
from node_sim.dram.faults import Cells, FaultTable, Habit
from node_sim.dram.geometry import AddressMap, Dimm, Footprint
from node_sim.dram.page_order import PageOrder, draw_page_order
from node_sim.draws import Seed
from node_sim.lives.corrected_rows import log_corrected
from node_sim.lives.physics import Store, simulate_physics
from node_sim.lives.places import all_eras
from node_sim.lives.policies import PolicyColumns
from node_sim.lives.state import LaneState
from node_sim.lives.steps import run_lives, start_lives
from node_sim.lives.world import World
from node_sim.memory.pages import Memory
from node_sim.records import Flags, join
from node_sim.server.hardware import Hardware, Server
from node_sim.server.policy import Policy

DEFAULTS = {
    "node_id": 0,
    "time_ns": 0,
    "device": 0,
    "rank": 0,
    "bank": 0,
    "row": 0,
    "line": 0,
    "n_ranks": 1,
    "n_banks": 1,
    "n_rows": 1,
    "n_lines": 1,
    "dimm": 0,
    "generation": 0,
    "hard": 1,
    "n_dq": 1,
    "mode": int(Mode.ROW),
    "beats": 255,
}


def faults_of(*rows: dict[str, int]) -> FaultTable:
    """Hard row faults of one line, all of them in one place unless said otherwise."""
    part = {name: np.asarray([(DEFAULTS | row)[name] for row in rows], np.int64) for name in DEFAULTS}
    n = len(rows)
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    return FaultTable(
        node_id=part["node_id"],
        tag=(part["dimm"] << 24) | (part["generation"] << 16) | np.arange(n),
        time_ns=part["time_ns"],
        mode=part["mode"],
        hard=part["hard"] == 1,
        cells=Cells(
            part["device"], part["n_dq"], (1 << part["n_dq"]) - 1, np.bitwise_count(part["beats"]), part["beats"]
        ),
        habit=Habit(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)),
        box=Footprint(
            part["dimm"],
            part["rank"],
            part["bank"],
            part["row"],
            part["line"],
            part["n_ranks"],
            part["n_banks"],
            part["n_rows"],
            part["n_lines"],
        ),
        order=PageOrder(zero, one),
        n_pages=one,
        first_pfn=zero,
    )


def soft_rows(n: int, server: Server, n_rows: int = 1) -> FaultTable:
    """Soft faults of n different nodes that start at time 0, each of so many whole rows of one bank."""
    dimm, one = Dimm.of(server), {"hard": 0, "n_rows": n_rows}
    table = faults_of(*({"node_id": i, "row": i % 1000, "n_lines": dimm.lines, **one} for i in range(n)))
    address_map = AddressMap(server)
    n_pages = address_map.page_count(table.box)
    order = draw_page_order(Seed.of(1), table.node_id, table.tag, n_pages)
    first = address_map.page(table.box, order.place(np.zeros(n, np.int64), n_pages))
    return table._replace(n_pages=n_pages, order=order, first_pfn=first)


def corrected_windows(
    seed: Seed,
    faults: FaultTable,
    corrected: Flags,
    policy: Policy,
    horizon_ns: int,
    server: Server | None = None,
) -> Windows:
    """Corrected errors of faults no read of which fails; ``server`` matters to soft faults of several pages."""
    reads = simulate_reads(seed, faults, np.flatnonzero(faults.hard), policy, horizon_ns)
    address_map = AddressMap(server or Server())
    soft = simulate_soft_sightings(seed, faults, np.flatnonzero(~faults.hard), policy, address_map, horizon_ns)
    nothing = np.empty(0, np.int64)
    lost = LostReads(np.zeros(reads.u.size, np.int64), nothing, nothing)
    return simulate_windows(faults, corrected, policy, reads, lost, soft)


def lives_by_hand(
    policy: Policy,
    server: Server,
    horizon_ns: int,
    nodes: Sequence[int],
    of_node: Sequence[dict[str, int]],
    first_burst: float,
) -> LaneState:
    """Let nodes live with the same faults, a lane for each; their rows are logged, but not numbered.

    Args:
        policy: Of all of them, settled on the server.
        server: Of all of them.
        horizon_ns: End of simulated time [ns].
        nodes: Node numbers.
        of_node: The faults of a node, as in ``faults_of``.
        first_burst: Length of the first burst of each, in mean lengths.
    """
    address_map = AddressMap(server)
    world = World(Seed.of(5), Hardware(server), policy, Memory.of(policy), address_map, horizon_ns)
    faults = faults_of(*(fault | {"node_id": node} for node in nodes for fault in of_node))
    n = faults.tag.size
    faults = faults._replace(
        tag=np.tile(np.arange(len(of_node)), len(nodes)),
        first_pfn=address_map.page(faults.box, np.zeros(n, np.int64)),
        n_pages=address_map.page_count(faults.box),
        habit=faults.habit._replace(first_burst=np.full(n, first_burst)),
    )
    lane = np.repeat(np.arange(len(nodes)), len(of_node))
    store = Store(world, simulate_physics(world, faults, lane))
    one_arm = np.zeros(len(nodes), np.int64)
    state = start_lives(world, store, np.asarray(nodes), one_arm, PolicyColumns.of([policy]), (lane, np.arange(n)))
    run_lives(state)
    log_corrected(state.log, all_eras(state), state.store.index, state.store.faults, world, join(state.poisoned))
    return state


def tables_of(state: LaneState) -> dict[str, Columns]:
    """Return the rows that lives have logged."""
    return {name: state.log.table(name) for name in state.log.chunks}
