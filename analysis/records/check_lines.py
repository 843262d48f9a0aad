"""What the kernel prints of a machine check, of a record of the firmware, and of the panic that either leads to.

**Assumes.** A load is read in user mode where the run says so; instruction pointers are left at 0, which no process
has. A panic of Intel's is that of all CPUs, one of AMD's that of the CPU concerned.

**Sources.** Linux: arch/x86/kernel/cpu/mce/core.c (``__print_mce``, ``mce_panic``, ``kill_me_maybe``,
``kill_me_never``), mm/memory-failure.c (``memory_failure_queue``), drivers/firmware/efi/cper.c,
drivers/acpi/apei/ghes.c; signatures of recorded CPUs (``fleet/recordings``: 0:50654) and of Rome (2:830f10).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analysis.hosts.kinds import AMD, FIRMWARE_FIRST, HostKind
from analysis.records.moments import CheckSeen, Corrected, Panicked, Spot
from analysis.records.words import CheckWords, words_of_check
from node_sim.codes import CheckAction, CpuContext, KernelRead, LifecycleReason
from node_sim.machine_check.severity import ADDRV, EIPV, MCIP, MISCV, RIPV
from node_sim.units import PAGE_SHIFT

HARDWARE: Final = "mce: [Hardware Error]:"
LOGGED: Final = f"{HARDWARE} Machine check events logged"
PROCESSOR: Final = {AMD: "2:830f10"}
PROCESSOR_INTEL: Final = "0:50654"
USER_SEGMENT, KERNEL_SEGMENT = 0x33, 0x10
PANIC: Final = "Kernel panic - not syncing:"
_POOL_FULL, _BUFFER_FULL = "mce: MCE records pool full!", "buffer overflow when queuing memory failure at"
_OTHER_REASONS: Final = (
    LifecycleReason.RECOVERY_OFF.text,
    LifecycleReason.FATAL_HARDWARE.text,
    LifecycleReason.NO_HANDLER.text,
    LifecycleReason.UNRECOVERABLE_PAGE.text,
)
"""Panics that are none of the machine-check code's."""


def is_of_firmware(moment: CheckSeen) -> bool:
    """Whether the kernel learns of an error by a record of the firmware."""
    return moment.row["severity"] == "RECOVERABLE" or moment.reason == LifecycleReason.FATAL_HARDWARE.text


def record_lines(moment: CheckSeen, kind: HostKind) -> Iterator[str]:
    """Yield the record of a machine check that no driver decodes, and what is printed before the handler is called.

    EDAC decodes what the memory controller reports, unless the kernel panics at once; then all is printed.
    """
    words = words_of_check(moment, kind)
    assert words is not None, "records of the firmware have lines of their own"
    row = moment.row
    if moment.spot is None or moment.reason is not None or kind.reporting == FIRMWARE_FIRST:
        yield from _print_mce(moment, words, kind)
    address = words.address
    if row["action"] == CheckAction.ACTION_REQUIRED.text:
        yield f"mce: Uncorrected hardware memory error in user-access at {address:x}"
    elif row["kernel_read"] == KernelRead.COPY.text and kind.rules.copy_recovery == "errno":
        yield f"mce: Kernel accessed poison in user space at {address:x}"
    elif row["action"] == CheckAction.QUEUE_FULL.text and kind.rules.keeps_records == "pool":
        yield _POOL_FULL


def _print_mce(moment: CheckSeen, words: CheckWords, kind: HostKind) -> Iterator[str]:
    word, cpu = words.word, words.socket
    exception = " Exception" if word.mcgstatus & MCIP else ""
    yield (f"{HARDWARE} CPU {cpu}: Machine Check{exception}: {word.mcgstatus:x} Bank {words.bank}: {word.status:016x}")
    if word.mcgstatus & (RIPV | EIPV):
        user = moment.row["cpu_context"] == CpuContext.USER.text
        exact = "" if word.mcgstatus & EIPV else " !INEXACT!"
        yield f"{HARDWARE} RIP{exact} {USER_SEGMENT if user else KERNEL_SEGMENT:02x}:<{0:016x}> "
    parts = ["TSC 0"]
    parts += [f"ADDR {words.address:x}"] if word.has(ADDRV) else []
    parts += [f"MISC {word.misc:x}"] if word.has(MISCV) else []
    yield f"{HARDWARE} {' '.join(parts)} "
    processor = PROCESSOR.get(kind.reporting, PROCESSOR_INTEL)
    yield f"{HARDWARE} PROCESSOR {processor} TIME 0 SOCKET {words.socket} APIC {cpu:x} microcode 0"


def panic_lines(moment: Panicked, kind: HostKind) -> Iterator[str]:
    """Yield the lines of a panic."""
    reason = moment.reason
    if reason == LifecycleReason.RECOVERY_OFF.text:
        yield f"{PANIC} {kind.rules.panic_text.format(pfn=moment.pfn or 0)}"
    elif reason == LifecycleReason.UNRECOVERABLE_PAGE.text:
        yield f"{PANIC} Memory failure: {moment.pfn or 0:#x}: unrecoverable page"
    elif reason in _OTHER_REASONS:
        yield f"{PANIC} {reason}"
    else:
        corrupt = reason == LifecycleReason.DEVICE_POISON.text
        yield f"{HARDWARE} Machine check: {LifecycleReason.CONTEXT_CORRUPT.text if corrupt else reason}"
        yield f"{PANIC} Fatal {'local ' if kind.reporting == AMD else ''}machine check"


def firmware_corrected(number: int, moment: Corrected, kind: HostKind) -> Iterator[str]:
    """Yield the record that a firmware would have written of corrected errors, had it told of them."""
    yield from _record(number, "corrected", _at(moment.spot, moment.pfn, kind), source=1)


def firmware_checked(number: int, moment: CheckSeen, kind: HostKind) -> Iterator[str]:
    """Yield the record of the firmware about an uncorrected error."""
    severity = "recoverable" if moment.reason is None else "fatal"
    yield from _record(number, severity, _at(moment.spot, moment.row["pfn"], kind), source=0)
    if moment.row["action"] == CheckAction.QUEUE_FULL.text:
        yield f"Memory failure: {_BUFFER_FULL} {moment.row['pfn']:#x}"


def _at(spot: Spot | None, pfn: int | None, kind: HostKind) -> list[str]:
    """Return what a memory section tells of the place of an error."""
    lines = [] if pfn is None else [f"physical_address: {pfn << PAGE_SHIFT:#018x}"]
    if spot is not None and spot.place is not None:
        card = spot.controller % (kind.controllers // kind.sockets) * kind.channels_together + spot.place.channel
        lines.append(f"node:{spot.place.socket} card:{card} module:{spot.place.csrow} ")
    return lines


def _record(number: int, severity: str, where: list[str], source: int) -> Iterator[str]:
    begin = f"{{{number}}}[Hardware Error]:"
    yield f"{begin} Hardware error from APEI Generic Hardware Error Source: {source}"
    if severity == "corrected":
        yield f"{begin} It has been corrected by h/w and requires no further action"
    yield f"{begin} event severity: {severity}"
    yield f"{begin}  Error 0, type: {severity}"
    yield f"{begin}   section_type: memory error"
    yield from (f"{begin}   {line}" for line in where)
    error_type, name = (2, "single-bit ECC") if severity == "corrected" else (3, "multi-bit ECC")
    yield f"{begin}   error_type: {error_type}, {name}"
