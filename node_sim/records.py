"""Records of equally long arrays: select elements, put records one after the other.

A record is a ``NamedTuple`` whose fields are arrays of shape ``(n, …)`` or records of such arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp] | npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice
R = TypeVar("R", bound=tuple[Any, ...])


def take(record: R, index: Index) -> R:
    """Return the record of the chosen elements."""
    parts = (take(part, index) if isinstance(part, tuple) else part[index] for part in record)
    return type(record)(*parts)


def join(records: Sequence[R]) -> R:
    """Return the record of all elements of all records, in order."""
    parts = (
        join(cells) if isinstance(cells[0], tuple) else np.concatenate(cells) for cells in zip(*records, strict=True)
    )
    return type(records[0])(*parts)
