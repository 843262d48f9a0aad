"""The switch table of the profiles against a second reading of section 2 of the behaviour specification."""

from __future__ import annotations

import pytest

from node_sim.catalog.kernels import CHOICES, PROFILE_NAMES, PROFILES, SWITCHES, find_profile
from node_sim.errors import ConfigError
from tests.oracle.switches import PROFILES as TYPED_PROFILES
from tests.oracle.switches import SWITCHES as TYPED
from tests.oracle.switches import words

YES_NO = {"yes": True, "no": False, "–": False, "n/a": False}
# Typed switch -> (switch of the code, start of the typed words -> value); the longest start that fits decides.
MEANING: dict[str, tuple[str, dict[str, object]]] = {
    "prefix": ("prefix", {"MCE 0x%lx: ": "MCE {pfn:#x}: ", "Memory failure: 0x%lx: ": "Memory failure: {pfn:#x}: "}),
    "action_fmt": ("wording", {"%s%s page": 0, "%s page": 1, "recovery action": 2}),
    "rec0_panic text": (
        "panic_text",
        {
            "Memory failure from trap %d": "Memory failure from trap 18 on page {pfn:x}",
            "Memory failure on page": "Memory failure on page {pfn:x}",
        },
    ),
    "invalid / offline pfn": ("bad_pfn", {"action line": "action", "log": "log", "no struct page": "pfn map"}),
    "already poisoned (4K) returns": (
        "already_line",
        {"0 (action": "ignored", "0 (log)": "log", "-EHWPOISON (log)": "log", "-EHWPOISON (action": "failed"},
    ),
    "kill_accessing_process on repeated AR": ("kill_accessing", YES_NO),
    "kap_notfound": ("kap_notfound", {"n/a": 0, "0": 0, "-EFAULT": -14}),
    "free buddy page": (
        "free_result",
        {
            '"free or': "Ignored",
            '"free buddy" Delayed': "Delayed",
            '"free buddy page" Delayed': "Delayed",
            "Recov": "Recovered",
        },
    ),
    "page on a per-CPU free list": ("drains_pcp", {"as refcount": False, '"high': False, "pcp lists drained": True}),
    "unhandlable type (not LRU, not hugetlb, not buddy)": (
        "kernel_page",
        {
            '"non LRU"': "non lru",
            "goes to the state table": "table",
            '3 retries with shake, then "unknown': "unknown",
            '3 retries with shake, then "get': "get hwpoison",
        },
    ),
    "THP split failure": (
        "thp",
        {
            "n/a": "none",
            '"failed to split': "give up",
            '"thp split failed", flag cleared': "cleared",
            '"unsplit thp" Ignored': "ignored",
            "kill collected": "killed",
        },
    ),
    "file/shmem THP": ("splits_file_thp", {"n/a": False, '"non anonymous': False, "split": True}),
    "unmap failure": (
        "unmap_failure",
        {
            "logged": "continue",
            'log "cannot': "give up",
            '"unmapping failed page" Ignored': "ignored",
            '"unmapping failed page" Failed': "failed",
        },
    ),
    "KSM page": (
        "ksm",
        {"not unmapped": "left", "unmap failure": "refused silently", 'log "can': "refused", "handled": "handled"},
    ),
    "extra reference check": (
        "references",
        {
            "log only": "log",
            "all handlers: Failed (logged": "errno",
            "all handlers: Failed (before": "all",
            "only": "some",
        },
    ),
    "tmpfs page after error": ("keeps_shmem", {"removed": False, "kept": True}),
    "hugetlb shared (file) page after error": (
        "hugetlb_file",
        {"n/a": "kept", "stays": "kept", "removed": "removed", "kept": "kept"},
    ),
    "hugetlb read() of healthy part": (
        "hugetlbfs_read",
        {"n/a": "none", "no check": "none", "whole": "page", "up to": "subpage"},
    ),
    "1G hugetlb in use": ("gigantic", {"n/a": "as 2M", "as 2M": "as 2M", '"non-pmd': "ignored", "handled": "as 2M"}),
    "dissolve_ok": ("dissolve_ok", {"n/a": "any", "not checked": "any", "≥0": "dissolved", ">0": "taken off"}),
    "counter incremented": ("counts", {"at detection": "detection", "in each action": "action"}),
    "killset": ("kill_set", {"K0": "K0", "K1b": "K1b", "K2": "K2", "K3": "K3", "K4": "K4"}),
    "clean page: tasks collected": ("collects_clean", YES_NO),
    "force kill also when unmap fails": ("forces_on_unmap_failure", YES_NO),
    "unmap failure signal": ("unmap_failure_signal", {"SIGKILL": "SIGKILL", "SIGBUS": "SIGBUS"}),
    "recovery of kernel copy-from-user (x86)": (
        "copy_recovery",
        {"no": "panic", "yes (signals": "signal", "yes (errno": "errno"},
    ),
    "UCNA / deferred → memory_failure (x86)": ("handles_ucna", YES_NO),
    "x86 tolerant knob": ("tolerant", YES_NO),
    "poisoned page removed from the direct map": ("unmaps_direct", YES_NO),
    "filtered page returns": ("filter_errno", {"n/a": 0, "0": 0, "-EOPNOTSUPP": -95}),
    "unpoison blocked after a real error": ("unpoison_locks", YES_NO),
    "soft offline of an already poisoned page": ("soft_already_errno", {"n/a": -16, "-EBUSY": -16, "0": 0}),
    "vm.enable_soft_offline": ("has_enable_soft_offline", YES_NO),
    "per-node statistics": ("statistics", YES_NO),
    "trace event": (
        "trace_event",
        {
            "–": "",
            "ras:memory_failure_event": "ras:memory_failure_event",
            "memory_failure:": "memory_failure:memory_failure_event",
        },
    ),
    "DAX path": ("dax", YES_NO),
    "hugetlb early-kill si_addr": ("hugetlb_early", {"n/a": "start", "start": "start", "exact": "exact"}),
}


