"""The worked examples T1 to T13 of the specification, for every kernel profile they name.

Typed from section 14 of the specification (with its errata of section 0.5, which win over the text); a second reading
that is not generated from the handler. The kernel logs are complete and compared as whole lines. A line that the
examples give as ``… text``, without saying what stands before it, is compared from the text on.
"""

from __future__ import annotations

import re

import pytest

from node_sim.one_page.inject import inject
from tests.oracle.big_table import PROFILES, action_line, prefix

EIO, EBUSY, EHWPOISON = -5, -16, -133

SINCE_3_10 = PROFILES[1:]
SINCE_4_18 = PROFILES[2:]
SINCE_5_10 = PROFILES[3:]
SINCE_6_1 = PROFILES[4:]
SINCE_6_12 = PROFILES[5:]

POLICIES = ("unset", "early", "late")
WAS_CLEAN = "corrupted page was clean: dropped without side effects"
USER_ACCESS = "… Uncorrected hardware memory error in user-access at 1234000"
NOT_RECOVERED = "… Memory error not recovered"
LATE_KILL = "MCE: Killing app:100 due to hardware memory corruption fault at "


def era(profile: str, old: str) -> str:
    """Label of a profile: up to 3.10 without " page" at its end."""
    return old if profile in {"2.6.32", "3.10"} else f"{old} page"


def dirty_line(profile: str) -> str:
    """Action line of T1."""
    if profile == "2.6.32":
        return "MCE 0x1234: dirty LRU page recovery: Recovered"
    return action_line(profile, era(profile, "dirty LRU"), "R")


def clean_line(profile: str) -> str:
    """Action line of T3."""
    return action_line(profile, era(profile, "clean LRU"), "R")


def kill_line(profile: str) -> str:
    """First line of T2."""
    return {
        "2.6.32": "MCE 0x1234: Killing app:100 early due to hardware memory corruption",
        "3.10": "MCE 0x1234: Killing app:100 due to hardware memory corruption",
        "4.18": "Memory failure: 0x1234: Killing app:100 due to hardware memory corruption",
    }.get(profile, "Memory failure: 0x1234: Sending SIGBUS to app:100 due to hardware memory corruption")


def same_log(log: list[str], expected: list[str]) -> bool:
    """Whether a log is the expected one; "… text" stands for a line that ends with the text."""
    return len(log) == len(expected) and all(
        line == wanted or (wanted.startswith("… ") and line.endswith(wanted.removeprefix("… ")))
        for line, wanted in zip(log, expected, strict=True)
    )


def handled(state: str, profile: str, *processes: str, event: str = "ao", **options):
    return inject(state, kernel_name=profile, event=event, processes=processes or ("unset:handler",), **options)


def signal_of(found, phase: str = "inject") -> tuple:
    """Return the only signal of a phase ("later": after the event) as task, signal, code, lsb and offset."""
    (signal,) = (got for got in found["signals"] if (got["phase"] == "inject") == (phase == "inject"))
    return tuple(signal[key] for key in ("task", "signal", "code", "lsb", "offset"))


def answers(found) -> list[str]:
    return [access["answer"] for access in found["later"]]


def assert_killed_at_the_access(state: str, profile: str, *, lsb: int = 12, early_kill: bool = False) -> None:
    found = handled(state, profile, early_kill=early_kill, then=("read",))
    assert answers(found) == ["SIGBUS(BUS_MCEERR_AR)"]
    assert signal_of(found, "later") == ("app:100", "SIGBUS", "BUS_MCEERR_AR", lsb, 0)
    assert any(line.startswith(LATE_KILL) for line in found["log"])


