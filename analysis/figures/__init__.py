"""Figures of runs: each answers one question, and comes with the tidy table that it draws.

A figure is a function ``(run, arms=None, ax=None) -> (Axes, pyarrow.Table)``; ``FIGURES`` lists all in the order of the
report, and ``render`` turns one into a file. Importing this needs no matplotlib; drawing does (the extra ``report``).
"""

from typing import Final

from analysis.figures import (
    after_ue,
    concentration,
    difference,
    heat_map,
    kills,
    losses,
    over_time,
    page_types,
    pareto,
    response,
    time_to_ue,
)
from analysis.figures.after_ue import what_followed_ues
from analysis.figures.concentration import concentration_of_ce
from analysis.figures.difference import difference_to_baseline
from analysis.figures.figure import Caption, Rendered
from analysis.figures.figure import RunFigure as Figure
from analysis.figures.heat_map import heat_map_of_sweep
from analysis.figures.kills import kills_by_cause
from analysis.figures.losses import losses_by_arm
from analysis.figures.over_time import fleet_over_time
from analysis.figures.page_types import results_by_page_type
from analysis.figures.pareto import memory_against_kills
from analysis.figures.render import FORMATS, render
from analysis.figures.response import response_to_sweep
from analysis.figures.time_to_ue import time_from_ce_to_ue

FIGURES: Final[dict[str, Figure]] = {
    module.FIGURE.name: module.FIGURE
    for module in (
        kills,
        losses,
        difference,
        response,
        heat_map,
        page_types,
        after_ue,
        concentration,
        time_to_ue,
        over_time,
        pareto,
    )
}
"""All figures by name, in the order of the report."""

__all__ = [
    "FIGURES",
    "FORMATS",
    "Caption",
    "Figure",
    "Rendered",
    "concentration_of_ce",
    "difference_to_baseline",
    "fleet_over_time",
    "heat_map_of_sweep",
    "kills_by_cause",
    "losses_by_arm",
    "memory_against_kills",
    "render",
    "response_to_sweep",
    "results_by_page_type",
    "time_from_ce_to_ue",
    "what_followed_ues",
]
