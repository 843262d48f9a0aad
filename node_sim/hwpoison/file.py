"""The object behind a page-cache page, and the I/O errors it owes to its users.

**Models.** Stored and cached data; the mapping's and the super block's error sequence as descriptors see them.

**Leaves out.** Other pages of the file; journals.

**Assumes.** Nothing is written back but by the calls that are modelled.

**Sources.** lib/errseq.c, mm/filemap.c ``__filemap_set_wb_err()``, ``file_check_and_advance_wb_err()``, fs/sync.c.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM, FILE_SYSTEMS, FileSystem

ZEROS = "\0"


class Backing(enum.Enum):
    """Where the data of a page comes from."""

    ANONYMOUS = "anonymous"
    FILE = "file"
    BLOCK = "block device"
    METADATA = "file system metadata"
    RAMFS = "ramfs"
    SHMEM = "shmem"
    HUGETLBFS = "hugetlbfs"
    GUEST_MEMFD = "guest_memfd"
    SECRETMEM = "memfd_secret"
    NONE = "kernel"


WRITES_BACK = frozenset({Backing.FILE, Backing.BLOCK, Backing.METADATA})
"""Backings whose mapping can write dirty pages back."""


@dataclass
class Descriptor:
    """An open file: the numbers of errors it has seen, by fsync and by syncfs."""

    seen: int = 0
    seen_by_sync: int = 0


@dataclass
class File:
    """A file, shared memory object or block device.

    Attributes:
        backing: What kind of object it is.
        stored: Data on disk; None where there is no backing store.
        cached: Data in the page cache; None when not cached.
        poisoned: The cached page is the poisoned one.
        lost_in_swap: It is a poisoned page of the swap cache.
        truncated: The file ends before the page.
        errors: I/O errors recorded so far.
        reported: Whether the last has been reported to anybody, by fsync.
        reported_by_sync: The same, by syncfs.
        system: Its file system, where the backing is FILE.
        bad_block: The driver of device memory knows the block as bad.
    """

    backing: Backing = Backing.FILE
    stored: str | None = None
    cached: str | None = None
    poisoned: bool = False
    lost_in_swap: bool = False
    truncated: bool = False
    errors: int = 0
    reported: bool = True
    reported_by_sync: bool = True
    system: FileSystem = FILE_SYSTEMS[DEFAULT_FILE_SYSTEM]
    bad_block: bool = False

    def open(self) -> Descriptor:
        """Open: an error that nobody has seen is still reported to a later opener."""
        return Descriptor(self.errors - (not self.reported), self.errors - (not self.reported_by_sync))

    def fail(self) -> None:
        """Record an I/O error."""
        self.errors += 1
        self.reported = self.reported_by_sync = False

    def drop_caches(self, *, mapped: bool) -> None:
        """Write the page back, and drop it unless it is mapped: sync and /proc/sys/vm/drop_caches."""
        if self.backing in WRITES_BACK and self.cached is not None and not self.poisoned:
            self.stored = self.cached
            self.cached = self.cached if mapped else None

    def fill(self) -> str:
        """Return the cached data, read from the store when it is not cached."""
        if self.cached is None:
            self.cached = self.stored if self.stored is not None else ZEROS
        return self.cached
