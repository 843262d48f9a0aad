"""The commands about scenarios: list, show, cite, init, schema and check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleet.commands.completion import of_scenario, scenarios
from fleet.commands.completion import settings as settings_completion
from fleet.commands.paths import UsablePath
from fleet.commands.printing import print_json, print_notices, say, say_fitted
from fleet.printable import typed, visible
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from fleet.scenario.fleet import Fleet
    from node_sim.records import Flags


def _load(name: str, overrides: dict[str, Any] | None = None, settings: tuple[str, ...] = ()) -> Fleet:
    """Read a scenario."""
    from fleet.scenario.overrides import load_fleet

    return load_fleet(name, overrides or {}, settings, (), ())


@click.group("scenario")
def scenario_group() -> None:
    """List, show, cite, copy and check scenarios."""


@scenario_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def scenario_list(as_json: bool) -> None:
    """List the shipped scenarios."""
    from fleet.scenario.document import parse, read_text, scenario_names

    described = {name: parse(name, read_text(name)[1]).get("description", "") for name in scenario_names()}
    if as_json:
        listed = [{"name": name, "description": text} for name, text in described.items()]
        print_json("scenario-list", {"scenarios": listed})
        return
    say_fitted(f"{name:<20}  {text}" for name, text in described.items())


_changed = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting first.",
    shell_complete=settings_completion,
)


@scenario_group.command("show")
@click.argument("name", default="baseline", shell_complete=scenarios)
@click.option("--group", metavar="NAME", help="Only this node group.", shell_complete=of_scenario("group"))
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=60_000,
    show_default=True,
    help="Servers to simulate for the figures of the scenario's field study; 0 = none.",
)
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="Seed of the sample.  [default: of the scenario]")
@_changed
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def scenario_show(
    name: str, group: str | None, sample: int, seed: int | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Show every number of a scenario with its unit, and where it comes from.

    A preset of a field study is simulated with --sample servers, and its figures are shown beside the published ones:
    those it is fitted to, and those it predicts.
    """
    from analysis.field.study import study_lines
    from fleet.scenario.describe import scenario_document, scenario_lines

    fleet = _load(name, None, settings)
    document, lines = scenario_document(fleet, group), scenario_lines(fleet, group)
    if sample and group is None and fleet.scenario.field_study != "none":
        document["field"] = field_figures(_load(name, {"nodes": sample}, settings), seed)
        lines += study_lines(document["field"])
    if as_json:
        print_json("scenario", document)
    else:
        say_fitted(lines)


def field_figures(fleet: Fleet, seed: int | None) -> dict[str, Any]:
    """Simulate a sample of a preset and work out the figures of its field study.

    Raises:
        ConfigError: The simulated time is shorter than the study.
    """
    from analysis.field.sightings import (
        COLUMNS,
        FAULT_COLUMNS,
        MONTH_NS,
        Observation,
        join_sightings,
        see_errors,
    )
    from analysis.field.study import study_document
    from fleet.sample import sample_errors
    from node_sim.catalog.field import STUDIES

    study = STUDIES[fleet.scenario.field_study]
    if study.groups:
        fleet = replace(fleet, groups=tuple(group for group in fleet.groups if group.name in study.groups))
    if study.months * MONTH_NS > fleet.horizon_ns:
        msg = (
            f"{fleet.scenario.name}: years = {fleet.scenario.years:g}, expected >= {study.months / 12:.3g} for the "
            f"{study.months} months of {fleet.scenario.field_study}; raise years, or set field_study = none"
        )
        raise ConfigError(msg)
    observation = Observation(
        months=study.months,
        start_ns=fleet.horizon_ns - study.months * MONTH_NS,
        servers=sum(group.nodes for group in fleet.groups),
        dimms=sum(group.nodes * group.hardware.server.dimms for group in fleet.groups),
        day_cap=fleet.groups[0].policies[0].errors.ce_cap_per_day,
        population=study.population.value if study.population else 0,
    )
    chosen = fleet.scenario.seed if seed is None else seed
    sample = sample_errors(fleet, chosen, COLUMNS, FAULT_COLUMNS)
    parts = []
    for faults, arms in sample:
        across = _across(faults, chosen)
        parts.append([see_errors(arm, faults, across, observation) for arm in arms])
    arms = [join_sightings(part) for part in zip(*parts, strict=True)]
    return dict(study_document(study, arms, observation))


