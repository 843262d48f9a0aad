"""Estimators of field figures over sightings: concentration, persistence, incidence, warning."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.field.sightings import (
    CLASSES,
    MONTH_NS,
    MONTHS_PER_YEAR,
    NO_CLASS,
    Observation,
    Sightings,
)
from node_sim.codes import Path
from node_sim.names import dimm_of_fault, node_of_dimm, node_of_fault
from node_sim.records import Ints
from node_sim.units import NS_PER_HOUR

_MONTHS_MAX: Final = 1 << 12
NOTICE_NS: Final = NS_PER_HOUR // 4
"""Failures with a shorter warning are not counted as warned: so are those of Huawei's tickets."""
RISKY_DAYS, RISKY_MONTHS = 7, 4
"""A risky CE predicts the failures of so many days after the notice; it is judged in the last months: June to September
of the nine."""
LEADS: Final = (
    ("30min", "30 min", 0.5),
    ("1h", "1 h", 1.0),
    ("6h", "6 h", 6.0),
    ("1d", "1 d", 24.0),
    ("8d", "8 d", 192.0),
)


def _distinct(key: Ints) -> int:
    return int(np.unique(key).size)


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN if there is no whole."""
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
    return ratio(int((sums > 1).sum()), sums.size)


def _server_months(seen: Sightings) -> Ints:
    return node_of_dimm(seen.dimm) * _MONTHS_MAX + seen.month


def _first_ue(seen: Sightings) -> tuple[Ints, Ints]:
    """DIMMs with UEs, and the time of the first."""
    order = np.argsort(seen.ue_ns, kind="stable")
    dimm, first = np.unique(dimm_of_fault(seen.ue_fault[order]), return_index=True)
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
    return ratio(int(recent.sum()), ue_ns.size)


def _without_ce(seen: Sightings) -> float:
    _, ue_ns, first = _ce_before(seen)
    return ratio(int((~np.isfinite(first[0])).sum()), ue_ns.size)


def _within_an_hour(seen: Sightings) -> float:
    hours = _warning_hours(seen)
    return ratio(int((hours < 1.0).sum()), hours.size)


def _mean_over_median(seen: Sightings) -> float:
    sums = _sums(_server_months(seen), seen.errors) if seen.dimm.size else seen.errors
    return ratio(float(sums.mean()), float(np.median(sums))) if sums.size else math.nan


def _failures(seen: Sightings) -> int:
    """Servers with a UE or with a window that filled the log."""
    return _distinct(np.concatenate([node_of_fault(seen.ue_fault), node_of_dimm(seen.storm_dimm)]))


def _median(values: npt.NDArray[np.float64]) -> float:
    return float(np.median(values)) if values.size else math.nan


class FailedDimms(NamedTuple):
    """DIMMs with a UE whose first CE came ``NOTICE_NS`` or more before the first UE.

    Attributes:
        dimm: The DIMMs, ascending.
        ue_ns: Time of the first UE [ns].
        lead_ns: How long before it the first CE came [ns].
    """

    dimm: Ints
    ue_ns: Ints
    lead_ns: npt.NDArray[np.float64]


def _fails(seen: Sightings, observation: Observation) -> FailedDimms:
    """Return the failures; what came before the observation is in no log."""
    logged = seen.watched_ns >= observation.start_ns
    dimm, ue_ns, first = _ce_before(
        seen._replace(watched_dimm=seen.watched_dimm[logged], watched_ns=seen.watched_ns[logged])
    )
    lead = ue_ns - first[0]
    early = np.isfinite(first[0]) & (lead >= NOTICE_NS)
    return FailedDimms(dimm[early], ue_ns[early], lead[early])


def _share_that_fails(seen: Sightings, observation: Observation, wide: int | None = None) -> float:
    """Share of the DIMMs with CE (of those whose widest fault is of a class) that fail later."""
    dimm, where = np.unique(seen.dimm, return_inverse=True)
    widest = np.full(dimm.size, NO_CLASS, np.int64)
    np.maximum.at(widest, where, seen.widest)
    mine = dimm if wide is None else dimm[widest == wide]
    return ratio(np.intersect1d(mine, _fails(seen, observation).dimm).size, mine.size)


def _share_with_lead(seen: Sightings, observation: Observation, hours: float) -> float:
    """Share of the DIMMs that fail whose first CE came more than so many hours before."""
    lead = _fails(seen, observation).lead_ns
    return ratio(int((lead > hours * NS_PER_HOUR).sum()), lead.size)


class Risky(NamedTuple):
    """How the rule of risky CEs fares in the last ``RISKY_MONTHS``: counts of DIMMs.

    Attributes:
        with_ce: With CEs.
        alarmed: With a risky CE.
        failed: That fail.
        predicted: That fail ``NOTICE_NS`` or more, and at most ``RISKY_DAYS`` more, after any risky CE.
    """

    with_ce: int
    alarmed: int
    failed: int
    predicted: int


def _risky(seen: Sightings, observation: Observation) -> Risky:
    """Judge the rule as its study does.

    Source:
        M2-MFP (KDD 2025), section 5.1 and appendix C: equations 18 and 19, 23 to 30.
    """
    first_month = observation.months - RISKY_MONTHS
    start_ns = observation.start_ns + first_month * MONTH_NS
    fails = _fails(seen, observation)
    tested = fails.ue_ns >= start_ns
    failed, ue_ns = fails.dimm[tested], fails.ue_ns[tested]
    now = seen.risky_ns[:, 0] >= start_ns
    risky, ns = seen.risky_dimm[now], seen.risky_ns[now]
    some = np.isin(risky, failed)
    # A window is shorter than the days: if one of its CEs comes in them, so does the first or the last.
    ahead = ue_ns[np.searchsorted(failed, risky[some])][:, None] - ns[some]
    in_time = ((ahead >= NOTICE_NS) & (ahead <= NOTICE_NS + RISKY_DAYS * 24 * NS_PER_HOUR)).any(axis=1)
    with_ce = _distinct(seen.dimm[seen.month >= first_month])
    return Risky(with_ce, _distinct(risky), failed.size, _distinct(risky[some][in_time]))


def _risky_alarms(seen: Sightings, observation: Observation) -> float:
    risky = _risky(seen, observation)
    return ratio(risky.alarmed, risky.with_ce)


def _risky_recall(seen: Sightings, observation: Observation) -> float:
    risky = _risky(seen, observation)
    return ratio(risky.predicted, risky.failed)


def _risky_precision(seen: Sightings, observation: Observation) -> float:
    risky = _risky(seen, observation)
    return ratio(risky.predicted, risky.alarmed)


def _share_by_path(seen: Sightings, path: Path) -> float:
    """Share of the DIMMs with a UE whose first one came by a path."""
    order = np.argsort(seen.ue_ns, kind="stable")
    _, first = np.unique(dimm_of_fault(seen.ue_fault[order]), return_index=True)
    paths = seen.ue_path[order][first]
    return ratio(int((paths == path).sum()), paths.size)


class Estimator(NamedTuple):
    """An estimator with its sentence and unit."""

    sentence: str
    unit: str
    estimate: Callable[[Sightings, Observation], float]


def _by_path(seen: Sightings, _: Observation, *, path: Path) -> float:
    return _share_by_path(seen, path)


ESTIMATORS: Final[dict[str, Estimator]] = {
    "dimms_with_ce_per_year": Estimator(
        "DIMMs with a CE in the year", "%", lambda s, o: ratio(_distinct(s.dimm), o.dimms) / o.years
    ),
    "ce_per_dimm_year": Estimator("CE per DIMM-year", "CE", lambda s, o: ratio(s.errors.sum(), o.dimms * o.years)),
    "servers_with_ce_per_year": Estimator(
        "servers with a CE in the last twelve months",
        "%",
        lambda s, o: ratio(_distinct(node_of_dimm(s.dimm[s.month >= o.months - MONTHS_PER_YEAR])), o.servers),
    ),
    "servers_with_ue_per_year": Estimator(
        "servers with a UE per year",
        "%",
        lambda s, o: ratio(_distinct(node_of_fault(s.ue_fault)), o.servers) / o.years,
    ),
    "servers_with_ce_per_month": Estimator(
        "servers with a CE in a month",
        "%",
        lambda s, o: ratio(_distinct(_server_months(s)), o.servers * o.months),
    ),
    "servers_with_ue_per_month": Estimator(
        "servers with a UE in a month",
        "%",
        lambda s, o: ratio(
            _distinct(node_of_fault(s.ue_fault) * _MONTHS_MAX + (s.ue_ns - o.start_ns) // MONTH_NS),
            o.servers * o.months,
        ),
    ),
    "dimms_with_ce_per_month_of_population": Estimator(
        "DIMMs with a CE in a month, in the whole fleet",
        "DIMMs",
        lambda s, o: ratio(s.dimm.size, o.dimms * o.months) * o.population,
    ),
    "ce_per_ce_dimm_month": Estimator(
        "CE per DIMM-month with CE", "CE", lambda s, _: ratio(s.errors.sum(), s.dimm.size)
    ),
    "ce_of_top_20_percent_dimms": Estimator(
        "share of CE on the top 20 % of DIMMs with CE", "%", lambda s, _: _top_share(s.dimm, s.errors, 0.20)
    ),
    "ce_of_top_20_percent_servers": Estimator(
        "share of CE on the top 20 % of servers with CE",
        "%",
        lambda s, _: _top_share(node_of_dimm(s.dimm), s.errors, 0.20),
    ),
    "ce_of_top_1_percent_servers": Estimator(
        "share of CE on the top 1 % of servers with CE",
        "%",
        lambda s, _: _top_share(node_of_dimm(s.dimm), s.errors, 0.01),
    ),
    "ce_mean_over_median": Estimator(
        "mean over median CE of a server-month with CE", "1", lambda s, _: _mean_over_median(s)
    ),
    "servers_with_ce_again_in_month": Estimator(
        "server-months with a CE that have another", "%", lambda s, _: _again(_server_months(s), s.errors)
    ),
    "servers_with_ce_again_in_year": Estimator(
        "servers with a CE that have another in the year", "%", lambda s, _: _again(node_of_dimm(s.dimm), s.errors)
    ),
    "months_active": Estimator(
        "share of the months in which a DIMM with CE shows some",
        "%",
        lambda s, o: ratio(s.dimm.size, _distinct(s.dimm) * o.months),
    ),
    "ue_with_ce_in_month_before": Estimator(
        "DIMMs with a UE that had a CE in the month before", "%", lambda s, _: _with_ce_in_month_before(s)
    ),
    "ue_without_ce_before": Estimator("DIMMs with a UE that never had a CE before", "%", lambda s, _: _without_ce(s)),
    "ue_within_an_hour_of_first_ce": Estimator(
        "DIMMs with CE and then UE that had their first CE less than an hour before",
        "%",
        lambda s, _: _within_an_hour(s),
    ),
    "warning_hours_median": Estimator(
        "median time from the first CE to the first UE of a DIMM", "h", lambda s, _: _median(_warning_hours(s))
    ),
    "ue_failures_per_server_year": Estimator(
        "faults with UE per server-year", "%", lambda s, o: ratio(_distinct(s.ue_fault), o.servers * o.years)
    ),
    "ue_failures_per_dimm_year": Estimator(
        "faults with UE per DIMM-year", "%", lambda s, o: ratio(_distinct(s.ue_fault), o.dimms * o.years)
    ),
    "failures_per_server_year": Estimator(
        "servers with a UE or a full CE log, per year", "%", lambda s, o: ratio(_failures(s), o.servers * o.years)
    ),
    "ce_dimms_that_fail": Estimator(
        "DIMMs with CE that have a UE 15 min or more after their first CE", "%", _share_that_fails
    ),
    **{
        f"ce_dimms_that_fail_{text.replace(' ', '_').lower()}": Estimator(
            f"the same, widest fault {text}", "%", partial(_share_that_fails, wide=wide)
        )
        for wide, text in enumerate(CLASSES)
    },
    **{
        f"fail_{name}_after_first_ce": Estimator(
            f"DIMMs that fail more than {text} after their first CE", "%", partial(_share_with_lead, hours=hours)
        )
        for name, text, hours in LEADS
    },
    "risky_alarms": Estimator(
        f"DIMMs with CE in the last {RISKY_MONTHS} months that had one in both halves of a device", "%", _risky_alarms
    ),
    "risky_recall": Estimator(f"DIMMs that fail then, 15 min to {RISKY_DAYS} days after such a CE", "%", _risky_recall),
    "risky_precision": Estimator("the same as a share of the DIMMs that had one", "%", _risky_precision),
    **{
        f"first_ue_{path.name.lower()}": Estimator(
            f"DIMMs with a UE whose first came by: {path.text}", "%", partial(_by_path, path=path)
        )
        for path in Path
    },
}
"""Estimators by name, over the sightings of one arm."""


AVOIDED: Final[dict[str, tuple[str, Callable[[Sightings], float]]]] = {
    "ce_avoided_by_page_offlining": ("CE avoided by page offlining", lambda s: float(s.errors.sum())),
    "ue_avoided_by_page_offlining": ("UEs avoided by page offlining", lambda s: float(s.ue_fault.size)),
}
"""Estimators that compare the first arm with the second."""
