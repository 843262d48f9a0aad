"""The assumptions that the headline of a run hangs on, with the values that the run uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from fleet.scenario.fleet import FIXED_SECTIONS, Document, Fleet
from node_sim.catalog.values import Assumed
from node_sim.catalog.workloads import WORKLOAD_ASSUMPTION
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy
from node_sim.server.remarks import inert_keys

OFF_AT_ZERO: Final = frozenset(
    {
        "faults.command_address_fit",
        "faults.growth.share_1x1",
        "faults.growth.second_device",
        "ecc.risk.share_2dq",
        "repair.cordon.ue",
    }
)
"""Settings that at 0 let nothing happen of what they are about: nothing is assumed then."""


TOGETHER: Final = {"workload.shared.mapped_file": "workload.shared.library"}
"""Shares of one thing: to raise one to the end of its range, the other has to be lowered."""
_WORKLOAD: Final = (
    ("workload.use.KIND", "the other kinds scale"),
    ("workload.process", "give the whole list"),
)


class _Used(NamedTuple):
    """A value that a setting has in a group under an arm."""

    group: str
    arm: str
    value: float


def _headline_settings(config: Any, path: str = "") -> Iterator[tuple[str, Assumed[float], float]]:
    """Yield the settings whose default is a headline assumption: key, assumption, value."""
    for item in dataclasses.fields(config):
        value, known = getattr(config, item.name), item.metadata.get("setting")
        if dataclasses.is_dataclass(value):
            yield from _headline_settings(value, f"{path}{item.name}.")
        elif known is not None and isinstance(known.number, Assumed) and known.number.headline:
            yield path + item.name, known.number, value


def _in_force(policy: Policy, hardware: Hardware) -> Iterator[tuple[str, Assumed[float], float]]:
    """Yield the headline settings that have an effect on servers under a policy."""
    without_effect = inert_keys(policy, hardware)
    for part in (hardware, policy):
        for key, number, value in _headline_settings(part):
            if key not in without_effect and not (key in OFF_AT_ZERO and value == 0):
                yield key, number, value


def _differ_by(used: list[_Used]) -> str | None:
    """Say what the values of a setting differ by, if they do: by arm as soon as two arms of a group differ."""
    if len({one.value for one in used}) == 1:
        return None
    by_group: dict[str, set[float]] = {}
    for one in used:
        by_group.setdefault(one.group, set()).add(one.value)
    return "arm" if any(len(values) > 1 for values in by_group.values()) else "group"


def headline_assumptions(fleet: Fleet) -> list[Document]:
    """List the assumptions that kill, recovery and panic rates of a run hang on directly.

    Each has its ``setting``, the ``values`` that the run uses (ascending, of all groups and arms where the setting has
    an effect), what they differ ``by``, the ``assumed`` value of the catalogue with its range, ``unit`` and ``why``,
    the option to ``vary`` it by, and the setting ``with`` which it adds up to 1 at most, if there is one.
    Settings that are off, or have no effect, in all groups and arms are left out.
    """
    used: dict[str, list[_Used]] = {}
    numbers: dict[str, Assumed[float]] = {}
    for group in fleet.groups:
        for arm, policy in zip(fleet.arms, group.policies, strict=True):
            for key, number, value in _in_force(policy, group.hardware):
                numbers[key] = number
                used.setdefault(key, []).append(_Used(group.name, arm, value))
    listed: list[Document] = [
        {
            "setting": key,
            "values": sorted({one.value for one in used[key]}),
            "by": _differ_by(used[key]),
            "assumed": number.value,
            "low": number.low,
            "high": number.high,
            "unit": number.unit,
            "why": number.why,
            "vary": "--set" if key.split(".")[0] in FIXED_SECTIONS else "--set or --sweep",
            "with": TOGETHER.get(key),
        }
        for key, number in numbers.items()
    ]
    return [*listed, *({"setting": key, "why": f"{WORKLOAD_ASSUMPTION.why}; {how}"} for key, how in _WORKLOAD)]
