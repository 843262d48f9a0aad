"""Values of settings: words stay words, numbers become numbers, and counts fit what holds them."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.scenario.document import parse_value
from node_sim.draws import Seed
from node_sim.errors import ConfigError, ModelError
from node_sim.lives import dimms
from node_sim.lives.block import simulate_block
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Cordon, ErrorProcess, PageOffline, Policy, Repair
from node_sim.server.workload import Process, Workload
from node_sim.units import NS_PER_YEAR


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("kernel.profile", "3.10", "3.10"),
        ("group.x.kernel.profile", '"6.1"', "6.1"),
        ("faults.site", "denver", "denver"),
        ("ecc.ecs_threshold", "1024", 1024),
        ("faults.fit_factor", "3.10", 3.1),
        ("repair.replace_ecs", "true", True),
    ],
)
def test_a_value_is_a_word_where_its_setting_is_one(key, text, value):
    found = parse_value(key, text)
    assert (found, type(found)) == (value, type(value))


def test_processes_and_limits_fit_their_columns():
    many = tuple(Process(count=4096, share=0.05) for _ in range(20))
    with pytest.raises(ConfigError, match="process: counts add up to 81920, expected at most 65535"):
        Workload(process=many)
    for make in (PageOffline, lambda n: Cordon(ue=n), lambda n: Repair(replace_ce=n)):
        make(10_000_000)
        with pytest.raises(ConfigError, match="expected a number from 0 to 10,000,000"):
            make(10**16)


@pytest.mark.parametrize("most", [16, pytest.param(255, marks=pytest.mark.long)])
def test_a_slot_that_wears_out_too_many_dimms_is_an_error(most, monkeypatch):
    """So many as a fault's name tells apart; the work grows with their square, so that a few stand for all."""
    assert dimms.GENERATIONS_MAX == 255
    monkeypatch.setattr(dimms, "GENERATIONS_MAX", most)
    errors = ErrorProcess(burst_interval_days=3650.0, burst_days=0.01, burst_spread=0.0)
    policy = Policy(errors=errors, repair=Repair(replace_ce=1, replace_hours=0.0, cordon=Cordon(ue=0, drain_hours=0.0)))
    small = Server(sockets=1, channels=1, ranks=1, part="ddr2_1gb_x4")
    # Of the slot 314 faults are expected where 255 are too many.
    hardware = Hardware(small, Faults(fit_factor=8.0 * most, frailty_variance=0.0))
    with pytest.raises(ModelError, match=f"node 0: a DIMM is replaced for more than {most} times"):
        simulate_block(Seed.of(1), np.arange(1), hardware, (policy,), 10 * NS_PER_YEAR)
