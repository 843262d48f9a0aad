"""Single injections: every page state, kernel and event ends with an answer that hangs together."""

from __future__ import annotations

import itertools

import pytest

from node_sim.catalog.kernels import PROFILE_NAMES, SWITCHES
from node_sim.errors import ConfigError
from node_sim.hwpoison.copies import COPIES
from node_sim.hwpoison.kernel import RULES
from node_sim.hwpoison.page_states import PAGES, build_page
from node_sim.hwpoison.process import Task
from node_sim.one_page.afterwards import ACCESSES
from node_sim.one_page.events import EVENTS, MachineFacts
from node_sim.one_page.inject import inject, list_lines, rule_lines


def known(kernel):
    return [name for name, state in PAGES.items() if PROFILE_NAMES.index(state.since) <= PROFILE_NAMES.index(kernel)]


def happenings(kernel):
    """Return every page state and event that go together."""
    for page, event in itertools.product(known(kernel), EVENTS):
        if event.startswith("amd-") and kernel in ("2.6.32", "3.10"):
            continue
        copy = COPIES.get(event.removeprefix("ar-"))
        built = build_page(page, [Task("app:100")])
        if copy is None or (copy.suits(built) and not built.poisoned):
            yield page, event


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_every_step_names_a_rule_and_every_counted_line_is_in_the_statistics(kernel):
    for page, event in happenings(kernel):
        found = inject(page, kernel_name=kernel, event=event, processes=("unset:handler",), then=tuple(ACCESSES))
        assert {step["rule"] for step in found["steps"]} <= set(RULES)
        statistics = dict(found["statistics"])
        assert statistics.pop("total", 0) == sum(statistics.values())
        assert (found["page_type"] is None) == (found["result"] is None)


@pytest.mark.parametrize("kernels", [("3.10", "6.1", "7.1"), pytest.param(PROFILE_NAMES, marks=pytest.mark.long)])
def test_every_rule_is_named_by_some_step(kernels):
    seen = set()
    for kernel in kernels:
        for page, event in happenings(kernel):
            filters = {"memcg": "out"} if event == "madvise" else None
            found = inject(
                page,
                kernel_name=kernel,
                event=event,
                filters=filters,
                then=("read", "again", "unpoison", "reclaim", "swapoff"),
            )
            seen |= {step["rule"] for step in found["steps"]}
    # Steps of recorded scenarios only: the mce-inject module.
    assert set(RULES) - seen == {"mce_inject"}


def test_rules_and_states_are_listed():
    assert len(rule_lines()) > len(RULES)
    text = "\n".join(list_lines())
    for name in (*PAGES, *EVENTS, *ACCESSES, *PROFILE_NAMES):
        assert name in text


def test_all_wrong_names_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        inject(
            "nothing",
            kernel_name="5.4",
            event="boom",
            processes=("sooner:never",),
            filters={"colour": "1", "flags-mask": "many"},
            then=("jump",),
            switches={"speed": "1"},
        )
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "--page nothing",
        "--event boom",
        "--then jump",
        "--kernel 5.4",
        "--switch speed",
        "--process sooner",
        "--filter colour",
        "--filter flags-mask=many",
    ]


def test_a_switch_takes_only_values_that_some_kernel_has():
    with pytest.raises(
        ConfigError, match="--switch ksm=maybe: expected one of left, refused silently, refused, handled"
    ):
        inject("ksm", switches={"ksm": "maybe"})


def test_a_page_state_that_a_kernel_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"--page guest-memfd: not in kernel 6\.1, expected profile 6\.12 or later"):
        inject("guest-memfd")


def test_recovery_off_panics_with_the_kernels_text():
    found = inject("anonymous", recovery=False)
    assert found["panic"] == "Kernel panic - not syncing: Memory failure on page 1234"
    assert inject("anonymous", recovery=False, kernel_name="3.10")["panic"].endswith("from trap 18 on page 1234")


@pytest.mark.parametrize("disposition", ["default", "blocked", "ignored"])
def test_a_forced_signal_kills_whoever_does_not_handle_it(disposition):
    found = inject("anonymous", event="ar", processes=(f"late:{disposition}",), then=("read",))
    assert found["later"] == [{"what": "read", "answer": "process is dead"}]


def test_madvise_is_an_action_required_event_since_6_11():
    codes = {
        kernel: [
            got["code"]
            for got in inject("anonymous", kernel_name=kernel, event="madvise", processes=("late:handler",))["signals"]
        ]
        for kernel in ("6.1", "6.12", "7.1")
    }
    assert codes == {"6.1": [], "6.12": ["BUS_MCEERR_AR"], "7.1": ["BUS_MCEERR_AR"]}


def test_madvise_reported_no_errors_up_to_4_4():
    answers = {
        kernel: inject("anonymous-stuck", kernel_name=kernel, event="madvise")["call_errno"]
        for kernel in ("3.10", "4.18")
    }
    assert answers == {"3.10": 0, "4.18": -16}


def test_an_io_error_reaches_every_descriptor_since_4_13_and_one_before():
    once = inject("file-dirty-unmapped", kernel_name="3.10", then=("fsync", "fsync2"))["later"]
    each = inject("file-dirty-unmapped", kernel_name="4.18", then=("fsync", "fsync2"))["later"]
    assert [entry["answer"] for entry in once] == ["EIO", "0"]
    assert [entry["answer"] for entry in each] == ["EIO", "EIO"]


def test_syncfs_reports_a_lost_page_since_5_8():
    answers = {
        kernel: inject("file-dirty-unmapped", kernel_name=kernel, then=("syncfs",))["later"][0]["answer"]
        for kernel in ("4.18", "5.10")
    }
    assert answers == {"4.18": "0", "5.10": "EIO"}


