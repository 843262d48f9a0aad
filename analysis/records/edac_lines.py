"""What EDAC says of an error: the words that its log line, its trace event and the database of rasdaemon share.

**Sources.** Linux: drivers/edac/edac_mc.c, skx_common.c (``skx_mce_output_error``; ``0x`` before error codes since
5.11), amd64_edac.c (``decode_umc_error``, grain 64).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from analysis.hosts.kinds import AMD, HostKind
from analysis.records.moments import CheckSeen, Corrected, Spot
from analysis.records.words import SCRUB_CODE, CheckWords, words_of_check, words_of_corrected
from node_sim.catalog.kernels import has_since
from node_sim.codes import Severity
from node_sim.units import PAGE_SHIFT

CORRECTED, UNCORRECTED, DEFERRED, FATAL = "Corrected", "Uncorrected", "Deferred", "Fatal"
GRAIN: Final = {AMD: 64}
GRAIN_INTEL: Final = 32
UNKNOWN_LABEL: Final = "any memory"
_MODEL_SHIFT = 16
_HEXADECIMAL_SINCE = "6.1"


class EdacEvent(NamedTuple):
    """An error as EDAC reports it.

    Attributes:
        errors: How many.
        kind: ``Corrected``, ``Uncorrected``, ``Deferred`` or ``Fatal``.
        message: What was done; may be empty.
        label: Of the DIMM.
        controller: Memory controller.
        layers: Positions in the three layers, -1 where there is none.
        location: The same in words.
        address: Physical address; 0 is unknown.
        grain: Bytes that it may be off by.
        detail: What the driver adds; may be empty.
    """

    errors: int
    kind: str
    message: str
    label: str
    controller: int
    layers: tuple[int, int, int]
    location: str
    address: int
    grain: int
    detail: str


def corrected_event(moment: Corrected, kind: HostKind) -> EdacEvent:
    """Return corrected errors as EDAC reports them."""
    return _event(moment.errors, CORRECTED, moment.spot, words_of_corrected(moment, kind), kind)


def uncorrected_event(moment: CheckSeen, kind: HostKind) -> EdacEvent | None:
    """Return an uncorrected error as EDAC reports it; None where it is not told of it as a machine check."""
    words = words_of_check(moment, kind)
    if moment.spot is None or words is None:
        return None
    deferred = moment.row["severity"] == Severity.DEFERRED.text
    what = DEFERRED if deferred else UNCORRECTED if moment.reason is None else FATAL
    return _event(1, what, moment.spot, words, kind)


def _event(errors: int, what: str, spot: Spot, words: CheckWords, kind: HostKind) -> EdacEvent:
    place, amd = spot.place, kind.reporting == AMD
    layers, location = (-1, -1, -1), ""
    if place is not None and amd:
        layers, location = (place.csrow, place.channel, -1), f"csrow:{place.csrow} channel:{place.channel}"
    elif place is not None:
        layers, location = (place.channel, place.csrow, -1), f"channel:{place.channel} slot:{place.csrow}"
    return EdacEvent(
        errors=errors,
        kind=what,
        message="" if amd else _operation(words),
        label=UNKNOWN_LABEL if place is None else place.label,
        controller=spot.controller,
        layers=layers,
        location=location,
        address=words.address,
        grain=GRAIN.get(kind.reporting, GRAIN_INTEL),
        detail="" if amd else _detail(what, spot, words, kind),
    )


def _operation(words: CheckWords) -> str:
    """Return the operation in a memory controller's error code, in EDAC's words."""
    return "memory scrubbing error" if words.word.status & 0x70 == SCRUB_CODE & 0x70 else "memory read error"


def _detail(what: str, spot: Spot, words: CheckWords, kind: HostKind) -> str:
    model, code = words.word.status >> _MODEL_SHIFT & 0xFFFF, words.word.status & 0xFFFF
    begin = "0x" if has_since(kind.rules, _HEXADECIMAL_SINCE) else ""
    in_socket = spot.controller % (kind.controllers // kind.sockets)
    recoverable = " recoverable" if what == UNCORRECTED else ""
    codes = f"err_code:{begin}{model:04x}:{begin}{code:04x}"
    return f"{recoverable} {codes} socket:{words.socket} imc:{in_socket}".strip()


def corrected_line(moment: Corrected, kind: HostKind) -> str:
    """Return the line of the kernel's log about corrected errors."""
    return _line(corrected_event(moment, kind), "CE")


def uncorrected_line(moment: CheckSeen, kind: HostKind) -> str:
    """Return the line of the kernel's log about an uncorrected error that EDAC is told of."""
    event = uncorrected_event(moment, kind)
    assert event is not None, "the memory controller reports it"
    return _line(event, "UE")


def _line(event: EdacEvent, word: str) -> str:
    message = f"{event.message} " if event.message else ""
    page, offset = event.address >> PAGE_SHIFT, event.address & (1 << PAGE_SHIFT) - 1
    where = f"{event.location} page:{page:#x} offset:{offset:#x} grain:{event.grain}"
    where += " syndrome:0x0" if word == "CE" else ""
    detail = f" - {event.detail}" if event.detail else ""
    return f"EDAC MC{event.controller}: {event.errors} {word} {message}on {event.label} ({where}{detail})"
