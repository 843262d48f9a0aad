"""The files that make a run: plan.json first, one commit per shard, run.json last; readers believe nothing else."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleet.stored.digest import to_hex
from fleet.stored.plan import Shard
from fleet.stored.tally import Tally
from node_sim.errors import ConfigError, DataError, ExecutionError

PLAN, RUN, COMMITS, LOCK = "plan.json", "run.json", "commit", ".lock"
FORMAT = "hwpoison-fleet run 1"
COMMON_ARM = "_common"
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class PartFile:
    """One stored part.

    Attributes:
        path: Relative to the run.
        table: Table.
        arm: Arm, or ``_common``.
        rows: Rows.
        size_bytes: Size of the file.
        checksum: blake2b-128 of the file.
    """

    path: str
    table: str
    arm: str
    rows: int
    size_bytes: int
    checksum: str


@dataclass(frozen=True)
class Receipt:
    """What became of a shard; everything the driver needs to commit it.

    Attributes:
        shard: The shard.
        parts: Files written.
        digests: 128-bit digest by arm and table, of the arm's whole view.
        tally: Counts.
    """

    shard: Shard
    parts: tuple[PartFile, ...]
    digests: dict[str, dict[str, int]]
    tally: Tally

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the commit file."""
        return {
            "shard": list(self.shard),
            "parts": [asdict(part) for part in self.parts],
            "digests": {arm: {name: to_hex(d) for name, d in of.items()} for arm, of in self.digests.items()},
            "tally": self.tally.to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Receipt:
        """Read what ``to_json`` wrote."""
        return cls(
            shard=Shard(*document["shard"]),
            parts=tuple(PartFile(**part) for part in document["parts"]),
            digests={arm: {name: int(d, 16) for name, d in of.items()} for arm, of in document["digests"].items()},
            tally=Tally.from_json(document["tally"]),
        )


def checksum_bytes(content: bytes | memoryview) -> str:
    """Return the checksum of a file's content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_json(path: Path, document: JsonObject) -> None:
    """Write a document so that it is either there whole or not at all.

    Raises:
        ExecutionError: The file could not be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        msg = f"{path}: {error.strerror}, expected to write it; free space or mend the permissions, then resume"
        raise ExecutionError(msg) from error


def read_json(path: Path) -> JsonObject:
    """Read a document of a run.

    Raises:
        DataError: It is missing or not JSON.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path}: missing, expected a file of a run; check the path, or 'hwpoison-fleet resume' the run"
        raise DataError(msg) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = f"{path}: unreadable ({error}), expected JSON; the run was altered, do not use it"
        raise DataError(msg) from None
    if not isinstance(document, dict):
        msg = f"{path}: not a JSON object; the run was altered, do not use it"
        raise DataError(msg)
    return document


def content_sha256(document: JsonObject) -> str:
    """Hash a document by its content."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def seal(document: JsonObject) -> JsonObject:
    """Add the hash of everything else in a document."""
    return {**document, "seal": content_sha256(document)}


def check_seal(path: Path, document: JsonObject) -> None:
    """Check that a sealed document is as it was written.

    Raises:
        DataError: It is not.
    """
    inner = {key: value for key, value in document.items() if key != "seal"}
    if document.get("seal") != content_sha256(inner):
        msg = f"{path}: altered, its content does not match its seal; do not use this run"
        raise DataError(msg)


def read_sealed(path: Path) -> JsonObject:
    """Read a document and check its seal.

    Raises:
        DataError: It is missing, unreadable or altered.
    """
    document = read_json(path)
    check_seal(path, document)
    return document


def commit_path(root: Path, shard_id: int) -> Path:
    """Return where a shard's commit is."""
    return root / COMMITS / f"{shard_id:06d}.json"


def check_parts(root: Path, receipt: Receipt) -> None:
    """Check that the parts of a shard lie in the folder of the run before it is committed.

    Raises:
        ExecutionError: They do not: the workers write somewhere else.
    """
    for part in receipt.parts:
        path = root / part.path
        if not path.exists() or path.stat().st_size != part.size_bytes:
            where = f"{path}: not there after shard {receipt.shard.shard_id}"
            msg = f"{where}, expected workers to write here; use storage that all machines share at the same path"
            raise ExecutionError(msg)


def read_receipts(root: Path) -> dict[int, Receipt]:
    """Read the commits of a run, complete or not, by shard.

    Raises:
        DataError: A commit was altered.
    """
    found = {}
    for path in sorted((root / COMMITS).glob("*.json")):
        try:
            receipt = Receipt.from_json(read_sealed(path))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{path}: not a commit ({error}); do not use this run"
            raise DataError(msg) from None
        if path != commit_path(root, receipt.shard.shard_id):
            msg = f"{path}: the commit of shard {receipt.shard.shard_id}; do not use this run"
            raise DataError(msg)
        found[receipt.shard.shard_id] = receipt
    return found


def prepare_folder(root: Path) -> None:
    """Make the folder of a new run.

    Raises:
        ConfigError: It cannot be made or written, or it is not empty.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        occupied = next((path for path in root.iterdir() if path.name != LOCK), None)
    except OSError as error:
        msg = f"{root}: {error.strerror}, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg) from None
    if occupied is not None:
        msg = f"{root}: not empty, expected a new or empty folder; choose another with -o, or use 'resume'"
        raise ConfigError(msg)
    if not os.access(root, os.W_OK | os.X_OK):
        msg = f"{root}: not writable, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of a run.

    Raises:
        ConfigError: Another process writes this run, or the lock cannot be made.
    """
    try:
        stream = (root / LOCK).open("w", encoding="utf-8")
    except OSError as error:
        msg = f"{root}: {error.strerror}, expected a folder that can be written; choose another with -o"
        raise ConfigError(msg) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            msg = f"{root}: another process is writing this run; wait for it, or stop it first"
            raise ConfigError(msg) from None
        yield
