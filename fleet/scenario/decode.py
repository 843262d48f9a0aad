"""Decoding a scenario: from its document to groups of servers and arms, reporting all mistakes at once."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_origin, get_type_hints

from fleet.printable import visible
from fleet.scenario.complaints import together
from fleet.scenario.document import expand_switches, expand_workloads, items, put, tables
from fleet.scenario.fleet import ARMS_MAX, FIXED_SECTIONS, GROUPS_MAX, Document, Fleet, Group, GroupPlan, Scenario
from fleet.scenario.keys import unknown_keys
from fleet.scenario.plain import arm_name_complaint, folder_name_complaint, foreign, name_complaint
from fleet.scenario.start import start_complaint
from fleet.scenario.sysctls import move_sysctls
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.server.policy import Policy
from node_sim.server.settings import Setting
from node_sim.server.workload import SHARE_TOLERANCE

if TYPE_CHECKING:
    from pydantic import TypeAdapter

COMPLAINTS_MAX = 1000
"""More than so many are enough; each arm would add as many for each group."""


_GROUP_KEY = ("group", "NAME")
_WHOLE, _NUMBER, _TABLE, _LIST = "a whole number", "a number", "a table", "a list"
_EXPECTED = {
    "bool_type": "true or false",
    "dataclass_exact_type": _TABLE,
    "dataclass_type": _TABLE,
    "dict_type": _TABLE,
    "finite_number": "a finite number",
    "float_type": _NUMBER,
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "a smaller whole number",
    "int_type": _WHOLE,
    "list_type": _LIST,
    "string_type": "a text",
    "tuple_type": _LIST,
}
"""What the decoder expected, by the kind of its error."""


def _range_complaints(kind: Any, value: Any, path: str) -> Iterator[str]:
    """Walk a document along the fields of a dataclass and yield what is out of range."""
    if not dataclasses.is_dataclass(kind) or not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        if item.name not in value:
            continue
        here, inner = f"{path}{item.name}", value[item.name]
        known: Setting | None = item.metadata.get("setting")
        wanted = hints[item.name]
        if known is not None:
            complaint = known.complaint(inner) if _is_of(inner, wanted) else None
            if complaint:
                yield f"{here} = {complaint}"
        elif get_origin(wanted) is dict and isinstance(inner, dict):
            for name, entry in inner.items():
                yield from _range_complaints(get_args(wanted)[1], entry, f"{here}.{name}.")
        elif get_origin(wanted) is tuple and isinstance(inner, list):
            for position, entry in enumerate(inner):
                yield from _range_complaints(get_args(wanted)[0], entry, f"{here}.{position}.")
        else:
            yield from _range_complaints(wanted, inner, f"{here}.")


def _is_of(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, int | float) if wanted is float else isinstance(value, get_origin(wanted) or wanted)


@cache
def _decoder(kind: type) -> TypeAdapter[Any]:
    """Return the decoder of a kind; every group under every arm asks for the same one."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _decode(kind: Any, document: Document, path: str) -> tuple[Any, list[str]]:
    """Decode a document; return the object (or None) and all complaints, each with its key path."""
    from pydantic import ValidationError

    complaints = list(_range_complaints(kind, document, path))
    named = {line.split(" = ", 1)[0] for line in complaints}
    try:
        decoded = _decoder(kind).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            complaints.extend(_explain(kind, path, item, named))
        return None, complaints
    return decoded, complaints


def _explain(kind: Any, path: str, item: Any, named: set[str]) -> Iterator[str]:
    """Turn one error of the decoder into complaints in our words, leaving out what the range check has said."""
    names = tuple(str(part) for part in item["loc"])
    where = path + ".".join(names)
    if item["type"] == "value_error":
        text, where = str(item["ctx"]["error"]), where.rstrip(".")
        for part in text.split("; "):
            full = f"{where}.{part}" if where and not part.startswith(where) else part
            if full.split(" = ", 1)[0] not in named:
                yield full
    elif item["type"] == "unexpected_keyword_argument":
        above = names[:2] if kind is Scenario and names[:1] == ("group",) and len(names) > len(_GROUP_KEY) else ()
        in_group = kind is Group or bool(above)
        for key, advice in unknown_keys(names[len(above) :], item["input"], in_group=in_group):
            yield f"{path}{'.'.join((*map(visible, above), key))}: unknown key; {advice}"
    else:
        yield f"{where} = {item['input']!r}, expected {_EXPECTED.get(item['type'], 'another kind of value')}"


