"""The seam between a run and what it is stored on: what is asked of a folder, and of an object store alike."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, Self

from pyarrow import fs

from fleet.stored.address import parse_address
from fleet.stored.folder import Done, LocalFolder, One


class OpenFile(Protocol):
    """A file of a run, open to be read."""

    def __enter__(self) -> Self:
        """Read."""

    def __exit__(self, *_: object) -> None:
        """Close."""

    def size_bytes(self) -> int:
        """Return its size."""

    def identity(self) -> Hashable:
        """Return what is equal only for names of the same bytes."""

    def stream(self) -> io.BufferedReader | io.BytesIO:
        """Return its content."""


class RunStore(Protocol):
    """Where a run is. Its text is the path or URL; paths inside it have ``/`` between names, as commits hold them.

    What cannot be done raises OSError, with ``strerror`` as a message may hold it.
    """

    @property
    def lock(self) -> str:
        """How other writers are kept away: ``flock``, or a ``lease`` that is renewed."""

    @property
    def path(self) -> Path | str:
        """The folder or URL."""

    def __truediv__(self, path: str) -> object:
        """Name a file of the run in a message."""

    def address(self) -> str:
        """Return what ``open_store`` opens again in another process, whatever its working folder."""

    def arrow(self) -> tuple[fs.FileSystem, str]:
        """Return pyarrow's file system and the path of the run in it, for parts that have been looked at."""

    def exists(self) -> bool:
        """Return whether there is such a folder, or anything below such a URL."""

    def prepare(self) -> Sequence[Path]:
        """Make place for a new run; return the folders that were made, from the top.

        Raises:
            ConfigError: It cannot be written, or something is there.
        """

    def locked(self) -> AbstractContextManager[None]:
        """Keep other writers away.

        Raises:
            ConfigError: There is another one, or nothing can be written.
        """

    def holds(self, path: str) -> bool:
        """Return whether something has the name of a file of the run.

        Raises:
            DataError: That cannot be asked.
        """

    def names(self, *names: str) -> list[str]:
        """Return the names of whatever is in a folder of the run, sorted; none if there is no such folder."""

    def files(self, *names: str) -> list[str]:
        """Return those of regular files likewise."""

    def open(self, path: str) -> OpenFile:
        """Open a file to read it; one that is missing raises FileNotFoundError."""

    def write(self, path: str, content: bytes | memoryview) -> None:
        """Write a new file, with the folders it lies in."""

    def link(self, source: str, target: str) -> None:
        """Put a file at a second place without writing it again, where that can be done."""

    def sync(self, files: Iterable[str]) -> None:
        """Return once files and their names outlive a loss of power."""

    def replace(self, path: str, content: bytes) -> None:
        """Write a document so that readers find either all of it, and for good, or what was there before."""

    def remove(self, path: str) -> None:
        """Delete a file, if it is there and can be deleted."""

    def remove_empty(self, folders: Iterable[str], made: Sequence[Path]) -> None:
        """Delete those of some folders, and of those made for the run, that are empty by then."""

    def check_folder(self, *names: str) -> None:
        """Check that what has the name of a folder of ours is one.

        Raises:
            DataError: It is not.
        """

    def for_each(self, work: Callable[[One], Done], items: Iterable[One]) -> Iterator[Done]:
        """Yield what work makes of items, in their order, several at a time where waiting is what takes time."""


AnyRoot = str | Path | RunStore
"""A run as callers name it: path or URL as text, path, or what ``open_store`` has returned."""


def open_store(root: AnyRoot) -> RunStore:
    """Return what holds a run; nothing is read or asked yet.

    Raises:
        ConfigError: It is a URL that is not supported, is wrong, or holds a secret.
    """
    if isinstance(root, Path):
        return LocalFolder(root)
    if not isinstance(root, str):
        return root
    found = parse_address(root)
    if isinstance(found, Path):
        return LocalFolder(found)
    from fleet.stored.objects import ObjectStore

    return ObjectStore(found)
