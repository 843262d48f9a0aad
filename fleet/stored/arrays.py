"""Arrow arrays from numpy and back.

Arrow's own ways (``pa.array``, ``pa.scalar``, ``fill_null``, ``to_numpy``) import pandas, if it is installed, to ask
whether they were given one of its objects: half a second and 40 MB in every process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from node_sim.records import Flags

Numbers = npt.NDArray[np.generic]


def from_numpy(values: Numbers, valid: Flags | None = None) -> pa.Array:
    """Turn numbers or flags, shape ``(n,)``, into Arrow.

    Args:
        values: The numbers.
        valid: Which of them are not null; none means all.
    """
    data = _bits(values) if values.dtype == np.bool_ else pa.py_buffer(np.ascontiguousarray(values))
    known = None if valid is None or valid.all() else _bits(valid)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), values.size, [known, data])


def from_texts(texts: Sequence[str]) -> pa.Array:
    """Turn texts into Arrow."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def valid_of(array: pa.Array) -> Flags | None:
    """Return which elements are not null; None if all are."""
    return _flags(array, array.buffers()[0]) if array.null_count else None


def to_numpy(array: pa.Array, null: int) -> Numbers:
    """Return the numbers or flags of an array, with ``null`` in the place of nulls."""
    data, valid = array.buffers()[-1], valid_of(array)
    if pa.types.is_boolean(array.type):
        values: Numbers = _flags(array, data)
    else:
        values = np.frombuffer(data or b"", array.type.to_pandas_dtype())[array.offset : array.offset + len(array)]
    return values if valid is None else np.where(valid, values, values.dtype.type(null))


def _bits(flags: Numbers) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags.astype(np.bool_), bitorder="little"))


def _flags(array: pa.Array, bits: pa.Buffer) -> Flags:
    """Return the bits of an array's elements."""
    flags = np.unpackbits(np.frombuffer(bits, np.uint8), count=array.offset + len(array), bitorder="little")
    return flags[array.offset :].view(np.bool_)
