"""A page, the processes that map it and the file it belongs to: what the handler reads and changes.

**Models.** One physical page with its flags, the page table entries of the processes mapping it, their SIGBUS
disposition and ``PR_MCE_KILL`` policies, the cached and stored copy of the file page, and the file's I/O error.

**Leaves out.** Timing, more than one bad page of one object (but for huge pages), threads apart from their
policies.

**Assumes.** All processes map the page at one address each.

**Sources.** kernel/signal.c ``force_sig_info()``; lib/errseq.c; arch/x86/mm/fault.c; Linux 6.1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from node_sim.codes import KillPolicy

PAGE_BYTES = 4096
PLAIN = "code128"
"""``SI_KERNEL``: a forced SIGBUS without machine-check code or address."""


class Kind(enum.Enum):
    """What a page is to the allocator."""

    USER = "on the LRU"
    HUGETLB = "hugetlb page"
    FREE = "in the buddy allocator"
    PCP = "on a per-CPU free list"
    RESERVED = "reserved"
    SLAB = "slab, order 0"
    COMPOUND = "slab or other compound kernel page"
    KERNEL = "order-0 kernel page"
    TAIL = "later page of a high-order allocation"
    ZERO = "zero page"
    HUGE_ZERO = "huge zero page"
    DEVICE = "device memory"
    OFFLINE = "offline memory"
    ABSENT = "no struct page"


class Backing(enum.Enum):
    """Where the data of a page comes from."""

    ANONYMOUS = "anonymous"
    FILE = "file"
    BLOCK = "block device"
    METADATA = "file system metadata"
    RAMFS = "ramfs"
    SHMEM = "shmem"
    HUGETLBFS = "hugetlbfs"
    NONE = "kernel"


class Pte(enum.Enum):
    """Page table entry of a process for the page."""

    NONE = "none"
    PRESENT = "same"
    MOVED = "moved"
    HWPOISON = "special-swap-entry"
    SWAP = "swap"


class Disposition(enum.Enum):
    """What a process has arranged for SIGBUS."""

    HANDLER = "handler"
    DEFAULT = "default"
    BLOCKED = "blocked"
    UNBLOCKED_LATER = "blocked-then-unblocked"
    IGNORED = "ignored"


@dataclass
class Received:
    """A signal that a handler recorded."""

    phase: str
    signal: str
    code: str
    lsb: int | None
    offset: int | None
    who: str


@dataclass
class Task:
    """A process: policies of its threads (leader first), disposition, its page table entry and what it received."""

    name: str
    policies: tuple[KillPolicy, ...] = (KillPolicy.UNSET,)
    disposition: Disposition = Disposition.HANDLER
    pte: Pte = Pte.NONE
    protection: str = "rw"
    private: str | None = None
    shift: int = 12
    unmapped: bool = False
    pending: bool = False
    waiting: Received | None = None
    died_at: str | None = None
    received: list[Received] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.died_at is None

    def force(self, received: Received) -> None:
        """Deliver a signal that cannot be blocked or ignored."""
        if self.disposition is Disposition.HANDLER:
            self.received.append(received)
        else:
            self.died_at = received.phase

    def queue(self, received: Received) -> None:
        """Deliver a signal in the ordinary way."""
        if self.disposition is Disposition.HANDLER:
            self.received.append(received)
        elif self.disposition is Disposition.DEFAULT:
            self.died_at = received.phase
        elif self.disposition is not Disposition.IGNORED:
            self.pending = True
            self.waiting = received

    def unblock(self, phase: str) -> None:
        """Unblock SIGBUS and receive what is pending."""
        self.disposition = Disposition.HANDLER
        if self.waiting is not None:
            self.waiting.phase = phase
            self.received.append(self.waiting)
        self.pending, self.waiting = False, None


@dataclass
class Descriptor:
    """An open file: the error sequence numbers it has seen."""

    seen: int = 0
    seen_by_sync: int = 0


@dataclass
class File:
    """The object behind a page-cache page.

    Attributes:
        stored: Data on disk; None where there is no backing store.
        cached: Data in the page cache; None when not cached.
        poisoned: The cached page is the poisoned one.
        truncated: The file ends before the page.
        errors: I/O errors recorded so far on the mapping.
        reported: Whether the last has been reported to anybody, by fsync.
        reported_by_sync: The same, by syncfs.
        hugetlbfs: It lies on hugetlbfs.
    """

    stored: str | None = None
    cached: str | None = None
    poisoned: bool = False
    truncated: bool = False
    errors: int = 0
    reported: bool = True
    reported_by_sync: bool = True
    hugetlbfs: bool = False

    def open(self) -> Descriptor:
        """Open: an error that nobody has seen is still reported to a later opener."""
        return Descriptor(self.errors - (not self.reported), self.errors - (not self.reported_by_sync))


@dataclass
class Page:
    """A physical page as its ``struct page`` shows it, with the state that decides how handling goes.

    Attributes:
        pfn: Page frame number.
        kind: What it is to the allocator.
        backing: Where its data comes from.
        dirty: PG_dirty, or a dirty page table entry.
        swapcache: In the swap cache.
        swapbacked: PG_swapbacked (not set after MADV_FREE).
        mlocked: In a locked mapping.
        unevictable: PG_unevictable that survives unmapping (SHM_LOCK, ramfs).
        lru: On an LRU list.
        ksm: Merged.
        order: log2 of the pages of the huge page; 0, 9 or 18.
        splits: A huge page can be split.
        subpage: Number of the 4 KiB page in its huge page.
        extra_references: References nobody expects (a pipe, a device).
        buffers: The file system is using the buffers of the page.
        unmaps: Every page table entry can be removed.
        dissolves: A hugetlb page can be dissolved.
        block_head: First page of a free block.
        tasks: Processes mapping it.
        file: The object it belongs to.
        poisoned: PG_hwpoison.
        withdrawn: The handler took it out of use and holds it.
        bad_subpages: Bad 4 KiB pages of a hugetlb page.
        letter: Its data.
        device_range: A driver has registered the range (pages without struct page).
    """

    pfn: int = 0x1234
    kind: Kind = Kind.USER
    backing: Backing = Backing.ANONYMOUS
    dirty: bool = True
    swapcache: bool = False
    swapbacked: bool = True
    mlocked: bool = False
    unevictable: bool = False
    lru: bool = True
    ksm: bool = False
    order: int = 0
    splits: bool = True
    subpage: int = 0
    extra_references: int = 0
    buffers: bool = False
    unmaps: bool = True
    dissolves: bool = True
    block_head: bool = False
    tasks: list[Task] = field(default_factory=list)
    file: File | None = None
    poisoned: bool = False
    withdrawn: bool = False
    bad_subpages: set[int] = field(default_factory=set)
    letter: str = "A"
    device_range: bool = False

    @property
    def mapped(self) -> bool:
        """Whether a page table maps it."""
        return any(task.alive and task.pte is Pte.PRESENT for task in self.tasks)

    @property
    def cached_in(self) -> File | None:
        """The file whose cached page this is; None for anonymous pages, also of a private file mapping."""
        return None if self.backing is Backing.ANONYMOUS else self.file

    @property
    def hugetlb(self) -> bool:
        """Whether it is (still) part of a hugetlb page."""
        return self.kind is Kind.HUGETLB

    @property
    def shift(self) -> int:
        """log2 of the bytes one page table entry covers."""
        return 12 + self.order if self.hugetlb else 12
