"""The date at which the time of a run is 0, as a scenario says it: it dates rows and changes none."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
"""RFC 3339, to the microsecond."""
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2150, 1, 1, tzinfo=UTC)
"""So that the longest run ends while a time in nanoseconds fits 64 bits."""
EXPECTED: Final = "expected a time from 1970 to 2149 with its zone, as 2025-01-01T00:00:00Z"


def start_utc(text: str) -> str:
    """Return a time in UTC, as plans hold it.

    Raises:
        ValueError: It is not a time, or not one that can be a start.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(EXPECTED)
    found = datetime.fromisoformat(text.upper())
    if not _FIRST <= found < _LAST:
        raise ValueError(EXPECTED)
    return f"{found.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def start_complaint(value: object) -> str | None:
    """Say what is wrong with a start; None where nothing is, and of what is not a text, which is said by others."""
    try:
        if isinstance(value, str):
            start_utc(value)
    except ValueError:  # of ours, and of days that no month has
        return f"start = {value!r}, {EXPECTED}; change it"
    return None
