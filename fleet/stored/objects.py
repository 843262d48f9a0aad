"""A run in an object store, through ``pyarrow.fs``: an object is there whole once it is put, or not at all.

There are no folders, links or permissions to be careful with. What is put is durable, so nothing is to be synced;
an upload that was cut off never shows as an object.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
from pyarrow import fs

from fleet.stored.address import S3Address
from fleet.stored.answers import as_os_error
from fleet.stored.folder import Done, One
from fleet.stored.lease import LEASE, Lease
from node_sim.errors import ConfigError, ExecutionError

AT_ONCE: Final = 16
"""Objects that are read at a time: each takes some ten milliseconds of waiting."""


@dataclass(frozen=True)
class StoredObject:
    """An object, whose content is fetched when it is asked for."""

    name: str
    opened: Any

    def __enter__(self) -> Self:
        """Read."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.opened.close()

    def size_bytes(self) -> int:
        """Return its size."""
        return int(self.opened.size())

    def identity(self) -> str:
        """Return its name: another object is another copy."""
        return self.name

    def stream(self) -> io.BytesIO:
        """Fetch its content.

        Raises:
            ExecutionError: The store does not give it.
        """
        with _reading(self.name):
            return io.BytesIO(self.opened.read())


@contextmanager
def _reading(where: object) -> Iterator[None]:
    """Tell an object that is missing (FileNotFoundError), which is a damage, from a store that does not answer.

    Raises:
        ExecutionError: The store does not answer, or not to us.
    """
    try:
        with as_os_error():
            yield
    except FileNotFoundError:
        raise
    except OSError as error:
        msg = f"{where}: {error.strerror}, expected to read it; mend that, then try again"
        raise ExecutionError(msg) from None


@contextmanager
def _arriving(where: object) -> Iterator[None]:
    """Say what is wrong with the URL, or the way there, at the first contact.

    Raises:
        ConfigError: The store does not answer, or not to us.
    """
    try:
        with as_os_error():
            yield
    except OSError as error:
        msg = f"{where}: {error.strerror}, expected a bucket that can be written; mend the URL, AWS_* or the store"
        raise ConfigError(msg) from None


