"""The command about the tables of runs: what their columns hold."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from fleet.commands.printing import print_json, say
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

if TYPE_CHECKING:
    from fleet.stored.dictionary import ColumnEntry

_WIDTH: Final = 100
_INDENT: Final = 39


@click.command("tables")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def tables_command(name: str | None, as_json: bool) -> None:
    """Print what every column holds: type, unit, sentence, when it is null, and its words if it has a vocabulary.

    NAME is a table; without it, all are printed. The columns arm, group and ts are those of views and exports alone.
    """
    from fleet.stored.dictionary import entries
    from node_sim.columns import SENTENCES, TABLES

    if name is not None and name not in TABLES:
        msg = f"tables: {name!r}, {one_of(name, TABLES)}"
        raise ConfigError(msg)
    chosen = {table: entries(table) for table in TABLES if name in (None, table)}
    if as_json:
        print_json("tables", {"tables": _document(chosen, SENTENCES)})
        return
    blocks = ("\n".join([f"{table}: {SENTENCES[table]}", *_lines(of)]) for table, of in chosen.items())
    say("\n\n".join(blocks))


def _document(chosen: dict[str, list[ColumnEntry]], sentences: dict[str, str]) -> dict[str, Any]:
    return {table: {"sentence": sentences[table], "columns": of} for table, of in chosen.items()}


def _lines(of: list[ColumnEntry]) -> Iterator[str]:
    """Yield the lines about the columns of a table: name, type and unit, then what is to be said, folded."""
    for entry in of:
        unit = "" if entry["unit"] in ("-", "1") else f" [{entry['unit']}]"
        head = f"  {entry['column']:<16} {entry['type']}{unit}"
        said = [entry["sentence"]]
        if entry["vocabulary"]:
            said.append(f"One of: {', '.join(entry['vocabulary'])}.")
        if entry["null_means"]:
            said.append(f"Null: {entry['null_means']}.")
        first, *more = textwrap.wrap(" ".join(said), _WIDTH - _INDENT, break_long_words=False)
        yield f"{head:<{_INDENT - 1}} {first}"
        yield from (" " * _INDENT + line for line in more)
