"""The assumptions below a summary are those of the run: what it used, and only what had an effect."""

from __future__ import annotations

import copy
import json

import pytest

from analysis import open_run
from analysis.text.document import summary_document
from analysis.text.lines import summary_lines
from fleet.scenario.assumptions import OFF_AT_ZERO, headline_assumptions
from fleet.scenario.decode import decode
from fleet.scenario.document import apply_setting
from fleet.scenario.overrides import load_fleet
from node_sim.catalog import evolution, numbers, sddc
from node_sim.catalog.values import Assumed
from node_sim.catalog.workloads import BLOCK_USES
from node_sim.errors import ConfigError
from tests.fleets import BASELINE, busy_document, run_fleet

HEADLINE = [
    item
    for catalogue in (numbers, sddc, evolution)
    for item in vars(catalogue).values()
    if isinstance(item, Assumed) and item.headline
]
WORKLOADS = {"workload.use.KIND", "workload.process"}
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
    assert all(found.pop(name)["why"] for name in WORKLOADS)
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
        line.strip().split(maxsplit=1) for line in lines[start + 2 :] if not line.strip().startswith("workload.")
    )
    assert said["faults.command_address_fit"] == "12.5 FIT/DIMM (0 to 31), chosen instead of the assumed 4"
    assert said["platform.copy_share"] == "0.25 to 0.5 by arm (0.1 to 0.9), chosen instead of the assumed 0.5"
    assert said["detection.hot_share"] == "0.3 (0.05 to 0.8)"
    assert said.keys().isdisjoint(GROWN | RISKS)
    assert summary_document(run)["headline_assumptions"] == headline_assumptions(fleet)


LISTED = [item for item in listed({}).values() if "values" in item]


@pytest.mark.parametrize("item", LISTED, ids=lambda item: item["setting"])
def test_every_assumption_that_is_listed_varies_by_the_options_it_names_to_both_ends_of_its_range(item):
    key, ends = item["setting"], (item["low"], item["high"])
    texts = [f"{end:g}" for end in ends]
    whole = (f"{item['with']}=0.05",) if item["with"] else ()
    for text, end in zip(texts, ends, strict=True):
        fleet = load_fleet("baseline", {}, (f"{key}={text}", *whole), (), ())
        found = {one["setting"]: one for one in headline_assumptions(fleet)}
        assert key not in found or found[key]["values"] == [end]
        assert key in found or (key in OFF_AT_ZERO and end == 0)
    sweep = (f"{key}={','.join(texts)}",)
    if item["vary"] == "--set":
        with pytest.raises(ConfigError, match=f"use '--set {key}=VALUE', a run for each value"):
            load_fleet("baseline", {}, whole, (), sweep)
        return
    assert item["vary"] == "--set or --sweep"
    fleet = load_fleet("baseline", {}, whole, (), sweep)
    found = {one["setting"]: one for one in headline_assumptions(fleet)}
    assert set(found[key]["values"]) <= set(ends)
    assert len(fleet.arms) == len(ends)


def shares(fleet, arm=0):
    """Shares of memory by kind, of each group in an arm."""
    return {
        group.name: dict(zip(BLOCK_USES, group.policies[arm].workload.use.shares(), strict=True))
        for group in fleet.groups
    }


@pytest.mark.parametrize("kind", BLOCK_USES)
def test_a_kind_of_memory_that_is_set_alone_scales_the_others(kind):
    before = shares(load_fleet("baseline", {}, (), (), ()))
    chosen = load_fleet("baseline", {}, (f"workload.use.{kind}=0.25",), (), ())
    swept = load_fleet("baseline", {}, (), (), (f"workload.use.{kind}=0.25,1",))
    assert shares(chosen) == shares(swept)
    for group, uses in shares(chosen).items():
        assert uses.pop(kind) == 0.25
        share = before[group].pop(kind)
        assert uses == pytest.approx({name: value * 0.75 / (1 - share) for name, value in before[group].items()})
        assert shares(swept, 1)[group] == {**dict.fromkeys(BLOCK_USES, 0.0), kind: 1.0}


def test_kinds_that_are_set_together_are_kept_and_a_plan_means_the_same_when_it_is_read_again():
    fleet = load_fleet("baseline", {}, ("workload.use.kernel=0.2", "group.sddc.workload.use.file=0.5"), (), ())
    found = shares(fleet)
    assert (found["sddc"]["kernel"], found["sddc"]["file"], found["secded"]["kernel"]) == (0.2, 0.5, 0.2)
    assert all(sum(uses.values()) == pytest.approx(1.0) for uses in found.values())
    again = decode("plan.json", json.loads(json.dumps(fleet.document)))
    assert again.sha256() == fleet.sha256()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("workload.use.kernel=1.5", "workload.use.kernel = 1.5, expected a number from 0 to 1"),
        ("workload.use.kernel=-0.5", "workload.use.kernel = -0.5, expected a number from 0 to 1"),
        ("workload.use.kernel=much", "workload.use.kernel = 'much', expected a number"),
        ("workload.use.kernal=0.1", "workload.use.kernal: unknown key; did you mean workload.use.kernel?"),
        ("workload.use.kept=1", "workload.use.kept: unknown key"),
        ("workload.use={kernel=0.1}", "use: shares add up to "),
    ],
)
def test_a_share_that_is_none_is_refused(setting, said):
    with pytest.raises(ConfigError) as error:
        load_fleet("baseline", {}, (setting,), (), ())
    assert said in str(error.value)


def test_two_kinds_that_take_more_than_all_are_refused():
    with pytest.raises(ConfigError, match=r"use: shares add up to "):
        load_fleet("baseline", {}, ("workload.use.kernel=0.6", "workload.use.file=0.6"), (), ())


def test_shares_of_a_file_are_not_scaled():
    with pytest.raises(ConfigError, match=r"use: shares add up to 1\.12"):
        decode("x.toml", {"group": {"a": {"workload": {"base": "web", "use": {"kernel": 0.2}}}}})


def test_the_list_of_processes_varies_as_a_whole():
    text = 'workload.process=[{kind="web", count=3, share=1.0}]'
    for fleet in (load_fleet("baseline", {}, (text,), (), ()), load_fleet("baseline", {}, (), (), (text,))):
        assert {group.policies[0].workload.processes for group in fleet.groups} == {3}
