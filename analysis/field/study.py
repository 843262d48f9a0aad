"""A field study beside a simulated fleet: each figure with its error, the published interval and the deviation."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from analysis.field.estimators import AVOIDED, ESTIMATORS, ratio
from analysis.field.sightings import (
    FOLDS,
    Observation,
    Sightings,
)
from node_sim.catalog.field import ERROR_PROCESS_CALIBRATION, Figure, Study

_Z95: Final = 1.96
UNKNOWN: Final = "unknown"
_VERDICTS: Final = {True: "within sampling error", False: "outside", None: "too few to say"}
_WHOLE: Final = 100
"""Larger numbers are printed without decimals."""


class Estimated(NamedTuple):
    """Value of a figure with its jackknife standard error; NaN where it has none, or no fold differs from another."""

    value: float
    error: float


def _value(metric: str, arms: list[Sightings], observation: Observation) -> float:
    if metric in AVOIDED:
        amount = AVOIDED[metric][1]
        return 1.0 - ratio(amount(arms[1]), amount(arms[0])) if len(arms) > 1 else math.nan
    return ESTIMATORS[metric].estimate(arms[0], observation)


def estimate_figure(metric: str, arms: list[Sightings], observation: Observation) -> Estimated:
    """Estimate a figure, with the standard error of leaving out a fold of the servers in turn.

    Source:
        Delete-a-group jackknife (Kott 2001).
    """
    value = _value(metric, arms, observation)
    kept = observation._replace(
        servers=observation.servers * (FOLDS - 1) / FOLDS, dimms=observation.dimms * (FOLDS - 1) / FOLDS
    )
    folds = [_value(metric, [arm.of_servers(fold) for arm in arms], kept) for fold in range(FOLDS)]
    if max(folds) == min(folds):  # most often because nothing was seen: that says nothing about the error
        return Estimated(value, math.nan)
    spread = np.asarray(folds) - np.mean(folds)
    return Estimated(value, float(np.sqrt((FOLDS - 1) / FOLDS * (spread**2).sum())))


def _describe(metric: str) -> tuple[str, str]:
    return (AVOIDED[metric][0], "%") if metric in AVOIDED else ESTIMATORS[metric][:2]


def _agrees(found: Estimated, low: float, high: float) -> bool | None:
    """Whether the 95 % interval of an estimate meets the published interval; None where neither can be said."""
    if low <= found.value <= high:
        return True
    if math.isnan(found.value) or not math.isfinite(found.error):
        return None
    room = _Z95 * found.error
    return bool(low - room <= found.value <= high + room)


def figure_document(figure: Figure, arms: list[Sightings], observation: Observation) -> dict[str, Any]:
    """Return one figure: what was published, what the simulated fleet shows, and the deviation."""
    found = estimate_figure(figure.metric, arms, observation)
    sentence, unit = _describe(figure.metric)
    document: dict[str, Any] = {
        "metric": figure.metric,
        "means": sentence,
        "unit": unit,
        "role": figure.role,
        "value": None if math.isnan(found.value) else found.value,
        "standard_error": None if math.isnan(found.error) else found.error,
    }
    if figure.published is not None and figure.low is not None and figure.high is not None:
        document |= {
            "published": figure.published.value,
            "interval": [figure.low, figure.high],
            "inside": bool(figure.low <= found.value <= figure.high),
            "agrees": _agrees(found, figure.low, figure.high),
            "deviation": None if math.isnan(found.value) else found.value / figure.published.value - 1.0,
            "source": figure.published.source,
            "confidence": figure.published.confidence,
        }
    return document


def study_document(study: Study, arms: list[Sightings], observation: Observation) -> dict[str, Any]:
    """Return all figures of a study."""
    return {
        "servers": round(observation.servers),
        "months": study.months,
        "error_process": ERROR_PROCESS_CALIBRATION,
        "figures": [figure_document(figure, arms, observation) for figure in study.figures],
    }


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "%":
        return f"{100 * value:.4g} %"
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"


def _row(figure: dict[str, Any]) -> tuple[str, tuple[str, str, str]]:
    """Return what a figure is, and what is here, what was published, and how they differ."""
    unit = figure["unit"]
    here, error = _number(figure["value"], unit), figure["standard_error"]
    if figure["value"] is not None:
        here += f" +- {UNKNOWN if error is None else _number(error, unit)}"
    text = figure["means"] if unit in ("%", "1") else f"{figure['means']} [{unit}]"
    text = f"{text}, {figure['role']}"
    if "published" not in figure:
        return text, (here, "-", "")
    low, high = (_number(end, unit) for end in figure["interval"])
    verdict = "inside" if figure["inside"] else _VERDICTS[figure["agrees"]]
    published = f"{_number(figure['published'], unit)} ({low} to {high})"
    deviation = "-" if figure["deviation"] is None else f"{100 * figure['deviation']:+.1f} %"
    return text, (here, published, f"{deviation}, {verdict}")


def study_lines(document: dict[str, Any]) -> list[str]:
    """Write the figures of a study as text: a line that says what each is, and one of numbers."""
    head = ("figure, fitted or predicted", ("here", "published (interval)", "deviation"))
    rows = [head, *(_row(figure) for figure in document["figures"])]
    width = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    lines = ["", f"field figures: {document['servers']:,} simulated servers, the last {document['months']} months"]
    for text, cells in rows:
        numbers = "  ".join(f"{cell:<{w}}" for cell, w in zip(cells, width, strict=True))
        lines += [f"  {text}", f"      {numbers}".rstrip()]
    return [*lines, f"error process {document['error_process']}"]
