"""The document of a scenario before it is decoded: read, changed by the command line, workloads expanded."""

from __future__ import annotations

import copy
import dataclasses
import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fleet.inputs import read_input
from fleet.scenario.fleet import Document, Scenario
from fleet.scenario.plain import DEPTH_MAX
from fleet.scenario.sysctls import setting_key
from fleet.scenario.toml_errors import toml_complaint
from node_sim.catalog.kernels import DEFAULT_PROFILE, PROFILES
from node_sim.catalog.workloads import BLOCK_USES, WORKLOADS
from node_sim.errors import ConfigError
from node_sim.guesses import nearest, one_of
from node_sim.server.hardware import Hardware
from node_sim.server.policy import Policy
from node_sim.server.workload import Use

KEPT = "kept"
"""Key of ``workload.use``: kinds whose shares stay as they are; the others scale so that all add up to 1."""
SIZE_MAX = 4 << 20
"""Bytes of a scenario."""


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
        content = read_input(Path(name_or_path), SIZE_MAX)
        text = content.decode("utf-8").replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
    else:
        reason = f"more than {SIZE_MAX >> 20} MiB" if len(content) > SIZE_MAX else ""
    if reason:
        guess = nearest(name_or_path, scenario_names())
        advice = f"did you mean {guess}?" if guess else "check the name"
        known = ", ".join(scenario_names())
        msg = f"{name_or_path}: {reason}, expected a scenario file or one of {known}; {advice}"
        raise ConfigError(msg)
    return name_or_path, text


