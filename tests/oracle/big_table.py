"""What the handler answers per page, event and kernel profile: a second reading of the specification.

Typed by hand from section 7 of the specification (with its errata of section 0.5, which win over the tables); not
generated from the handler and sharing nothing with it. One row per row of the tables, in their order; a row that
stands for several page states is written once per state. One cell per profile, ``None`` where the table says n/a
(or leaves the cell empty).

**Kill codes.** Those of section 1, joined by ``+``, and a few words for what cells say in prose. ``None`` means that
the cell names no kill code.

=========  =====================================================================================================
EK         the early-kill set gets SIGBUS/BUS_MCEERR_AO during handling
FK         so does it for a clean page
LK, SLK    the page table entries are hwpoison or swap entries: an access gets SIGBUS/BUS_MCEERR_AR
CLK        the poisoned page stays in the page cache: an access gets SIGBUS/BUS_MCEERR_AR
-EIO       read() of the kept page fails (tmpfs 5.16+, hugetlbfs 6.1+: sections 6 and 12.4)
RF         the page table entries are gone: an access reads good data again
SM         the page stays mapped
–          nobody is signalled
no EK      the early-kill set is told nothing
AR         the consumer gets SIGBUS/BUS_MCEERR_AR during handling
PLAIN      the consumer gets the plain SIGBUS (SI_KERNEL, no address)
KILL, BUS  the early-kill set gets SIGKILL, or SIGBUS, because unmapping failed
EIO        the loss is reported once by fsync; "no EIO": never
ZEROS      the page left the page cache: read() succeeds (and returns zeros)
ADRERR     read() fails with EIO, a fault gets SIGBUS/BUS_ADRERR
=========  =====================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

PROFILES = ("2.6.32", "3.10", "4.18", "5.10", "6.1", "6.12", "7.1")

RESULTS = {"R": "Recovered", "D": "Delayed", "F": "Failed", "I": "Ignored"}

PFN = 0x1234

EIO = -5
ENXIO = -6
EFAULT = -14
B = -16
XP = -133


@dataclass(frozen=True)
class Cell:
    """One cell: what one kernel does with one page."""

    label: str | tuple[str, ...] | None  # None: no action line; several: the cell leaves open which
    result: str | None  # R, D, F, I; None: no action line
    errno: int | None  # None: the handler is not called
    kill: str | None
    log: tuple[str, ...] = ()  # texts quoted in the cell
    inferred: bool = False  # marked (I)
    dirty_printed: bool | None = None  # 2.6.32 only: "dirty " before the label; None: the cell does not say
    panics: bool = False
    counter_kb: int | None = None  # change of HardwareCorrupted, if the cell names it
    lsb: int | None = None  # of the early signal, if the cell names it
    exact: bool | None = None  # si_addr of the early signal: the bad 4K page (else the start of the huge page)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels the cell allows."""
        return self.label if isinstance(self.label, tuple) else () if self.label is None else (self.label,)

    @property
    def codes(self) -> frozenset[str]:
        """Kill codes of the cell."""
        return frozenset(() if self.kill is None else self.kill.split("+"))


@dataclass(frozen=True)
class Row:
    """One row of the tables for one page state."""

    section: str
    kind: str
    state: str
    event: str
    name: str
    cells: tuple[Cell | None, ...]


SAME = "as the cell to the left"
NA = None
PANIC = Cell(None, None, None, None, panics=True)


def infer(cell: Cell) -> Cell:
    """Return a cell with the mark (I)."""
    return replace(cell, inferred=True)


def row(section: str, kind: str, state: str, *cells: Cell | str | None, event: str = "ao", name: str = "") -> Row:
    """Return a row; SAME is resolved from left to right."""
    resolved: list[Cell | None] = []
    for cell in cells:
        resolved.append(resolved[-1] if isinstance(cell, str) else cell)
    if len(resolved) != len(PROFILES):
        text = f"{section} {state}: {len(resolved)} cells"
        raise ValueError(text)
    return Row(section, kind, state, event, name, tuple(resolved))


def prefix(profile: str) -> str:
    """Return what stands before every message about the page (section 2, ``prefix``)."""
    return f"MCE 0x{PFN:x}: " if profile in {"2.6.32", "3.10"} else f"Memory failure: 0x{PFN:x}: "


def action_line(profile: str, label: str, result: str, *, dirty: bool = False) -> str:
    """Return the whole action line (section 2, ``action_fmt``)."""
    if profile == "2.6.32":
        return f"{prefix(profile)}{'dirty ' if dirty else ''}{label} page recovery: {RESULTS[result]}"
    if profile == "3.10":
        return f"{prefix(profile)}{label} page recovery: {RESULTS[result]}"
    return f"{prefix(profile)}recovery action for {label}: {RESULTS[result]}"


def is_action_line(line: str) -> bool:
    """Whether a log line is an action line of any version."""
    return "recovery action for " in line or " page recovery: " in line


