"""What rasdaemon writes of the words of a machine check.

**Models.** Memory controllers, loads and write-backs of caches, the flags of both status registers.

**Leaves out.** Texts of models of CPUs; AMD's, whose decoder names the unit.

**Sources.** rasdaemon v0.8.5, mce-intel.c (``decode_mca``, ``decode_mci``, ``decode_mcg``).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from analysis.records.words import CheckWords
from node_sim.machine_check.severity import AR, EIPV, EN, MCIP, OVER, PCC, RIPV, UC, S

_CODE, _FAMILY, _MEMORY = 0xEFFF, 0xEF80, 0x0080
_OPERATIONS: Final = {
    0x10: ("RD", "Memory read error"),
    0x40: ("MS", "Memory scrubbing error"),
    0x00: ("GEN", "Generic undefined request"),
}
_OTHERS: Final = {
    0x0134: "Data CACHE Level-0 Data-Read Error",
    0x017A: "Generic CACHE Level-2 Eviction Error",
    0x0000: "No Error",
}
_FLAGS: Final = ((OVER, "Error_overflow"), (UC, "Uncorrected_error"), (EN, "Error_enabled"))
_ACTIONS: Final = {S: "SRAO", AR: "AR", S | AR: "SRAR"}


@cache
def _of_code(code: int) -> str:
    if code & _FAMILY == _MEMORY:
        short, long = _OPERATIONS.get(code & 0x70, _OPERATIONS[0])
        return f"MEMORY CONTROLLER {short}_CHANNEL{code & 0xF}_ERR Transaction: {long}"
    return _OTHERS.get(code, f"Unknown Error {code:x}")


def error_text(words: CheckWords) -> str:
    """Return what the error is."""
    return _of_code(words.word.status & _CODE)


def mcg_text(words: CheckWords) -> str:
    """Return MCG_STATUS and its flags."""
    return _of_mcg(words.word.mcgstatus)


@cache
def _of_mcg(value: int) -> str:
    flags = [name for bit, name in ((RIPV, "RIPV"), (EIPV, "EIPV"), (MCIP, "MCIP")) if value & bit]
    return " ".join([f"mcgstatus={value}", *flags])


def status_text(words: CheckWords) -> str:
    """Return the flags of IA32_MCi_STATUS."""
    return _of_status(words.word.status & (OVER | UC | EN | PCC | S | AR))


@cache
def _of_status(status: int) -> str:
    names = [name for bit, name in _FLAGS if status & bit]
    if not status & UC:
        names.append("Corrected_error")
    if status & PCC:
        names.append("Processor_context_corrupt")
    if status & (S | AR):
        names.append(_ACTIONS[status & (S | AR)])
    return " ".join(names)
