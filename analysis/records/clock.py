"""When something happened, as records write it: in UTC."""

from __future__ import annotations

import datetime as dt
from typing import Final

_US, _S_PER_DAY, _S_PER_HOUR, _S_PER_MINUTE = 1_000_000, 86_400, 3_600, 60
TimedLines = list[tuple[int, str]]
"""(time [ns since the time of the run is 0], line) in order."""


class WallClock:
    """Turns times of a run into text; days that follow each other are worked out once."""

    def __init__(self, start_us: int) -> None:
        """Start.

        Args:
            start_us: When the time of the run is 0 [us since 1970].
        """
        self.start_us: Final = start_us
        self._day, self._date = -1, ""

    def us(self, time_ns: int) -> int:
        """Return microseconds since 1970."""
        return self.start_us + time_ns // 1000

    def text(self, us: int, between: str = " ") -> str:
        """Return date and time to the second.

        Args:
            us: Since 1970 [us].
            between: What stands between them.
        """
        day, second = divmod(us // _US, _S_PER_DAY)
        if day != self._day:
            self._day, self._date = day, dt.datetime.fromtimestamp(day * _S_PER_DAY, dt.UTC).strftime("%Y-%m-%d")
        hour, rest = divmod(second, _S_PER_HOUR)
        return f"{self._date}{between}{hour:02d}:{rest // _S_PER_MINUTE:02d}:{rest % _S_PER_MINUTE:02d}"
