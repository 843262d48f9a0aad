"""Keys of scenarios that are not known: which one was meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, Final, get_origin, get_type_hints

from fleet.printable import visible
from fleet.scenario.fleet import Group, Scenario
from node_sim.guesses import nearest

_LEAVES_MAX: Final = 10
"""Keys of one unknown table that are answered."""
_KEYS_MAX: Final = 10_000
"""Unknown keys that are remembered: every arm asks for those of every group again."""
_ALIKE: Final = 0.75
"""How alike names of different tables are of which one may be meant for the other."""
_IN_GROUP: Final = "group.NAME."


def _walk(kind: Any, path: str) -> Iterator[str]:
    """Yield the dotted keys of a kind, and of the tables in it."""
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        yield f"{path}{item.name}"
        if dataclasses.is_dataclass(hints[item.name]):
            yield from _walk(hints[item.name], f"{path}{item.name}.")


@cache
def group_keys() -> tuple[str, ...]:
    """Keys of a group."""
    return tuple(_walk(Group, ""))


@cache
def scenario_keys() -> tuple[str, ...]:
    """Keys of a scenario outside its groups and arms."""
    hints = get_type_hints(Scenario)
    return tuple(item.name for item in dataclasses.fields(Scenario) if get_origin(hints[item.name]) is not dict)


def unknown_keys(place: Sequence[str], value: Any, *, in_group: bool) -> Iterator[tuple[str, str]]:
    """Yield the keys that are unknown at a place, dotted, each with what to do about it.

    Args:
        place: The names that lead there, the unknown one last.
        value: What stands there; of a table, its entries are asked about.
        in_group: The names begin in a group, not at the top of the scenario.
    """
    for n, names in enumerate(_leaves(tuple(place), value)):
        if n == _LEAVES_MAX:
            return
        key = ".".join(names)
        meant = meant_by(key)
        if meant and not in_group and meant in group_keys():
            meant = _IN_GROUP + meant
        yield ".".join(map(visible, names)), f"did you mean {meant}?" if meant else "remove it or mend its name"


def _leaves(names: tuple[str, ...], value: Any) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        yield names
        return
    for name, inner in value.items():
        yield from _leaves((*names, name), inner)


@lru_cache(_KEYS_MAX)
def meant_by(key: str) -> str:
    """Return the key that was meant by one that is unknown, nothing if none is near.

    A known name in another table comes first (``vm.memory_failure_recovery``), then a name like it in the same table,
    or one that ends in it, then a key that is like all of it, or has a name like it.
    """
    above, _, last = key.replace("/", ".").rpartition(".")
    names = {one: one.rpartition(".")[2] for one in (*scenario_keys(), *group_keys())}
    same = [one for one, name in names.items() if name == last]
    if same:
        return nearest(key, same) or same[0]
    beside = {name: one for one, name in names.items() if one.rpartition(".")[0] == above}
    longer = [one for one, name in names.items() if name.endswith(f"_{last}")]
    by_name = {name: one for one, name in names.items()}
    return (
        beside.get(nearest(last, beside))
        or (longer[0] if len(longer) == 1 else "")
        or nearest(key, (one for one in names if not key.startswith(f"{one}.")), _ALIKE)
        or by_name.get(nearest(last, by_name, _ALIKE), "")
    )