@pytest.mark.parametrize("profile", PROFILES)
def test_t1_a_dirty_anonymous_page_is_recovered_and_kills_at_the_later_access(profile):
    found = handled("anonymous", profile)
    assert found["log"] == [dirty_line(profile)]
    assert (found["errno"], found["signals"], found["hardware_corrupted_kb"]) == (0, [], 4)
    assert_killed_at_the_access("anonymous", profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_t2_with_early_kill_the_process_is_told_at_once_and_again_at_the_access(profile):
    found = handled("anonymous", profile, early_kill=True)
    assert found["log"] == [kill_line(profile), dirty_line(profile)]
    assert found["errno"] == 0
    assert signal_of(found) == ("app:100", "SIGBUS", "BUS_MCEERR_AO", 12, 0)
    assert_killed_at_the_access("anonymous", profile, early_kill=True)


@pytest.mark.parametrize("early_kill", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("profile", PROFILES)
def test_t3_a_clean_file_page_is_dropped_without_a_signal_under_any_policy(profile, policy, early_kill):
    found = handled("file-clean", profile, f"{policy}:handler", early_kill=early_kill)
    assert found["log"] == [prefix(profile) + WAS_CLEAN, clean_line(profile)]
    assert found["errno"] == 0
    found = handled("file-clean", profile, f"{policy}:handler", early_kill=early_kill, then=("read",))
    (answer,) = answers(found)
    assert answer.startswith("ok(")
    assert found["signals"] == []


@pytest.mark.parametrize(
    "profile",
    [pytest.param(profile, id=f"{profile}-inferred" if profile == "2.6.32" else profile) for profile in PROFILES],
)
def test_t4_a_dirty_file_page_loses_its_data_and_one_fsync_reports_it(profile):
    found = handled("file-dirty", profile)
    label = "LRU" if profile == "2.6.32" else era(profile, "dirty LRU")
    assert found["log"] == [action_line(profile, label, "R")]
    assert (found["errno"], found["signals"]) == (0, [])
    assert_killed_at_the_access("file-dirty", profile)
    read, *synced = answers(handled("file-dirty", profile, then=("pread", "fsync", "fsync")))
    assert read.startswith("ok(")
    assert synced == ["EIO", "0"]


@pytest.mark.parametrize(
    ("profile", "line", "errno"),
    [
        ("2.6.32", "MCE 0x1234: free or high order kernel page recovery: Ignored", EBUSY),
        ("3.10", "MCE 0x1234: free buddy page recovery: Delayed", 0),
        ("4.18", "Memory failure: 0x1234: recovery action for free buddy page: Delayed", 0),
        ("5.10", "Memory failure: 0x1234: recovery action for free buddy page: Delayed", 0),
        ("6.1", "Memory failure: 0x1234: recovery action for free buddy page: Recovered", 0),
        ("6.12", "Memory failure: 0x1234: recovery action for free buddy page: Recovered", 0),
        ("7.1", "Memory failure: 0x1234: recovery action for free buddy page: Recovered", 0),
    ],
    ids=PROFILES,
)
def test_t5_a_free_page_is_ignored_then_delayed_then_taken_off_the_buddy_lists(profile, line, errno):
    found = handled("free", profile)
    assert found["log"] == [line]
    assert (found["errno"], found["signals"]) == (errno, [])


SLAB_LOGS = {
    "2.6.32": ["MCE 0x1234: non LRU page recovery: Ignored"],
    "3.10": ["MCE 0x1234: non LRU page recovery: Ignored"],
    "4.18": [
        "Memory failure: 0x1234: kernel slab page still referenced by 1 users",
        "Memory failure: 0x1234: recovery action for kernel slab page: Failed",
    ],
    "5.10": [
        "Memory failure: 0x1234: kernel slab page still referenced by 1 users",
        "Memory failure: 0x1234: recovery action for kernel slab page: Failed",
    ],
    "6.1": [
        "Memory failure: 0x1234: unhandlable page.",
        "Memory failure: 0x1234: recovery action for unknown page: Ignored",
    ],
    "6.12": [
        "Memory failure: 0x1234: unhandlable page.",
        "Memory failure: 0x1234: recovery action for get hwpoison page: Ignored",
    ],
    "7.1": [
        "Memory failure: 0x1234: unhandlable page.",
        "Memory failure: 0x1234: recovery action for get hwpoison page: Ignored",
    ],
}


@pytest.mark.parametrize(("profile", "log"), SLAB_LOGS.items(), ids=PROFILES)
def test_t6_a_slab_page_cannot_be_handled(profile, log):
    found = handled("slab", profile)
    assert found["log"] == log
    assert (found["errno"], found["signals"]) == (EBUSY, [])


REPEATED = {
    "2.6.32": ("MCE 0x1234: already hardware poisoned page recovery: Ignored", 0),
    "3.10": ("MCE 0x1234: already hardware poisoned", 0),
    "4.18": ("Memory failure: 0x1234: already hardware poisoned", 0),
    "5.10": ("Memory failure: 0x1234: already hardware poisoned", 0),
    "6.1": ("Memory failure: 0x1234: already hardware poisoned", EHWPOISON),
    # Erratum: 6.12.100 prints what latest prints and does not count it.
    "6.12": ("Memory failure: 0x1234: recovery action for already poisoned page: Failed", EHWPOISON),
    "7.1": ("Memory failure: 0x1234: recovery action for already poisoned page: Failed", EHWPOISON),
}


@pytest.mark.parametrize(
    ("profile", "line", "errno"), [(profile, *told) for profile, told in REPEATED.items()], ids=PROFILES
)
def test_t7_the_same_page_again_is_not_counted_again(profile, line, errno):
    found = handled("poisoned", profile)
    assert found["log"] == [line]
    assert (found["errno"], found["signals"], found["hardware_corrupted_kb"]) == (errno, [], 0)


@pytest.mark.parametrize("state", ["anonymous", "file-clean", "zero"])
def test_t8_2_6_32_panics_when_a_user_load_consumes_an_error(state):
    found = handled(state, "2.6.32", event="ar")
    assert found["panic"].startswith("Kernel panic - not syncing: ")
    assert found["page_type"] is None


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("profile", SINCE_3_10)
def test_t8_a_user_load_of_a_dirty_page_kills_the_consumer_whatever_its_policy(profile, policy):
    found = handled("anonymous", profile, f"{policy}:handler", event="ar")
    assert same_log(found["log"], [USER_ACCESS, kill_line(profile), dirty_line(profile)])
    assert (found["errno"], found["panic"]) == (0, None)
    assert signal_of(found) == ("app:100", "SIGBUS", "BUS_MCEERR_AR", 12, 0)


@pytest.mark.parametrize("profile", SINCE_3_10)
def test_t8_a_user_load_of_a_clean_file_page_is_executed_again(profile):
    found = handled("file-clean", profile, event="ar")
    assert same_log(found["log"], [USER_ACCESS, prefix(profile) + WAS_CLEAN, clean_line(profile)])
    assert found["errno"] == 0
    assert found["signals"] == []


@pytest.mark.parametrize("profile", SINCE_3_10)
def test_t8_a_user_load_of_a_page_of_the_kernel_is_not_recovered(profile):
    found = handled("zero", profile, event="ar")
    first, *between = found["log"]
    assert same_log([first], [USER_ACCESS])
    if profile != "5.10":  # which sends BUS_MCEERR_AR without an address, and says nothing
        assert same_log([between.pop()], [NOT_RECOVERED])
    expected = {
        "3.10": ("non LRU", "I"),
        "4.18": ("reserved kernel page", "F"),
        "5.10": ("reserved kernel page", "F"),
        "6.1": ("unknown page", "I"),
    }.get(profile, ("get hwpoison page", "I"))
    assert between[-1] == action_line(profile, *expected)
    assert found["errno"] == EBUSY
    signal = ("BUS_MCEERR_AR", 12) if profile == "5.10" else ("SI_KERNEL", None)
    assert signal_of(found) == ("app:100", "SIGBUS", *signal, None)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("anonymous", "ao"),
        ("file-clean", "ao"),
        ("file-dirty", "ao"),
        ("free", "ao"),
        ("slab", "ao"),
        ("poisoned", "ao"),
        ("absent", "ao"),
        ("anonymous", "ar"),
    ],
)
@pytest.mark.parametrize("profile", PROFILES)
def test_t9_without_recovery_every_error_panics_before_any_check(profile, state, event):
    found = handled(state, profile, event=event, recovery=False)
    text = (
        "Memory failure from trap 18 on page 1234" if profile in {"2.6.32", "3.10"} else "Memory failure on page 1234"
    )
    if (profile, event) == ("2.6.32", "ar"):  # the machine check itself panics (T8)
        assert found["panic"].startswith("Kernel panic - not syncing: ")
    else:
        assert found["panic"] == f"Kernel panic - not syncing: {text}"