def _node_counts(shares: dict[str, float], nodes: int) -> dict[str, int]:
    """Split nodes by share, largest remainders first."""
    exact = {name: share * nodes for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    left = nodes - sum(counts.values())
    for name in sorted(exact, key=lambda key: (counts[key] - exact[key], key))[:left]:
        counts[name] += 1
    return counts


def _size_complaints(document: Document) -> Iterator[str]:
    """Yield what there is too much of: every arm asks for all of every group."""
    for noun, most in (("arm", ARMS_MAX), ("group", GROUPS_MAX)):
        n = len(dict(items(document.get(noun))))
        if n > most:
            yield f"{noun}: {n:,} {noun}s, expected at most {most}; leave some out"


def _share_complaints(document: Document) -> Iterator[str]:
    groups = dict(tables(document.get("group")))
    if not groups:
        yield "group: no group, expected at least one [group.NAME]"
        return
    shares = [group.get("share", 1.0) for group in groups.values()]
    if all(isinstance(share, int | float) and not isinstance(share, bool) for share in shares):
        total = sum(shares)
        if abs(total - 1.0) > SHARE_TOLERANCE:
            yield f"group: shares add up to {total:g}, expected 1; change group.NAME.share"


def _text_complaints(document: Document) -> Iterator[str]:
    """Yield names that no file can be called by, or that cannot be read, and what is no date."""
    name = document.get("name", Scenario.name)
    if isinstance(name, str) and (complaint := folder_name_complaint(name)):
        yield f"name = {name!r}, {complaint}; choose another"
    if complaint := start_complaint(document.get("start")):
        yield complaint
    for group, _ in items(document.get("group")):
        if complaint := name_complaint(group):
            yield f"group.{group}: name = {group!r}, {complaint}; choose another"


def _arm_name_complaints(document: Document) -> Iterator[str]:
    groups = dict(tables(document.get("group")))
    for name, arm in tables(document.get("arm")):
        if complaint := arm_name_complaint(name):
            yield f"arm.{name}: name, {complaint}; choose another, or leave out a --sweep"
        listed = arm.get("groups", ())
        for group in listed if isinstance(listed, list) else ():
            if group not in groups:
                yield f"arm.{name}.groups = {group!r}, {one_of(group, groups)}"
        for key, _ in items(arm.get("set")):
            if key.split(".")[0] in FIXED_SECTIONS:
                yield (
                    f"arm.{name}.set.{key}: an arm cannot change {key.split('.')[0]}, as faults are the same in all "
                    f"arms; use '--set {key}=VALUE', a run for each value"
                )


def _arm_policies(document: Document, known: list[str]) -> tuple[dict[str, list[Policy]], list[str]]:
    """Decode every group under every arm; complaints that the group itself has (``known``) are not repeated."""
    groups = dict(tables(document.get("group")))
    policies: dict[str, list[Policy]] = {name: [] for name in groups}
    complaints: list[str] = []
    said = set(known)
    for arm_name, arm in tables(document.get("arm") or {"default": {}}):
        for name, group in groups.items():
            if len(said) + len(complaints) > COMPLAINTS_MAX:
                return policies, complaints
            changed: Document = {"group": {name: copy.deepcopy(group)}}
            listed = arm.get("groups")
            known_groups = [entry for entry in groups if isinstance(listed, list) and entry in listed]
            if not known_groups or name in known_groups:
                for key, value in dict(items(arm.get("set"))).items():
                    put(changed["group"][name], key.split("."), value)
            mine = [*expand_workloads(changed), *expand_switches(changed)]
            decoded, more = _decode(Group, changed["group"][name], f"group.{name}.")
            complaints.extend(f"arm.{arm_name}: {line}" for line in (*mine, *more) if line not in said)
            if decoded is not None:
                policies[name].append(decoded.policy)
    return policies, complaints


def decode(label: str, document: Document) -> Fleet:
    """Decode and check a whole scenario.

    Args:
        label: File or name, for messages.
        document: Parsed TOML, with all changes of the command line applied.

    Raises:
        ConfigError: Lists all mistakes at once.
    """
    complaints = foreign(document)
    if large := list(_size_complaints(document)):
        _refuse(label, document, complaints + large)
    document = copy.deepcopy(document)
    move_sysctls(document)
    original = copy.deepcopy(document)
    work = copy.deepcopy(document)
    complaints += [*_share_complaints(work), *_text_complaints(work), *_arm_name_complaints(work)]
    complaints.extend((*expand_workloads(work), *expand_switches(work)))
    scenario, mine = _decode(Scenario, work, "")
    complaints.extend(mine)
    policies, mine = _arm_policies(document, complaints)
    complaints.extend(mine)
    if complaints:
        _refuse(label, document, complaints)
    return _place_groups(scenario, original, policies, tuple(scenario.arm or ("default",)))


def _refuse(label: str, document: Document, complaints: list[str]) -> NoReturn:
    """Say all that is wrong, each once."""
    groups, arms = (list(dict(items(document.get(noun)))) for noun in ("group", "arm"))
    raise ConfigError("\n".join(f"{label}: {line}" for line in together(complaints, groups, arms or ["default"])))


def _place_groups(
    scenario: Scenario, document: Document, policies: dict[str, list[Policy]], arms: tuple[str, ...]
) -> Fleet:
    counts = _node_counts({name: group.share for name, group in scenario.group.items()}, scenario.nodes)
    plans, first = [], 0
    for name, group in scenario.group.items():
        plans.append(GroupPlan(name, first, counts[name], group.hardware, tuple(policies[name])))
        first += counts[name]
    return Fleet(scenario, document, tuple(plans), arms)
