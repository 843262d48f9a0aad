"""Many nodes at once: physics, triage, lives, and the event tables of every set of arms.

**Models.** Nodes that can go down in some arm are *busy*, the others *quiet*; each kind has its own way to its rows.

**Leaves out.** Anything shared between nodes.

**Assumes.** Arms whose settings are equal where it matters for a node have equal rows there; they share a lane.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.columns import Columns
from node_sim.corrected.buckets import can_reach, runs_of
from node_sim.corrected.limits import count_together, shows_risky_pattern
from node_sim.corrected.windows import Windows
from node_sim.dram.faults import simulate_faults
from node_sim.dram.growth import grow
from node_sim.draws import Seed
from node_sim.ecc.judgement import dimms_of
from node_sim.lives.busy_nodes import busy_tables, finish_lives, placed_faults
from node_sim.lives.decisions import decide
from node_sim.lives.ordered import Orders
from node_sim.lives.physics import Physics, simulate_physics
from node_sim.lives.quiet_nodes import quiet_tables
from node_sim.lives.rows import ArmTables, fault_columns
from node_sim.lives.world import Block, World, arms_by, corrected_settings, shared_settings, world_of
from node_sim.orders import PolicyFunction
from node_sim.records import Flags, Ints
from node_sim.server.hardware import Hardware
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.server.policy import Policy


@dataclass(frozen=True)
class BlockRows:
    """Everything that happened to the nodes of a block."""

    faults: Columns
    parts: list[ArmTables]


def simulate_block(
    seed: Seed,
    node_id: Ints,
    hardware: Hardware,
    policies: tuple[Policy, ...],
    horizon_ns: int,
    functions: Mapping[str, PolicyFunction] | None = None,
) -> BlockRows:
    """Simulate nodes of one group under all arms.

    Args:
        seed: Of the run.
        node_id: Ascending node numbers, shape ``(n,)``; any subset gives the same rows for its nodes.
        hardware: Of the group.
        policies: The group's settings in each arm.
        horizon_ns: Simulated time [ns], > 0.
        functions: Policies of one's own that the arms name, by ``own_policy.function``.

    Raises:
        ConfigError: An arm's settings do not suit the hardware.
        PolicyError: A policy of one's own has failed.
        ModelError: Too many faults or events.
    """
    policies = tuple(policy.on(hardware.server) for policy in policies)
    faults, _ = grow(seed, simulate_faults(seed, node_id, hardware, horizon_ns), hardware, horizon_ns)
    faults = faults.take(np.lexsort((faults.tag, faults.time_ns, faults.node_id)))
    block = Block(seed, hardware, policies, node_id, horizon_ns, faults, np.searchsorted(node_id, faults.node_id))
    every = range(len(policies))
    calls = list(arms_by(lambda arm: shared_settings(policies[arm]), every).values())
    worlds: dict[int, World] = {}
    for arms in calls:
        worlds.update(dict.fromkeys(arms, world_of(block, policies[arms[0]])))
    physics: dict[int, Physics] = {}
    for arms in arms_by(lambda arm: corrected_settings(policies[arm]), every).values():
        physics.update(dict.fromkeys(arms, simulate_physics(worlds[arms[0]], faults)))
    ordered = _ordered(block, worlds, physics, functions or {})
    triage = _triage(block, physics, ordered)
    parts = quiet_tables(block, worlds, physics, ~triage.busy, triage.decided)
    quiet_fault = ~triage.busy[block.node_of_fault]
    fault_rows = [fault_columns(faults.take(quiet_fault), block.fault_seq()[quiet_fault])]
    nodes = np.flatnonzero(triage.busy)
    if nodes.size:
        finished = [
            finish_lives(
                block, worlds[arms[0]], physics[arms[0]], nodes, arms_by(lambda arm: policies[arm], arms), ordered
            )
            for arms in calls
        ]
        placed = placed_faults(finished, block)
        fault_rows.append(fault_columns(placed.table, placed.seq))
        for lives in finished:
            parts.extend(busy_tables(lives, placed))
    return BlockRows(_stack(fault_rows), [part for part in parts if part.tables])


def _stack(rows: list[Columns]) -> Columns:
    """Put the columns of several tables one after the other."""
    return {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}


def _can_be_asked_for(windows: Windows, asks: PageOffline) -> Flags:
    """Return which windows have errors enough for a daemon to ask for a page, or a row or bank that has all of them."""
    if asks.age_ns:
        return _can_fill(windows, asks)
    if asks.by is not OfflineScope.PAGE:
        least = min(count for count in (asks.ce_threshold, asks.row_columns) if count)
        enough: Flags = count_together(windows, windows.fault) >= least
        return enough
    past: Flags = windows.errors > (asks.ce_threshold - 1) * windows.n_pages
    return past


def _can_fill(windows: Windows, asks: PageOffline) -> Flags:
    """Return which windows are of runs with errors enough for a count with an age, of a page or of a row with all."""
    found = np.zeros(windows.fault.size, np.bool_)
    one_each = windows.soft & (asks.by is OfflineScope.PAGE) & (asks.ce_threshold > 1)  # of each page of a soft fault
    some = np.flatnonzero(~one_each)
    some = some[np.lexsort((windows.low_ns[some], windows.fault[some]))]
    mine = windows.take(some)
    run = runs_of(mine.fault, mine.low_ns, mine.high_ns, np.full(some.size, asks.age_ns))
    errors = mine.errors if asks.by is OfflineScope.ROW else -(-mine.errors // mine.n_pages)
    found[some] = can_reach(run, errors, np.full(some.size, asks.ce_threshold))
    return found


class Triage(NamedTuple):
    """Which nodes need what, arrays of shape ``(n_nodes,)``.

    Attributes:
        busy: It can go down: it has uncorrected errors, a fault of it reaches some arm's limit, or it gets orders.
        decided: Some arm decides about its corrected errors.
    """

    busy: Flags
    decided: Flags


def _ordered(
    block: Block, worlds: dict[int, World], physics: dict[int, Physics], functions: Mapping[str, PolicyFunction]
) -> dict[Policy, Orders]:
    """Return what policies of one's own order under the settings that name one."""
    found = {}
    for policy, arms in arms_by(lambda arm: block.policies[arm], range(len(block.policies))).items():
        name = policy.own_policy.function
        if name:
            found[policy] = decide(block, worlds[arms[0]], physics[arms[0]], policy, functions[name])
    return found


