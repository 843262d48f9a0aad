"""The machine check of a read of poison in the fleet: who read it, how it is graded, what is done.

**Models.** Which code of the kernel reads (``KernelRead``): a copy from user space, one of the copies of
``hwpoison/copies.py``, other code. Three ways of reporting. Intel: patrol scrub as UCNA or SRAO, poison written back by
the last-level cache as SRAO, user reads as SRAR, kernel reads with and without a recovery entry, poison read by a
device; hardware without recovery, or without it for loads (Xeon 7500 and E7), a kernel without CONFIG_MEMORY_FAILURE.
AMD with scalable MCA: what the scrubber or a device finds is deferred, by interrupt or found by the poller; reads are
graded by AMD's rules. Firmware first: what the scrubber or a device finds comes as a record of the firmware; reads
still raise a machine check, as on Intel.

**Leaves out.** RIPV=0, broadcasts that do not reach every CPU, firmware first on AMD, the innocent page whose number
equals a normalized address (5.10 and 6.1 take every address of a polled deferred error for a physical one), the SIGBUS
of a failed copy on AMD without CONFIG_MEMORY_FAILURE.

**Assumes.** A load is recorded in a bank of the core, which the exception reads at once: in the fleet it never meets an
unread record there. Without recovery every record says PCC, without it for loads those of loads do. CPUs have what
machine-check safe copies need.

**Sources.** ``exception.py``, ``firmware.py`` and ``severity.py``, which decide; here only the record is made that they
are asked about. Codes: Intel SDM 253668-032, volume 3, 15.9.3, tables 15-15 to 15-18. Loads are recoverable since the
Xeon E7 v2 ("MCA Recovery - Execution Path", its datasheet, volume 2, 7.3; before it: E7-8800/4800/2800 specification
update, errata BP6 and BP7 on software recoverable errors of the memory controller and of the cache's write-back).
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np

from node_sim.catalog.kernels import DEFAULT_PROFILE, switches_of
from node_sim.catalog.profile import Profile
from node_sim.codes import CheckAction, CpuContext, KernelRead, LifecycleReason, Observer, Severity
from node_sim.hwpoison.copies import COPIES, kind_in
from node_sim.machine_check.exception import Arrival, amd_deferred, amd_exception, context_of, exception, poll
from node_sim.machine_check.firmware import Cper, take_record
from node_sim.machine_check.severity import (
    ADDRV,
    AR,
    DEFERRED,
    EIPV,
    EN,
    MCIP,
    MISCV,
    OVER,
    PADDRV,
    PCC,
    POISON,
    RIPV,
    UC,
    VAL,
    Bank,
    Context,
    S,
)
from node_sim.records import NULL, Flags, Ints
from node_sim.server.policy import Policy

READERS = (
    Observer.SCRUB,
    Observer.USER,
    Observer.KERNEL,
    Observer.DEVICE,
    Observer.WRITE_BACK,
    Observer.DEMAND,
)
"""Observers whose read can raise a machine check; that of ``DEMAND`` is a wrong command or address."""
_READ = VAL | UC | EN | MISCV | ADDRV
_CODES = {
    Observer.SCRUB: 0x00C0,
    Observer.USER: 0x0134,
    Observer.KERNEL: 0x0134,
    Observer.DEVICE: 0x0090,
    Observer.WRITE_BACK: 0x017A,
}
_REASONS = {reason.text: reason for reason in LifecycleReason}


class Check(NamedTuple):
    """A graded machine check.

    ``reason`` is meaningful where the action is a panic; ``kernel_read`` is the kind of a read by the kernel as its
    version makes it, None for others.
    """

    severity: Severity
    context: CpuContext
    action: CheckAction
    reason: LifecycleReason
    kernel_read: KernelRead | None = None


_NO_PANIC = LifecycleReason.UNRECOVERABLE_KERNEL


def _running(reader: Observer, kernel_read: KernelRead | None, profile: Profile) -> tuple[CpuContext, Context]:
    """Return what the CPU was doing, as it is stored and as the severity rules are asked about it."""
    if kernel_read is None:
        return (CpuContext.USER, Context.USER) if reader is Observer.USER else (CpuContext.NONE, Context.KERNEL)
    if kernel_read is KernelRead.COPY:
        return CpuContext.KERNEL_COPY, Context.COPYIN
    safe = kernel_read.text in COPIES and context_of(kernel_read.text, profile) is Context.RECOVERABLE
    return (CpuContext.KERNEL_COPY, Context.RECOVERABLE) if safe else (CpuContext.KERNEL, Context.KERNEL)


class Reporting(NamedTuple):
    """What an arm's hardware can tell, and its kernel.

    Attributes:
        profile: The kernel, or its name.
        memory_failure: CONFIG_MEMORY_FAILURE.
        way: "intel", "amd" or "firmware_first".
        recovery: The hardware contains poison and reports it as recoverable (MCG_SER_P, SUCCOR).
        scrub_srao: Intel: the scrubber reports SRAO instead of UCNA.
        overflow_recovery: AMD: the CPU survives lost records.
        deferred_interrupt: AMD: deferred errors come by their interrupt; otherwise the poller finds them.
        physical_address: AMD: a deferred error's address is that of a page (PADDRV).
        load_recovery: Intel: loads of poison, too, are reported as recoverable (SRAR).
    """

    profile: str | Profile = DEFAULT_PROFILE
    memory_failure: bool = True
    way: str = "intel"
    recovery: bool = True
    scrub_srao: bool = False
    overflow_recovery: bool = True
    deferred_interrupt: bool = True
    physical_address: bool = False
    load_recovery: bool = True

    @classmethod
    def of(cls, policy: Policy) -> Reporting:
        """Take the settings of an arm."""
        kernel, platform = policy.kernel, policy.platform
        return cls(
            profile=kernel.rules,
            memory_failure=kernel.memory_failure,
            way=platform.reporting,
            recovery=platform.mca_recovery,
            scrub_srao=platform.scrub_report == "srao",
            deferred_interrupt=platform.deferred_interrupt,
            physical_address=platform.physical_address,
            load_recovery=platform.data_load_recovery,
        )


def grade(
    reader: Observer, reporting: Reporting, *, kernel_read: KernelRead, device_fatal: bool, overflow: bool
) -> Check:
    """Grade the machine check of one read of poison.

    Args:
        reader: Who read it.
        reporting: What the hardware can tell, and the kernel.
        kernel_read: Which code of the kernel, if the reader is the kernel.
        device_fatal: The device's read takes the node down.
        overflow: The bank held an unread record.
    """
    switches = switches_of(reporting.profile)
    read = kind_in(kernel_read, switches) if reader is Observer.KERNEL else None
    context, where = _running(reader, read, switches)
    if reporting.recovery and reader is Observer.DEVICE and device_fatal:
        return Check(Severity.FATAL, context, CheckAction.PANIC, LifecycleReason.DEVICE_POISON)
    if reader is Observer.DEMAND:
        return _lose_command(reporting)
    if reader in (Observer.USER, Observer.KERNEL):
        severity, arrival = Severity.SRAR, _consume(reporting, where, overflow=overflow)
    elif reporting.way == "firmware_first":
        return _take_record(reporting)
    elif reporting.way == "amd":
        severity, arrival = Severity.DEFERRED, _defer(reporting)
    else:
        srao = reader is Observer.WRITE_BACK or (reader is Observer.SCRUB and reporting.scrub_srao)
        severity, arrival = (
            Severity.SRAO if srao else Severity.UCNA,
            _find(reporting, reader, srao=srao, overflow=overflow),
        )
    if arrival.panic is not None:
        reason = _REASONS[arrival.notes.partition(": ")[2]]
        return Check(Severity.FATAL, context, CheckAction.PANIC, reason, read)
    queued = arrival.calls_handler or (where is Context.RECOVERABLE and _queues(read, reporting))
    action = CheckAction.ACTION_REQUIRED if arrival.action_required else _asynchronous(queued)
    return Check(severity, context, action, _NO_PANIC, read)


def _queues(read: KernelRead | None, reporting: Reporting) -> bool:
    """Whether a copy that failed safely queues the error, which the machine check leaves to it."""
    return reporting.memory_failure and read is not None and COPIES[read.text].queues


def _asynchronous(calls_handler: bool) -> CheckAction:
    return CheckAction.QUEUE if calls_handler else CheckAction.LOG


def _consume(reporting: Reporting, where: Context, *, overflow: bool) -> Arrival:
    """Raise the exception of a CPU that reads poison."""
    profile, configured = reporting.profile, reporting.memory_failure
    status, mcgstatus = _READ | _CODES[Observer.USER], RIPV | MCIP | EIPV
    status |= OVER if overflow and reporting.way != "firmware_first" else 0
    if reporting.way == "amd":
        bank = Bank(status | (POISON if reporting.recovery else PCC), mcgstatus=mcgstatus)
        recovery, over = reporting.recovery, reporting.overflow_recovery
        return amd_exception(bank, where, profile, succor=recovery, overflow_recovery=over, memory_failure=configured)
    contained = reporting.recovery and reporting.load_recovery
    bank = Bank(status | (S | AR if contained else PCC), mcgstatus=mcgstatus)
    return exception(bank, where, profile, ser=reporting.recovery, memory_failure=configured)


def _find(reporting: Reporting, reader: Observer, *, srao: bool, overflow: bool) -> Arrival:
    """Report poison that nobody has consumed, on Intel."""
    status = _READ | _CODES[reader] | (OVER if overflow else 0)
    if reporting.recovery and not srao:
        return poll(Bank(status), reporting.profile, memory_failure=reporting.memory_failure)
    bank = Bank(status | (S if reporting.recovery else PCC))
    configured = reporting.memory_failure
    return exception(bank, Context.KERNEL, reporting.profile, ser=reporting.recovery, memory_failure=configured)


def _defer(reporting: Reporting) -> Arrival:
    """Report poison that nobody has consumed, on AMD."""
    profile, configured = reporting.profile, reporting.memory_failure
    if not reporting.recovery:
        bank = Bank(_READ | PCC)
        return amd_exception(
            bank, Context.KERNEL, profile, succor=False, overflow_recovery=True, memory_failure=configured
        )
    bank = Bank(VAL | EN | DEFERRED | ADDRV | (PADDRV if reporting.physical_address else 0))
    arrival = amd_deferred(bank, profile, interrupt=reporting.deferred_interrupt, memory_failure=configured)
    return arrival._replace(calls_handler=arrival.calls_handler and reporting.physical_address)


def _lose_command(reporting: Reporting) -> Check:
    """Report a command or an address that arrived wrong: no data is poisoned, and no context is sound."""
    if reporting.way == "firmware_first":
        return _take_record(reporting._replace(recovery=False))
    profile, configured = reporting.profile, reporting.memory_failure
    bank = Bank(VAL | UC | EN | PCC)
    if reporting.way == "amd":
        arrival = amd_exception(
            bank, Context.KERNEL, profile, succor=reporting.recovery, overflow_recovery=True, memory_failure=configured
        )
    else:
        arrival = exception(bank, Context.KERNEL, profile, ser=reporting.recovery, memory_failure=configured)
    assert arrival.panic is not None, "a corrupt context panics under every kernel"
    reason = _REASONS[arrival.notes.partition(": ")[2]]
    return Check(Severity.FATAL, CpuContext.NONE, CheckAction.PANIC, reason)


def _take_record(reporting: Reporting) -> Check:
    """Let the firmware report poison that nobody has consumed."""
    cper = Cper.RECOVERABLE if reporting.recovery else Cper.FATAL
    taken = take_record(cper, reporting.profile, memory_failure=reporting.memory_failure)
    if taken.panic is not None:
        return Check(Severity.FATAL, CpuContext.NONE, CheckAction.PANIC, _REASONS[taken.panic])
    return Check(Severity.RECOVERABLE, CpuContext.NONE, _asynchronous(taken.calls_handler), _NO_PANIC)


NOT_READ = -1
"""Stored in place of the kind of a kernel read where the kernel did not read."""


@cache
def grade_table(reporting: Reporting) -> Ints:
    """Enumerate ``grade()``: the parts of a ``Check`` by observer, kernel_read, device_fatal and overflow.

    Observers that read no poison have none.
    """
    table = np.full((len(Observer), len(KernelRead), 2, 2, len(Check._fields)), NULL, np.int64)
    for reader, read in itertools.product(READERS, KernelRead):
        for fatal, overflow in itertools.product((False, True), repeat=2):
            check = grade(reader, reporting, kernel_read=read, device_fatal=fatal, overflow=overflow)
            table[reader, read, int(fatal), int(overflow)] = [NOT_READ if part is None else part for part in check]
    return table


def look_up(
    tables: Ints, arm: Ints, reader: Ints, kernel_read: Ints, device_fatal: Flags, overflow: Flags
) -> dict[str, Ints]:
    """Return the grades of n reads: the parts of a ``Check``, each of shape ``(n,)``.

    Args:
        tables: The arms' tables, stacked.
        arm: Whose table, shape ``(n,)``.
        reader: Who read, shape ``(n,)``.
        kernel_read: As in ``grade``, shape ``(n,)``; any where the kernel did not read.
        device_fatal: As in ``grade``, shape ``(n,)``.
        overflow: As in ``grade``, shape ``(n,)``.
    """
    cells = tables[arm, reader, kernel_read, device_fatal.astype(np.int64), overflow.astype(np.int64)]
    return dict(zip(Check._fields, cells.T, strict=True))
