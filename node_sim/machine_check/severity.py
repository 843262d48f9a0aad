"""How the kernel grades a machine-check bank: the severity rules by profile, first match wins.

**Models.** Intel's rules of seven kernels as rows of data, for exceptions and for polled records, with and without
software error recovery (SER) and CONFIG_MEMORY_FAILURE; AMD's rules.

**Leaves out.** Thermal and bus errors, corrected-error thresholds (AMD).

**Assumes.** A profile without a machine-check-safe copy or a SEAM mode sees plain kernel code there.

**Sources.** arch/x86/kernel/cpu/mcheck/mce-severity.c (2.6.32, 3.10.105, 4.18), arch/x86/kernel/cpu/mce/severity.c
(5.10.7, 6.1.20, 7.1.5): ``severities[]``, ``mce_severity_intel()``, ``mce_severity_amd()``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from node_sim.catalog.kernels import PROFILE_NAMES, switches_of
from node_sim.catalog.profile import Profile

VAL, OVER, UC, EN, MISCV, ADDRV, PCC, S, AR = (1 << bit for bit in (63, 62, 61, 60, 59, 58, 57, 56, 55))
PADDRV, DEFERRED, POISON = (1 << bit for bit in (54, 44, 43))
RIPV, EIPV, MCIP = 1, 2, 4
_MCACOD, _FAMILY = 0xEFFF, 0xEFF0
_SCRUB, _L3_WRITEBACK, _DATA, _FETCH = 0x00C0, 0x017A, 0x0134, 0x0150
_PATROL_MASK, _PATROL = 0xFFFFEFF0, 0x001000C0
_UC_SAR, _KNOWN = UC | S | AR, ADDRV | MISCV
_BOTH_IP = RIPV | EIPV


class Level(enum.IntEnum):
    """Severity, mildest first; UCNA and DEFERRED rank alike in the kernel."""

    NO = 0
    DEFERRED = 1
    UCNA = 2
    KEEP = 3
    SOME = 4
    AO = 5
    UC = 6
    AR = 7
    PANIC = 8


class Context(enum.Enum):
    """What the CPU was doing."""

    USER = "user"
    KERNEL = "kernel"
    RECOVERABLE = "recoverable"
    COPYIN = "copyin"
    SEAM = "seam"


_KERNEL_CODE = (Context.KERNEL, Context.SEAM)


@dataclass(frozen=True)
class Bank:
    """A machine-check bank: MCi_STATUS, MCi_MISC and the MCG_STATUS that came with it."""

    status: int
    misc: int = 0x8C
    mcgstatus: int = RIPV | MCIP

    def has(self, bits: int) -> bool:
        """Whether all of some status bits are set."""
        return self.status & bits == bits


class SeverityRow(NamedTuple):
    """A rule: what it needs of status, MCG_STATUS and surroundings, and the grade it gives.

    Attributes:
        key: Short name.
        level: Grade.
        text: The kernel's message.
        mask: Status bits looked at.
        match: Their values.
        mcg_mask: MCG_STATUS bits looked at.
        mcg_match: Their values.
        ser: It needs recovery (True), needs its absence (False), or does not care (None).
        context: It needs the CPU there.
        exception: It is for exceptions only, in the profiles that grade polled records.
        memory_failure: It needs CONFIG_MEMORY_FAILURE.
        patrol: It needs a bank with the patrol scrub signature.
        since: First profile.
        until: Last profile; None while the newest kernel has it.
    """

    key: str
    level: Level
    text: str
    mask: int = 0
    match: int = 0
    mcg_mask: int = 0
    mcg_match: int = 0
    ser: bool | None = None
    context: Context | None = None
    exception: bool = False
    memory_failure: bool = False
    patrol: bool = False
    since: str = PROFILE_NAMES[0]
    until: str | None = None


def _in(row: SeverityRow, since: str = PROFILE_NAMES[0], until: str | None = None, **other: Any) -> SeverityRow:
    return row._replace(since=since, until=until, **other)


_L, _OLD, _NEW = Level, "3.10", "4.18"
_NO_IP = SeverityRow(
    "no restart or error ip", _L.PANIC, "Neither restart nor error IP", mcg_mask=_BOTH_IP, exception=True
)
_KERNEL_NO_IP = SeverityRow(
    "kernel no restart ip",
    _L.PANIC,
    "In kernel and no restart IP",
    mcg_mask=RIPV,
    context=Context.KERNEL,
    exception=True,
)
_SCRUBBED = SeverityRow("scrub", _L.AO, "Action optional: memory scrubbing error", ser=True)
_WRITTEN_BACK = SeverityRow("l3 writeback", _L.AO, "Action optional: last level cache writeback error", ser=True)
_NO_ACTION = SeverityRow("ucna", _L.UCNA, "Uncorrected no action required", mask=_UC_SAR, match=UC, ser=True)
_LOAD = SeverityRow(
    "user load", _L.AR, "Action required: data load error in a user process", ser=True, memory_failure=True
)
_LOAD_MASK = OVER | _UC_SAR | _KNOWN | _MCACOD
_LOAD = _LOAD._replace(mask=_LOAD_MASK, match=_UC_SAR | _KNOWN | _DATA, context=Context.USER)
_FETCHED = _LOAD._replace(
    key="user fetch",
    text="Action required: instruction fetch error in a user process",
    match=_UC_SAR | _KNOWN | _FETCH,
)
_ELSEWHERE = SeverityRow("unaffected thread", _L.KEEP, "Action required but unaffected thread is continuable", ser=True)
_ELSEWHERE = _ELSEWHERE._replace(mcg_mask=_BOTH_IP, mcg_match=RIPV, memory_failure=True)
_SAR_KNOWN = OVER | _UC_SAR | _KNOWN

INTEL_ROWS: Final = (
    SeverityRow("invalid", _L.NO, "Invalid", mask=VAL),
    SeverityRow("not enabled", _L.NO, "Not enabled", mask=EN, exception=True),
    SeverityRow("context corrupt", _L.PANIC, "Processor context corrupt", mask=PCC, match=PCC),
    SeverityRow("mcip not set", _L.PANIC, "MCIP not set in MCA handler", mcg_mask=MCIP, exception=True),
    _NO_IP,
    _KERNEL_NO_IP,
    SeverityRow("corrected", _L.KEEP, "Corrected error", mask=UC, ser=False),
    # Since 4.18 the asynchronous rows stand here, and no longer need S; since 5.10 they do not mind OVER.
    _in(_SCRUBBED, _NEW, _NEW, mask=OVER | UC | AR | _FAMILY, match=UC | _SCRUB),
    _in(_SCRUBBED, "5.10", mask=UC | AR | _FAMILY, match=UC | _SCRUB),
    _in(_WRITTEN_BACK, _NEW, _NEW, mask=OVER | UC | AR | _MCACOD, match=UC | _L3_WRITEBACK),
    _in(_WRITTEN_BACK, "5.10", mask=UC | AR | _MCACOD, match=UC | _L3_WRITEBACK),
    SeverityRow(
        "patrol signature",
        _L.AO,
        "Uncorrected Patrol Scrub Error",
        mask=UC | _KNOWN | _PATROL_MASK,
        match=_KNOWN | _PATROL,
        ser=True,
        patrol=True,
        since="5.10",
    ),
    _in(_NO_ACTION, until=_OLD, level=_L.KEEP),
    _in(_NO_ACTION, _NEW),
    SeverityRow(
        "ucna with ar",
        _L.PANIC,
        "Illegal combination (UCNA with AR=1)",
        mask=OVER | _UC_SAR,
        match=UC | AR,
        ser=True,
    ),
    SeverityRow("not signalled", _L.KEEP, "Non signaled machine check", mask=S, ser=True),
    SeverityRow(
        "ar lost events",
        _L.PANIC,
        "Action required with lost events",
        mask=OVER | _UC_SAR,
        match=OVER | _UC_SAR,
        ser=True,
    ),
    _in(_ELSEWHERE, _OLD, _OLD, mask=_LOAD_MASK, match=_UC_SAR | _KNOWN | _DATA),
    _in(_ELSEWHERE, _OLD, _OLD, mask=_LOAD_MASK, match=_UC_SAR | _KNOWN | _FETCH),
    _in(_ELSEWHERE, _NEW, mask=_SAR_KNOWN, match=_UC_SAR | _KNOWN),
    _in(
        _LOAD,
        _NEW,
        key="recoverable area",
        text="Action required: data load in error recoverable area of kernel",
        context=Context.RECOVERABLE,
    ),
    _in(_LOAD, "6.12", key="seam", text="Action required: data load error in SEAM non-root", context=Context.SEAM),
    _in(_FETCHED, "6.12", key="seam", text="Action required: fetch error in SEAM non-root", context=Context.SEAM),
    _in(_LOAD, _OLD),
    _in(_FETCHED, _OLD),
    _in(
        _LOAD,
        _NEW,
        key="kernel load",
        level=_L.PANIC,
        text="Data load in unrecoverable area of kernel",
        context=Context.KERNEL,
    ),
    _in(
        _FETCHED,
        "5.10",
        key="kernel fetch",
        level=_L.PANIC,
        text="Instruction fetch error in kernel",
        context=Context.KERNEL,
    ),
    SeverityRow(
        "ar unknown mcacod",
        _L.PANIC,
        "Action required: unknown MCACOD",
        mask=OVER | _UC_SAR,
        match=_UC_SAR,
        ser=True,
    ),
    _in(_SCRUBBED, until=_OLD, mask=OVER | _UC_SAR | _FAMILY, match=UC | S | _SCRUB),
    _in(_WRITTEN_BACK, until=_OLD, mask=OVER | _UC_SAR | _MCACOD, match=UC | S | _L3_WRITEBACK),
    SeverityRow(
        "ao unknown mcacod", _L.SOME, "Action optional: unknown MCACOD", mask=OVER | _UC_SAR, match=UC | S, ser=True
    ),
    SeverityRow(
        "ao lost events",
        _L.SOME,
        "Action optional with lost events",
        mask=OVER | _UC_SAR,
        match=OVER | UC | S,
        ser=True,
    ),
    SeverityRow("overflowed", _L.PANIC, "Overflowed uncorrected", mask=OVER | UC, match=OVER | UC),
    SeverityRow(
        "uncorrected in kernel",
        _L.PANIC,
        "Uncorrected in kernel",
        mask=UC,
        match=UC,
        context=Context.KERNEL,
        since="6.12",
    ),
    SeverityRow("uncorrected", _L.UC, "Uncorrected", mask=UC, match=UC),
    SeverityRow("no match", _L.SOME, "No match"),
)
"""Rules in the kernel's order; the last catches everything."""


