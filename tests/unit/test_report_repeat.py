"""The command to repeat a run, and arms as differences, are those of its scenario."""

import copy

import pytest

from fleet.scenario.decode import decode
from fleet.scenario.differences import arm_differences
from fleet.scenario.document import parse
from fleet.scenario.overrides import load_fleet
from fleet.scenario.repeat import FILE, repeat_of
from tests.fleets import BASELINE


def plan_of(fleet, seed=None):
    return {
        "seed": fleet.scenario.seed if seed is None else seed,
        "nodes": fleet.nodes,
        "years": fleet.scenario.years,
        "arms": list(fleet.arms),
        "scenario": fleet.document,
        "scenario_sha256": fleet.sha256(),
        "changes": list(fleet.changes),
    }


def test_a_shipped_scenario_is_named_with_all_that_was_typed():
    settings = ("faults.fit_factor=3", "kernel.profile=6.1")
    fleet = load_fleet("baseline", {"nodes": 70, "seed": 5}, settings, (), ("page_offline.ce_threshold=0,2",))
    found = repeat_of(plan_of(fleet))
    assert found.scenario == ""
    assert found.command == (
        "hwpoison-fleet run baseline --nodes 70 --years 1 --seed 5 --set faults.fit_factor=3 --set kernel.profile=6.1 "
        "--sweep page_offline.ce_threshold=0,2"
    )


@pytest.mark.parametrize("years", [1.0, 0.75, 1 / 3, 1e-6])
def test_years_are_written_so_that_they_are_the_same(years):
    found = repeat_of(plan_of(load_fleet("baseline", {"nodes": 9, "years": years}, (), (), ())))
    words = found.command.split()
    assert float(words[words.index("--years") + 1]) == years


def test_a_scenario_of_ones_own_that_has_a_shipped_name_is_written_as_a_file():
    document = copy.deepcopy(BASELINE)
    document["nodes"] = 50
    document["group"]["sddc"]["faults"]["fit_factor"] = 7.25
    plan = plan_of(decode("mine.toml", document), seed=77)
    found = repeat_of(plan)
    assert found.command == f"hwpoison-fleet run {FILE}"
    again = decode(FILE, parse(FILE, found.scenario))
    assert (again.sha256(), again.scenario.seed) == (plan["scenario_sha256"], 77)


@pytest.mark.parametrize("text", ['"', "\\", "a\nb", "ü 漢 🙂", "'''", '"""', "a = 1 # no"])
def test_any_text_is_written_so_that_it_is_read_again(text):
    document = copy.deepcopy(BASELINE)
    document |= {"name": "mine", "description": text, "nodes": 50}
    found = repeat_of(plan_of(decode("mine.toml", document)))
    assert parse(FILE, found.scenario) == {**document, "seed": 1}


def test_tables_lists_and_odd_keys_are_written_so_that_they_are_read_again():
    document = copy.deepcopy(BASELINE)
    document |= {"name": "mine", "nodes": 50}
    process = {"kind": "web", "count": 3, "share": 0.5, "on_sigbus": "die"}
    document["group"]["sddc"]["workload"] = {"base": "web", "process": [process, {**process, "kind": "cache"}]}
    document["group"]["a b.c"] = document["group"].pop("altitude")
    document["arm"]["x.y+z"] = {"set": {"page_offline.ce_threshold": 3}, "groups": ["a b.c"]}
    found = repeat_of(plan_of(decode("mine.toml", document)))
    assert parse(FILE, found.scenario) == {**document, "seed": 1}


def test_arms_are_told_by_the_settings_in_which_they_differ():
    found = arm_differences(decode("test", copy.deepcopy(BASELINE)))
    assert list(found) == ["early_kill", "no_recovery", "page_offline_2_per_24h"]
    short = {
        arm: [(one.key, one.was, one.now, one.groups) for one in differences] for arm, differences in found.items()
    }
    assert short == {
        "early_kill": [("kernel.memory_failure_early_kill", "0", "1", ())],
        "no_recovery": [("kernel.memory_failure_recovery", "1", "0", ())],
        "page_offline_2_per_24h": [("page_offline.ce_threshold", "0", "2", ())],
    }


def test_a_difference_in_some_groups_names_them_and_one_that_is_none_is_left_out():
    document = copy.deepcopy(BASELINE)
    document["arm"] = {
        "first": {"set": {"page_offline.ce_threshold": 4}},
        "some": {"set": {"page_offline.ce_threshold": 9}, "groups": ["secded", "sddc"]},
        "same": {"set": {"page_offline.ce_threshold": 4}},
    }
    found = arm_differences(decode("test", document))
    assert found["same"] == ()
    by_groups = {one.groups: (one.was, one.now) for one in found["some"]}
    assert by_groups == {("sddc", "secded"): ("4", "9"), ("altitude",): ("4", "0")}
