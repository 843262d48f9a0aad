"""Touches of bad pages: healed by a write, silently wrong, or noticed and reported.

**Models.** A write over a soft error heals it. A silent error is logged; that of a soft fault then rests until the next
boot. A noticed one is an uncorrected error at its first sight since the last boot, and a machine check at every read.

**Leaves out.** Which of a fault's pages are touched, and by whom; ``memory/sightings.py`` finds that.

**Assumes.** At most one touch happens to a lane in one step.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.codes import ErrorKind, Observer
from node_sim.lives.bad_pages import retire
from node_sim.lives.machine_checks import raise_machine_checks
from node_sim.lives.repair import cordon
from node_sim.lives.state import LaneState, Touches, has_reads
from node_sim.records import NULL, Flags, Ints


def touch_step(state: LaneState, due: Ints, live: Ints, busy: Flags) -> Touches:
    """Handle at most one touch per lane; return the touches.

    Args:
        state: Of the lanes; changed.
        due: Time of this step in each lane [ns], shape ``(n_lanes,)``.
        live: Bad pages that can still be touched.
        busy: Lanes to which something has happened in this step already, shape ``(n_lanes,)``.
    """
    pages = state.pages
    lane = pages.lane[live]
    ready = live[(pages.next_ns[live] == due[lane]) & (due[lane] < state.world.horizon_ns) & ~busy[lane]]
    _, first = np.unique(pages.lane[ready], return_index=True)
    which = ready[first]
    bad = pages.page[which]
    touches = Touches(
        which=which,
        lane=pages.lane[which],
        time_ns=pages.next_ns[which],
        page=bad,
        fault=state.store.pages.fault[bad],
        observer=pages.observer[which],
        mark=pages.mark[which],
        process=pages.process[which],
    )
    healed = touches.observer == Observer.WRITE
    silent = ~healed & pages.silent[which]
    retire(state, which[healed])
    _log_first_sight(state, touches.take(silent), ErrorKind.SDC)
    retire(state, which[silent & ~has_reads(state, which)])
    loud = touches.take(~healed & ~silent)
    if loud.which.size:
        _notice(state, loud)
    return touches


def _log_first_sight(state: LaneState, touches: Touches, kind: ErrorKind) -> None:
    """Log errors not seen since the last boot."""
    n, pfn = touches.which.size, state.store.pages.pfn[touches.page]
    row = state.log.add(
        "errors",
        lane=touches.lane,
        time_ns=touches.time_ns,
        fault=touches.fault,
        cause=-1 - touches.fault,
        kind=np.full(n, int(kind)),
        observer=touches.observer,
        ce_count=np.full(n, NULL),
        n_pages=(pfn != NULL).astype(np.int64),
        first_pfn=pfn,
        first_time_ns=touches.time_ns,
        last_time_ns=touches.time_ns,
        path=state.store.pages.path[touches.page],
        first_ce_ns=np.full(n, NULL),
        n_ce_before=np.zeros(n, np.int64),
    )
    if kind is ErrorKind.UE:
        state.pages.error[touches.which], state.pages.seen[touches.which] = row, True


def _notice(state: LaneState, touches: Touches) -> None:
    """Report uncorrected errors: first sight, machine check, cordon."""
    _log_first_sight(state, touches.take(~state.pages.seen[touches.which]), ErrorKind.UE)
    row, down_ns = raise_machine_checks(state, touches)
    cordon(state, touches, row, down_ns)
