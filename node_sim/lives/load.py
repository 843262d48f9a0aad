"""How much work nodes are before any of it is done, and where to cut them into pieces and blocks that fit into memory.

**Models.** The work of a hard fault is the bursts and windows expected from its start to the horizon, at the pace that
is its own; that of a soft one the pages that are looked at. Each distinct way to draw corrected errors costs as much
again, and a lane what its rows take.

**Leaves out.** Faults of later DIMM generations, and what uncorrected errors lead to.

**Assumes.** Memory is proportional to this work, and in no lane are the rows more than a share of it.

**Sources.** Renewal theory: a Poisson process with mean interval i has t/i events in a time t.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from node_sim.corrected.bursts import pace
from node_sim.dram.faults import FaultTable
from node_sim.dram.page_order import FRAMES_PER_FAULT_MAX
from node_sim.dram.rates import fault_rates
from node_sim.ecc.judgement import dimms_of
from node_sim.errors import ModelError
from node_sim.lives.world import corrected_settings
from node_sim.records import Floats, Ints
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy
from node_sim.units import HOURS_PER_DAY, HOURS_PER_YEAR, NS_PER_YEAR, hours_to_ns

POINTS_PER_PIECE: Final = 36_000
"""Bursts, windows and pages of the faults of a piece, at about 1 KiB each with all that follows from them."""
ROWS_PER_POINT: Final = 0.25
"""What the rows of a lane take of the memory of the points that they come from, at most."""
ROWS_PER_BLOCK: Final = 40_000
"""Rows of quiet nodes that wait until they are many, at about 0.1 KiB each."""
WINDOWS_PER_BLOCK: Final = 30_000
"""Windows of the busy nodes of a block that wait for it, once more for each lane, at about 0.5 KiB each."""
POINTS_PER_NODE_MAX: Final = 1_000_000
PAIR_POINTS: Final = 0.05
"""What a fault is more for each other one of its DIMM that it may meet."""
FAULTS_AT_ONCE: Final = 12_000
"""Faults drawn together, before they are cut into pieces."""


def expected_points(faults: FaultTable, policy: Policy, horizon_ns: int) -> Floats:
    """Return how many bursts, windows and pages the corrected errors of faults are expected to have, ``(n_faults,)``.

    Args:
        faults: Faults.
        policy: The arm's settings.
        horizon_ns: End of simulated time [ns].
    """
    points = np.minimum(faults.n_pages, FRAMES_PER_FAULT_MAX).astype(np.float64)
    hard = np.flatnonzero(faults.hard)
    interval_ns, length_ns = pace(faults, hard, policy.errors)
    left_ns = horizon_ns - faults.time_ns[hard]
    looks = [hours_to_ns(policy.errors.window_hours)]
    if policy.ecc.ecs != "off":
        looks.append(hours_to_ns(policy.ecc.ecs_hours))
    per_burst = sum(1.0 + np.minimum(length_ns, left_ns) / period_ns for period_ns in looks)
    points[hard] = (1.0 + left_ns / interval_ns) * per_burst
    return points


def mean_points(hardware: Hardware, policies: tuple[Policy, ...], horizon_ns: int) -> float:
    """Return how much work the corrected errors of a node are on average, before any fault of it is known.

    Source:
        Faults start uniformly on 0 … horizon; bursts come once in a mean interval at the mean pace.
    """
    rates, years = fault_rates(hardware), horizon_ns / NS_PER_YEAR
    days, resting = years * HOURS_PER_YEAR / HOURS_PER_DAY, hardware.faults.intermittent_share
    points = rates.soft_per_year * years
    for process in {policy.errors for policy in policies}:
        for share, interval_days, length_days in (
            (1.0 - resting, process.burst_interval_days, process.burst_days),
            (resting, process.intermittent_interval_days, process.intermittent_days),
        ):
            per_burst = 1.0 + min(length_days, days) * HOURS_PER_DAY / process.window_hours
            points += rates.hard_per_year * years * share * (1.0 + days / 2.0 / interval_days) * per_burst
    return points * hardware.server.dimms


def points_of_nodes(
    node_id: Ints, faults: FaultTable, hardware: Hardware, policies: tuple[Policy, ...], horizon_ns: int
) -> Floats:
    """Return how much work the corrected errors of nodes are, in all distinct ways to draw them, shape ``(n_nodes,)``.

    Raises:
        ModelError: One node alone is too much.
    """
    points = np.zeros(node_id.size)
    where = np.searchsorted(node_id, faults.node_id)
    for policy in {corrected_settings(policy): policy for policy in policies}.values():
        points += np.bincount(where, expected_points(faults, policy, horizon_ns), node_id.size)
    _, dimm, size = np.unique(dimms_of(faults), return_inverse=True, return_counts=True)
    points += np.bincount(where, PAIR_POINTS * (size[dimm] - 1), node_id.size)
    most = int(points.argmax())
    if points[most] > POINTS_PER_NODE_MAX:
        msg = (
            f"node {int(node_id[most])}: {points[most]:.3g} bursts and windows of corrected errors and pairs of "
            f"faults, expected at most {POINTS_PER_NODE_MAX:,} in one node; lower "
            f"{fault_rates(hardware).steepest}, years or errors.burst_days, or raise errors.burst_interval_days or "
            f"errors.window_hours"
        )
        raise ModelError(msg)
    return points


def has_many_rows(rows: int) -> bool:
    """Return whether the rows of quiet nodes are enough to be handed out."""
    return rows > ROWS_PER_BLOCK


def has_many_busy(windows: int, lanes: int) -> bool:
    """Return whether busy nodes have enough windows to be lived.

    Args:
        windows: Of all of them.
        lanes: Different lives of each.
    """
    return windows * (1 + lanes) > WINDOWS_PER_BLOCK


def cut_pieces(points: Floats, lanes: int) -> Iterator[slice]:
    """Yield one piece after the other, of about equal work.

    Args:
        points: Work of each node, shape ``(n_nodes,)``.
        lanes: Different lives of each, which may have rows of their own.
    """
    room = POINTS_PER_PIECE / (1.0 + ROWS_PER_POINT * lanes)
    done, before = 0, np.concatenate(([0.0], np.cumsum(points)))
    while done < points.size:
        end = max(done + 1, int(np.searchsorted(before, before[done] + room, side="right")) - 1)
        yield slice(done, end)
        done = end
