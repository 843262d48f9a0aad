"""Files and folders as the command line names them: what no file system can answer for is refused there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class UsablePath(click.Path):
    """A path that may be there or not, but can be asked for: neither too long nor below what may not be looked into."""

    def __init__(self) -> None:
        """Take any path."""
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value):
            self.fail("'', expected a path; name one", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # said by the command, if it needs it
        except OSError as error:
            self.fail(f"{path}: {error.strerror}, expected a path that can be used; choose another", param, ctx)
        return path
