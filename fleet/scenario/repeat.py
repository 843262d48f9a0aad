"""The command that simulates a planned run again: the one that was typed, or the scenario as a file of its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from fleet.scenario.decode import decode
from fleet.scenario.document import parse, scenario_names
from fleet.scenario.fleet import Document, Fleet
from fleet.scenario.overrides import load_fleet
from node_sim.errors import ConfigError

FILE = "scenario.toml"
"""What a scenario that is not shipped is to be saved as."""


class Repeat(NamedTuple):
    """What gives the rows of a run again: a command, and the text of ``FILE`` if the command names it."""

    command: str
    scenario: str = ""


def repeat_of(plan: Document) -> Repeat | None:
    """Return the command that simulates a planned run again; None if no text of TOML gives its scenario.

    The plan holds the scenario after all changes, and the changes as they were typed. If a shipped scenario of its name
    with these changes is the same, that is the command; else the scenario of the plan is written as a file, which is
    read again to see that it is the same.
    """
    size = f"--nodes {plan['nodes']} --years {_plain(plan['years'])} --seed {plan['seed']}"
    changes = [change.partition(" ") for change in plan.get("changes", [])]
    name = str(plan["scenario"].get("name", ""))
    if name in scenario_names() and _is_same(_loaded(name, plan, changes), plan):
        typed = " ".join(f"{option} {shlex.quote(text)}" for option, _, text in changes)
        return Repeat(f"hwpoison-fleet run {name} {size} {typed}".rstrip())
    text = "\n".join(_tables({**plan["scenario"], "seed": plan["seed"]})) + "\n"
    if not _is_same(_decoded(text), plan):
        return None
    return Repeat(f"hwpoison-fleet run {FILE}", text)


def _plain(years: float) -> str:
    short = f"{years:g}"
    return short if float(short) == years else repr(years)


def _loaded(name: str, plan: Document, changes: list[tuple[str, str, str]]) -> Fleet | None:
    """Read a shipped scenario with the changes of a plan; None if they do not fit it."""

    def texts(wanted: str) -> tuple[str, ...]:
        return tuple(text for option, _, text in changes if option == wanted)

    size = {key: plan[key] for key in ("nodes", "years", "seed")}
    try:
        return load_fleet(name, size, texts("--set"), texts("--arm"), texts("--sweep"), texts("--policy"))
    except ConfigError:
        return None


def _decoded(text: str) -> Fleet | None:
    try:
        return decode(FILE, parse(FILE, text))
    except ConfigError:
        return None


def _is_same(fleet: Fleet | None, plan: Document) -> bool:
    return (
        fleet is not None
        and fleet.sha256() == plan["scenario_sha256"]
        and fleet.scenario.seed == plan["seed"]
        and list(fleet.arms) == plan["arms"]
    )


def _tables(table: Document, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Write a table of TOML, those inside it after what it has itself."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    own = [f"{_text(key)} = {_value(value)}" for key, value in table.items() if key not in inner]
    if path and (own or not inner):
        yield f"\n[{'.'.join(map(_text, path))}]"
    yield from own
    for key, value in inner.items():
        yield from _tables(value, (*path, key))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    """Write a text or key; JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False)