# 7.1 No usable struct page, repeated errors

OUTSIDE = Cell("memory outside kernel control", "I", EIO, "–")
NO_LINE_ENXIO = Cell(None, None, ENXIO, "–")
NO_LINE_0 = Cell(None, None, 0, "–")
NO_LINE_XP = Cell(None, None, XP, "–")
NON_LRU = Cell("non LRU", "I", B, "–")
RESERVED_4_18 = Cell("reserved kernel page", "F", B, "–", log=("still referenced by 1 users",))

SECTION_7_1 = (
    row(
        "7.1",
        "pfn beyond memory",
        "absent",
        OUTSIDE,
        NO_LINE_ENXIO,
        SAME,
        SAME,
        SAME,
        SAME,
        Cell("non struct page pfn", "I", B, "–", counter_kb=0),
    ),
    row(
        "7.1",
        "device memory without struct page, range registered by a driver",
        "absent-device",
        OUTSIDE,
        NO_LINE_ENXIO,
        SAME,
        SAME,
        SAME,
        SAME,
        Cell("non struct page pfn", "R", 0, "EK+FK"),
    ),
    row(
        "7.1",
        "memory block put offline",
        "offline",
        infer(NON_LRU),
        infer(NON_LRU),
        infer(RESERVED_4_18),
        NO_LINE_ENXIO,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.1",
        "4K page already poisoned, AO",
        "poisoned",
        Cell("already hardware poisoned", "I", 0, "–"),
        NO_LINE_0,
        SAME,
        SAME,
        NO_LINE_XP,
        Cell("already poisoned page", "F", XP, "–", counter_kb=0),  # erratum: 6.12.100 as latest
        SAME,
    ),
    row(
        "7.1",
        "4K page already poisoned, AR, consumer maps it",
        "poisoned",
        PANIC,
        Cell(None, None, 0, "AR"),  # erratum: the load is repeated and finds the hwpoison entry, as recorded on 6.1
        SAME,
        SAME,
        Cell(None, None, XP, "AR"),
        Cell("already poisoned page", "F", XP, "AR", counter_kb=0),  # erratum
        SAME,
        event="ar",
    ),
    row(
        "7.1",
        "same, consumer does not map it",
        "poisoned-unmapped",
        PANIC,
        NO_LINE_0,
        SAME,
        SAME,
        SAME,  # erratum: the profile is 6.1.192, so 0 as 6.1.158, not -EFAULT
        Cell("already poisoned page", "F", 0, "–", counter_kb=0),  # erratum: 6.12.100, so 0 as 6.12.33
        SAME,
        event="ar",
    ),
)

# 7.2 Free pages (nobody maps them)

FREE_2_6_32 = Cell("free or high order kernel", "I", B, "–")
FREE_3_10 = Cell("free buddy", "D", 0, "–")
FREE_4_18 = Cell("free buddy page", "D", 0, "–")
FREE_6_1 = Cell("free buddy page", "R", 0, "–")
FREE_HUGE_3_10 = Cell("free huge", "D", 0, "–")
FREE_HUGE_4_18 = Cell("free huge page", "D", 0, "–")
# memory_failure_hugetlb() takes its own mark on the first 4 KiB for that of another error (4.18; seen on 5.10.262).
FREE_HUGE_TAIL = Cell(None, None, 0, "–", counter_kb=0)
FREE_HUGE_6_1 = Cell("free huge page", "R", 0, "–")
FREE_HUGE_FAILED = Cell("free huge page", "F", B, "–")

SECTION_7_2 = (
    row(
        "7.2",
        "in the buddy allocator, not the first page of its block",
        "free",
        FREE_2_6_32,
        FREE_3_10,
        FREE_4_18,
        FREE_4_18,
        FREE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "in the buddy allocator, first page of its block",
        "free-head",
        replace(FREE_2_6_32, errno=0),
        FREE_3_10,
        FREE_4_18,
        FREE_4_18,
        FREE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "on a per-CPU free list",
        "free-pcp",
        FREE_2_6_32,
        Cell("high order kernel", "I", B, "–"),
        Cell("high-order kernel page", "I", B, "–"),
        SAME,
        FREE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "became free during handling",
        "free-meanwhile",
        NON_LRU,
        Cell("free buddy, 2nd try", "D", 0, "–"),
        Cell("free buddy page (2nd try)", "D", 0, "–"),
        SAME,
        FREE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "lost the take-off race twice",
        "free-race",
        NA,
        NA,
        NA,
        NA,
        Cell("free buddy page", "F", B, "–"),
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "free 2M hugetlb",
        "hugetlb-free",
        FREE_2_6_32,
        FREE_HUGE_3_10,
        FREE_HUGE_TAIL,
        SAME,
        FREE_HUGE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "free 2M hugetlb, in its first 4 KiB",
        "hugetlb-free-head",
        FREE_2_6_32,
        FREE_HUGE_3_10,
        FREE_HUGE_4_18,
        SAME,
        FREE_HUGE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "free 2M hugetlb that is not on a free list or cannot be dissolved",
        "hugetlb-free-stuck",
        FREE_2_6_32,
        Cell("free huge", "I", B, "–"),
        FREE_HUGE_TAIL,
        SAME,
        FREE_HUGE_FAILED,
        SAME,
        SAME,
    ),
    row(
        "7.2",
        "free 1G hugetlb",
        "hugetlb-1g-free",
        FREE_2_6_32,
        infer(FREE_HUGE_3_10),
        FREE_HUGE_TAIL,
        SAME,
        FREE_HUGE_FAILED,  # erratum: 6.1.192
        infer(FREE_HUGE_6_1),
        infer(FREE_HUGE_6_1),
    ),
)

