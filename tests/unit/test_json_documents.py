"""Every document that --json prints is of its schema, says its format first, and counts in integers."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import main
from fleet.commands.schema import read_schema, schema_kinds
from fleet.scenario.decode import decode
from fleet.stored.headline import REGISTRY
from node_sim.columns import TABLES
from tests.debian import program
from tests.fleets import busy_document, run_fleet

RECORDING = Path(__file__).parents[1] / "oracle" / "recorded" / "inputs.csv"
STRICT = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
"""Takes 1.0 for what it is: no integer."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("documents")
    four = busy_document(40)
    run_fleet(decode("test", four), root / "four")
    run_fleet(decode("test", {**four, "arm": {}, "nodes": 5}), root / "one")
    two = {name: four["arm"][name] for name in ("default", "early_kill")}
    brief = busy_document(12, 40.0) | {"arm": two, "years": 0.1}  # what is asked of it costs by its time and groups
    brief["group"] = {"secded": brief["group"]["secded"] | {"share": 1.0}}
    run_fleet(decode("test", brief), root / "brief")
    (root / "programs").symlink_to(program("prometheus").parent)
    (root / "rules.yml").write_text(RULES)
    (root / "few.csv").write_text("".join(RECORDING.read_text().splitlines(keepends=True)[:4]))
    words = ["conform", "--kernel", "6.1", "--predict", f"{root}/few.csv", "-o", f"{root}/predicted.csv"]
    assert CliRunner().invoke(main, words).exit_code == 0
    return root


RULES = """\
groups:
  - name: some
    rules:
      - {alert: Seen, expr: 'node_edac_correctable_errors_total > 0', for: 5m, keep_firing_for: 1h}
      - {alert: Missing, expr: 'no_such_series > 0'}
      - {alert: Refused, expr: 'absent(up)'}
"""
COMMANDS = [
    ("alerts", "alerts {0}/brief --rules {0}/rules.yml --prometheus {0}/programs"),
    ("prediction", "conform --kernel 6.1 --predict {0}/few.csv -o {0}/again.csv"),
    ("summary", "summary {}/four"),
    ("summary", "summary {}/one"),
    ("comparison", "compare {}/four"),
    ("comparison", "compare {}/four --baseline early_kill"),
    ("comparison", "compare {0}/four {0}/four"),
    ("comparison", "compare {0}/four {0}/one"),
    ("comparison", "compare {}/four --by group --metric kills"),
    ("comparison", "compare {}/four --by page_use"),
    ("ranking", "compare {}/four --pareto kills,memory_lost"),
    ("ranking", "compare {}/four --cost kill=1,panic=20"),
    ("sensitivity", "compare {}/brief --sensitivity --nodes 5"),
    ("check", "check {}/one"),
    ("replay", "replay {}/four --node 3"),
    ("inject", "inject"),
    ("inject", "inject --page file-dirty --kernel 4.18 --process late:handler --then read,pread,fsync"),
    ("inject", "inject --page kernel --event ar --kernel 5.10"),
    ("inject", "inject --page free --no-recovery"),
    ("inject-list", "inject --list"),
    ("inject-list", "inject --list --kernel 5.15"),
    ("conform", "conform {}/predicted.csv --kernel 6.1"),
    ("conform", "conform builtin:6.1.192-list2"),
    ("columns", "conform --columns"),
    ("dram", "dram --lifetimes 2000 --years 2.5"),
    ("dram-lifetime", "dram --dump 1 --fit-factor 100"),
    ("dram-lifetime", "dram --dump 1 --fit-factor 0"),
    ("scenario", "scenario show baseline --set workload=database --sample 1000"),
    ("scenario", "scenario show google-2008 --sample 100"),
    ("scenario-list", "scenario list"),
    ("tables", "tables"),
    ("tables", "tables errors"),
]


def document(command, root):
    done = CliRunner().invoke(main, [*command.format(root).split(), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(("kind", "command"), COMMANDS)
def test_a_document_is_of_its_schema(kind, command, runs):
    found = document(command, runs)
    assert next(iter(found)) == "format"
    assert found["format"] == f"hwpoison-fleet {kind} 1"
    problems = sorted(STRICT(read_schema(kind)).iter_errors(found), key=str)
    assert [f"{'/'.join(map(str, one.absolute_path))}: {one.message[:200]}" for one in problems] == []


def test_alerts_are_judged_by_errors_that_there_are(runs):
    assert "UE" in open_run(runs / "brief").table("errors")["kind"].to_pylist()


def test_every_kind_has_a_document_here_and_a_schema_that_is_one():
    assert {kind for kind, _ in COMMANDS} == set(schema_kinds())
    for kind in schema_kinds():
        jsonschema.Draft202012Validator.check_schema(read_schema(kind))
        assert read_schema(kind)["title"] == f"hwpoison-fleet {kind}"


def numbers(schema, path=""):
    """Yield the schemas of numbers, and of estimates where they are referred to."""
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if {"integer", "number"} & set(kinds) or schema.get("$ref") == "#/$defs/estimate":
        yield path, schema
    for key, inner in schema.items():
        if path.endswith("/$defs") and key == "estimate":
            continue
        if isinstance(inner, list):
            for place, one in enumerate(inner):
                yield from numbers(one, f"{path}/{key}/{place}")
        elif key != "items" or "unit" not in schema:
            yield from numbers(inner, f"{path}/{key}")


def objects(schema):
    """Yield the schemas of objects."""
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if isinstance(schema, dict) and schema.get("type") == "object":
        yield schema
    for one in inside:
        yield from objects(one)


@pytest.mark.parametrize("kind", schema_kinds())
def test_every_number_has_a_unit_and_every_object_is_closed(kind):
    schema = read_schema(kind)
    assert [path for path, one in numbers(schema) if "unit" not in one] == []
    open_ = [one for one in objects(schema) if "additionalProperties" not in one]
    assert len(open_) == (kind == "scenario")  # what an arm sets is of any kind


def test_the_schemas_know_every_metric_and_every_column():
    summary = read_schema("summary")
    rates = summary["$defs"]["arm"]["properties"]["rates_per_1000_node_years"]["required"]
    assert set(rates) == {f"{metric.key}_rate" for metric in REGISTRY if metric.unit == "1"}
    for kind in ("summary", "comparison"):
        assert set(read_schema(kind)["$defs"]["effects"]["required"]) == {metric.key for metric in REGISTRY}
    tables = read_schema("replay")["properties"]["tables"]["properties"]
    for name, columns in TABLES.items():
        known = tables[name]["items"]["properties"]
        assert {column.name: column.sentence for column in columns} == {
            key: one["description"] for key, one in known.items()
        }


def test_an_unknown_kind_is_answered_with_the_one_that_was_meant():
    done = CliRunner().invoke(main, ["schema", "summry"])
    assert done.exit_code == 2
    assert "did you mean summary?" in done.stderr
    assert len(CliRunner().invoke(main, ["schema"]).stdout.splitlines()) >= len(schema_kinds())
