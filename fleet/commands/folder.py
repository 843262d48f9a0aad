"""Runs on the command line: what may name one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from fleet.commands.completion import run_folders
from fleet.commands.paths import UsablePath
from fleet.stored.address import parse_address
from node_sim.errors import ConfigError


class Folder(UsablePath):
    """A folder on this machine, whatever it is called, or a URL that runs can be stored at."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the folder of a run, or any."""
        del ctx, param
        return run_folders(incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Tell a URL from a path while it can still be told: a path has no ``//``."""
        from fleet.stored.store import open_store

        text = os.fsdecode(value)
        if not text:
            self.fail("an empty name, expected a folder; '.' is the one you are in", param, ctx)
        try:
            found = parse_address(text)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return open_store(super().convert(found, param, ctx) if isinstance(found, Path) else text)
