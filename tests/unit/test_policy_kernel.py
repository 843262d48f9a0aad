"""The kernel of a policy: a profile with switches, asked by everything; what it answers to soft offline."""

from __future__ import annotations

import ast
import copy
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from fleet.scenario.decode import decode
from fleet.scenario.overrides import load_fleet
from node_sim.catalog import profile as profile_module
from node_sim.catalog.kernels import (
    CHOICES,
    PROFILE_NAMES,
    PROFILES,
    RELEASES,
    SWITCHES,
    find_profile,
    kernel_advice,
    kernel_differences,
    switch_value,
)
from node_sim.codes import KillPolicy, OfflineResult, PageType, PageUse
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.hwpoison.error_states import ERROR_STATES
from node_sim.hwpoison.kernel import Machine
from node_sim.hwpoison.offline_answers import offline_answers, results_of
from node_sim.hwpoison.outcomes import known_state, state_of_use
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.lives.block import BlockRows, simulate_block
from node_sim.machine_check.grades import Reporting, grade_table
from node_sim.one_page.inject import list_lines
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.kernel import Kernel
from node_sim.server.policy import Ecc, PageOffline, Policy, Repair
from node_sim.units import NS_PER_YEAR
from tests.fleets import BASELINE

SEED, HORIZON_NS = Seed.of(20270107), NS_PER_YEAR // 4
SIZES = [120, pytest.param(1600, marks=pytest.mark.long)]
"""Nodes of the fleets whose rows are compared: rows are equal or they are not, and more nodes are more of the same."""
BUSY = Hardware(faults=Faults(fit_factor=30.0))
POOL_OF = {
    PageUse.HUGETLB: "pool_2m",
    PageUse.HUGETLB_FREE: "pool_2m",
    PageUse.HUGETLB_1G: "pool_1g",
    PageUse.HUGETLB_1G_FREE: "pool_1g",
}
KERNEL_USES = (PageUse.RESERVED, PageUse.SLAB, PageUse.PAGE_TABLE)
BEFORE_THE_KNOB = ("2.6.32", "3.10", "4.18", "5.10", "6.1")


def document(kernel: dict, **arms: dict) -> dict:
    """The baseline with one group, a kernel and arms."""
    found = copy.deepcopy(BASELINE)
    found["group"] = {"db": {**found["group"]["secded"], "share": 1.0, "kernel": kernel}}
    found["arm"] = {name: {"set": changes} for name, changes in arms.items()}
    return found


def mistakes(kernel: dict, **arms: dict) -> list[str]:
    with pytest.raises(ConfigError) as error:
        decode("my.toml", document(kernel, **arms))
    return str(error.value).splitlines()


def simulate(n: int, *policies: Policy) -> BlockRows:
    return simulate_block(SEED, np.arange(n), BUSY, policies, HORIZON_NS)


def tables_of(block: BlockRows, arm: int) -> dict[str, set[tuple]]:
    """Rows of an arm without their numbers, which say how many rows came before."""
    found: dict[str, set[tuple]] = {}
    for part in block.parts:
        if arm in part.arms or not part.arms:
            for name, table in part.tables.items():
                columns = [cells.tolist() for column, cells in table.items() if column not in ("seq", "cause_seq")]
                found.setdefault(name, set()).update(zip(*columns, strict=True))
    return found


# ---- switches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_switches_at_the_profiles_own_value_are_no_switches(name):
    own = tuple((switch, str(switch_value(switch, PROFILE_NAMES.index(name)))) for switch in SWITCHES)
    same = Kernel(profile=name, switches=own)
    assert (same, hash(same), same.switches) == (Kernel(profile=name), hash(Kernel(profile=name)), ())
    assert same.rules == PROFILES[name]