class Graded(NamedTuple):
    """A grade with the rule that gave it."""

    level: Level
    key: str
    text: str


def seen_context(context: Context, bank: Bank, profile: str | Profile) -> Context:
    """Return the context as a kernel recognises it from the saved registers."""
    switches = switches_of(profile)
    if context is Context.USER:
        return Context.KERNEL if switches.user_needs_eipv and not bank.mcgstatus & EIPV else context
    if context is Context.SEAM:
        return context if switches.knows_seam else Context.KERNEL
    known = {"none": (), "safe": (Context.RECOVERABLE,), "copyin": (Context.RECOVERABLE, Context.COPYIN)}
    safe = context in known[switches.recoverable_code]
    return Context.RECOVERABLE if safe and bank.mcgstatus & _BOTH_IP == _BOTH_IP else Context.KERNEL


def _rows(profile: str) -> tuple[SeverityRow, ...]:
    """Return the rules of one kernel, in their order."""
    column = PROFILE_NAMES.index(profile)

    def applies(row: SeverityRow) -> bool:
        last = column if row.until is None else PROFILE_NAMES.index(row.until)
        return PROFILE_NAMES.index(row.since) <= column <= last

    return tuple(row for row in INTEL_ROWS if applies(row))


_ROWS: Final = {profile: _rows(profile) for profile in PROFILE_NAMES}


