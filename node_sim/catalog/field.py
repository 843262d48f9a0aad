"""Field studies that presets stand for: what was published, what a preset is fitted to and what it predicts.

The interval of a figure is the one published, or that of the rounding of the printed number, or the exact Poisson
interval of the published count. A figure without a published number is printed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node_sim.catalog.values import Assumed, Published
from node_sim.codes import Path


@dataclass(frozen=True)
class Figure:
    """One figure of a study.

    Attributes:
        metric: Name of the estimator.
        role: ``fitted`` by a setting of the preset, ``calibrates`` a number that all presets share, or ``predicted``.
        published: The number, or None where the study gives none.
        low: Lower end of its interval.
        high: Upper end.
    """

    metric: str
    role: str
    published: Published[float] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Study:
    """A field study.

    Attributes:
        months: Length of the observation at the end of the simulated time.
        figures: Its figures.
        population: DIMMs of the fleet for figures that are counts; not published.
        groups: Node groups of the preset that stand for the study; empty: all.
    """

    months: int
    figures: tuple[Figure, ...]
    population: Assumed[int] | None = None
    groups: tuple[str, ...] = ()


def _figure(
    role: str, metric: str, value: float, interval: tuple[float, float], source: str, confidence: str
) -> Figure:
    return Figure(metric, role, Published(value, "-", source, confidence), *interval)


_SCHROEDER: Final = "Schroeder et al., SIGMETRICS 2009"
_MEZA: Final = "Meza et al., DSN 2015"
_CHENG: Final = "Cheng et al., SRDS 2022, constants in zncheng/dramanalysis @bbe367f"
_M2MFP: Final = "M2-MFP, KDD 2025 (arXiv 2507.07144), Table 6"
_PATTERNS: Final = (
    "stage-2 feature cache of CelestialMelody/ucas-os-lab-7-memory-failure-prediction @25815b7 (Huawei's 2024 set, "
    "Purley): DIMMs with a ticket in five months by the widest pattern in 6 h, times 1704/836 for nine months"
)
_TICKETS: Final = (
    "tickets of hwcloud-RAS/SmartMem @973d9d1, Purley, with the first CE of the DIMM; all have one 15 min before"
)
_SECOND: Final = "read-secondary"

PATHS: Final = tuple(Figure(f"first_ue_{path.name.lower()}", "predicted") for path in Path)
"""How failing DIMMs came to it; printed for every study."""
_CLASS_FACTOR, _LEAD_FACTOR = 1.7, 1.2
"""Intervals of what risk and growth are fitted to: five classes and five leads by a dozen numbers."""
_BY_CLASS: Final = tuple(
    _figure(
        "fitted",
        f"ce_dimms_that_fail_{name}",
        share,
        (share / _CLASS_FACTOR, share * _CLASS_FACTOR),
        f"{_PATTERNS}; {count}; interval: a factor of {_CLASS_FACTOR}",
        "computed",
    )
    for name, share, count in (
        ("1_x_1", 0.00874, "203 of 47,358"),
        ("1_x_more", 0.03997, "126 of 6,426"),  # the code corrects these; only what they grow to fails
        ("2_dq", 0.18235, "180 of 2,012"),
        ("3_dq", 0.07102, "20 of 574"),
        ("4_dq", 0.06579, "205 of 6,351"),
    )
)
_BY_LEAD: Final = tuple(
    _figure(
        "fitted",
        f"fail_{name}_after_first_ce",
        count / 768,
        (count / 768 / _LEAD_FACTOR, min(1.0, count / 768 * _LEAD_FACTOR)),
        f"{_TICKETS}: {count} of 768; interval: a factor of {_LEAD_FACTOR}",
        "computed",
    )
    for name, count in (("30min", 738), ("1h", 698), ("6h", 610), ("1d", 553), ("8d", 470))
)
_RISKY: Final = tuple(
    _figure(
        role,
        f"risky_{name}",
        value,
        interval,
        f"M2-MFP, KDD 2025 (arXiv 2507.07144), Table 2, June to September, both platforms: {counts}; interval: {why}",
        "computed",
    )
    for role, name, value, interval, counts, why in (
        ("predicted", "alarms", 8042 / 62045, (0.10, 0.18), "8,042 DIMMs of 62,045 with CE", "assumed"),
        ("fitted", "recall", 398 / 833, (0.40, 0.60), "398 of 833 failures", "assumed"),
        ("predicted", "precision", 398 / 8042, (0.0448, 0.0545), "398 of 8,042", "exact binomial"),
    )
)

STUDIES: Final[dict[str, Study]] = {
    "google-2008": Study(
        12,
        (
            _figure("fitted", "dimms_with_ce_per_year", 0.082, (0.0815, 0.0825), _SCHROEDER, _SECOND),
            _figure(
                "fitted",
                "ce_per_dimm_year",
                3751.0,
                (3590.0, 10054.0),
                f"{_SCHROEDER}; interval: 25,000-70,000 FIT/Mbit of the abstract at 2 GiB per DIMM",
                _SECOND,
            ),
            _figure("predicted", "ce_of_top_20_percent_dimms", 0.94, (0.94, 1.0), f"{_SCHROEDER}: > 94 %", _SECOND),
            _figure("predicted", "ce_of_top_20_percent_servers", 0.90, (0.90, 1.0), f"{_SCHROEDER}: > 90 %", _SECOND),
            _figure("predicted", "servers_with_ce_again_in_month", 0.85, (0.85, 1.0), f"{_SCHROEDER}: > 85 %", _SECOND),
            _figure("predicted", "servers_with_ce_again_in_year", 0.93, (0.93, 1.0), f"{_SCHROEDER}: > 93 %", _SECOND),
            _figure(
                "predicted",
                "servers_with_ce_per_year",
                1 / 3,
                (0.30, 0.36),
                f"{_SCHROEDER}: about a third, as a vendor paper quotes it",
                _SECOND,
            ),
            _figure(
                "predicted",
                "servers_with_ue_per_year",
                0.013,
                (0.0125, 0.0135),
                f"{_SCHROEDER}: about 1.3 %, as a vendor paper quotes it",
                _SECOND,
            ),
            _figure("predicted", "ue_with_ce_in_month_before", 0.75, (0.70, 0.80), f"{_SCHROEDER}: 70-80 %", _SECOND),
            *PATHS,
            Figure("months_active", "predicted"),
        ),
    ),
    "facebook-2014": Study(
        14,
        (
            _figure("fitted", "servers_with_ce_per_month", 0.0208, (0.02075, 0.02085), f"{_MEZA}: 2.08 %", _SECOND),
            _figure("fitted", "servers_with_ue_per_month", 0.0003, (0.00025, 0.00035), f"{_MEZA}: 0.03 %", _SECOND),
            _figure("predicted", "ce_mean_over_median", 55.0, (50.0, 60.0), f"{_MEZA}: about 55", _SECOND),
            _figure("predicted", "ce_of_top_1_percent_servers", 0.978, (0.9775, 0.9785), _MEZA, "recalled-unverified"),
            *PATHS,
            Figure("servers_with_ce_per_year", "predicted"),
            Figure("ce_of_top_20_percent_dimms", "predicted"),
            Figure("months_active", "predicted"),
            Figure("ce_avoided_by_page_offlining", "predicted"),
            Figure("ue_avoided_by_page_offlining", "predicted"),
        ),
    ),
    "alibaba-2022": Study(
        8,
        (
            _figure(
                "fitted",
                "ue_failures_per_server_year",
                567 / 135831,
                (0.003838, 0.004532),
                f"{_CHENG}: 567 in 135,831 server-years; exact Poisson interval",
                "computed",
            ),
            _figure(
                "predicted",
                "failures_per_server_year",
                2137 / 135831,
                (0.015073, 0.016415),
                f"{_CHENG}: 2,137 in 135,831 server-years, with other causes; exact Poisson interval",
                "computed",
            ),
            *PATHS,
            Figure("ue_without_ce_before", "predicted"),
            Figure("ue_within_an_hour_of_first_ce", "predicted"),
            Figure("warning_hours_median", "predicted"),
            Figure("ce_of_top_20_percent_dimms", "predicted"),
            Figure("months_active", "predicted"),
        ),
    ),
    "alibaba-2022-dimms": Study(
        8,
        (
            _figure(
                "fitted",
                "ue_failures_per_dimm_year",
                567 / 135831 / 14.05,
                (0.0002731, 0.0003226),
                f"{_CHENG}: 567 in 135,831 server-years of 14.05 DIMMs; exact Poisson interval",
                "computed",
            ),
            *PATHS,
            Figure("ue_without_ce_before", "predicted"),
            Figure("ce_of_top_20_percent_dimms", "predicted"),
            Figure("months_active", "predicted"),
        ),
        groups=("sddc",),
    ),
    "huawei-2024": Study(
        9,
        (
            _figure(
                "fitted",
                "dimms_with_ce_per_month_of_population",
                33552.0,
                (26364.0, 40417.0),
                f"{_M2MFP}: mean, least and most of nine months",
                "computed",
            ),
            _figure(
                "calibrates",
                "ce_per_ce_dimm_month",
                3796.0,
                (3427.0, 4200.0),
                f"{_M2MFP}: mean, least and most of nine months",
                "computed",
            ),
            _figure(
                "predicted",
                "months_active",
                301967 / (9 * 71969),
                (0.366, 0.562),
                f"{_M2MFP}: sum of the monthly DIMMs over nine times all DIMMs; least and most of nine months",
                "computed",
            ),
            _figure(
                "fitted",
                "ce_dimms_that_fail",
                1704 / 71969,
                (0.02256, 0.02483),
                f"{_M2MFP}: 1,704 of 71,969, by ticket; exact binomial interval",
                "computed",
            ),
            *_BY_CLASS,
            *_BY_LEAD,
            *_RISKY,
            *PATHS,
            Figure("ce_of_top_20_percent_dimms", "predicted"),
        ),
        Assumed(2_000_000, 500_000, 10_000_000, "DIMMs of the fleet; the paper counts only those with errors"),
    ),
}
"""Studies by name: that of a preset, or of the baseline."""

ERROR_PROCESS_CALIBRATION: Final = (
    "calibrated to: spread of counts and saturation (Huawei windows), bursts of single faults (SmartMem samples), mean "
    "CE per DIMM-month (Huawei 2024; google-2008 its own); concentration and persistence of DIMMs are predicted"
)