class ObjectStore:
    """A run below a URL; see ``RunStore`` for what is asked of it.

    Objects are put unconditionally, since pyarrow knows no conditional put: a lease keeps other writers away, and
    every document and removal asks first whether it is still held.
    """

    lock = "lease"

    def __init__(self, address: S3Address) -> None:
        """Remember the URL; nothing is asked yet."""
        self._address = address
        self._lease: Lease | None = None
        self._is_new = self._is_discarded = False

    def __str__(self) -> str:
        """Return the URL."""
        return self._address.url

    def __truediv__(self, path: str) -> str:
        """Return where an object is."""
        return f"{self._address.base}/{path}"

    @property
    def path(self) -> str:
        """The URL."""
        return self._address.url

    def address(self) -> str:
        """Return the URL."""
        return self._address.url

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        """Pyarrow's file system, and what stands before each name in it; small objects go in one request."""
        sign = "&" if "?" in self._address.url else "?"
        with _arriving(self):
            store, base = fs.FileSystem.from_uri(f"{self._address.url}{sign}allow_delayed_open=true")
        return store, str(base)

    def _key(self, *names: str) -> str:
        return "/".join((self._opened[1], *names))

    def _listed(self, *names: str, recursive: bool = False) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self._key(*names), allow_not_found=True, recursive=recursive)
        return [info for info in self._opened[0].get_file_info(selector) if info.type == fs.FileType.File]

    def arrow(self) -> tuple[fs.FileSystem, str]:
        """Return pyarrow's file system and what stands before each name in it."""
        return self._opened

    def exists(self) -> bool:
        """Return whether there is anything.

        Raises:
            ConfigError: There is no such bucket, or no way to it.
        """
        self._check_bucket()
        with _arriving(self):
            return bool(self._listed(recursive=False) or self._listed(recursive=True))

    def _check_bucket(self) -> None:
        bucket = self._key().split("/")[0]
        with _arriving(self):
            found = self._opened[0].get_file_info(bucket)
        if found.type == fs.FileType.NotFound:
            msg = f"{self}: no bucket {bucket}, expected one that is there; make it, or mend the URL"
            raise ConfigError(msg)

    def prepare(self) -> Sequence[Path]:
        """Check that the bucket is there and nothing below the URL."""
        self._check_bucket()
        self._check_empty()
        self._is_new = True
        return ()

    def _check_empty(self) -> None:
        with _arriving(self):
            found = [info for info in self._listed(recursive=True) if not LEASE.fullmatch(info.base_name)]
        if found:
            msg = f"{self}: not empty, expected a new URL; choose another with -o, or use 'resume'"
            raise ConfigError(msg)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lease of the run; a new one must still be empty by then."""
        lease = Lease(self._opened[0], self._key())
        try:
            with _arriving(self):
                lease.acquire(self)
            if self._is_new:
                self._check_empty()
            self._lease = lease
            yield
        finally:
            self._lease = None
            lease.release()
            if self._is_discarded:
                self._remove_marks()

    def holds(self, path: str) -> bool:
        """Return whether there is such an object."""
        with _reading(self / path):
            return bool(self._opened[0].get_file_info(self._key(path)).type == fs.FileType.File)

    def files(self, *names: str) -> list[str]:
        """Return the names of the objects whose names go on so, without a further ``/``."""
        with _reading(self):
            return sorted(info.base_name for info in self._listed(*names))

    names = files

    def open(self, path: str) -> StoredObject:
        """Ask for an object."""
        with _reading(self / path):
            return StoredObject(str(self / path), self._opened[0].open_input_file(self._key(path)))

    def write(self, path: str, content: bytes | memoryview) -> None:
        """Put an object."""
        with as_os_error(), self._opened[0].open_output_stream(self._key(path), compression=None) as stream:
            stream.write(content)

    def link(self, source: str, target: str) -> None:
        """Have the store copy an object, since it has no links."""
        with as_os_error():
            self._opened[0].copy_file(self._key(source), self._key(target))

    def sync(self, files: Iterable[str]) -> None:
        """Nothing to wait for: what was put is durable."""

    def replace(self, path: str, content: bytes) -> None:
        """Put a document, in one request, while the lease is held."""
        with as_os_error():
            self._check_lease()
        self.write(path, content)

    def _check_lease(self) -> None:
        """Check that no other writer may have taken the run over.

        Raises:
            ExecutionError: One may have, because this one seemed to be dead.
        """
        if self._lease is not None and not self._lease.is_held():
            expected = "expected to be the only writer; if no other is under way, 'hwpoison-fleet resume' it"
            msg = f"{self}: the lease of this process ran out, {expected}"
            raise ExecutionError(msg)

    def remove(self, path: str) -> None:
        """Delete an object, if it is there, while the lease is held."""
        with suppress(OSError, pa.ArrowException):
            self._check_lease()
            self._opened[0].delete_file(self._key(path))

    def remove_empty(self, _folders: Iterable[str], _made: Sequence[Path]) -> None:
        """Leave nothing of the run when its lease ends, if nothing is in it."""
        self._is_discarded = True

    def _remove_marks(self) -> None:
        """Delete the marks of empty folders that pyarrow puts where it has deleted objects."""
        with suppress(OSError, pa.ArrowException):
            if not self._listed(recursive=True):
                self._opened[0].delete_dir(self._key())

    def check_folder(self, *names: str) -> None:
        """Nothing to check: there are no folders."""

    def for_each(self, work: Callable[[One], Done], items: Iterable[One]) -> Iterator[Done]:
        """Yield what work makes of items, several at a time."""
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)
