"""Alert rules, as promtool sees them: each fires on its fixture, and not on what just misses it."""

import re

import pytest

from analysis.hosts.node_exporter import FAMILIES
from tests.deployed import README
from tests.promtool import RULE_FILES, TEST_FILES, alerts, cases_of, passes, promtool

ALERTS = alerts()
NUMBER = re.compile(r"(?<=\[)\d+[a-z]|(?<=offset )\d+[a-z]|(?<=[<>] )\d+|(?<=>= )\d+|(?<=/ )\d+")
"""Windows, offsets and numbers compared with, of an expression."""


def other_values(text, *, of_counters=True):
    """A window halved and doubled; a small number one less and one more; what is 0, one error or page more."""
    match = re.fullmatch(r"(\d+)([hdm])", text)
    if match:
        minutes = int(match[1]) * {"m": 1, "h": 60, "d": 1440}[match[2]]
        return [f"{minutes // 2 if minutes > 15 else minutes - 1}m", f"{minutes * 2 if minutes > 15 else minutes + 1}m"]
    number = int(text)
    if number > 1000:
        return [str(number // 2), str(number * 2)]
    return [str(number - 1), str(number + 1)] if number else ["1" if of_counters else "4096"]


def mutants():
    """Each rule with one of its numbers changed: rule, and what was changed."""
    for name, rule in ALERTS.items():
        expr = rule["expr"]
        for found in NUMBER.finditer(expr):
            for value in other_values(found[0], of_counters="HardwareCorrupted" not in expr):
                changed = expr[: found.start()] + value + expr[found.end() :]
                yield pytest.param(rule | {"expr": changed}, id=f"{name}-{found.start()}-{found[0]}-{value}")
        for key in ("for", "keep_firing_for"):
            for value in other_values(rule[key]) if key in rule else ():
                yield pytest.param(rule | {key: value}, id=f"{name}-{key}-{value}")


def test_rule_files_are_valid_and_stand_alone_in_their_folder():
    assert {path.name for path in RULE_FILES} >= {"alerts.yml", "rules.yml"}
    ok, said = promtool("check", "rules", *RULE_FILES)
    assert ok, said


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_rules_pass_their_fixtures(path):
    ok, said = promtool("test", "rules", path)
    assert ok, said


@pytest.mark.parametrize("rule", list(mutants()))
def test_a_rule_with_another_number_fails_a_fixture(rule, tmp_path):
    assert not passes(rule, tmp_path)


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_a_rule_passes_its_fixtures_alone(rule, tmp_path):
    assert passes(rule, tmp_path)


@pytest.mark.parametrize("name", ALERTS)
def test_fixtures_have_hosts_that_fire_and_hosts_that_do_not(name):
    for document in cases_of(name):
        for test in document["tests"]:
            hosts = set(re.findall(r'instance="([^"]+)"', " ".join(one["series"] for one in test["input_series"])))
            fires = {
                alert["exp_labels"]["instance"] for case in test["alert_rule_test"] for alert in case["exp_alerts"]
            }
            assert fires < hosts
            assert fires


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_rules_use_names_that_node_exporter_gives_by_default(rule):
    names = set(re.findall(r"\bnode_\w+", rule["expr"]))
    assert names
    assert names <= {name for name in FAMILIES if name.startswith("node_")}


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_annotations_say_the_number_and_its_window_and_where_to_read_on(rule):
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    windows = set(re.findall(r"\[(\w+)\]", rule["expr"])) or {rule["for"]}
    assert windows <= set(re.findall(r"\b\d+[mhd]\b", said["description"]))
    assert "$value" in said["description"] or "for" in rule
    assert said["runbook_url"] == f"../README.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in README
