"""Grades of machine checks against a second reading of the severity tables and of the handler's actions."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from node_sim.catalog.kernels import PROFILE_NAMES, PROFILES
from node_sim.codes import CheckAction, CpuContext, KernelRead, LifecycleReason, Observer, Severity
from node_sim.machine_check.grades import NOT_READ, READERS, Check, Reporting, grade, grade_table, look_up
from node_sim.server.policy import Kernel, Platform, Policy
from tests.oracle import kernel_copies
from tests.oracle import severity as severities

READ_FLAGS = ("device_fatal", "overflow")
ARM_FLAGS = ("recovery", "memory_failure", "scrub_srao", "load_recovery")
FLAGS = (*READ_FLAGS, *ARM_FLAGS)


def switched(names):
    """All settings of some switches."""
    return [dict(zip(names, flags, strict=True)) for flags in itertools.product((False, True), repeat=len(names))]


def reads(names):
    """All settings of some switches, for every kind of read by the kernel."""
    return [{"kernel_read": kind, **flags} for kind in KernelRead for flags in switched(names)]


DOMAIN = [(reader, flags) for reader in READERS for flags in reads(FLAGS)]


def cell(kind: KernelRead, profile: str) -> str:
    """What becomes of a copy by the kernel, in the second reading."""
    return kernel_copies.COPIES[f"ar-{kind.text}"][1][kernel_copies.PROFILES.index(profile)]


def survives(kind: KernelRead, profile: str) -> bool:
    """Whether a copy that is none from user space ends safely."""
    if kind in (KernelRead.COPY, KernelRead.OTHER):
        return False
    return cell(kind, profile) not in (kernel_copies.PANIC, kernel_copies.ABSENT)


def asked(reader, flags, **reporting) -> Check:
    """Ask for the grade of a read; flags of the arm may be among those of the read."""
    of_arm = {name: flag for name, flag in flags.items() if name in ARM_FLAGS}
    return grade(
        reader, Reporting(**of_arm, **reporting), **{name: flags[name] for name in ("kernel_read", *READ_FLAGS)}
    )


REASON_TEXTS = {
    "pcc": "Processor context corrupt",
    "device": "poisoned data reached a device",
    "lost": "Action required with lost events",
    "mcacod": "Action required: unknown MCACOD",
    "kernel": "Data load in unrecoverable area of kernel",
}

ASYNCHRONOUS = (Observer.SCRUB, Observer.DEVICE, Observer.WRITE_BACK)
CONSUMERS = (Observer.USER, Observer.KERNEL)


def rules(reader: Observer, flags: dict[str, bool]) -> list[tuple[str, bool, tuple[str, str, str | None]]]:
    """Rows 3 to 14 of the Intel severity table of 6.1 and what follows from each; the first that holds decides."""
    on = SimpleNamespace(**flags)
    srao = reader is Observer.WRITE_BACK or (reader is Observer.SCRUB and on.scrub_srao)
    ucna = reader in ASYNCHRONOUS and not srao
    return [
        ("no recovery: the bank says PCC", not on.recovery, ("FATAL", "PANIC", "pcc")),
        ("a wrong command: the bank says PCC", reader is Observer.DEMAND, ("FATAL", "PANIC", "pcc")),
        ("device kills the node", reader is Observer.DEVICE and on.device_fatal, ("FATAL", "PANIC", "device")),
        ("UCNA without handler", ucna and not on.memory_failure, ("UCNA", "LOG", None)),
        ("UCNA", ucna, ("UCNA", "QUEUE", None)),
        ("SRAO without handler", srao and not on.memory_failure, ("SRAO", "LOG", None)),
        ("SRAO, OVER ignored", srao, ("SRAO", "QUEUE", None)),
        ("no SRAR: the bank of a load says PCC", not on.load_recovery, ("FATAL", "PANIC", "pcc")),
        ("row 11: OVER & UC & S & AR", on.overflow, ("FATAL", "PANIC", "lost")),
        ("row 13: no rows 12 to 12c", not on.memory_failure, ("FATAL", "PANIC", "mcacod")),
        ("row 12: user", reader is Observer.USER, ("SRAR", "ACTION_REQUIRED", None)),
        ("row 12b: recoverable kernel, copyin", on.kernel_read is KernelRead.COPY, ("SRAR", "QUEUE", None)),
        ("row 12b: recoverable kernel, safe copy", survives(on.kernel_read, "6.1"), ("SRAR", "QUEUE", None)),
        ("row 12c: other kernel code", True, ("FATAL", "PANIC", "kernel")),
    ]


def second_reading(reader: Observer, flags: dict[str, bool]) -> tuple[str, str, str | None]:
    severity, action, reason = next(answer for _, holds, answer in rules(reader, flags) if holds)
    return severity, action, None if reason is None else REASON_TEXTS[reason]


def graded(reader: Observer, flags: dict[str, bool]) -> tuple[str, str, str | None]:
    return in_words(asked(reader, flags))


def in_words(check: Check) -> tuple[str, str, str | None]:
    return check.severity.name, check.action.name, check.reason.text if check.action is CheckAction.PANIC else None


@pytest.mark.parametrize("reader", READERS)
def test_every_combination_is_graded_as_in_the_second_reading(reader):
    cases = [(r, flags) for r, flags in DOMAIN if r is reader]
    assert [graded(r, flags) for r, flags in cases] == [second_reading(r, flags) for r, flags in cases]


def test_every_rule_of_the_second_reading_decides_some_combination():
    deciding = {next(name for name, holds, _ in rules(*case) if holds) for case in DOMAIN}
    assert deciding == {name for name, _, _ in rules(*DOMAIN[0])}


@pytest.mark.parametrize("kind", KernelRead)
def test_the_context_is_that_of_the_reader(kind):
    asynchronous = dict.fromkeys((*ASYNCHRONOUS, Observer.DEMAND), CpuContext.NONE)
    asynchronous[Observer.USER] = CpuContext.USER
    for profile in PROFILE_NAMES:
        recovers = kind is KernelRead.COPY or survives(kind, profile)
        contexts = asynchronous | {Observer.KERNEL: CpuContext.KERNEL_COPY if recovers else CpuContext.KERNEL}
        for reader, context in contexts.items():
            found = {
                asked(r, flags, profile=profile).context
                for r, flags in DOMAIN
                if r is reader and flags["kernel_read"] is kind
            }
            assert found == {context}


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_the_kind_of_a_read_is_that_of_the_kernel_which_has_other_code_for_a_copy_it_lacks(profile):
    for reader, flags in DOMAIN:
        kind = flags["kernel_read"]
        lacks = kind.text not in ("copy", "other") and cell(kind, profile) == kernel_copies.ABSENT
        expected = KernelRead.OTHER if lacks else kind
        assert asked(reader, flags, profile=profile).kernel_read is (expected if reader is Observer.KERNEL else None)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("kind", KernelRead)
def test_a_copy_by_the_kernel_panics_where_its_second_reading_says_so(kind, profile):
    if kind in (KernelRead.COPY, KernelRead.OTHER):
        safe = kind is KernelRead.COPY and profile in COPIES
    else:
        safe = survives(kind, profile)
    for way in ("intel", "firmware_first"):
        check = grade(
            Observer.KERNEL, Reporting(profile, way=way), kernel_read=kind, device_fatal=False, overflow=False
        )
        assert (check.action is not CheckAction.PANIC) == safe


def test_a_panic_is_always_fatal_and_nothing_else_is():
    for reader, flags in DOMAIN:
        check = asked(reader, flags)
        assert (check.action is CheckAction.PANIC) == (check.severity is Severity.FATAL)


@pytest.mark.parametrize("reader", CONSUMERS)
def test_consumption_with_lost_events_panics_in_any_context(reader):
    found = {
        (asked(r, flags).action, asked(r, flags).reason)
        for r, flags in DOMAIN
        if r is reader and flags["overflow"] and flags["recovery"] and flags["load_recovery"]
    }
    assert found == {(CheckAction.PANIC, LifecycleReason.LOST_EVENTS)}


def test_lost_events_do_not_change_the_grade_of_what_nobody_has_loaded():
    for reader, flags in DOMAIN:
        if reader not in CONSUMERS:
            assert asked(reader, flags) == asked(reader, {**flags, "overflow": not flags["overflow"]})


def test_without_memory_failure_nothing_reaches_the_handler():
    actions = {asked(reader, flags).action for reader, flags in DOMAIN if not flags["memory_failure"]}
    assert actions == {CheckAction.LOG, CheckAction.PANIC}


REPORTINGS = [
    Reporting(profile, way=way, **flags)
    for profile in PROFILE_NAMES
    for way, names in (
        ("intel", ARM_FLAGS),
        ("amd", ("recovery", "memory_failure", "overflow_recovery", "deferred_interrupt", "physical_address")),
        ("firmware_first", ("recovery", "memory_failure", "load_recovery")),
    )
    for flags in switched(names)
]
READS = [(reader, flags) for reader in READERS for flags in reads(READ_FLAGS)]


@pytest.mark.parametrize(
    "profiles",
    [
        pytest.param(("2.6.32", "5.10", "7.1"), id="oldest, middle, newest"),
        pytest.param(PROFILE_NAMES, id="all", marks=pytest.mark.long),
    ],
)
def test_the_table_equals_the_scalar_definition_on_its_whole_domain(profiles):
    arms = [reporting for reporting in REPORTINGS if reporting.profile in profiles]
    assert {reporting.profile for reporting in arms} == set(profiles)
    cases = [(arm, *read) for arm in range(len(arms)) for read in READS]
    order = np.random.default_rng(2).permutation(len(cases))
    arm, reader = (np.asarray([int(cases[i][part]) for i in order]) for part in (0, 1))
    flags = {name: np.asarray([cases[i][2][name] for i in order]) for name in ("kernel_read", *READ_FLAGS)}
    found = look_up(np.stack([grade_table(reporting) for reporting in arms]), arm, reader, **flags)
    checks = [grade(cases[i][1], arms[cases[i][0]], **cases[i][2]) for i in order]
    expected = [[NOT_READ if part is None else int(part) for part in check] for check in checks]
    print(f"grade tables: {len(READS)} inputs for each of {len(arms)} arms")
    assert np.stack([found[name] for name in Check._fields], axis=1).tolist() == expected


def test_observers_that_read_no_poison_have_no_grade():
    table = grade_table(Reporting())
    assert [observer for observer in Observer if (table[observer] == -1).all()] == [Observer.WRITE]
    assert (table[list(READERS)][..., :-1] >= 0).all()  # all but the kind of a read by the kernel


# ---- the hardware of 2010: SRAO from the scrubber and from the cache's write-back, no SRAR -------------------------


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("overflow", [False, True])
@pytest.mark.parametrize("configured", [False, True])
def test_poison_written_back_by_the_cache_is_action_optional_in_every_kernel(profile, overflow, configured):
    """Row 15 of the table by kernel: AO; up to 4.18 not with OVER, which is "action optional with lost events"."""
    of = Reporting(profile, memory_failure=configured, load_recovery=False)
    check = grade(Observer.WRITE_BACK, of, kernel_read=KernelRead.OTHER, device_fatal=True, overflow=overflow)
    handled = configured and not (overflow and profile in ("2.6.32", "3.10", "4.18"))
    assert in_words(check) == ("SRAO", "QUEUE" if handled else "LOG", None)
    srao = of._replace(scrub_srao=True)
    assert check == grade(Observer.SCRUB, srao, kernel_read=KernelRead.OTHER, device_fatal=False, overflow=overflow)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("reader", [Observer.USER, Observer.KERNEL])
@pytest.mark.parametrize("way", ["intel", "firmware_first"])
def test_without_recovery_of_loads_every_load_of_poison_ends_the_kernel(profile, reader, way):
    of = Reporting(profile, way=way, load_recovery=False)
    found = {
        in_words(grade(reader, of, kernel_read=kind, device_fatal=False, overflow=overflow))
        for kind, overflow in itertools.product(KernelRead, (False, True))
    }
    assert found == {("FATAL", "PANIC", "Processor context corrupt")}


def test_recovery_of_loads_is_no_matter_of_what_nobody_has_loaded_nor_of_amd():
    for reporting in REPORTINGS:
        if reporting.load_recovery:
            without = reporting._replace(load_recovery=False)
            for reader, flags in READS:
                if reader not in CONSUMERS or reporting.way == "amd":
                    assert grade(reader, reporting, **flags) == grade(reader, without, **flags)


def test_an_arm_reports_as_it_is_set():
    assert Reporting.of(Policy()) == Reporting(PROFILES["6.1"])
    platform = Platform(
        reporting="amd",
        mca_recovery=False,
        scrub_report="srao",
        deferred_interrupt=False,
        physical_address=True,
        data_load_recovery=False,
    )
    policy = Policy(platform=platform, kernel=Kernel(profile="6.12", memory_failure=False))
    assert Reporting.of(policy) == Reporting(PROFILES["6.12"], False, "amd", False, True, True, False, True, False)


# ---- commands and addresses that arrive wrong: the bank says PCC ---------------------------------------------------

WRONG_COMMAND = 1 << 63 | 1 << 61 | 1 << 60 | 1 << 57
"""VAL, UC, EN and PCC; no address."""


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_corrupt_context_ends_every_kernel_in_the_second_reading_of_its_severities(profile):
    for configured, recovery in itertools.product((False, True), repeat=2):
        intel = severities.intel(
            WRONG_COMMAND, 0b101, "kernel", profile, exception=True, ser=recovery, memory_failure=configured
        )
        assert intel == ("PANIC", "context corrupt")
        amd = severities.amd(
            WRONG_COMMAND, "kernel", profile, overflow_recovery=True, succor=recovery, smca=True, tcc=False
        )
        assert amd == "PANIC"


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("intel", "Processor context corrupt"),
        ("amd", "Processor context corrupt"),
        ("firmware_first", "Fatal hardware error"),
    ],
)
def test_a_wrong_command_is_fatal_whatever_the_hardware_and_the_kernel_can_do(way, reason):
    checks = {
        grade(reader, reporting, **flags)
        for reporting, (reader, flags) in itertools.product(REPORTINGS, READS)
        if reader is Observer.DEMAND and reporting.way == way
    }
    assert {in_words(check) for check in checks} == {("FATAL", "PANIC", reason)}
    assert {check.context for check in checks} == {CpuContext.NONE}
    assert {check.kernel_read for check in checks} == {None}


# ---- AMD ---------------------------------------------------------------------------------------------------------

OLD, OWN_RULES_2016, COPIES = ("2.6.32", "3.10"), ("4.18", "5.10"), ("5.10", "6.1", "6.12", "7.1")
REASON_TEXTS |= {
    "row 18": "Overflowed uncorrected",
    "over": "Overflowed uncorrected error without MCA Overflow Recovery",
    "context": "Uncorrected unrecoverable error in kernel context",
    "bug": "kernel BUG: MF_ACTION_REQUIRED without CONFIG_MEMORY_FAILURE",
    "ghes": "Fatal hardware error",
}


def amd_rules(reader: Observer, of: Reporting, flags: dict[str, bool]) -> list[tuple[str, bool, tuple]]:
    """The AMD rules by kernel, and what reaches ``memory_failure()``; the first that holds decides."""
    on, kernel = SimpleNamespace(**flags), of.profile
    found = reader in ASYNCHRONOUS
    copied = reader is Observer.KERNEL and on.kernel_read is KernelRead.COPY and kernel in COPIES
    safe = reader is Observer.KERNEL and survives(on.kernel_read, kernel)
    called = of.memory_failure
    return [
        ("no recovery: the bank says PCC", not of.recovery, ("FATAL", "PANIC", "pcc")),
        ("a wrong command: the bank says PCC", reader is Observer.DEMAND, ("FATAL", "PANIC", "pcc")),
        ("device kills the node", reader is Observer.DEVICE and on.device_fatal, ("FATAL", "PANIC", "device")),
        ("the notifier takes AO only, or there is none", found and kernel not in COPIES, ("DEFERRED", "LOG", None)),
        ("no handler", found and not called, ("DEFERRED", "LOG", None)),
        ("a normalized address", found and not of.physical_address, ("DEFERRED", "LOG", None)),
        ("6.6-6.x: only POISON makes an address usable", found and kernel == "6.12", ("DEFERRED", "LOG", None)),
        (
            "to 6.18: records of the interrupt have no severity",
            found and of.deferred_interrupt and kernel != "7.1",
            ("DEFERRED", "LOG", None),
        ),
        ("UCNA/DEFERRED with usable address", found, ("DEFERRED", "QUEUE", None)),
        ("Intel's row 18: overflowed", kernel in OLD and on.overflow, ("FATAL", "PANIC", "row 18")),
        ("Intel's row 19: the instruction is repeated", kernel in OLD, ("SRAR", "LOG", None)),
        ("OVER without recovery", on.overflow and not of.overflow_recovery, ("FATAL", "PANIC", "over")),
        ("kernel context", reader is Observer.KERNEL and not (copied or safe), ("FATAL", "PANIC", "context")),
        ("safe copy", safe and called, ("SRAR", "QUEUE", None)),
        ("safe copy, no handler", safe, ("SRAR", "LOG", None)),
        ("copy, 6.1+", copied and kernel != "5.10" and called, ("SRAR", "QUEUE", None)),
        ("copy, 6.1+, no handler", copied and kernel != "5.10", ("SRAR", "LOG", None)),
        ("BUG_ON(MF_ACTION_REQUIRED)", not called, ("FATAL", "PANIC", "bug")),
        ("AR", True, ("SRAR", "ACTION_REQUIRED", None)),
    ]


AMD = [(reporting, reader, flags) for reporting in REPORTINGS if reporting.way == "amd" for reader, flags in READS]


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_every_read_on_amd_is_graded_as_in_the_second_reading(profile):
    for reporting, reader, flags in AMD:
        if reporting.profile == profile:
            severity, action, reason = next(says for _, holds, says in amd_rules(reader, reporting, flags) if holds)
            expected = severity, action, REASON_TEXTS.get(reason)
            assert in_words(grade(reader, reporting, **flags)) == expected, (reporting, reader, flags)


def test_every_amd_rule_decides_some_read():
    deciding = {next(name for name, holds, _ in amd_rules(r, of, f) if holds) for of, r, f in AMD}
    assert deciding == {name for name, _, _ in amd_rules(Observer.USER, Reporting(way="amd"), AMD[0][2])}


def test_a_deferred_error_reaches_the_handler_in_these_kernels_only():
    """Section 10.4: from 5.7 on; by interrupt from 6.19 on; 6.6 asks for POISON, later kernels know PADDRV."""
    reaching = {
        (reporting.profile, "interrupt" if reporting.deferred_interrupt else "poll")
        for reporting, reader, flags in AMD
        if grade(reader, reporting, **flags).action is CheckAction.QUEUE and reader in ASYNCHRONOUS
    }
    assert reaching == {("5.10", "poll"), ("6.1", "poll"), ("7.1", "poll"), ("7.1", "interrupt")}


# ---- firmware first ----------------------------------------------------------------------------------------------

FIRMWARE = [
    (reporting, reader, flags)
    for reporting in REPORTINGS
    if reporting.way == "firmware_first"
    for reader, flags in READS
]


def firmware_rules(reader: Observer, of: Reporting, flags: dict[str, bool]) -> list[tuple[bool, tuple]]:
    """Section 11.1, memory section with an address, asynchronous."""
    return [
        (not of.recovery or reader is Observer.DEMAND, ("FATAL", "PANIC", "Fatal hardware error")),
        (reader is Observer.DEVICE and flags["device_fatal"], ("FATAL", "PANIC", REASON_TEXTS["device"])),
        (of.profile == "2.6.32" or not of.memory_failure, ("RECOVERABLE", "LOG", None)),
        (True, ("RECOVERABLE", "QUEUE", None)),
    ]


def test_what_nobody_has_consumed_comes_as_a_record_of_the_firmware():
    for reporting, reader, flags in FIRMWARE:
        if reader not in CONSUMERS:
            expected = next(says for holds, says in firmware_rules(reader, reporting, flags) if holds)
            assert in_words(grade(reader, reporting, **flags)) == expected, (reporting, reader, flags)


def test_with_firmware_first_consumed_poison_still_raises_the_machine_check_of_intel_without_lost_events():
    for reporting, reader, flags in FIRMWARE:
        if reader in CONSUMERS:
            intel = grade(reader, reporting._replace(way="intel"), **{**flags, "overflow": False})
            assert grade(reader, reporting, **flags) == intel


def test_every_way_of_reporting_grades_a_fatal_read_of_a_device_the_same():
    flags = {"kernel_read": KernelRead.OTHER, "device_fatal": True, "overflow": False}
    found = {grade(Observer.DEVICE, reporting, **flags) for reporting in REPORTINGS if reporting.recovery}
    assert {(check.action, check.reason) for check in found} == {(CheckAction.PANIC, LifecycleReason.DEVICE_POISON)}
