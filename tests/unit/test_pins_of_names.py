"""Pins of faults from their names are those that were drawn."""

from __future__ import annotations

import dataclasses

import numpy as np

from node_sim.codes import Mode
from node_sim.dram.faults import both_halves
from node_sim.dram.growth import pins_of_names
from node_sim.draws import Seed
from node_sim.lives.block import draw_all
from node_sim.names import is_second_device, is_wider
from node_sim.server.hardware import Faults, Growth, Hardware, Server
from node_sim.units import NS_PER_YEAR

SEED = Seed.of(23)


def test_they_are_those_of_faults_that_were_drawn_and_of_what_they_grew_to():
    growth = Growth(share_1x1=0.5, share_1xm=0.5, share_2dq=0.5, share_3dq=0.5, share_4dq=0.5, second_device=0.5)
    hardware = Hardware(
        server=Server(part="ddr4_16gb_x4"),
        faults=dataclasses.replace(Faults(rates="ddr4_avg", fit_factor=20.0, command_address_fit=100.0), growth=growth),
    )
    faults = draw_all(SEED, np.arange(1000), hardware, 6 * NS_PER_YEAR)
    n_dq = np.where(faults.on_wires, 0, faults.cells.n_dq)
    found = pins_of_names(SEED, faults.node_id, faults.tag, n_dq)
    assert (found == np.where(faults.on_wires, 0, faults.cells.pins)).all()
    kinds = is_wider(faults.tag) * 3 + is_second_device(faults.tag)
    for kind in (0, 1, 3):  # drawn, second device, wider
        across = both_halves(found[(kinds == kind) & (n_dq == 2)])
        assert 0 < across.sum() < across.size
    assert (faults.mode == Mode.COMMAND_ADDRESS).any()
