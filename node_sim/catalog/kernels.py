"""Kernel profiles: the behaviour switches of the hwpoison code by version, as data.

**Models.** Seven kernels from the first with hwpoison (2.6.32) to 7.1, one column each. Where a profile's stable
series was recorded, the recorded kernel is meant: 6.1 is 6.1.192, 6.12 is 6.12.100. Behaviour of other kernels of a
series is a value of a switch that no column uses (6.12.0: ``already_line="log and counted"``, ...).

**Leaves out.** Vendor kernels, which mix columns.

**Assumes.** CONFIG_TRANSPARENT_HUGEPAGE and CONFIG_HUGETLBFS where the version has them.

**Sources.** mm/memory-failure.c, mm/madvise.c, mm/hwpoison-inject.c, arch/x86/kernel/cpu/mce/core.c and amd.c,
drivers/acpi/apei/ghes.c at 2.6.32, 3.10.105, 4.18, 5.10.7, 6.1.192, 6.12.100 and 7.1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from node_sim.catalog.profile import Profile
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

PROFILE_NAMES: Final = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")
DEFAULT_PROFILE: Final = "6.1"


_N, _Y = False, True
_MCE, _MF = "MCE {pfn:#x}: ", "Memory failure: {pfn:#x}: "
_TRAP, _PANIC = "Memory failure from trap 18 on page {pfn:x}", "Memory failure on page {pfn:x}"
_EARLY = "Killing {task} early due to hardware memory corruption"
_KILLING = "Killing {task} due to hardware memory corruption"
_SENDING = "Sending SIGBUS to {task} due to hardware memory corruption"
_OLD_SOURCE = "Machine check from unknown source"
_OLD_TIMEOUT = "Timeout synchronizing machine check over CPUs"
_TIMEOUT = "Timeout: Not all CPUs entered broadcast exception handler"
_RAS, _OWN = "ras:memory_failure_event", "memory_failure:memory_failure_event"

# One row per switch, one column per profile in the order of PROFILE_NAMES; the last value holds for all newer profiles,
# so a new one needs its name and the values that it changes. A switch that cannot matter in a profile (an errno of
# something that does not exist there) repeats its neighbour.
SWITCHES: Final[dict[str, tuple[Any, ...]]] = {
    "wording": (0, 1, 2, 2, 2, 2, 2),
    "prefix": (_MCE, _MCE, _MF, _MF, _MF, _MF, _MF),
    "panic_text": (_TRAP, _TRAP, _PANIC, _PANIC, _PANIC, _PANIC, _PANIC),
    "killing_text": (_EARLY, _KILLING, _KILLING, _SENDING, _SENDING, _SENDING, _SENDING),
    "mapcount_word": ("mapcount",) * 5 + ("folio mapcount",) * 2,
    "ignored_is_error": (_Y, _N, _N, _N, _N, _N, _N),
    "bad_pfn": ("action", "log", "log", "log", "log", "log", "pfn map"),
    "offline_is_bad": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "handles_sgx": (_N, _N, _N, _N, _Y, _Y, _Y),
    "already_errno": (0, 0, 0, 0, -133, -133, -133),
    "already_line": ("ignored", "log", "log", "log", "log", "failed", "failed"),
    "kill_accessing": (_N, _N, _N, _N, _Y, _Y, _Y),
    "kap_notfound": (0, 0, 0, 0, 0, 0, 0),
    "free_result": ("Ignored", "Delayed", "Delayed", "Delayed", "Recovered", "Recovered", "Recovered"),
    "drains_pcp": (_N, _N, _N, _N, _Y, _Y, _Y),
    "freed_meanwhile": ("non lru", "2nd try", "2nd try", "2nd try", "buddy", "buddy", "buddy"),
    "kernel_page": ("non lru", "non lru", "table", "table", "unknown", "get hwpoison", "get hwpoison"),
    "thp": ("none", "give up", "cleared", "ignored", "ignored", "killed", "killed"),
    "splits_file_thp": (_N, _N, _N, _N, _Y, _Y, _Y),
    "split_poisons": (_N, _N, _N, _N, _Y, _Y, _Y),
    "mlock_survives": (_Y, _Y, _N, _N, _N, _N, _N),
    "truncated_errno": (0, -16, -16, -16, -16, -16, -16),
    "unmap_failure": ("continue", "give up", "ignored", "ignored", "ignored", "failed", "failed"),
    "collects_clean": (_N, _N, _N, _N, _Y, _Y, _Y),
    "forces_on_unmap_failure": (_N, _N, _N, _N, _Y, _Y, _Y),
    "unmap_failure_signal": ("SIGKILL", "SIGKILL", "SIGKILL", "SIGKILL", "SIGKILL", "SIGBUS", "SIGBUS"),
    "ksm": ("left", "refused silently", "refused", "refused", "refused", "handled", "handled"),
    "references": ("log", "errno", "all", "all", "some", "some", "some"),
    "unknown_result": ("Failed", "Failed", "Failed", "Failed", "Failed", "Ignored", "Ignored"),
    "keeps_shmem": (_N, _N, _N, _N, _Y, _Y, _Y),
    "hugetlb": ("non lru", "delayed", "dissolved", "dissolved", "dissolved", "dissolved", "dissolved"),
    "free_hugetlb_tail": ("handled", "handled", "marked", "marked", "handled", "handled", "handled"),
    "hugetlb_file": ("kept", "kept", "removed", "removed", "kept", "kept", "kept"),
    "gigantic": ("as 2M", "as 2M", "ignored", "ignored", "as 2M", "as 2M", "as 2M"),
    "dissolve_ok": ("any", "any", "any", "any", "taken off", "taken off", "taken off"),
    "gigantic_taken_off": (_N, _N, _N, _N, _N, _Y, _Y),
    "hugetlb_again": ("log", "log", "log", "log", "raw", "lines", "lines"),
    "counts": ("detection", "detection", "detection", "detection", "action", "action", "action"),
    "hugetlb_counted_pages": (1, 512, 1, 1, 1, 1, 1),
    "kill_set": ("K0", "K1b", "K2", "K3", "K4", "K4", "K4"),
    "hugetlb_early": ("start", "start", "start", "start", "start", "exact", "exact"),
    "filter_errno": (0, 0, 0, 0, -95, -95, -95),
    "filters_before_split": (_N, _N, _N, _N, _N, _Y, _Y),
    "filters_used_hugetlb": (_Y, _Y, _N, _N, _Y, _Y, _Y),
    "filter_takes_free": (_N, _N, _N, _N, _Y, _Y, _Y),
    "corrupt_pfn": ("calls", "pretends", "holds", "calls", "calls", "calls", "calls"),
    "injection_texts": (0, 0, 2, 2, 2, 2, 2),
    "madvise_is_ar": (_N, _N, _N, _N, _N, _Y, _Y),
    "madvise_checks_type": (_N, _N, _N, _N, _N, _N, _Y),
    "madvise_reports_errors": (_N, _N, _Y, _Y, _Y, _Y, _Y),
    "has_soft_offline": (_N, _Y, _Y, _Y, _Y, _Y, _Y),
    "reclaim": ("any", "any", "any", "any", "any", "unmapped", "small unmapped"),
    "swapoff": ("mapped", "mapped", "mapped", "mapped", "error", "hwpoison", "hwpoison"),
    "soft_already_errno": (-16, -16, -16, 0, 0, 0, 0),
    "soft_migration_errno": (-5, -5, -5, -16, -16, -16, -16),
    "soft_texts": (0, 0, 0, 1, 2, 3, 3),
    "has_enable_soft_offline": (_N, _N, _N, _N, _N, _Y, _Y),
    "unpoison_texts": (0, 0, 1, 1, 1, 2, 2),
    "unpoison_checks": (_N, _N, _Y, _Y, _Y, _Y, _Y),
    "unpoison_refusal_errno": (0, 0, 0, 0, -16, -16, -16),
    "unpoison_bad_pfn_errno": (-6, -6, -6, -5, -5, -5, -5),
    "unpoison_locks": (_N, _N, _N, _N, _Y, _Y, _Y),
    "dax": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "dax_bad_block": (*["BUS_ADRERR"] * 5, "BUS_MCEERR_AR", "BUS_MCEERR_AR"),
    "device_private_errno": (-16, -16, -16, -16, -6, -6, -6),
    "has_guest_memfd": (_N, _N, _N, _N, _N, _Y, _Y),
    "statistics": (_N, _N, _N, _N, _N, _Y, _Y),
    "trace_event": ("", "", _RAS, _RAS, _RAS, _RAS, _OWN),
    "error_once_per_descriptor": (_N, _N, _Y, _Y, _Y, _Y, _Y),
    "syncfs_reports": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "punch_takes_entries": (_N, _N, _N, _Y, _N, _N, _N),
    "dontneed_hugetlb": (_N, _N, _N, _N, _Y, _Y, _Y),
    "hugetlbfs_read": ("none", "none", "none", "none", "page", "subpage", "subpage"),
    "not_restartable": ("panic", "must kill", "plain", "plain", "plain", "must kill", "must kill"),
    "copy_recovery": ("panic", "panic", "panic", "signal", "errno", "errno", "errno"),
    # Which copies by the kernel survive poison in what they read: "none" where there is no such copy.
    "copy_cow": ("panic", "panic", "panic", "panic", "safe", "safe", "safe"),
    "copy_do_cow": ("panic", "panic", "panic", "panic", "panic", "safe", "safe"),
    "copy_fork": ("none", "none", "none", "panic", "panic", "safe", "safe"),
    "copy_hugetlb_cow": ("panic", "panic", "panic", "panic", "panic", "safe", "safe"),
    "copy_ksm": ("none", "panic", "panic", "panic", "panic", "safe", "safe"),
    "copy_ksmd": ("panic",) * 7,
    "copy_khugepaged": ("none", "panic", "panic", "panic", "panic", "safe", "safe"),
    "copy_migration": ("panic", "panic", "panic", "panic", "panic", "safe", "safe"),
    "copy_coredump": ("panic", "panic", "panic", "panic", "panic", "safe", "safe"),
    "copy_read": ("panic",) * 7,
    "split_reads_zeros": (_N, _N, _N, _N, _N, _N, _N),
    "unrecovered": ("plain", "plain", "plain", "null address", "plain", "plain", "plain"),
    "handles_ucna": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "keeps_records": ("ring", "ring", "pool", "pool", "pool", "pool", "pool"),
    "polls_severity": (_N, _N, _Y, _Y, _Y, _Y, _Y),
    "tolerant": (_Y, _Y, _Y, _Y, _N, _N, _N),
    "unknown_source_text": (_OLD_SOURCE, _OLD_SOURCE, *[f"Fatal m{_OLD_SOURCE[1:]}"] * 5),
    "timeout_text": (_OLD_TIMEOUT, _OLD_TIMEOUT, *[_TIMEOUT] * 5),
    "timeout_survived_from": (1, 1, 2, 2, 4, 4, 4),
    "user_needs_eipv": (_Y, _N, _N, _N, _N, _N, _N),
    "recoverable_code": ("none", "none", "safe", "copyin", "copyin", "copyin", "copyin"),
    "knows_seam": (_N, _N, _N, _N, _N, _Y, _Y),
    "kernel_uncorrected": ("tolerant", "tolerant", "tolerant", "tolerant", "always", "row", "row"),
    "amd_rules": ("intel", "intel", "2016", "2016", "2022", "2022", "2022"),
    "rates_deferred": (_N, _N, _N, _N, _N, _N, _Y),
    "amd_address": ("valid", "valid", "valid", "valid", "valid", "poison", "paddrv"),
    "ghes": ("none", "recoverable", *["soft offline"] * 5),
    "checks_address": (_N, _N, _N, _N, _N, _Y, _Y),
    "panics_unrecoverable": (_N, _N, _N, _N, _N, _N, _N),
    "unmaps_direct": (_N, _N, _Y, _Y, _Y, _Y, _Y),
}

CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "already_line": ("log and counted",),
    "kap_notfound": (-14,),
    "split_reads_zeros": (True,),
    "injection_texts": (1,),
    "panics_unrecoverable": (True,),
    "dissolve_ok": ("dissolved",),
    "hugetlb_again": ("raw and line",),
    "hugetlb_early": ("head only",),
}
"""Values that other kernels have: 4.2 to 4.9 (``injection_texts``), 6.1.20 (``dissolved``, -EFAULT), 6.12.0 (most), and
the proposal behind ``panics_unrecoverable``."""


def switch_value(switch: str, column: int) -> Any:
    """Return the value of a switch in a column of the table."""
    values = SWITCHES[switch]
    return values[min(column, len(values) - 1)]


PROFILES: Final[dict[str, Profile]] = {
    name: Profile(name=name, **{switch: switch_value(switch, column) for switch in SWITCHES})
    for column, name in enumerate(PROFILE_NAMES)
}
"""The switch table by profile name."""


def switches_of(profile: str | Profile) -> Profile:
    """Return a profile, given itself or its name."""
    return profile if isinstance(profile, Profile) else PROFILES[profile]


def has_since(profile: Profile, first: str) -> bool:
    """Whether a profile is not older than another, by name; for what user space sees and no switch decides."""
    return PROFILE_NAMES.index(profile.name) >= PROFILE_NAMES.index(first)


RELEASES: Final[dict[str, tuple[str, ...]]] = {
    "handles_ucna": ("5.6",),
    "filter_errno": ("5.19",),
    "filter_takes_free": ("5.18",),
    "swapoff": ("6.5",),
    "unpoison_texts": ("4.9", "6.12"),
    "unpoison_checks": ("4.4",),
    "dax_bad_block": ("6.5",),
    "dontneed_hugetlb": ("5.18",),
    "copy_do_cow": ("6.12",),
    "copy_fork": ("5.9", "6.12"),
    "copy_hugetlb_cow": ("6.4",),
    "copy_ksm": ("6.2",),
    "copy_khugepaged": ("6.4",),
    "copy_migration": ("6.11",),
    "copy_coredump": ("6.4",),
    "keeps_records": ("4.3",),
    "tolerant": ("5.18",),
    "rates_deferred": ("6.19",),
}
"""First releases with the value of the next column, of the switches for which ``profile.py`` names one."""


LIST = "hwpoison-fleet inject --list"
"""Command that shows all names about kernels and pages."""
_DIGITS_MAX = 9
"""Of each number of a release; Python reads a few thousand and raises at more."""


def _version(name: str) -> tuple[int, ...] | None:
    """Return a release as numbers that can be compared; None if the name is none."""
    parts = name.split(".")
    known = all(part.isdecimal() and len(part) <= _DIGITS_MAX for part in parts)
    return tuple(int(part) for part in parts) if known else None


def _value_at(switch: str, version: tuple[int, ...], older: int) -> Any:
    """Return the value of a switch in a release between a column and the next; None if that is not known."""
    low, high = (_version(PROFILE_NAMES[column]) or () for column in (older, older + 1))
    changes = [found for found in map(_version, RELEASES.get(switch, ())) if found and low < found <= high]
    return switch_value(switch, older + (version >= changes[0])) if changes else None


def _place(name: str) -> tuple[int, bool] | None:
    """Return the column nearest to a release, and whether it lies between that and the next; None of no release.

    One that lies between is no release of the series of a column.
    """
    version = _version(name)
    if version is None:
        return None
    columns = [known or () for known in map(_version, PROFILE_NAMES)]
    series = [column for column, known in enumerate(columns) if version[: len(known)] == known]
    below = [column for column, known in enumerate(columns) if known < version]
    return (series or below or [0])[-1], bool(not series and below and len(below) < len(columns))


def kernel_advice(name: str) -> str:
    """Say which profiles are nearest to a release that has none, and in what these differ; nothing of other names."""
    place = _place(name)
    if place is None:
        return ""
    column, between = place
    if not between:
        return f" (the nearest is {PROFILE_NAMES[column]})"
    known, open_ = kernel_differences(name)
    n = f"{len(known) + len(open_)} switches that differ, {len(known)} of them known of {name}"
    both = f"it lies between {PROFILE_NAMES[column]} and {PROFILE_NAMES[column + 1]}"
    return f" ({both}, choose one and set the {n}: see '{LIST} --kernel {name}')"


def kernel_differences(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the switches in which the profiles differ that a release lies between, with its values as texts.

    Returns:
        Those whose value in the release is known, and those of which it may have either value; none of a release that
        does not lie between profiles.
    """
    known: dict[str, str] = {}
    open_: dict[str, str] = {}
    column, between = _place(name) or (0, False)
    for switch in SWITCHES if between else ():
        values = [switch_value(switch, column + step) for step in (0, 1)]
        value = _value_at(switch, _version(name) or (), column)
        if values[0] != values[1] and value is not None:
            known[switch] = repr(value)
        elif values[0] != values[1]:
            open_[switch] = f"{values[0]!r} or {values[1]!r}"
    return known, open_


