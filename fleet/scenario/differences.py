"""Arms as differences from the first: the settings in which their policies are not alike, with both values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from fleet.scenario.fleet import Fleet
from node_sim.server.policy import Policy
from node_sim.server.settings import Setting


class Unlike(NamedTuple):
    """A setting in which an arm is not the first one; ``groups`` are those where, none if it is so in all."""

    key: str
    was: str
    now: str
    unit: str
    means: str
    groups: tuple[str, ...]


def _settings(config: Any, path: str = "") -> Iterator[tuple[str, Setting | None, Any]]:
    """Yield the leaves of a configuration: key, what is known about it, value."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from _settings(value, f"{path}{item.name}.")
        else:
            yield path + item.name, item.metadata.get("setting"), value


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(_entry(entry) for entry in value) or "none"
    return str(value)


def _entry(entry: Any) -> str:
    if dataclasses.is_dataclass(entry):
        return " ".join(_written(value) for _, _, value in _settings(entry))
    return " = ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)


def _unlike(first: Policy, other: Policy) -> Iterator[tuple[str, str, str, str, str]]:
    if first == other:
        return
    for (key, known, was), (_, _, now) in zip(_settings(first), _settings(other), strict=True):
        if was != now:
            unit, means = (known.unit, known.sentence) if known else ("", "")
            yield key, _written(was), _written(now), unit, means


def arm_differences(fleet: Fleet) -> dict[str, tuple[Unlike, ...]]:
    """Return in what each arm but the first differs from it; groups with the same difference are together."""
    found: dict[str, tuple[Unlike, ...]] = {}
    for position, arm in enumerate(fleet.arms[1:], start=1):
        groups: dict[tuple[str, str, str, str, str], list[str]] = {}
        for group in fleet.groups:
            for difference in _unlike(group.policies[0], group.policies[position]):
                groups.setdefault(difference, []).append(group.name)
        found[arm] = tuple(
            Unlike(*difference, () if len(names) == len(fleet.groups) else tuple(names))
            for difference, names in groups.items()
        )
    return found
