"""Units: the only place where one unit is turned into another."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
S_PER_HOUR = 3600
S_PER_DAY = 86_400
HOURS_PER_DAY = 24
HOURS_PER_YEAR = 8766.0
"""Julian year of 365.25 days."""
NS_PER_HOUR = S_PER_HOUR * NS_PER_S
NS_PER_DAY = S_PER_DAY * NS_PER_S
NS_PER_YEAR = int(HOURS_PER_YEAR * NS_PER_HOUR)
DEVICE_HOURS_PER_FIT = 1e9
BYTES_PER_GB = 1 << 30
"""Memory is sold in powers of two."""
PAGE_SHIFT = 12
PAGE_BYTES = 1 << PAGE_SHIFT
LINE_BYTES = 64
LINES_PER_PAGE = PAGE_BYTES // LINE_BYTES
PAGES_PER_HUGE_PAGE = 512
"""4 KiB pages in a 2 MiB huge page, the block for which use and owner are drawn."""
PAGES_PER_GIGANTIC_PAGE = 512 * PAGES_PER_HUGE_PAGE
"""4 KiB pages in a 1 GiB huge page."""
START = "2025-01-01T00:00:00Z"
"""When the time of a run is 0, if nobody says otherwise."""
FOREVER = (1 << 62) - 1
"""Stands for "never" in columns of times [ns]: 146 years, beyond any horizon; sums of two still fit 64 bits."""


def fit_to_per_year(rate_fit: float) -> float:
    """Turn failures in 1e9 device-hours into failures per device-year."""
    return rate_fit * HOURS_PER_YEAR / DEVICE_HOURS_PER_FIT


def hours_to_ns(hours: float) -> int:
    """Turn hours into nanoseconds, rounded."""
    return round(hours * NS_PER_HOUR)


def seconds_to_ns(seconds: float) -> int:
    """Turn seconds into nanoseconds, rounded."""
    return round(seconds * NS_PER_S)
