"""Scenarios: decode a TOML document into groups of servers and arms, reporting all mistakes at once."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from node_sim.catalog import numbers
from node_sim.catalog.field import STUDIES
from node_sim.catalog.workloads import WORKLOADS
from node_sim.dram.geometry import Dimm
from node_sim.ecc.verdicts import misfit
from node_sim.errors import ConfigError
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Policy, check_fit
from node_sim.server.settings import FORBID, Checked, Setting, setting
from node_sim.server.workload import SHARE_TOLERANCE
from node_sim.units import NS_PER_YEAR

Document = dict[str, Any]
NODES_MAX = 1 << 32
ARMS_MAX = 256
FIXED_SECTIONS = ("server", "faults", "share")
"""Sections of a group that no arm may change: the faults are the same in every arm."""


@dataclass(frozen=True)
class Group(Policy):
    """Servers of one kind, with the settings of the arm that changes nothing."""

    share: float = setting(numbers.GROUP_SHARE, "Share of the fleet's nodes.", low=0.0, high=1.0)
    server: Server = field(default_factory=Server)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        """Check that the servers can do what the settings ask of them, and that the code fits the part."""
        problems = []
        for check in (super().__post_init__, self._check_code, lambda: check_fit(self.server, self)):
            try:
                check()
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("; ".join(problems))
        self.on(self.server)

    def _check_code(self) -> None:
        wrong = misfit(self.ecc.code, Dimm.of(self.server))
        if wrong:
            msg = f"ecc.code = {self.ecc.code} on server.part = {self.server.part}: {wrong}, choose one that fits"
            raise ConfigError(msg)

    @property
    def hardware(self) -> Hardware:
        """What no arm may change."""
        return Hardware(self.server, self.faults)

    @property
    def policy(self) -> Policy:
        """What an arm may change."""
        return Policy(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Policy)})


@dataclass(frozen=True)
class Arm:
    """One policy: settings changed in all groups, or in some."""

    __pydantic_config__ = FORBID
    set: dict[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario(Checked):
    """Everything that determines the rows of a run, except the seed."""

    name: str = "unnamed"
    description: str = ""
    nodes: int = setting(10_000, "Nodes of the fleet.", "1", low=1, high=NODES_MAX)
    years: float = setting(1.0, "Simulated time.", "year", low=1e-6, high=100.0)
    seed: int = setting(1, "Default seed.", "1", low=0, high=2**64 - 1)
    field_study: str = setting(
        "none", "Field study whose figures are shown beside the simulated ones.", choices=("none", *STUDIES)
    )
    group: dict[str, Group] = field(default_factory=dict)
    arm: dict[str, Arm] = field(default_factory=dict)


@dataclass(frozen=True)
class GroupPlan:
    """A group with its place among the node numbers and its policy in each arm."""

    name: str
    first_node: int
    nodes: int
    hardware: Hardware
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Fleet:
    """A decoded scenario, ready to run."""

    scenario: Scenario
    document: Document
    groups: tuple[GroupPlan, ...]
    arms: tuple[str, ...]

    @property
    def horizon_ns(self) -> int:
        """End of simulated time [ns]."""
        return round(self.scenario.years * NS_PER_YEAR)

    @property
    def nodes(self) -> int:
        """Nodes of the fleet."""
        return self.scenario.nodes

    def sha256(self) -> str:
        """Hash of everything that determines the rows, except the seed and the texts."""
        content = {
            "nodes": self.scenario.nodes,
            "years": self.scenario.years,
            "arms": self.arms,
            "groups": [dataclasses.asdict(group) for group in self.groups],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# ---- reading ----------------------------------------------------------------------------------------------------


def scenario_names() -> list[str]:
    """List the shipped scenarios."""
    folder = resources.files("fleet") / "scenarios"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_text(name_or_path: str) -> tuple[str, str]:
    """Return (label, text) of a shipped scenario or of a file.

    Raises:
        ConfigError: There is neither a shipped scenario nor a readable file of that name.
    """
    if name_or_path in scenario_names():
        return f"{name_or_path}.toml", (resources.files("fleet") / "scenarios" / f"{name_or_path}.toml").read_text()
    try:
        return name_or_path, Path(name_or_path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(scenario_names())
        reason = getattr(error, "strerror", None) or "not a text file"
        msg = f"{name_or_path}: {reason}, expected a scenario file or one of {known}; check the name"
        raise ConfigError(msg) from None


def parse(label: str, text: str) -> Document:
    """Parse TOML.

    Raises:
        ConfigError: The text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{label}: not TOML: {error}; mend the syntax"
        raise ConfigError(msg) from None


