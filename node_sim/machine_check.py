"""How a machine check is graded and what the kernel does about it.

**Models.** Uncorrected errors on x86 with and without MCA recovery: patrol scrub as UCNA or SRAO, user reads as
SRAR, kernel reads with and without a recovery entry, poison read by a device; a kernel without
CONFIG_MEMORY_FAILURE; lost events.

**Leaves out.** AMD severities, firmware-first reporting, broadcast timeouts, RIPV=0.

**Assumes.** An action-required record that meets an unread record in its bank carries OVER.

**Sources.** arch/x86/kernel/cpu/mce/severity.c and core.c, Linux 6.1: rows "Action required with lost events",
"Data load in unrecoverable area of kernel", "Action required: unknown MCACOD" (left when CONFIG_MEMORY_FAILURE
is off).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.codes import CheckAction, CpuContext, LifecycleReason, Observer, Severity
from node_sim.records import Ints

READERS = (Observer.SCRUB, Observer.USER, Observer.KERNEL, Observer.DEVICE)
"""Observers whose read of poison can raise a machine check, in code order."""


class Check(NamedTuple):
    """A graded machine check; ``reason`` is meaningful where the action is a panic."""

    severity: Severity
    context: CpuContext
    action: CheckAction
    reason: LifecycleReason


_NO_PANIC = LifecycleReason.UNRECOVERABLE_KERNEL


def _fatal(context: CpuContext, reason: LifecycleReason) -> Check:
    return Check(Severity.FATAL, context, CheckAction.PANIC, reason)


def _context(reader: Observer, copies: bool) -> CpuContext:
    if reader is Observer.KERNEL:
        return CpuContext.KERNEL_COPY if copies else CpuContext.KERNEL
    return CpuContext.USER if reader is Observer.USER else CpuContext.NONE


def grade(
    reader: Observer,
    *,
    copies: bool,
    device_fatal: bool,
    overflow: bool,
    mca_recovery: bool,
    memory_failure: bool,
    scrub_srao: bool,
) -> Check:
    """Grade the machine check of one read of poison.

    Args:
        reader: Who read it.
        copies: The kernel read user memory at an instruction with a recovery entry.
        device_fatal: The device's read takes the node down.
        overflow: The bank held an unread record.
        mca_recovery: The hardware reports recoverable errors (MCG_SER_P).
        memory_failure: CONFIG_MEMORY_FAILURE.
        scrub_srao: The scrubber reports SRAO instead of UCNA.
    """
    context = _context(reader, copies)
    if not mca_recovery:
        return _fatal(context, LifecycleReason.CONTEXT_CORRUPT)
    if reader is Observer.DEVICE and device_fatal:
        return _fatal(context, LifecycleReason.DEVICE_POISON)
    if reader in (Observer.SCRUB, Observer.DEVICE):
        severity = Severity.SRAO if scrub_srao and reader is Observer.SCRUB else Severity.UCNA
        return Check(severity, context, CheckAction.QUEUE if memory_failure else CheckAction.LOG, _NO_PANIC)
    if overflow:
        return _fatal(context, LifecycleReason.LOST_EVENTS)
    if not memory_failure:
        return _fatal(context, LifecycleReason.UNKNOWN_MCACOD)
    if context is CpuContext.KERNEL:
        return _fatal(context, LifecycleReason.UNRECOVERABLE_KERNEL)
    action = CheckAction.ACTION_REQUIRED if context is CpuContext.USER else CheckAction.QUEUE
    return Check(Severity.SRAR, context, action, _NO_PANIC)


_FLAGS = ("copies", "device_fatal", "overflow", "mca_recovery", "memory_failure", "scrub_srao")
_SHAPE = (len(READERS),) + (2,) * len(_FLAGS)


class GradeTable:
    """``grade()`` enumerated over its whole domain."""

    def __init__(self) -> None:
        """Enumerate the scalar definition."""
        rows = [
            [int(part) for part in grade(reader, **dict(zip(_FLAGS, flags, strict=True)))]
            for reader in READERS
            for flags in itertools.product((False, True), repeat=len(_FLAGS))
        ]
        self.columns: dict[str, Ints] = dict(zip(Check._fields, np.asarray(rows, np.int64).T, strict=True))

    def look_up(self, reader: Ints, **flags: npt.NDArray[np.bool_]) -> dict[str, Ints]:
        """Return the grade of each of n reads; flags as in ``grade``, shape ``(n,)``."""
        index = np.ravel_multi_index((reader, *(flags[name].astype(np.int64) for name in _FLAGS)), _SHAPE)
        return {name: column[index] for name, column in self.columns.items()}
