"""File systems as the handler tells them apart: whether a bad page can be taken out, large folios, layers.

**Models.** Which file systems have an ``error_remove_page`` (``error_remove_folio``) operation, which keep private data
with a dirty folio, and which make large folios since when.

**Leaves out.** Block sizes beyond 4 KiB (a state of its own), btrfs with experimental features, f2fs's immutable files.

**Assumes.** A file of overlayfs lives on ext4.

**Sources.** ``.error_remove_`` in fs/ at 2.6.32, 3.10.105, 4.18, 5.10.198, 6.1.158, 6.12.33 and 7.1.5 (the same in all
for those below); ``mapping_set_large_folios()`` in the same trees and 6.17 (XFS 5.18, ext4 6.16); release_folio of
each: iomap, ext4, btrfs and netfs refuse a dirty folio, NFS writes it first.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class FileSystem(NamedTuple):
    """What the handler meets in a file system.

    Attributes:
        removes: A bad page can be taken out of a file even if it is dirty.
        keeps_notes: A dirty folio carries private data that cannot be released, so a large one cannot be split.
        large_since: First profile in which it has large folios; None where none does.
        layered: fsync reaches the file system below, syncfs finds no error of its own.
    """

    removes: bool = True
    keeps_notes: bool = True
    large_since: str | None = None
    layered: bool = False


FILE_SYSTEMS: Final = {
    "ext4": FileSystem(large_since="7.1"),
    "ext2": FileSystem(),
    "xfs": FileSystem(large_since="6.1"),
    "btrfs": FileSystem(),
    "nfs": FileSystem(keeps_notes=False, large_since="6.12"),
    "overlay": FileSystem(large_since="7.1", layered=True),
    "fuse": FileSystem(removes=False),
    "cifs": FileSystem(removes=False, large_since="6.12"),
    "ceph": FileSystem(removes=False),
    "9p": FileSystem(removes=False),
    "f2fs": FileSystem(removes=False),
    "vfat": FileSystem(removes=False),
}
"""By name."""
DEFAULT_FILE_SYSTEM: Final = "ext4"
