"""Times of a run as they are typed: dates, or days since its start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from node_sim.errors import ConfigError
from node_sim.units import NS_PER_DAY, NS_PER_S

WRITTEN: Final = "days (12d) or a time with its zone (2025-03-01T00:00:00Z)"
"""How a time is typed."""


def time_in_run(option: str, text: str, start_s: float, horizon_ns: int, others: str = "") -> int:
    """Return a time of a run [ns since its start].

    Args:
        option: Where it was typed.
        text: The time, RFC 3339 or days since the start.
        start_s: When the time of the run is 0 [s since 1970].
        horizon_ns: When it is over.
        others: What else may be typed there, with a comma behind it.

    Raises:
        ConfigError: It is none, or not within the run.
    """
    found_ns = _parsed(text, start_s)
    if found_ns is None:
        msg = f"{option} {text!r}: expected {others}{WRITTEN}; mend it"
        raise ConfigError(msg)
    if not 0 <= found_ns <= horizon_ns:
        begin, end = (f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}" for at_s in _span(start_s, horizon_ns))
        days = horizon_ns / NS_PER_DAY
        msg = f"{option} {text}: not within the run, expected {begin} to {end}, or 0d to {days:g}d; choose another"
        raise ConfigError(msg)
    return found_ns


def _span(start_s: float, horizon_ns: int) -> tuple[float, float]:
    return start_s, start_s + horizon_ns / NS_PER_S


def _parsed(text: str, start_s: float) -> int | None:
    """Return a time [ns since the start]; None is none."""
    try:
        if text.endswith("d"):
            return round(float(text[:-1]) * NS_PER_DAY)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return None if found.tzinfo is None else round((found.timestamp() - start_s) * NS_PER_S)