# 7.3 Kernel-owned pages (kill code is always –, and the kernel keeps using the memory)

UNKNOWN_6_1 = Cell("unknown page", "I", B, "–")
GET_HWPOISON = Cell("get hwpoison page", "I", B, "–")
ZERO_4_18 = Cell("reserved kernel page", "F", B, "–")
KERNEL_4_18 = Cell("unknown page", "F", B, "–", log=("Unknown page state",))

SECTION_7_3 = (
    row(
        "7.3",
        "reserved (kernel image, boot memory, memmap, holes with struct page)",
        "reserved",
        NON_LRU,
        NON_LRU,
        RESERVED_4_18,
        SAME,
        UNKNOWN_6_1,
        GET_HWPOISON,
        SAME,
    ),
    row(
        "7.3",
        "slab, order 0",
        "slab",
        NON_LRU,
        NON_LRU,
        Cell("kernel slab page", "F", B, "–"),
        SAME,
        UNKNOWN_6_1,
        GET_HWPOISON,
        SAME,
    ),
    row(
        "7.3",
        "slab or other compound kernel page, head or tail",
        "slab-compound",
        NON_LRU,
        NON_LRU,
        Cell("high-order kernel page", "I", B, "–", log=("non anonymous thp",)),
        SAME,
        UNKNOWN_6_1,
        GET_HWPOISON,
        SAME,
    ),
    row(
        "7.3",
        "order-0 kernel page: page table, kernel stack, vmalloc, driver page",
        "kernel",
        NON_LRU,
        NON_LRU,
        KERNEL_4_18,
        SAME,
        UNKNOWN_6_1,
        GET_HWPOISON,
        SAME,
    ),
    row(
        "7.3",
        "later page of a high-order, non-compound allocation",
        "kernel-tail",
        FREE_2_6_32,
        Cell("high order kernel", "I", B, "–"),
        Cell("high-order kernel page", "I", B, "–"),
        SAME,
        UNKNOWN_6_1,
        GET_HWPOISON,
        SAME,
    ),
    row(
        "7.3",
        "movable non-LRU page (balloon, zsmalloc), PageOffline: as order-0 kernel page",
        "movable",
        NON_LRU,
        NON_LRU,
        KERNEL_4_18,
        KERNEL_4_18,
        UNKNOWN_6_1,
        GET_HWPOISON,
        GET_HWPOISON,
    ),
    row(
        "7.3",
        "zero page, reported by hardware",
        "zero",
        NON_LRU,
        NON_LRU,
        ZERO_4_18,
        SAME,
        UNKNOWN_6_1,
        GET_HWPOISON,
        SAME,
    ),
    row(
        "7.3",
        "zero page, by madvise (up to 5.10 as the row above)",
        "zero",
        NON_LRU,
        NON_LRU,
        ZERO_4_18,
        ZERO_4_18,
        Cell("reserved kernel page", "I", B, "–"),
        Cell("reserved kernel page", "I", B, "–"),
        GET_HWPOISON,
        event="madvise",
    ),
    row(
        "7.3",
        "huge zero page, by madvise",
        "huge-zero",
        NA,
        infer(NON_LRU),
        Cell(None, None, B, "–", log=("non anonymous thp",)),
        infer(Cell("unsplit thp", "I", B, "–")),
        Cell("unsplit thp", "I", B, "–"),
        Cell("unsplit thp", "F", XP, "–"),
        infer(GET_HWPOISON),
        event="madvise",
    ),
    row(
        "7.3",
        "huge zero page, by corrupt-pfn (erratum)",
        "huge-zero",
        NA,
        NA,
        NA,
        NA,
        UNKNOWN_6_1,
        GET_HWPOISON,
        NA,
        event="corrupt-pfn",
    ),
    row(
        "7.3",
        "SGX EPC page",
        "sgx",
        NA,
        NA,
        NA,
        NO_LINE_ENXIO,
        NO_LINE_0,  # handled by the arch hook
        SAME,
        SAME,
    ),
)

