"""Writing Parquet parts: attempt-unique names, one file per table and set of arms, hard-linked where arms agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fleet.stored.layout import arm_folder
from fleet.stored.manifest import (
    COMMITS,
    COMMON_ARM,
    PART_NAME,
    PartFile,
    checksum_bytes,
    remove_documents,
    remove_temporaries,
)
from fleet.stored.schema import table_schema
from fleet.stored.store import RunStore
from node_sim.columns import TABLES
from node_sim.errors import TransientError

DELTA_COLUMNS = frozenset({"time_ns", "seq", "cause_seq", "node_id", "first_time_ns", "last_time_ns", "end_ns"})
ROW_GROUP_ROWS = 262_144


def give_memory_back() -> None:
    """Let Arrow take this process's memory from the system's allocator: its own keeps what the largest table took."""
    pa.set_memory_pool(pa.system_memory_pool())


def _encode(name: str, rows: pa.Table) -> pa.Buffer:
    """Write a table as Parquet into memory."""
    codes = [column.name for column in TABLES[name] if column.code is not None]
    encoding = {column.name: "DELTA_BINARY_PACKED" for column in TABLES[name] if column.name in DELTA_COLUMNS}
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(
        buffer,
        table_schema(name),
        compression="zstd",
        compression_level=1,
        use_dictionary=codes,
        column_encoding=encoding,
        write_statistics=True,
    ) as writer:
        writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
    return buffer.getvalue()


def write_part(root: RunStore, name: str, arms: tuple[str, ...], stem: str, rows: pa.Table) -> list[PartFile]:
    """Write rows once and put the file under every arm they belong to.

    Args:
        root: Folder of the run.
        name: Table.
        arms: Arms; none means ``_common``.
        stem: Attempt-unique file name without suffix.
        rows: Rows, not empty.

    Raises:
        TransientError: The file could not be written.
    """
    content = memoryview(_encode(name, rows))
    checksum = checksum_bytes(content)
    places = [f"{arm_folder(name, arm)}/{stem}.parquet" for arm in arms or (COMMON_ARM,)]
    try:
        root.write(places[0], content)
        for place in places[1:]:
            try:
                root.link(places[0], place)
            except OSError:  # no hard links here
                root.write(place, content)
    except OSError as error:
        msg = f"{root / places[0]}: {error.strerror}, expected to write a part; free space or mend the permissions"
        raise TransientError(msg) from error
    owners = arms or (COMMON_ARM,)
    return [
        PartFile(place, name, arm, rows.num_rows, len(content), checksum)
        for place, arm in zip(places, owners, strict=True)
    ]


def sync_parts(root: RunStore, parts: Sequence[PartFile]) -> None:
    """Have parts on disk, and their names in their folders, before a commit names them.

    Raises:
        TransientError: The disk is full or broken.
    """
    try:
        root.sync(part.path for part in parts)
    except OSError as error:
        msg = f"{root}: {error.strerror}, expected to write parts to disk; free space or mend the permissions"
        raise TransientError(msg) from error


def _own_parts(root: RunStore, arms: Iterable[str]) -> Iterator[str]:
    """Yield the paths of all files that have the name and place of a part of a run."""
    for table in TABLES:
        for arm in (COMMON_ARM, *arms):
            folder = arm_folder(table, arm)
            yield from (f"{folder}/{name}" for name in root.files(*folder.split("/")) if PART_NAME.fullmatch(name))


def remove_strays(root: RunStore, arms: Iterable[str], known: set[str]) -> int:
    """Delete parts that no commit names (left by attempts that did not finish); return how many.

    Only files with the name and place of a part are ours; links are left alone, and so is what they point to.
    """
    strays = [path for path in _own_parts(root, arms) if path not in known]
    for path in strays:
        root.remove(path)
    return len(strays)


def discard(root: RunStore, arms: Iterable[str], made: Sequence[Path]) -> None:
    """Delete a new run that comes to nothing, with the folders that were made for it if nothing else is in them."""
    remove_strays(root, arms, set())
    remove_documents(root)
    remove_temporaries(root)
    inner = [arm_folder(table, arm) for table in TABLES for arm in (COMMON_ARM, *arms)]
    root.remove_empty((*inner, *TABLES, COMMITS), made)
