"""The command about JSON documents: schema."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import click

from fleet.commands.completion import schemas
from fleet.commands.printing import say, say_fitted
from node_sim.errors import ConfigError
from node_sim.guesses import one_of


def schema_kinds() -> list[str]:
    """Return the kinds of documents that --json prints."""
    folder = resources.files("fleet") / "schemas"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def read_schema(kind: str) -> dict[str, Any]:
    """Return the schema of a kind of document.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in schema_kinds():
        msg = f"schema {kind}: no such kind of document, {one_of(kind, schema_kinds())}"
        raise ConfigError(msg)
    return dict(json.loads((resources.files("fleet") / "schemas" / f"{kind}.json").read_text(encoding="utf-8")))


@click.command("schema")
@click.argument("kind", required=False, shell_complete=schemas)
def schema_command(kind: str | None) -> None:
    """Print the JSON Schema of a KIND of document that --json prints, or list the kinds.

    The first key of each document, "format", says its kind and version. That of scenario files is printed by
    'hwpoison-fleet scenario schema'.
    """
    if kind is None:
        say_fitted(f"{name:<16}  {read_schema(name)['description']}" for name in schema_kinds())
    else:
        say(json.dumps(read_schema(kind), indent=1, ensure_ascii=False))