def test_switches_are_one_kernel_in_any_order_and_in_the_words_of_toml_or_python():
    one = Kernel(switches=(("knows_seam", "true"), ("ksm", "left"), ("already_errno", "0")))
    other = Kernel(switches=(("already_errno", "0"), ("knows_seam", "True"), ("ksm", "left"), ("dax", "True")))
    assert one == other
    assert one.switches == (("already_errno", "0"), ("knows_seam", "True"), ("ksm", "left"))
    assert (one.rules.knows_seam, one.rules.ksm, one.rules.already_errno) == (True, "left", 0)
    assert Kernel(profile="5.10", switches=one.switches).rules.unmap_failure == PROFILES["5.10"].unmap_failure


def test_a_scenario_has_a_table_of_switches_and_an_arm_changes_one_of_them():
    text = {"profile": "6.1", "switches": {"unmap_failure": "failed", "knows_seam": True, "already_errno": 0}}
    arms = {"as_it_is": {}, "profiles_own": {"kernel.switches.unmap_failure": "ignored"}}
    one, other = (policy.kernel for policy in decode("my.toml", document(text, **arms)).groups[0].policies)
    assert one.switches == (("already_errno", "0"), ("knows_seam", "True"), ("unmap_failure", "failed"))
    assert other.switches == one.switches[:2]


def test_switches_are_part_of_what_a_scenario_is_unless_they_are_the_profiles_own():
    plain, same, changed = (
        decode("my.toml", document({"switches": {"unmap_failure": value}} if value else {})).sha256()
        for value in ("", "ignored", "failed")
    )
    assert plain == same != changed


def test_set_and_sweep_take_switches_whose_values_have_spaces():
    settings = ("kernel.switches.knows_seam=true", "kernel.switches.ksm=refused silently")
    sweep = ("kernel.switches.kernel_page=get hwpoison,table",)
    fleet = load_fleet("baseline", {}, settings, (), sweep)
    assert fleet.arms == ("kernel_page=get_hwpoison", "kernel_page=table")
    assert [dict(policy.kernel.switches) for policy in fleet.groups[0].policies] == [
        {"knows_seam": "True", "ksm": "refused silently", "kernel_page": value} for value in ("get hwpoison", "table")
    ]


def test_mistakes_in_switches_are_those_of_the_option_with_their_place_all_at_once():
    wrong = {"unmap_failure": "maybe", "speed": 1, "already_errno": 1.5}
    with pytest.raises(ConfigError) as error:
        find_profile("6.1", {name: str(value) for name, value in wrong.items()})
    expected = [
        line.replace("--switch ", "my.toml: group.db.kernel.switches.") for line in str(error.value).splitlines()
    ]
    assert mistakes({"switches": wrong}) == expected
    assert expected[0] == (
        "my.toml: group.db.kernel.switches.unmap_failure=maybe: expected one of continue, give up, ignored, failed"
    )
    (in_arm,) = mistakes({}, late={"kernel.switches.ksm": "maybe"})
    ways = "left, refused silently, refused, handled"
    assert in_arm == f"my.toml: arm.late: group.db.kernel.switches.ksm=maybe: expected one of {ways}"
    assert mistakes({"switches": "all"}) == [
        "my.toml: group.db.kernel.switches = 'all', expected a table of NAME = VALUE"
    ]


def test_a_switch_decides_whether_a_kernel_has_rules_for_amd():
    amd = {"reporting": "amd"}
    old = document({"profile": "3.10"}) | {"years": 1.0}
    old["group"]["db"]["platform"] = amd
    with pytest.raises(ConfigError, match=r"expected 4\.18 or later with platform.reporting = 'amd'"):
        decode("my.toml", old)
    old["group"]["db"]["kernel"]["switches"] = {"amd_rules": "2016"}
    assert decode("my.toml", old).groups[0].policies[0].kernel.rules.amd_rules == "2016"


def test_the_records_that_wait_are_those_of_the_kernel_with_its_switches():
    ring = Policy(kernel=Kernel(switches=(("keeps_records", "ring"),)))
    assert [one.platform.record_entries(one.kernel.rules) for one in (Policy(), ring)] == [80, 15]