def _across(faults: pa.Table, seed: int) -> Flags:
    """Return which faults, were all devices x4, make bits of both halves of their data pins wrong."""
    import numpy as np
    import pyarrow.compute as pc

    from node_sim.dram.faults import both_halves
    from node_sim.dram.growth import pins_of_names
    from node_sim.draws import Seed
    from node_sim.names import node_of_fault, tag_of_fault

    fault_id = np.asarray(faults.column("fault_id")).astype(np.int64)
    n_dq = np.asarray(pc.fill_null(faults.column("n_dq"), 0)).astype(np.int64)
    return both_halves(pins_of_names(Seed.of(seed), node_of_fault(fault_id), tag_of_fault(fault_id), n_dq))


@scenario_group.command("cite")
@click.argument("name", default="baseline", shell_complete=scenarios)
@_changed
@click.option("--bibtex", is_flag=True, help="Print entries for a bibliography.")
def scenario_cite(name: str, settings: tuple[str, ...], bibtex: bool) -> None:
    """Show what to cite for the numbers of a scenario, and what each source is needed for.

    It has the sources of published numbers and of the figures of the scenario's field study: those that it is fitted
    to, and those that it is compared with. All other numbers are assumptions, choices or definitions; 'scenario show'
    says which.
    """
    from importlib.metadata import version

    from analysis.report.citations import PROGRAM, bibtex_lines, citation_lines, citations
    from fleet.commands.report import sourced_numbers

    fleet = _load(name, None, settings)
    numbers = [one for of_group in sourced_numbers(fleet).values() for one in of_group]
    cited = citations(numbers, fleet.scenario.field_study)
    if bibtex:
        say("\n".join(bibtex_lines(cited, version(PROGRAM))).rstrip("\n"))
    else:
        say_fitted(citation_lines(cited, version(PROGRAM)))


@scenario_group.command("init")
@click.argument("path", type=UsablePath())
@click.option(
    "--from",
    "source",
    default="baseline",
    show_default=True,
    help="Scenario to copy.",
    shell_complete=scenarios,
)
def scenario_init(path: Path, source: str) -> None:
    """Copy a scenario to a new file to start from, with its JSON Schema beside it for editors.

    The first line names the schema, as editors with Taplo or tombi read it.
    """
    from fleet.scenario.document import read_text
    from fleet.scenario.json_schema import FILE_NAME
    from fleet.scenario.schema_file import check_ours, with_schema_line, write_schema

    _, text = read_text(source)
    beside = path.parent / FILE_NAME
    check_ours(beside)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(with_schema_line(text))
    except OSError as error:
        msg = f"{path}: {error.strerror}, expected a new file; choose another name"
        raise ConfigError(msg) from None
    write_schema(beside)
    name = typed(path)
    say(f"wrote {name} and {typed(beside)}; edit it, then: hwpoison-fleet scenario check {name}")


@scenario_group.command("schema")
def scenario_schema_command() -> None:
    """Print the JSON Schema of scenario files.

    It finds mistakes of one key; what ties keys together (shares that add up to 1) is left to 'scenario check'.
    """
    from fleet.scenario.json_schema import schema_text

    say(schema_text().rstrip("\n"))


@scenario_group.command("check")
@click.argument("path", shell_complete=scenarios)
def scenario_check(path: str) -> None:
    """Check a scenario; all mistakes are reported at once.

    PATH is a shipped name or a regular file; pipes such as <(...) are refused.
    """
    fleet = _load(path)
    print_notices(fleet)
    sizes = ", ".join(f"{group.name} {group.nodes:,}" for group in fleet.groups)
    say_fitted(
        [f"{visible(path)}: ok, {fleet.nodes:,} nodes ({sizes}), {len(fleet.arms)} arms: {', '.join(fleet.arms)}"]
    )
