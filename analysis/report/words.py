"""How the report writes numbers, and what it calls what is counted: each word with a gloss for who has never met it."""

from __future__ import annotations

from typing import Final, NamedTuple

from analysis.estimators.rates import Estimate
from analysis.report.plain import Cell

MINUS: Final = "\N{MINUS SIGN}"
PER: Final = "per 1,000 node-years"
"""A thousand servers for a year; the unit of all rates."""


class Word(NamedTuple):
    """The name of a metric, and what it is."""

    name: str
    gloss: str


WORDS: Final = {
    "ue": Word("uncorrected errors (UEs)", "ECC could not correct a word of memory; once per page and boot"),
    "kills": Word("processes killed", "by a signal, because memory they used had gone bad"),
    "kills_early_ao": Word("… while the error is handled", "SIGBUS, action optional, before anybody reads the page"),
    "kills_late_ar": Word("… at their next access", "SIGBUS, action required, once they touch the page again"),
    "kills_direct_ar": Word("… at the read that met the error", "SIGBUS, action required, straight from the read"),
    "kills_sigkill": Word("… by SIGKILL", "the kernel could not unmap the page, or did not know its address"),
    "losses": Word("processes lost", "killed by a signal, or gone when a kernel panic took the server down"),
    "panics": Word("kernel panics", "the server went down because of bad memory"),
    "io_errors": Word("I/O errors (EIO)", "fsync() reports that written data is lost"),
    "sdc": Word("silent corruptions (SDC)", "wrong data was read and nothing noticed"),
    "pages_offlined": Word("pages taken out of use", "4 KiB pages, because of their corrected errors"),
    "dimm_replacements": Word("DIMMs replaced", "memory modules exchanged, with the server down"),
    "recovery_ratio": Word("recovery ratio", "share of bad pages that the kernel's handler recovered"),
    "survival_ratio": Word(
        "UEs survived", "share after which no process ended, no data was lost, the server stayed up"
    ),
    "memory_lost_byte_years": Word("memory out of use", "per server, on average"),
    "pool_lost_byte_years": Word("huge pages lost to their pools", "per server, on average"),
}
"""What the report's tables show."""


def number(value: float, *, signed: bool = False) -> str:
    """Write a number with three digits that count, or all of a whole one above a thousand."""
    size = abs(value)
    if size == 0.0:
        return "0"
    if size >= 999.5:
        text = f"{size:,.0f}"
    elif size < 0.001:
        text = f"{size:.1e}"
    else:
        text = f"{size:.3g}"
    return f"{MINUS if value < 0.0 else '+' if signed else ''}{text}"


def interval(estimate: Estimate) -> str:
    """Write the 95 % interval, or why there is none."""
    if estimate.low is None or estimate.high is None:
        return "no interval"
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def cell(estimate: Estimate, *, signed: bool = False) -> Cell:
    """Write an estimate as a cell."""
    if estimate.value is None:
        return Cell("–")
    return Cell(number(estimate.value, signed=signed), interval(estimate))


def spoken(estimate: Estimate) -> str:
    """Write an estimate within a sentence."""
    if estimate.value is None:
        return "nothing known"
    if estimate.low is None or estimate.high is None:
        return number(estimate.value)
    return f"{number(estimate.value)} [{number(estimate.low)} to {number(estimate.high)}]"


def share(estimate: Estimate) -> Cell:
    """Write a share in per cent."""
    percent = (None if one is None else 100.0 * one for one in (estimate.value, estimate.low, estimate.high))
    found = cell(Estimate(*percent))
    return found if estimate.value is None else Cell(f"{found.text} %", found.small)


def listed(names: list[str], most: int = 4) -> str:
    """Name some things in a sentence; of many the first few."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(n: float, noun: str, plural: str = "") -> str:
    """Write a number with what it counts."""
    return f"{n:,.0f} {noun if round(n) == 1 else plural or f'{noun}s'}"


def mean_bytes(size: float) -> str:
    """Write memory with a binary unit; what is less than a byte on average is worth no digits."""
    if size < 1.0:
        return "under 1 B" if size else "0"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1024.0
    return f"{size:.3g} TiB"
