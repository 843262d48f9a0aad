"""The schema of scenarios accepts what the decoder does, and finds the mistakes of one key that the decoder finds."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import get_type_hints

import jsonschema
import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.scenario.decode import decode
from fleet.scenario.document import parse, put, read_text, scenario_names
from fleet.scenario.fleet import Group
from fleet.scenario.json_schema import FILE_NAME, scenario_schema
from node_sim.catalog.kernels import SWITCHES
from node_sim.errors import ConfigError
from tests.fleets import BASELINE

SCHEMA = scenario_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def settings(kind=Group, path=""):
    """Yield every setting of a group: dotted key, type, what is known of it, default."""
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        known, wanted = item.metadata.get("setting"), hints[item.name]
        if dataclasses.is_dataclass(wanted):
            yield from settings(wanted, f"{path}{item.name}.")
        elif known is not None and wanted in (bool, int, float, str):
            yield f"{path}{item.name}", wanted, known, item.default


SETTINGS = list(settings())


def with_setting(key, value):
    document = copy.deepcopy(BASELINE)
    put(document["group"]["secded"], key.split("."), value)
    return document


def found(document):
    return [error.json_path for error in CHECK.iter_errors(document)]


def refused(document):
    try:
        decode("test", document)
    except ConfigError:
        return True
    return False


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("name", scenario_names())
def test_every_shipped_scenario_is_accepted(name):
    assert found(parse(name, read_text(name)[1])) == []


@pytest.mark.parametrize(("key", "wanted", "known", "default"), SETTINGS, ids=[one[0] for one in SETTINGS])
def test_a_setting_takes_its_default_and_no_value_that_is_wrong_alone(key, wanted, known, default):
    assert found(with_setting(key, default)) == []
    wrong = {bool: 3, int: "many", float: "many", str: 3}[wanted]
    bad = [wrong, [default]]
    bad += ["nosuch"] if known.choices and wanted is str else []
    bad += [known.low - 1] if known.low is not None else []
    bad += [known.high + 1] if known.high is not None else []
    bad += [known.least / 2] if known.least is not None else []
    bad += [0.5] if wanted is int else []
    for value in bad:
        assert found(with_setting(key, value)), value
        assert refused(with_setting(key, value)), value
        in_arm = {**BASELINE, "arm": {"default": {}, "other": {"set": {key: value}}}}
        assert found(in_arm), value


@pytest.mark.parametrize(
    "key", ["vm.memory_failure_early_kil", "kernel.memory_failure_early_kil", "nosuch", "workload.use.thpp"]
)
def test_a_key_that_is_none_is_found_in_groups_and_arms(key):
    assert found(with_setting(key, 1))
    assert found({**BASELINE, "arm": {"default": {"set": {key: 1}}}})
    assert found({**BASELINE, key: 1})


@pytest.mark.parametrize("key", ["faults.fit_factor", "server.part", "share"])
def test_what_no_arm_may_change_is_found_in_arms(key):
    assert found({**BASELINE, "arm": {"default": {"set": {key: 1.0}}}})


@pytest.mark.parametrize(
    "change",
    [
        {"workload": "nosuch"},
        {"workload": {"base": "nosuch"}},
        {"workload": {"process": [{"kind": "nosuch"}]}},
        {"kernel": {"switches": {"nosuch": True}}},
        {"kernel": {"switches": {"handles_sgx": "perhaps"}}},
    ],
)
def test_a_name_that_is_none_is_found(change):
    document = copy.deepcopy(BASELINE)
    document["group"]["secded"] |= change
    assert found(document)
    assert refused(document)


@pytest.mark.parametrize(
    "change",
    [
        {"vm": {"memory_failure_early_kill": 1}},
        {"workload": "database"},
        {"workload": {"base": "database", "use": {"kernel": 0.2, "kept": ["kernel"]}}},
        {"kernel": {"switches": {"handles_sgx": "true"}}},
        {"kernel": {"switches": {"handles_sgx": True}}},
    ],
)
def test_what_the_decoder_takes_is_accepted(change):
    document = copy.deepcopy(BASELINE)
    document["group"]["secded"] |= change
    assert found(document) == []
    assert not refused(document)


def test_arms_may_set_every_key_but_those_of_faults_and_every_switch():
    known = SCHEMA["$defs"]["Arm"]["properties"]["set"]["properties"]
    keys = {key for key, *_ in SETTINGS if key.split(".")[0] not in ("faults", "server", "share")}
    assert keys <= set(known)
    assert {f"kernel.switches.{name}" for name in SWITCHES} <= set(known)
    assert not any(key.split(".")[0] in ("faults", "server", "share") for key in known)


def test_a_share_sum_is_left_to_the_check_and_the_schema_says_so():
    document = with_setting("share", 0.9)
    assert found(document) == []
    assert refused(document)
    assert "add up to 1" in SCHEMA["description"]


def test_every_setting_is_described_with_its_unit():
    properties = SCHEMA["$defs"]["Detection"]["properties"]
    assert properties["hot_interval_s"]["description"].endswith("[s]")
    described = [one for kind in SCHEMA["$defs"].values() for one in kind["properties"].values() if "default" in one]
    assert len(described) > 100
    assert all(one["description"] for one in described)


def asked(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def test_init_writes_the_schema_beside_the_scenario_and_names_it_first(tmp_path):
    done = asked("scenario", "init", tmp_path / "mine.toml")
    assert done.exit_code == 0
    assert (tmp_path / "mine.toml").read_text().startswith(f"#:schema ./{FILE_NAME}\n")
    assert json.loads((tmp_path / FILE_NAME).read_text()) == SCHEMA == json.loads(asked("scenario", "schema").stdout)
    assert asked("scenario", "check", tmp_path / "mine.toml").exit_code == 0
    done = asked("scenario", "init", tmp_path / "again.toml", "--from", tmp_path / "mine.toml")
    assert done.exit_code == 0
    assert (tmp_path / "again.toml").read_text() == (tmp_path / "mine.toml").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml", "again.toml", FILE_NAME}


@pytest.mark.parametrize("content", ["{}", "[]", '{"title": "mine"}', "no JSON"])
def test_init_leaves_a_file_that_is_not_ours(tmp_path, content):
    (tmp_path / FILE_NAME).write_text(content)
    done = asked("scenario", "init", tmp_path / "mine.toml")
    assert done.exit_code == 2
    assert FILE_NAME in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_text() == content


def test_init_brings_an_older_schema_of_ours_up_to_date(tmp_path):
    (tmp_path / FILE_NAME).write_text(json.dumps({"title": SCHEMA["title"], "old": 1}))
    assert asked("scenario", "init", tmp_path / "mine.toml").exit_code == 0
    assert json.loads((tmp_path / FILE_NAME).read_text()) == SCHEMA
