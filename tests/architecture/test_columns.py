"""The column registry and the stored enumerations are complete and unambiguous."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from node_sim import codes
from node_sim.codes import Code
from node_sim.columns import TABLE_NAMES, TABLE_RANK, TABLES

ENUMERATIONS = [
    item for _, item in inspect.getmembers(codes, inspect.isclass) if issubclass(item, Code) and item is not Code
]
COLUMNS = [pytest.param(column, id=f"{table}.{column.name}") for table, columns in TABLES.items() for column in columns]
ALL = [column for columns in TABLES.values() for column in columns]
UNITS = {"-", "1", "ns", "byte", "bit", "4 KiB"}
SUFFIXES = {"_ns": "ns", "_bytes": "byte"}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_has_a_unit_and_a_sentence(column):
    assert column.unit in UNITS
    assert len(column.sentence) > 4
    assert not column.sentence[0].islower() or column.sentence.startswith("si_")
    assert column.sentence.endswith(".")


@pytest.mark.parametrize("column", COLUMNS)
def test_the_unit_in_a_name_is_the_unit_of_the_column(column):
    for suffix, unit in SUFFIXES.items():
        if column.name.endswith(suffix):
            assert column.unit == unit


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_has_a_dtype_that_holds_its_codes(column):
    dtype = np.dtype(column.dtype)
    if column.code is not None:
        assert max(column.code) <= np.iinfo(dtype).max


@pytest.mark.parametrize("table", TABLES)
def test_names_of_columns_are_unique_in_a_table(table):
    names = [column.name for column in TABLES[table]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", TABLES)
def test_every_table_begins_with_time_node_fault_and_number(table):
    assert [column.name for column in TABLES[table][:4]] == ["time_ns", "node_id", "fault_id", "seq"]


def test_a_column_of_one_name_means_the_same_kind_of_thing_in_every_table():
    # first_pfn of faults and errors, kind and result differ in sentence, never in dtype or unit.
    kinds: dict[str, set[tuple[str, str]]] = {}
    for column in ALL:
        kinds.setdefault(column.name, set()).add((column.dtype, column.unit))
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_the_rank_of_a_table_is_its_causal_position():
    assert [TABLE_RANK[name] for name in TABLE_NAMES] == list(range(len(TABLES)))
    assert TABLE_NAMES[0] == "faults"


def test_every_enumeration_of_the_tables_is_a_stored_one():
    assert {column.code for column in ALL if column.code} <= set(ENUMERATIONS)


@pytest.mark.parametrize("enumeration", ENUMERATIONS, ids=lambda item: item.__name__)
def test_texts_of_an_enumeration_are_unique(enumeration):
    texts = enumeration.vocabulary()
    assert len(set(texts)) == len(texts) == len(enumeration.__members__)
    assert all(texts)


@pytest.mark.parametrize("enumeration", ENUMERATIONS, ids=lambda item: item.__name__)
def test_codes_of_an_enumeration_count_up_from_zero_in_order(enumeration):
    assert [int(member) for member in enumeration] == list(range(len(enumeration)))


@pytest.mark.parametrize("enumeration", ENUMERATIONS, ids=lambda item: item.__name__)
def test_every_enumeration_says_what_it_is(enumeration):
    assert inspect.cleandoc(enumeration.__doc__).endswith(".")
