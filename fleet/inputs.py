"""Files that a command reads as its input: regular ones, read whole, and no more of them than they may have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_input(path: Path, bytes_max: int) -> bytes:
    """Return what a file holds, or its first ``bytes_max + 1`` bytes if it holds more.

    A pipe, ``<(...)`` and ``/dev/stdin`` behind ``|`` among them, may have no end or no writer, and a device may act on
    being opened: both are told from files before they are.

    Raises:
        OSError: It is missing, no regular file, or cannot be read; ``strerror`` says so.
    """
    _check_regular(path.stat().st_mode)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        _check_regular(os.fstat(stream.fileno()).st_mode)  # another file may have taken its place
        return stream.read(bytes_max + 1)


def _check_regular(mode: int) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"{_KINDS.get(kind, 'no file')}, not a regular file")