def intel_severity(  # noqa: PLR0913 - each is a fact about the machine
    bank: Bank,
    context: Context,
    profile: str | Profile,
    *,
    exception: bool = True,
    ser: bool = True,
    memory_failure: bool = True,
    patrol_signature_bank: bool = False,
    tolerant: int = 1,
) -> Graded:
    """Grade a bank by Intel's rules.

    Args:
        bank: The record.
        context: What the CPU was doing.
        profile: The kernel, or its name.
        exception: It came as a machine-check exception; otherwise it was polled.
        ser: The CPU can report recoverable errors (MCG_SER_P).
        memory_failure: CONFIG_MEMORY_FAILURE.
        patrol_signature_bank: A memory controller bank of Skylake-SP or Cascade Lake that marks patrol scrubs.
        tolerant: The sysfs knob, up to 5.17.
    """
    where = seen_context(context, bank, profile)
    polled = not exception and switches_of(profile).polls_severity
    row = next(
        row
        for row in _ROWS[switches_of(profile).name]
        if bank.status & row.mask == row.match
        and bank.mcgstatus & row.mcg_mask == row.mcg_match
        and (row.ser is None or row.ser is ser)
        and (row.context in (None, where) or (row.context is Context.KERNEL and where is Context.SEAM))
        and not (row.exception and polled)
        and (memory_failure or not row.memory_failure)
        and (patrol_signature_bank or not row.patrol)
    )
    level = row.level
    if level >= Level.UC and where is Context.KERNEL:
        rule = switches_of(profile).kernel_uncorrected
        if rule == "always" or (rule == "tolerant" and tolerant < 1):
            level = Level.PANIC
    return Graded(level, row.key, row.text)


