"""Kernel profiles: the behaviour switches of ``memory_failure()`` by version, as data.

**Models.** Seven kernels from the first with hwpoison (2.6.32) to 7.1, one column each. Where a profile's stable
series was recorded, the recorded kernel is meant: 6.1 is 6.1.192, 6.12 is 6.12.100.

**Leaves out.** Vendor kernels, which mix columns.

**Assumes.** CONFIG_TRANSPARENT_HUGEPAGE and CONFIG_HUGETLBFS where the version has them.

**Sources.** mm/memory-failure.c, mm/madvise.c, mm/hwpoison-inject.c at 2.6.32, 3.10.105, 4.18, 5.10.7, 6.1.192,
6.12.100 and 7.1.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

PROFILE_NAMES: Final = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")


@dataclass(frozen=True)
class Profile:
    """Behaviour switches of one kernel.

    Attributes:
        name: Version.
        era: Wording of page types: 0 2009 ("LRU"), 1 2013 ("dirty LRU"), 2 since 4.2 ("dirty LRU page").
        prefix: Of every log line of the handler.
        trap_number: The panic text names a trap number.
        bad_pfn: What a pfn outside memory gives: "action", "log" or "pfn map".
        offline_is_bad: A page of an offline memory block is refused like a bad pfn.
        already_errno: Return value for a page that is poisoned already.
        already_line: "ignored" action line, "log" only, or "failed" action line (not counted).
        kill_accessing: ``kill_accessing_process()`` exists.
        not_found_errno: Its return value when the task does not map the page.
        free: Result for a page in the buddy allocator.
        drains_pcp: Per-CPU free lists are drained first.
        kernel_page: Kernel-owned pages: "non lru", "table", "unknown" or "get hwpoison".
        thp: A huge page whose split fails: "none" (no THP), "give up", "cleared", "ignored" or "killed".
        splits_file_thp: File and shmem THP are split.
        unmap_failure: "continue", "give up", "ignored" or "failed".
        handles_ksm: KSM pages are unmapped and their users told.
        references: Extra references: "log", "errno", "failed" (all handlers) or "some" (file, swap, hugetlb).
        keeps_shmem: A poisoned tmpfs page stays in the file.
        keeps_hugetlb: A poisoned hugetlbfs page stays in the file.
        hugetlb: "non lru", "delayed" or "dissolved".
        gigantic: 1 GiB hugetlb pages: "as 2M", "ignored" or "handled".
        gigantic_dissolves: A 1 GiB page can be dissolved and its bad page taken off.
        raw_list: hugetlb pages keep a list of their bad 4 KiB pages.
        second_huge_line: A further bad page of a huge page gives the action line "huge page".
        counts: "detection" or "action".
        hugetlb_counted_pages: Pages counted for a 2 MiB hugetlb page.
        kill_set: Collection rules, K0 ... K4.
        forces_on_unmap_failure: Collected tasks are killed when unmapping fails, even if the page is clean.
        unmap_failure_sigkill: They get SIGKILL instead of SIGBUS.
        killing_text: Log text before a signal.
        filter_errno: Return value for a filtered page.
        corrupt_pfn_skips_free: The injector itself ignores free pages.
        has_soft_offline: Soft offline, filters and unpoison exist.
        soft_already_errno: Soft offline of a poisoned page.
        soft_migration_errno: Soft offline when migration leaves pages.
        has_enable_soft_offline: vm.enable_soft_offline exists.
        unpoison_refusal_errno: Unpoison that is refused.
        unpoison_lock: Unpoison is disabled after a real error.
        madvise_is_ar: MADV_HWPOISON is an action-required event for the caller.
        madvise_checks_type: madvise takes the same type check as other sources.
        exact_hugetlb_address: An early signal for hugetlb names the bad 4 KiB page.
        dax: Device memory has its own path.
        error_once_per_descriptor: An I/O error is reported to every open descriptor.
        syncfs_reports: syncfs() reports it too.
        hugetlbfs_read_checks: "none", "page" (whole huge page) or "subpage".
    """

    name: str
    era: int
    prefix: str
    trap_number: bool
    bad_pfn: str
    offline_is_bad: bool
    already_errno: int
    already_line: str
    kill_accessing: bool
    not_found_errno: int
    free: str
    drains_pcp: bool
    kernel_page: str
    thp: str
    splits_file_thp: bool
    unmap_failure: str
    handles_ksm: bool
    references: str
    keeps_shmem: bool
    keeps_hugetlb: bool
    hugetlb: str
    gigantic: str
    gigantic_dissolves: bool
    raw_list: bool
    second_huge_line: bool
    counts: str
    hugetlb_counted_pages: int
    kill_set: str
    forces_on_unmap_failure: bool
    unmap_failure_sigkill: bool
    killing_text: str
    filter_errno: int
    corrupt_pfn_skips_free: bool
    has_soft_offline: bool
    soft_already_errno: int
    soft_migration_errno: int
    has_enable_soft_offline: bool
    unpoison_refusal_errno: int
    unpoison_lock: bool
    madvise_is_ar: bool
    madvise_checks_type: bool
    exact_hugetlb_address: bool
    dax: bool
    error_once_per_descriptor: bool
    syncfs_reports: bool
    hugetlbfs_read_checks: str


_N, _Y = False, True
_MCE, _MF = "MCE {pfn:#x}: ", "Memory failure: {pfn:#x}: "
_EARLY = "Killing {task} early due to hardware memory corruption"
_KILLING = "Killing {task} due to hardware memory corruption"
_SENDING = "Sending SIGBUS to {task} due to hardware memory corruption"

# One row per switch, one column per profile in the order of PROFILE_NAMES.
_SWITCHES: Final[dict[str, tuple[Any, ...]]] = {
    "era": (0, 1, 2, 2, 2, 2, 2),
    "prefix": (_MCE, _MCE, _MF, _MF, _MF, _MF, _MF),
    "trap_number": (_Y, _Y, _N, _N, _N, _N, _N),
    "bad_pfn": ("action", "log", "log", "log", "log", "log", "pfn map"),
    "offline_is_bad": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "already_errno": (0, 0, 0, 0, -133, -133, -133),
    "already_line": ("ignored", "log", "log", "log", "log", "failed", "failed"),
    "kill_accessing": (_N, _N, _N, _N, _Y, _Y, _Y),
    "not_found_errno": (0, 0, 0, 0, 0, 0, 0),
    "free": ("Ignored", "Delayed", "Delayed", "Delayed", "Recovered", "Recovered", "Recovered"),
    "drains_pcp": (_N, _N, _N, _N, _Y, _Y, _Y),
    "kernel_page": ("non lru", "non lru", "table", "table", "unknown", "get hwpoison", "get hwpoison"),
    "thp": ("none", "give up", "cleared", "ignored", "ignored", "killed", "killed"),
    "splits_file_thp": (_N, _N, _N, _N, _Y, _Y, _Y),
    "unmap_failure": ("continue", "give up", "ignored", "ignored", "ignored", "failed", "failed"),
    "handles_ksm": (_N, _N, _N, _N, _N, _Y, _Y),
    "references": ("log", "errno", "failed", "failed", "some", "some", "some"),
    "keeps_shmem": (_N, _N, _N, _N, _Y, _Y, _Y),
    "keeps_hugetlb": (_N, _Y, _N, _N, _Y, _Y, _Y),
    "hugetlb": ("non lru", "delayed", "dissolved", "dissolved", "dissolved", "dissolved", "dissolved"),
    "gigantic": ("as 2M", "as 2M", "ignored", "ignored", "handled", "handled", "handled"),
    "gigantic_dissolves": (_Y, _Y, _Y, _Y, _N, _Y, _Y),
    "raw_list": (_N, _N, _N, _N, _Y, _Y, _Y),
    "second_huge_line": (_N, _N, _N, _N, _N, _Y, _Y),
    "counts": ("detection", "detection", "detection", "detection", "action", "action", "action"),
    "hugetlb_counted_pages": (1, 512, 1, 1, 1, 1, 1),
    "kill_set": ("K0", "K1b", "K2", "K3", "K4", "K4", "K4"),
    "forces_on_unmap_failure": (_N, _N, _N, _N, _Y, _Y, _Y),
    "unmap_failure_sigkill": (_Y, _Y, _Y, _Y, _Y, _N, _N),
    "killing_text": (_EARLY, _KILLING, _KILLING, _SENDING, _SENDING, _SENDING, _SENDING),
    "filter_errno": (0, 0, 0, 0, -95, -95, -95),
    "corrupt_pfn_skips_free": (_N, _N, _Y, _N, _N, _N, _N),
    "has_soft_offline": (_N, _Y, _Y, _Y, _Y, _Y, _Y),
    "soft_already_errno": (0, -16, -16, 0, 0, 0, 0),
    "soft_migration_errno": (-5, -5, -5, -5, -16, -16, -16),
    "has_enable_soft_offline": (_N, _N, _N, _N, _N, _Y, _Y),
    "unpoison_refusal_errno": (0, 0, 0, 0, -16, -16, -16),
    "unpoison_lock": (_N, _N, _N, _N, _Y, _Y, _Y),
    "madvise_is_ar": (_N, _N, _N, _N, _N, _Y, _Y),
    "madvise_checks_type": (_N, _N, _N, _N, _N, _N, _Y),
    "exact_hugetlb_address": (_N, _N, _N, _N, _N, _Y, _Y),
    "dax": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "error_once_per_descriptor": (_N, _N, _Y, _Y, _Y, _Y, _Y),
    "syncfs_reports": (_N, _N, _N, _Y, _Y, _Y, _Y),
    "hugetlbfs_read_checks": ("none", "none", "none", "none", "page", "subpage", "subpage"),
}

PROFILES: Final[dict[str, Profile]] = {
    name: Profile(name=name, **{switch: values[column] for switch, values in _SWITCHES.items()})
    for column, name in enumerate(PROFILE_NAMES)
}
"""The switch table by profile name."""
