"""The files that make a run: plan.json first, one commit per shard, run.json last; readers believe nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from fleet.stored.digest import to_hex
from fleet.stored.folder import LOCK, TEMPORARY
from fleet.stored.layout import arm_folder
from fleet.stored.plan import Shard
from fleet.stored.schema import OLDEST_READ
from fleet.stored.store import RunStore
from fleet.stored.tally import Tally
from node_sim.columns import TABLES
from node_sim.errors import DataError, ExecutionError

PLAN, RUN, VIEWS, COMMITS = "plan.json", "run.json", "views.sql", "commit"
FORMAT = "hwpoison-fleet run 1"
COMMON_ARM = "_common"
PART_NAME: Final = re.compile(r"shard-(\d{6,})-[0-9a-f]{12}-\d+\.parquet")
"""Names of parts: shard, attempt, position in it."""
_COMMIT: Final = re.compile(r"\d{6,}\.json")
JsonObject = dict[str, Any]


def _checksum() -> Any:
    return hashlib.blake2b(digest_size=16)


def checksum_bytes(content: bytes | memoryview) -> str:
    """Return the checksum of a file's content."""
    return checksum_file(io.BytesIO(content))


def checksum_file(stream: io.BufferedReader | io.BytesIO) -> str:
    """Return the checksum of an open file, read piece by piece."""
    return hashlib.file_digest(stream, _checksum).hexdigest()


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
    def from_json(cls, document: JsonObject, plan: JsonObject) -> Receipt:
        """Read what ``to_json`` wrote of a shard of a plan."""
        return cls(
            shard=Shard(*document["shard"]),
            parts=tuple(PartFile(**part) for part in document["parts"]),
            digests={arm: {name: int(d, 16) for name, d in of.items()} for arm, of in document["digests"].items()},
            tally=Tally.from_json(document["tally"], len(plan["arms"]), len(plan["groups"])),
        )


def write_json(root: RunStore, path: str, document: JsonObject) -> None:
    """Write a JSON document of a run so that it is on disk either whole or not at all.

    Raises:
        ExecutionError: The file could not be written.
    """
    write_document(root, path, json.dumps(document, indent=1).encode())


def write_document(root: RunStore, path: str, content: bytes) -> None:
    """Write a document of a run likewise."""
    try:
        root.replace(path, content)
    except OSError as error:
        msg = f"{root / path}: {error.strerror}, expected to write it; free space or mend the permissions, then resume"
        raise ExecutionError(msg) from error


def read_json(root: RunStore, path: str) -> JsonObject:
    """Read a document of a run.

    Raises:
        DataError: It is missing or not JSON.
    """
    try:
        with root.open(path) as file:
            document = json.loads(file.stream().read())
    except FileNotFoundError:
        msg = f"{root / path}: missing, expected a file of a run; check the path, or 'hwpoison-fleet resume' the run"
        raise DataError(msg) from None
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{root / path}: unreadable ({error}), expected JSON; the run was altered, do not use it"
        raise DataError(msg) from None
    if not isinstance(document, dict):
        msg = f"{root / path}: not a JSON object; the run was altered, do not use it"
        raise DataError(msg)
    return document


def content_sha256(document: JsonObject) -> str:
    """Hash a document by its content."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def sha256_of(content: bytes) -> str:
    """Hash a document that is not JSON."""
    return hashlib.sha256(content).hexdigest()


def seal(document: JsonObject) -> JsonObject:
    """Add the hash of everything else in a document."""
    return {**document, "seal": content_sha256(document)}


def read_sealed(root: RunStore, path: str) -> JsonObject:
    """Read a document and check that it is as it was written.

    Raises:
        DataError: It is missing, unreadable or altered.
    """
    document = read_json(root, path)
    inner = {key: value for key, value in document.items() if key != "seal"}
    if document.get("seal") != content_sha256(inner):
        msg = f"{root / path}: altered, its content does not match its seal; do not use this run"
        raise DataError(msg)
    return document


def commit_path(shard_id: int) -> str:
    """Return where a shard's commit is."""
    return f"{COMMITS}/{shard_id:06d}.json"


def write_commit(root: RunStore, plan: JsonObject, receipt: Receipt) -> None:
    """Commit a shard of a plan: from now on its parts count.

    Raises:
        ExecutionError: The file could not be written.
    """
    document = {"plan_sha256": content_sha256(plan), **receipt.to_json()}
    write_json(root, commit_path(receipt.shard.shard_id), seal(document))


