"""The storm of corrected errors as shipped: how many rows it has, beside closed form."""

import numpy as np
import pyarrow as pa
import pytest

from analysis.dataset.run import open_run
from fleet.scenario.overrides import load_fleet
from node_sim.units import NS_PER_DAY
from tests.fleets import run_fleet

NODES = 2_000
ROWS_PER_NODE_YEAR = 300
BURSTS_D = {"hard": (7.0, 7.0), "intermittent": (30.0, 5.0)}
"""Mean interval and length of bursts [days], by persistence."""
SPREAD, SHORTEST_INTERVAL_D = 1.0, 1.0 / 24.0
QUANTILE = 4.9
"""Two-sided, false-alarm rate 1e-6."""


@pytest.fixture(scope="module")
def storm(tmp_path_factory):
    root = tmp_path_factory.mktemp("storm") / "run"
    run_fleet(load_fleet("ce-storm", {"nodes": NODES}, (), ("default",), ()), root)
    return open_run(root)


def p_day_with_errors(start_d, interval_d, length_d, day, end_d):
    """Probability that bursts of faults that start at a time cover some of a day, which ends at another [days].

    The first burst begins with the fault, the others are Poisson: an M/G/infinity queue that is empty before.
    """
    begin = np.maximum(day - start_d, 0.0)
    after = np.maximum(end_d - start_d, begin)
    reaches = np.exp(-begin / length_d)
    rests = (1.0 - reaches) * np.exp(-(length_d * (1.0 - reaches) + after - begin) / interval_d)
    return np.where(end_d > start_d, 1.0 - rests, 0.0)


def days_with_errors(start_d, horizon_d, mean_interval_d, length_d):
    """Expected days on which faults that start at a time make errors [days], shape of the starts."""
    normal, weight = np.polynomial.hermite_e.hermegauss(40)
    day = np.arange(np.ceil(horizon_d))
    expected = np.zeros(start_d.size)
    for z, share in zip(normal, weight / weight.sum(), strict=True):
        interval_d = max(mean_interval_d / np.exp(SPREAD * z - SPREAD**2 / 2), SHORTEST_INTERVAL_D)
        p = p_day_with_errors(start_d[:, None], interval_d, length_d, day, np.minimum(day + 1, horizon_d))
        expected += share * p.sum(axis=1)
    return expected


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name])


def test_it_has_as_many_rows_as_it_is_for(storm):
    years = storm.horizon_ns / NS_PER_DAY / 365.25
    assert float(storm.tally.rows[0]) / (NODES * years) >= ROWS_PER_NODE_YEAR


@pytest.mark.parametrize("persistence", BURSTS_D)
def test_faults_of_bits_have_a_row_on_every_day_on_which_their_bursts_are_expected(storm, persistence):
    # On nodes without an uncorrected error: no page was taken out, no node was down.
    faults, errors = storm.table("faults"), storm.table("errors")
    corrected = column(errors, "kind") == "CE"
    quiet = ~np.isin(column(faults, "node_id"), column(errors, "node_id")[~corrected])
    mine = quiet & (column(faults, "mode") == "bit") & (column(faults, "persistence") == persistence)
    names, rows = np.unique(column(errors, "fault_id")[corrected], return_counts=True)
    counted = dict(zip(names.tolist(), rows.tolist(), strict=True))
    found = np.asarray([counted.get(name, 0) for name in column(faults, "fault_id")[mine].tolist()])
    start_d = column(faults, "time_ns")[mine] / NS_PER_DAY
    expected = days_with_errors(start_d, storm.horizon_ns / NS_PER_DAY, *BURSTS_D[persistence])
    tolerance = QUANTILE * np.sqrt(np.square(found - expected).sum())
    assert abs(found.sum() - expected.sum()) < tolerance
    assert tolerance < 0.1 * expected.sum()
