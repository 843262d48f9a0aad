"""What the page types of recorded scenarios mean: the page to the allocator, its file, its data.

**Models.** Every page type of the recordings.

**Leaves out.** File systems that have not been recorded.

**Assumes.** The words tell a hugetlbfs file from private memory where flags do not.

**Sources.** The column descriptions of the recordings; memfd_secret: mm/secretmem.c (5.14).
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from typing import Any, Final, NamedTuple

from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM
from node_sim.catalog.kernels import PROFILE_NAMES, has_since
from node_sim.catalog.profile import Profile
from node_sim.errors import DataError
from node_sim.guesses import one_of
from node_sim.hwpoison.file import ZEROS, Backing
from node_sim.hwpoison.page import ORDER_1G, ORDER_2M, Kind

ScenarioRow = Table[str, str]
"""The columns of a row by name."""


class UnknownScene(DataError):  # noqa: N818 - names what the row is
    """A row that describes something the model does not know."""


class RecordedType(NamedTuple):
    """What a page type of the recordings means.

    Attributes:
        kind: To the allocator.
        backing: Of the page, and of its file where ``file`` says that it has one.
        order: log2 of its pages.
        file: It belongs to a file.
        descriptors: Descriptors that are open on the file.
        named: The file has a name and can be opened again.
        device: Major and minor number of the file system's device.
        stored: Data on disk.
        written: Data that a process wrote.
        subpage: The bad 4 KiB page of a huge page, where the words do not say.
        system: File system of its file.
        pinned: The kernel itself holds a reference.
        since: First profile that has it.
    """

    kind: Kind = Kind.USER
    backing: Backing = Backing.NONE
    order: int = 0
    file: bool = False
    descriptors: int = 0
    named: bool = False
    device: tuple[int, int] | None = None
    stored: str | None = None
    written: str = "N"
    subpage: int = 0
    system: str = DEFAULT_FILE_SYSTEM
    pinned: bool = False
    since: str = PROFILE_NAMES[0]


_ANONYMOUS = RecordedType(backing=Backing.ANONYMOUS, written="A")
_DISK = RecordedType(backing=Backing.FILE, file=True, descriptors=2, named=True, stored="D")
_MEMORY = RecordedType(backing=Backing.SHMEM, file=True, descriptors=2, named=True)
_HUGE = RecordedType(Kind.HUGETLB, Backing.ANONYMOUS, ORDER_2M, written="A", subpage=3)
_RESERVED = RecordedType(Kind.RESERVED)
_FILE_ORDER: Final = 2
"""Of a large folio of a file: the files of the recordings are four pages long."""
_RING = RecordedType(Kind.KERNEL, written=ZEROS)
_TYPES: Final[dict[str, RecordedType]] = {
    "anonymous": _ANONYMOUS,
    "anonymous THP": _ANONYMOUS._replace(order=ORDER_2M, subpage=5),
    "anonymous KSM": _ANONYMOUS,
    "anonymous swap cache": _ANONYMOUS._replace(written="I"),
    "page cache ext4": _DISK._replace(device=(254, 0)),
    "page cache ext2": _DISK._replace(device=(254, 16), system="ext2"),
    "page cache ext4 data=journal": _DISK._replace(device=(254, 80)),
    "page cache xfs": _DISK._replace(system="xfs"),
    "page cache btrfs": _DISK._replace(system="btrfs"),
    "page cache overlay": _DISK._replace(system="overlay"),
    "page cache rootfs": _MEMORY,
    "page cache ramfs": _DISK._replace(backing=Backing.RAMFS),
    "block device page cache": _DISK._replace(backing=Backing.BLOCK, named=False, stored=ZEROS),
    "file system metadata": _DISK._replace(backing=Backing.BLOCK, descriptors=0, named=False),
    "shmem tmpfs": _MEMORY,
    "shmem THP": _MEMORY._replace(order=ORDER_2M, subpage=5),
    "shmem memfd": _MEMORY._replace(descriptors=1, named=False),
    "SysV shm": _MEMORY._replace(descriptors=0, named=False, written="A"),
    "memfd_secret": RecordedType(backing=Backing.SECRETMEM, file=True, descriptors=1, since="6.1"),
    "shared anonymous": _MEMORY._replace(descriptors=0, named=False, written="A"),
    "DAX ext4": _DISK._replace(kind=Kind.DEVICE),
    "AIO ring": _MEMORY._replace(descriptors=0, named=False, pinned=True),
    "io_uring ring": _RING,
    "perf ring buffer": _RING,
    "hugetlb 2M": _HUGE,
    "hugetlb 1G": _HUGE._replace(order=ORDER_1G),
    "free page": RecordedType(Kind.FREE),
    "slab page": RecordedType(Kind.SLAB),
    "reserved page": _RESERVED,
    "kernel text": _RESERVED,
    "kernel rodata": _RESERVED,
    "kernel data": _RESERVED,
    "memory map page": _RESERVED,
    "vdso page": _RESERVED,
    "page table page": RecordedType(Kind.KERNEL),
    "kernel stack": RecordedType(Kind.KERNEL),
    "vmalloc page": RecordedType(Kind.KERNEL),
    "kernel page": RecordedType(Kind.KERNEL),
    "zero page": RecordedType(Kind.ZERO, written=ZEROS),
    "huge zero page": RecordedType(Kind.HUGE_ZERO, written=ZEROS),
    "no page": RecordedType(Kind.ABSENT),
    "offline memory": RecordedType(Kind.OFFLINE),
}
PAGE_TYPES: Final = tuple(_TYPES)
"""Page types of the recordings."""

_HUGETLBFS: Final[dict[str, Any]] = {
    "backing": Backing.HUGETLBFS,
    "file": True,
    "descriptors": 2,
    "named": True,
    "written": "N",
}


def type_of(page_type: str, state: str, flags: frozenset[str]) -> RecordedType:
    """Return what a page type means together with the words and flags of its row.

    Raises:
        UnknownScene: The type is not known.
    """
    if page_type not in _TYPES:
        msg = f"page_type {page_type!r}: {one_of(page_type, PAGE_TYPES)}"
        raise UnknownScene(msg)
    kind = _TYPES[page_type]
    if kind.kind is Kind.FREE:
        return kind if "BUDDY" in flags else kind._replace(kind=Kind.PCP)
    if kind.kind is Kind.SLAB and flags & {"COMPOUND_HEAD", "COMPOUND_TAIL"}:
        return kind._replace(kind=Kind.COMPOUND)
    if kind.kind is Kind.HUGETLB and ("file" in state or ("MMAP" in flags and "ANON" not in flags)):
        unnamed = {"descriptors": 1, "named": False} if "memfd" in state else {}
        return kind._replace(**{**_HUGETLBFS, **unnamed})
    if kind.backing is Backing.FILE and "THP" in flags:
        return kind._replace(order=_FILE_ORDER, subpage=int("COMPOUND_TAIL" in flags))
    return kind._replace(kind=Kind.PCP) if "page is free" in state else kind


def check_type(page_type: str, profile: Profile) -> None:
    """Check that a profile knows a page type.

    Raises:
        UnknownScene: It does not.
    """
    since = _TYPES[page_type].since
    if not has_since(profile, since):
        msg = f"page_type {page_type!r}: not in kernel {profile.name}, which comes before {since}"
        raise UnknownScene(msg)
