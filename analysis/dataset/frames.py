"""Tables as pandas frames, whose columns keep their Arrow types: whole numbers stay so where some are null."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd


def import_pandas() -> Any:
    """Load pandas, which is an extra.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 - not everybody has it
    except ImportError:
        msg = "pandas is not installed; pip install 'hwpoison-fleet[frames]'"
        raise ImportError(msg) from None
    return pd


def widened(schema: pa.Schema) -> pa.Schema:
    """Return a schema with small integers as 64-bit ones: columns added or subtracted keep the type, and must fit."""
    small = (pa.uint8(), pa.uint16(), pa.uint32(), pa.int16())
    return pa.schema([field.with_type(pa.int64()) if field.type in small else field for field in schema])


def to_frame(pandas: Any, table: pa.Table) -> pd.DataFrame:
    """Return a table as a frame of Arrow types."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=pandas.ArrowDtype)
    return frame
