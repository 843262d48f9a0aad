"""Nodes are cut into pieces and blocks of about equal work; where they are cut changes no row."""

import numpy as np
import pytest

from node_sim.corrected.windows import simulate_reads
from node_sim.draws import Seed
from node_sim.errors import ModelError
from node_sim.lives import load
from node_sim.lives.block import draw_all, simulate_nodes
from node_sim.lives.load import cut_pieces, expected_points, mean_points, points_of_nodes
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import ErrorProcess, Policy
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


@pytest.mark.parametrize("lanes", [1, 4])
def test_pieces_hold_all_nodes_once_and_as_much_work_as_they_may(monkeypatch, lanes):
    monkeypatch.setattr(load, "POINTS_PER_PIECE", 1000)
    points = np.random.default_rng(1).exponential(60.0, 500)
    points[77] = 5000.0
    pieces = list(cut_pieces(points, lanes))
    assert np.array_equal(np.concatenate([np.arange(500)[piece] for piece in pieces]), np.arange(500))
    many, room = [points[piece].sum() for piece in pieces if piece.stop - piece.start > 1], 1000.0 / (1 + lanes / 4)
    assert max(many) <= room
    assert np.mean(many) > 0.8 * room


def test_a_node_that_is_too_much_is_named():
    hardware = Hardware(faults=Faults(fit_factor=300.0))
    faults = draw_all(SEED, NODES[:2], hardware, 20 * NS_PER_YEAR)
    with pytest.raises(
        ModelError, match=r"node \d: .* expected at most 1,000,000 in one node; lower fit_factor, years"
    ):
        points_of_nodes(NODES[:2], faults, hardware, (Policy(),), 20 * NS_PER_YEAR)


def test_the_rows_of_pieces_and_blocks_are_those_of_all_nodes_together(monkeypatch):
    def columns(points: int, rows: int, windows: int) -> np.ndarray:
        monkeypatch.setattr(load, "POINTS_PER_PIECE", points)
        monkeypatch.setattr(load, "ROWS_PER_BLOCK", rows)
        monkeypatch.setattr(load, "WINDOWS_PER_BLOCK", windows)
        blocks = list(simulate_nodes(SEED, NODES[:30], HARDWARE, (Policy(),), HORIZON_NS))
        sizes.append(len(blocks))
        assert sum(block.nodes for block in blocks) == blocks[-1].done == 30
        assert np.all(np.diff([block.done for block in blocks]) >= 0)
        errors = [part.tables["errors"] for block in blocks for part in block.parts if "errors" in part.tables]
        names = ("node_id", "seq", "time_ns", "ce_count", "first_pfn", "cause_seq")
        rows = np.stack([np.concatenate([one[name] for one in errors]) for name in names])
        return rows[:, np.lexsort(rows[:2][::-1])]

    sizes: list[int] = []
    whole = columns(10**9, 10**9, 10**9)
    for limits in ((1000, 10**9, 10**9), (1000, 1000, 10**9), (1000, 10**9, 1000), (250, 0, 0)):
        assert np.array_equal(whole, columns(*limits))
    assert sizes[:2] == [2, 2]  # of quiet nodes, and of busy ones
    assert min(sizes[2:]) > 3
