"""Presets against the field studies they are fitted to; what they predict is printed, whatever it is.

False-alarm rate 1e-6 per figure. A sample has an error: a figure fails if its interval at that level misses the
published one. The samples are so large that a rate of CEs wrong by a tenth, or of UEs wrong by two fifths, would fail.
"""

from __future__ import annotations

import pytest

from fleet.commands.scenario import field_figures
from fleet.scenario.overrides import load_fleet
from node_sim.catalog.field import STUDIES

T29 = 6.17
"""Two-sided quantile of 1e-6 of the t law with the 29 degrees of freedom of the standard errors."""
SERVERS = {
    "google-2008": 40_000,
    "facebook-2014": 150_000,
    "alibaba-2022": 200_000,
    "alibaba-2022-dimms": 300_000,
    "huawei-2024": 20_000,
}


@pytest.fixture(scope="module", params=STUDIES)
def figures(request):
    preset = "baseline" if request.param == "alibaba-2022-dimms" else request.param
    fleet = load_fleet(preset, {"nodes": SERVERS[request.param]}, (), (), ())
    found = field_figures(fleet, None)
    return {figure["metric"]: figure for figure in found["figures"]}


def test_fitted_figures_lie_in_their_published_intervals(figures):
    for figure in figures.values():
        if figure["role"] in ("fitted", "calibrates"):
            low, high = figure["interval"]
            room = T29 * figure["standard_error"]
            assert low - room <= figure["value"] <= high + room, figure


POWER = {"google-2008": 0.1, "facebook-2014": 0.1, "alibaba-2022": 0.4, "alibaba-2022-dimms": 0.4, "huawei-2024": 0.1}


def test_the_samples_are_large_enough_to_see_a_wrong_rate(figures):
    first = next(iter(figures.values()))
    study = next(name for name, known in STUDIES.items() if known.figures[0].metric == first["metric"])
    assert T29 * first["standard_error"] < POWER[study] * first["value"]


def test_every_published_figure_is_shown_with_its_deviation(figures):
    for figure in figures.values():
        if "published" in figure:
            assert figure["deviation"] == figure["value"] / figure["published"] - 1.0
            assert figure["interval"][0] <= figure["published"] <= figure["interval"][1]


def test_ce_counts_are_concentrated_and_come_and_go(figures):
    # Steady faults would be active in all months after their start, independent months in one of a year.
    assert figures["ce_of_top_20_percent_dimms"]["value"] > 0.8
    assert 0.15 < figures["months_active"]["value"] < 0.6
