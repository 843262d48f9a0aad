"""The lease of a run in an object store, which has no locks: an object of the writer's that it renews while it lives.

Every writer has an object of its own, so none is ever overwritten: of two that start at once at least one sees the
other, as a store lists what was put before (S3 does, and so do those like it). The clock of the store tells how old a
lease is.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
from pyarrow import fs

from node_sim.errors import ConfigError

LEASE: Final = re.compile(r"\.lock-[0-9a-f]{32}\.json")
"""Names of leases."""
LEASE_S = 60.0
"""For how long a writer that gives no sign is taken to be alive."""
RENEW_S = 10.0
_LOOK_S: Final = 1.0
_NS_PER_S: Final = 1e9


def _now_s() -> float:
    """Return a time that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One writer's lease."""

    def __init__(self, store: Any, base: str) -> None:
        """Prepare a lease of the run below a base, in a file system of pyarrow's."""
        self._store = store
        self._base = base
        self._key = f"{base}/.lock-{uuid.uuid4().hex}.json"
        self._content = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
        self._over = threading.Event()
        self._renewed_s = 0.0
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def acquire(self, where: object) -> None:
        """Put the lease and wait until no other is alive; those of the dead are deleted.

        Raises:
            ConfigError: Another one is renewed.
            OSError: The store takes nothing.
        """
        before: dict[str, int] = {}
        self._renew()
        while others := self._others():
            renewed = [key for key, time_ns in others.items() if before.get(key, time_ns) != time_ns]
            if renewed:
                other = f"another process{self._who(renewed[0])} is writing this run"
                msg = f"{where}: {other}; wait for it, or stop it first"
                raise ConfigError(msg)
            before |= others
            time.sleep(_LOOK_S)
            self._renew()  # and so learn what time it is there
        self._thread.start()

    def _others(self) -> dict[str, int]:
        """Return when leases of others were renewed, by name, after deleting those that ended."""
        found = self._store.get_file_info(fs.FileSelector(self._base))
        times_ns = {info.path: int(info.mtime_ns) for info in found if LEASE.fullmatch(info.base_name)}
        now_ns = times_ns.pop(self._key, 0)
        ended = [key for key, time_ns in times_ns.items() if now_ns - time_ns > LEASE_S * _NS_PER_S]
        for key in ended:
            with suppress(FileNotFoundError):  # another that waits was faster
                self._store.delete_file(key)
            del times_ns[key]
        return times_ns

    def _who(self, key: str) -> str:
        """Say whose lease it is, if it says so."""
        try:
            with self._store.open_input_stream(key) as stream:
                writer = json.loads(stream.read())
            return f" (process {int(writer['pid'])} on {str(writer['host'])[:64]})"
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
            return ""

    def _renew(self) -> None:
        begun_s = _now_s()
        with self._store.open_output_stream(self._key, compression=None) as stream:
            stream.write(self._content)
        self._renewed_s = begun_s

    def _is_fresh(self) -> bool:
        """Return whether nobody can have taken it for that of a dead writer."""
        return _now_s() - self._renewed_s < LEASE_S

    def _keep(self) -> None:
        """Renew it until it is over; one that others may have deleted is not put again."""
        while not self._over.wait(RENEW_S) and self._is_fresh():
            with suppress(OSError, pa.ArrowException):
                self._renew()

    def is_held(self) -> bool:
        """Return whether it is still there and nobody can have taken the run over."""
        return self._is_fresh() and bool(self._store.get_file_info(self._key).type == fs.FileType.File)

    def release(self) -> None:
        """Delete it."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(OSError, pa.ArrowException):
            self._store.delete_file(self._key)