def test_grades_are_those_of_the_kernel_with_its_switches():
    silent = Policy(kernel=Kernel(switches=(("handles_ucna", "False"),)))
    assert (grade_table(Reporting.of(silent)) != grade_table(Reporting.of(Policy()))).any()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_every_switch_at_its_own_value_shares_its_lane_and_gives_the_same_rows(name, n):
    own = tuple((switch, str(switch_value(switch, PROFILE_NAMES.index(name)))) for switch in SWITCHES)
    plain = Policy(kernel=Kernel(profile=name), page_offline=PageOffline(2), ecc=Ecc("secded"))
    block = simulate(n, plain, Policy(kernel=Kernel(name, own), page_offline=PageOffline(2), ecc=Ecc("secded")))
    assert {part.arms for part in block.parts} == {(), (0, 1)}


@pytest.mark.parametrize("n", SIZES)
def test_a_fleet_of_one_kernel_has_the_rows_of_a_fleet_of_several(n):
    policies = [Policy(kernel=Kernel(profile=name), ecc=Ecc("secded")) for name in ("7.1", "6.1")]
    policies.append(Policy(kernel=Kernel("6.1", (("kernel_page", "get hwpoison"),)), ecc=Ecc("secded")))
    together = simulate(n, *policies)
    for arm, policy in enumerate(policies):
        assert tables_of(together, arm) == tables_of(simulate(n, policy), 0)
    pages = [tables_of(together, arm)["memory_failures"] for arm in range(3)]
    assert len({frozenset(rows) for rows in pages}) == len(policies)


def texts_of_the_handler() -> set[str]:
    """Page types that the source can report, of any combination of switches."""
    found = {text for row in ERROR_STATES for text in row.texts}
    for path in (Path(__file__).parents[2] / "node_sim/hwpoison").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("report", "machine.word"):
                continue
            texts = node.args[2:3] if ast.unparse(node.func) == "report" else node.args
            found |= {text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)}
    return found


def test_every_page_type_that_switches_can_make_is_stored():
    complaints = {" users", " still referenced by ", " page still referenced by "}  # of word(), not page types
    before_a_panic = {"kernel page"}
    assert texts_of_the_handler() - complaints - before_a_panic <= set(PageType.vocabulary())


# ---- kernels between the profiles --------------------------------------------------------------------------------


def test_a_kernel_between_two_profiles_is_refused_with_both_and_what_differs():
    expected = f"'5.15', expected one of {', '.join(PROFILE_NAMES)} (it lies between 5.10 and 6.1, "
    (line,) = mistakes({"profile": "5.15"})
    assert line.startswith(f"my.toml: group.db.kernel.profile = {expected}")
    with pytest.raises(ConfigError) as error:
        find_profile("5.15")
    assert str(error.value).startswith(f"--kernel 5.15: {expected.partition(', ')[2]}")
    differ = {switch for switch in SWITCHES if switch_value(switch, 3) != switch_value(switch, 4)}
    known, open_ = kernel_differences("5.15")
    assert known.keys() | open_.keys() == differ
    assert known.keys().isdisjoint(open_)
    assert open_["kernel_page"] == "'table' or 'unknown'"
    n = f"{len(differ)} switches that differ, {len(known)} of them known of 5.15"
    assert line.endswith(f"and set the {n}: see 'hwpoison-fleet inject --list --kernel 5.15')")
    shown = list_lines("5.15")
    assert shown[-len(differ) - 2] == "switches in which the profiles around 5.15 differ, known of 5.15:"
    assert shown[: -len(differ) - 2] == list_lines() == list_lines("6.1.20")


