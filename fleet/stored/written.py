"""Files that cannot be written: whether the place is wrong, or merely full."""

from __future__ import annotations

import errno

from node_sim.errors import ConfigError, ExecutionError, SimError

FULL = (errno.ENOSPC, errno.EDQUOT)


def not_written(path: object, error: OSError, mend: str = "choose another file with -o") -> SimError:
    """Return the error of a file that cannot be written: of the user's choice, unless there is no room.

    Args:
        path: The file.
        error: Why.
        mend: What to do if the choice was wrong.
    """
    if error.errno in FULL:
        return ExecutionError(f"{path}: {error.strerror}, expected room for it; make room, or {mend}")
    return ConfigError(f"{path}: {error.strerror}, expected to write it; {mend}")
