"""What was run: scenario, fleet, seed, arms as differences from the first, versions, digests, how to repeat it."""

from __future__ import annotations

from typing import Final

from analysis.dataset.run import Run
from analysis.report.plain import (
    Cell,
    Commands,
    Content,
    Difference,
    Folded,
    Grid,
    Head,
    Paragraph,
    Provenance,
    Section,
    Titled,
)
from analysis.report.words import listed
from fleet.stored.manifest import content_sha256
from node_sim.columns import TABLE_NAMES

SETTINGS_SHOWN: Final = 8
"""More differences are written shorter."""
ARMS_SHOWN: Final = 32
"""More arms are folded."""
DIGESTS_SHOWN: Final = 32
"""Digests of the tables are listed for so many arms; run.json has all."""
SCENARIO_FILE: Final = "scenario.toml"


def setup_section(run: Run, arms: tuple[str, ...], about: Provenance) -> Section:
    """Say what was simulated, and how to do so again."""
    blocks: list[Content] = [
        _facts(run),
        Titled("Node groups", (_groups(run),)),
        Titled("Policies", tuple(_policies(run.arms[0], arms, about))),
        Titled("The same run again", tuple(_again(run, about))),
    ]
    return Section("setup", "What was run", tuple(blocks))


def _facts(run: Run) -> Grid:
    plan, manifest = run.plan, run.manifest
    scenario = plan["scenario"]
    engine = manifest.get("engine", {})
    facts = {
        "scenario": f"{scenario.get('name', 'unnamed')}: {scenario.get('description', '')}".rstrip(": "),
        "changed on the command line": "; ".join(plan.get("changes", [])),
        "servers (nodes)": f"{sum(group.nodes for group in run.groups):,}",
        "simulated time": f"{plan['years']:g} year{'' if plan['years'] == 1 else 's'}",
        "seed of the random numbers": str(plan["seed"]),
        "policies (arms)": f"{len(run.arms)}, all with the same faults",
        "events recorded": f"{int(run.tally.rows[0]):,} with the policy {run.arms[0]}",
        "simulated": f"{manifest.get('started', 'at an unknown time')}, in {manifest.get('seconds', 0.0):.1f} s "
        f"with {engine.get('workers', 'unknown')} workers of the engine {engine.get('name', 'unknown')}",
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.get("versions", {}).items()),
        "SHA-256 of the scenario": str(plan["scenario_sha256"]),
        "SHA-256 of the digests of all rows": content_sha256(manifest["digests"]),
    }
    rows = tuple((Cell(name), Cell(value)) for name, value in facts.items() if value)
    return Grid("The run in short", (Head("", holds="text"), Head("", holds="text")), rows)


def _groups(run: Run) -> Grid:
    heads = (
        Head("group", holds="text"),
        Head("servers"),
        Head("memory of a DIMM"),
        Head("processes of a server", holds="text"),
    )
    rows = tuple(
        (
            Cell(group.name),
            Cell(f"{group.nodes:,}"),
            Cell(f"{group.dimm_bytes / (1 << 30):g} GiB"),
            Cell(", ".join(f"{n} {kind}" for kind, n in group.processes.items())),
        )
        for group in run.groups
    )
    return Grid("Node groups", heads, rows)


def _policies(first: str, arms: tuple[str, ...], about: Provenance) -> list[Content]:
    if len(arms) == 1:
        return [Paragraph(f"One policy, {arms[0]}: the settings of the scenario.")]
    text = f"The first policy is {first}. The others differ from it in nothing but this:"
    if arms[0] != first:
        text += f" (All are compared with {arms[0]}.)"
    blocks: list[Content] = [Paragraph(text), *_unlike(about.differences, first)]
    same = [arm for arm in arms if arm != first and not about.differences.get(arm)]
    if same:
        verb = "changes" if len(same) == 1 else "change"
        blocks.append(Paragraph(f"{listed(same)} {verb} no setting that the report knows of."))
    return blocks


def _unlike(differences: dict[str, tuple[Difference, ...]], first: str) -> list[Content]:
    """Say in what policies are not the first: a setting a row, or, of many, a policy a row and each setting once."""
    known = [(arm, one) for arm, found in differences.items() for one in found]
    if not known:
        return []
    caption = "Policies as differences from the first"
    policy, setting, value = Head("policy", holds="text"), Head("setting", holds="prose"), Head(first, holds="text")
    if len(known) <= SETTINGS_SHOWN:
        rows = tuple(
            (
                Cell(arm),
                Cell(one.key, _meaning(one)),
                Cell(_valued(one.was, one.unit)),
                Cell(_valued(one.now, one.unit)),
            )
            for arm, one in known
        )
        return [Grid(caption, (policy, setting, value, Head("here", holds="text")), rows)]
    once = {one.key: one for _, one in known}
    settings = tuple((Cell(one.key, _meaning(one)), Cell(_valued(one.was, one.unit))) for one in once.values())
    arms = tuple(
        (Cell(arm), Cell(", ".join(f"{one.key} = {_valued(one.now, one.unit)}" for one in found)))
        for arm, found in differences.items()
        if found
    )
    grid = Grid(caption, (policy, Head("differs in", holds="prose")), arms)
    return [
        Grid("Settings that differ", (setting, value), settings),
        grid if len(arms) <= ARMS_SHOWN else Folded(f"{len(arms)} policies", (grid,)),
    ]


def _meaning(one: Difference) -> str:
    where = f" (groups {', '.join(one.groups)})" if one.groups else ""
    return f"{one.means}{where}"


def _valued(value: str, unit: str) -> str:
    return value if unit in ("", "-", "1") else f"{value} {unit}"


def _again(run: Run, about: Provenance) -> list[Content]:
    if not about.command:
        return [Paragraph("The scenario of this run is not known, so it cannot be simulated again.")]
    text = (
        "This gives the same rows, and the same digests in run.json, with the versions above; the engine and the "
        "number of workers do not matter."
    )
    blocks: list[Content] = [Paragraph(text), Commands(about.command)]
    if about.scenario_file:
        blocks.append(Folded(f"{SCENARIO_FILE}, to be saved first", (Commands(about.scenario_file),)))
    policies = run.plan.get("own_policies", {})
    if policies:
        files = "; ".join(f"{name} ({sha256})" for name, sha256 in policies.items())
        blocks.append(
            Paragraph(f"It needs the policies of one's own as they were, by SHA-256 of their files: {files}.")
        )
    blocks.append(_digests(run))
    return blocks


def _digests(run: Run) -> Content:
    digests = run.manifest["digests"]
    heads = (Head("policy", holds="text"), Head("table", holds="text"), Head("digest", holds="code"))
    rows = tuple(
        (Cell(arm), Cell(name), Cell(str(digests[arm].get(name, ""))))
        for arm in run.arms[:DIGESTS_SHOWN]
        for name in TABLE_NAMES
        if name in digests.get(arm, {})
    )
    more = f" of the first {DIGESTS_SHOWN} policies" if len(run.arms) > DIGESTS_SHOWN else ""
    return Folded(f"Digests of the tables{more}", (Grid("Digests of the tables", heads, rows),))
