"""Sysctls may be called as sysctl(8) calls them, wherever a scenario or the command line has a key."""

from __future__ import annotations

import copy

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.scenario.decode import decode
from fleet.scenario.overrides import load_fleet
from fleet.scenario.sysctls import SYSCTLS, setting_key
from node_sim.errors import ConfigError
from tests.fleets import BASELINE

VALUES = {"memory_failure_early_kill": 1, "memory_failure_recovery": 0, "enable_soft_offline": 0}
NEW = ("kernel.profile=6.12",)


def with_group(change):
    document = copy.deepcopy(BASELINE)
    document["group"]["secded"].setdefault("kernel", {})["profile"] = "6.12"
    document["group"]["secded"] |= change
    return document


@pytest.mark.parametrize("name", SYSCTLS)
def test_a_sysctl_is_the_setting_of_the_kernel(name):
    value = VALUES[name]
    plain = load_fleet("baseline", {}, (*NEW, f"kernel.{name}={value}"), (), ())
    assert load_fleet("baseline", {}, (*NEW, f"vm.{name}={value}"), (), ()).sha256() == plain.sha256()
    assert load_fleet("baseline", {}, NEW, (), ()).sha256() != plain.sha256()
    in_file = with_group({"vm": {name: value}})
    kernel = {"kernel": {"profile": "6.12", name: value}}
    assert decode("test", in_file).sha256() == decode("test", with_group(kernel)).sha256()
    in_arm = {**with_group({}), "arm": {"default": {}, "other": {"set": {f"vm.{name}": value}, "groups": ["secded"]}}}
    home = {**with_group({}), "arm": {"default": {}, "other": {"set": {f"kernel.{name}": value}, "groups": ["secded"]}}}
    assert decode("test", in_arm).sha256() == decode("test", home).sha256()


def test_a_sweep_over_a_sysctl_is_one_over_the_setting():
    swept, home = (
        load_fleet("baseline", {}, (), (), (f"{one}.memory_failure_recovery=0,1",)) for one in ("vm", "kernel")
    )
    assert swept.sha256() == home.sha256()
    assert swept.arms == ("memory_failure_recovery=0", "memory_failure_recovery=1")


def test_what_is_set_last_holds_under_either_name(tmp_path):
    for last, value in (("kernel", 0), ("vm", 0)):
        first = "vm" if last == "kernel" else "kernel"
        settings = (f"{first}.memory_failure_early_kill=1", f"{last}.memory_failure_early_kill={value}")
        fleet = load_fleet("baseline", {}, settings, ("default",), ())
        assert {group.policies[0].kernel.memory_failure_early_kill for group in fleet.groups} == {value}
    text = "[group.a.vm]\nmemory_failure_early_kill = 1\n"
    (tmp_path / "mine.toml").write_text(text)
    fleet = load_fleet(str(tmp_path / "mine.toml"), {}, ("kernel.memory_failure_early_kill=0",), (), ())
    assert fleet.groups[0].policies[0].kernel.memory_failure_early_kill == 0


def test_one_given_under_both_names_in_a_file_is_refused():
    both = with_group({"vm": {"memory_failure_early_kill": 1}, "kernel": {"memory_failure_early_kill": 0}})
    with pytest.raises(ConfigError, match=r"vm\.memory_failure_early_kill: unknown key; did you mean kernel"):
        decode("test", both)


def test_one_group_may_be_set():
    assert setting_key("group.secded.vm.memory_failure_recovery") == "group.secded.kernel.memory_failure_recovery"
    assert setting_key("vm.nosuch") == "vm.nosuch"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("vm.memory_failure_early_kil=1", "did you mean kernel.memory_failure_early_kill"),
        ("vm.memory_failure_recovery=7", "expected a number from 0 to 1"),
        ("repair.cordon.ue=-1", "expected a number from 0 to 10,000,000"),
        ("seed=-1", "expected a number from 0 to 18,446,744,073,709,551,615"),
        ("faults.site=denvr", "did you mean denver"),
    ],
)
def test_a_mistake_is_told_in_one_line(setting, words):
    done = CliRunner().invoke(main, ["run", "--set", setting])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_a_swept_value_that_is_there_twice_is_refused():
    with pytest.raises(ConfigError, match="'2' after '2', expected values that differ"):
        load_fleet("baseline", {}, (), (), ("page_offline.ce_threshold=2,2",))
