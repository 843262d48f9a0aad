"""Content digests: the sum modulo 2**128 of one hash per row, of logical values only.

The digest of a table does not depend on how its rows are ordered, split into parts, or encoded: enumerations count by
their text, nulls by being null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fleet.stored.arrays import to_numpy, valid_of
from node_sim.records import NULL

Hashes = npt.NDArray[np.uint64]

CHUNK_ROWS = 16384
"""Rows hashed at a time: their words stay in the first cache levels."""
_MODULUS = 1 << 128
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_NULL = np.uint64(0x9E3779B97F4A7C15)


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@cache
def _column_salts(name: str) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Offset and two odd multipliers of a column."""
    salts = (_hash64(f"{name}/{part}") for part in ("offset", "low", "high"))
    offset, low, high = salts
    return np.uint64(offset), np.uint64(low | 1), np.uint64(high | 1)


def _mix(x: Hashes, room: Hashes) -> None:
    """Finaliser of splitmix64: a bijection of 64-bit words, in their place; ``room`` is of their shape."""
    for shift, factor in ((_SHIFT_1, _MIX_1), (_SHIFT_2, _MIX_2)):
        np.right_shift(x, shift, out=room)
        np.bitwise_xor(x, room, out=x)
        np.multiply(x, factor, out=x)
    np.right_shift(x, _SHIFT_3, out=room)
    np.bitwise_xor(x, room, out=x)


def _shares(values: Hashes, name: str) -> tuple[Hashes, Hashes]:
    """Return what 64-bit values of a column add to the two words of a row."""
    offset, by_low, by_high = _column_salts(name)
    mixed = values + offset
    _mix(mixed, np.empty_like(mixed))
    return mixed * by_low, mixed * by_high


@cache
def _shares_of_null(name: str) -> tuple[np.uint64, np.uint64]:
    """What a null of a column adds to the two words of its row."""
    low, high = _shares(np.asarray([_NULL]), name)
    return low[0], high[0]


@cache
def _shares_of_texts(name: str, texts: tuple[str, ...]) -> tuple[Hashes, Hashes]:
    """What each text of an enumeration adds, by code, and what a null adds, in the last place."""
    return _shares(np.asarray([*map(_hash64, texts), _NULL], np.uint64), name)


def _add_column(low: Hashes, high: Hashes, name: str, array: pa.Array, room: Sequence[Hashes]) -> None:
    """Add a column to the words of its rows.

    Args:
        low: Low word of each row, shape ``(n,)``; changed, and so is ``high``.
        high: High words.
        name: Of the column.
        array: Its values.
        room: Two arrays of shape ``(n,)`` to work in.
    """
    if array.null_count == len(array):
        of_null = _shares_of_null(name)
        low += of_null[0]
        high += of_null[1]
        return
    if pa.types.is_dictionary(array.type):
        code = to_numpy(array.indices, NULL)
        of_low, of_high = _shares_of_texts(name, tuple(array.dictionary.to_pylist()))
        low += of_low[code]
        high += of_high[code]
        return
    offset, by_low, by_high = _column_salts(name)
    mixed, spare = room
    np.copyto(mixed.view(np.int64), to_numpy(array, 0), casting="unsafe")
    valid = valid_of(array)
    if valid is not None:
        mixed[~valid] = _NULL
    np.add(mixed, offset, out=mixed)
    _mix(mixed, spare)
    for word, factor in ((low, by_low), (high, by_high)):
        np.multiply(mixed, factor, out=spare)
        np.add(word, spare, out=word)


def digest_table(table: pa.Table) -> int:
    """Return the 128-bit digest of a table of integers, booleans and enumerations."""
    total, cells = 0, np.empty((4, min(table.num_rows, CHUNK_ROWS)), np.uint64)
    for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
        low, high, *room = cells[:, : batch.num_rows]
        low[:], high[:] = 0, 0
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            _add_column(low, high, name, array, room)
        for word, shift in ((low, 0), (high, 64)):
            _mix(word, room[0])
            total += _sum64(word) << shift
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
