"""Digests count logical values only."""

import numpy as np
import pyarrow as pa
import pytest

from fleet.stored.digest import add_digests, digest_table, to_hex


def table(n=1000, seed=0):
    generator = np.random.default_rng(seed)
    names = pa.array(["a", "b", "c"])
    codes = pa.DictionaryArray.from_arrays(pa.array(generator.integers(0, 3, n).astype(np.int8)), names)
    count = pa.array(generator.integers(0, 100, n).astype(np.uint32), mask=generator.random(n) < 0.1)
    return pa.table(
        {"time_ns": generator.integers(0, 1 << 50, n), "kind": codes, "count": count, "flag": generator.random(n) < 0.5}
    )


def test_order_and_parts_do_not_matter():
    rows = table()
    shuffled = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    parts = add_digests(digest_table(rows.slice(0, 300)), digest_table(rows.slice(300)))
    assert digest_table(rows) == digest_table(shuffled) == parts


def test_encoding_of_names_does_not_matter():
    rows = table()
    other = pa.array(["c", "x", "b", "a"])
    position = {"c": 0, "b": 2, "a": 3}
    codes = pa.array([position[text] for text in rows.column("kind").to_pylist()], pa.int8())
    again = rows.set_column(1, "kind", pa.DictionaryArray.from_arrays(codes, other))
    assert digest_table(rows) == digest_table(again)


def test_integer_width_does_not_matter():
    rows = table()
    wide = rows.set_column(2, "count", rows.column("count").cast(pa.uint64()))
    assert digest_table(rows) == digest_table(wide)


@pytest.mark.parametrize("column", ["time_ns", "kind", "count", "flag"])
def test_one_changed_value_changes_the_digest(column):
    rows = table()
    index = rows.schema.get_field_index(column)
    values = rows.column(column).to_pylist()
    values[500] = {"time_ns": 7, "kind": "b" if values[500] != "b" else "c", "count": 101, "flag": not values[500]}[
        column
    ]
    kind = rows.schema.field(column).type
    changed = pa.array(values).dictionary_encode() if column == "kind" else pa.array(values, kind)
    assert digest_table(rows.set_column(index, column, changed)) != digest_table(rows)


def test_null_is_not_zero_and_columns_are_not_exchanged():
    null, zero = (pa.table({"a": pa.array([value], pa.int64())}) for value in (None, 0))
    assert digest_table(null) != digest_table(zero)
    first, second = pa.table({"a": [1], "b": [2]}), pa.table({"a": [2], "b": [1]})
    assert digest_table(first) != digest_table(second)


@pytest.mark.parametrize("column", ["time_ns", "kind", "count", "flag"])
def test_values_belong_to_their_rows(column):
    rows = table()
    index = rows.schema.get_field_index(column)
    moved = rows.column(column).take(np.random.default_rng(2).permutation(rows.num_rows))
    assert sorted(map(repr, moved.to_pylist())) == sorted(map(repr, rows.column(column).to_pylist()))
    assert digest_table(rows.set_column(index, column, moved)) != digest_table(rows)


def test_a_row_that_stands_twice_counts_twice():
    rows = table()
    assert digest_table(pa.concat_tables([rows, rows])) == add_digests(digest_table(rows), digest_table(rows))


def test_no_rows_have_digest_zero():
    assert to_hex(digest_table(table().slice(0, 0))) == "0" * 32
