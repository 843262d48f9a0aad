"""A physical page as the handler sees it, with the processes that map it and the file it belongs to.

**Models.** What the page is to the allocator, where its data comes from, its flags, and everything beyond flags that
decides how handling goes (references nobody expects, splits, races).

**Leaves out.** Other pages, but for the 4 KiB pages of one huge page.

**Assumes.** One page at a time.

**Sources.** include/linux/page-flags.h, include/linux/mm_types.h.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from node_sim.hwpoison.file import WRITES_BACK, Backing, File
from node_sim.hwpoison.process import Pte, Task
from node_sim.units import PAGE_BYTES

ORDER_2M, ORDER_1G = 9, 18


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
    SGX = "SGX EPC page"
    DEVICE = "device memory"
    DEVICE_PRIVATE = "device-private memory"
    DEVICE_METADATA = "metadata of device memory"
    OFFLINE = "offline memory"
    ABSENT = "no struct page"


KERNEL_OWNED = frozenset(
    {Kind.RESERVED, Kind.SLAB, Kind.COMPOUND, Kind.KERNEL, Kind.TAIL, Kind.ZERO, Kind.HUGE_ZERO, Kind.OFFLINE}
)
"""Kinds that ``HWPoisonHandlable()`` refuses."""


@dataclass
class Page:
    """A physical page with the state that decides how handling goes.

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
        by_entries: A huge page that page table entries map, one by one.
        splits: A huge page has no reference that keeps it from being split.
        minimum_order: The file system needs huge pages, which then count as not split.
        subpage: Number of the 4 KiB page in its huge page.
        zeros: It holds nothing but zeros before the bad cache line.
        table: A kernel page that is a page table.
        movable: A kernel page that its owner can move (balloon, zsmalloc).
        extra_references: References nobody expects (a pipe, a device).
        buffers: The file system or the journal is using the buffers of the page.
        writeback: It is being written back.
        unmaps: Every page table entry can be removed.
        migratable: A hugetlb page is not isolated or being allocated.
        dissolves: A hugetlb page can be dissolved.
        takes_off: The page can be taken off the free lists (no lost race).
        freed_meanwhile: It becomes free while it is being handled.
        block_head: First page of a free block.
        device_range: A driver has registered the range (pages without struct page).
        tasks: Processes mapping it.
        file: The object behind it, or behind the private copy that it is.
        poisoned: PG_hwpoison.
        held: The handler holds a reference.
        withdrawn: It is out of use for good.
        bad_subpages: Bad 4 KiB pages of a hugetlb page.
        lost_bytes: Memory that the allocator has lost [bytes].
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
    by_entries: bool = False
    splits: bool = True
    minimum_order: bool = False
    subpage: int = 0
    zeros: bool = False
    table: bool = False
    movable: bool = False
    extra_references: int = 0
    buffers: bool = False
    writeback: bool = False
    unmaps: bool = True
    migratable: bool = True
    dissolves: bool = True
    takes_off: bool = True
    freed_meanwhile: bool = False
    block_head: bool = False
    device_range: bool = False
    tasks: list[Task] = field(default_factory=list)
    file: File | None = None
    poisoned: bool = False
    held: bool = False
    withdrawn: bool = False
    bad_subpages: set[int] = field(default_factory=set)
    lost_bytes: int = 0

    @property
    def mapped(self) -> bool:
        """Whether a page table maps it."""
        return any(task.maps(Pte.PRESENT) for task in self.tasks)

    @property
    def cached_in(self) -> File | None:
        """The file whose cached page this is; None for anonymous pages, also of a private file mapping."""
        return None if self.backing is Backing.ANONYMOUS else self.file

    @property
    def hugetlb(self) -> bool:
        """Whether it is (still) part of a hugetlb page."""
        return self.kind is Kind.HUGETLB

    @property
    def splittable(self) -> bool:
        """Whether a huge page can be split: not while a file system needs what it notes on a dirty one of a file.

        ``filemap_release_folio()`` refuses it then; pages of memory files carry no such notes.
        """
        kept = self.cached_in is not None and self.cached_in.system.private_data and self.dirty
        return self.splits and not (self.backing in WRITES_BACK and (kept or self.writeback))

    @property
    def movable_data(self) -> bool:
        """Whether migration can move the data: nobody else holds the page, and its owner has an operation for it."""
        immovable = (Backing.RAMFS, Backing.METADATA, Backing.SECRETMEM)
        return not self.extra_references and not self.buffers and self.backing not in immovable

    @property
    def shift(self) -> int:
        """log2 of the bytes one page table entry covers."""
        return 12 + self.order if self.hugetlb else 12

    @property
    def extent_bytes(self) -> int:
        """Size of the huge page it is part of, or its own."""
        return PAGE_BYTES << self.order

    def replace_entries(self, entry: Pte) -> None:
        """Put an entry in the place of every one that maps the page."""
        for mapping in (mapping for task in self.tasks for mapping in task.mappings):
            if mapping.pte is Pte.PRESENT:
                mapping.pte, mapping.shift = entry, self.shift

    def separate(self, number: int) -> Page:
        """Return another page of the same kind and use, some 4 KiB further on in each area that maps this one."""
        tasks = [_beside(task, None, number) for task in self.tasks]
        return replace(self, pfn=self.pfn + number, tasks=tasks, file=self.file and replace(self.file))

    def next_subpage(self) -> Page:
        """Return the next 4 KiB page of the same object, as it is now.

        Of a hugetlb page it shares all state; of another huge page it has page table entries of its own once that is
        split; after a split it is a page of its own; after a dissolve it is free.
        """
        if self.hugetlb:
            return replace(self, pfn=self.pfn + 1, subpage=self.subpage + 1)
        if self.order:
            entries = [_beside(task, None) for task in self.tasks]
            own = self.file and replace(self.file, poisoned=False)
            return replace(
                self, pfn=self.pfn + 1, subpage=self.subpage + 1, poisoned=False, held=False, tasks=entries, file=own
            )
        used = self.file is not None or any(task.alive for task in self.tasks)
        if self.bad_subpages or not used:
            return Page(self.pfn + 1, Kind.FREE, Backing.NONE, dirty=False)
        # A split unmaps huge pages of files, and maps those of nobody but their owners again.
        entry = Pte.PRESENT if self.backing is Backing.ANONYMOUS else Pte.NONE
        tasks = [_beside(task, entry) for task in self.tasks]
        return Page(self.pfn + 1, Kind.USER, self.backing, dirty=self.dirty, tasks=tasks, file=self.file and File())

    def learn_of(self, neighbour: Page) -> None:
        """Take over what an error in another 4 KiB page of the same huge page has done to all of it."""
        if self.hugetlb and neighbour.hugetlb:
            self.poisoned, self.migratable = neighbour.poisoned, neighbour.migratable
        elif self.order and not neighbour.order and not self.hugetlb:
            self.order = 0
            if self.backing is not Backing.ANONYMOUS:  # a split unmaps huge pages of files
                self.replace_entries(Pte.NONE)


def _beside(task: Task, entry: Pte | None, number: int = 1) -> Task:
    """Return a process as it maps a page further on, with a given page table entry or the one it has."""
    mappings = [
        replace(mapping, pte=mapping.pte if entry is None else entry, offset=mapping.offset + number * PAGE_BYTES)
        for mapping in task.mappings
    ]
    return replace(task, mappings=mappings)