def read_switches(switches: Mapping[str, str], where: str = "--switch ") -> dict[str, Any]:
    """Return the values that texts stand for; a boolean may be written as TOML does.

    Args:
        switches: Texts of values by switch.
        where: Stands before the name of a switch in a message.

    Raises:
        ConfigError: A switch or a value is not known; all mistakes at once, one a line.
    """
    problems, changes = [], {}
    for switch, text in switches.items():
        if switch not in SWITCHES:
            problems.append(f"{where}{switch}: not a switch, {one_of(switch, sorted(SWITCHES), LIST)}")
            continue
        values = dict.fromkeys((*SWITCHES[switch], *CHOICES.get(switch, ())))
        found = [
            value for value in values if text == str(value) or (isinstance(value, bool) and text == str(value).lower())
        ]
        if found:
            changes[switch] = found[0]
        else:
            problems.append(f"{where}{switch}={text}: {one_of(text, values)}")
    if problems:
        raise ConfigError("\n".join(problems))
    return changes


def find_profile(name: str, switches: Mapping[str, str] | None = None) -> Profile:
    """Return a profile, with some switches set otherwise.

    Args:
        name: Of the profile.
        switches: Texts of values by switch, for kernels between the columns.

    Raises:
        ConfigError: The name, a switch or a value is not known; all mistakes at once.
    """
    problems, changes = [], {}
    if name not in PROFILES:
        problems.append(f"--kernel {name}: {one_of(name, PROFILE_NAMES, advice=kernel_advice(name))}")
    try:
        changes = read_switches(switches or {})
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(PROFILES[name], **changes)
