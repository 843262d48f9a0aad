"""Writing Parquet parts: attempt-unique names, one file per table and set of arms, hard-linked where arms agree."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fleet.stored.manifest import COMMON_ARM, PartFile, checksum_bytes
from fleet.stored.schema import table_schema
from node_sim.columns import TABLES
from node_sim.errors import TransientError

DELTA_COLUMNS = frozenset({"time_ns", "seq", "cause_seq", "node_id", "first_time_ns", "last_time_ns", "end_ns"})
ROW_GROUP_ROWS = 262_144


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


def write_part(root: Path, name: str, arms: tuple[str, ...], stem: str, rows: pa.Table) -> list[PartFile]:
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
    places = [f"{name}/arm={arm}/{stem}.parquet" for arm in arms or (COMMON_ARM,)]
    try:
        first = root / places[0]
        first.parent.mkdir(parents=True, exist_ok=True)
        with first.open("xb") as stream:
            stream.write(content)
        for place in places[1:]:
            _link(first, root / place)
    except OSError as error:
        msg = f"{root / places[0]}: {error.strerror}, expected to write a part; free space or mend the permissions"
        raise TransientError(msg) from error
    owners = arms or (COMMON_ARM,)
    return [
        PartFile(place, name, arm, rows.num_rows, len(content), checksum)
        for place, arm in zip(places, owners, strict=True)
    ]


def _link(source: Path, target: Path) -> None:
    """Put the same content at a second place: a hard link, or a copy where links do not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove_strays(root: Path, known: set[str]) -> int:
    """Delete parts that no commit names (left by attempts that did not finish); return how many."""
    strays = [path for path in root.glob("*/arm=*/*.parquet") if path.relative_to(root).as_posix() not in known]
    for path in strays:
        path.unlink(missing_ok=True)
    return len(strays)
