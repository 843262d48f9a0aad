"""Describing a scenario: every number with its unit and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from fleet.scenario.fleet import Fleet, Group
from fleet.scenario.notices import notices
from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.sites import SITES
from node_sim.catalog.values import Published
from node_sim.catalog.workloads import WORKLOAD_ASSUMPTION
from node_sim.dram.cosmic import flux_relative
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.server.page_offline import PageOffline
from node_sim.server.settings import Setting

Entry = dict[str, Any]


def _origin(known: Setting, value: Any) -> str:
    """Say where a value comes from."""
    number = known.number
    whose = known.whose(value) if known.whose else ""
    if whose:
        return whose
    if number is None:
        return "choice" if known.choices or isinstance(value, bool | str) else known.role
    if value != number.value:
        return f"assumed here instead of the catalogue's {number.value}"
    if isinstance(number, Published):
        return f"published: {number.source} [{number.confidence}]"
    return f"assumed {number.low:g} to {number.high:g}: {number.why}"


def _entries(config: Any, path: str) -> Iterator[Entry]:
    """Walk a configuration and yield its leaves."""
    for item in dataclasses.fields(config):
        value, here = getattr(config, item.name), f"{path}{item.name}"
        known = item.metadata.get("setting")
        if known is not None:
            origin = _origin(known, value)
            if here.startswith("workload."):
                origin = f"assumed: {WORKLOAD_ASSUMPTION.why}" if origin == "definition" else origin
            shown = dict(value) if isinstance(value, tuple) else value
            yield {"key": here, "value": shown, "unit": known.unit, "means": known.sentence, "origin": origin}
        elif dataclasses.is_dataclass(value):
            yield from _entries(value, f"{here}.")
        elif isinstance(value, tuple):
            for position, entry in enumerate(value):
                yield from _entries(entry, f"{here}.{position}.")
        else:
            yield {"key": here, "value": value, "unit": "-", "means": "", "origin": "choice"}


def _rates(group: Group) -> Iterator[Entry]:
    """Yield the fault rates a group uses, with their source, and the flux at its site."""
    for mode, pair in RATE_TABLES[group.faults.rates].items():
        for kind, number in zip(("soft", "hard"), pair, strict=True):
            yield {
                "key": f"faults.rates.{mode.text}.{kind}",
                "value": number.value,
                "unit": number.unit,
                "means": f"{kind} {mode.text} faults",
                "origin": _origin(Setting("", number=number), number.value),
            }
    site = SITES[group.faults.site]
    yield {
        "key": "faults.site.flux",
        "value": round(flux_relative(site.altitude_m, site.cutoff_gv), 3),
        "unit": "1",
        "means": f"neutron flux at {site.altitude_m:g} m and {site.cutoff_gv:g} GV, New York City = 1",
        "origin": "published: JESD89A formula, constants recalled, values tested against PARMA",
    }


def scenario_document(fleet: Fleet, only: str | None = None) -> dict[str, Any]:
    """Return every number of a scenario.

    Raises:
        ConfigError: There is no such group.
    """
    groups = fleet.scenario.group
    if only is not None and only not in groups:
        msg = f"--group {only}: {one_of(only, groups)}"
        raise ConfigError(msg)
    return {
        "name": fleet.scenario.name,
        "description": fleet.scenario.description,
        "nodes": fleet.nodes,
        "years": fleet.scenario.years,
        "seed": fleet.scenario.seed,
        "start": fleet.start,
        "scenario_sha256": fleet.sha256(),
        "groups": {
            name: [*_entries(group, ""), *_rates(group)] for name, group in groups.items() if only in (None, name)
        },
        "arms": {name: dataclasses.asdict(arm) for name, arm in fleet.scenario.arm.items()},
        "notices": [notice.line() for notice in notices(fleet)],
    }


def _shown(value: Any) -> str:
    """Write a value as text; of a table its entries."""
    if isinstance(value, dict):
        return ", ".join(f"{name} = {entry}" for name, entry in value.items()) or "none"
    return str(value)


def _whose(key: str, value: Any) -> str:
    """Say of a change of an arm whose rule it is, if it is one that has a name."""
    section, _, name = key.rpartition(".")
    if section != "page_offline":
        return ""
    known = {item.name: item.metadata["setting"] for item in dataclasses.fields(PageOffline)}[name]
    return f" ({known.whose(value)})" if known.whose and known.whose(value) else ""


def scenario_lines(fleet: Fleet, only: str | None = None) -> list[str]:
    """Write every number of a scenario as text."""
    document = scenario_document(fleet, only)
    lines = [
        f"{document['name']}: {document['description']}",
        f"{document['nodes']:,} nodes x {document['years']:g} years, default seed {document['seed']}",
        f"time 0 of the rows is {document['start']}",
    ]
    for name, entries in document["groups"].items():
        lines.extend(["", f"group {name}"])
        for entry in entries:
            unit = "" if entry["unit"] in ("-", "1") else f" {entry['unit']}"
            lines.append(f"  {entry['key']:<34} {_shown(entry['value'])}{unit}  ({entry['origin']})")
    lines.append("")
    for name, arm in document["arms"].items():
        changes = ", ".join(f"{key} = {value}{_whose(key, value)}" for key, value in arm["set"].items())
        changes = changes or "changes nothing"
        where = f" in {', '.join(arm['groups'])}" if arm["groups"] else ""
        lines.append(f"arm {name}: {changes}{where}")
    return lines + [f"notice: {line}" for line in document["notices"]]
