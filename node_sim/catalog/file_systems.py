"""File systems as the handler tells them apart: whether a bad page can be taken out, large folios, layers.

**Models.** Which file systems have an ``error_remove_page`` (``error_remove_folio``) operation, and which keep private
data with a dirty folio.

**Leaves out.** Which make large folios (XFS 5.18, NFS and CIFS 6.12, ext4 6.16), block sizes beyond 4 KiB (a state of
its own), btrfs with experimental features, f2fs's immutable files.

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
        private_data: A dirty folio carries private data that cannot be released, so a large one cannot be split.
        layered: fsync reaches the file system below, syncfs finds no error of its own.
    """

    removes: bool = True
    private_data: bool = True
    layered: bool = False


FILE_SYSTEMS: Final = {
    "ext4": FileSystem(),
    "ext2": FileSystem(),
    "xfs": FileSystem(),
    "btrfs": FileSystem(),
    "nfs": FileSystem(private_data=False),
    "overlay": FileSystem(layered=True),
    "fuse": FileSystem(removes=False),
    "cifs": FileSystem(removes=False),
    "ceph": FileSystem(removes=False),
    "9p": FileSystem(removes=False),
    "f2fs": FileSystem(removes=False),
    "vfat": FileSystem(removes=False),
}
"""By name."""
DEFAULT_FILE_SYSTEM: Final = "ext4"
