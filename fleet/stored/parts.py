"""Parts as they are read: there, byte by byte what their commit says, and with the rows and columns of their table."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fleet.stored.arrays import from_numpy
from fleet.stored.cells import ints
from fleet.stored.layout import arm_folder
from fleet.stored.manifest import (
    COMMON_ARM,
    RUN,
    VIEWS,
    JsonObject,
    PartFile,
    Receipt,
    checksum_file,
    content_sha256,
    read_manifest,
    read_receipts,
    sha256_of,
)
from fleet.stored.schema import empty_table, table_schema
from fleet.stored.store import OpenFile, RunStore
from node_sim.columns import TABLES
from node_sim.errors import DataError, ExecutionError


class _Checksums:
    """Checksums of files; one that lies at several places by hard links is read once."""

    def __init__(self) -> None:
        self.known: dict[Hashable, str] = {}

    def of(self, file: OpenFile) -> str:
        identity = file.identity()
        if identity not in self.known:
            self.known[identity] = checksum_file(file.stream())
        return self.known[identity]


def _damage(root: RunStore, part: PartFile, checksums: _Checksums) -> str | None:
    """Say what is wrong with a part; None where nothing is."""
    try:
        with root.open(part.path) as file:
            size_bytes = file.size_bytes()
            if size_bytes != part.size_bytes:
                return f"{size_bytes} bytes, expected {part.size_bytes} as committed"
            return None if checksums.of(file) == part.checksum else "altered, not the bytes that were committed"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"{error.strerror}"


@dataclass(frozen=True)
class Survey:
    """What is in the folder of a run, after every byte has been looked at.

    Attributes:
        receipts: The commit of each committed shard.
        damage: What is wrong with parts, by shard, for shards with such parts: path and reason.
        manifest: Content of run.json; None where there is none.
        altered: What is wrong with the files that it lists.
    """

    receipts: Mapping[int, Receipt]
    damage: Mapping[int, Sequence[tuple[str, str]]]
    manifest: JsonObject | None
    altered: Sequence[tuple[str, str]] = ()

    def sound(self) -> dict[int, Receipt]:
        """Return the commits whose parts are all there."""
        return {shard: receipt for shard, receipt in self.receipts.items() if shard not in self.damage}

    def missing(self, plan: JsonObject) -> list[int]:
        """Return the planned shards that are not committed."""
        return [int(shard[0]) for shard in plan["shards"] if shard[0] not in self.receipts]

    def foreign(self) -> list[int]:
        """Return the committed shards whose commits run.json does not know."""
        known: Mapping[str, str] = (self.manifest or {}).get("commits", {})
        return [
            shard
            for shard, receipt in self.receipts.items()
            if known.get(str(shard)) != content_sha256(receipt.to_json())
        ]

    def lines(self, plan: JsonObject) -> Iterator[str]:
        """Say what is to be mended, a line for each shard."""
        for shard, ((path, wrong), *more) in self.damage.items():
            others = f" and {len(more)} other part{'s' * (len(more) > 1)}" if more else ""
            yield f"shard {shard}: {path}: {wrong}{others}; simulated again"
        yield from (f"{path}: {wrong}; written anew" for path, wrong in self.altered)
        if self.manifest is not None:
            yield from (f"shard {shard}: its commit is missing; simulated again" for shard in self.missing(plan))
            yield from (
                f"shard {shard}: its commit is newer than {RUN}, which is written anew" for shard in self.foreign()
            )

    def is_finished(self, plan: JsonObject) -> bool:
        """Return whether everything planned is there, as run.json says."""
        return self.manifest is not None and not (self.missing(plan) or self.foreign() or self.damage or self.altered)


def survey(root: RunStore, plan: JsonObject) -> Survey:
    """Read all commits and the bytes of all their parts.

    Raises:
        DataError: run.json or a commit was altered or belongs to another plan, or a folder of ours is a link.
    """
    for table in TABLES:
        for arm in (COMMON_ARM, *plan["arms"]):
            root.check_folder(*arm_folder(table, arm, plan["schema_version"]).split("/"))
    manifest = read_manifest(root, plan) if root.holds(RUN) else None
    receipts, checksums = read_receipts(root, plan), _Checksums()

    def look(part: PartFile) -> tuple[str, str | None]:
        return part.path, _damage(root, part, checksums)

    found = {
        shard: [(path, wrong) for path, wrong in root.for_each(look, receipt.parts) if wrong]
        for shard, receipt in sorted(receipts.items())
    }
    altered = _altered_views(root, (manifest or {}).get("files", {}).get(VIEWS))
    return Survey(receipts, {shard: damage for shard, damage in found.items() if damage}, manifest, altered)


def _altered_views(root: RunStore, sha256: str | None) -> list[tuple[str, str]]:
    """Say how the views differ from those that run.json lists, if it lists any.

    Raises:
        DataError: What has their name is no file, so that they could not be written anew either.
    """
    try:
        with root.open(VIEWS) as file:
            wrong = None if sha256_of(file.stream().read()) == sha256 else f"altered, not what {RUN} lists"
    except FileNotFoundError:
        wrong = "missing"
    except OSError as error:
        if error.errno == errno.EINVAL:
            msg = f"{root / VIEWS}: {error.strerror}, expected the views of the run; move it away, then resume"
            raise DataError(msg) from None
        wrong = error.strerror
    return [(VIEWS, str(wrong))] if wrong and sha256 else []


def check_parts(root: RunStore, receipt: Receipt) -> None:
    """Check that the parts of a shard lie in the folder of the run before it is committed.

    Raises:
        ExecutionError: They do not: the workers write somewhere else.
    """

    def is_there(part: PartFile) -> bool:
        try:
            with root.open(part.path) as file:
                return file.size_bytes() == part.size_bytes
        except OSError:
            return False

    for part, there in zip(receipt.parts, root.for_each(is_there, receipt.parts), strict=True):
        if not there:
            where = f"{root / part.path}: not there after shard {receipt.shard.shard_id}"
            msg = f"{where}, expected workers to write here; use storage that all machines share at the same path"
            raise ExecutionError(msg)


def read_part(root: RunStore, part: PartFile, columns: Sequence[str] | None = None, filters: Any = None) -> pa.Table:
    """Read one committed part.

    Args:
        root: Folder of the run.
        part: Part.
        columns: Columns to read; None is all.
        filters: As in ``pyarrow.parquet.read_table``.

    Raises:
        DataError: It cannot be read, or has other rows or columns than committed.
    """
    wanted = list(columns) if columns is not None else None
    try:
        # A file that is open already: a path would be taken for a URI, or its "~" for somebody's home.
        with root.open(part.path) as file:
            # Threads of Arrow may outlive the interpreter, and abort the process when it ends.
            parquet = pq.ParquetFile(file.stream(), pre_buffer=False)
            _check_footer(root / part.path, part, parquet.metadata)
            if filters is None:
                return parquet.read(columns=wanted, use_threads=False)
            rows = parquet.read(use_threads=False).filter(pq.filters_to_expression(filters))
            return rows if wanted is None else rows.select(wanted)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(root, part, error) from None


def read_nodes(root: RunStore, part: PartFile, nodes: range) -> pa.Table:
    """Read the rows of some consecutive nodes of one committed part; groups of rows of other nodes are not read.

    Raises:
        DataError: It cannot be read, or has other rows or columns than committed.
    """
    try:
        with root.open(part.path) as file:
            parquet = pq.ParquetFile(file.stream(), pre_buffer=False)
            _check_footer(root / part.path, part, parquet.metadata)
            place = parquet.schema_arrow.get_field_index("node_id")
            groups = [
                group
                for group in range(parquet.metadata.num_row_groups)
                if _may_hold(parquet.metadata.row_group(group).column(place).statistics, nodes)
            ]
            rows = parquet.read_row_groups(groups, use_threads=False) if groups else empty_table(part.table)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(root, part, error) from None
    node_id = ints(rows, "node_id")
    return rows.filter(from_numpy((node_id >= nodes.start) & (node_id < nodes.stop)))


def _may_hold(statistics: pq.Statistics | None, nodes: range) -> bool:
    """Return whether a group of rows may have rows of some nodes, given the statistics of its node numbers."""
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min < nodes.stop and statistics.max >= nodes.start)


def _unreadable(root: RunStore, part: PartFile, error: Exception) -> DataError:
    msg = f"{root / part.path}: unreadable ({error}), expected a part of the run; 'hwpoison-fleet resume' mends it"
    return DataError(msg)


def _check_footer(where: object, part: PartFile, footer: pq.FileMetaData) -> None:
    """Compare rows and columns before anything of that size is read.

    Raises:
        DataError: They are not those of the commit and the table.
    """
    rows = sum(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    if {rows, footer.num_rows} != {part.rows}:
        msg = f"{where}: {max(rows, footer.num_rows)} rows, expected {part.rows} as committed; do not use this run"
        raise DataError(msg)
    if not footer.schema.to_arrow_schema().equals(table_schema(part.table)):
        msg = f"{where}: other columns than {part.table} of this version; do not use this run"
        raise DataError(msg)
