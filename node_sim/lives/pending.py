"""Things that will happen to lanes unless they go down first: late kills, I/O errors and calls of the handler.

**Models.** A list of records, in no order.

**Leaves out.** What puts them there and what they do; ``signals.py`` and ``handling.py`` have that.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np

from node_sim.records import Flags, Floats, Index, Ints, take


class Waits(enum.IntEnum):
    """What a pending thing is: a late kill, an I/O error, or a call of ``memory_failure()``."""

    KILL = 0
    EIO = 1
    CALL = 2


class Pending(NamedTuple):
    """Things that will happen to a lane unless it goes down first; arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        time_ns: When [ns].
        what: ``Waits``.
        cause: Row that causes it.
        which: Bad page.
        process: Process to be told, or whose read a call is for; ``NOBODY`` if none.
        lsb: log2 of the extent a signal names.
        call: ``CallKind`` of a call.
        read_ns: When the bad page was read [ns].
        use: ``PageUse`` at the load, of a second call for it; -1 of other calls, which find the page as it is by then.
        owners: As in ``Tenancy``, where there is a use.
        since_ns: As ``start_ns`` in ``Tenancy``, where there is a use.
        splits: As in ``Tenancy``, where there is a use.
        large: As in ``Tenancy``, where there is a use.
        earlier: What had been poisoned before the load (``Earlier``), of a second call for it.
    """

    lane: Ints
    time_ns: Ints
    what: Ints
    cause: Ints
    which: Ints
    process: Ints
    lsb: Ints
    call: Ints
    read_ns: Ints
    use: Ints
    owners: Ints
    since_ns: Ints
    splits: Floats
    large: Flags
    earlier: Ints

    def take(self, index: Index) -> Pending:
        """Select some."""
        return take(self, index)


def no_pending() -> Pending:
    """Return an empty list of pending things."""
    n = np.empty(0, np.int64)
    return Pending(n, n, n, n, n, n, n, n, n, n, n, n, np.empty(0), np.empty(0, np.bool_), n)
