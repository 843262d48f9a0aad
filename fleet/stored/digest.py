"""Content digests: the sum modulo 2**128 of one hash per row, of logical values only.

The digest of a table does not depend on how its rows are ordered, split into parts, or encoded: enumerations count by
their text, nulls by being null.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet.stored.arrays import to_numpy, valid_of

Hashes = npt.NDArray[np.uint64]

CHUNK_ROWS = 16384
_MODULUS = 1 << 128
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_NULL = np.uint64(0x9E3779B97F4A7C15)


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@cache
def _column_salts(name: str) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Offset and two odd multipliers of a column."""
    salts = (_hash64(f"{name}/{part}") for part in ("offset", "low", "high"))
    offset, low, high = salts
    return np.uint64(offset), np.uint64(low | 1), np.uint64(high | 1)


def _mix(x: Hashes) -> Hashes:
    """Finaliser of splitmix64: a bijection of 64-bit words."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    mixed: Hashes = x ^ (x >> np.uint64(31))
    return mixed


@cache
def _text_table(texts: tuple[str, ...]) -> Hashes:
    """64-bit stand-ins of the texts of an enumeration."""
    return np.asarray([_hash64(text) for text in texts] or [0], np.uint64)


def _values(array: pa.Array) -> Hashes:
    """64-bit stand-ins of the logical values of an array."""
    if pa.types.is_dictionary(array.type):
        values = _text_table(tuple(array.dictionary.to_pylist()))[to_numpy(array.indices, 0)]
    else:
        values = to_numpy(array, 0).astype(np.int64).view(np.uint64)
    valid = valid_of(array)
    return values if valid is None else np.where(valid, values, _NULL)


def digest_table(table: pa.Table) -> int:
    """Return the 128-bit digest of a table of integers, booleans and enumerations."""
    total = 0
    for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
        low = np.zeros(batch.num_rows, np.uint64)
        high = np.zeros(batch.num_rows, np.uint64)
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            offset, by_low, by_high = _column_salts(name)
            mixed = _mix(_values(array) + offset)
            low += mixed * by_low
            high += mixed * by_high
        total += _sum64(_mix(low)) + (_sum64(_mix(high)) << 64)
    return total % _MODULUS


def _sum64(hashes: Hashes) -> int:
    """Exact sum of 64-bit words."""
    return int((hashes & np.uint64(0xFFFFFFFF)).sum()) + (int((hashes >> np.uint64(32)).sum()) << 32)


def add_digests(*digests: int) -> int:
    """Return the digest of tables put together."""
    return sum(digests) % _MODULUS


def to_hex(digest: int) -> str:
    """Write a digest as 32 hexadecimal digits."""
    return f"{digest:032x}"
