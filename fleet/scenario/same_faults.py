"""Whether two runs have the same faults, so that their nodes can be paired; decided by what their scenarios mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from fleet.scenario.fleet import Fleet, GroupPlan


def differences_in_faults(one: Fleet, other: Fleet, seeds: tuple[int, int]) -> list[str]:
    """Say in what two runs differ that decides about faults: seed, nodes, years, groups, hardware; nothing if in none.

    Args:
        one: The first run's scenario.
        other: The second's.
        seeds: Their seeds.
    """
    pairs = (
        ("seed", *seeds),
        ("nodes", one.nodes, other.nodes),
        ("years", one.scenario.years, other.scenario.years),
        ("groups", len(one.groups), len(other.groups)),
    )
    found = [f"{name} {here} and {there}" for name, here, there in pairs if here != there]
    for here, there in zip_longest(one.groups, other.groups):
        if here is not None and there is not None:
            found += [f"group {here.name}: {line}" for line in _of_group(here, there)]
    return found


def _of_group(one: GroupPlan, other: GroupPlan) -> Iterator[str]:
    if one.nodes != other.nodes:
        yield f"{one.nodes} and {other.nodes} nodes"
    yield from _settings(one.hardware, other.hardware)


def _settings(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Name the settings in which two records differ."""
    for item in dataclasses.fields(one):
        here, there = getattr(one, item.name), getattr(other, item.name)
        if dataclasses.is_dataclass(here) and dataclasses.is_dataclass(there):
            yield from _settings(here, there, f"{path}{item.name}.")
        elif here != there:
            yield f"{path}{item.name} {here} and {there}"
