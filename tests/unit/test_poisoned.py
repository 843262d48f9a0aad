"""HardwareCorrupted and the counters per NUMA node rise with a row as the handler that made the row counts."""

import itertools
from dataclasses import replace

import pytest

from analysis.hosts.changes import CounterRise, HostCounter, changes
from analysis.hosts.kinds import HostKind
from analysis.hosts.poisoned import is_counted, poisoned_pages
from node_sim.catalog.file_systems import FILE_SYSTEMS
from node_sim.catalog.kernels import CHOICES, PROFILES, SWITCHES, switches_of
from node_sim.codes import KillPolicy, PageUse
from node_sim.hwpoison import kernel
from node_sim.hwpoison.outcomes import CALLS, CallKind, Earlier, handle_state
from node_sim.hwpoison.use_states import is_hugetlb, state_of_use
from node_sim.units import NS_PER_S, PAGE_BYTES, PAGES_PER_HUGE_PAGE

OWNER = (KillPolicy.UNSET,)
COUNTING = (
    *("thp", "counts", "statistics", "already_line", "kill_accessing", "kernel_page", "ksm", "unmap_failure"),
    *("hugetlb", "hugetlb_again", "hugetlb_counted_pages", "hugetlb_file", "free_hugetlb_tail", "gigantic"),
    *("free_result", "freed_meanwhile", "dissolve_ok", "splits_file_thp"),
)
"""Switches that may change what is counted."""


ALONE = (
    CallKind.ACTION_OPTIONAL,
    CallKind.ACTION_REQUIRED,
    CallKind.REQUIRED_AFTER_REPORT,
    CallKind.REPORT_AFTER_REQUIRED,
)
"""Calls that are tried with every switch."""


def variants(profile):
    """A profile with one of its switches as another kernel has it, for all of them."""
    for name in COUNTING:
        for value in dict.fromkeys((*SWITCHES[name], *CHOICES.get(name, ()))):
            rules = replace(profile, **{name: value})
            if value != getattr(profile, name) and not no_kernel(rules):
                yield f"{name}={value}", rules


def no_kernel(rules):
    """Whether counts are taken back that were never made, as marks are not counted."""
    return rules.counts == "action" and (rules.thp == "cleared" or rules.free_hugetlb_tail == "marked")


USES = {
    state_of_use(use, split_ok=split_ok, file_system=file_system, large=large, shared=shared): use
    for use, file_system in itertools.product(PageUse, FILE_SYSTEMS)
    for split_ok, large, shared in itertools.product((False, True), repeat=3)
}
"""A page use that each state of the fleet is one of."""


@pytest.fixture
def machines(monkeypatch):
    """The machines that the handler ran on."""
    made, real = [], kernel.Machine

    def keeping(*args, **options):
        made.append(real(*args, **options))
        return made[-1]

    monkeypatch.setattr(kernel, "Machine", keeping)
    return made


def handled(machines, rules, state, call, earlier):
    """What came of a call, and what the machine has counted by then: pages, and by result."""
    outcome = handle_state(state, call, OWNER, early_kill=True, recovery=True, earlier=earlier, profile=rules)
    return outcome, machines[-1].counted_pages, dict(machines[-1].statistics)


def row_of(outcome, use):
    page_type = None if outcome.page_type is None else outcome.page_type.text
    result = None if outcome.result is None else outcome.result.text
    return {"page_use": use.text, "page_type": page_type, "result": result, "errno": outcome.errno}


def check(machines, rules, calls, name):
    """Hold what a row adds against what the handler counted, page by page and call by call."""
    for (state, use), call, earlier in itertools.product(USES.items(), calls, Earlier):
        if earlier is Earlier.NEIGHBOUR and not is_hugetlb(state):
            continue
        first = CALLS.get(call, (None,))[0]
        outcome, counted, statistics = handled(machines, rules, state, call, earlier)
        if outcome.panic:
            continue
        if first is not None:
            _, pages, by_result = handled(machines, rules, state, first, earlier)
            counted -= pages
            statistics = {key: n - by_result.get(key, 0) for key, n in statistics.items()}
        row = row_of(outcome, use)
        known = first is not None or earlier is Earlier.PAGE
        where = f"{name}: {state}, {call.name}, {earlier.name}: {row}"
        assert poisoned_pages(rules, row, known=known, beside=earlier is Earlier.NEIGHBOUR) == counted, where
        assert statistics.get("total", 0) == (rules.statistics and is_counted(row)), where
        if rules.statistics and is_counted(row):
            assert statistics[row["result"].lower()] == 1, where


@pytest.mark.parametrize("name", PROFILES)
def test_pages_and_statistics_rise_as_the_handler_counts(machines, name):
    check(machines, PROFILES[name], CallKind, name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name in ("2.6.32", "4.18", "6.12"))) for name in PROFILES]
)
def test_so_they_do_with_any_switch_of_another_kernel(machines, name):
    for switch, rules in variants(PROFILES[name]):
        check(machines, rules, ALONE, f"{name}, {switch}")


KIND = HostKind("6.1", switches_of("6.1"), "intel", 2, 6, 1, 1 << 34, 900 * NS_PER_S)


def huge(time_ns, pfn, page_type=None, lost_bytes=PAGES_PER_HUGE_PAGE * PAGE_BYTES):
    return "memory_failures", {
        "time_ns": time_ns, "seq": time_ns, "pfn": pfn, "page_use": "hugetlb", "page_type": page_type, "fault_id": 0,
        "result": page_type and "Recovered", "lost_bytes": lost_bytes,
    }  # fmt: skip


def rises(*life):
    return [one.amount for one in changes(list(life), KIND, 1) if isinstance(one, CounterRise)]


def test_further_pages_of_a_huge_page_count_once_each_while_it_is_one():
    first, other = huge(1, 7, "huge page"), huge(2, 8)
    assert rises(first, other, huge(3, 8), huge(4, 7)) == [1, 1]
    assert rises(first, huge(2, 7 + PAGES_PER_HUGE_PAGE)) == [1], "another huge page, whose row says no line"
    boot = "lifecycle", {"time_ns": 2, "end_ns": 3, "kind": "panic", "seq": 2}
    assert rises(first, boot, huge(4, 8)) == [1]
    assert rises(huge(1, 7, "huge page", lost_bytes=PAGE_BYTES), other) == [1], "it was broken up"
    assert [one.counter for one in changes([first], KIND, 1)] == [HostCounter("pages")]
