"""Every page use and state that the handler tells apart, by name.

**Models.** A page of each kind with its file and the mappings of the processes that use it.

**Leaves out.** Combinations: a state differs from the ordinary one in one respect.

**Assumes.** The bad 4 KiB page of a huge page is not its first.

**Sources.** mm/memory-failure.c; the cases recorded on 6.1.192.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from typing import Any, Final, NamedTuple

from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM, FILE_SYSTEMS
from node_sim.catalog.kernels import LIST, PROFILE_NAMES
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.hwpoison.file import Backing, File
from node_sim.hwpoison.page import ORDER_1G, ORDER_2M, Kind, Page
from node_sim.hwpoison.process import Mapping, Pte, Task

PFN: Final = 0x1234
SUBPAGE: Final = PFN % (1 << ORDER_2M)
_MERGED_AT = 12288
_AGAIN: Final = {"poisoned": True, "withdrawn": True, "held": True}


class PageState(NamedTuple):
    """A page use and state.

    Attributes:
        group: Heading it is listed under.
        text: What it is.
        page: Fields of the page.
        file: Fields of its file; None where there is none.
        entry: Page table entry in the processes that use it; None where no process does.
        mapping: Fields of their mappings.
        since: First profile that knows the state.
    """

    group: str
    text: str
    page: Table[str, Any]
    file: Table[str, Any] | None = None
    entry: Pte | None = Pte.PRESENT
    mapping: Table[str, Any] = {}
    since: str = PROFILE_NAMES[0]


def _kernel(group: str, text: str, kind: Kind, *, entry: Pte | None = None, **page: Any) -> PageState:
    return PageState(group, text, {"kind": kind, "backing": Backing.NONE, "dirty": False, **page}, entry=entry)


def _anonymous(text: str, *, entry: Pte = Pte.PRESENT, since: str = PROFILE_NAMES[0], **page: Any) -> PageState:
    return PageState("anonymous memory", text, page, entry=entry, since=since)


def _file(
    text: str,
    backing: Backing = Backing.FILE,
    *,
    group: str = "page cache",
    mapped: bool = True,
    since: str = PROFILE_NAMES[0],
    stored: str | None = "D",
    system: str = DEFAULT_FILE_SYSTEM,
    **page: Any,
) -> PageState:
    dirty = page.get("dirty", True)
    cached = "N" if dirty else stored
    file = {"backing": backing, "stored": stored, "cached": cached, "system": FILE_SYSTEMS[system]}
    entry = Pte.PRESENT if mapped else Pte.NONE
    return PageState(group, text, {"backing": backing, **page}, file, entry, {"shared": True}, since)


def _large(text: str, system: str, since: str, *, dirty: bool = False, mapped: bool = True) -> PageState:
    """Return a large folio of a file; its bad 4 KiB page is what is handled."""
    return _file(text, dirty=dirty, order=ORDER_2M, subpage=SUBPAGE, mapped=mapped, since=since, system=system)


def _shmem(text: str, *, mapped: bool = True, since: str = PROFILE_NAMES[0], **page: Any) -> PageState:
    return _file(text, Backing.SHMEM, group="shared memory", mapped=mapped, since=since, stored=None, **page)


def _hugetlb(text: str, order: int = ORDER_2M, *, entry: Pte | None = Pte.PRESENT, **page: Any) -> PageState:
    subpage = PFN % (1 << order)
    return PageState("hugetlb", text, {"kind": Kind.HUGETLB, "order": order, "subpage": subpage} | page, entry=entry)


def _hugetlbfs(text: str, order: int = ORDER_2M, *, mapped: bool = True, bad: int | None = None) -> PageState:
    poisoned = bad is not None
    again: dict[str, Any] = {**_AGAIN, "bad_subpages": frozenset({bad})} if poisoned else {}
    private = _hugetlb(text, order, backing=Backing.HUGETLBFS, **again)
    file = {"backing": Backing.HUGETLBFS, "cached": "N", "poisoned": poisoned}
    entry = Pte.HWPOISON if poisoned else Pte.PRESENT if mapped else Pte.NONE
    return private._replace(file=file, entry=entry, mapping={"shared": True, "shift": 12 + order})


PAGES: Final[dict[str, PageState]] = {
    # no usable struct page, repeated errors
    "absent": _kernel("no memory, again", "pfn outside memory", Kind.ABSENT),
    "absent-device": PageState(
        "no memory, again",
        "device memory without struct page, registered by a driver",
        {"kind": Kind.ABSENT, "backing": Backing.FILE, "device_range": True},
        {"cached": "N"},
        mapping={"shared": True},
    ),
    "offline": _kernel("no memory, again", "page of an offline memory block", Kind.OFFLINE),
    "sgx": _kernel("no memory, again", "page of an SGX enclave", Kind.SGX)._replace(since="5.10"),
    "poisoned": PageState("no memory, again", "4 KiB page poisoned before, mapped", _AGAIN, entry=Pte.HWPOISON),
    "poisoned-unmapped": PageState(
        "no memory, again", "4 KiB page poisoned before, not mapped", _AGAIN, entry=Pte.NONE
    ),
    # free pages
    "free": _kernel("free", "free page in the buddy allocator", Kind.FREE),
    "free-head": _kernel("free", "free page, first of its block", Kind.FREE, block_head=True),
    "free-pcp": _kernel("free", "free page on a per-CPU list", Kind.PCP),
    "free-meanwhile": PageState(
        "free",
        "page that becomes free while it is handled",
        {"freed_meanwhile": True, "backing": Backing.NONE},
        entry=None,
    ),
    "free-race": _kernel("free", "free page that is allocated first, twice", Kind.FREE, takes_off=False),
    "hugetlb-free": _hugetlb("hugetlb 2M, free in the pool", entry=None, dirty=False),
    "hugetlb-free-head": _hugetlb(
        "hugetlb 2M, free in the pool, in its first 4 KiB", entry=None, dirty=False, subpage=0
    ),
    "hugetlb-free-stuck": _hugetlb(
        "hugetlb 2M, free, that cannot be dissolved", entry=None, dirty=False, dissolves=False
    ),
    "hugetlb-1g-free": _hugetlb("hugetlb 1G, free in the pool", ORDER_1G, entry=None, dirty=False),
    # kernel-owned pages
    "reserved": _kernel("kernel", "reserved page (kernel image, memory map)", Kind.RESERVED),
    "slab": _kernel("kernel", "slab page, order 0", Kind.SLAB),
    "slab-compound": _kernel("kernel", "slab or other compound kernel page", Kind.COMPOUND),
    "kernel": _kernel("kernel", "kernel stack, vmalloc or driver page", Kind.KERNEL),
    "page-table": _kernel("kernel", "page table", Kind.KERNEL, table=True),
    "kernel-tail": _kernel("kernel", "later page of a high-order allocation", Kind.TAIL),
    "movable": _kernel("kernel", "movable page of a driver (balloon, zsmalloc)", Kind.KERNEL, movable=True),
    "zero": _kernel("kernel", "zero page", Kind.ZERO, entry=Pte.PRESENT),
    "huge-zero": _kernel("kernel", "huge zero page", Kind.HUGE_ZERO, entry=Pte.PRESENT)._replace(since="3.10"),
    # anonymous memory
    "anonymous": _anonymous("written"),
    "anonymous-clean": _anonymous("after MADV_FREE", dirty=False, swapbacked=False, since="4.18"),
    "anonymous-protected": _anonymous("PROT_NONE")._replace(mapping={"readable": False, "writable": False}),
    "anonymous-pinned": _anonymous("with an extra reference", extra_references=1),
    "anonymous-mlocked": _anonymous("mlocked", mlocked=True)._replace(mapping={"locked": True}),
    "anonymous-isolated": _anonymous("off the LRU for a moment", lru=False),
    "anonymous-stuck": _anonymous("that cannot be unmapped", unmaps=False),
    "anonymous-clean-stuck": _anonymous(
        "after MADV_FREE, that cannot be unmapped", dirty=False, swapbacked=False, unmaps=False, since="4.18"
    ),
    "swap-dirty": _anonymous("swap cache, dirty, mapped", swapcache=True),
    "swap-dirty-unmapped": _anonymous("swap cache, dirty, not mapped", swapcache=True, entry=Pte.SWAP),
    "swap-dirty-pinned": _anonymous("swap cache, dirty, extra reference", swapcache=True, extra_references=1),
    "swap-clean": _anonymous("swap cache, clean, mapped", swapcache=True, dirty=False),
    "swap-clean-unmapped": _anonymous("swap cache, clean, not mapped", swapcache=True, dirty=False, entry=Pte.SWAP),
    "swap-clean-pinned": _anonymous(
        "swap cache, clean, extra reference", swapcache=True, dirty=False, extra_references=1
    ),
    "swap-kept": _anonymous(
        "swap cache, dirty, poisoned before and kept",
        entry=Pte.SWAP,
        swapcache=True,
        dirty=False,
        lru=False,
        poisoned=True,
        withdrawn=True,
        held=True,
    ),
    "ksm": _anonymous("merged (KSM)", ksm=True),
    "thp": _anonymous("transparent huge page", order=ORDER_2M, subpage=SUBPAGE, since="3.10"),
    "thp-by-entries": _anonymous(
        "huge page mapped by page table entries",
        order=ORDER_2M,
        subpage=SUBPAGE,
        since="3.10",
        by_entries=True,
    ),
    "thp-zeros": _anonymous(
        "transparent huge page whose bad 4 KiB page holds zeros",
        order=ORDER_2M,
        subpage=SUBPAGE,
        zeros=True,
        since="3.10",
    ),
    "thp-unsplittable": _anonymous(
        "transparent huge page with an extra reference", order=ORDER_2M, subpage=SUBPAGE, splits=False, since="3.10"
    ),
    # page cache
    "file-clean": _file("clean, mapped", dirty=False),
    "file-clean-unmapped": _file("clean, not mapped", dirty=False, mapped=False),
    "file-dirty": _file("dirty, mapped"),
    "file-dirty-unmapped": _file("dirty, not mapped", mapped=False),
    "file-writeback": _file("under writeback, not mapped", dirty=False, mapped=False, writeback=True),
    "file-writeback-mapped": _file("under writeback, mapped", dirty=False, writeback=True),
    "fuse-clean": _file("clean, mapped, of a file system that cannot remove a bad page", dirty=False, system="fuse"),
    "fuse-dirty": _file("dirty, mapped, of a file system that cannot remove a bad page", system="fuse"),
    "fuse-clean-unmapped": _file(
        "clean, not mapped, of a file system that cannot remove a bad page", dirty=False, mapped=False, system="fuse"
    ),
    "fuse-dirty-unmapped": _file(
        "dirty, not mapped, of a file system that cannot remove a bad page", mapped=False, system="fuse"
    ),
    "overlay-dirty": _file("dirty, mapped, of overlayfs", system="overlay"),
    "file-pinned": _file("clean, mapped, extra reference", dirty=False, extra_references=1),
    "file-clean-stuck": _file("clean, mapped, that cannot be unmapped", dirty=False, unmaps=False),
    "file-truncated": PageState(
        "page cache",
        "truncated, still referenced",
        {"backing": Backing.FILE, "dirty": False, "extra_references": 1},
        {"stored": "D", "truncated": True},
        entry=Pte.NONE,
        mapping={"shared": True},
    ),
    "file-mlocked": _file("clean, mlocked", dirty=False, mlocked=True),
    "file-dirty-mlocked": _file("dirty, mlocked", mlocked=True),
    "metadata": _file("directory or other metadata mapping", Backing.METADATA, dirty=False, mapped=False),
    "journal-uncommitted": _file("ext4 data=journal, written, not committed", dirty=False, mapped=False),
    "journal-uncommitted-held": _file(
        "ext4 data=journal, not committed, held by the journal", dirty=False, buffers=True, mapped=False
    ),
    "journal-committed": _file("ext4 data=journal, committed, not checkpointed", mapped=False),
    "file-thp": _file("huge page of a file", dirty=False, order=ORDER_2M, subpage=SUBPAGE, since="4.18"),
    "file-thp-unmapped": _large("huge page of a file, not mapped", DEFAULT_FILE_SYSTEM, "4.18", mapped=False),
    "file-thp-dirty": _large("dirty large folio of XFS (or of ext4 since 6.16)", "xfs", "6.1", dirty=True),
    "file-thp-dirty-unmapped": _large("dirty large folio of XFS, not mapped", "xfs", "6.1", dirty=True, mapped=False),
    "nfs-thp": _large("large folio of NFS", "nfs", "6.12"),
    "nfs-thp-unmapped": _large("large folio of NFS, not mapped", "nfs", "6.12", mapped=False),
    "nfs-thp-dirty": _large("dirty large folio of NFS, which writes it before a split", "nfs", "6.12", dirty=True),
    "nfs-thp-dirty-unmapped": _large("dirty large folio of NFS, not mapped", "nfs", "6.12", dirty=True, mapped=False),
    "cifs-thp": _large("large folio of CIFS, which cannot remove a bad page", "cifs", "6.12"),
    "cifs-thp-unmapped": _large("large folio of CIFS, not mapped", "cifs", "6.12", mapped=False),
    "cifs-thp-dirty": _large("dirty large folio of CIFS", "cifs", "6.12", dirty=True),
    "cifs-thp-dirty-unmapped": _large(
        "dirty large folio of CIFS, not mapped", "cifs", "6.12", dirty=True, mapped=False
    ),
    "file-thp-writeback": _file(
        "large folio under writeback",
        dirty=False,
        writeback=True,
        order=ORDER_2M,
        subpage=SUBPAGE,
        since="6.1",
        system="xfs",
    ),
    "file-thp-min-order": _file(
        "huge page of a file system that needs them",
        dirty=False,
        order=ORDER_2M,
        subpage=SUBPAGE,
        minimum_order=True,
        since="6.12",
    ),
    "block-clean": _file("block device, clean", Backing.BLOCK, dirty=False),
    "block-dirty": _file("block device, dirty", Backing.BLOCK),
    "block-buffers": _file("super block, buffers in use", Backing.BLOCK, dirty=False, buffers=True, mapped=False),
    "ramfs": _file("ramfs, mapped", Backing.RAMFS, stored=None, unevictable=True),
    "ramfs-unmapped": _file("ramfs, not mapped", Backing.RAMFS, stored=None, unevictable=True, mapped=False),
    # shared memory
    "tmpfs": _shmem("tmpfs or memfd, mapped"),
    "tmpfs-unmapped": _shmem("tmpfs or memfd, not mapped", mapped=False),
    "shm-locked": _shmem("SysV shared memory, SHM_LOCKed", unevictable=True),
    "tmpfs-swap-dirty": _shmem("tmpfs, dirty in the swap cache", swapcache=True, mapped=False),
    "secretmem": _file(
        "memfd_secret, mapped",
        Backing.SECRETMEM,
        group="shared memory",
        stored=None,
        unevictable=True,
        since="6.1",
    ),
    "tmpfs-thp": _shmem("tmpfs huge page", order=ORDER_2M, subpage=SUBPAGE, since="4.18"),
    # hugetlb
    "hugetlb": _hugetlb("2M, private, mapped"),
    "hugetlb-stuck": _hugetlb("2M, private, that cannot be dissolved", dissolves=False),
    "hugetlb-isolated": _hugetlb("2M, isolated or being allocated", migratable=False),
    "hugetlb-file": _hugetlbfs("2M file, mapped"),
    "hugetlb-file-unmapped": _hugetlbfs("2M file, not mapped", mapped=False),
    "hugetlb-1g": _hugetlb("1G, private, mapped", ORDER_1G),
    "hugetlb-1g-file": _hugetlbfs("1G file, mapped", ORDER_1G),
    "hugetlb-dissolved-other": _kernel("hugetlb", "4 KiB page next to one that was dissolved", Kind.FREE)._replace(
        since="4.18"
    ),
    "hugetlb-file-other": _hugetlbfs("2M file with another bad 4 KiB page", bad=SUBPAGE + 1)._replace(since="3.10"),
    "hugetlb-file-same": _hugetlbfs("2M file, the same 4 KiB page again", bad=SUBPAGE)._replace(since="3.10"),
    # devices and guests
    "dax": PageState(
        "devices, guests",
        "device memory (DAX), mapped",
        {"kind": Kind.DEVICE, "backing": Backing.FILE},
        {"cached": "N"},
        mapping={"shared": True},
        since="4.18",
    ),
    "dax-bad-block": PageState(
        "devices, guests",
        "device memory (DAX), mapped, whose driver knows the block as bad",
        {"kind": Kind.DEVICE, "backing": Backing.FILE},
        {"cached": "N", "bad_block": True},
        mapping={"shared": True},
        since="4.18",
    ),
    "dax-unmapped": PageState(
        "devices, guests",
        "device memory (DAX), not mapped",
        {"kind": Kind.DEVICE, "backing": Backing.FILE},
        {"cached": "N"},
        entry=None,
        since="4.18",
    ),
    "device-private": _kernel("devices, guests", "device-private memory (HMM)", Kind.DEVICE_PRIVATE)._replace(
        since="4.18"
    ),
    "device-metadata": _kernel("devices, guests", "metadata of device memory", Kind.DEVICE_METADATA)._replace(
        since="6.1"
    ),
    "guest-memfd": _file(
        "guest_memfd", Backing.GUEST_MEMFD, group="devices, guests", dirty=False, since="6.12", stored=None
    ),
}
"""Page uses and states by name; a state that a profile does not know yet is refused."""


def check_state(name: str, profile: str) -> None:
    """Check that a profile knows a page state.

    Raises:
        ConfigError: It does not.
    """
    if name not in PAGES:
        msg = f"--page {name}: {one_of(name, PAGES, LIST)}"
        raise ConfigError(msg)
    since = PAGES[name].since
    if PROFILE_NAMES.index(profile) < PROFILE_NAMES.index(since):
        msg = f"--page {name}: not in kernel {profile}, expected profile {since} or later; choose another --kernel"
        raise ConfigError(msg)


def build_page(name: str, tasks: list[Task]) -> Page:
    """Return a page in a state, used by processes; each process gets its mapping.

    Args:
        name: Of the state.
        tasks: Processes, without mappings; those that can use the page get it mapped.
    """
    state = PAGES[name]
    fields = dict(state.page)
    fields["bad_subpages"] = set(fields.get("bad_subpages", ()))
    page = Page(pfn=PFN, **fields, file=None if state.file is None else File(**state.file))
    if state.entry is None:
        return page
    for task in tasks:
        mapping = Mapping(state.entry, **state.mapping)
        zero = page.zeros or page.kind in (Kind.ZERO, Kind.HUGE_ZERO)
        mapping.private = ("\0" if zero else "A") if page.file is None else None
        task.mappings = [mapping]
        if page.ksm:
            task.mappings.append(Mapping(state.entry, offset=_MERGED_AT, private="A"))
    page.tasks = tasks
    return page
