"""What the kernel does once a machine-check record is graded: panic, handler, signal or nothing, in every kernel."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest

from node_sim.machine_check.exception import Arrival, exception, poll
from node_sim.machine_check.severity import Bank, Context

PROFILES = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")
KNOB = ("2.6.32", "3.10", "4.18", "5.10")
"""Kernels with the ``tolerant`` knob."""
USER, KERNEL, RECOVERABLE, COPYIN, SEAM = (
    Context.USER,
    Context.KERNEL,
    Context.RECOVERABLE,
    Context.COPYIN,
    Context.SEAM,
)

VAL, OVER, UC, EN = 1 << 63, 1 << 62, 1 << 61, 1 << 60
MISCV, ADDRV, PCC, S, AR = 1 << 59, 1 << 58, 1 << 57, 1 << 56, 1 << 55
RIPV, EIPV, MCIP = 1, 2, 4
GENERIC, SCRUB, WRITEBACK, LOAD, FETCH = 0x0090, 0x00C0, 0x017A, 0x0134, 0x0150

ADDRESS = ADDRV | MISCV
CORRECTED = VAL | EN | ADDRESS | GENERIC
UCNA = VAL | UC | EN | ADDRESS | GENERIC
SRAO = VAL | UC | EN | ADDRESS | S | SCRUB
SRAO_BY_CMCI = VAL | UC | EN | ADDRESS | SCRUB
SRAO_WRITEBACK = VAL | UC | EN | ADDRESS | S | WRITEBACK
SRAR = VAL | UC | EN | ADDRESS | S | AR | LOAD
SRAR_FETCH = VAL | UC | EN | ADDRESS | S | AR | FETCH

PHYSICAL = 2 << 6
PAGE = PHYSICAL | 12
RESTART = RIPV | MCIP
RESTART_AT_ERROR = RIPV | EIPV | MCIP
NO_RESTART = EIPV | MCIP
NEITHER = MCIP

UNUSABLE = {
    "no ADDRV": (ADDRV, PAGE),
    "no MISCV": (MISCV, PAGE),
    "neither ADDRV nor MISCV": (ADDRV | MISCV, PAGE),
    "segment offset": (0, 0 << 6 | 12),
    "linear address": (0, 1 << 6 | 12),
    "memory address": (0, 3 << 6 | 12),
    "generic address": (0, 7 << 6 | 12),
    "coarser than a page": (0, PHYSICAL | 13),
    "no low bit known": (0, PHYSICAL | 63),
}
"""Why an address cannot be used: bits to clear in the status, and MISC."""
USABLE = {"a page": PAGE, "a cache line": PHYSICAL | 6, "a byte": PHYSICAL}

GRADED = "Fatal machine check"
LATE = "Timeout: Not all CPUs entered broadcast exception handler"
LATE_OLD = "Timeout synchronizing machine check over CPUs"


class Outcome(NamedTuple):
    """What can be seen of an arrival."""

    panic: str | None = None
    calls_handler: bool = False
    action_required: bool = False
    must_kill: bool = False
    plain_sigbus: bool = False
    signals_task: bool = False


NOTHING = Outcome()
QUEUED = Outcome(calls_handler=True)
REQUIRED = Outcome(calls_handler=True, action_required=True)
REQUIRED_AND_KILLED = Outcome(calls_handler=True, action_required=True, must_kill=True)
KILLED = Outcome(plain_sigbus=True)


def outcome(arrival: Arrival) -> Outcome:
    return Outcome(*(getattr(arrival, field) for field in Outcome._fields))


def taken(
    status: int,
    context: Context,
    profile: str,
    mcgstatus: int = RESTART_AT_ERROR,
    misc: int = PAGE,
    **how: int,
) -> Outcome:
    """Deliver a record as a machine check."""
    return outcome(exception(Bank(status=status, misc=misc, mcgstatus=mcgstatus), context, profile, **how))


def polled(status: int, profile: str, misc: int = PAGE, **how: bool) -> Outcome:
    """Let the poller find a record."""
    return outcome(poll(Bank(status=status, misc=misc), profile, **how))


def unknown_source(profile: str) -> str:
    if profile in ("2.6.32", "3.10"):
        return "Machine check from unknown source"
    return "Fatal machine check from unknown source"


def by_profile(**values: object) -> list[tuple[str, object]]:
    """Pairs of a profile and its value; names are v2_6_32 and the like, in the order of the profiles."""
    assert tuple(name[1:].replace("_", ".") for name in values) == PROFILES
    return list(zip(PROFILES, values.values(), strict=True))


every_profile = pytest.mark.parametrize("profile", PROFILES)


# Action optional, and what is left to the poller


@every_profile
@pytest.mark.parametrize("status", [SRAO, SRAO_WRITEBACK], ids=["scrub", "writeback"])
@pytest.mark.parametrize("context", [USER, KERNEL])
@pytest.mark.parametrize("mcgstatus", [RESTART, RESTART_AT_ERROR])
def test_an_action_optional_machine_check_only_queues_the_page(profile, status, context, mcgstatus):
    assert taken(status, context, profile, mcgstatus) == QUEUED


@every_profile
@pytest.mark.parametrize("why", UNUSABLE)
def test_an_action_optional_machine_check_without_a_usable_address_does_nothing(profile, why):
    missing, misc = UNUSABLE[why]
    assert taken(SRAO & ~missing, KERNEL, profile, RESTART, misc) == NOTHING


@every_profile
@pytest.mark.parametrize("how", USABLE)
def test_an_address_known_to_a_page_or_finer_is_usable(profile, how):
    assert taken(SRAO, KERNEL, profile, RESTART, USABLE[how]) == QUEUED


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(v2_6_32=NOTHING, v3_10=NOTHING, v4_18=NOTHING, v5_10=QUEUED, v6_1=QUEUED, v6_12=QUEUED, v7_1=QUEUED),
)
def test_lost_events_hide_an_action_optional_error_until_5_10(profile, expected):
    assert taken(SRAO | OVER, KERNEL, profile, RESTART) == expected


@every_profile
@pytest.mark.parametrize("status", [VAL | UC | EN | ADDRESS | S | GENERIC, VAL | EN | ADDRESS | S | GENERIC])
def test_some_other_signalled_record_that_needs_no_action_changes_nothing(profile, status):
    assert taken(status, USER, profile) == NOTHING
    assert taken(status, KERNEL, profile) == NOTHING


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(v2_6_32=NOTHING, v3_10=NOTHING, v4_18=QUEUED, v5_10=QUEUED, v6_1=QUEUED, v6_12=QUEUED, v7_1=QUEUED),
)
@pytest.mark.parametrize("status", [SRAO_BY_CMCI, SRAO & ~EN])
def test_an_action_optional_error_found_by_the_poller_is_queued_once_polls_are_graded(profile, expected, status):
    assert polled(status, profile) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(v2_6_32=NOTHING, v3_10=NOTHING, v4_18=NOTHING, v5_10=QUEUED, v6_1=QUEUED, v6_12=QUEUED, v7_1=QUEUED),
)
@pytest.mark.parametrize("status", [UCNA, UCNA | OVER, UCNA & ~EN, (UCNA | OVER) & ~EN])
def test_an_uncorrected_error_nobody_consumed_reaches_the_handler_by_polling_from_5_10_on(profile, expected, status):
    assert polled(status, profile) == expected


@every_profile
@pytest.mark.parametrize("why", UNUSABLE)
@pytest.mark.parametrize("status", [UCNA, SRAO_BY_CMCI])
def test_a_polled_error_without_a_usable_address_does_nothing(profile, why, status):
    missing, misc = UNUSABLE[why]
    assert polled(status & ~missing, profile, misc) == NOTHING


@every_profile
@pytest.mark.parametrize("ser", [False, True])
def test_a_polled_corrected_error_never_reaches_the_handler(profile, ser):
    for over, code in itertools.product((0, OVER), (GENERIC, SCRUB, LOAD)):
        assert polled(VAL | EN | ADDRESS | over | code, profile, ser=ser) == NOTHING


@every_profile
@pytest.mark.parametrize("status", [SRAO, SRAO_WRITEBACK, SRAR, SRAR_FETCH, SRAR | OVER])
def test_the_poller_skips_signalled_records(profile, status):
    assert polled(status, profile) == NOTHING


@every_profile
@pytest.mark.parametrize("status", [UCNA, SRAO_BY_CMCI, UCNA | OVER, UCNA | PCC])
def test_the_poller_skips_uncorrected_records_of_a_processor_without_recovery(profile, status):
    assert polled(status, profile, ser=False) == NOTHING


@every_profile
@pytest.mark.parametrize("status", [UCNA | PCC, UCNA | AR, SRAR | PCC, 0, ADDRESS | UC | SCRUB])
def test_the_poller_neither_panics_nor_handles_what_is_fatal_or_invalid(profile, status):
    assert polled(status, profile) == NOTHING


# Nothing worse than KEEP was seen


@every_profile
@pytest.mark.parametrize("context", [USER, KERNEL])
@pytest.mark.parametrize(
    "status",
    [CORRECTED, CORRECTED | OVER, UCNA, UCNA | OVER, SRAO_BY_CMCI, SRAO & ~EN, SRAR & ~EN, SRAO & ~VAL, 0],
    ids=[
        "corrected",
        "corrected with lost events",
        "UCNA",
        "UCNA with lost events",
        "scrub not signalled",
        "scrub not enabled",
        "load not enabled",
        "invalid",
        "empty",
    ],
)
def test_a_machine_check_without_a_cause_panics_as_of_unknown_source(profile, context, status):
    assert taken(status, context, profile).panic == unknown_source(profile)


@every_profile
def test_a_corrected_machine_check_without_recovery_panics_as_of_unknown_source(profile):
    assert taken(CORRECTED, USER, profile, ser=False).panic == unknown_source(profile)
    assert taken(CORRECTED | S, USER, profile, ser=False).panic == unknown_source(profile)


@every_profile
@pytest.mark.parametrize("status", [SRAR, SRAR_FETCH])
def test_an_action_required_record_seen_only_by_an_unaffected_thread_panics(profile, status):
    expected = GRADED if profile == "2.6.32" else unknown_source(profile)
    assert taken(status, USER, profile, RESTART).panic == expected


# Action required in user mode


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=Outcome(GRADED),
        v3_10=REQUIRED,
        v4_18=REQUIRED,
        v5_10=REQUIRED,
        v6_1=REQUIRED,
        v6_12=REQUIRED,
        v7_1=REQUIRED,
    ),
)
@pytest.mark.parametrize("status", [SRAR, SRAR_FETCH], ids=["load", "fetch"])
def test_a_user_that_consumed_bad_data_and_can_restart_gets_the_handler_from_3_10_on(profile, expected, status):
    assert taken(status, USER, profile) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=Outcome(GRADED),
        v3_10=REQUIRED_AND_KILLED,
        v4_18=KILLED,
        v5_10=KILLED,
        v6_1=KILLED,
        v6_12=REQUIRED_AND_KILLED,
        v7_1=REQUIRED_AND_KILLED,
    ),
)
@pytest.mark.parametrize("status", [SRAR, SRAR_FETCH], ids=["load", "fetch"])
def test_a_user_that_cannot_restart_is_killed_and_the_page_is_poisoned_in_3_10_and_again_from_6_5_on(
    profile, expected, status
):
    assert taken(status, USER, profile, NO_RESTART) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=Outcome(GRADED),
        v3_10=REQUIRED,
        v4_18=REQUIRED,
        v5_10=REQUIRED,
        v6_1=REQUIRED,
        v6_12=KILLED,
        v7_1=KILLED,
    ),
)
@pytest.mark.parametrize("misc", [1 << 6 | 12, PHYSICAL | 13], ids=["linear address", "coarser than a page"])
def test_the_address_of_a_consumed_error_is_checked_only_from_6_5_on(profile, expected, misc):
    assert taken(SRAR, USER, profile, misc=misc) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=Outcome(GRADED),
        v3_10=REQUIRED_AND_KILLED,
        v4_18=KILLED,
        v5_10=KILLED,
        v6_1=KILLED,
        v6_12=KILLED,
        v7_1=KILLED,
    ),
)
def test_a_user_that_cannot_restart_and_has_no_usable_address_is_killed_plainly_from_6_5_on(profile, expected):
    assert taken(SRAR, USER, profile, NO_RESTART, PHYSICAL | 13) == expected


@every_profile
@pytest.mark.parametrize("missing", [ADDRV, MISCV, ADDRV | MISCV])
@pytest.mark.parametrize("mcgstatus", [RESTART_AT_ERROR, RESTART, NO_RESTART])
def test_an_action_required_record_without_address_panics(profile, missing, mcgstatus):
    assert taken(SRAR & ~missing, USER, profile, mcgstatus).panic == GRADED


@every_profile
@pytest.mark.parametrize("code", [GENERIC, SCRUB, WRITEBACK])
def test_an_action_required_record_of_another_kind_panics(profile, code):
    status = SRAR & ~0xFFFF | code
    assert taken(status, USER, profile).panic == GRADED
    assert taken(status, KERNEL, profile).panic == GRADED


@every_profile
@pytest.mark.parametrize("context", [USER, KERNEL, RECOVERABLE, COPYIN])
@pytest.mark.parametrize("status", [SRAR, SRAR_FETCH])
def test_without_the_handler_in_the_kernel_every_consumed_error_panics(profile, context, status):
    assert taken(status, context, profile, memory_failure=False).panic == GRADED


@every_profile
def test_without_the_handler_in_the_kernel_nothing_calls_it(profile):
    assert taken(SRAO, KERNEL, profile, RESTART, memory_failure=False) == NOTHING
    assert polled(UCNA, profile, memory_failure=False) == NOTHING
    assert polled(SRAO_BY_CMCI, profile, memory_failure=False) == NOTHING


# No restart, but less than action required


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=QUEUED._replace(plain_sigbus=True),
        v3_10=QUEUED._replace(plain_sigbus=True),
        v4_18=QUEUED._replace(plain_sigbus=True),
        v5_10=QUEUED._replace(plain_sigbus=True),
        v6_1=QUEUED._replace(plain_sigbus=True),
        v6_12=REQUIRED_AND_KILLED,
        v7_1=REQUIRED_AND_KILLED,
    ),
)
def test_a_user_that_cannot_restart_after_an_action_optional_error_dies_too(profile, expected):
    assert taken(SRAO, USER, profile, NO_RESTART) == expected


@every_profile
def test_a_user_that_cannot_restart_after_an_action_optional_error_without_usable_address_dies_plainly(profile):
    assert taken(SRAO, USER, profile, NO_RESTART, PHYSICAL | 13) == KILLED
    assert taken(SRAO & ~MISCV, USER, profile, NO_RESTART) == KILLED


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=KILLED,
        v3_10=KILLED,
        v4_18=KILLED,
        v5_10=KILLED,
        v6_1=KILLED,
        v6_12=REQUIRED_AND_KILLED,
        v7_1=REQUIRED_AND_KILLED,
    ),
)
def test_a_user_that_cannot_restart_after_an_error_of_an_unknown_kind_dies_and_from_6_5_on_its_page_is_poisoned(
    profile, expected
):
    assert taken(VAL | UC | EN | ADDRESS | S | GENERIC, USER, profile, NO_RESTART) == expected


# Kernel mode


@every_profile
@pytest.mark.parametrize("status", [SRAR, SRAR_FETCH])
def test_the_kernel_that_consumes_bad_data_panics(profile, status):
    assert taken(status, KERNEL, profile).panic == GRADED


@every_profile
@pytest.mark.parametrize("context", [KERNEL, RECOVERABLE, COPYIN])
@pytest.mark.parametrize("status", [SRAO, SRAR, SRAR_FETCH])
def test_the_kernel_that_cannot_restart_panics(profile, context, status):
    assert taken(status, context, profile, NO_RESTART).panic == GRADED


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=Outcome(GRADED),
        v3_10=Outcome(GRADED),
        v4_18=NOTHING,
        v5_10=NOTHING,
        v6_1=NOTHING,
        v6_12=NOTHING,
        v7_1=NOTHING,
    ),
)
def test_a_machine_check_safe_copy_takes_its_fixup_and_the_page_is_not_handled(profile, expected):
    assert taken(SRAR, RECOVERABLE, profile) == expected


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=Outcome(GRADED),
        v3_10=Outcome(GRADED),
        v4_18=Outcome(GRADED),
        v5_10=REQUIRED._replace(signals_task=True),
        v6_1=QUEUED,
        v6_12=QUEUED,
        v7_1=QUEUED,
    ),
)
def test_a_copy_from_user_is_recovered_from_5_10_on_and_only_5_10_signals_the_task(profile, expected):
    assert taken(SRAR, COPYIN, profile) == expected


@every_profile
def test_a_guest_in_seam_mode_is_no_reason_to_panic_from_6_12_on(profile):
    seen = taken(SRAR, SEAM, profile)
    if profile in ("6.12", "7.1"):
        assert (seen.panic, seen.plain_sigbus, seen.signals_task) == (None, False, False)
    else:
        assert seen.panic == GRADED


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(v2_6_32=None, v3_10=None, v4_18=None, v5_10=None, v6_1=GRADED, v6_12=GRADED, v7_1=GRADED),
)
def test_an_uncorrected_error_in_the_kernel_without_recovery_is_fatal_by_default_only_after_5_10(profile, expected):
    assert taken(UCNA, KERNEL, profile, ser=False) == Outcome(expected)


@every_profile
def test_an_uncorrected_error_in_the_kernel_without_recovery_is_fatal_to_an_intolerant_kernel(profile):
    assert taken(UCNA, KERNEL, profile, ser=False, tolerant=0).panic == GRADED


@every_profile
def test_an_uncorrected_error_in_user_mode_without_recovery_goes_by_if_the_user_can_restart(profile):
    assert taken(UCNA, USER, profile, ser=False) == NOTHING
    expected = REQUIRED_AND_KILLED if profile in ("6.12", "7.1") else KILLED
    assert taken(UCNA, USER, profile, NO_RESTART, ser=False) == expected
    assert taken(UCNA, USER, profile, NO_RESTART, PHYSICAL | 13, ser=False) == KILLED


@every_profile
def test_lost_uncorrected_errors_without_recovery_panic(profile):
    assert taken(UCNA | OVER, USER, profile, ser=False).panic == GRADED
    assert taken(UCNA | OVER, KERNEL, profile, ser=False).panic == GRADED


# What is always fatal


@every_profile
@pytest.mark.parametrize("context", Context)
@pytest.mark.parametrize("status", [SRAR, SRAO, UCNA, CORRECTED])
def test_a_corrupt_processor_context_panics_even_if_the_record_is_not_signalled(profile, context, status):
    assert taken(status | PCC, context, profile).panic == GRADED


@every_profile
@pytest.mark.parametrize("context", [USER, KERNEL, RECOVERABLE, COPYIN])
def test_an_action_required_record_with_lost_events_panics(profile, context):
    assert taken(SRAR | OVER, context, profile).panic == GRADED


@every_profile
@pytest.mark.parametrize("context", [USER, KERNEL])
def test_an_action_required_record_that_is_not_signalled_panics(profile, context):
    assert taken(UCNA | AR, context, profile).panic == GRADED


@every_profile
@pytest.mark.parametrize("context", [USER, KERNEL])
@pytest.mark.parametrize("status", [SRAR, SRAO, UCNA, CORRECTED])
def test_neither_restart_nor_error_ip_panics(profile, context, status):
    assert taken(status, context, profile, NEITHER).panic == GRADED


@every_profile
def test_a_machine_check_that_is_not_in_progress_panics(profile):
    assert taken(SRAR, USER, profile, RIPV | EIPV).panic == GRADED
    assert taken(SRAO, KERNEL, profile, RIPV).panic == GRADED


# Rendezvous


@every_profile
def test_when_all_cpus_arrive_nothing_times_out(profile):
    assert taken(SRAO, KERNEL, profile, RESTART, cpus=2, cpus_reached=2) == QUEUED
    assert taken(UCNA, USER, profile, cpus=2, cpus_reached=2).panic == unknown_source(profile)


@pytest.mark.parametrize(
    ("profile", "expected"),
    by_profile(
        v2_6_32=QUEUED,
        v3_10=QUEUED,
        v4_18=Outcome(LATE),
        v5_10=Outcome(LATE),
        v6_1=Outcome(LATE),
        v6_12=Outcome(LATE),
        v7_1=Outcome(LATE),
    ),
)
def test_a_cpu_that_does_not_arrive_is_fatal_by_default_from_3_16_on(profile, expected):
    seen = taken(SRAO, KERNEL, profile, RESTART, cpus=2, cpus_reached=1)
    assert seen.panic == expected.panic
    if expected.panic is None:
        assert seen == expected


@every_profile
@pytest.mark.parametrize("tolerant", [0, 1, 2, 3])
def test_a_cpu_that_does_not_arrive_is_fatal_as_far_as_the_knob_says(profile, tolerant):
    panic = taken(SRAO, KERNEL, profile, RESTART, cpus=2, cpus_reached=1, tolerant=tolerant).panic
    if profile in ("2.6.32", "3.10"):
        assert panic == (LATE_OLD if tolerant < 1 else None)
    elif profile in ("4.18", "5.10"):
        assert panic == (LATE if tolerant <= 1 else None)
    else:
        assert panic == LATE


@every_profile
def test_a_missing_cpu_saves_nobody_from_a_corrupt_processor_context(profile):
    assert taken(SRAR | PCC, USER, profile, cpus=2, cpus_reached=1).panic is not None


@every_profile
def test_the_most_tolerant_kernel_neither_panics_nor_kills(profile):
    panic = taken(SRAR | PCC, KERNEL, profile, tolerant=3).panic
    seen = taken(SRAO, USER, profile, NO_RESTART, tolerant=3)
    assert panic == (None if profile in KNOB else GRADED)
    if profile in KNOB:
        assert seen == QUEUED
    else:
        assert seen == taken(SRAO, USER, profile, NO_RESTART)


@every_profile
def test_an_arrival_says_in_words_what_happened(profile):
    assert isinstance(exception(Bank(status=SRAO, mcgstatus=RESTART), KERNEL, profile).notes, str)
    assert isinstance(poll(Bank(status=UCNA), profile).notes, str)
