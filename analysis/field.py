"""Figures of field studies, from the errors of a simulated fleet: concentration, persistence, incidence, warning.

All figures are over an observation of whole months at the end of the simulated time, so that faults of the years before
are still there, as in the fleets that were studied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from node_sim.catalog.field import ERROR_PROCESS_CALIBRATION, Figure, Study
from node_sim.records import Ints
from node_sim.units import NS_PER_HOUR, NS_PER_YEAR

COLUMNS: Final = ("fault_id", "kind", "ce_count", "first_time_ns")
MONTH_NS: Final = NS_PER_YEAR // 12
MONTHS_PER_YEAR: Final = 12
_DIMM_SHIFT, _SERVER_SHIFT = 16, 32
"""A fault's name without its ordinal names the DIMM, without slot and generation the server."""
_FOLDS: Final = 30
_MONTHS_MAX: Final = 1 << 12
_Z95: Final = 1.96
_WHOLE: Final = 100
"""Larger numbers are printed without decimals."""


class Observation(NamedTuple):
    """What was watched: months at the end of the simulated time, and how many servers and DIMMs."""

    months: int
    start_ns: int
    servers: float
    dimms: float
    day_cap: int
    population: int

    @property
    def years(self) -> float:
        """Length of the observation."""
        return self.months / MONTHS_PER_YEAR


def _server(dimm: Ints) -> Ints:
    return dimm >> (_SERVER_SHIFT - _DIMM_SHIFT)


class Sightings(NamedTuple):
    """Errors seen during an observation; CEs are summed by DIMM and month.

    Attributes:
        dimm: DIMM (server, slot, generation) of each DIMM-month with CEs, shape ``(n,)``.
        month: Its month.
        errors: Its CEs.
        storm_dimm: DIMMs of windows whose count reached the log's daily limit.
        ue_fault: Fault of each UE.
        ue_ns: Time of each UE [ns].
        watched_dimm: DIMMs with UEs, once for each window with CEs at any time before.
        watched_ns: First CE of each such window [ns].
    """

    dimm: Ints
    month: Ints
    errors: Ints
    storm_dimm: Ints
    ue_fault: Ints
    ue_ns: Ints
    watched_dimm: Ints
    watched_ns: Ints

    def of_servers(self, left_out: int) -> Sightings:
        """Leave out one fold of the servers."""
        by_dimm, storm, watched = (
            _server(dimm) % _FOLDS != left_out for dimm in (self.dimm, self.storm_dimm, self.watched_dimm)
        )
        ue = (self.ue_fault >> _SERVER_SHIFT) % _FOLDS != left_out
        return Sightings(
            self.dimm[by_dimm],
            self.month[by_dimm],
            self.errors[by_dimm],
            self.storm_dimm[storm],
            self.ue_fault[ue],
            self.ue_ns[ue],
            self.watched_dimm[watched],
            self.watched_ns[watched],
        )