def commits_in(root: RunStore) -> list[str]:
    """Return the files that have the name of a commit; others in their folder are not ours.

    Raises:
        DataError: The folder is a link or cannot be read.
    """
    root.check_folder(COMMITS)
    return [f"{COMMITS}/{name}" for name in root.names(COMMITS) if _COMMIT.fullmatch(name)]


def read_plan(root: RunStore) -> JsonObject:
    """Read the plan of a run.

    Raises:
        DataError: It is missing, was altered, or is none.
    """
    plan = read_sealed(root, PLAN)
    lists = [plan.get(name) for name in ("arms", "groups", "shards")]
    kinds = str, dict, list
    if not all(
        isinstance(part, list) and all(isinstance(one, kind) for one in part)
        for part, kind in zip(lists, kinds, strict=True)
    ) or any(len(shard) != len(Shard._fields) for shard in plan["shards"]):
        msg = f"{root / PLAN}: not the plan of a run, expected its arms, groups and shards; do not use it"
        raise DataError(msg)
    return plan


def read_manifest(root: RunStore, plan: JsonObject) -> JsonObject:
    """Read the manifest of a finished run.

    Raises:
        DataError: It is missing, was altered, is none, or is that of another run.
    """
    manifest = read_sealed(root, RUN)
    if manifest.get("plan_sha256") != content_sha256(plan):
        msg = f"{root / RUN}: of another run than {PLAN}, expected the same; put back what belongs together"
        raise DataError(msg)
    needed = ("commits", "digests", "tally", *(("files",) if plan["schema_version"] > OLDEST_READ else ()))
    if not all(isinstance(manifest.get(name), dict) for name in needed):
        msg = f"{root / RUN}: not the manifest of a run, expected its {', '.join(needed)}; do not use it"
        raise DataError(msg)
    return manifest


def read_receipts(root: RunStore, plan: JsonObject) -> dict[int, Receipt]:
    """Read the commits of a run, complete or not, by shard.

    Raises:
        DataError: A commit was altered, or belongs to another plan.
    """
    planned = {shard[0]: Shard(*shard) for shard in plan["shards"]}
    plan_sha256 = content_sha256(plan)
    found = {}
    paths = commits_in(root)
    for path, document in zip(paths, root.for_each(lambda path: read_sealed(root, path), paths), strict=True):
        if document.get("plan_sha256") != plan_sha256:
            msg = f"{root / path}: not a commit of {root / PLAN}, but of another run; put back what belongs together"
            raise DataError(msg)
        try:
            receipt = Receipt.from_json(document, plan)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            msg = f"{root / path}: not a commit ({error}); do not use this run"
            raise DataError(msg) from None
        shard = receipt.shard
        if path != commit_path(shard.shard_id) or planned.get(shard.shard_id) != shard:
            msg = f"{root / path}: the commit of shard {shard.shard_id}; put back the one of this name"
            raise DataError(msg)
        _check_names(root / path, receipt, plan)
        found[shard.shard_id] = receipt
    return found


def _check_names(path: object, receipt: Receipt, plan: JsonObject) -> None:
    """Check that a commit names parts of its own shard, where the parts of a run are.

    Raises:
        DataError: It names something else.
    """
    for part in receipt.parts:
        folder, _, name = part.path.rpartition("/")
        known = part.table in TABLES and part.arm in (COMMON_ARM, *plan["arms"])
        own = PART_NAME.fullmatch(name)
        expected = arm_folder(part.table, part.arm, plan["schema_version"])
        if not known or folder != expected or own is None or int(own[1]) != receipt.shard.shard_id:
            msg = f"{path}: names {part.path!r}, expected parts of its shard; do not use this run"
            raise DataError(msg)


def remove_documents(root: RunStore) -> None:
    """Delete plan, commits and lock of a run that comes to nothing."""
    for path in (*commits_in(root), PLAN, LOCK):
        root.remove(path)


def remove_temporaries(root: RunStore) -> None:
    """Delete what processes that were killed have left of documents."""
    for folder in ((), (COMMITS,)):
        for name in root.files(*folder):
            if TEMPORARY.fullmatch(name):
                root.remove("/".join((*folder, name)))
