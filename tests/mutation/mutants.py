"""Mutants of the handler: one rule of the data changed at a time.

Every row of the state table deleted, every switch set to its neighbour's value, every kill rule turned, every severity
rule deleted. A mutant is applied to the imported modules, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from node_sim.catalog.kernels import PROFILE_NAMES, PROFILES, SWITCHES, switch_value
from node_sim.hwpoison import error_states, kill
from node_sim.machine_check import severity


class Mutant(NamedTuple):
    """A change: its group, what it is, and how to make it."""

    group: str
    name: str
    apply: Callable[[], None]


def _without_state(row: int) -> None:
    error_states.ERROR_STATES = error_states.ERROR_STATES[:row] + error_states.ERROR_STATES[row + 1 :]


def _with_switch(profile: str, switch: str, value: object) -> None:
    PROFILES[profile] = replace(PROFILES[profile], **{switch: value})


def _with_kill_rule(name: str, **change: object) -> None:
    kill.KILL_SETS[name] = kill.KILL_SETS[name]._replace(**change)


def _without_severity(row: severity.SeverityRow) -> None:
    for profile, rows in severity._ROWS.items():
        severity._ROWS[profile] = tuple(one for one in rows if one is not row)


def state_mutants() -> Iterator[Mutant]:
    for place, row in enumerate(error_states.ERROR_STATES):
        yield Mutant("state row", f"{row.texts[2]} deleted", lambda place=place: _without_state(place))


def switch_mutants() -> Iterator[Mutant]:
    for switch in SWITCHES:
        for place, profile in enumerate(PROFILE_NAMES):
            neighbours = {switch_value(switch, other) for other in (place - 1, place + 1) if other >= 0}
            for value in sorted(neighbours - {switch_value(switch, place)}, key=str):
                yield Mutant(
                    "switch",
                    f"{switch} of {profile} = {value}",
                    lambda profile=profile, switch=switch, value=value: _with_switch(profile, switch, value),
                )


_CHOICES = {
    "threads": ("leader", "any early", "each"),
    "others": ("policy", "all", "none"),
}


def kill_mutants() -> Iterator[Mutant]:
    used = {PROFILES[name].kill_set for name in PROFILE_NAMES}
    for name in sorted(used):
        for field, choices in _CHOICES.items():
            for value in choices:
                if value != getattr(kill.KILL_SETS[name], field):
                    yield Mutant(
                        "kill rule",
                        f"{field} of {name} = {value}",
                        lambda name=name, field=field, value=value: _with_kill_rule(name, **{field: value}),
                    )


def severity_mutants() -> Iterator[Mutant]:
    for row in severity.INTEL_ROWS:
        span = f"{row.since} to {row.until or PROFILE_NAMES[-1]}"
        yield Mutant("severity row", f"{row.key}, {span}, deleted", lambda row=row: _without_severity(row))


def all_mutants() -> list[Mutant]:
    return [*state_mutants(), *switch_mutants(), *kill_mutants(), *severity_mutants()]
