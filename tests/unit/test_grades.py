"""Grades of machine checks against a second reading of the severity table and of the handler's actions."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from node_sim.codes import CheckAction, CpuContext, LifecycleReason, Observer, Severity
from node_sim.grades import READERS, Check, GradeTable, grade
from node_sim.hwpoison.profiles import PROFILE_NAMES

FLAGS = ("copies", "device_fatal", "overflow", "mca_recovery", "memory_failure", "scrub_srao")
DOMAIN = [
    (reader, dict(zip(FLAGS, flags, strict=True)))
    for reader in READERS
    for flags in itertools.product((False, True), repeat=len(FLAGS))
]
REASON_TEXTS = {
    "pcc": "Processor context corrupt",
    "device": "poisoned data reached a device",
    "lost": "Action required with lost events",
    "mcacod": "Action required: unknown MCACOD",
    "kernel": "Data load in unrecoverable area of kernel",
}

ASYNCHRONOUS = (Observer.SCRUB, Observer.DEVICE)


def rules(reader: Observer, flags: dict[str, bool]) -> list[tuple[str, bool, tuple[str, str, str | None]]]:
    """Rows 3 to 14 of the Intel severity table of 6.1 and what follows from each; the first that holds decides."""
    on = SimpleNamespace(**flags)
    srao = reader is Observer.SCRUB and on.scrub_srao
    ucna = reader in ASYNCHRONOUS and not srao
    return [
        ("no recovery: the bank says PCC", not on.mca_recovery, ("FATAL", "PANIC", "pcc")),
        ("device kills the node", reader is Observer.DEVICE and on.device_fatal, ("FATAL", "PANIC", "device")),
        ("UCNA without handler", ucna and not on.memory_failure, ("UCNA", "LOG", None)),
        ("UCNA", ucna, ("UCNA", "QUEUE", None)),
        ("SRAO without handler", srao and not on.memory_failure, ("SRAO", "LOG", None)),
        ("SRAO, OVER ignored", srao, ("SRAO", "QUEUE", None)),
        ("row 11: OVER & UC & S & AR", on.overflow, ("FATAL", "PANIC", "lost")),
        ("row 13: no rows 12 to 12c", not on.memory_failure, ("FATAL", "PANIC", "mcacod")),
        ("row 12: user", reader is Observer.USER, ("SRAR", "ACTION_REQUIRED", None)),
        ("row 12b: recoverable kernel", on.copies, ("SRAR", "QUEUE", None)),
        ("row 12c: other kernel code", True, ("FATAL", "PANIC", "kernel")),
    ]


def second_reading(reader: Observer, flags: dict[str, bool]) -> tuple[str, str, str | None]:
    severity, action, reason = next(answer for _, holds, answer in rules(reader, flags) if holds)
    return severity, action, None if reason is None else REASON_TEXTS[reason]


def graded(reader: Observer, flags: dict[str, bool]) -> tuple[str, str, str | None]:
    check = grade(reader, **flags)
    return check.severity.name, check.action.name, check.reason.text if check.action is CheckAction.PANIC else None


@pytest.mark.parametrize("reader", READERS)
def test_every_combination_is_graded_as_in_the_second_reading(reader):
    cases = [(r, flags) for r, flags in DOMAIN if r is reader]
    assert [graded(r, flags) for r, flags in cases] == [second_reading(r, flags) for r, flags in cases]


def test_every_rule_of_the_second_reading_decides_some_combination():
    deciding = {next(name for name, holds, _ in rules(*case) if holds) for case in DOMAIN}
    assert deciding == {name for name, _, _ in rules(*DOMAIN[0])}


@pytest.mark.parametrize(
    ("reader", "copies", "context"),
    [
        (Observer.SCRUB, False, CpuContext.NONE),
        (Observer.SCRUB, True, CpuContext.NONE),
        (Observer.DEVICE, False, CpuContext.NONE),
        (Observer.DEVICE, True, CpuContext.NONE),
        (Observer.USER, False, CpuContext.USER),
        (Observer.USER, True, CpuContext.USER),
        (Observer.KERNEL, False, CpuContext.KERNEL),
        (Observer.KERNEL, True, CpuContext.KERNEL_COPY),
    ],
)
def test_the_context_is_that_of_the_reader(reader, copies, context):
    found = {grade(r, **flags).context for r, flags in DOMAIN if r is reader and flags["copies"] is copies}
    assert found == {context}


def test_a_panic_is_always_fatal_and_nothing_else_is():
    for reader, flags in DOMAIN:
        check = grade(reader, **flags)
        assert (check.action is CheckAction.PANIC) == (check.severity is Severity.FATAL)


@pytest.mark.parametrize("reader", [Observer.USER, Observer.KERNEL])
def test_consumption_with_lost_events_panics_in_any_context(reader):
    found = {
        (grade(r, **flags).action, grade(r, **flags).reason)
        for r, flags in DOMAIN
        if r is reader and flags["overflow"] and flags["mca_recovery"]
    }
    assert found == {(CheckAction.PANIC, LifecycleReason.LOST_EVENTS)}


def test_lost_events_do_not_change_the_grade_of_asynchronous_errors():
    for reader, flags in DOMAIN:
        if reader in (Observer.SCRUB, Observer.DEVICE):
            assert grade(reader, **flags) == grade(reader, **{**flags, "overflow": not flags["overflow"]})


def test_without_memory_failure_nothing_reaches_the_handler():
    actions = {grade(reader, **flags).action for reader, flags in DOMAIN if not flags["memory_failure"]}
    assert actions == {CheckAction.LOG, CheckAction.PANIC}


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_the_table_equals_the_scalar_definition_on_its_whole_domain(profile):
    table = GradeTable()
    order = np.random.default_rng(2).permutation(len(DOMAIN))
    reader = np.asarray([int(DOMAIN[i][0]) for i in order])
    flags = {name: np.asarray([DOMAIN[i][1][name] for i in order]) for name in FLAGS}
    found = table.look_up(np.full(len(DOMAIN), PROFILE_NAMES.index(profile)), reader, **flags)
    expected = [[int(part) for part in grade(DOMAIN[i][0], **DOMAIN[i][1], profile=profile)] for i in order]
    print(f"grade table: {len(DOMAIN)} inputs for each of {len(PROFILE_NAMES)} kernels")
    assert np.stack([found[name] for name in Check._fields], axis=1).tolist() == expected


def test_readers_are_the_first_observers_in_code_order():
    assert [int(reader) for reader in READERS] == list(range(len(READERS)))
