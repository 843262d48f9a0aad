"""What becomes of poison that the kernel itself reads, and of poison that is read again: a second reading.

Typed by hand from the sources named in each row, one cell per profile; shares nothing with the model. Trees read:
2.6.32, 3.10.105, 4.18, 5.10.198, 6.1.158 (COW: 6.1.37), 6.12.33 and 7.1.5.
"""

from __future__ import annotations

PROFILES = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")

PANIC, ABSENT = "panic", "no such copy"
FAULT = "SIGBUS BUS_MCEERR_AR to the writer, error queued"
FORK = "fork fails with ENOMEM, error queued"
ROLLED_BACK = "nobody is told, error queued"
STAYS = "EBUSY, error queued"
CUT_SHORT = "core file cut short, nothing queued"

# event -> page state, cells, source.
COPIES = {
    # mm/memory.c __wp_page_copy_user(): a873dfe1032a, d302c2398ba2 in 6.2; 6.1.37 and 5.15.120, not 5.10.y
    "ar-cow": ("anonymous", (PANIC, PANIC, PANIC, PANIC, FAULT, FAULT, FAULT)),
    # mm/memory.c do_cow_fault(): copy_mc_user_highpage() in 6.12, absent in 6.11.11
    "ar-do-cow": ("file-clean", (PANIC, PANIC, PANIC, PANIC, PANIC, FAULT, FAULT)),
    # mm/memory.c copy_present_page(): exists since 5.9; kernel/fork.c dup_mm() makes ENOMEM of -EHWPOISON
    "ar-fork": ("anonymous-pinned", (ABSENT, ABSENT, ABSENT, PANIC, PANIC, FORK, FORK)),
    # mm/hugetlb.c hugetlb_wp(): 1cb9dc4b475c in 6.4
    "ar-hugetlb-cow": ("hugetlb", (PANIC, PANIC, PANIC, PANIC, PANIC, FAULT, FAULT)),
    # mm/ksm.c ksm_might_need_to_copy(): 6b970599e807 in 6.2, not in 6.1.158; 2.6.32 does not swap merged pages
    "ar-ksm": ("swap-clean-unmapped", (ABSENT, PANIC, PANIC, PANIC, PANIC, FAULT, FAULT)),
    # mm/ksm.c calc_checksum(), memcmp_pages(): plain loads in every tree
    "ar-ksmd": ("anonymous", (PANIC,) * 7),
    # mm/khugepaged.c: 98c76c9f1ef7, 12904d953364 in 6.4, queued since 6.11; no huge pages in 2.6.32
    "ar-khugepaged": ("anonymous", (ABSENT, PANIC, PANIC, PANIC, PANIC, ROLLED_BACK, ROLLED_BACK)),
    # mm/migrate.c __migrate_folio(), mm/util.c folio_mc_copy(): 060913999d7a in 6.11
    "ar-migration": ("file-dirty", (PANIC, PANIC, PANIC, PANIC, PANIC, STAYS, STAYS)),
    # fs/coredump.c dump_user_range(): 245f09226893 in 6.4, a bounce page since 6.8
    "ar-coredump": ("anonymous", (PANIC, PANIC, PANIC, PANIC, PANIC, CUT_SHORT, CUT_SHORT)),
    # mm/filemap.c copy_page_to_iter(): the source is a kernel address, is_copy_from_user() is false in every tree
    "ar-read": ("file-clean", (PANIC,) * 7),
}

AR, NULL_AR, PLAIN = "BUS_MCEERR_AR", "BUS_MCEERR_AR without address", "SI_KERNEL"
LOOP, SILENT = "machine checks without end", "no signal"

# Consumer of a page that the handler cannot unmap: first load, and the load after the handler of the signal returned.
# arch/x86 do_machine_check(), kill_me_maybe() (5.8), mce_notify_process() before; memory_failure() of a page that
# carries the mark returns 0 up to 5.13. A split that fails takes the mark away in 4.18.
LOADS = {
    "thp-unsplittable": (
        None,  # no huge pages
        (PLAIN, LOOP),
        (PLAIN, PLAIN),
        (NULL_AR, LOOP),
        (PLAIN, AR),
        (AR, AR),
        (AR, AR),
    ),
    "ksm": (PANIC, (PLAIN, LOOP), (PLAIN, LOOP), (NULL_AR, LOOP), (PLAIN, AR), (AR, AR), (AR, AR)),
    "zero": (PANIC, (PLAIN, LOOP), (PLAIN, LOOP), (NULL_AR, LOOP), (PLAIN, AR), (PLAIN, AR), (PLAIN, AR)),
}

# A demand load that the memory controller reports as well. uc_decode_notifier() (5.6) hands UCNA to memory_failure();
# kill_accessing_process() (5.14) returns 0 for a page that the task does not map (6.1.135, 6.12.24).
# page -> (what the consumer gets, page types of the action lines), whoever reports first: the order shows in the log
# and in the answers, not in who dies.
NOT_HANDLED = (None, None, None)
DIRTY, CLEAN, AGAIN = "dirty LRU page", "clean LRU page", "already poisoned page"
TWO_REPORTS = {
    "anonymous": (*NOT_HANDLED, (AR, (DIRTY,)), (AR, (DIRTY,)), (AR, (DIRTY, AGAIN)), (AR, (DIRTY, AGAIN))),
    "file-clean": (
        *NOT_HANDLED,
        (SILENT, (CLEAN,)),
        (SILENT, (CLEAN,)),
        (SILENT, (CLEAN, AGAIN)),
        (SILENT, (CLEAN, AGAIN)),
    ),
}
