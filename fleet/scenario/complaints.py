"""Complaints about a scenario: what several groups or arms have in common is said once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from node_sim.guesses import listed


def together(complaints: Iterable[str], groups: Sequence[str], arms: Sequence[str]) -> list[str]:
    """Say each complaint once, in the order in which they came first: "groups a, b: …", "arms x, y: …".

    Args:
        complaints: Lines that begin with ``group.NAME.``, with ``arm.NAME: group.NAME.``, or otherwise.
        groups: Names of groups.
        arms: Names of arms.
    """
    in_group, in_arm = _beginning("group", r"\.", groups), _beginning("arm", ": ", arms)
    by_rest: dict[tuple[str, str], list[str]] = {}
    for line in dict.fromkeys(complaints):
        arm, rest = _split(in_arm, line)
        group, rest = _split(in_group, rest)
        by_rest.setdefault((arm, rest), []).append(group)
    by_groups: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (arm, rest), names in by_rest.items():
        by_groups.setdefault((tuple(names), rest), []).append(arm)
    return [
        _named("arm", arms_there, ": ") + _named("group", names, ".") + rest
        for (names, rest), arms_there in by_groups.items()
    ]


def _beginning(noun: str, end: str, names: Sequence[str]) -> re.Pattern[str]:
    """Return what matches the beginning of a line with one of some names, longer ones first."""
    some = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"{noun}\.({some}){end}" if names else r"(?!)")


def _split(beginning: re.Pattern[str], line: str) -> tuple[str, str]:
    """Return the name that a line begins with, and the rest of the line."""
    found = beginning.match(line)
    return (found[1], line[found.end() :]) if found else ("", line)


def _named(noun: str, names: Sequence[str], end: str) -> str:
    """Begin a line with the names that it is about."""
    some = [name for name in names if name]
    if len(some) == 1:
        return f"{noun}.{some[0]}{end}"
    return f"{noun}s {listed(some)}: " if some else ""