@pytest.mark.parametrize("profile", SINCE_3_10)
def test_t9_soft_offline_works_without_recovery(profile):
    found = handled("anonymous", profile, event="soft_offline", recovery=False)
    assert (found["panic"], found["errno"], found["hardware_corrupted_kb"]) == (None, 0, 4)


START_OF_HUGE_PAGE = -0x34 * 4096  # the huge page of pfn 0x1234 starts at pfn 0x1200


@pytest.mark.parametrize(
    ("profile", "line", "offset", "counter"),
    [
        ("3.10", "MCE 0x1234: huge page recovery: Delayed", START_OF_HUGE_PAGE, 2048),
        ("4.18", "Memory failure: 0x1234: recovery action for huge page: Recovered", START_OF_HUGE_PAGE, 4),
        ("5.10", "Memory failure: 0x1234: recovery action for huge page: Recovered", START_OF_HUGE_PAGE, 4),
        ("6.1", "Memory failure: 0x1234: recovery action for huge page: Recovered", START_OF_HUGE_PAGE, 4),
        # Erratum: 6.12.100 signals as latest.
        ("6.12", "Memory failure: 0x1234: recovery action for huge page: Recovered", 0, 4),
        ("7.1", "Memory failure: 0x1234: recovery action for huge page: Recovered", 0, 4),
    ],
    ids=SINCE_3_10,
)
def test_t10_the_early_signal_of_a_private_huge_page_names_2m_and_its_version_s_address(profile, line, offset, counter):
    found = handled("hugetlb", profile, early_kill=True)
    assert found["log"] == [kill_line(profile), line]
    assert (found["errno"], found["hardware_corrupted_kb"]) == (0, counter)
    assert signal_of(found) == ("app:100", "SIGBUS", "BUS_MCEERR_AO", 21, offset)
    assert_killed_at_the_access("hugetlb", profile, lsb=21, early_kill=True)


