"""Neutron flux at a site against tabulated values, and what it scales."""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.dram.cosmic import flux_relative
from node_sim.dram.rates import fault_rates, soft_scale
from node_sim.server.hardware import Faults, Hardware
from tests.oracle.catalog.tables import read_table, rows_by

ROWS = {row["site"]: row for row in read_table("cosmic_sites")}
PARMA = [site for site, row in ROWS.items() if row["parma_rel_nyc"]]
SUNS = ("quiet", "active", "mean")


def flux(site: str, sun: str) -> float:
    return flux_relative(float(ROWS[site]["altitude_m"]), float(ROWS[site]["cutoff_GV"]), sun)


@pytest.mark.parametrize("sun", SUNS)
@pytest.mark.parametrize("site", ROWS)
def test_the_flux_is_the_tabulated_one(site, sun):
    assert flux(site, sun) == pytest.approx(float(ROWS[site][f"flux_rel_{sun}"]), rel=1e-3)


@pytest.mark.parametrize("site", PARMA)
def test_the_flux_is_within_a_fifth_of_itself_of_the_parma_model(site):
    assert float(ROWS[site]["parma_rel_nyc"]) == pytest.approx(flux(site, "mean"), rel=0.2)


@pytest.mark.parametrize("site", [site for site in PARMA if float(ROWS[site]["cutoff_GV"]) < 9])
def test_the_flux_is_within_11_percent_of_the_parma_model_outside_the_tropics(site):
    assert flux(site, "mean") == pytest.approx(float(ROWS[site]["parma_rel_nyc"]), rel=0.11)


@pytest.mark.parametrize("sun", SUNS)
def test_the_flux_rises_with_altitude(sun):
    found = [flux_relative(altitude, 2.08, sun) for altitude in range(-400, 12_000, 400)]
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("sun", SUNS)
def test_the_flux_falls_with_cutoff_rigidity(sun):
    found = [flux_relative(1000.0, cutoff, sun) for cutoff in np.arange(1.0, 18.0, 0.5)]
    assert (np.diff(found) < 0).all()


def rates(site: str, **others: float):
    return fault_rates(Hardware(faults=Faults(site=site, **others)))


def test_hard_rates_are_the_same_at_every_altitude():
    sea, high = rates("new_york"), rates("denver")
    assert np.array_equal(sea.per_year[sea.hard], high.per_year[high.hard])


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("site", ["denver", "singapore"])
def test_soft_rates_scale_with_the_flux_apart_from_the_alpha_share(site, alpha):
    names = {"new_york": "New York City", "denver": "Denver", "singapore": "Singapore"}
    scale = {
        name: alpha + (1 - alpha) * float(rows_by("cosmic_sites", "site")[names[name]]["flux_rel_mean"])
        for name in ("new_york", site)
    }
    sea, there = rates("new_york", alpha_share=alpha), rates(site, alpha_share=alpha)
    mine = ~there.hard & (there.mode != Mode.COMMAND_ADDRESS)
    table = {row["mode"] for row in read_table("fit_modes") if row["dataset"] == "DDR4-avg"} - {"TOTAL"}
    assert mine.sum() == len(table)
    ratio = there.per_year[mine] / sea.per_year[mine]
    assert ratio == pytest.approx(scale[site] / scale["new_york"], rel=1e-3)


def test_commands_that_arrive_wrong_once_do_so_as_often_at_any_site():
    for site in ("new_york", "denver", "singapore"):
        found = rates(site, command_address_fit=40.0, command_address_transient_share=0.3)
        of_commands = found.mode == Mode.COMMAND_ADDRESS
        assert found.hard[of_commands].tolist() == [False, True]
        assert found.per_year[of_commands] == pytest.approx([12 * 8766 / 1e9, 28 * 8766 / 1e9], rel=1e-12)


@pytest.mark.parametrize("sun", SUNS)
def test_soft_rates_follow_the_sun(sun):
    expected = float(ROWS["Denver"][f"flux_rel_{sun}"])
    assert soft_scale(Faults(site="denver", alpha_share=0.0, sun=sun)) == pytest.approx(expected, rel=1e-3)


def test_surroundings_change_the_thermal_share_of_the_neutrons_only():
    scale = soft_scale(Faults(alpha_share=0.2, thermal_share=0.25, thermal_factor=3.0))
    assert scale == pytest.approx(0.2 + 0.8 * (0.75 + 0.25 * 3.0), rel=1e-3)


def test_the_factor_multiplies_every_rate_of_the_table_but_not_those_of_wires():
    one, ten = rates("new_york"), rates("new_york", fit_factor=10.0)
    wires = np.isin(one.mode, (Mode.COMMAND_ADDRESS, Mode.LANE))
    assert wires.sum() == 3  # commands that pass and that stay wrong, and lanes
    assert ten.per_year[~wires] == pytest.approx(10 * one.per_year[~wires])
    assert np.array_equal(ten.per_year[wires], one.per_year[wires])


def test_the_rates_of_a_dimm_are_those_of_its_36_devices_and_its_wires():
    found = rates("new_york", alpha_share=1.0, command_address_fit=34.0, lane_fit=5.0)
    fit = 36 * (44.94 + 54.68) + 34.0 + 5.0
    # The total of the table is rounded to 0.01 for each permanence.
    assert found.total_per_year == pytest.approx(fit * 8766 / 1e9, rel=36 * 0.01 / fit)
