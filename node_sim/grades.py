"""The machine check of a read of poison in the fleet: who read it, how it is graded, what is done.

**Models.** Patrol scrub as UCNA or SRAO, user reads as SRAR, kernel reads with and without a recovery entry, poison
read by a device; hardware without recovery, a kernel without CONFIG_MEMORY_FAILURE; lost events.

**Leaves out.** AMD, firmware-first reporting, RIPV=0, broadcasts that do not reach every CPU.

**Assumes.** An action-required record that meets an unread record in its bank carries OVER.

**Sources.** ``machine_check.py`` and ``severity.py``, which decide; here only the record is made that they are asked
about.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import CheckAction, CpuContext, LifecycleReason, Observer, Severity
from node_sim.hwpoison.profiles import PROFILE_NAMES
from node_sim.machine_check import Arrival, exception, poll
from node_sim.records import Ints
from node_sim.severity import ADDRV, AR, EIPV, EN, MCIP, MISCV, OVER, PCC, RIPV, UC, VAL, Bank, Context, S

READERS = (Observer.SCRUB, Observer.USER, Observer.KERNEL, Observer.DEVICE)
"""Observers whose read of poison can raise a machine check, in code order."""
_READ = VAL | UC | EN | MISCV | ADDRV
_CODES = {Observer.SCRUB: 0x00C0, Observer.USER: 0x0134, Observer.KERNEL: 0x0134, Observer.DEVICE: 0x0090}
_CONTEXTS = {
    CpuContext.NONE: Context.KERNEL,
    CpuContext.USER: Context.USER,
    CpuContext.KERNEL: Context.KERNEL,
    CpuContext.KERNEL_COPY: Context.COPYIN,
}
_REASONS = {reason.text: reason for reason in LifecycleReason}


class Check(NamedTuple):
    """A graded machine check; ``reason`` is meaningful where the action is a panic."""

    severity: Severity
    context: CpuContext
    action: CheckAction
    reason: LifecycleReason


_NO_PANIC = LifecycleReason.UNRECOVERABLE_KERNEL


def _context(reader: Observer, copies: bool) -> CpuContext:
    if reader is Observer.KERNEL:
        return CpuContext.KERNEL_COPY if copies else CpuContext.KERNEL
    return CpuContext.USER if reader is Observer.USER else CpuContext.NONE


def grade(  # noqa: PLR0913 - each is a dimension of the table
    reader: Observer,
    *,
    copies: bool,
    device_fatal: bool,
    overflow: bool,
    mca_recovery: bool,
    memory_failure: bool,
    scrub_srao: bool,
    profile: str = "6.1",
) -> Check:
    """Grade the machine check of one read of poison.

    Args:
        reader: Who read it.
        copies: The kernel read user memory at an instruction with a recovery entry.
        device_fatal: The device's read takes the node down.
        overflow: The bank held an unread record.
        mca_recovery: The hardware reports recoverable errors (MCG_SER_P); else the record says PCC.
        memory_failure: CONFIG_MEMORY_FAILURE.
        scrub_srao: The scrubber reports SRAO instead of UCNA.
        profile: Name of the kernel.
    """
    context = _context(reader, copies)
    if mca_recovery and reader is Observer.DEVICE and device_fatal:
        return Check(Severity.FATAL, context, CheckAction.PANIC, LifecycleReason.DEVICE_POISON)
    consumed = reader in (Observer.USER, Observer.KERNEL)
    srao = reader is Observer.SCRUB and scrub_srao
    status = _READ | _CODES[reader] | (OVER if overflow else 0)
    status |= PCC if not mca_recovery else S | AR if consumed else S if srao else 0
    bank = Bank(status, mcgstatus=RIPV | MCIP | (EIPV if consumed else 0))
    if not consumed and not srao and mca_recovery:
        arrival = poll(bank, profile, memory_failure=memory_failure)
        return Check(Severity.UCNA, context, _asynchronous(arrival), _NO_PANIC)
    arrival = exception(bank, _CONTEXTS[context], profile, ser=mca_recovery, memory_failure=memory_failure)
    if arrival.panic is not None:
        reason = _REASONS[arrival.notes.partition(": ")[2]]
        return Check(Severity.FATAL, context, CheckAction.PANIC, reason)
    action = CheckAction.ACTION_REQUIRED if arrival.action_required else _asynchronous(arrival)
    return Check(Severity.SRAO if srao else Severity.SRAR, context, action, _NO_PANIC)


def _asynchronous(arrival: Arrival) -> CheckAction:
    return CheckAction.QUEUE if arrival.calls_handler else CheckAction.LOG


_FLAGS = ("copies", "device_fatal", "overflow", "mca_recovery", "memory_failure", "scrub_srao")
_SHAPE = (len(PROFILE_NAMES), len(READERS)) + (2,) * len(_FLAGS)


class GradeTable:
    """``grade()`` enumerated over its whole domain."""

    def __init__(self) -> None:
        """Enumerate the scalar definition."""
        rows = [
            [int(part) for part in grade(reader, **dict(zip(_FLAGS, flags, strict=True)), profile=profile)]
            for profile in PROFILE_NAMES
            for reader in READERS
            for flags in itertools.product((False, True), repeat=len(_FLAGS))
        ]
        self.columns: dict[str, Ints] = dict(zip(Check._fields, np.asarray(rows, np.int64).T, strict=True))

    def look_up(self, profile: Ints, reader: Ints, **flags: npt.NDArray[np.bool_]) -> dict[str, Ints]:
        """Return the grade of each of n reads; flags as in ``grade``, profile by its place, shape ``(n,)``."""
        index = np.ravel_multi_index((profile, reader, *(flags[name].astype(np.int64) for name in _FLAGS)), _SHAPE)
        return {name: column[index] for name, column in self.columns.items()}


@cache
def grades() -> GradeTable:
    """Return the table, enumerated once."""
    return GradeTable()
