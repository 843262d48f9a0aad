"""The JSON Schema of scenario files, generated from the settings, for editors and checks before a run.

It finds what is wrong with one key: a name that is none, a value of another type, out of its range or not among its
words. Rules that tie keys together cannot be said in it (shares that add up to 1, a code that fits the part): those are
``hwpoison-fleet scenario check``'s.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

from fleet.scenario.document import KEPT
from fleet.scenario.fleet import FIXED_SECTIONS, Arm, Group, Scenario
from fleet.scenario.sysctls import SYSCTLS, TABLE
from node_sim.catalog.kernels import CHOICES, SWITCHES
from node_sim.catalog.workloads import BLOCK_USES, WORKLOADS
from node_sim.server.kernel import Kernel
from node_sim.server.settings import Setting
from node_sim.server.workload import Use, Workload

Schema = dict[str, Any]
FILE_NAME: Final = "hwpoison-fleet.schema.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TITLE: Final = "hwpoison-fleet scenario"
"""By its title a file is known to be ours."""
_SAID: Final = (
    "A scenario file of hwpoison-fleet, in TOML. What ties several keys together is not said here (shares that add up "
    "to 1, arms of groups that are there): 'hwpoison-fleet scenario check' knows it."
)
_TYPES: Final[dict[Any, str]] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def scenario_schema() -> Schema:
    """Return the schema."""
    body = _table(Scenario)
    body["properties"]["group"] |= {"minProperties": 1}
    tables = {kind.__name__: _table(kind) for kind in _kinds(Scenario)}
    return {**body, "$schema": DIALECT, "title": TITLE, "description": _SAID, "$defs": tables}


def schema_text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(scenario_schema(), indent=1, ensure_ascii=False) + "\n"


def _kinds(kind: Any) -> list[Any]:
    """Return the kinds of tables below one, each once."""
    found: list[Any] = []
    for wanted in get_type_hints(kind).values():
        inner = [one for one in (wanted, *get_args(wanted)) if dataclasses.is_dataclass(one)]
        found += [one for one in (*inner, *(below for one in inner for below in _kinds(one))) if one not in found]
    return list(dict.fromkeys(found))


def _table(kind: Any) -> Schema:
    """Return the schema of a table; those in it are referred to."""
    return {
        "type": "object",
        "title": kind.__name__,
        "description": str(kind.__doc__).split("\n", maxsplit=1)[0],
        "properties": _properties(kind),
        "additionalProperties": False,
    }


def _properties(kind: Any) -> dict[str, Schema]:
    hints = get_type_hints(kind)
    found = {
        item.name: _switches() if (kind, item.name) == (Kernel, "switches") else _field(item, hints[item.name])
        for item in dataclasses.fields(kind)
    }
    if kind is Arm:
        found["set"] = {**found["set"], "properties": dict(_changes(Group, "")), "additionalProperties": False}
    elif kind is Group:
        found[TABLE] = _sysctls()
    elif kind is Use:
        kept = {"type": "array", "items": {"enum": list(BLOCK_USES)}}
        found[KEPT] = {**kept, "description": "Kinds whose shares stay as they are; the others scale to add up to 1."}
    elif kind is Workload:
        found["base"] = {"enum": list(WORKLOADS), "description": "Workload that the others of these keys change."}
    return found


def _field(item: dataclasses.Field[Any], wanted: Any) -> Schema:
    """Return the schema of a field: a setting, a table, or several of them."""
    known: Setting | None = item.metadata.get("setting")
    if get_origin(wanted) is dict:
        inner = get_args(wanted)[1]
        return {
            "type": "object",
            **({"additionalProperties": _of_kind(inner)} if dataclasses.is_dataclass(inner) else {}),
        }
    if get_origin(wanted) is tuple:
        return {"type": "array", "items": _of_kind(get_args(wanted)[0])}
    if wanted is Workload:
        return {
            "anyOf": [{"enum": list(WORKLOADS)}, _of_kind(Workload)],
            "description": "A workload by name, or a table.",
        }
    return _leaf(known, wanted, item.default) if known is not None else _of_kind(wanted)


def _of_kind(wanted: Any) -> Schema:
    if wanted in _TYPES:
        return {"type": _TYPES[wanted]}
    return {"$ref": f"#/$defs/{wanted.__name__}"}


def _leaf(known: Setting, wanted: Any, default: Any) -> Schema:
    """Return the schema of a setting."""
    unit = "" if known.unit in ("-", "1") else f" [{known.unit}]"
    found: Schema = {"description": f"{known.sentence}{unit}", "type": _TYPES[wanted], "default": default}
    if known.choices:
        found["enum"] = list(known.choices)
    if known.low is not None:
        found["minimum"] = _plain(known.low)
    if known.high is not None:
        found["maximum"] = _plain(known.high)
    if known.least is not None:
        found["anyOf"] = [{"const": found.get("minimum")}, {"minimum": _plain(known.least)}]
    return found


def _plain(bound: float) -> float:
    """Write a whole number as one."""
    return int(bound) if float(bound).is_integer() else bound


def _sysctls() -> Schema:
    """Return the schema of the table of sysctls, which stand for settings of the kernel."""
    kernel = _properties(Kernel)
    return {
        "type": "object",
        "description": "Sysctls by their own names.",
        "properties": {name: kernel[name] for name in SYSCTLS},
        "additionalProperties": False,
    }


def _switches() -> Schema:
    """Return the schema of kernel switches: values as they are, or as the command line has them."""
    return {
        "type": "object",
        "description": "Switches that are not as in the profile; 'hwpoison-fleet inject --list' has them.",
        "properties": {name: _switch(name) for name in SWITCHES},
        "additionalProperties": False,
    }


def _switch(name: str) -> Schema:
    """Return the schema of one switch; 1 and true are different values of it, though equal ones of Python's."""
    values = {repr(one): one for one in (*SWITCHES[name], *CHOICES.get(name, ()))}.values()
    texts = [str(one) for one in values] + [str(one).lower() for one in values if isinstance(one, bool)]
    plain = [one for one in values if not isinstance(one, str)]
    return {"enum": [*plain, *dict.fromkeys(texts)]}


def _changes(kind: Any, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield what an arm may set: dotted keys of a group, and its tables."""
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if item.name in FIXED_SECTIONS and not path:
            continue
        key, wanted = f"{path}{item.name}", hints[item.name]
        yield key, _properties(kind)[item.name]
        if dataclasses.is_dataclass(wanted):
            yield from _changes(wanted, f"{key}.")
        if wanted is Workload:
            yield f"{key}.base", {"enum": list(WORKLOADS)}
    if kind is Kernel:
        yield from ((f"{TABLE}.{name}", _properties(kind)[name]) for name in SYSCTLS)
        yield from ((f"{path}switches.{name}", _switch(name)) for name in SWITCHES)
