"""The key tree of a scenario: dotted keys of a group with what is known about each, and values at its limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, Final, get_type_hints

from fleet.scenario.fleet import Group
from node_sim.server.settings import Setting


def _walk(kind: Any, path: str) -> Iterator[tuple[str, Setting, Any]]:
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        known = item.metadata.get("setting")
        if known is not None:
            yield f"{path}{item.name}", known, hints[item.name]
        elif dataclasses.is_dataclass(hints[item.name]):
            yield from _walk(hints[item.name], f"{path}{item.name}.")


@cache
def tree() -> tuple[tuple[str, Setting, Any], ...]:
    """All settings of a group: key, what is known, type."""
    return tuple(one for one in _walk(Group, "") if one[0] not in ("share", "own_policy.function", "kernel.switches"))


MULTIPLIERS: Final = {
    "faults.fit_factor": 10.0,
    "faults.bit_factor": 50.0,
    "faults.lane_fit": 2000.0,
    "faults.command_address_fit": 2000.0,
    "faults.speed_ratio": 2.0,
    "faults.infant_factor": 10.0,
    "faults.wearout_factor": 10.0,
}
"""Settings that multiply faults, and how far: more are allowed and take memory and minutes, which is not asked here."""


def extreme(random: Random, key: str, known: Setting, kind: Any) -> Any:
    """Return an allowed value, most often at or near a limit; the smallest steps from a limit are among them."""
    if known.choices:
        return random.choice(known.choices)
    if kind is bool:
        return random.choice((True, False))
    low, high = known.low, MULTIPLIERS.get(key, known.high)
    if low is None or high is None:
        return 1
    if kind is int:
        return int(random.choice((low, high, low + 1, high - 1, random.uniform(low, high))))
    tiny = (5e-324, 1e-310, 1e-200, 1e-30, 1e-12, 1e-6)
    near = random.choice((low, high, random.uniform(low, high), low + random.choice(tiny), high * (1 - 1e-12)))
    return float(min(max(near, low), high))
