"""Nodes are cut into blocks of about equal work before any of it is done; where they are cut changes no row."""

import numpy as np
import pytest

from node_sim.corrected.windows import simulate_reads
from node_sim.draws import Seed
from node_sim.errors import ModelError
from node_sim.lives import load
from node_sim.lives.block import draw_all, simulate_nodes
from node_sim.lives.load import Cuts, expected_points, mean_points, points_of_nodes
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import ErrorProcess, PageOffline, Policy
from node_sim.units import NS_PER_YEAR

SEED, HORIZON_NS = Seed.of(5), 3 * NS_PER_YEAR
HARDWARE = Hardware(faults=Faults(fit_factor=20.0))
NODES = np.arange(200)


def test_expected_windows_are_those_that_are_drawn_on_average():
    """Bursts of a fault that fall into one window are merged, so that slightly fewer are left."""
    policy = Policy(errors=ErrorProcess(burst_spread=0.0))
    faults = draw_all(SEED, NODES, HARDWARE, HORIZON_NS)
    hard = np.flatnonzero(faults.hard)
    windows = simulate_reads(SEED, faults, hard, policy, HORIZON_NS).u.size
    assert 0.75 < windows / expected_points(faults, policy, HORIZON_NS)[hard].sum() < 1.0


def test_the_mean_over_faults_is_what_is_planned_with():
    policy = Policy(errors=ErrorProcess(burst_spread=0.0))
    faults = draw_all(SEED, NODES, HARDWARE, HORIZON_NS)
    drawn = expected_points(faults, policy, HORIZON_NS)[faults.hard].sum() / NODES.size
    assert 0.7 < mean_points(HARDWARE, (policy,), HORIZON_NS) / drawn < 1.4


def test_blocks_hold_all_nodes_once_and_as_much_work_as_they_may(monkeypatch):
    monkeypatch.setattr(load, "POINTS_PER_BLOCK", 1000)
    points = np.random.default_rng(1).exponential(60.0, 500)
    points[77] = 5000.0
    cuts = Cuts((Policy(),))
    blocks = list(cuts.blocks(points))
    assert np.array_equal(np.concatenate([np.arange(500)[block] for block in blocks]), np.arange(500))
    many = [points[block].sum() for block in blocks if block.stop - block.start > 1]
    assert max(many) <= 500.0  # a lane costs as much again, until it is known that it has no rows of its own
    assert np.mean(many) > 400.0


def test_blocks_grow_once_lanes_have_few_rows_of_their_own():
    cuts = Cuts((Policy(), Policy(page_offline=PageOffline(ce_threshold=2))))
    points = np.full(100_000, 10.0)
    first = next(cuts.blocks(points))
    cuts.learn(1000.0, 10)
    assert next(cuts.blocks(points)).stop > 2 * first.stop


def test_a_node_that_is_too_much_is_named():
    hardware = Hardware(faults=Faults(fit_factor=300.0))
    faults = draw_all(SEED, NODES[:2], hardware, 20 * NS_PER_YEAR)
    with pytest.raises(
        ModelError, match=r"node \d: .* expected at most 1,000,000 in one node; lower fit_factor, years"
    ):
        points_of_nodes(NODES[:2], faults, hardware, (Policy(),), 20 * NS_PER_YEAR)


def test_the_rows_of_blocks_are_those_of_all_nodes_together(monkeypatch):
    def columns(budget: int) -> np.ndarray:
        monkeypatch.setattr(load, "POINTS_PER_BLOCK", budget)
        blocks = list(simulate_nodes(SEED, NODES[:60], HARDWARE, (Policy(),), HORIZON_NS))
        sizes.append(len(blocks))
        errors = [part.tables["errors"] for block in blocks for part in block.parts if "errors" in part.tables]
        names = ("node_id", "seq", "time_ns", "ce_count", "first_pfn", "cause_seq")
        rows = np.stack([np.concatenate([one[name] for one in errors]) for name in names])
        return rows[:, np.lexsort(rows[:2][::-1])]

    sizes: list[int] = []
    few, many = columns(10**9), columns(2000)
    assert sizes[0] == 1
    assert sizes[1] > 10
    assert np.array_equal(few, many)