def meant(switch: str, profile: str) -> object:
    """Value of the code that the typed words stand for."""
    typed = words(switch, profile)
    starts = [start for start in MEANING[switch][1] if typed.startswith(start)]
    return MEANING[switch][1][max(starts, key=len)]


@pytest.mark.parametrize("switch", MEANING)
def test_a_switch_has_the_values_of_the_second_reading(switch):
    name = MEANING[switch][0]
    assert TYPED_PROFILES == PROFILE_NAMES
    assert {p: getattr(PROFILES[p], name) for p in PROFILE_NAMES} == {p: meant(switch, p) for p in PROFILE_NAMES}


def test_rows_of_the_second_reading_that_are_no_single_switch_are_behaviour_of_the_table_of_pages():
    assert set(TYPED) - set(MEANING) == {
        "rec0 panic covers",
        "serialised by a mutex",
        "refcount-0 page not free",
        "compound kernel page (THP configured)",
        "THP",
        "pinned anonymous page",
        "AR recovery for user loads (x86)",
        "raw error page list for hugetlb",
        "pfn without struct page can be handled",
    }


def test_the_second_reading_has_no_empty_cell():
    assert all(len(cells) == len(TYPED_PROFILES) and all(cells) for cells in TYPED.values())


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_profile_can_be_asked_for_by_name(name):
    assert find_profile(name) is not None
    assert find_profile(name) == PROFILES[name]


def test_every_switch_can_be_set_to_every_value_that_some_kernel_has():
    for switch, values in SWITCHES.items():
        for value in (*values, *CHOICES.get(switch, ())):
            assert getattr(find_profile("6.1", {switch: str(value)}), switch) == value


def test_all_mistakes_in_switches_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        find_profile("5.4", {"colour": "red", "counts": "never"})
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "--kernel 5.4",
        "--switch colour",
        "--switch counts=never",
    ]