# 7.4 Anonymous pages

DIRTY_2_6_32 = Cell("LRU", "R", 0, "EK+LK", dirty_printed=True)
DIRTY_3_10 = Cell("dirty LRU", "R", 0, "EK+LK")
DIRTY_4_18 = Cell("dirty LRU page", "R", 0, "EK+LK")
NOT_REACHED = Cell(None, None, EFAULT, "–", counter_kb=0)
SWAP_DIRTY_2_6_32 = Cell("swapcache", "D", B, "EK+SLK")
SWAP_DIRTY_3_10 = Cell("dirty swapcache", "D", 0, "EK+SLK")
SWAP_DIRTY_4_18 = Cell("dirty swapcache page", "D", 0, "EK+SLK")
SWAP_CLEAN_2_6_32 = Cell("swapcache", "R", 0, "RF")
SWAP_CLEAN_3_10 = Cell("clean swapcache", "R", 0, "RF")
SWAP_CLEAN_4_18 = Cell("clean swapcache page", "R", 0, "RF")

SECTION_7_4 = (
    row(
        "7.4",
        "dirty, mapped (normal case; also several processes after fork; also private copy of a file page)",
        "anonymous",
        DIRTY_2_6_32,
        DIRTY_3_10,
        DIRTY_4_18,
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "clean, mapped (MADV_FREE, 4.5+)",
        "anonymous-clean",
        NA,
        NA,
        Cell("clean LRU page", "R", 0, "LK"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "PROT_NONE / read-only mapping: as dirty",
        "anonymous-protected",
        DIRTY_2_6_32,
        DIRTY_3_10,
        DIRTY_4_18,
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "PROT_NONE by madvise: handler not reached (erratum, recorded on 6.1 and 6.12)",
        "anonymous-protected",
        infer(NOT_REACHED),
        infer(NOT_REACHED),
        infer(NOT_REACHED),
        infer(NOT_REACHED),
        NOT_REACHED,
        NOT_REACHED,
        infer(NOT_REACHED),
        event="madvise",
    ),
    row(
        "7.4",
        "dirty, mapped, extra reference (pinned)",
        "anonymous-pinned",
        Cell("LRU", "R", 0, "EK+LK", log=("still referenced",)),
        Cell("dirty LRU", "R", B, "EK+LK", log=("still referenced",)),  # line R, then log
        Cell("dirty LRU page", "F", B, "EK+LK"),
        SAME,
        DIRTY_4_18,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "mlocked, mapped",
        "anonymous-mlocked",
        infer(Cell("unevictable LRU", "R", 0, None)),
        infer(Cell(("dirty mlocked LRU", "clean mlocked LRU"), "R", B, "EK+LK")),
        infer(DIRTY_4_18),
        infer(DIRTY_4_18),
        DIRTY_4_18,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "off the LRU for a moment (isolated by reclaim/migration)",
        "anonymous-isolated",
        Cell("non LRU", "I", B, "SM"),
        Cell("non LRU", "I", B, "SM"),
        infer(Cell("unknown page", "F", B, "SM")),
        infer(Cell("unknown page", "F", B, "SM")),
        infer(Cell("unknown page", "I", B, "SM")),
        infer(Cell("get hwpoison page", "I", B, "SM")),
        SAME,
    ),
    row(
        "7.4",
        "swap cache, dirty, mapped",
        "swap-dirty",
        SWAP_DIRTY_2_6_32,
        SWAP_DIRTY_3_10,
        SWAP_DIRTY_4_18,
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "swap cache, dirty, not mapped: as the row above, without early kill",
        "swap-dirty-unmapped",
        replace(SWAP_DIRTY_2_6_32, kill="SLK"),
        replace(SWAP_DIRTY_3_10, kill="SLK"),
        replace(SWAP_DIRTY_4_18, kill="SLK"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "swap cache, clean, mapped",
        "swap-clean",
        SWAP_CLEAN_2_6_32,
        SWAP_CLEAN_3_10,
        SWAP_CLEAN_4_18,
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "swap cache, clean, not mapped",
        "swap-clean-unmapped",
        SWAP_CLEAN_2_6_32,
        SWAP_CLEAN_3_10,
        SWAP_CLEAN_4_18,
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "swap cache, dirty, extra reference",
        "swap-dirty-pinned",
        SWAP_DIRTY_2_6_32,  # as above
        Cell("dirty swapcache", "D", B, None),  # the action line still shows the handler's result
        Cell("dirty swapcache page", "F", B, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "swap cache, clean, extra reference",
        "swap-clean-pinned",
        SWAP_CLEAN_2_6_32,  # as above
        Cell("clean swapcache", "R", B, None),  # the action line still shows the handler's result
        Cell("clean swapcache page", "F", B, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "KSM",
        "ksm",
        Cell("LRU", "R", 0, "SM", dirty_printed=False),  # as T12 prints it
        Cell(None, None, B, "SM", log=("cannot unmap page, give up",)),
        Cell("unmapping failed page", "I", B, "SM"),
        SAME,
        SAME,
        DIRTY_4_18,
        SAME,
    ),
    row(
        "7.4",
        "THP, split succeeds",
        "thp",
        NA,
        Cell("dirty LRU", "R", 0, "EK+LK", lsb=12, exact=True),
        DIRTY_4_18,
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.4",
        "THP, split fails (extra references)",
        "thp-unsplittable",
        NA,
        Cell(None, None, B, "SM"),
        Cell(None, None, B, "SM", log=("thp split failed",), counter_kb=0),
        Cell("unsplit thp", "I", B, "SM"),
        Cell("unsplit thp", "I", B, "SM"),
        Cell("unsplit thp", "F", XP, "EK+FK+SM"),
        SAME,
    ),
    row(
        "7.4",
        "full unmap fails, dirty",
        "anonymous-stuck",
        infer(Cell("LRU", "R", 0, "KILL")),  # continues: the cell does not name the line that follows
        Cell(None, None, B, "KILL"),
        Cell("unmapping failed page", "I", B, "KILL"),
        SAME,
        Cell("unmapping failed page", "I", B, "KILL"),
        Cell("unmapping failed page", "F", B, "BUS"),
        SAME,
    ),
    row(
        "7.4",
        "full unmap fails, clean (MADV_FREE, 4.5+)",
        "anonymous-clean-stuck",
        NA,
        NA,
        Cell("unmapping failed page", "I", B, "no EK"),  # SIGKILL only if dirty
        SAME,
        Cell("unmapping failed page", "I", B, "KILL"),
        Cell("unmapping failed page", "F", B, "BUS"),
        SAME,
    ),
)

# 7.5 Page cache of a file on a writeback file system, block devices, ramfs

CLEAN_LRU = "clean LRU"
CLEAN_LRU_PAGE = "clean LRU page"
DIRTY_LRU_PAGE = "dirty LRU page"
EITHER_2_6_32 = ("clean LRU", "LRU")
EITHER_3_10 = ("clean LRU", "dirty LRU")
EITHER_4_18 = ("clean LRU page", "dirty LRU page")
PUNCH_FAILED = ("Failed to punch page: -5",)

SECTION_7_5 = (
    row(
        "7.5",
        "clean, mapped",
        "file-clean",
        Cell(CLEAN_LRU, "R", 0, "RF"),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, "RF"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "clean, mapped, AR with RIPV=0 (MUST_KILL)",
        "file-clean",
        PANIC,
        Cell(CLEAN_LRU, "R", 0, "LK+AR"),
        Cell(None, None, None, "PLAIN", counter_kb=0),  # handler not called, page not poisoned
        SAME,
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, "LK+AR"),
        SAME,
        event="ar-not-restartable",
    ),
    row(
        "7.5",
        "clean, not mapped",
        "file-clean-unmapped",
        Cell(CLEAN_LRU, "R", 0, "–"),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, "–"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "dirty, mapped",
        "file-dirty",
        infer(Cell("LRU", "R", 0, "EK+LK+EIO", dirty_printed=False)),
        Cell("dirty LRU", "R", 0, "EK+LK+EIO"),
        Cell(DIRTY_LRU_PAGE, "R", 0, "EK+LK+EIO"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "dirty, not mapped",
        "file-dirty-unmapped",
        infer(Cell("LRU", "R", 0, "–+EIO")),  # section 16: labels of dirty file pages on 2.6.32 are inferred
        Cell("dirty LRU", "R", 0, "–+EIO"),
        Cell(DIRTY_LRU_PAGE, "R", 0, "–+EIO"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "under writeback, not mapped: waits; then as its state (clean)",
        "file-writeback",
        Cell(CLEAN_LRU, "R", 0, "–"),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, "–"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "under writeback, mapped: waits; then as its state (clean)",
        "file-writeback-mapped",
        Cell(CLEAN_LRU, "R", 0, "RF"),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, "RF"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "extra reference (GUP, pipe)",
        "file-pinned",
        Cell(EITHER_2_6_32, "R", 0, None),
        Cell(EITHER_3_10, "R", B, None),
        Cell(EITHER_4_18, "F", B, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "truncated, still referenced",
        "file-truncated",
        Cell("already truncated LRU", "I", 0, None),
        Cell("already truncated LRU", "I", B, None),
        Cell("already truncated LRU page", "I", B, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "mlocked, mapped clean",
        "file-mlocked",
        infer(Cell("unevictable LRU", "R", 0, None)),
        infer(Cell("clean mlocked LRU", "R", B, None)),
        infer(Cell(CLEAN_LRU_PAGE, "R", 0, None)),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, None),
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "mlocked, mapped dirty",
        "file-dirty-mlocked",
        infer(Cell("unevictable LRU", "R", 0, None)),
        infer(Cell("dirty mlocked LRU", "R", B, None)),
        infer(Cell(DIRTY_LRU_PAGE, "R", 0, None)),
        SAME,
        Cell(DIRTY_LRU_PAGE, "R", 0, None),
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "directory, symlink, fs metadata mapping",
        "metadata",
        Cell(EITHER_2_6_32, "F", B, None, log=PUNCH_FAILED),
        Cell(EITHER_3_10, "F", B, None, log=PUNCH_FAILED),
        Cell(EITHER_4_18, "F", B, None, log=PUNCH_FAILED),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "ext4 data=journal, written, not committed yet",
        "journal-uncommitted",
        infer(Cell(CLEAN_LRU, "R", 0, "no EIO")),
        infer(Cell(CLEAN_LRU, "R", 0, "no EIO")),
        infer(Cell(CLEAN_LRU_PAGE, "R", 0, "no EIO")),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, "no EIO"),
        SAME,
        infer(Cell(CLEAN_LRU_PAGE, "R", 0, "no EIO")),
    ),
    row(
        "7.5",
        "ext4 data=journal, written, not committed yet, held by the journal",
        "journal-uncommitted-held",
        infer(Cell(CLEAN_LRU, "F", B, "no EIO")),
        infer(Cell(CLEAN_LRU, "F", B, "no EIO")),
        infer(Cell(CLEAN_LRU_PAGE, "F", B, "no EIO")),
        SAME,
        Cell(CLEAN_LRU_PAGE, "F", B, "no EIO"),
        SAME,
        infer(Cell(CLEAN_LRU_PAGE, "F", B, "no EIO")),
    ),
    row(
        "7.5",
        "ext4 data=journal, written, committed, not checkpointed",
        "journal-committed",
        infer(Cell("LRU", "R", 0, "EIO")),
        infer(Cell("dirty LRU", "R", 0, "EIO")),
        infer(Cell(DIRTY_LRU_PAGE, "R", 0, "EIO")),
        SAME,
        Cell(DIRTY_LRU_PAGE, "R", 0, "EIO"),
        SAME,
        infer(Cell(DIRTY_LRU_PAGE, "R", 0, "EIO")),
    ),
    row(
        "7.5",
        "file THP (read-only THP 5.4+, large folios)",
        "file-thp",
        NA,
        NA,
        Cell("high-order kernel page", "I", B, "SM"),
        SAME,
        Cell(EITHER_4_18, "R", 0, "no EK"),  # split, then as 4K
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "file THP of a file system with a minimum order >0",
        "file-thp-min-order",
        NA,
        NA,
        NA,
        NA,
        NA,
        Cell("unsplit thp", "F", XP, None),  # already as small as it can be
        Cell("unsplit thp", "F", XP, None),
    ),
    row(
        "7.5",
        "block device page cache, clean, no buffers in use",
        "block-clean",
        Cell(CLEAN_LRU, "R", 0, None),
        SAME,
        Cell(CLEAN_LRU_PAGE, "R", 0, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "block device page cache, dirty",
        "block-dirty",
        Cell("LRU", "F", B, "EIO", dirty_printed=True),
        Cell("dirty LRU", "F", B, "EIO"),
        Cell(DIRTY_LRU_PAGE, "F", B, "EIO"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "super block / metadata buffer in use",
        "block-buffers",
        Cell(CLEAN_LRU, "F", B, None),
        SAME,
        Cell(CLEAN_LRU_PAGE, "F", B, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "ramfs, mapped",
        "ramfs",
        Cell("unevictable LRU", "F", B, "EK+LK+CLK"),
        Cell("dirty unevictable LRU", "F", B, "EK+LK+CLK"),
        Cell("dirty unevictable LRU page", "F", B, "EK+LK+CLK"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.5",
        "ramfs, not mapped",
        "ramfs-unmapped",
        Cell("unevictable LRU", "F", B, "CLK"),
        Cell("dirty unevictable LRU", "F", B, "CLK"),
        Cell("dirty unevictable LRU page", "F", B, "CLK"),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
)

# 7.6 tmpfs, memfd, SysV shared memory

SECTION_7_6 = (
    row(
        "7.6",
        "dirty, mapped",
        "tmpfs",
        infer(Cell("LRU", "R", 0, "EK+LK+ZEROS")),
        Cell("dirty LRU", "R", 0, "EK+LK+ZEROS"),
        Cell(DIRTY_LRU_PAGE, "R", 0, "EK+LK+ZEROS"),
        SAME,
        Cell(DIRTY_LRU_PAGE, "R", 0, "EK+LK+CLK+-EIO"),
        SAME,
        SAME,
    ),
    row(
        "7.6",
        "dirty, not mapped",
        "tmpfs-unmapped",
        infer(Cell("LRU", "R", 0, "–+ZEROS")),
        Cell("dirty LRU", "R", 0, "–+ZEROS"),
        Cell(DIRTY_LRU_PAGE, "R", 0, "–+ZEROS"),
        SAME,
        Cell(DIRTY_LRU_PAGE, "R", 0, "CLK+-EIO"),
        SAME,
        SAME,
    ),
    row(
        "7.6",
        "SHM_LOCKed",
        "shm-locked",
        Cell("unevictable LRU", "R", 0, None),
        Cell("dirty unevictable LRU", "R", 0, "EK+LK"),
        Cell("dirty unevictable LRU page", "R", 0, "EK+LK"),
        SAME,
        Cell("dirty unevictable LRU page", "R", 0, "EK+LK+CLK"),
        SAME,
        SAME,
    ),
    row(
        "7.6",
        "swap cache copy, dirty",
        "tmpfs-swap-dirty",
        Cell("swapcache", "D", B, None),
        Cell("dirty swapcache", "D", 0, None),
        Cell("dirty swapcache page", "D", 0, None),
        SAME,
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.6",
        "… later access to it",
        "tmpfs-swap-dirty",
        infer(Cell("swapcache", "D", B, "ADRERR")),
        infer(Cell("dirty swapcache", "D", 0, "ADRERR")),
        infer(Cell("dirty swapcache page", "D", 0, "ADRERR")),
        SAME,
        SAME,
        SAME,
        SAME,
        name="later",
    ),
    row(
        "7.6",
        "shmem THP",
        "tmpfs-thp",
        NA,
        NA,
        Cell("high-order kernel page", "I", B, "SM"),
        SAME,
        Cell(DIRTY_LRU_PAGE, "R", 0, "CLK+-EIO"),
        SAME,
        SAME,
    ),
)

# 7.7 Hugetlb

NON_LRU_SM = Cell("non LRU", "I", B, "SM")
HUGE_3_10 = Cell("huge", "D", 0, "EK+LK", lsb=21, exact=False)
HUGE_4_18 = Cell("huge page", "R", 0, "EK+LK", lsb=21, exact=False)
HUGE_6_12 = replace(HUGE_4_18, exact=True)  # erratum: 6.12.100 as latest
HUGE_FILE_3_10 = Cell("huge", "D", B, "EK+LK+CLK", log=("still referenced by 1 users",))
HUGE_FILE_6_1 = Cell("huge page", "R", 0, "EK+LK+CLK+-EIO")
NON_PMD = Cell("non-pmd-sized huge page", "I", B, "SM")

SECTION_7_7 = (
    row(
        "7.7",
        "2M private, mapped",
        "hugetlb",
        NON_LRU_SM,
        HUGE_3_10,
        HUGE_4_18,
        SAME,
        SAME,
        HUGE_6_12,
        SAME,
    ),
    row(
        "7.7",
        "2M private, mapped, not dissolvable (the result of dissolving is ignored up to 5.10)",
        "hugetlb-stuck",
        NON_LRU_SM,
        HUGE_3_10,
        HUGE_4_18,
        SAME,
        replace(HUGE_4_18, result="F", errno=B),
        replace(HUGE_6_12, result="F", errno=B),
        SAME,
    ),
    row(
        "7.7",
        "2M hugetlbfs file, mapped",
        "hugetlb-file",
        replace(NON_LRU_SM, kill=None),
        HUGE_FILE_3_10,
        Cell("huge page", "R", 0, "EK+LK+ZEROS"),
        SAME,
        HUGE_FILE_6_1,
        SAME,
        SAME,
    ),
    row(
        "7.7",
        "2M hugetlbfs file, not mapped",
        "hugetlb-file-unmapped",
        replace(NON_LRU_SM, kill=None),
        Cell("huge", "D", B, "CLK"),
        Cell("huge page", "R", 0, "–+ZEROS"),
        SAME,
        Cell("huge page", "R", 0, "CLK+-EIO"),
        SAME,
        SAME,
    ),
    row(
        "7.7",
        "1G, in use, private",
        "hugetlb-1g",
        NON_LRU_SM,
        infer(replace(HUGE_3_10, lsb=30)),
        NON_PMD,
        SAME,
        replace(HUGE_4_18, result="F", errno=B, lsb=30),  # erratum: 6.1.192
        replace(HUGE_6_12, lsb=30),
        SAME,
    ),
    row(
        "7.7",
        "1G, in use, hugetlbfs file",
        "hugetlb-1g-file",
        NON_LRU_SM,
        infer(replace(HUGE_FILE_3_10, lsb=30, exact=False)),
        NON_PMD,
        SAME,
        replace(HUGE_FILE_6_1, lsb=30, exact=False),
        replace(HUGE_FILE_6_1, lsb=30, exact=True),
        SAME,
    ),
    row(
        "7.7",
        "second error, other 4K page, private page already dissolved",
        "hugetlb-dissolved-other",
        NA,
        NA,  # never dissolved: it is still a huge page, whose cell is the next row's
        Cell("free buddy page", "D", 0, None),
        SAME,
        Cell("free buddy page", "R", 0, None),
        SAME,
        SAME,
    ),
    row(
        "7.7",
        "second error, other 4K page, still a huge page",
        "hugetlb-file-other",
        NA,
        Cell(None, None, 0, None),
        SAME,
        SAME,
        Cell(None, None, XP, None, counter_kb=4),
        Cell("huge page", "F", XP, None, counter_kb=4),  # erratum; counted: section 3.8
        SAME,
    ),
    row(
        "7.7",
        "second error, same 4K page",
        "hugetlb-file-same",
        NA,
        Cell(None, None, 0, None),
        SAME,
        SAME,
        Cell(None, None, XP, None),
        Cell("already poisoned page", "F", XP, None, counter_kb=0),  # erratum; not counted: section 3.8
        SAME,
    ),
    row(
        "7.7",
        "soft-offlined / under allocation (not migratable)",
        "hugetlb-isolated",
        NA,
        NA,
        NA,
        NA,
        Cell("unknown page", "I", B, None),
        Cell("get hwpoison page", "I", B, None),
        SAME,
    ),
)

# 7.8 Devices, guests

DAX_4_18 = infer(Cell("reserved kernel page", "F", B, None))

SECTION_7_8 = (
    row(
        "7.8",
        "DAX page, mapped, AO",
        "dax",
        NA,
        NA,
        DAX_4_18,
        infer(Cell("dax page", "R", 0, "no EK")),  # 5.2: the rule of 5.8 to 5.11 matches nobody
        Cell("dax page", "R", 0, "EK+FK"),
        SAME,
        SAME,
    ),
    row(
        "7.8",
        "DAX page, mapped, AR",
        "dax",
        NA,
        NA,
        NA,
        Cell("dax page", "R", 0, "AR"),
        SAME,
        SAME,
        SAME,
        event="ar",
    ),
    row(
        "7.8",
        "DAX page, not mapped",
        "dax-unmapped",
        NA,
        NA,
        DAX_4_18,
        Cell("dax page", "R", 0, "–"),
        SAME,
        SAME,
        SAME,
    ),
    row(
        "7.8",
        "device-private (HMM) page",
        "device-private",
        NA,
        NA,
        DAX_4_18,
        Cell("dax page", "F", B, None),
        Cell("dax page", "F", ENXIO, None),
        SAME,
        SAME,
    ),
    row(
        "7.8",
        "device metadata pfn",
        "device-metadata",
        NA,
        NA,
        NA,
        NA,
        Cell("dax page", "F", ENXIO, None),
        SAME,
        SAME,
    ),
    row(
        "7.8",
        "guest_memfd page",
        "guest-memfd",
        NA,
        NA,
        NA,
        NA,
        NA,
        infer(Cell(EITHER_4_18, "F", B, None, log=("Failed to punch page: 2",))),  # section 16: label inferred
        SAME,
    ),
)

ROWS = (
    *SECTION_7_1,
    *SECTION_7_2,
    *SECTION_7_3,
    *SECTION_7_4,
    *SECTION_7_5,
    *SECTION_7_6,
    *SECTION_7_7,
    *SECTION_7_8,
)

# 7.9 Memory that is lost afterwards: case, state, bytes per profile (None: another case or n/a), mark (I)

SMALL = 4096
HUGE = 2 << 20


@dataclass(frozen=True)
class Lost:
    """Memory the allocator loses in one case."""

    case: str
    state: str
    cells: tuple[int | None, ...]
    inferred: bool = False


LOST = (
    Lost("anonymous 4K, Recovered", "anonymous", (SMALL,) * 7),
    Lost("file 4K, Recovered", "file-clean", (SMALL,) * 7),
    Lost("file 4K, Recovered", "file-dirty-unmapped", (SMALL,) * 7),
    Lost("free buddy", "free", (0, 0, 0, 0, SMALL, SMALL, SMALL)),
    Lost("Ignored / Failed", "slab", (0,) * 7),
    Lost("Ignored / Failed", "reserved", (0,) * 7),
    Lost("Ignored / Failed", "ksm", (None, 0, 0, 0, 0, None, None)),
    Lost("Ignored / Failed", "block-dirty", (0,) * 7),
    Lost("hugetlb private", "hugetlb", (None, HUGE, SMALL, SMALL, SMALL, SMALL, SMALL)),
    Lost("hugetlb file, 4.14–6.0", "hugetlb-file", (None, None, HUGE, HUGE, None, None, None)),
    Lost("hugetlb file, 6.1+", "hugetlb-file", (None, None, None, None, HUGE, HUGE, HUGE), inferred=True),
)