def _triage(block: Block, physics: dict[int, Physics], ordered: dict[Policy, Orders]) -> Triage:
    """Sort nodes by what can happen to them in any arm."""
    node_of_fault = block.node_of_fault
    busy, decided = (np.zeros(block.node_id.size, np.bool_) for _ in range(2))
    if len({id(one) for one in physics.values()}) > 1:  # arms see different corrected errors of every fault
        decided = block.mark_nodes(np.ones(node_of_fault.size, np.bool_))

    def rules(arm: int) -> tuple[int, PageOffline, int, bool, bool]:
        policy, repair = block.policies[arm], block.policies[arm].repair
        return id(physics[arm]), policy.page_offline, repair.replace_ce, repair.replace_risky, repair.replace_ecs

    risky, dimm = shows_risky_pattern(block.faults), dimms_of(block.faults)
    for (_, asks, limit, by_pattern, by_report), arms in arms_by(rules, range(len(block.policies))).items():
        mine = physics[arms[0]]
        windows = mine.windows
        if limit:
            busy[node_of_fault[windows.fault[count_together(windows, dimm[windows.fault]) >= limit]]] = True
        if by_pattern:
            busy[node_of_fault[windows.fault[risky[windows.fault]]]] = True
        if by_report:
            busy[node_of_fault[mine.passes.fault]] = True
        busy[node_of_fault[mine.pages.fault]] = True
        if asks.counts:
            decided[node_of_fault[windows.fault[_can_be_asked_for(windows, asks)]]] = True
    for orders in ordered.values():
        busy[np.searchsorted(block.node_id, orders.node_id)] = True
    return Triage(busy, decided)