@pytest.mark.parametrize(
    ("release", "switch", "value"),
    [
        ("5.17", "tolerant", "True"),
        ("5.18", "tolerant", "False"),
        ("5.19.4", "filter_errno", "-95"),
        ("4.2", "keeps_records", "'ring'"),
        ("4.3", "keeps_records", "'pool'"),
        ("6.10", "copy_migration", "'panic'"),
        ("6.11", "copy_migration", "'safe'"),
        ("4.10", "unpoison_texts", "1"),
        ("6.8", "unpoison_texts", "1"),
    ],
)
def test_a_switch_whose_release_is_known_has_its_value_at_a_kernel_between(release, switch, value):
    assert kernel_differences(release)[0][switch] == value


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("2.6.18", "2.6.32"), ("8.0", "7.1"), ("6.1.20", "6.1"), ("2.6.32.71", "2.6.32"), ("6.12.1", "6.12")],
)
def test_a_kernel_outside_the_range_or_of_a_profiles_series_is_told_the_nearest(name, nearest):
    assert kernel_advice(name) == f" (the nearest is {nearest})"


@pytest.mark.parametrize("name", ["", "new", "5.x", "6.1-rc3", "-1"])
def test_what_is_no_release_gets_no_advice(name):
    assert kernel_advice(name) == ""


def test_releases_are_those_that_the_profile_names():
    lines = re.split(r"\n {8}(?! )", profile_module.Profile.__doc__ or "")
    text = {line.partition(":")[0].strip(): line for line in lines}
    for switch, releases in RELEASES.items():
        assert all(re.search(rf"\b{re.escape(release)}\b", text[switch]) for release in releases), switch


# ---- soft offline ------------------------------------------------------------------------------------------------

ENOENT, EIO, ENOMEM, EBUSY, EOPNOTSUPP = -2, -5, -12, -16, -95


@pytest.mark.parametrize("name", PROFILE_NAMES)
@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_kernel_answers_soft_offline_as_it_is_configured(name, configured, enabled):
    found = offline_answers(PROFILES[name], memory_failure=configured, enabled=enabled)
    if name == "2.6.32" or not configured:
        assert set(found) == {ENOENT}
    elif not enabled and name in ("6.12", "7.1"):
        assert set(found) == {EOPNOTSUPP}
    else:
        again = EBUSY if name in ("3.10", "4.18") else 0
        assert (found.user, found.kernel, found.poisoned) == (0, EIO, again)
        assert (found.pool_2m, found.pool_1g, found.pool_2m_full, found.pool_1g_full) == (0, 0, 0, ENOMEM)
        # A huge page that is marked is not migratable; up to 5.10 its mark is that of all its 4 KiB pages.
        assert found.neighbour == (0 if name == "5.10" else EBUSY)


def test_a_switch_can_bring_soft_offline_and_its_knob():
    young = find_profile("2.6.32", {"has_soft_offline": "True"})
    assert offline_answers(young, memory_failure=True, enabled=True)[:2] == (0, EIO)
    knob = find_profile("6.1", {"has_enable_soft_offline": "True"})
    assert set(offline_answers(knob, memory_failure=True, enabled=False)) == {EOPNOTSUPP}


@pytest.mark.parametrize("name", PROFILE_NAMES[1:])
def test_every_use_of_the_fleet_answers_like_the_page_that_stands_for_it(name):
    answers = offline_answers(PROFILES[name], memory_failure=True, enabled=True)
    for use in PageUse:
        state = known_state(state_of_use(use), name)
        page = build_page(state, [Task("owner", (KillPolicy.UNSET,))])
        kind = "kernel" if use in KERNEL_USES else POOL_OF.get(use, "user")
        assert soft_offline(Machine(PROFILES[name]), page) == getattr(answers, kind), use


def test_each_answer_has_a_result_of_its_own():
    errno, poisoned = np.asarray([0, EIO, ENOENT, EOPNOTSUPP, 0, EBUSY, ENOENT, EOPNOTSUPP, ENOMEM]), np.arange(9) >= 4
    poisoned[8] = False
    found = [OfflineResult(int(code)).text for code in results_of(errno, poisoned)]
    assert found[:4] == ["offlined", "unhandlable page", "no interface", "disabled"]
    assert found[4:8] == ["page already poisoned", "page already poisoned", "no interface", "disabled"]
    assert found[8] == "no spare huge page"


