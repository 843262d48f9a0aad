"""Tables of a run that need not fit into memory: as a dataset of Arrow, and batch by batch as its views have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from analysis.dataset.groups import GroupInfo, groups_of
from fleet.stored.dictionary import view_columns, view_type
from fleet.stored.manifest import PartFile
from fleet.stored.schema import table_schema
from fleet.stored.store import RunStore

if TYPE_CHECKING:
    import pyarrow.dataset as ds

EVERY_ARM: Final = "*"
ARM: Final = pa.field("arm", pa.utf8(), nullable=False)
BATCH_ROWS: Final = 65_536
_AHEAD: Final = {"batch_readahead": 1, "fragment_readahead": 1, "use_threads": False}
"""As little as can be at once. Threads of Arrow may outlive the interpreter, and abort the process when it ends."""
_NEEDS: Final = {"group": "node_id", "ts": "time_ns"}
"""What columns of views are made of."""


def stored_dataset(
    root: RunStore, table: str, parts: Mapping[str, Sequence[PartFile]], *, with_arm: bool
) -> ds.Dataset:
    """Return a table as a dataset that reads nothing yet.

    A part that belongs to several arms is in it once for each; a filter on ``arm`` passes over the others' parts.

    Args:
        root: Where the run is.
        table: Table.
        parts: Its committed parts by arm.
        with_arm: Whether there is a column ``arm``, before the stored ones.
    """
    schema = table_schema(table).insert(0, ARM) if with_arm else table_schema(table)
    store, base = root.arrow()
    import pyarrow.dataset as ds  # brings pandas along, if it is installed

    parquet = ds.ParquetFileFormat()
    fragments = [
        parquet.make_fragment(f"{base}/{part.path}", filesystem=store, partition_expression=ds.field("arm") == arm)
        for arm, of_arm in parts.items()
        for part in of_arm
    ]
    return ds.FileSystemDataset(fragments, schema, parquet, store)


def view_schema(table: str) -> pa.Schema:
    """Return the schema of a view of a table."""
    return pa.schema(
        [
            pa.field(
                column.name,
                view_type(column),
                nullable=column.nullable,
                metadata={"unit": column.unit, "description": column.sentence, "null": column.null},
            )
            for column in view_columns(table)
        ]
    )


def view_batches(
    dataset: ds.Dataset, schema: pa.Schema, groups: Sequence[GroupInfo], start_us: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a dataset with the columns of a schema, which are some of those of a view."""
    needed = dict.fromkeys(_NEEDS.get(name, name) for name in schema.names)
    for batch in dataset.to_batches(columns=list(needed), batch_size=BATCH_ROWS, **_AHEAD):
        if batch.num_rows:
            columns = [_column(name, batch, groups, start_us).cast(schema.field(name).type) for name in schema.names]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(name: str, batch: pa.RecordBatch, groups: Sequence[GroupInfo], start_us: int) -> pa.Array:
    if name == "group":
        return groups_of(batch["node_id"], groups)
    if name == "ts":
        return pa.array((start_us + batch["time_ns"].to_numpy() // 1000).astype("datetime64[us]"))
    return batch[name]
