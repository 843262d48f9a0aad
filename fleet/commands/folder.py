"""Folders of runs on the command line: what may name one, and how one is printed so that it can be typed again."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any, Final

import click

from fleet.commands.paths import UsablePath

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Folder(UsablePath):
    """A folder on this machine; whatever it is called, it is a name, never a URL or somebody's home."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse a URL while it can still be told from a path: a path has no ``//``."""
        text = os.fsdecode(value)
        if not text:
            self.fail("an empty name, expected a folder; '.' is the one you are in", param, ctx)
        if _URL.match(text):
            self.fail(f"{text!r} is a URL, expected a folder; mount the storage, or write './{text}'", param, ctx)
        return super().convert(value, param, ctx)


def typed(path: Path) -> str:
    """Return a path as it is typed in a shell, in printable text."""
    text = str(path)
    text = f"./{text}" if text.startswith("-") else text
    return shlex.quote(os.fsencode(text).decode(errors="replace"))
