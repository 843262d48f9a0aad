"""Presets against the field studies they are fitted to; what they predict is printed, whatever it is.

False-alarm rate 1e-6 per figure. A sample has an error: a figure fails if its interval at that level misses the
published one. The samples are so large that a rate of CEs wrong by a tenth, or of UEs wrong by two fifths, would fail;
``make test`` takes an eighth of them, or a quarter for UEs, and sees errors that are three times, or twice, as large.
"""

from __future__ import annotations

from typing import NamedTuple

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


EIGHTH, QUARTER, WHOLE = 8, 4, 1
COARSER = {EIGHTH: 3.0, QUARTER: 2.1, WHOLE: 1.0}
"""How much larger an error has to be for a part of the servers to show it."""
OF_UES = ("alibaba-2022", "alibaba-2022-dimms")
SAMPLES = [
    *(pytest.param((study, QUARTER), id=f"{study}, a quarter") for study in STUDIES if study in OF_UES),
    *(pytest.param((study, EIGHTH), id=f"{study}, an eighth") for study in STUDIES if study not in OF_UES),
    *(pytest.param((study, WHOLE), id=study, marks=pytest.mark.long) for study in STUDIES),
]


class Sample(NamedTuple):
    """Figures of a study by metric, from one part in so many of its servers."""

    study: str
    part: int
    figures: dict


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request):
    study, part = request.param
    preset = "baseline" if study == "alibaba-2022-dimms" else study
    fleet = load_fleet(preset, {"nodes": SERVERS[study] // part}, (), (), ())
    return Sample(study, part, {figure["metric"]: figure for figure in field_figures(fleet, None)["figures"]})


@pytest.fixture
def figures(sample):
    return sample.figures


def test_fitted_figures_lie_in_their_published_intervals(figures):
    for figure in figures.values():
        if figure["role"] in ("fitted", "calibrates"):
            low, high = figure["interval"]
            room = T29 * figure["standard_error"]
            assert low - room <= figure["value"] <= high + room, figure


POWER = {"google-2008": 0.1, "facebook-2014": 0.1, "alibaba-2022": 0.4, "alibaba-2022-dimms": 0.4, "huawei-2024": 0.1}


def test_the_samples_are_large_enough_to_see_a_wrong_rate(sample):
    first = next(iter(sample.figures.values()))
    error = POWER[sample.study] * COARSER[sample.part]
    assert T29 * first["standard_error"] < error * first["value"]


def test_every_published_figure_is_shown_with_its_deviation(figures):
    for figure in figures.values():
        if "published" in figure:
            assert figure["deviation"] == figure["value"] / figure["published"] - 1.0
            assert figure["interval"][0] <= figure["published"] <= figure["interval"][1]


def test_ce_counts_are_concentrated_and_come_and_go(figures):
    # Steady faults would be active in all months after their start, independent months in one of a year.
    assert figures["ce_of_top_20_percent_dimms"]["value"] > 0.8
    assert 0.15 < figures["months_active"]["value"] < 0.6
