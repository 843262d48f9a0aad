"""Where the parts of a run are: a folder for each table, and in it one for each arm, as readers of Hive partitions do.

They take ``arm=NAME`` for a column, split it at each ``=`` and undo percent-encoding, so a name with a ``=`` is written
with ``%3D``.
"""

from __future__ import annotations

from typing import Final

from fleet.stored.schema import SCHEMA_VERSION

_ENCODED_SINCE: Final = 5
"""Schema versions before it had names of arms as they are."""
_PLAIN: Final = frozenset("_-.+")


def encoded(arm: str) -> str:
    """Return the name of an arm with all but letters, digits, ``_``, ``-``, ``.`` and ``+`` percent-encoded."""
    return "".join(
        one if one.isalnum() or one in _PLAIN else "".join(f"%{byte:02X}" for byte in one.encode()) for one in arm
    )


def arm_folder(table: str, arm: str, version: int = SCHEMA_VERSION) -> str:
    """Return the folder of an arm's parts of a table, relative to a run of a schema version."""
    return f"{table}/arm={encoded(arm) if version >= _ENCODED_SINCE else arm}"
