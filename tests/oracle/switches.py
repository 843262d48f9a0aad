"""The switches that distinguish the kernel profiles: a second reading of the specification.

Typed by hand from section 2 of the specification, in its words and its order, one row per switch and one column per
profile; not generated from the handler and sharing nothing with it. "same" of the specification is resolved (SAME
takes the cell to the left). ``ERRATA`` holds what section 0.5 changes: a profile means its recorded kernel (6.1.192,
6.12.100) where that differs from the tree the column was read in; ``words`` returns the cell with the errata applied.
"""

from __future__ import annotations

PROFILES = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")

SAME = "same"


def resolved(*cells: str) -> tuple[str, ...]:
    """Return the cells of a row with SAME taken from the left."""
    found: list[str] = []
    for cell in cells:
        found.append(found[-1] if cell == SAME else cell)
    return tuple(found)


SWITCHES: dict[str, tuple[str, ...]] = {
    "prefix": resolved("MCE 0x%lx: ", "MCE 0x%lx: ", "Memory failure: 0x%lx: ", SAME, SAME, SAME, SAME),
    "action_fmt": resolved(
        '%s%s page recovery: %s ("dirty " inserted if PG_dirty is set when the line is printed, after the handler)',
        "%s page recovery: %s",
        "recovery action for %s: %s",
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    "rec0_panic text": resolved(
        "Memory failure from trap %d on page %lx", SAME, "Memory failure on page %lx", SAME, SAME, SAME, SAME
    ),
    "rec0 panic covers": resolved("any call, even invalid pfn", SAME, SAME, SAME, SAME, SAME, SAME),
    "serialised by a mutex": resolved("no", "no", "no", "no", "yes", "yes", "yes"),
    "invalid / offline pfn": resolved(
        "action line Ignored, -EIO",
        "log, -ENXIO",
        "log, -ENXIO",
        "log, -ENXIO (offline memory too)",
        SAME,
        SAME,
        "no struct page: PFN_MAP path; struct page but offline: log, -ENXIO",
    ),
    "already poisoned (4K) returns": resolved(
        "0 (action line Ignored)",
        "0 (log)",
        "0 (log)",
        "0 (log)",
        "-EHWPOISON (log)",
        "-EHWPOISON (log + action line Failed)",
        "-EHWPOISON (action line Failed)",
    ),
    "kill_accessing_process on repeated AR": resolved("no", "no", "no", "no", "yes", "yes", "yes"),
    "kap_notfound": resolved("n/a", "n/a", "n/a", "n/a", "-EFAULT (0 in 6.1.158)", "-EFAULT (0 in 6.12.33)", "0"),
    "free buddy page": resolved(
        '"free or high order kernel" Ignored, ret 0 only if the struct page found is a buddy head',
        '"free buddy" Delayed 0',
        '"free buddy page" Delayed 0',
        '"free buddy page" Delayed 0',
        "Recovered 0 (page taken off the buddy lists)",
        SAME,
        SAME,
    ),
    "page on a per-CPU free list": resolved(
        "as refcount-0",
        '"high order kernel" Ignored',
        '"high-order kernel page" Ignored',
        SAME,
        "pcp lists drained, then Recovered",
        SAME,
        SAME,
    ),
    "refcount-0 page not free": resolved(
        "Ignored",
        '"high order kernel" Ignored',
        '"high-order kernel page" Ignored',
        SAME,
        '"unknown page" Ignored',
        '"get hwpoison page" Ignored',
        SAME,
    ),
    "unhandlable type (not LRU, not hugetlb, not buddy)": resolved(
        '"non LRU" Ignored',
        '"non LRU" Ignored',
        "goes to the state table; me_kernel/me_unknown, then extra reference: Failed",
        SAME,
        '3 retries with shake, then "unknown page" Ignored',
        '3 retries with shake, then "get hwpoison page" Ignored',
        SAME,
    ),
    "compound kernel page (THP configured)": resolved(
        '"non LRU"',
        '"non LRU"',
        'log "non anonymous thp", "high-order kernel page" Ignored',
        SAME,
        '"unknown page" Ignored',
        '"get hwpoison page" Ignored',
        SAME,
    ),
    "THP": resolved(
        "not known (no THP)",
        "split inside unmap",
        "split before locking",
        "split before locking, own label",
        "split before locking, own label, also file THP",
        SAME,
        "split before locking, own label, also file THP, minimum order",
    ),
    "THP split failure": resolved(
        "n/a",
        '"failed to split THP", "cannot unmap page, give up", -EBUSY, flag stays',
        '"thp split failed", flag cleared, counter undone, -EBUSY, no action line',
        '"unsplit thp" Ignored, -EBUSY, flag stays',
        '"unsplit thp" Ignored -EBUSY',
        'kill collected tasks (forced), "unsplit thp" Failed, -EHWPOISON',
        SAME,
    ),
    "file/shmem THP": resolved(
        "n/a",
        "n/a",
        '"non anonymous thp" + "high-order kernel page" Ignored',
        SAME,
        "split, then as 4K",
        SAME,
        "split, then as 4K, unless minimum folio order > 0: split as far as possible, counted as failed split",
    ),
    "unmap failure": resolved(
        "logged, processing goes on",
        'log "cannot unmap page, give up", -EBUSY, no action line',
        '"unmapping failed page" Ignored -EBUSY',
        SAME,
        SAME,
        '"unmapping failed page" Failed -EBUSY',
        SAME,
    ),
    "KSM page": resolved(
        'not unmapped, then "LRU" Recovered',
        "unmap failure",
        'log "can\'t handle KSM pages.", unmap failure',
        SAME,
        SAME,
        "handled like anonymous",
        SAME,
    ),
    "extra reference check": resolved(
        "log only",
        "all handlers: Failed (logged after the action line, which still shows the handler's result)",
        "all handlers: Failed (before the action line)",
        SAME,
        "only file cache, swap cache, hugetlb handlers",
        SAME,
        SAME,
    ),
    "pinned anonymous page": resolved(
        "Recovered",
        "Failed (only errno; line says Recovered)",
        "Failed",
        "Failed",
        "Recovered",
        "Recovered",
        "Recovered",
    ),
    "tmpfs page after error": resolved(
        "removed", "removed", "removed", "removed", "kept in cache, reads -EIO", "kept", "kept"
    ),
    "hugetlb shared (file) page after error": resolved(
        "n/a", "stays (not removed)", "removed from cache", "removed", "kept", "kept", "kept"
    ),
    "hugetlb read() of healthy part": resolved(
        "n/a", "no check", "no check", "no check", "whole huge page -EIO", "up to the bad 4K page", SAME
    ),
    "1G hugetlb in use": resolved(
        "n/a", "as 2M (I)", '"non-pmd-sized huge page" Ignored', SAME, "handled", "handled", "handled"
    ),
    "dissolve_ok": resolved("n/a", "n/a", "not checked", "not checked", "≥0 (6.1.158: >0)", ">0", ">0"),
    "raw error page list for hugetlb": resolved("no", "no", "no", "no", "yes", "yes", "yes"),
    "counter incremented": resolved(
        "at detection (+1; hugetlb n/a)",
        "at detection (+1, hugetlb +512 for 2M)",
        "at detection +1",
        "at detection +1",
        "in each action line",
        'in each action line (also "already poisoned")',
        'in each action line except "already poisoned page" and "non struct page pfn"',
    ),
    "killset": resolved("K0", "K1b (K1 in vanilla 3.10.0)", "K2", "K3", "K4", "K4", "K4"),
    "clean page: tasks collected": resolved("no", "no", "no", "no", "yes (used only when forced)", "yes", "yes"),
    "force kill also when unmap fails": resolved("no", "no", "no", "no", "yes", "yes", "yes"),
    "unmap failure signal": resolved("SIGKILL", "SIGKILL", "SIGKILL", "SIGKILL", "SIGKILL", "SIGBUS", "SIGBUS"),
    "AR recovery for user loads (x86)": resolved("no, panic", "yes", "yes", "yes", "yes", "yes", "yes"),
    "recovery of kernel copy-from-user (x86)": resolved(
        "no", "no", "no", "yes (signals the task)", "yes (errno only)", SAME, SAME
    ),
    "UCNA / deferred → memory_failure (x86)": resolved("no", "no", "no", "yes", "yes", "yes", "yes"),
    "x86 tolerant knob": resolved("yes", "yes", "yes", "yes", "no", "no", "no"),
    "poisoned page removed from the direct map": resolved(
        "no", "no", "yes (mce_unmap_kpfn)", "yes", "yes", "yes", "yes"
    ),
    "filtered page returns": resolved("n/a", "0", "0", "0", "-EOPNOTSUPP", SAME, SAME),
    "unpoison blocked after a real error": resolved("n/a (no unpoison)", "no", "no", "no", "yes", "yes", "yes"),
    "soft offline of an already poisoned page": resolved("n/a", "-EBUSY", "-EBUSY", "0", "0", "0", "0"),
    "vm.enable_soft_offline": resolved("–", "–", "–", "–", "–", "yes", "yes"),
    "per-node statistics": resolved("–", "–", "–", "–", "– (6.3+)", "yes", "yes"),
    "trace event": resolved(
        "–", "–", "ras:memory_failure_event", SAME, SAME, SAME, "memory_failure:memory_failure_event"
    ),
    "DAX path": resolved("no", "no", "no (4.19+)", "yes", "yes", "yes", "yes"),
    "pfn without struct page can be handled": resolved(
        "no", "no", "no", "no", "no", "no", "yes (registered address spaces)"
    ),
    "hugetlb early-kill si_addr": resolved(
        "n/a",
        "start of huge page",
        "start of huge page",
        "start of huge page",
        "start of huge page (O)",
        "exact 4K address",
        "exact 4K address",
    ),
}

# Section 0.5; kap_notfound and dissolve_ok follow from "6.1 = 6.1.192" and "6.12 = 6.12.100".
ERRATA: dict[tuple[str, str], str] = {
    ("already poisoned (4K) returns", "6.12"): "-EHWPOISON (action line Failed)",
    ("kap_notfound", "6.1"): "0",
    ("kap_notfound", "6.12"): "0",
    ("dissolve_ok", "6.1"): ">0",
    (
        "counter incremented",
        "6.12",
    ): 'in each action line except "already poisoned page"',
}


def words(switch: str, profile: str) -> str:
    """Return what the specification says about a switch in a profile, with the errata applied."""
    return ERRATA.get((switch, profile), SWITCHES[switch][PROFILES.index(profile)])