# ---- changing a document ----------------------------------------------------------------------------------------


def parse_value(key: str, text: str) -> Any:
    """Read a value of the command line as TOML, or as a plain string if it is none or its setting is a word.

    A kernel version is a word, too: 3.10 is not 3.1.
    """
    if key.rsplit(".", 1)[-1] in _words():
        return text.strip("\"'")
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _words() -> frozenset[str]:
    """Names of the settings that are words to choose from."""
    nested, words = [Hardware, Policy], set()
    while nested:
        kind = nested.pop()
        for item in dataclasses.fields(kind):
            known = item.metadata.get("setting")
            words |= {item.name} if known is not None and isinstance(item.default, str) and known.choices else set()
            default = item.default_factory() if item.default_factory is not dataclasses.MISSING else None
            nested += [type(default)] if dataclasses.is_dataclass(default) else []
    return frozenset(words)


def _put(section: Document, path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = section[key] = {"base": inner} if key == "workload" else {}
        section = inner
    section[path[-1]] = value


def apply_setting(document: Document, key: str, value: Any) -> None:
    """Set a dotted key: of the scenario, of one group (``group.NAME.…``), or of every group."""
    path = key.split(".")
    top = {item.name for item in dataclasses.fields(Scenario)}
    if path[0] in top:
        _put(document, path, value)
        return
    for group in document.get("group", {}).values():
        if isinstance(group, dict):
            _put(group, path, value)


def _expand_workloads(document: Document) -> Iterator[str]:
    """Replace names of workloads by their tables, in place; yield complaints."""
    for name, group in _tables(document.get("group")):
        workload = group.get("workload")
        base = workload if isinstance(workload, str) else workload.get("base") if isinstance(workload, dict) else None
        if base is None:
            continue
        if base not in WORKLOADS:
            yield f"group.{name}.workload = {base!r}, expected one of {', '.join(WORKLOADS)}, or a table"
            group.pop("workload")
            continue
        table = copy.deepcopy(WORKLOADS[base])
        if isinstance(workload, dict):
            _merge(table, {key: value for key, value in workload.items() if key != "base"})
        group["workload"] = table


def _merge(into: Document, more: Document) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _tables(section: Any) -> Iterator[tuple[str, Document]]:
    """Yield the named tables of a section, passing over anything else."""
    if isinstance(section, dict):
        yield from ((name, table) for name, table in section.items() if isinstance(table, dict))


# ---- decoding ---------------------------------------------------------------------------------------------------


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
    return isinstance(value, int | float) if wanted is float else isinstance(value, wanted)


def _decode(kind: Any, document: Document, path: str) -> tuple[Any, list[str]]:
    """Decode a document; return the object (or None) and all complaints, each with its key path."""
    from pydantic import TypeAdapter, ValidationError

    complaints = list(_range_complaints(kind, document, path))
    named = {line.split(" = ", 1)[0] for line in complaints}
    try:
        decoded = TypeAdapter(kind).validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = path + ".".join(str(part) for part in item["loc"])
            complaints.extend(_explain(where, item, named))
        return None, complaints
    return decoded, complaints


def _explain(where: str, item: Any, named: set[str]) -> Iterator[str]:
    """Turn one error of the decoder into complaints, leaving out what the range check has said."""
    if item["type"] == "value_error":
        text, where = str(item["ctx"]["error"]), where.rstrip(".")
        for part in text.split("; "):
            full = f"{where}.{part}" if where and not part.startswith(where) else part
            if full.split(" = ", 1)[0] not in named:
                yield full
    elif item["type"] == "unexpected_keyword_argument":
        yield f"{where}: unknown key; remove it or mend its name"
    else:
        yield f"{where} = {item['input']!r}, expected: {item['msg']}"


def _node_counts(shares: dict[str, float], nodes: int) -> dict[str, int]:
    """Split nodes by share, largest remainders first."""
    exact = {name: share * nodes for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    left = nodes - sum(counts.values())
    for name in sorted(exact, key=lambda key: (counts[key] - exact[key], key))[:left]:
        counts[name] += 1
    return counts


def _share_complaints(document: Document) -> Iterator[str]:
    groups = dict(_tables(document.get("group")))
    if not groups:
        yield "group: no group, expected at least one [group.NAME]"
        return
    shares = [group.get("share", 1.0) for group in groups.values()]
    if all(isinstance(share, int | float) and not isinstance(share, bool) for share in shares):
        total = sum(shares)
        if abs(total - 1.0) > SHARE_TOLERANCE:
            yield f"group: shares add up to {total:g}, expected 1; change group.NAME.share"


def _arm_name_complaints(document: Document, arms: dict[str, Any]) -> Iterator[str]:
    groups = dict(_tables(document.get("group")))
    if len(arms) > ARMS_MAX:
        yield f"arm: {len(arms)} arms, expected at most {ARMS_MAX}"
    for name, arm in _tables(arms):
        if not name or name.startswith("_") or not all(c.isalnum() or c in "_-+.=" for c in name):
            yield f"arm.{name}: name, expected letters, digits and _ - + . = and no leading _"
        listed = arm.get("groups", ())
        for group in listed if isinstance(listed, list) else ():
            if group not in groups:
                yield f"arm.{name}.groups = {group!r}, expected one of {', '.join(groups)}"
        for key, _ in _items(arm.get("set")):
            if key.split(".")[0] in FIXED_SECTIONS:
                yield f"arm.{name}.set.{key}: an arm cannot change {key.split('.')[0]}; make it a group or a scenario"


def _arm_policies(document: Document, known: list[str]) -> tuple[dict[str, list[Policy]], list[str]]:
    """Decode every group under every arm; complaints that the group itself has (``known``) are not repeated."""
    groups = dict(_tables(document.get("group")))
    policies: dict[str, list[Policy]] = {name: [] for name in groups}
    complaints: list[str] = []
    for arm_name, arm in _tables(document.get("arm") or {"default": {}}):
        for name, group in groups.items():
            changed: Document = {"group": {name: copy.deepcopy(group)}}
            known_groups = [entry for entry in arm.get("groups") or () if entry in groups]
            if not known_groups or name in known_groups:
                for key, value in dict(_items(arm.get("set"))).items():
                    _put(changed["group"][name], key.split("."), value)
            mine = list(_expand_workloads(changed))
            decoded, more = _decode(Group, changed["group"][name], f"group.{name}.")
            complaints.extend(f"arm.{arm_name}: {line}" for line in (*mine, *more) if line not in known)
            if decoded is not None:
                policies[name].append(decoded.policy)
    return policies, complaints


def _items(section: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a table, or nothing of anything else."""
    if isinstance(section, dict):
        yield from section.items()


def decode(label: str, document: Document) -> Fleet:
    """Decode and check a whole scenario.

    Args:
        label: File or name, for messages.
        document: Parsed TOML, with all changes of the command line applied.

    Raises:
        ConfigError: Lists all mistakes at once.
    """
    original = copy.deepcopy(document)
    work = copy.deepcopy(document)
    complaints = [*_share_complaints(work), *_arm_name_complaints(work, work.get("arm", {}) or {})]
    complaints.extend(_expand_workloads(work))
    scenario, mine = _decode(Scenario, work, "")
    complaints.extend(mine)
    policies, mine = _arm_policies(document, complaints)
    complaints.extend(mine)
    if complaints:
        lines = "\n".join(f"{label}: {line}" for line in dict.fromkeys(complaints))
        raise ConfigError(lines)
    return _place_groups(scenario, original, policies, tuple(scenario.arm or ("default",)))


def _place_groups(
    scenario: Scenario, document: Document, policies: dict[str, list[Policy]], arms: tuple[str, ...]
) -> Fleet:
    counts = _node_counts({name: group.share for name, group in scenario.group.items()}, scenario.nodes)
    plans, first = [], 0
    for name, group in scenario.group.items():
        plans.append(GroupPlan(name, first, counts[name], group.hardware, tuple(policies[name])))
        first += counts[name]
    return Fleet(scenario, document, tuple(plans), arms)
