"""Files inside the folder of a run: found name by name from its top, so that no link inside it is ever followed.

The folder itself may be reached through links. Paths inside it are text with ``/`` between names, as commits hold them.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from node_sim.errors import ConfigError, DataError

LOCK = ".lock"
TEMPORARY: Final = re.compile(r"\.hwpoison-fleet-[0-9a-f]{32}\.tmp")
"""Names of files that a process of ours has not finished."""
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without O_NONBLOCK the process would wait for whoever writes a FIFO."""


@contextmanager
def open_folder(root: Path, *names: str, make: bool = False) -> Iterator[int]:
    """Open a folder inside that of a run; yield its descriptor.

    Args:
        root: Folder of the run.
        names: Names of folders from there.
        make: Make what is missing below ``root``.

    Raises:
        OSError: It is missing, or what has one of the names is a link or not a folder.
    """
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=here)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)


def _regular(name: str, flags: int, folder: int) -> int:
    """Open a regular file by name and return its descriptor.

    Raises:
        OSError: It is missing, a link, or something else than a file.
    """
    try:
        found = os.open(name, flags | _OLD_FILE, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a symbolic link") from None
        raise
    if stat.S_ISREG(os.fstat(found).st_mode):
        return found
    os.close(found)
    raise OSError(errno.EINVAL, "not a regular file")


def open_file(root: Path, path: str) -> io.BufferedReader:
    """Open a file of a run to read it.

    Raises:
        OSError: It is missing, something on the way is a link, or it is not a file.
    """
    *folders, name = path.split("/")
    with open_folder(root, *folders) as folder:
        return os.fdopen(_regular(name, os.O_RDONLY, folder), "rb")


def write_file(root: Path, path: str, content: bytes | memoryview) -> None:
    """Write a new file, with the folders it lies in.

    Raises:
        OSError: It is there already, or cannot be written.
    """
    *folders, name = path.split("/")
    with open_folder(root, *folders, make=True) as folder:
        descriptor = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def replace_file(root: Path, path: str, content: bytes) -> None:
    """Write a file so that it is on disk either whole or not at all; one of that name is replaced.

    Raises:
        OSError: It cannot be written.
    """
    *folders, name = path.split("/")
    temporary = f".hwpoison-fleet-{uuid.uuid4().hex}.tmp"
    with open_folder(root, *folders, make=True) as folder:
        try:
            with os.fdopen(os.open(temporary, _NEW_FILE, 0o666, dir_fd=folder), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        _sync_folder(folder)
    if folders:
        sync(root, (), ["/".join(folders)])


def link_file(root: Path, source: str, target: str) -> None:
    """Put a file at a second place.

    Raises:
        OSError: There is a file already, or the file system has no hard links.
    """
    *from_folders, old = source.split("/")
    *to_folders, new = target.split("/")
    with open_folder(root, *from_folders) as here, open_folder(root, *to_folders, make=True) as there:
        os.link(old, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)


def _sync_folder(folder: int) -> None:
    """Have the names in a folder on disk; file systems that know no such thing say EINVAL."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def sync(root: Path, files: Iterable[str], folders: Iterable[str] = ()) -> None:
    """Have files on disk, and the names of files and folders in all the folders above them.

    Raises:
        OSError: The disk is full or broken.
    """
    above: set[tuple[str, ...]] = set()
    for path in files:
        with open_file(root, path) as stream:
            os.fsync(stream.fileno())
        above.update(_above(path))
    for path in folders:
        above.update(_above(path))
    for names in above:
        with open_folder(root, *names) as folder:
            _sync_folder(folder)


def _above(path: str) -> Iterator[tuple[str, ...]]:
    names = path.split("/")[:-1]
    return (tuple(names[:depth]) for depth in range(len(names) + 1))


def files_in(root: Path, *names: str) -> list[str]:
    """Return the names of the regular files in a folder of a run, sorted; none if it is missing or not a folder.

    Raises:
        OSError: It cannot be read.
    """
    return [name for name, is_file in _entries(root, *names) if is_file]


def names_in(root: Path, *names: str) -> list[str]:
    """Return the names of whatever is in a folder of a run, likewise."""
    return [name for name, _ in _entries(root, *names)]


def _entries(root: Path, *names: str) -> list[tuple[str, bool]]:
    try:
        with open_folder(root, *names) as folder, os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_file(follow_symlinks=False)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove_file(root: Path, path: str) -> None:
    """Delete a file of a run, if it is there."""
    *folders, name = path.split("/")
    with suppress(OSError), open_folder(root, *folders) as folder:
        os.unlink(name, dir_fd=folder)


def remove_empty(folders: Iterable[Path]) -> None:
    """Delete those of some folders that are empty by then."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def check_folder(root: Path, *names: str) -> None:
    """Check that what has the name of a folder of ours is one.

    Raises:
        DataError: It is a link or a file.
    """
    with suppress(FileNotFoundError):
        try:
            with open_folder(root, *names):
                pass
        except NotADirectoryError:
            msg = f"{root.joinpath(*names)}: a link or a file, expected a folder of the run; move it away, then resume"
            raise DataError(msg) from None
        except PermissionError as error:
            msg = f"{root.joinpath(*names)}: {error.strerror}, expected a folder of the run; mend the permissions"
            raise DataError(msg) from None


def prepare_folder(root: Path) -> list[Path]:
    """Make the folder of a new run; return the folders that were made, from the top.

    Raises:
        ConfigError: It cannot be made or written, or it is not empty.
    """
    missing = [path for path in (*reversed(root.parents), root) if not os.path.lexists(path)]
    try:
        root.mkdir(parents=True, exist_ok=True)
        for path in missing:
            with open_folder(path.parent) as parent:
                _sync_folder(parent)
        ours = [name for name in files_in(root) if name == LOCK or TEMPORARY.fullmatch(name)]
        occupied = names_in(root) != ours
    except OSError as error:
        remove_empty(reversed(missing))
        msg = f"{root}: {error.strerror}, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg) from None
    if occupied:
        msg = f"{root}: not empty, expected a new or empty folder; choose another with -o, or use 'resume'"
        raise ConfigError(msg)
    if not os.access(root, os.W_OK | os.X_OK):
        msg = f"{root}: not writable, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg)
    return missing


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of a run.

    Raises:
        DataError: What has the name of the lock is a link or not a file.
        ConfigError: Another process writes this run, or the lock cannot be made.
    """
    try:
        with open_folder(root) as folder:
            lock = _regular(LOCK, os.O_RDWR | os.O_CREAT, folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL):
            msg = f"{root / LOCK}: {error.strerror}, expected the lock of a run; move it away"
            raise DataError(msg) from None
        msg = f"{root}: {error.strerror}, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"{root}: another process is writing this run; wait for it, or stop it first"
            raise ConfigError(msg) from None
        yield
    finally:
        os.close(lock)
