"""Alert rules for a fleet whose time passes faster than that of the Prometheus that watches it.

At speed S a window of Prometheus spans S times as much of the fleet's time, so windows are divided by S; a window
needs some scrapes, so none is made shorter than four. What hosts tell of their own clocks stays as it is. Where a
window could not be made short enough, the rule and what it says are about more of the fleet's time, and a comment names
it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, NamedTuple

SCRAPES_MIN: Final = 4
UNITS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_RULE: Final = re.compile(r"(?m)^(?=      - alert: |  - name: )")
_ALERT: Final = re.compile(r"- alert: (\w+)")
_RANGE: Final = re.compile(r"(?<=\[)\d+[dhms](?=\])")
_OFFSET: Final = re.compile(r"(?<=offset )\d+[dhms]")
_WAIT: Final = re.compile(r"(?<=for: )\d+[dhms]")
_INTERVAL: Final = re.compile(r"(?<=interval: )\d+[dhms]")
_UPTIME: Final = re.compile(r"(?<=node_boot_time_seconds < )\d+")
_SAID: Final = re.compile(r"(?<=within )\d+[dhms]|(?<=for )\d+[dhms]")


class _Scale(NamedTuple):
    """How time is scaled.

    Attributes:
        speed: Seconds of the fleet in a second of Prometheus.
        scrape_s: Scrape interval [s].
    """

    speed: float
    scrape_s: float

    @property
    def shortest_s(self) -> float:
        """Shortest window [s]."""
        return SCRAPES_MIN * self.scrape_s

    def window_s(self, fleet_s: float) -> float:
        """Return the window of Prometheus [s] for one of the fleet [s]."""
        return max(fleet_s / self.speed, self.shortest_s)

    def fleet_s(self, fleet_s: float) -> float:
        """Return how much of the fleet's time [s] a window meant for so much [s] spans."""
        return self.window_s(fleet_s) * self.speed if self.is_cut(fleet_s) else fleet_s

    def is_cut(self, fleet_s: float) -> bool:
        """Whether a window cannot be made short enough."""
        return fleet_s / self.speed < self.shortest_s


def scrape_interval_s(config: str) -> float:
    """Return the scrape interval [s] of a configuration of Prometheus."""
    return _seconds(re.findall(r"(?m)^  scrape_interval: (\d+[dhms])", config)[0])


def scaled_rules(rules: str, speed: float, scrape_s: float) -> str:
    """Return alert rules for a fleet at a speed.

    Args:
        rules: The rules for speed 1, as shipped.
        speed: Seconds of the fleet in a second of Prometheus.
        scrape_s: Scrape interval of Prometheus [s].
    """
    scale = _Scale(speed, scrape_s)
    head, *parts = _RULE.split(rules)
    cut = [line for part in parts for line in _cut(part, scale)]
    told = [f"# For 'hwpoison-fleet serve --speed {speed:g}': windows are divided by it.", *cut]
    return "\n".join(told) + "\n" + head + "".join(_scaled(part, scale) for part in parts)


def _seconds(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def _duration(seconds: float) -> str:
    """Return a duration as Prometheus reads it, rounded up to milliseconds."""
    ms = math.ceil(round(seconds * 1000, 3))
    if ms % 1000:
        return f"{ms}ms"
    unit = next(unit for unit, size in UNITS.items() if ms // 1000 % size == 0)
    return f"{ms // 1000 // UNITS[unit]}{unit}"


def _each(pattern: re.Pattern[str], text: str, changed: Callable[[float], float]) -> str:
    return pattern.sub(lambda found: _duration(changed(_seconds(found[0]))), text)


def _scaled(part: str, scale: _Scale) -> str:
    """Scale one rule, or the head of a group; offsets stay the same number of windows."""
    windows = [_seconds(text) for text in _RANGE.findall(part)]
    stretch = scale.window_s(windows[0]) / windows[0] if windows else 1 / scale.speed
    part = _each(_OFFSET, part, lambda offset_s: offset_s * stretch)
    for pattern in (_RANGE, _WAIT):
        part = _each(pattern, part, scale.window_s)
    part = _each(_INTERVAL, part, lambda interval_s: max(interval_s / scale.speed, scale.scrape_s))
    part = _UPTIME.sub(lambda found: f"{scale.fleet_s(float(found[0])):.0f}", part)
    return _each(_SAID, part, scale.fleet_s)


def _cut(part: str, scale: _Scale) -> list[str]:
    """Say which windows of a rule could not be made short enough."""
    name = _ALERT.search(part)
    windows = {_seconds(found[0]): found[0] for pattern in (_RANGE, _WAIT) for found in pattern.finditer(part)}
    cut = [text for seconds, text in sorted(windows.items()) if scale.is_cut(seconds)]
    if name is None or not cut:
        return []
    least = _duration(scale.shortest_s * scale.speed)
    return [f"# {name[1]}: {' and '.join(cut)} cannot be cut below {SCRAPES_MIN} scrapes, {least} of the fleet."]