def see_errors(errors: pa.Table, observation: Observation) -> Sightings:
    """Reduce a table of errors (of one arm, any servers, with ``COLUMNS``) to what the figures need."""
    is_ce = pc.equal(errors.column("kind"), "CE")
    ce, ue = errors.filter(is_ce), errors.filter(pc.equal(errors.column("kind"), "UE"))
    fault, time = _ints(ce, "fault_id"), _ints(ce, "first_time_ns")
    count = _ints(ce, "ce_count")
    ue_fault, ue_ns = _ints(ue, "fault_id"), _ints(ue, "first_time_ns")
    seen = ue_ns >= observation.start_ns
    ue_fault, ue_ns = ue_fault[seen], ue_ns[seen]
    watched = np.isin(fault >> _DIMM_SHIFT, ue_fault >> _DIMM_SHIFT)
    inside = np.flatnonzero(time >= observation.start_ns)
    month = np.minimum((time[inside] - observation.start_ns) // MONTH_NS, observation.months - 1)
    name, where = np.unique((fault[inside] >> _DIMM_SHIFT) * observation.months + month, return_inverse=True)
    return Sightings(
        dimm=name // observation.months,
        month=name % observation.months,
        errors=np.bincount(where, count[inside], minlength=name.size).astype(np.int64),
        storm_dimm=fault[inside[count[inside] >= observation.day_cap]] >> _DIMM_SHIFT,
        ue_fault=ue_fault,
        ue_ns=ue_ns,
        watched_dimm=fault[watched] >> _DIMM_SHIFT,
        watched_ns=time[watched],
    )


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(table.column(name)).astype(np.int64)


def join_sightings(parts: Iterable[Sightings]) -> Sightings:
    """Put sightings of different servers together."""
    return Sightings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


# ---- estimators -------------------------------------------------------------------------------------------------


def _distinct(key: Ints) -> int:
    return int(np.unique(key).size)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _sums(owner: Ints, count: Ints) -> Ints:
    """Sum counts by owner, largest first."""
    _, where = np.unique(owner, return_inverse=True)
    return -np.sort(-np.bincount(where, count).astype(np.int64))


def _top_share(owner: Ints, count: Ints, share: float, members: float | None = None) -> float:
    """Share of all counts that the top ``share`` of the owners (or of ``members``) hold."""
    if not owner.size:
        return math.nan
    sums = _sums(owner, count)
    top = max(1, round(share * (members or sums.size)))
    return float(sums[:top].sum() / sums.sum())


def _again(owner: Ints, count: Ints) -> float:
    """Share of the owners of errors that have more than one."""
    sums = _sums(owner, count) if owner.size else owner
    return _ratio(int((sums > 1).sum()), sums.size)


def _server_months(seen: Sightings) -> Ints:
    return _server(seen.dimm) * _MONTHS_MAX + seen.month


def _first_ue(seen: Sightings) -> tuple[Ints, Ints]:
    """DIMMs with UEs, and the time of the first."""
    order = np.argsort(seen.ue_ns, kind="stable")
    dimm, first = np.unique(seen.ue_fault[order] >> _DIMM_SHIFT, return_index=True)
    return dimm, seen.ue_ns[order][first]


def _ce_before(seen: Sightings) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """For each DIMM with a UE: time of the first UE, of the first and of the last CE window before it (inf if none)."""
    dimm, ue_ns = _first_ue(seen)
    place = np.searchsorted(dimm, seen.watched_dimm)
    before = seen.watched_ns < ue_ns[place]
    first = np.full((2, dimm.size), np.inf)
    np.minimum.at(first[0], place[before], seen.watched_ns[before].astype(np.float64))
    np.minimum.at(first[1], place[before], -seen.watched_ns[before].astype(np.float64))
    return dimm, ue_ns, first


def _warning_hours(seen: Sightings) -> npt.NDArray[np.float64]:
    """Hours from the first CE of a DIMM to its first UE, of the DIMMs that have both in this order."""
    _, ue_ns, first = _ce_before(seen)
    warned = np.isfinite(first[0])
    hours: npt.NDArray[np.float64] = (ue_ns[warned] - first[0][warned]) / NS_PER_HOUR
    return hours


def _with_ce_in_month_before(seen: Sightings) -> float:
    _, ue_ns, first = _ce_before(seen)
    recent = np.isfinite(first[1]) & (ue_ns + first[1] <= MONTH_NS)
    return _ratio(int(recent.sum()), ue_ns.size)


def _without_ce(seen: Sightings) -> float:
    _, ue_ns, first = _ce_before(seen)
    return _ratio(int((~np.isfinite(first[0])).sum()), ue_ns.size)


def _within_an_hour(seen: Sightings) -> float:
    hours = _warning_hours(seen)
    return _ratio(int((hours < 1.0).sum()), hours.size)


def _mean_over_median(seen: Sightings) -> float:
    sums = _sums(_server_months(seen), seen.errors) if seen.dimm.size else seen.errors
    return _ratio(float(sums.mean()), float(np.median(sums))) if sums.size else math.nan


def _failures(seen: Sightings) -> int:
    """Servers with a UE or with a window that filled the log."""
    return _distinct(np.concatenate([seen.ue_fault >> _SERVER_SHIFT, _server(seen.storm_dimm)]))


def _median(values: npt.NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else math.nan


class Metric(NamedTuple):
    """An estimator with its sentence and unit."""

    sentence: str
    unit: str
    estimate: Callable[[Sightings, Observation], float]


METRICS: Final[dict[str, Metric]] = {
    "dimms_with_ce_per_year": Metric(
        "DIMMs with a CE in the year", "%", lambda s, o: _ratio(_distinct(s.dimm), o.dimms) / o.years
    ),
    "ce_per_dimm_year": Metric("CE per DIMM-year", "CE", lambda s, o: _ratio(s.errors.sum(), o.dimms * o.years)),
    "servers_with_ce_per_year": Metric(
        "servers with a CE in the last twelve months",
        "%",
        lambda s, o: _ratio(_distinct(_server(s.dimm[s.month >= o.months - MONTHS_PER_YEAR])), o.servers),
    ),
    "servers_with_ue_per_year": Metric(
        "servers with a UE per year",
        "%",
        lambda s, o: _ratio(_distinct(s.ue_fault >> _SERVER_SHIFT), o.servers) / o.years,
    ),
    "servers_with_ce_per_month": Metric(
        "servers with a CE in a month",
        "%",
        lambda s, o: _ratio(_distinct(_server_months(s)), o.servers * o.months),
    ),
    "servers_with_ue_per_month": Metric(
        "servers with a UE in a month",
        "%",
        lambda s, o: _ratio(
            _distinct((s.ue_fault >> _SERVER_SHIFT) * _MONTHS_MAX + (s.ue_ns - o.start_ns) // MONTH_NS),
            o.servers * o.months,
        ),
    ),
    "dimms_with_ce_per_month_of_population": Metric(
        "DIMMs with a CE in a month, in the whole fleet",
        "DIMMs",
        lambda s, o: _ratio(s.dimm.size, o.dimms * o.months) * o.population,
    ),
    "ce_per_ce_dimm_month": Metric("CE per DIMM-month with CE", "CE", lambda s, _: _ratio(s.errors.sum(), s.dimm.size)),
    "ce_of_top_20_percent_dimms": Metric(
        "share of CE on the top 20 % of DIMMs with CE", "%", lambda s, _: _top_share(s.dimm, s.errors, 0.20)
    ),
    "ce_of_top_20_percent_servers": Metric(
        "share of CE on the top 20 % of servers with CE", "%", lambda s, _: _top_share(_server(s.dimm), s.errors, 0.20)
    ),
    "ce_of_top_1_percent_servers": Metric(
        "share of CE on the top 1 % of servers with CE", "%", lambda s, _: _top_share(_server(s.dimm), s.errors, 0.01)
    ),
    "ce_mean_over_median": Metric(
        "mean over median CE of a server-month with CE", "1", lambda s, _: _mean_over_median(s)
    ),
    "servers_with_ce_again_in_month": Metric(
        "server-months with a CE that have another", "%", lambda s, _: _again(_server_months(s), s.errors)
    ),
    "servers_with_ce_again_in_year": Metric(
        "servers with a CE that have another in the year", "%", lambda s, _: _again(_server(s.dimm), s.errors)
    ),
    "months_active": Metric(
        "share of the months in which a DIMM with CE shows some",
        "%",
        lambda s, o: _ratio(s.dimm.size, _distinct(s.dimm) * o.months),
    ),
    "ue_with_ce_in_month_before": Metric(
        "DIMMs with a UE that had a CE in the month before", "%", lambda s, _: _with_ce_in_month_before(s)
    ),
    "ue_without_ce_before": Metric("DIMMs with a UE that never had a CE before", "%", lambda s, _: _without_ce(s)),
    "ue_within_an_hour_of_first_ce": Metric(
        "DIMMs with CE and then UE that had their first CE less than an hour before",
        "%",
        lambda s, _: _within_an_hour(s),
    ),
    "warning_hours_median": Metric(
        "median time from the first CE to the first UE of a DIMM", "h", lambda s, _: _median(_warning_hours(s))
    ),
    "ue_failures_per_server_year": Metric(
        "faults with UE per server-year", "%", lambda s, o: _ratio(_distinct(s.ue_fault), o.servers * o.years)
    ),
    "ue_failures_per_dimm_year": Metric(
        "faults with UE per DIMM-year", "%", lambda s, o: _ratio(_distinct(s.ue_fault), o.dimms * o.years)
    ),
    "failures_per_server_year": Metric(
        "servers with a UE or a full CE log, per year", "%", lambda s, o: _ratio(_failures(s), o.servers * o.years)
    ),
    "ce_dimms_that_fail": Metric(
        "DIMMs with CE that have a UE",
        "%",
        lambda s, _: _ratio(_distinct(np.intersect1d(s.dimm, s.ue_fault >> _DIMM_SHIFT)), _distinct(s.dimm)),
    ),
}
"""Estimators by name, over the sightings of one arm."""

AVOIDED: Final[dict[str, tuple[str, Callable[[Sightings], float]]]] = {
    "ce_avoided_by_page_offlining": ("CE avoided by page offlining", lambda s: float(s.errors.sum())),
    "ue_avoided_by_page_offlining": ("UEs avoided by page offlining", lambda s: float(s.ue_fault.size)),
}
"""Estimators that compare the first arm with the second."""


class Estimated(NamedTuple):
    """Value of a figure with its jackknife standard error; NaN where it has none."""

    value: float
    error: float


def _value(metric: str, arms: list[Sightings], observation: Observation) -> float:
    if metric in AVOIDED:
        amount = AVOIDED[metric][1]
        return 1.0 - _ratio(amount(arms[1]), amount(arms[0])) if len(arms) > 1 else math.nan
    return METRICS[metric].estimate(arms[0], observation)


def estimate_figure(metric: str, arms: list[Sightings], observation: Observation) -> Estimated:
    """Estimate a figure, with the standard error of leaving out a fold of the servers in turn.

    Source:
        Delete-a-group jackknife (Kott 2001).
    """
    value = _value(metric, arms, observation)
    kept = observation._replace(
        servers=observation.servers * (_FOLDS - 1) / _FOLDS, dimms=observation.dimms * (_FOLDS - 1) / _FOLDS
    )
    folds = [_value(metric, [arm.of_servers(fold) for arm in arms], kept) for fold in range(_FOLDS)]
    spread = np.asarray(folds) - np.mean(folds)
    return Estimated(value, float(np.sqrt((_FOLDS - 1) / _FOLDS * (spread**2).sum())))


def _describe(metric: str) -> tuple[str, str]:
    return (AVOIDED[metric][0], "%") if metric in AVOIDED else METRICS[metric][:2]


def _agrees(found: Estimated, low: float, high: float) -> bool:
    """Whether the 95 % interval of an estimate meets the published interval."""
    room = _Z95 * found.error if math.isfinite(found.error) else 0.0
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
            "deviation": found.value / figure.published.value - 1.0,
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


def _row(figure: dict[str, Any]) -> tuple[str, str, str, str, str]:
    unit = figure["unit"]
    here = f"{_number(figure['value'], unit)} +- {_number(figure['standard_error'], unit)}"
    text = figure["means"] if unit in ("%", "1") else f"{figure['means']} [{unit}]"
    if "published" not in figure:
        return text, figure["role"], here, "-", ""
    low, high = (_number(end, unit) for end in figure["interval"])
    verdict = "inside" if figure["inside"] else "within sampling error" if figure["agrees"] else "outside"
    published = f"{_number(figure['published'], unit)} ({low} to {high})"
    return text, figure["role"], here, published, f"{100 * figure['deviation']:+.1f} %, {verdict}"


def study_lines(document: dict[str, Any]) -> list[str]:
    """Write the figures of a study as text."""
    head = ("figure", "role", "here", "published (interval)", "deviation")
    rows = [head, *(_row(figure) for figure in document["figures"])]
    width = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "",
        f"field figures: {document['servers']:,} simulated servers, the last {document['months']} months",
        *("  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, width, strict=True)).rstrip() for row in rows),
        f"error process {document['error_process']}",
    ]
