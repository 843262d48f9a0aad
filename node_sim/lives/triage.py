"""Which nodes of a block need what, before any of them is lived.

**Models.** Nodes that can go down in some arm are *busy*, the others *quiet*; quiet ones on which no arm decides about
corrected errors have the same rows in all arms.

**Leaves out.** Whether they do go down: limits are compared with all the errors a fault could ever show.

**Assumes.** A rule can only be met by errors that are there when nothing is taken out.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from node_sim.corrected.buckets import can_reach, runs_of
from node_sim.corrected.limits import count_together, shows_risky_pattern
from node_sim.corrected.windows import Windows
from node_sim.ecc.judgement import dimms_of
from node_sim.lives.ordered import Orders
from node_sim.lives.physics import Physics
from node_sim.lives.world import Block, arms_by
from node_sim.records import Flags
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.server.policy import Policy


class Triage(NamedTuple):
    """Which nodes need what, arrays of shape ``(n_nodes,)``.

    Attributes:
        busy: It can go down: it has uncorrected errors, a fault of it reaches some arm's limit, or it gets orders.
        decided: Some arm decides about its corrected errors.
    """

    busy: Flags
    decided: Flags


def sort_nodes(block: Block, physics: Mapping[int, Physics], ordered: Mapping[Policy, Orders]) -> Triage:
    """Sort nodes by what can happen to them in any arm.

    Args:
        block: The nodes.
        physics: By arm; arms that agree on it share the object.
        ordered: What policies of one's own order under some settings.
    """
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