@pytest.mark.parametrize(
    ("event", "errno"), [("madvise", -22), ("madvise_soft", -22), ("corrupt-pfn", -2), ("hard_offline", -2), ("ao", 0)]
)
def test_a_kernel_without_the_handler_has_no_interfaces(event, errno):
    found = inject("anonymous", event=event, facts=MachineFacts(memory_failure=False))
    assert (found["call_errno"], found["page_type"], found["hardware_corrupted_kb"]) == (errno, None, 0)


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_a_kernel_without_the_handler_panics_when_poison_is_consumed(kernel):
    found = inject("anonymous", kernel_name=kernel, event="ar", facts=MachineFacts(memory_failure=False))
    assert found["panic"] == "Kernel panic - not syncing: Fatal machine check"


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
@pytest.mark.parametrize("event", ["ar", "srao", "ar-copy"])
def test_hardware_without_recovery_panics_at_any_uncorrected_machine_check(kernel, event):
    found = inject("anonymous", kernel_name=kernel, event=event, facts=MachineFacts(mca_recovery=False))
    assert found["panic"] == "Kernel panic - not syncing: Fatal machine check"


def test_the_filter_drops_a_page_before_anything_is_done():
    for filters in ({"flags-mask": "0x1000"}, {"dev-major": "254"}, {"memcg": "out"}):
        found = inject("anonymous", event="hard_offline", filters=filters, then=("read",))
        assert (found["errno"], found["call_errno"], found["page_type"]) == (-95, 0, None)
        assert found["later"] == [{"what": "read", "answer": "ok('A')"}]
    kept = inject("anonymous", event="hard_offline", filters={"flags-mask": "0x1000", "flags-value": "0x1000"})
    assert kept["page_type"] == "dirty LRU page"
    assert inject("file-clean", event="corrupt-pfn", filters={"dev-major": "254"})["page_type"] == "clean LRU page"


def test_soft_offline_can_be_switched_off_since_6_11():
    for kernel in ("6.12", "7.1"):
        found = inject("anonymous", kernel_name=kernel, event="soft_offline", enable_soft_offline=False)
        assert found["call_errno"] == -95
    backported = {"has_enable_soft_offline": "True"}
    assert (
        inject("anonymous", event="soft_offline", enable_soft_offline=False, switches=backported)["call_errno"] == -95
    )


@pytest.mark.parametrize("kernel", ["2.6.32", "3.10", "4.18", "5.10", "6.1"])
def test_a_kernel_without_the_knob_of_soft_offline_is_not_told_to_turn_it_off(kernel):
    with pytest.raises(ConfigError) as error:
        inject("anonymous", kernel_name=kernel, event="soft_offline", enable_soft_offline=False)
    assert str(error.value) == (
        f"--no-soft-offline: kernel {kernel} has no vm.enable_soft_offline, expected profile 6.12 or later; "
        "leave it out, or choose another --kernel"
    )


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_trace_events_repeat_action_lines_where_the_kernel_has_them(kernel):
    found = inject("anonymous", kernel_name=kernel)
    name = SWITCHES["trace_event"][PROFILE_NAMES.index(kernel)]
    line = f"{name}: pfn 0x1234: recovery action for dirty LRU page: Recovered"
    assert found["trace"] == ([line] if name else [])


@pytest.mark.parametrize("kernel", PROFILE_NAMES)
def test_statistics_exist_since_6_3(kernel):
    found = inject("anonymous", kernel_name=kernel)["statistics"]
    assert found == ({"total": 1, "recovered": 1} if kernel in ("6.12", "7.1") else {})


OLDER = [
    # 6.12.0: the reference tree of the profile, before it was recorded at 6.12.100
    ("poisoned", "ao", {"already_line": "log and counted"}, "6.12", ("already poisoned", "Failed", -133, 4)),
    ("hugetlb-file-other", "ar", {"hugetlb_again": "raw and line"}, "6.12", ("already poisoned", "Failed", -133, 8)),
    # 6.1.20: before 6.1.158
    ("hugetlb-1g", "ao", {"dissolve_ok": "dissolved"}, "6.1", ("huge page", "Recovered", 0, 4)),
    ("poisoned-unmapped", "ar", {"kap_notfound": "-14"}, "6.1", (None, None, -14, 0)),
]


@pytest.mark.parametrize(("page", "event", "switches", "kernel", "expected"), OLDER)
def test_kernels_between_the_profiles_are_switches(page, event, switches, kernel, expected):
    found = inject(page, kernel_name=kernel, event=event, switches=switches)
    answer = (found["page_type"], found["result"], found["errno"], found["hardware_corrupted_kb"])
    assert answer == expected
    assert inject(page, kernel_name=kernel, event=event) != found


def test_6_12_0_told_nobody_of_a_bad_page_that_is_not_the_first_of_its_huge_page():
    told = inject("hugetlb", kernel_name="6.12", processes=("early:handler",))["signals"]
    before = inject(
        "hugetlb",
        kernel_name="6.12",
        processes=("early:handler",),
        switches={"hugetlb_early": "head only"},
        then=("read",),
    )["signals"]
    assert [(got["phase"], got["offset"]) for got in told] == [("inject", 0)]
    assert [got["phase"] for got in before] == ["read"]


def test_a_kernel_without_rules_for_amd_is_refused_with_an_event_of_amd():
    with pytest.raises(ConfigError, match=r"--event amd-deferred-ar: kernel 3\.10 has no rules for AMD"):
        inject("anonymous", kernel_name="3.10", event="amd-deferred-ar")
