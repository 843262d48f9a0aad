"""Machine checks: what the kernel does with a graded bank.

**Models.** The exception handler and the poller of seven kernels on Intel CPUs: rendezvous, panics, the deferred
call of ``memory_failure()``, RIPV and EIPV, addresses that cannot be used, copies that recover. On AMD CPUs the
exception, which is never a broadcast, and deferred errors by interrupt and by poll.

**Leaves out.** Records of the firmware (``firmware.py``), corrected-error interrupts.

**Assumes.** One bank holds a record.

**Sources.** arch/x86/kernel/cpu/mcheck/mce.c (2.6.32, 3.10.105, 4.18), arch/x86/kernel/cpu/mce/core.c (5.10.7, 6.1,
6.12, 7.1.5): ``do_machine_check()``, ``mce_reign()``, ``mce_usable_address()``, ``machine_check_poll()``,
``uc_decode_notifier()``, ``kill_me_maybe()``, ``memory_failure()`` without CONFIG_MEMORY_FAILURE; recorded on 6.1.192.
mce/amd.c: ``amd_mce_usable_address()`` (6.6), ``__log_error()``, which leaves the severity 0 until the deferred-error
interrupt polls instead (6.19).
"""

from __future__ import annotations

from typing import NamedTuple

from node_sim.catalog.kernels import switches_of
from node_sim.catalog.profile import Profile
from node_sim.hwpoison.copies import recovery_of
from node_sim.machine_check.severity import (
    ADDRV,
    EN,
    MISCV,
    PADDRV,
    PCC,
    POISON,
    RIPV,
    UC,
    VAL,
    Bank,
    Context,
    Level,
    S,
    amd_severity,
    intel_severity,
)
from node_sim.units import PAGE_SHIFT

_PHYSICAL = 2
_NEVER_PANIC = 3
NO_HANDLER_BUG = "kernel BUG: MF_ACTION_REQUIRED without CONFIG_MEMORY_FAILURE"


class Arrival(NamedTuple):
    """What the machine-check code decides.

    Attributes:
        panic: Text after "Kernel panic - not syncing: "; None where the kernel goes on.
        calls_handler: ``memory_failure()`` is called.
        action_required: With MF_ACTION_REQUIRED, for the running task.
        must_kill: With MF_MUST_KILL.
        plain_sigbus: The running task gets SIGBUS without address, and the handler is not called.
        signals_task: The running task gets SIGBUS with its address, whatever the handler does.
        copied: A copy from user space read the poison, and returns -EFAULT.
        notes: Why.
    """

    panic: str | None = None
    calls_handler: bool = False
    action_required: bool = False
    must_kill: bool = False
    plain_sigbus: bool = False
    signals_task: bool = False
    copied: bool = False
    notes: str = ""


def has_usable_address(bank: Bank) -> bool:
    """Whether a record names a physical page (``mce_usable_address()``, Intel)."""
    physical = bank.misc >> 6 & 7 == _PHYSICAL
    return bank.has(ADDRV) and bank.has(MISCV) and physical and bank.misc & 0x3F <= PAGE_SHIFT


def context_of(event: str, profile: Profile, *, safe_copies: bool = True) -> Context:
    """Return what the machine-check code takes a copy by the kernel for, by its name in ``hwpoison/copies.py``."""
    safe = recovery_of(event, profile) == "safe" and safe_copies
    return Context.RECOVERABLE if safe else Context.KERNEL


def exception(  # noqa: PLR0913 - each is a fact about the machine
    bank: Bank,
    context: Context,
    profile: str | Profile,
    *,
    cpus: int = 1,
    cpus_reached: int = 1,
    ser: bool = True,
    memory_failure: bool = True,
    tolerant: int = 1,
) -> Arrival:
    """Handle a machine-check exception.

    Args:
        bank: The bank that holds a record.
        context: What the CPU was doing.
        profile: The kernel, or its name.
        cpus: CPUs that are online.
        cpus_reached: CPUs that got the exception, which is a broadcast.
        ser: The CPU can report recoverable errors.
        memory_failure: CONFIG_MEMORY_FAILURE.
        tolerant: The sysfs knob, up to 5.17.
    """
    switches = switches_of(profile)
    graded = intel_severity(bank, context, profile, ser=ser, memory_failure=memory_failure, tolerant=tolerant)
    note = f"{graded.level.name}: {graded.text}"
    if cpus_reached < cpus and tolerant < switches.timeout_survived_from:
        return Arrival(panic=switches.timeout_text, notes=note)
    gentle = switches.tolerant and tolerant >= _NEVER_PANIC
    if graded.level is Level.PANIC:
        return Arrival(notes=note) if gentle else Arrival(panic="Fatal machine check", notes=note)
    left_in_bank = graded.level in (Level.NO, Level.UCNA, Level.KEEP) or (ser and not bank.has(S))
    if left_in_bank:
        return Arrival(panic=switches.unknown_source_text, notes=note)
    queued = graded.level is Level.AO and has_usable_address(bank) and memory_failure
    arrival = _recover(bank, context, profile, graded.level, note, usable=has_usable_address(bank), queued=queued)
    return arrival._replace(plain_sigbus=False) if gentle and graded.level is not Level.AR else arrival


