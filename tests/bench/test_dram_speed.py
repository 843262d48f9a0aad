"""Speed of ``dram`` on one core, beside the goal; never a gate. Times are CPU seconds of the best of five runs.

Run: ``pytest -o addopts= -s tests/bench/test_dram_speed.py``.
"""

from __future__ import annotations

import time

import pytest

from node_sim.draws import Seed
from node_sim.one_dimm.question import ask
from node_sim.one_dimm.simulate import simulate_lifetimes

LIFETIMES = 20_000_000


@pytest.mark.bench
@pytest.mark.parametrize(
    ("ecc", "rules", "goal"),
    [
        ("none", "faultsim", 3e7),
        ("secded", "faultsim", 3e7),
        ("chipkill", "faultsim", 3e7),
        ("secded", "codes", 1e7),
        ("chipkill", "codes", 1e7),
        ("ddr5", "codes", 1e7),
    ],
)
def test_lifetimes_per_second(ecc, rules, goal):
    asked = ask(
        ecc=ecc,
        rules=rules,
        extents=None,
        years=7.0,
        fit_table="ddr2_jaguar",
        fit_factor=1.0,
        chips=None,
        ranks=1,
        banks=8,
        rows=16384,
        columns=2048,
        width="4",
        frailty_variance=0.0,
        scrub_hours=None,
    )
    simulate_lifetimes(Seed.of(1), asked, 100_000)
    best, with_fault = 0.0, 0
    for _ in range(5):
        begun = time.process_time()
        counts = simulate_lifetimes(Seed.of(1), asked, LIFETIMES)
        best = max(best, LIFETIMES / (time.process_time() - begun))
        with_fault = int(counts.by_year[0].sum())
    share = with_fault / LIFETIMES
    print(f"{ecc}, {rules}: {best:.3g} lifetimes/s (goal {goal:.0e}), {best * share:.3g} with a fault/s")
