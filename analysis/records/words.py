"""The words of a machine check: bank, IA32_MCi_STATUS, address, MCG_STATUS, as they fit what the run says of it.

**Models.** Intel: corrected errors and poison found by the scrubber or a device in the bank of the channel, poison
written back by the last-level cache, loads in a bank of the core, corrupt contexts. AMD with scalable MCA: deferred
errors of the memory controller, loads. A test grades each word by the severity rules of the kernel of the host.

**Leaves out.** Where in its page an error is (the run knows pages: the word says so by an LSB of 12), model-specific
code beside that of reads and of the patrol scrubber, AMD's syndrome and IPID.

**Assumes.** Banks of Skylake-SP (channels from 13 on, loads in 1) and of Rome (memory controllers from 17 on, loads
in 0); a socket's first CPU reports what is not a load.

**Sources.** Intel SDM, volume 3, 15.9 (compound error codes); IA32_MCi_STATUS of recorded machine checks
(``fleet/recordings``); ``err_code:0101:009N`` and ``0008:00cN`` of skx_edac in public logs; AMD PPR of family 17h model
31h (banks).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from analysis.hosts.kinds import AMD, FIRMWARE_FIRST, HostKind
from analysis.records.moments import CheckSeen, Corrected
from node_sim.codes import CheckAction, LifecycleReason, Observer, Severity
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
    S,
)
from node_sim.names import slot_of_fault
from node_sim.units import PAGE_SHIFT

LOAD_CODE: Final = 0x0134
READ_CODE: Final = 0x0090
SCRUB_CODE: Final = 0x00C0
WRITE_BACK_CODE: Final = 0x017A
READ_MODEL: Final = 0x0101
SCRUB_MODEL: Final = 0x0010
ERRORS_SHIFT: Final = 38
ERRORS_MAX: Final = (1 << 15) - 1
"""Corrected errors that fit their field."""
_FOUND: Final = VAL | UC | EN | MISCV | ADDRV
_FIRST_BANK: Final = {AMD: 17}
_LOAD_BANK: Final = {AMD: 0}
_INTEL_FIRST, _INTEL_LOAD = 13, 1
_LOST_CONTEXT: Final = (LifecycleReason.CONTEXT_CORRUPT.text, LifecycleReason.DEVICE_POISON.text)


class CheckWords(NamedTuple):
    """The record of a machine check.

    Attributes:
        bank: Its number.
        word: Status, MISC, and the MCG_STATUS that came with it.
        address: Physical address of the page; 0 if there is none.
        socket: Socket, whose first CPU has the number of the socket.
    """

    bank: int
    word: Bank
    address: int
    socket: int


def words_of_check(check: CheckSeen, kind: HostKind) -> CheckWords | None:
    """Return the record of a machine check; None where it was the firmware that told the kernel.

    Args:
        check: The machine check.
        kind: What the host is.
    """
    row = check.row
    fatal_record = check.reason == LifecycleReason.FATAL_HARDWARE.text
    if row["severity"] == Severity.RECOVERABLE.text or fatal_record:
        return None
    word = _word(check, kind)
    if row["overflow"] and kind.reporting != FIRMWARE_FIRST:
        word = Bank(word.status | OVER, word.misc, word.mcgstatus)
    address = 0 if row["pfn"] is None else row["pfn"] << PAGE_SHIFT
    channels = kind.sockets * kind.channels
    if row["bank"] >= channels:
        return CheckWords(_LOAD_BANK.get(kind.reporting, _INTEL_LOAD), word, address, _socket_of_page(check, kind))
    socket, channel = divmod(row["bank"], kind.channels)
    return CheckWords(_FIRST_BANK.get(kind.reporting, _INTEL_FIRST) + channel, word, address, socket)


def _socket_of_page(check: CheckSeen, kind: HostKind) -> int:
    """Return the socket of the DIMM: a load is recorded by a CPU that is near to its memory."""
    slot = slot_of_fault(check.row["fault_id"])
    return kind.place(slot).socket


def _word(check: CheckSeen, kind: HostKind) -> Bank:
    row, in_core = check.row, check.spot is None
    signalled = RIPV | MCIP | (EIPV if in_core else 0)
    if row["pfn"] is None:
        return Bank(VAL | UC | EN | PCC, 0, signalled)
    if row["severity"] == Severity.DEFERRED.text:
        physical = PADDRV if row["action"] in (CheckAction.QUEUE.text, CheckAction.ALREADY_POISONED.text) else 0
        return Bank(VAL | EN | DEFERRED | ADDRV | physical, 0, 0)
    if check.reason in _LOST_CONTEXT:
        return Bank(_FOUND | PCC | _code(check), mcgstatus=signalled)
    if in_core:
        contained = POISON if kind.reporting == AMD else S | AR
        return Bank(_FOUND | contained | LOAD_CODE, mcgstatus=signalled)
    status = _FOUND | _code(check)
    if row["severity"] == Severity.UCNA.text:
        return Bank(status, mcgstatus=0)
    return Bank(status | (S if kind.reporting != AMD else 0), mcgstatus=RIPV | MCIP)


def _code(check: CheckSeen) -> int:
    """Return model-specific and compound code of an error that nobody has loaded."""
    if check.observer == Observer.WRITE_BACK.text:
        return WRITE_BACK_CODE
    if check.spot is None:
        return LOAD_CODE
    channel = 0 if check.spot.place is None else check.spot.place.channel
    if check.observer == Observer.SCRUB.text:
        return SCRUB_MODEL << 16 | SCRUB_CODE | channel
    return READ_MODEL << 16 | READ_CODE | channel


def words_of_corrected(corrected: Corrected, kind: HostKind) -> CheckWords:
    """Return the record of corrected errors.

    Args:
        corrected: The errors.
        kind: What the host is.
    """
    place = corrected.spot.place
    channel = 0 if place is None else place.channel
    status = VAL | READ_MODEL << 16 | READ_CODE | channel | min(corrected.errors, ERRORS_MAX) << ERRORS_SHIFT
    known = corrected.pfn is not None
    per_socket = kind.controllers // kind.sockets
    socket = corrected.spot.controller // per_socket
    in_socket = (corrected.spot.controller - socket * per_socket) * kind.channels_together + channel
    bank = _FIRST_BANK.get(kind.reporting, _INTEL_FIRST) + in_socket
    word = Bank(status | ((ADDRV | MISCV) if known else 0), 0x8C if known else 0, 0)
    return CheckWords(bank, word, corrected.pfn << PAGE_SHIFT if corrected.pfn is not None else 0, socket)