def _read_toml(text: str) -> Document:
    """Read TOML; all that its parser raises comes out of here as one of two.

    Raises:
        TOMLDecodeError: The text is not TOML.
        ConfigError: It is, with what nothing can hold.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        msg = f"brackets or dots nested deeper than its reader goes, expected at most {DEPTH_MAX}; mend them"
        raise ConfigError(msg) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # of int(), which reads no more than 4,300 digits
        msg = "an integer of thousands of digits, expected at most 20; mend it"
        raise ConfigError(msg) from None


def parse(label: str, text: str) -> Document:
    """Parse TOML.

    Raises:
        ConfigError: The text is not TOML.
    """
    try:
        return _read_toml(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{label}: {toml_complaint(str(error))}"
    except ConfigError as error:
        msg = f"{label}: {error}"
    raise ConfigError(msg)


def parse_value(key: str, text: str) -> Any:
    """Read a value of the command line as TOML, or as a plain string if it is none or its setting is a word.

    A kernel version is a word, too: 3.10 is not 3.1. So is a date, which TOML would read as something else.

    Raises:
        ConfigError: It is TOML, with what nothing can hold.
    """
    if key.rsplit(".", 1)[-1] in _words():
        return text.strip("\"'")
    try:
        return _read_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except ConfigError as error:
        msg = f"{key}: {error}"
        raise ConfigError(msg) from None


def _words() -> frozenset[str]:
    """Names of the settings that are words to choose from."""
    nested, words = [Hardware, Policy], {"start"}
    while nested:
        kind = nested.pop()
        for item in dataclasses.fields(kind):
            known = item.metadata.get("setting")
            words |= {item.name} if known is not None and isinstance(item.default, str) and known.choices else set()
            default = item.default_factory() if item.default_factory is not dataclasses.MISSING else None
            nested += [type(default)] if dataclasses.is_dataclass(default) else []
    return frozenset(words)


def put(section: Document, path: Sequence[str], value: Any) -> None:
    """Set a value below a section, making the tables on the way; a workload's name becomes the base of its table.

    A share of memory that is set alone (``workload.use.KIND``) is kept as it is, and the others scale: see ``KEPT``.
    """
    for key in path[:-1]:
        inner = section.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = section[key] = {"base": inner} if key == "workload" else {}
        section = inner
    section[path[-1]] = value
    if tuple(path[-3:-1]) == ("workload", "use") and path[-1] in BLOCK_USES:
        kept = section.setdefault(KEPT, [])
        kept += [path[-1]] if isinstance(kept, list) and path[-1] not in kept else []


def apply_setting(document: Document, key: str, value: Any) -> None:
    """Set a dotted key: of the scenario, of one group (``group.NAME.…``), or of every group."""
    path = setting_key(key).split(".")
    top = {item.name for item in dataclasses.fields(Scenario)}
    if path[0] in top:
        put(document, path, value)
        return
    for _, group in tables(document.get("group")):
        put(group, path, value)


def expand_workloads(document: Document) -> Iterator[str]:
    """Replace names of workloads by their tables, in place; yield complaints.

    A named workload, or none, has its transparent huge pages as ordinary ones under a kernel that does not know them.
    """
    yield from _expand_names(document)
    for _, group in tables(document.get("group")):
        use = dict(items(group.get("workload"))).get("use")
        if isinstance(use, dict) and KEPT in use:
            group["workload"]["use"] = _scaled(use)


def _scaled(use: Document) -> Document:
    """Return shares of memory of which those that are not kept have been scaled so that all add up to 1.

    What cannot be scaled is left as it is, and complained about for what it is.
    """
    kept = use[KEPT]
    if not (isinstance(kept, list) and all(name in BLOCK_USES and name in use for name in kept)):
        return use
    shares = {**dataclasses.asdict(Use()), **{name: value for name, value in use.items() if name != KEPT}}
    if not all(isinstance(share, int | float) and not isinstance(share, bool) for share in shares.values()):
        return shares
    others = sum(share for name, share in shares.items() if name not in kept)
    left = 1.0 - sum(shares[name] for name in kept)
    if others <= 0.0 or left < 0.0:
        return shares
    return {name: share if name in kept else share * left / others for name, share in shares.items()}


def _expand_names(document: Document) -> Iterator[str]:
    for name, group in tables(document.get("group")):
        workload = group.get("workload")
        base = workload if isinstance(workload, str) else workload.get("base") if isinstance(workload, dict) else None
        if base is None:
            if workload is None and _lacks_huge_pages(group):
                group["workload"] = {"use": _without_huge_pages(dataclasses.asdict(Use()))}
            continue
        if not isinstance(base, str) or base not in WORKLOADS:
            yield f"group.{name}.workload = {base!r}, {one_of(base, WORKLOADS)}, or a table"
            group.pop("workload")
            continue
        table: Document = copy.deepcopy(WORKLOADS[base])
        own = workload if isinstance(workload, dict) else {}
        _merge(table, {key: value for key, value in own.items() if key != "base"})
        if "thp" not in dict(items(own.get("use"))) and _lacks_huge_pages(group):
            table["use"] = _without_huge_pages(table["use"])
        group["workload"] = table


def _without_huge_pages(use: Any) -> Any:
    """Return shares of memory with transparent huge pages as ordinary ones; what are no shares is left as it is."""
    anonymous, thp = (dict(items(use)).get(name) for name in ("anonymous", "thp"))
    if not (isinstance(anonymous, int | float) and isinstance(thp, int | float)):
        return use
    return use | {"anonymous": round(anonymous + thp, 9), "thp": 0.0}


def _lacks_huge_pages(group: Document) -> bool:
    """Whether the kernel of a group is older than transparent huge pages."""
    profile = dict(items(group.get("kernel"))).get("profile", DEFAULT_PROFILE)
    return isinstance(profile, str) and profile in PROFILES and PROFILES[profile].thp == "none"


def expand_switches(document: Document) -> Iterator[str]:
    """Replace tables of kernel switches by pairs of texts, as ``--switch`` has them, in place; yield complaints."""
    for name, group in tables(document.get("group")):
        kernel = group.get("kernel")
        if not isinstance(kernel, dict) or "switches" not in kernel:
            continue
        switches = kernel.pop("switches")
        if isinstance(switches, dict):
            kernel["switches"] = [[switch, str(value)] for switch, value in switches.items()]
        else:
            yield f"group.{name}.kernel.switches = {switches!r}, expected a table of NAME = VALUE"


def _merge(into: Document, more: Document) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def tables(section: Any) -> Iterator[tuple[str, Document]]:
    """Yield the named tables of a section, passing over anything else."""
    if isinstance(section, dict):
        yield from ((name, table) for name, table in section.items() if isinstance(table, dict))


def items(section: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a table, or nothing of anything else."""
    if isinstance(section, dict):
        yield from section.items()
