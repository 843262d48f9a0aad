"""Memory records of a firmware that handles errors first (GHES): what the kernel does with one.

**Models.** The severity of a record as the kernel maps it, panic, the queue of ``memory_failure()``, soft offline of a
page whose corrected errors passed the firmware's threshold, by kernel.

**Leaves out.** arm64, where a synchronous error comes this way, too; records without address, other sections.

**Assumes.** A fatal record ends a kernel that reads none as well: the firmware resets the node.

**Sources.** drivers/acpi/apei/ghes.c (3.10.105, 5.10.7, 6.1, 6.12, 7.1.5; there is none in 2.6.32):
``ghes_severity()``, ``ghes_handle_memory_failure()``, ``__ghes_panic()``.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from node_sim.catalog.kernels import switches_of
from node_sim.catalog.profile import Profile

PANIC_TEXT: Final = "Fatal hardware error"


class Cper(enum.Enum):
    """Severity of a record."""

    INFORMATIONAL = "informational"
    CORRECTED = "corrected"
    RECOVERABLE = "recoverable"
    FATAL = "fatal"


class Taken(NamedTuple):
    """What the kernel does.

    Attributes:
        panic: Text of the panic; None where the kernel goes on.
        calls_handler: ``memory_failure()`` is queued, without flags.
        soft_offline: It is queued with MF_SOFT_OFFLINE.
    """

    panic: str | None = None
    calls_handler: bool = False
    soft_offline: bool = False


def take_record(
    severity: Cper, profile: str | Profile, *, threshold_exceeded: bool = False, memory_failure: bool = True
) -> Taken:
    """Take an asynchronous memory record with an address from the firmware.

    Args:
        severity: Of the record and its section.
        profile: The kernel, or its name.
        threshold_exceeded: The section says that corrected errors passed the firmware's threshold.
        memory_failure: CONFIG_ACPI_APEI_MEMORY_FAILURE.
    """
    reads = switches_of(profile).ghes
    if severity is Cper.FATAL:
        return Taken(panic=PANIC_TEXT)
    if reads == "none" or not memory_failure:
        return Taken()
    if severity is Cper.RECOVERABLE:
        return Taken(calls_handler=True)
    exceeded = severity is Cper.CORRECTED and threshold_exceeded
    return Taken(soft_offline=exceeded and reads == "soft offline")
