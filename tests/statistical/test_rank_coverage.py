"""Whether intervals of ranks hold the true ranks, of made-up arms whose means are known, and of fleets cut from one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.ranks import Largest, Objective, PairSums, parse_cost, parse_objectives, ranking
from analysis.estimators.rates import ends_of, weights
from fleet.engines.shard import run_shard
from fleet.stored.counting import counts_apart
from fleet.stored.plan import Shard
from tests.coverage import BLOCK_NODES, SIZES, fleet_of_blocks

KEPT = (1.0, 0.9, 0.9, 0.6, 0.3)
"""Share of the events of the first arm that each keeps; two keep as many, of other events."""
TRUE = (5, 3, 3, 2, 1)
NODES, FLEETS = 2_000, 300
MISSED_MAX = int(stats.binom.isf(1e-6, FLEETS, 0.05))


def made_up(rng):
    """What nodes with any event have in each arm, shape ``(arms, nodes)``: clusters, thinned."""
    sizes = rng.geometric(0.3, rng.binomial(NODES, 0.08))
    return np.stack([rng.binomial(sizes, share) for share in KEPT]).astype(float)


def ranked(x, nodes, objective):
    sums = PairSums(len(x))
    sums.add(x)
    return ranking(objective, tuple(str(arm) for arm in range(len(x))), x.sum(axis=1), sums, nodes).ranks


def test_all_ranks_together_are_held_and_the_best_is_told_from_the_worst():
    """False alarms at 1e-6: misses are binomial, at most 5 of 100."""
    rng, objective = np.random.default_rng(11), Objective("x", "", weights("ue"), 1.0, 0.0)
    found = [ranked(made_up(rng), NODES, objective) for _ in range(FLEETS)]
    missed = sum(any(not one.low <= true <= one.high for one, true in zip(ranks, TRUE, strict=True)) for ranks in found)
    assert missed <= MISSED_MAX
    assert np.mean([ranks[4].high < ranks[0].low for ranks in found]) > 0.99
    assert np.mean([one.high - one.low for ranks in found for one in ranks]) < 2.0


@pytest.mark.long
def test_ranks_of_fleets_cut_from_one_are_held():
    """All objectives that differ in kind, also memory, of which a few nodes have most."""
    fleet = fleet_of_blocks()
    largest = Largest(ends_of(group.processes for group in fleet.groups), 2.0**30, 1.0)
    names = "kills,losses,panics,ue,dimm_replacements,memory_lost,pages_offlined"
    objectives = (
        *parse_objectives(names, largest),
        parse_cost("kill=1,panic=50,gib_year=1000,replacement=100", largest),
    )
    blocks = [_block(fleet, 700 + seed, objectives) for seed in range(4)]
    for at, objective in enumerate(objectives):
        total = sum(x[at].sum(axis=1) for _, x in blocks)
        true = [1 + int((total < one * (1.0 - 1e-9)).sum()) for one in total]
        for size in SIZES:
            parts = BLOCK_NODES // size
            found = [
                ranked(x[at][:, cell == part], size, objective)
                for cell, x in ((_cells(fleet, nodes, parts), x) for nodes, x in blocks)
                for part in range(parts)
            ]
            held = [all(one.low <= rank <= one.high for one, rank in zip(ranks, true, strict=True)) for ranks in found]
            assert len(held) - sum(held) <= stats.binom.isf(1e-6, len(held), 0.05), (objective.name, size)


def _block(fleet, seed, objectives):
    """Nodes that arms tell apart, and what they have, shape ``(objectives, arms, nodes)``."""
    tables = [one for block in run_shard(fleet, seed, Shard(0, 0, BLOCK_NODES)) for one in block.tables]
    groups = [(group.first_node, group.nodes) for group in fleet.groups]
    dimm_bytes = [group.dimm_bytes for group in fleet.groups]
    counted = list(counts_apart(tables, groups, dimm_bytes, len(fleet.arms), fleet.horizon_ns))
    return counted[0].nodes, np.stack([[one.x @ objective.weights for one in counted] for objective in objectives])


def _cells(fleet, nodes, parts):
    """The fleet of each node: consecutive nodes of each group, in the shares of the scenario."""
    cell = np.empty(nodes.size, np.int64)
    for group in fleet.groups:
        inside = (nodes >= group.first_node) & (nodes < group.first_node + group.nodes)
        cell[inside] = (nodes[inside] - group.first_node) * parts // group.nodes
    return cell
