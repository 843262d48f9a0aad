"""Adaptive double device data correction (ADDDC): a device's bank or rank is mapped out for good.

**Models.** A hard fault that the code corrects alone and that fits into the region (one bank of one rank, or one
rank) starts the sparing at its k-th corrected error of a window. From then on the code does without that device in
the region: no fault inside it makes a word uncorrectable together with another.

**Leaves out.** The bandwidth it costs; a second region, bank before rank; faults that meet already when the region
is mapped out.

**Assumes.** One region per DIMM, for the first fault that gets there. Errors that nobody reads because the node is
down or the page offline count, too, and the region outlives boots. A fault inside the region shows no corrected
errors in windows that begin later; the window in which the sparing starts is copied and logged to its end, but for
later errors of soft faults.

**Sources.** Needs x4 devices and two ranks: Dell YX4X whitepaper. The threshold is not public.
"""

from __future__ import annotations

import numpy as np

from node_sim.corrected.windows import Windows, error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.records import Flags, Ints
from node_sim.server.policy import Ecc
from node_sim.units import FOREVER


def spared_ns(faults: FaultTable, windows: Windows, alone: Flags, dimm: Ints, ecc: Ecc) -> Ints:
    """Return from when on the cells of each fault are mapped out, ``FOREVER`` if never [ns], shape ``(n_faults,)``.

    Args:
        faults: All faults of some DIMMs.
        windows: Their corrected errors.
        alone: Which faults are wrong cells that the code corrects alone, shape ``(n_faults,)``.
        dimm: Number of the DIMM each fault is in, shape ``(n_faults,)``.
        ecc: Settings.
    """
    since = np.full(faults.time_ns.size, FOREVER)
    if ecc.sparing == "none":
        return since
    box = faults.box
    fits = alone & (box.n_ranks == 1) & ((ecc.sparing == "adddc_rank") | (box.n_banks == 1))
    starts = np.flatnonzero((fits & faults.hard)[windows.fault] & (windows.errors >= ecc.sparing_ce))
    fault = windows.fault[starts]
    time_ns = error_time_ns(windows.take(starts), np.full(starts.size, ecc.sparing_ce))
    # One region per DIMM: the first fault of each DIMM to get there, at equal times the one of the lower tag.
    order = np.lexsort((faults.tag[fault], time_ns, dimm[fault]))
    named, first = np.unique(dimm[fault[order]], return_index=True)
    starter, start_ns = fault[order[first]], time_ns[order[first]]
    inside = np.flatnonzero(fits & np.isin(dimm, named))
    region = np.searchsorted(named, dimm[inside])  # index of the DIMM's starter for every fault that may lie inside
    other = starter[region]
    inside_bank = (ecc.sparing == "adddc_rank") | (box.bank[inside] == box.bank[other])
    same = (faults.cells.device[inside] == faults.cells.device[other]) & (box.rank[inside] == box.rank[other])
    hit = same & inside_bank
    since[inside[hit]] = start_ns[region[hit]]
    return since


def drop_spared(windows: Windows, since_ns: Ints) -> Windows:
    """Leave out windows, and errors of soft faults, that begin once a fault is mapped out (``since_ns`` per fault)."""
    return windows.take(windows.low_ns < since_ns[windows.fault])
