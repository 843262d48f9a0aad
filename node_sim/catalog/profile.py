"""What a kernel profile is made of: one switch for each behaviour that differs between versions.

**Models.** Every switch of the handler, the machine-check code and the interfaces, with what its values mean.

**Leaves out.** The values; ``kernels.py`` has them, with their sources.

**Assumes.** A release in parentheses is the first with the behaviour.

**Sources.** As ``kernels.py``.
"""

from __future__ import annotations

from dataclasses import dataclass


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
        free_hugetlb_tail: An error in a free hugetlb page, not in its first 4 KiB: "handled", or just "marked".
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
        filter_errno: Return value for a filtered page (5.19).
        filters_before_split: The filter is asked before a huge page is split.
        filters_used_hugetlb: It is asked for hugetlb pages in use, too.
        filter_takes_free: The injector with a filter takes free pages, too (5.18).
        corrupt_pfn: The injector "calls" the handler, "pretends" to hold the page (3.10) or "holds" it (4.18).
        injection_texts: Wording of the lines of madvise and the injector: 0, 1 (3.19 to 4.9) or 2 (4.12).
        madvise_is_ar: MADV_HWPOISON is an action-required event for the caller.
        madvise_checks_type: madvise takes the same type check as other sources.
        madvise_reports_errors: It returns the handler's error.
        has_soft_offline: Soft offline, filters and unpoison exist.
        reclaim: What reclaim does with a poisoned page that is still on its list: as with "any" page, "unmapped"
            with a hwpoison entry, or just 4 KiB pages ("small unmapped"). 6.12.0 did as with any.
        swapoff: What becomes of swap entries of a page kept in the swap cache: "mapped" again, a swap-in "error", or
            "hwpoison" entries (6.5).
        soft_already_errno: Soft offline of a poisoned page.
        soft_migration_errno: Soft offline when migration leaves pages.
        soft_texts: Wording of its log lines: 0, 1 (5.10), 2 (6.1) or 3 (6.12).
        has_enable_soft_offline: vm.enable_soft_offline exists.
        unpoison_texts: Wording of the lines of unpoison: 0 ("MCE: ..."), 1 (4.9) or 2 (6.12).
        unpoison_checks: It refuses pages that somebody holds or maps, and kernel pages (4.4).
        unpoison_refusal_errno: Unpoison that is refused.
        unpoison_bad_pfn_errno: Unpoison of a pfn that is not online memory.
        unpoison_locks: Unpoison is disabled after a real error.
        dax: Device memory has its own path.
        dax_bad_block: Code of the SIGBUS for a block of device memory that the driver knows as bad (5.10.198, 6.5).
        device_private_errno: Return value for device-private memory.
        has_guest_memfd: guest_memfd has an error hook.
        statistics: Per-node counters exist.
        trace_event: Name of the trace event; empty before there was one.
        error_once_per_descriptor: An I/O error is reported to every open descriptor.
        syncfs_reports: syncfs() reports it too.
        punch_takes_entries: A hole punched into a file takes hwpoison entries out of mappings, too (from 5.10.111 on).
        dontneed_hugetlb: MADV_DONTNEED takes hugetlb mappings (5.18).
        hugetlbfs_read: What read() of a poisoned hugetlbfs page is checked for: "none", "page" or "subpage".
        not_restartable: RIPV=0 in user mode: "panic", "must kill" or "plain" SIGBUS without the handler.
        copy_recovery: Poison read by copy-from-user: "panic", "signal" the task or "errno" only.
        copy_cow: Copy-on-write that reads poison: "panic", or "safe" (6.2, 6.1.37, 5.15.120: a873dfe1032a).
        copy_do_cow: First write to a private mapping of a file (6.12).
        copy_fork: Copy of a pinned page by fork, where there is one (5.9; safe since 6.12).
        copy_hugetlb_cow: Copy-on-write of a hugetlb page (6.4: 1cb9dc4b475c).
        copy_ksm: Copy at swap-in, ``ksm_might_need_to_copy()`` (6.2: 6b970599e807; not in 6.1.y).
        copy_ksmd: Comparison by the KSM daemon.
        copy_khugepaged: Collapse into a huge page (6.4: 98c76c9f1ef7, 12904d953364).
        copy_migration: Migration, compaction and soft offline (6.11: 060913999d7a).
        copy_coredump: Core dump (6.4: 245f09226893).
        copy_read: read() of the page cache.
        split_reads_zeros: A split looks for zeros in the bad page (b1f202060afe in 6.12 to 841a8bfcbad9 in 6.12.56).
        unrecovered: A consumer whose page was not recovered gets a "plain" SIGBUS, or BUS_MCEERR_AR with a
            "null address" (5.10).
        handles_ucna: Deferred errors reach the handler (5.6).
        keeps_records: Where records of banks wait for the handler: a "ring" that drops silently, or a "pool" (4.3).
        polls_severity: Polled records are graded by the severity rules.
        tolerant: The sysfs knob exists (gone in 5.18).
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
        panics_unrecoverable: vm.panic_on_unrecoverable_memory_failure is set: reserved, slab and page table pages
            report "kernel page" and panic (proposed in 2026, after 7.1).
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
    free_hugetlb_tail: str
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
    filter_takes_free: bool
    corrupt_pfn: str
    injection_texts: int
    madvise_is_ar: bool
    madvise_checks_type: bool
    madvise_reports_errors: bool
    has_soft_offline: bool
    reclaim: str
    swapoff: str
    soft_already_errno: int
    soft_migration_errno: int
    soft_texts: int
    has_enable_soft_offline: bool
    unpoison_texts: int
    unpoison_checks: bool
    unpoison_refusal_errno: int
    unpoison_bad_pfn_errno: int
    unpoison_locks: bool
    dax: bool
    dax_bad_block: str
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
    copy_cow: str
    copy_do_cow: str
    copy_fork: str
    copy_hugetlb_cow: str
    copy_ksm: str
    copy_ksmd: str
    copy_khugepaged: str
    copy_migration: str
    copy_coredump: str
    copy_read: str
    split_reads_zeros: bool
    unrecovered: str
    handles_ucna: bool
    keeps_records: str
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
    panics_unrecoverable: bool
    unmaps_direct: bool