def _recover(
    bank: Bank, context: Context, profile: str | Profile, level: Level, note: str, *, usable: bool, queued: bool
) -> Arrival:
    switches = switches_of(profile)
    user, restartable = context is Context.USER, bool(bank.mcgstatus & RIPV)
    if level is Level.AR and not user:
        return _copy(switches.copy_recovery, context, note)
    if not user and not restartable:
        return Arrival(panic="Fatal machine check", notes=note)
    if not restartable:
        fatal = _not_restartable(switches.not_restartable, level, note, usable=usable, checks=switches.checks_address)
        return fatal._replace(calls_handler=fatal.calls_handler or (queued and not switches.checks_address))
    if level is Level.AR:
        if switches.checks_address and not usable:
            return Arrival(plain_sigbus=True, notes=note)
        return Arrival(calls_handler=True, action_required=True, notes=note)
    return Arrival(calls_handler=queued, notes=note)


def _copy(recovery: str, context: Context, note: str) -> Arrival:
    """Handle poison read by kernel code that survives it."""
    if context is not Context.COPYIN:
        return Arrival(notes=f"{note}; the copy returns an error")
    if recovery == "signal":
        return Arrival(calls_handler=True, action_required=True, signals_task=True, notes=note)
    return Arrival(calls_handler=recovery == "errno", copied=True, notes=f"{note}; the system call returns -EFAULT")


def _not_restartable(how: str, level: Level, note: str, *, usable: bool, checks: bool) -> Arrival:
    """Handle RIPV=0 in user mode."""
    required = level is Level.AR or checks
    if how == "must kill" and required and (usable or not checks):
        return Arrival(calls_handler=True, action_required=True, must_kill=True, notes=note)
    return Arrival(plain_sigbus=True, notes=note)


def poll(bank: Bank, profile: str | Profile, *, ser: bool = True, memory_failure: bool = True) -> Arrival:
    """Handle a record that the poller finds in a bank.

    Args:
        bank: The bank.
        profile: The kernel, or its name.
        ser: The CPU can report recoverable errors.
        memory_failure: CONFIG_MEMORY_FAILURE.
    """
    if not bank.has(VAL):
        return Arrival(notes="no record")
    signalled = bank.has(UC) and bank.has(EN) and (bank.has(PCC) or bank.has(S))
    if (ser and signalled) or (not ser and bank.has(UC)):
        return Arrival(notes="left to the exception handler")
    graded = intel_severity(bank, Context.KERNEL, profile, exception=False, ser=ser, memory_failure=memory_failure)
    note = f"{graded.level.name}: {graded.text}"
    switches = switches_of(profile)
    handled = graded.level is Level.AO and switches.polls_severity
    handled = handled or (graded.level in (Level.UCNA, Level.DEFERRED) and switches.handles_ucna)
    return Arrival(calls_handler=handled and has_usable_address(bank) and memory_failure, notes=note)


def has_physical_address(bank: Bank, profile: str | Profile) -> bool:
    """Whether a kernel takes the address of a record of an AMD CPU with scalable MCA for that of a page.

    The memory controller reports addresses of its own ("normalized"), and marks a physical one with PADDRV at most.
    """
    known = {"valid": bank.has(ADDRV), "poison": bank.has(POISON), "paddrv": bank.has(POISON) or bank.has(PADDRV)}
    return bank.has(ADDRV) and known[switches_of(profile).amd_address]


def amd_exception(
    bank: Bank,
    context: Context,
    profile: str | Profile,
    *,
    succor: bool,
    overflow_recovery: bool,
    memory_failure: bool = True,
) -> Arrival:
    """Handle a machine-check exception of an AMD CPU with scalable MCA; only the CPU concerned gets it.

    Args:
        bank: The bank that holds a record.
        context: What the CPU was doing.
        profile: The kernel, or its name.
        succor: The CPU can contain uncorrected errors.
        overflow_recovery: It survives lost records.
        memory_failure: CONFIG_MEMORY_FAILURE; the rules do not ask for it, and the work for a user's load is a BUG().
    """
    graded = amd_severity(bank, context, profile, overflow_recovery=overflow_recovery, succor=succor, smca=True)
    note = f"{graded.level.name}: {graded.text}"
    if graded.level is Level.PANIC:
        return Arrival(panic="Fatal local machine check", notes=note)
    if graded.level in (Level.NO, Level.DEFERRED, Level.KEEP):
        return Arrival(notes=f"{note}; left to the poller")
    usable = has_physical_address(bank, profile)
    arrival = _recover(bank, context, profile, graded.level, note, usable=usable, queued=False)
    if memory_failure or not arrival.calls_handler:
        return arrival
    if arrival.action_required:
        return Arrival(panic=NO_HANDLER_BUG, notes=f"BUG: {NO_HANDLER_BUG}")
    return arrival._replace(calls_handler=False)


def amd_deferred(bank: Bank, profile: str | Profile, *, interrupt: bool, memory_failure: bool = True) -> Arrival:
    """Handle a deferred error of an AMD CPU with scalable MCA.

    Args:
        bank: The record.
        profile: The kernel, or its name.
        interrupt: It came by the deferred-error interrupt; otherwise the poller found it.
        memory_failure: CONFIG_MEMORY_FAILURE.
    """
    switches = switches_of(profile)
    graded = amd_severity(bank, Context.KERNEL, profile, overflow_recovery=True, succor=True, smca=True)
    note = f"{graded.level.name}: {graded.text}"
    if interrupt and not switches.rates_deferred:
        return Arrival(notes=f"{note}; logged without a severity")
    handled = graded.level is Level.DEFERRED and switches.handles_ucna and has_physical_address(bank, profile)
    return Arrival(calls_handler=handled and memory_failure, notes=note)


# ---------------------------------------------------------------------------------------- acting on it