@pytest.mark.parametrize("profile", SINCE_3_10)
def test_t11_soft_offline_of_an_anonymous_page_prints_nothing_and_signals_nobody(profile):
    found = handled("anonymous", profile, "early:handler", event="soft_offline")
    assert found["log"] == []
    assert (found["errno"], found["signals"], found["hardware_corrupted_kb"]) == (0, [], 4)


@pytest.mark.parametrize("profile", SINCE_3_10)
def test_t11_soft_offline_of_a_kernel_page_is_refused(profile):
    found = handled("kernel", profile, event="soft_offline")
    assert (found["errno"], found["signals"]) == (EIO, [])
    if profile in {"3.10", "4.18"}:
        (line,) = found["log"]
        assert line.startswith("soft_offline: 0x1234: unknown non LRU page type ")
    elif profile in SINCE_6_1:
        assert same_log(found["log"], ["… 0x1234: unhandlable page."])


@pytest.mark.parametrize(("process", "early_kill"), [("unset:handler", False), ("early:handler", True)])
@pytest.mark.parametrize("profile", PROFILES[:5])
def test_t12_a_ksm_page_is_not_unmapped_up_to_6_1(profile, process, early_kill):
    found = handled("ksm", profile, process, early_kill=early_kill)
    if profile == "2.6.32":
        line, note = found["log"]
        assert line == "MCE 0x1234: LRU page recovery: Recovered"
        assert re.fullmatch(r"MCE 0x1234: LRU page still referenced by \d+ users", note)
        assert found["errno"] == 0
    elif profile == "3.10":
        assert found["log"] == ["MCE 0x1234: cannot unmap page, give up"]
        assert found["errno"] == EBUSY
    else:
        assert found["log"] == [
            "Memory failure: 0x1234: can't handle KSM pages.",
            "Memory failure: 0x1234: recovery action for unmapping failed page: Ignored",
        ]
        assert found["errno"] == EBUSY
    assert found["signals"] == []
    later = handled("ksm", profile, process, event="hard_offline", early_kill=early_kill, then=("read",))
    assert answers(later)[0].startswith("ok(")


@pytest.mark.parametrize("profile", SINCE_6_12)
def test_t12_a_ksm_page_is_handled_like_an_anonymous_page_since_6_12(profile):
    late, early = handled("ksm", profile), handled("ksm", profile, early_kill=True)
    assert late["log"] == [dirty_line(profile)]
    assert early["log"] == [kill_line(profile), dirty_line(profile)]
    assert (late["errno"], early["errno"], late["signals"]) == (0, 0, [])
    assert signal_of(early)[:4] == ("app:100", "SIGBUS", "BUS_MCEERR_AO", 12)
    assert answers(handled("ksm", profile, then=("read",))) == ["SIGBUS(BUS_MCEERR_AR)"]


UNSPLIT_LOGS = {
    "3.10": ["MCE 0x1234: failed to split THP", "MCE 0x1234: cannot unmap page, give up"],
    "4.18": ["Memory failure: 0x1234: thp split failed"],
    "5.10": [
        "Memory Failure: 0x1234: thp split failed",
        "Memory failure: 0x1234: recovery action for unsplit thp: Ignored",
    ],
    "6.1": ["Memory failure: 0x1234: recovery action for unsplit thp: Ignored"],
}


@pytest.mark.parametrize("process", ["late:handler", "early:handler"])
@pytest.mark.parametrize(("profile", "log"), UNSPLIT_LOGS.items(), ids=UNSPLIT_LOGS)
def test_t13_nobody_is_told_about_a_thp_that_cannot_be_split_up_to_6_1(profile, log, process):
    found = handled("thp-unsplittable", profile, process)
    assert found["log"] == log
    assert (found["errno"], found["signals"]) == (EBUSY, [])
    assert found["hardware_corrupted_kb"] == (0 if profile == "4.18" else 4)  # only 4.18 takes the count back


@pytest.mark.parametrize("profile", SINCE_6_12)
def test_t13_since_6_12_the_early_kill_set_is_told_about_a_thp_that_cannot_be_split(profile):
    failed = "Memory failure: 0x1234: recovery action for unsplit thp: Failed"
    late, early = (handled("thp-unsplittable", profile, process) for process in ("late:handler", "early:handler"))
    assert (late["log"], late["signals"], late["errno"]) == ([failed], [], EHWPOISON)
    assert early["log"] == [kill_line(profile), failed]
    assert early["errno"] == EHWPOISON
    # Section 5.3: the shift of the folio that could not be split, the address still that of the 4K page.
    assert signal_of(early) == ("app:100", "SIGBUS", "BUS_MCEERR_AO", 21, 0)
