"""Rows of many lanes are put in order by one word, which does not hold all bits of late times."""

import numpy as np

from node_sim.lives.rows import _order
from node_sim.units import NS_PER_YEAR


def test_rows_of_many_lanes_are_ordered_by_lane_and_time_to_the_nanosecond_and_else_stay_in_order():
    rng = np.random.default_rng(16)
    lane = rng.integers(0, 40_000, 3_000)
    lane[:1_500] = lane[0]
    time_ns = 100 * NS_PER_YEAR - rng.integers(0, 400, lane.size)
    assert _order(lane, time_ns).tolist() == np.lexsort((time_ns, lane)).tolist()
