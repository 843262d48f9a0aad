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
Flags = npt.NDArray[np.bool_]
NULL = -1
"""What a column holds inside the simulation where the stored cell is null."""
Index = npt.NDArray[np.intp] | npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice
R = TypeVar("R", bound=tuple[Any, ...])


def take(record: R, index: Index) -> R:
    """Return the record of the chosen elements."""
    if isinstance(index, np.ndarray) and index.dtype == np.bool_:
        index = np.flatnonzero(index)  # once, not for every field
    return type(record)(*[take(part, index) if isinstance(part, tuple) else part[index] for part in record])


def join(records: Sequence[R]) -> R:
    """Concatenate records field by field."""
    parts = (
        join(cells) if isinstance(cells[0], tuple) else np.concatenate(cells) for cells in zip(*records, strict=True)
    )
    return type(records[0])(*parts)


def expand_counts(count: Ints) -> tuple[Ints, Ints]:
    """Turn counts into (index of the owner, ordinal within the owner) of every item."""
    owner = np.repeat(np.arange(count.size), count)
    first = np.cumsum(count) - count
    return owner, np.arange(owner.size) - first[owner]


def pairs_within(owner: Ints) -> tuple[Ints, Ints]:
    """List all pairs (earlier, later) of places in a list whose owners are equal; equal owners stand together."""
    earlier, later = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for step in range(1, owner.size):
        same = np.flatnonzero(owner[step:] == owner[:-step])
        if not same.size:
            break
        earlier.append(same)
        later.append(same + step)
    return np.concatenate(earlier), np.concatenate(later)
