"""DIMMs that firmware has mapped out, as a record of arrays.

**Models.** One element per DIMM that a lane goes on without.

**Leaves out.** Who maps it out and who replaces it; ``memory_test.py`` and ``repair.py`` have that.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.records import Index, Ints, take


class MapOuts(NamedTuple):
    """DIMMs mapped out and not replaced yet; arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        slot: Slot of the DIMM.
        since_ns: End of the boot that mapped it out [ns].
        due_ns: When a technician would come for it alone [ns].
        cause: Row of the panic before that boot.
        fault: Fault of that panic.
    """

    lane: Ints
    slot: Ints
    since_ns: Ints
    due_ns: Ints
    cause: Ints
    fault: Ints

    def take(self, index: Index) -> MapOuts:
        """Select some."""
        return take(self, index)


def no_map_outs() -> MapOuts:
    """Return an empty list."""
    return MapOuts(*(np.empty(0, np.int64) for _ in MapOuts._fields))
