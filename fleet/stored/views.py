"""The views of a run: every table with the rows of every arm, for DuckDB and for exports.

Rows that all arms share are stored once; a view has them once for each arm. It names the committed parts one by one, so
nothing else that may lie in their folders is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import pyarrow as pa

from fleet.stored.dictionary import DICTIONARY_COLUMNS, ColumnEntry, entries, view_columns, view_type
from fleet.stored.manifest import COMMON_ARM, JsonObject, PartFile
from node_sim.columns import TABLES, Column
from node_sim.units import START

GROUP_COLUMNS: Final = ("name", "first_node", "nodes", "part", "code", "site", "workload", "dimms")
SIDE_VIEWS: Final = ("arms", "groups", "columns")
"""Views beside those of the tables."""
_SIDE_TYPES: Final = {"position": pa.int64(), "first_node": pa.int64(), "nodes": pa.int64(), "dimms": pa.int64()}
"""Columns of the small views that are not text."""
_SQL_TYPES: Final = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "timestamp[us]": "TIMESTAMP",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "int16": "SMALLINT",
    "int64": "BIGINT",
}
_HEAD: Final = """\
-- Tables of a run with the rows of every arm, for DuckDB. To use them:
--   SET VARIABLE run = 'FOLDER OR URL OF THE RUN';
--   .read FOLDER/views.sql
-- The variable is read with each query; without it, parts are looked for in file_search_path.
CREATE OR REPLACE MACRO run_parts(folder, parts) AS
  [coalesce(getvariable('run') || '/', '') || folder || '/' || part || '.parquet' for part in parts];
"""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def start_us(plan: JsonObject) -> int:
    """Return when the time of a run is 0 [us since 1970, UTC]; plans before schema version 5 do not say it."""
    return (datetime.fromisoformat(plan.get("start", START)) - _EPOCH) // timedelta(microseconds=1)


class SideView(NamedTuple):
    """A small view: its columns, and its rows, which lack what is null."""

    columns: Sequence[str]
    rows: Sequence[JsonObject]

    def types(self) -> dict[str, pa.DataType]:
        """Return the type of each column."""
        return {column: _SIDE_TYPES.get(column, pa.string()) for column in self.columns}

    def table(self) -> pa.Table:
        """Return it as a table."""
        types = self.types().items()
        return pa.table({column: pa.array([row.get(column) for row in self.rows], kind) for column, kind in types})


def side_views(plan: JsonObject) -> dict[str, SideView]:
    """Return the small views: arms in order, node groups, and what each column is.

    Of runs before schema version 5 some of what a group is is null.
    """
    return {
        "arms": SideView(("arm", "position"), [{"arm": arm, "position": n} for n, arm in enumerate(plan["arms"])]),
        "groups": SideView(GROUP_COLUMNS, plan["groups"]),
        "columns": SideView(DICTIONARY_COLUMNS, [_row(entry) for table in TABLES for entry in entries(table)]),
    }


def _row(entry: ColumnEntry) -> JsonObject:
    """Write what is said of a column as texts, null where there is nothing to say."""
    return {**entry, "vocabulary": ", ".join(entry["vocabulary"]) or None}


def views_sql(plan: JsonObject, parts: Sequence[PartFile]) -> str:
    """Return the views of a run as SQL.

    Args:
        plan: Its plan.
        parts: All its committed parts, in any order.
    """
    ordered = sorted(parts, key=lambda part: part.path)
    statements = [_small_view(name, view) for name, view in side_views(plan).items()]
    statements.append(_group_macro(plan["groups"]))
    statements += [
        _table_view(table, [part for part in ordered if part.table == table], start_us(plan)) for table in TABLES
    ]
    return _HEAD + "\n".join(statements)


def _text(value: object) -> str:
    """Write a value in SQL."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def _name(column: str) -> str:
    """Write the name of a column in SQL, whose own words some of them are."""
    return f'"{column}"'


def _small_view(name: str, view: SideView) -> str:
    types = {column: _SQL_TYPES[str(kind)] for column, kind in view.types().items()}
    columns = ", ".join(f"{_name(column)}::{kind} AS {_name(column)}" for column, kind in types.items())
    rows = ",\n".join(f"  ({', '.join(_text(row.get(column)) for column in view.columns)})" for row in view.rows)
    heads = ", ".join(map(_name, view.columns))
    source = f"(VALUES\n{rows}\n) AS stored({heads})"
    return f"CREATE OR REPLACE VIEW {_name(name)} AS SELECT {columns} FROM {source};"  # noqa: S608 - all is quoted


def _group_macro(groups: Sequence[JsonObject]) -> str:
    """Return the group of a node as a macro; the groups follow each other in node numbers."""
    *first, last = groups
    cases = " ".join(f"WHEN node_id < {one['first_node'] + one['nodes']} THEN {_text(one['name'])}" for one in first)
    of_all = f"CASE {cases} ELSE {_text(last['name'])} END" if first else _text(last["name"])
    return f"CREATE OR REPLACE MACRO group_of_node(node_id) AS {of_all};"


def _table_view(table: str, parts: Sequence[PartFile], start: int) -> str:
    """Return the view of a table: the rows of each arm's own parts, and of the common ones once for each arm."""
    stored = ", ".join(_name(column.name) for column in TABLES[table])
    head = f'group_of_node(node_id) AS "group", make_timestamp({start} + time_ns // 1000) AS ts, {stored}'
    common = [part for part in parts if part.arm == COMMON_ARM]
    own = [part for part in parts if part.arm != COMMON_ARM]
    sources = []
    if common:
        sources.append(f"read_parquet({_listed(table, common)}, hive_partitioning=false), arms")
    if own:
        sources.append(f"read_parquet({_listed(table, own)}, hive_partitioning=true, hive_types={{'arm': VARCHAR}})")
    nulls = ", ".join(f"NULL::{_sql_type(column)} AS {_name(column.name)}" for column in view_columns(table))
    selects = [f"SELECT arm, {head} FROM {source}" for source in sources] or [f"SELECT {nulls} WHERE false"]  # noqa: S608 - all is quoted
    return f"CREATE OR REPLACE VIEW {table} AS\n" + "\nUNION ALL\n".join(selects) + ";\n"


def _sql_type(column: Column) -> str:
    return _SQL_TYPES[str(view_type(column))]


def _listed(table: str, parts: Iterable[PartFile]) -> str:
    """Return the files of a table's parts as SQL, relative to the folder of the run."""
    names = ",\n".join(f"    {_text(part.path.removeprefix(f'{table}/').removesuffix('.parquet'))}" for part in parts)
    return f"run_parts('{table}', [\n{names}])"