@pytest.mark.parametrize("name", BEFORE_THE_KNOB)
def test_the_knob_of_soft_offline_is_refused_where_the_kernel_has_none(name):
    (line,) = mistakes({"profile": name, "enable_soft_offline": 0})
    assert line == (
        f"my.toml: group.db.kernel.enable_soft_offline = 0, expected 1 with profile = {name!r}: this kernel has no "
        "vm.enable_soft_offline (choose 6.12 or later, or set switches.has_enable_soft_offline = true)"
    )
    assert not Kernel(name, (("has_enable_soft_offline", "True"),), enable_soft_offline=0).enable_soft_offline
    for young in ("6.12", "7.1"):
        assert not Kernel(young, enable_soft_offline=0).enable_soft_offline


DEAF = {
    "no interface": Kernel(memory_failure=False),
    "no interface, 2009": Kernel("2.6.32"),
    "disabled": Kernel("6.12", enable_soft_offline=0),
}


@pytest.mark.parametrize("why", DEAF)
@pytest.mark.parametrize("limit", [0, 12])
@pytest.mark.parametrize("n", SIZES)
def test_a_kernel_that_takes_no_page_offline_lives_as_if_nobody_had_asked(why, limit, n):
    base = Policy(kernel=DEAF[why], ecc=Ecc("secded"), repair=Repair(replace_ce=limit))
    asking = Policy(kernel=DEAF[why], ecc=Ecc("secded"), repair=Repair(replace_ce=limit), page_offline=PageOffline(2))
    block = simulate(n, base, asking)
    alone, asked = (tables_of(block, arm) for arm in range(2))
    offlines = asked.pop("page_offlines")
    assert len(offlines) > n / 4
    assert "page_offlines" not in alone
    assert asked == alone


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("why", DEAF)
def test_the_daemon_asks_once_for_a_page_in_a_boot_whatever_the_answer(why, n):
    asking = Policy(kernel=DEAF[why], page_offline=PageOffline(1))  # chipkill: few nodes go down
    rows = [part.tables for part in simulate(n, asking).parts]
    offlines = [tables["page_offlines"] for tables in rows if "page_offlines" in tables]
    asked = np.concatenate(
        [np.stack([one[name] for name in ("node_id", "fault_id", "pfn")]) for one in offlines], axis=1
    )
    down = {int(node) for t in rows if "lifecycle" in t for node in t["lifecycle"]["node_id"]}
    up = asked[:, [int(node) not in down for node in asked[0]]]
    assert up.shape[1] > n / 4
    assert np.unique(up, axis=1).shape == up.shape
    results = np.unique(np.concatenate([one["result"] for one in offlines]))
    assert [OfflineResult(int(code)).text for code in results] == [why.partition(",")[0]]


@pytest.mark.parametrize("n", SIZES)
def test_arms_that_differ_in_the_answer_alone_have_lanes_of_their_own_only_if_somebody_asks(n):
    policies = [
        Policy(kernel=kernel, page_offline=PageOffline(threshold))
        for threshold, kernel in itertools.product((0, 2), (Kernel(), Kernel(memory_failure=False)))
    ]
    quiet = [part.arms for part in simulate(n, *policies).parts]
    assert (0, 1) in quiet
    assert (2,) in quiet
    assert (3,) in quiet
    errors = [len(tables_of(simulate(n, one), 0)["errors"]) for one in policies]
    assert errors[1] == errors[3]
    assert errors[0] > errors[2]


def test_values_of_switches_can_be_written_in_toml():
    for switch, values in SWITCHES.items():
        for value in (*values, *CHOICES.get(switch, ())):
            written = str(value).lower() if isinstance(value, bool) else str(value)
            assert getattr(find_profile("6.1", {switch: written}), switch) == value
