"""Lists of nodes on the command line."""

from __future__ import annotations

import re
from typing import Final

from node_sim.errors import ConfigError

_RANGE: Final = re.compile(r"(\d{1,12})(?:-(\d{1,12}))?", re.ASCII)


def nodes_of(text: str, count: int) -> list[int]:
    """Return the nodes in a list such as ``1,5,10-20``, in order, each once.

    Args:
        text: The list.
        count: Nodes of the fleet.

    Raises:
        ConfigError: It is no such list, or names nodes that the fleet does not have.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last >= count:
            msg = f"--nodes: {part!r}, expected nodes from 0 to {count - 1}, such as 1,5,10-20; change it"
            raise ConfigError(msg)
        found.update(range(first, last + 1))
    return sorted(found)
