"""File systems as the handler tells them apart: whether a bad page can be taken out, large folios, layers.

**Models.** Which file systems have an ``error_remove_page`` (``error_remove_folio``) operation, which keep private data
with a dirty folio, and since when each exists and makes large folios.

**Leaves out.** Block sizes beyond 4 KiB (a state of its own), btrfs with experimental features, f2fs's immutable files,
huge pages of read-only files that khugepaged makes (a state of its own).

**Assumes.** A file of overlayfs lives on ext4.

**Sources.** ``.error_remove_`` in fs/ at 2.6.32, 3.10.105, 4.18, 5.10.198, 6.1.158, 6.12.33 and 7.1.5 (the same in all
for those below); ``mapping_set_large_folios()`` and ``mapping_set_folio_order_range()`` in the same trees and 6.17 (XFS
5.18, NFS and CIFS by 6.12, ext4 6.16); release_folio of each: iomap, ext4, btrfs and netfs refuse a dirty folio, NFS
writes it first. First releases: Ceph 2.6.34, f2fs 3.8, overlayfs 3.18; the others are older than 2.6.32.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class FileSystem(NamedTuple):
    """What the handler meets in a file system.

    Attributes:
        removes: A bad page can be taken out of a file even if it is dirty.
        private_data: A dirty folio carries private data that cannot be released, so a large one cannot be split.
        layered: fsync reaches the file system below, syncfs finds no error of its own.
        since: First kernel profile that has it.
        large_since: First in which it makes large folios; None where it makes none.
    """

    removes: bool = True
    private_data: bool = True
    layered: bool = False
    since: str = "2.6.32"
    large_since: str | None = None


FILE_SYSTEMS: Final = {
    "ext4": FileSystem(large_since="7.1"),
    "ext2": FileSystem(),
    "xfs": FileSystem(large_since="6.1"),
    "btrfs": FileSystem(),
    "nfs": FileSystem(private_data=False, large_since="6.12"),
    "overlay": FileSystem(layered=True, since="4.18", large_since="7.1"),
    "fuse": FileSystem(removes=False),
    "cifs": FileSystem(removes=False, large_since="6.12"),
    "ceph": FileSystem(removes=False, since="3.10"),
    "9p": FileSystem(removes=False),
    "f2fs": FileSystem(removes=False, since="3.10"),
    "vfat": FileSystem(removes=False),
}
"""By name."""
DEFAULT_FILE_SYSTEM: Final = "ext4"
