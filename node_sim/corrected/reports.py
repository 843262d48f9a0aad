"""Reports of error check and scrub as an arm sees them: only passes within one era count.

**Models.** Firmware reads the counters at the end of every pass that begins and ends between two boots while the DIMM
is in place.

**Leaves out.** Firmware that reads less often, or that reports a DIMM once only.

**Assumes.** Pages taken offline and poisoned pages are read like all others.

**Sources.** ``passes.py``.
"""

from __future__ import annotations

import numpy as np

from node_sim.corrected.eras import Eras
from node_sim.corrected.passes import Passes
from node_sim.records import Ints, expand_counts
from node_sim.units import FOREVER


def reports_of(eras: Eras, passes: Passes) -> tuple[Ints, Ints]:
    """Join eras with the passes of their faults that lie within them; return indices of both, ordered by era, time."""
    start = np.searchsorted(passes.fault, eras.fault)
    era, step = expand_counts(np.searchsorted(passes.fault, eras.fault, side="right") - start)
    which = start[era] + step
    within = (passes.begin_ns[which] >= eras.from_ns[era]) & (passes.end_ns[which] < eras.to_ns[era])
    return era[within], which[within]


def first_reports(eras: Eras, passes: Passes) -> Ints:
    """Return when each era has its first report, ``FOREVER`` if it has none [ns], shape ``(n_eras,)``."""
    era, which = reports_of(eras, passes)
    found = np.full(eras.lane.size, FOREVER)
    np.minimum.at(found, era, passes.end_ns[which])
    return found
