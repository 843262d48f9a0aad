"""The schema of scenarios as a file beside a scenario: written whole, and never over a file that is not ours."""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from fleet.inputs import read_input
from fleet.scenario.json_schema import FILE_NAME, TITLE, schema_text
from node_sim.errors import ConfigError

_LINE: Final = f"#:schema ./{FILE_NAME}"
_SIZE_MAX: Final = 4 << 20


def with_schema_line(text: str) -> str:
    """Return a scenario whose first line names its schema, in place of another that it named."""
    first, _, rest = text.partition("\n")
    return f"{_LINE}\n{rest if first.startswith('#:schema ') else text}"


def check_ours(path: Path) -> None:
    """Check that a schema can be written without destroying anything.

    Raises:
        ConfigError: There is something that is no schema of ours.
    """
    if not os.path.lexists(path):
        return
    title = None
    with suppress(OSError, ValueError, AttributeError):
        title = json.loads(read_input(path, _SIZE_MAX)).get("title")
    if title != TITLE:
        msg = f"{path}: there already, expected none or the schema of this program; move it away, or use another folder"
        raise ConfigError(msg)


def write_schema(path: Path) -> None:
    """Write the schema, whole or not at all.

    Raises:
        ConfigError: It cannot be written, or something else is there by now.
    """
    partial = path.parent / f".{uuid.uuid4().hex}.partial"
    try:
        partial.write_text(schema_text(), encoding="utf-8")
        check_ours(path)
        partial.replace(path)
    except OSError as error:
        msg = f"{path}: {error.strerror}, expected a file that can be written; choose another folder"
        raise ConfigError(msg) from None
    finally:
        with suppress(OSError):
            partial.unlink()