def amd_severity(
    bank: Bank, context: Context, profile: str | Profile, *, overflow_recovery: bool, succor: bool, smca: bool
) -> Graded:
    """Grade a bank by AMD's rules (Intel's table up to 3.10).

    Args:
        bank: The record.
        context: What the CPU was doing.
        profile: The kernel, or its name.
        overflow_recovery: The CPU survives lost records.
        succor: It can contain uncorrected errors.
        smca: It has scalable MCA.

    Source:
        ``mce_severity_amd()``; the texts are those of 6.1 and later, earlier kernels print none.
    """
    where = seen_context(context, bank, profile)
    rules = switches_of(profile).amd_rules
    if rules == "intel":
        return intel_severity(bank, context, profile, ser=False)
    if bank.has(PCC):
        return Graded(Level.PANIC, "context corrupt", "Processor context corrupt")
    if bank.has(DEFERRED) and (rules == "2022" or not bank.has(UC)):
        return Graded(Level.DEFERRED, "deferred", "Deferred error")
    if not bank.has(UC):
        return Graded(Level.KEEP, "corrected", "Corrected error")
    if bank.has(OVER) and not overflow_recovery:
        text = "Overflowed uncorrected error without MCA Overflow Recovery"
        return Graded(Level.PANIC, "overflowed", text)
    if not succor and (smca or rules == "2022"):
        return Graded(Level.PANIC, "no recovery", "Uncorrected error without MCA Recovery")
    if where in _KERNEL_CODE:  # TCC of 4.18 is fatal in kernel code only, where everything is
        return Graded(Level.PANIC, "kernel", "Uncorrected unrecoverable error in kernel context")
    return Graded(Level.AR, "action required", "Action required")
