"""A run in a folder: files are found name by name from its top, so that no link inside it is ever followed.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from pyarrow import fs

from node_sim.errors import ConfigError, DataError

One = TypeVar("One")
Done = TypeVar("Done")
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


def _sync_folder(folder: int) -> None:
    """Have the names in a folder on disk; file systems that know no such thing say EINVAL."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _above(path: str) -> Iterator[tuple[str, ...]]:
    names = path.split("/")[:-1]
    return (tuple(names[:depth]) for depth in range(len(names) + 1))


def _remove_empty(folders: Iterable[Path]) -> None:
    """Delete those of some folders that are empty by then."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@dataclass(frozen=True)
class LocalFile:
    """A file of a run, open to be read."""

    opened: io.BufferedReader

    def __enter__(self) -> Self:
        """Read."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.opened.close()

    def size_bytes(self) -> int:
        """Return its size."""
        return os.fstat(self.opened.fileno()).st_size

    def identity(self) -> tuple[int, int]:
        """Return what is equal for all hard links of a file, and for nothing else."""
        found = os.fstat(self.opened.fileno())
        return found.st_dev, found.st_ino

    def stream(self) -> io.BufferedReader:
        """Return its content."""
        return self.opened


@dataclass(frozen=True)
class LocalFolder:
    """The folder of a run; see ``RunStore`` for what is asked of it."""

    path: Path
    lock = "flock"

    def __str__(self) -> str:
        """Return its path."""
        return str(self.path)

    def __truediv__(self, path: str) -> Path:
        """Return where a file of the run is."""
        return self.path / path

    def address(self) -> str:
        """Return its path as it is from everywhere on this machine."""
        return str(self.path.resolve())

    def arrow(self) -> tuple[fs.FileSystem, str]:
        """Return pyarrow's file system and the path of the run in it.

        Raises:
            ConfigError: Arrow takes no path that is not Unicode.
        """
        try:
            self.address().encode()
        except UnicodeEncodeError:
            msg = f"{self.path}: not Unicode, expected a path that Arrow can take; move the run"
            raise ConfigError(msg) from None
        return fs.LocalFileSystem(), self.address()

    def exists(self) -> bool:
        """Return whether it is there."""
        return os.path.isdir(self.path)  # noqa: PTH112 - Path.is_dir() raises for a name that is too long

    def holds(self, path: str) -> bool:
        """Return whether something has the name of a file of the run.

        Raises:
            DataError: The folder may not be looked into.
        """
        try:
            os.lstat(self.path / path)
        except PermissionError as error:
            msg = f"{self.path}: {error.strerror}, expected a folder that may be looked into; mend the permissions"
            raise DataError(msg) from None
        except (OSError, ValueError):
            return False
        return True

    def for_each(self, work: Callable[[One], Done], items: Iterable[One]) -> Iterator[Done]:
        """Yield what work makes of items, one after the other, as disks like it."""
        return map(work, items)

    def open(self, path: str) -> LocalFile:
        """Open a file of a run to read it.

        Raises:
            OSError: It is missing, something on the way is a link, or it is not a file.
        """
        return LocalFile(self._open_file(path))

    def _open_file(self, path: str) -> io.BufferedReader:
        *folders, name = path.split("/")
        with open_folder(self.path, *folders) as folder:
            return os.fdopen(_regular(name, os.O_RDONLY, folder), "rb")

    def write(self, path: str, content: bytes | memoryview) -> None:
        """Write a new file, with the folders it lies in.

        Raises:
            OSError: It is there already, or cannot be written.
        """
        *folders, name = path.split("/")
        with open_folder(self.path, *folders, make=True) as folder:
            descriptor = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)

    def replace(self, path: str, content: bytes) -> None:
        """Write a file so that it is on disk either whole or not at all; one of that name is replaced.

        Raises:
            OSError: It cannot be written.
        """
        *folders, name = path.split("/")
        temporary = f".hwpoison-fleet-{uuid.uuid4().hex}.tmp"
        with open_folder(self.path, *folders, make=True) as folder:
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
            self.sync((), ["/".join(folders)])

    def link(self, source: str, target: str) -> None:
        """Put a file at a second place.

        Raises:
            OSError: There is a file already, or the file system has no hard links.
        """
        *from_folders, old = source.split("/")
        *to_folders, new = target.split("/")
        with open_folder(self.path, *from_folders) as here, open_folder(self.path, *to_folders, make=True) as there:
            os.link(old, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)

    def sync(self, files: Iterable[str], folders: Iterable[str] = ()) -> None:
        """Have files on disk, and the names of files and folders in all the folders above them.

        Raises:
            OSError: The disk is full or broken.
        """
        above: set[tuple[str, ...]] = set()
        for path in files:
            with self._open_file(path) as stream:
                os.fsync(stream.fileno())
            above.update(_above(path))
        for path in folders:
            above.update(_above(path))
        for names in above:
            with open_folder(self.path, *names) as folder:
                _sync_folder(folder)

    def files(self, *names: str) -> list[str]:
        """Return the names of the regular files in a folder of a run, sorted; none if it is missing or not a folder.

        Raises:
            OSError: It cannot be read.
        """
        return [name for name, is_file in self._entries(*names) if is_file]

    def names(self, *names: str) -> list[str]:
        """Return the names of whatever is in a folder of a run, likewise."""
        return [name for name, _ in self._entries(*names)]

    def _entries(self, *names: str) -> list[tuple[str, bool]]:
        try:
            with open_folder(self.path, *names) as folder, os.scandir(folder) as entries:
                return sorted((entry.name, entry.is_file(follow_symlinks=False)) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, path: str) -> None:
        """Delete a file of a run, if it is there."""
        *folders, name = path.split("/")
        with suppress(OSError), open_folder(self.path, *folders) as folder:
            os.unlink(name, dir_fd=folder)

    def remove_empty(self, folders: Iterable[str], made: Sequence[Path]) -> None:
        """Delete those of some folders of the run, and of those made for it, that are empty by then."""
        _remove_empty((*(self.path / name for name in folders), *reversed(made)))

    def check_folder(self, *names: str) -> None:
        """Check that what has the name of a folder of ours is one.

        Raises:
            DataError: It is a link or a file.
        """
        with suppress(FileNotFoundError):
            try:
                with open_folder(self.path, *names):
                    pass
            except NotADirectoryError:
                what = "a link or a file, expected a folder of the run; move it away, then resume"
                msg = f"{self.path.joinpath(*names)}: {what}"
                raise DataError(msg) from None
            except PermissionError as error:
                where = self.path.joinpath(*names)
                msg = f"{where}: {error.strerror}, expected a folder of the run; mend the permissions"
                raise DataError(msg) from None

    def prepare(self) -> list[Path]:
        """Make the folder of a new run; return the folders that were made, from the top.

        Raises:
            ConfigError: It cannot be made or written, or it is not empty.
        """
        missing = [path for path in (*reversed(self.path.parents), self.path) if not os.path.lexists(path)]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for path in missing:
                with open_folder(path.parent) as parent:
                    _sync_folder(parent)
            ours = [name for name in self.files() if name == LOCK or TEMPORARY.fullmatch(name)]
            occupied = self.names() != ours
        except OSError as error:
            _remove_empty(reversed(missing))
            msg = f"{self.path}: {error.strerror}, expected a folder that can be written; choose another with -o"
            raise ConfigError(msg) from None
        if occupied:
            msg = f"{self.path}: not empty, expected a new or empty folder; choose another with -o, or use 'resume'"
            raise ConfigError(msg)
        if not os.access(self.path, os.W_OK | os.X_OK):
            msg = f"{self.path}: not writable, expected a folder that can be written; choose another with -o"
            raise ConfigError(msg)
        return missing

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of a run.

        Raises:
            DataError: What has the name of the lock is a link or not a file.
            ConfigError: Another process writes this run, or the lock cannot be made.
        """
        try:
            with open_folder(self.path) as folder:
                lock = _regular(LOCK, os.O_RDWR | os.O_CREAT, folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL):
                msg = f"{self.path / LOCK}: {error.strerror}, expected the lock of a run; move it away"
                raise DataError(msg) from None
            msg = f"{self.path}: {error.strerror}, expected a folder that can be written; choose another with -o"
            raise ConfigError(msg) from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                msg = f"{self.path}: another process is writing this run; wait for it, or stop it first"
                raise ConfigError(msg) from None
            yield
        finally:
            os.close(lock)
