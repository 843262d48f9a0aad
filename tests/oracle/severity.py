"""How bad one machine-check record is: the rules typed a second time, bit by bit, one chain of tests per era.

**Models.** The Intel severity list of Linux 2.6.32 to 7.1, first match wins, with the rule that follows the match;
and the two generations of the AMD rules.

**Leaves out.** What the kernel does with the grade. ``panic_on_oops`` is off.

**Assumes.** No code of ``node_sim``. Kernels before 4.18 are asked for exceptions only. A context is a word: "user",
"kernel", "recoverable" (machine-check-safe copy), "copyin" (copy from user with a fixup) or "seam" (SEAM non-root).

**Sources.** Sections 3.11, 10.1 and 10.2 of the behaviour specification; where it abbreviates (OVER in the rule of the
illegal combination, which codes recoverable kernel code survives, what the patrol signature needs) mce-severity.c and
severity.c of Linux 5.10 and 6.12.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

PROFILES = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")
POLLED_GRADING = ("4.18", "5.10", "6.1", "6.12", "7.1")
CONTEXTS = ("user", "kernel", "recoverable", "copyin", "seam")

KEYS = (
    "invalid",
    "not enabled",
    "context corrupt",
    "mcip not set",
    "no restart or error ip",
    "kernel no restart ip",
    "corrected",
    "scrub",
    "l3 writeback",
    "patrol signature",
    "ucna",
    "ucna with ar",
    "not signalled",
    "ar lost events",
    "unaffected thread",
    "recoverable area",
    "user load",
    "user fetch",
    "seam",
    "kernel load",
    "kernel fetch",
    "ar unknown mcacod",
    "ao unknown mcacod",
    "ao lost events",
    "overflowed",
    "uncorrected in kernel",
    "uncorrected",
    "no match",
)

Grade = tuple[str, str]


class Record(NamedTuple):
    """The bits of one record, spelled out."""

    valid: bool
    over: bool
    uc: bool
    en: bool
    pcc: bool
    s: bool
    ar: bool
    addressed: bool
    """ADDRV and MISCV."""
    scrub: bool
    writeback: bool
    load: bool
    fetch: bool
    signature: bool
    """MSCOD 0x0010 with a scrub code."""
    ripv: bool
    eipv: bool
    mcip: bool


@cache
def record(status: int, mcgstatus: int) -> Record:
    """Take the two registers apart."""
    return Record(
        valid=bool(status & 1 << 63),
        over=bool(status & 1 << 62),
        uc=bool(status & 1 << 61),
        en=bool(status & 1 << 60),
        pcc=bool(status & 1 << 57),
        s=bool(status & 1 << 56),
        ar=bool(status & 1 << 55),
        addressed=bool(status & 1 << 59) and bool(status & 1 << 58),
        scrub=status & 0xEFF0 == 0x00C0,
        writeback=status & 0xEFFF == 0x017A,
        load=status & 0xEFFF == 0x0134,
        fetch=status & 0xEFFF == 0x0150,
        signature=status & 0xEFF0 == 0x00C0 and status >> 16 & 0xFFFF == 0x0010,
        ripv=bool(mcgstatus & 1),
        eipv=bool(mcgstatus & 2),
        mcip=bool(mcgstatus & 4),
    )


def intel(
    status: int,
    mcgstatus: int,
    context: str,
    profile: str,
    *,
    exception: bool,
    ser: bool,
    memory_failure: bool,
    patrol_signature_bank: bool = False,
    tolerant: int = 1,
) -> Grade:
    """Return the name of the level and the key of the rule that decided."""
    r = record(status, mcgstatus)
    if context in ("recoverable", "copyin") and not (r.ripv and r.eipv):
        context = "kernel"  # a fixup is looked for only where the error IP is the restart IP
    if profile == "2.6.32":
        # A user's code selector counts only together with a valid error IP.
        place = "user" if context == "user" and r.eipv else "kernel"
        level, key = _rules_of_2_6_32(r, place, ser)
        fatal_in_kernel = tolerant < 1
    elif profile == "3.10":
        place = "user" if context == "user" else "kernel"
        level, key = _rules_of_3_10(r, place, ser, memory_failure)
        fatal_in_kernel = tolerant < 1
    elif profile == "4.18":
        place = "kernel" if context in ("copyin", "seam") else context
        level, key = _rules_of_4_18(r, place, exception, ser, memory_failure)
        fatal_in_kernel = tolerant < 1
    elif profile in ("5.10", "6.1"):
        place = "recoverable" if context == "copyin" else "kernel" if context == "seam" else context
        level, key = _rules_of_5_10(r, place, exception, ser, memory_failure, patrol_signature_bank)
        fatal_in_kernel = tolerant < 1 if profile == "5.10" else True
    elif profile in ("6.12", "7.1"):
        place = "recoverable" if context == "copyin" else context
        level, key = _rules_of_6_12(r, place, exception, ser, memory_failure, patrol_signature_bank)
        fatal_in_kernel = False
    else:
        raise ValueError(profile)
    if level in ("UC", "AR") and place == "kernel" and fatal_in_kernel:
        level = "PANIC"
    return level, key


def _rules_of_2_6_32(r: Record, place: str, ser: bool) -> Grade:
    if not r.valid:
        grade = "NO", "invalid"
    elif not r.en:
        grade = "NO", "not enabled"
    elif r.pcc:
        grade = "PANIC", "context corrupt"
    elif not r.mcip:
        grade = "PANIC", "mcip not set"
    elif not r.ripv and not r.eipv:
        grade = "PANIC", "no restart or error ip"
    elif place == "kernel" and not r.ripv:
        grade = "PANIC", "kernel no restart ip"
    elif not ser and not r.uc:
        grade = "KEEP", "corrected"
    elif ser and r.uc and not r.s and not r.ar:
        grade = "KEEP", "ucna"
    elif ser and r.uc and not r.s and r.ar and not r.over:
        grade = "PANIC", "ucna with ar"
    elif ser and not r.s:
        grade = "KEEP", "not signalled"
    elif ser and r.uc and r.s and r.ar and r.over:
        grade = "PANIC", "ar lost events"
    elif ser and r.uc and r.s and r.ar:
        grade = "PANIC", "ar unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and not r.over and r.scrub:
        grade = "AO", "scrub"
    elif ser and r.uc and r.s and not r.ar and not r.over and r.writeback:
        grade = "AO", "l3 writeback"
    elif ser and r.uc and r.s and not r.ar and not r.over:
        grade = "SOME", "ao unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and r.over:
        grade = "SOME", "ao lost events"
    elif r.uc and r.over:
        grade = "PANIC", "overflowed"
    elif r.uc:
        grade = "UC", "uncorrected"
    else:
        grade = "SOME", "no match"
    return grade


def _rules_of_3_10(r: Record, place: str, ser: bool, memory_failure: bool) -> Grade:
    if not r.valid:
        grade = "NO", "invalid"
    elif not r.en:
        grade = "NO", "not enabled"
    elif r.pcc:
        grade = "PANIC", "context corrupt"
    elif not r.mcip:
        grade = "PANIC", "mcip not set"
    elif not r.ripv and not r.eipv:
        grade = "PANIC", "no restart or error ip"
    elif place == "kernel" and not r.ripv:
        grade = "PANIC", "kernel no restart ip"
    elif not ser and not r.uc:
        grade = "KEEP", "corrected"
    elif ser and r.uc and not r.s and not r.ar:
        grade = "KEEP", "ucna"
    elif ser and r.uc and not r.s and r.ar and not r.over:
        grade = "PANIC", "ucna with ar"
    elif ser and not r.s:
        grade = "KEEP", "not signalled"
    elif ser and r.uc and r.s and r.ar and r.over:
        grade = "PANIC", "ar lost events"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and (r.load or r.fetch) and not r.eipv:
        grade = "KEEP", "unaffected thread"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "user":
        grade = "AR", "user load"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.fetch and place == "user":
        grade = "AR", "user fetch"
    elif ser and r.uc and r.s and r.ar:
        grade = "PANIC", "ar unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and not r.over and r.scrub:
        grade = "AO", "scrub"
    elif ser and r.uc and r.s and not r.ar and not r.over and r.writeback:
        grade = "AO", "l3 writeback"
    elif ser and r.uc and r.s and not r.ar and not r.over:
        grade = "SOME", "ao unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and r.over:
        grade = "SOME", "ao lost events"
    elif r.uc and r.over:
        grade = "PANIC", "overflowed"
    elif r.uc:
        grade = "UC", "uncorrected"
    else:
        grade = "SOME", "no match"
    return grade


def _rules_of_4_18(r: Record, place: str, exception: bool, ser: bool, memory_failure: bool) -> Grade:
    if not r.valid:
        grade = "NO", "invalid"
    elif exception and not r.en:
        grade = "NO", "not enabled"
    elif r.pcc:
        grade = "PANIC", "context corrupt"
    elif exception and not r.mcip:
        grade = "PANIC", "mcip not set"
    elif exception and not r.ripv and not r.eipv:
        grade = "PANIC", "no restart or error ip"
    elif exception and place in ("kernel", "recoverable") and not r.ripv:
        grade = "PANIC", "kernel no restart ip"
    elif not ser and not r.uc:
        grade = "KEEP", "corrected"
    elif ser and r.uc and not r.ar and not r.over and r.scrub:
        grade = "AO", "scrub"
    elif ser and r.uc and not r.ar and not r.over and r.writeback:
        grade = "AO", "l3 writeback"
    elif ser and r.uc and not r.s and not r.ar:
        grade = "UCNA", "ucna"
    elif ser and r.uc and not r.s and r.ar and not r.over:
        grade = "PANIC", "ucna with ar"
    elif ser and not r.s:
        grade = "KEEP", "not signalled"
    elif ser and r.uc and r.s and r.ar and r.over:
        grade = "PANIC", "ar lost events"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.ripv and not r.eipv:
        grade = "KEEP", "unaffected thread"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "recoverable":
        grade = "AR", "recoverable area"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "user":
        grade = "AR", "user load"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.fetch and place == "user":
        grade = "AR", "user fetch"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "kernel":
        grade = "PANIC", "kernel load"
    elif ser and r.uc and r.s and r.ar:
        grade = "PANIC", "ar unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and not r.over:
        grade = "SOME", "ao unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and r.over:
        grade = "SOME", "ao lost events"
    elif r.uc and r.over:
        grade = "PANIC", "overflowed"
    elif r.uc:
        grade = "UC", "uncorrected"
    else:
        grade = "SOME", "no match"
    return grade


def _rules_of_5_10(
    r: Record, place: str, exception: bool, ser: bool, memory_failure: bool, patrol_signature_bank: bool
) -> Grade:
    if not r.valid:
        grade = "NO", "invalid"
    elif exception and not r.en:
        grade = "NO", "not enabled"
    elif r.pcc:
        grade = "PANIC", "context corrupt"
    elif exception and not r.mcip:
        grade = "PANIC", "mcip not set"
    elif exception and not r.ripv and not r.eipv:
        grade = "PANIC", "no restart or error ip"
    elif exception and place in ("kernel", "recoverable") and not r.ripv:
        grade = "PANIC", "kernel no restart ip"
    elif not ser and not r.uc:
        grade = "KEEP", "corrected"
    elif ser and r.uc and not r.ar and r.scrub:
        grade = "AO", "scrub"
    elif ser and r.uc and not r.ar and r.writeback:
        grade = "AO", "l3 writeback"
    elif ser and not r.uc and r.addressed and r.signature and patrol_signature_bank:
        grade = "AO", "patrol signature"
    elif ser and r.uc and not r.s and not r.ar:
        grade = "UCNA", "ucna"
    elif ser and r.uc and not r.s and r.ar and not r.over:
        grade = "PANIC", "ucna with ar"
    elif ser and not r.s:
        grade = "KEEP", "not signalled"
    elif ser and r.uc and r.s and r.ar and r.over:
        grade = "PANIC", "ar lost events"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.ripv and not r.eipv:
        grade = "KEEP", "unaffected thread"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "recoverable":
        grade = "AR", "recoverable area"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "user":
        grade = "AR", "user load"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.fetch and place == "user":
        grade = "AR", "user fetch"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "kernel":
        grade = "PANIC", "kernel load"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.fetch and place == "kernel":
        grade = "PANIC", "kernel fetch"
    elif ser and r.uc and r.s and r.ar:
        grade = "PANIC", "ar unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and not r.over:
        grade = "SOME", "ao unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and r.over:
        grade = "SOME", "ao lost events"
    elif r.uc and r.over:
        grade = "PANIC", "overflowed"
    elif r.uc:
        grade = "UC", "uncorrected"
    else:
        grade = "SOME", "no match"
    return grade


def _rules_of_6_12(
    r: Record, place: str, exception: bool, ser: bool, memory_failure: bool, patrol_signature_bank: bool
) -> Grade:
    if not r.valid:
        grade = "NO", "invalid"
    elif exception and not r.en:
        grade = "NO", "not enabled"
    elif r.pcc:
        grade = "PANIC", "context corrupt"
    elif exception and not r.mcip:
        grade = "PANIC", "mcip not set"
    elif exception and not r.ripv and not r.eipv:
        grade = "PANIC", "no restart or error ip"
    elif exception and place in ("kernel", "recoverable", "seam") and not r.ripv:
        # SEAM is kernel code but for the two rules of its own.
        grade = "PANIC", "kernel no restart ip"
    elif not ser and not r.uc:
        grade = "KEEP", "corrected"
    elif ser and r.uc and not r.ar and r.scrub:
        grade = "AO", "scrub"
    elif ser and r.uc and not r.ar and r.writeback:
        grade = "AO", "l3 writeback"
    elif ser and not r.uc and r.addressed and r.signature and patrol_signature_bank:
        grade = "AO", "patrol signature"
    elif ser and r.uc and not r.s and not r.ar:
        grade = "UCNA", "ucna"
    elif ser and r.uc and not r.s and r.ar and not r.over:
        grade = "PANIC", "ucna with ar"
    elif ser and not r.s:
        grade = "KEEP", "not signalled"
    elif ser and r.uc and r.s and r.ar and r.over:
        grade = "PANIC", "ar lost events"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.ripv and not r.eipv:
        grade = "KEEP", "unaffected thread"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "recoverable":
        grade = "AR", "recoverable area"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "user":
        grade = "AR", "user load"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.fetch and place == "user":
        grade = "AR", "user fetch"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and (r.load or r.fetch) and place == "seam":
        grade = "AR", "seam"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.load and place == "kernel":
        grade = "PANIC", "kernel load"
    elif memory_failure and ser and r.uc and r.s and r.ar and r.addressed and r.fetch and place == "kernel":
        grade = "PANIC", "kernel fetch"
    elif ser and r.uc and r.s and r.ar:
        grade = "PANIC", "ar unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and not r.over:
        grade = "SOME", "ao unknown mcacod"
    elif ser and r.uc and r.s and not r.ar and r.over:
        grade = "SOME", "ao lost events"
    elif r.uc and r.over:
        grade = "PANIC", "overflowed"
    elif r.uc and place in ("kernel", "seam"):
        grade = "PANIC", "uncorrected in kernel"
    elif r.uc:
        grade = "UC", "uncorrected"
    else:
        grade = "SOME", "no match"
    return grade


def amd(
    status: int,
    context: str,
    profile: str,
    *,
    overflow_recovery: bool,
    succor: bool,
    smca: bool,
    tcc: bool,
    mcgstatus: int = 0x5,
) -> str:
    """Return the name of the level of a record of an AMD processor."""
    over, uc = bool(status & 1 << 62), bool(status & 1 << 61)
    pcc, deferred = bool(status & 1 << 57), bool(status & 1 << 44)
    if profile in ("2.6.32", "3.10"):
        # No rules of AMD's own yet: the Intel list, without software error recovery.
        level, _ = intel(status, mcgstatus, context, profile, exception=True, ser=False, memory_failure=True)
    elif profile in ("4.18", "5.10"):
        known = ("user", "recoverable") if profile == "4.18" else ("user", "recoverable", "copyin")
        in_kernel = context not in known
        fatal = in_kernel or (over and not overflow_recovery) or (smca and not succor) or (smca and tcc and in_kernel)
        if pcc or (uc and fatal):
            level = "PANIC"
        elif uc:
            level = "AR"
        elif deferred:
            level = "DEFERRED"
        else:
            level = "KEEP"
    else:
        fatal = (over and not overflow_recovery) or not succor or context not in ("user", "recoverable", "copyin")
        if pcc:
            level = "PANIC"
        elif deferred:
            level = "DEFERRED"
        elif not uc:
            level = "KEEP"
        elif fatal:
            level = "PANIC"
        else:
            level = "AR"
    return level
