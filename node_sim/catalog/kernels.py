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
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from node_sim.errors import ConfigError

PROFILE_NAMES: Final = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")
DEFAULT_PROFILE: Final = "6.1"


@dataclass(frozen=True)
class Profile:
    """Behaviour switches of one kernel.

    Attributes:
        name: Version.
        wording: Texts of page types and log lines: 0 of 2009, 1 of 2013, 2 since 2015.
        prefix: Of every log line of the handler.
        panic_text: Of a panic for vm.memory_failure_recovery=0.
        killing_text: Log text before a signal.
        mapcount_word: What the line "failed to unmap page (...)" calls the count.
        ignored_is_error: Only Recovered gives 0, as in 2009; later Delayed does, too.
        bad_pfn: What a pfn outside memory gives: "action" line, "log" line or "pfn map" (7.1).
        offline_is_bad: A page of an offline memory block is refused like a bad pfn.
        handles_sgx: The arch hook for SGX memory exists.
        already_errno: Return value for a page that is poisoned already.
        already_line: "ignored" action line, "log" line, "failed" action line, or "log and counted" (6.12.0).
        kill_accessing: ``kill_accessing_process()`` exists.
        kap_notfound: Its return value when the task does not map the page.
        free_result: Result for a page in the buddy allocator.
        drains_pcp: Per-CPU free lists are drained first.
        freed_meanwhile: A page that becomes free during handling: "non lru", "2nd try" or "buddy".
        kernel_page: Kernel-owned pages: "non lru", "table", "unknown" or "get hwpoison".
        thp: A huge page whose split fails: "none" (no THP), "give up", "cleared", "ignored" or "killed".
        splits_file_thp: File and shmem THP are split.
        split_poisons: Splitting a huge page that page table entries map leaves hwpoison entries; nobody is told.
        minimum_order: File systems may need huge pages, which then count as not split.
        mlock_survives: PG_mlocked is still set when the state table is read, and a reference stays behind.
        truncated_errno: Return value for a truncated page.
        unmap_failure: "continue", "give up", "ignored" or "failed".
        collects_clean: Tasks are collected for clean pages, too (and signalled when forced).
        forces_on_unmap_failure: Collected tasks are signalled when unmapping fails, even if the page is clean.
        unmap_failure_signal: What they get.
        ksm: KSM pages: "left" mapped and reported, "refused silently", "refused" or "handled".
        references: Extra references: "log" only, "errno" only, "all" handlers fail, or "some" (file, swap, hugetlb).
        unknown_result: Result of ``me_unknown()``.
        keeps_shmem: A poisoned tmpfs page stays in the file.
        hugetlb: "non lru", "delayed" or "dissolved".
        hugetlb_file: A poisoned hugetlbfs page is "removed" from the file or "kept".
        gigantic: 1 GiB hugetlb pages: "as 2M" or "ignored".
        dissolve_ok: What counts as Recovered: "any", "dissolved" or "taken off".
        gigantic_taken_off: The bad page of a dissolved 1 GiB page can be taken off the free lists.
        hugetlb_again: A further bad page of a huge page: "log", "raw" (listed, counted), "raw and line" (6.12.0) or
            "lines".
        counts: The counter rises at "detection" or with each "action" line.
        hugetlb_counted_pages: Pages counted for a 2 MiB hugetlb page.
        kill_set: Collection rules, K0 ... K4.
        hugetlb_early: Address of an early signal for hugetlb: "start", "exact", or "head only" (6.12.0).
        filter_errno: Return value for a filtered page.
        filters_before_split: The filter is asked before a huge page is split.
        filters_used_hugetlb: It is asked for hugetlb pages in use, too.
        corrupt_pfn: The injector "calls" the handler, "pretends" to hold the page (3.10) or "holds" it (4.18).
        madvise_is_ar: MADV_HWPOISON is an action-required event for the caller.
        madvise_checks_type: madvise takes the same type check as other sources.
        madvise_reports_errors: It returns the handler's error.
        has_soft_offline: Soft offline, filters and unpoison exist.
        soft_already_errno: Soft offline of a poisoned page.
        soft_migration_errno: Soft offline when migration leaves pages.
        soft_texts: Wording of its log lines: 0, 1 (6.1) or 2 (6.12).
        has_enable_soft_offline: vm.enable_soft_offline exists.
        unpoison_refusal_errno: Unpoison that is refused.
        unpoison_locks: Unpoison is disabled after a real error.
        dax: Device memory has its own path.
        device_private_errno: Return value for device-private memory.
        has_guest_memfd: guest_memfd has an error hook.
        statistics: Per-node counters exist.
        trace_event: Name of the trace event; empty before there was one.
        error_once_per_descriptor: An I/O error is reported to every open descriptor.
        syncfs_reports: syncfs() reports it too.
        punch_takes_entries: A hole punched into tmpfs also takes hwpoison entries out of mappings (seen on 5.10.262).
        dontneed_hugetlb: MADV_DONTNEED takes hugetlb mappings (5.18).
        hugetlbfs_read: What read() of a poisoned hugetlbfs page is checked for: "none", "page" or "subpage".
        not_restartable: RIPV=0 in user mode: "panic", "must kill" or "plain" SIGBUS without the handler.
        copy_recovery: Poison read by copy-from-user: "panic", "signal" the task or "errno" only.
        handles_ucna: Deferred errors reach the handler.
        polls_severity: Polled records are graded by the severity rules.
        tolerant: The sysfs knob exists.
        unknown_source_text: Panic text when no CPU knows why there was a machine check.
        timeout_text: Panic text when a CPU does not answer the broadcast.
        timeout_survived_from: Value of the knob from which that is survived.
        user_needs_eipv: User mode is recognised only with EIPV.
        recoverable_code: Kernel code that survives a load of poison: "none", "safe" copies, or "copyin" as well.
        knows_seam: SEAM non-root mode is told from kernel code.
        kernel_uncorrected: An uncorrected error in kernel code is fatal by the knob "tolerant", "always", or by a row.
        amd_rules: "intel"'s table, or AMD's own of "2016" or "2022".
        rates_deferred: AMD's deferred-error interrupt grades its records (6.19); without a grade nothing is handled.
        amd_address: What makes an AMD record name a physical page: ADDRV ("valid"), "poison" only, or also "paddrv".
        ghes: Memory records of the firmware: "none" are read, "recoverable" ones reach the handler, or a corrected
            one past its threshold goes to "soft offline" as well.
        checks_address: A user load without usable address is not handed to the handler.
        unmaps_direct: A poisoned page is removed from the kernel's direct map.
    """

    name: str
    wording: int
    prefix: str
    panic_text: str
    killing_text: str
    mapcount_word: str
    ignored_is_error: bool
    bad_pfn: str
    offline_is_bad: bool
    handles_sgx: bool
    already_errno: int
    already_line: str
    kill_accessing: bool
    kap_notfound: int
    free_result: str
    drains_pcp: bool
    freed_meanwhile: str
    kernel_page: str
    thp: str
    splits_file_thp: bool
    split_poisons: bool
    minimum_order: bool
    mlock_survives: bool
    truncated_errno: int
    unmap_failure: str
    collects_clean: bool
    forces_on_unmap_failure: bool
    unmap_failure_signal: str
    ksm: str
    references: str
    unknown_result: str
    keeps_shmem: bool
    hugetlb: str
    hugetlb_file: str
    gigantic: str
    dissolve_ok: str
    gigantic_taken_off: bool
    hugetlb_again: str
    counts: str
    hugetlb_counted_pages: int
    kill_set: str
    hugetlb_early: str
    filter_errno: int
    filters_before_split: bool
    filters_used_hugetlb: bool
    corrupt_pfn: str
    madvise_is_ar: bool
    madvise_checks_type: bool
    madvise_reports_errors: bool
    has_soft_offline: bool
    soft_already_errno: int
    soft_migration_errno: int
    soft_texts: int
    has_enable_soft_offline: bool
    unpoison_refusal_errno: int
    unpoison_locks: bool
    dax: bool
    device_private_errno: int
    has_guest_memfd: bool
    statistics: bool
    trace_event: str
    error_once_per_descriptor: bool
    syncfs_reports: bool
    punch_takes_entries: bool
    dontneed_hugetlb: bool
    hugetlbfs_read: str
    not_restartable: str
    copy_recovery: str
    handles_ucna: bool
    polls_severity: bool
    tolerant: bool
    unknown_source_text: str
    timeout_text: str
    timeout_survived_from: int
    user_needs_eipv: bool
    recoverable_code: str
    knows_seam: bool
    kernel_uncorrected: str
    amd_rules: str
    rates_deferred: bool
    amd_address: str
    ghes: str
    checks_address: bool
    unmaps_direct: bool


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
    "minimum_order": (_N, _N, _N, _N, _N, _N, _Y),
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
    "corrupt_pfn": ("calls", "pretends", "holds", "calls", "calls", "calls", "calls"),
    "madvise_is_ar": (_N, _N, _N, _N, _N, _Y, _Y),
    "madvise_checks_type": (_N, _N, _N, _N, _N, _N, _Y),
    "madvise_reports_errors": (_N, _N, _Y, _Y, _Y, _Y, _Y),
    "has_soft_offline": (_N, _Y, _Y, _Y, _Y, _Y, _Y),
    "soft_already_errno": (-16, -16, -16, 0, 0, 0, 0),
    "soft_migration_errno": (-5, -5, -5, -16, -16, -16, -16),
    "soft_texts": (0, 0, 0, 1, 1, 2, 2),
    "has_enable_soft_offline": (_N, _N, _N, _N, _N, _Y, _Y),
    "unpoison_refusal_errno": (0, 0, 0, 0, -16, -16, -16),
    "unpoison_locks": (_N, _N, _N, _N, _Y, _Y, _Y),
    "dax": (_N, _N, _N, _Y, _Y, _Y, _Y),
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
    "handles_ucna": (_N, _N, _N, _Y, _Y, _Y, _Y),
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
    "unmaps_direct": (_N, _N, _Y, _Y, _Y, _Y, _Y),
}

CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "already_line": ("log and counted",),
    "kap_notfound": (-14,),
    "dissolve_ok": ("dissolved",),
    "hugetlb_again": ("raw and line",),
    "hugetlb_early": ("head only",),
}
"""Values that kernels between the columns have: 6.1.20 (``dissolved``, -EFAULT) and 6.12.0 (the rest)."""


def switch_value(switch: str, column: int) -> Any:
    """Return the value of a switch in a column of the table."""
    values = SWITCHES[switch]
    return values[min(column, len(values) - 1)]


PROFILES: Final[dict[str, Profile]] = {
    name: Profile(name=name, **{switch: switch_value(switch, column) for switch in SWITCHES})
    for column, name in enumerate(PROFILE_NAMES)
}
"""The switch table by profile name."""


def has_since(profile: Profile, first: str) -> bool:
    """Whether a profile is not older than another, by name; for what user space sees and no switch decides."""
    return PROFILE_NAMES.index(profile.name) >= PROFILE_NAMES.index(first)


def find_profile(name: str, switches: Mapping[str, str] | None = None) -> Profile:
    """Return a profile, with some switches set otherwise.

    Args:
        name: Of the profile.
        switches: Texts of values by switch, for kernels between the columns.

    Raises:
        ConfigError: The name, a switch or a value is not known; all mistakes at once.
    """
    problems = []
    if name not in PROFILES:
        problems.append(f"--kernel {name}: expected one of {', '.join(PROFILE_NAMES)}")
    known = {field.name for field in fields(Profile)} - {"name"}
    changes = {}
    for switch, text in (switches or {}).items():
        if switch not in known:
            problems.append(f"--switch {switch}: not a switch, expected one of {', '.join(sorted(known))}")
            continue
        values = dict.fromkeys((*SWITCHES[switch], *CHOICES.get(switch, ())))
        found = [value for value in values if str(value) == text]
        if not found:
            allowed = ", ".join(str(value) for value in values)
            problems.append(f"--switch {switch}={text}: expected one of {allowed}")
        changes.update(dict.fromkeys([switch], found[0]) if found else {})
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(PROFILES[name], **changes)
