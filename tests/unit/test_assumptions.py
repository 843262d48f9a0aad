"""The assumptions below a summary are those of the run: what it used, and only what had an effect."""

from __future__ import annotations

import copy

import pytest

from analysis import open_run
from analysis.summary import summary_document
from analysis.text import summary_lines
from fleet.scenario.assumptions import headline_assumptions
from fleet.scenario.decode import decode
from fleet.scenario.document import apply_setting
from node_sim.catalog import evolution, numbers, sddc
from node_sim.catalog.values import Assumed
from tests.fleets import BASELINE, busy_document, run_fleet

HEADLINE = [
    item
    for catalogue in (numbers, sddc, evolution)
    for item in vars(catalogue).values()
    if isinstance(item, Assumed) and item.headline
]
WORKLOAD = "workload.use, workload.process"
GROWN = {"faults.growth.share_1x1", "faults.growth.second_device", "ecc.risk.grown_low"}
RISKS = {"ecc.risk.share_2dq", "ecc.risk.high"}
UNUSED = {"anonymous": 0.5, "thp": 0.0, "file": 0.0, "tmpfs": 0.0, "hugetlb": 0.0, "hugetlb_1g": 0.0}
NO_FILES = {"workload.use": {"free": 0.4, "kernel": 0.1, **UNUSED}}


def listed(settings: dict, arms: dict | None = None) -> dict[str, dict]:
    """What is listed for the baseline with some settings, by setting."""
    document = copy.deepcopy(BASELINE)
    document["arm"] = arms or {"default": {}}
    for key, value in settings.items():
        apply_setting(document, key, value)
    return {item["setting"]: item for item in headline_assumptions(decode("x.toml", document))}


def test_the_baseline_uses_every_headline_assumption_of_the_catalogue_as_it_is():
    found = listed({})
    assert found.pop(WORKLOAD)["why"]
    key = [(item["assumed"], item["low"], item["high"], item["unit"], item["why"]) for item in found.values()]
    assert sorted(key) == sorted((item.value, item.low, item.high, item.unit, item.why) for item in HEADLINE)
    assert all(item["values"] == [item["assumed"]] and item["by"] is None for item in found.values())


OFF = [
    ({"faults.growth.factor": 0.0}, GROWN),
    ({"faults.growth.share_1x1": 0.0}, {"faults.growth.share_1x1"}),
    ({"faults.growth.second_device": 0.0}, {"faults.growth.second_device"}),
    ({"ecc.code": "chipkill"}, RISKS),
    ({"ecc.code": "chipkill", "faults.growth.second_device": 0.0}, RISKS | GROWN - {"faults.growth.share_1x1"}),
    ({"ecc.risk.share_2dq": 0.0}, {"ecc.risk.share_2dq"}),
    (dict.fromkeys((f"ecc.risk.share_{n}dq" for n in (2, 3, 4)), 0.0), RISKS),
    ({"faults.command_address_fit": 0.0}, {"faults.command_address_fit"}),
    ({"repair.cordon.ue": 0}, {"repair.cordon.ue"}),
    ({"detection.hot_share": 0.0}, {"detection.hot_interval_s"}),
    ({"detection.hot_share": 1.0}, {"detection.cold_interval_hours"}),
    (
        {"platform.mca_recovery": False},
        {f"platform.{name}" for name in ("copy_share", "page_copy_share", "device_fatal_share")},
    ),
    ({"kernel.memory_failure": False}, {"kernel.thp_split_p"}),
    (NO_FILES, {"kernel.thp_split_p", "workload.shared.mapped_file", "workload.shared.tmpfs"}),
]


@pytest.mark.parametrize(("settings", "gone"), OFF)
def test_what_is_off_or_without_effect_is_left_out_and_nothing_else(settings, gone):
    assert listed({}).keys() - listed(settings).keys() == gone


def test_what_is_off_in_one_arm_or_group_only_is_listed():
    assert "ecc.risk.high" in listed({"group.sddc.ecc.code": "chipkill"})
    assert "repair.cordon.ue" in listed({}, {"a": {}, "b": {"set": {"repair.cordon.ue": 0}}})


def test_a_value_of_the_scenario_stands_beside_that_of_the_catalogue():
    found = listed({"detection.hot_share": 0.6})["detection.hot_share"]
    assert (found["values"], found["by"], found["assumed"]) == ([0.6], None, 0.3)


def test_values_that_differ_are_listed_by_group_or_by_arm():
    arms = {name: {"set": {"detection.hot_share": value}} for name, value in (("a", 0.6), ("b", 0.2), ("c", 0.4))}
    found = listed({}, arms)["detection.hot_share"]
    assert (found["values"], found["by"]) == ([0.2, 0.4, 0.6], "arm")
    found = listed({"group.secded.detection.hot_share": 0.6})["detection.hot_share"]
    assert (found["values"], found["by"]) == ([0.3, 0.6], "group")
    arms["a"]["groups"] = ["secded"]
    assert listed({}, arms)["detection.hot_share"]["by"] == "arm"


def test_only_the_groups_with_an_effect_count():
    found = listed({"group.secded.ecc.risk.high": 0.2})["ecc.risk.high"]
    assert (found["values"], found["by"]) == ([0.05], None)


def test_a_summary_prints_what_the_run_used(tmp_path):
    document = busy_document(60)
    changes = {"ecc.code": "secded", "faults.growth.factor": 0.0, "faults.command_address_fit": 12.5}
    for key, value in changes.items():
        apply_setting(document, key, value)
    document["arm"] = {"a": {}, "b": {"set": {"platform.copy_share": 0.25}}}
    fleet = decode("x.toml", document)
    run_fleet(fleet, tmp_path / "run")
    run = open_run(tmp_path / "run")
    lines = summary_lines(run)
    start = next(place for place, line in enumerate(lines) if line.startswith("Such figures depend on assumptions"))
    said = dict(
        line.strip().split(maxsplit=1) for line in lines[start + 1 :] if not line.strip().startswith("workload.")
    )
    assert said["faults.command_address_fit"] == "12.5 FIT/DIMM (0 to 31), set by the scenario; assumed 4"
    assert said["platform.copy_share"] == "0.25 to 0.5 by arm (0.1 to 0.9), set by the scenario; assumed 0.5"
    assert said["detection.hot_share"] == "0.3 (0.05 to 0.8)"
    assert said.keys().isdisjoint(GROWN | RISKS)
    assert summary_document(run)["headline_assumptions"] == headline_assumptions(fleet)
