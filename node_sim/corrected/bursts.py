"""When hard faults are active: bursts, and the windows that these fall into.

**Models.** A hard fault is active in bursts (Poisson starts, exponential lengths); intermittent faults rest longer than
permanent ones, and faults differ in how often their bursts come.

**Leaves out.** Temperature and load.

**Assumes.** Bursts of one fault that overlap in a window are active for the sum of their lengths, at most for the time
from the first to the last.

**Sources.** Bursts: SmartMem sample logs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.dram.faults import FaultTable
from node_sim.draws import Purpose, Seed, poisson_one, unit32, words
from node_sim.elementary import exp, log
from node_sim.records import Floats, Index, Ints, expand_counts, take
from node_sim.server.policy import ErrorProcess
from node_sim.units import NS_PER_DAY, NS_PER_HOUR

_SHORTEST_INTERVAL_NS = NS_PER_HOUR
"""Bursts of one fault do not start more often than this on average."""
_LONGEST_INTERVAL_NS = 1 << 62
"""146 years, longer than any horizon."""


class Bursts(NamedTuple):
    """Bursts of hard faults: index into the fault table, begin and end [ns]."""

    fault: Ints
    begin_ns: Ints
    end_ns: Ints

    def take(self, index: Index) -> Bursts:
        """Select some bursts."""
        return take(self, index)


def pace(faults: FaultTable, hard: Ints, process: ErrorProcess) -> tuple[Ints, Floats]:
    """Return the mean time between bursts and their mean length, by fault [ns]."""
    rests = faults.habit.intermittent[hard]
    interval = np.where(rests, process.intermittent_interval_days, process.burst_interval_days)
    spread = process.burst_spread
    often = exp(spread * faults.habit.pace[hard] - 0.5 * spread**2)
    length = np.where(rests, process.intermittent_days, process.burst_days) * NS_PER_DAY
    return np.clip(interval / often * NS_PER_DAY, _SHORTEST_INTERVAL_NS, _LONGEST_INTERVAL_NS).astype(np.int64), length


def draw_bursts(seed: Seed, faults: FaultTable, hard: Ints, process: ErrorProcess, horizon_ns: int) -> Bursts:
    """Draw the bursts of hard faults: one at the start of each, the others a Poisson process from then on."""
    interval_ns, length_ns = pace(faults, hard, process)
    start_ns = faults.time_ns[hard]
    # Time is cut into bins of one mean interval; each bin names its own draws, so no bin depends on another's count.
    first_bin = start_ns // interval_ns
    owner, step = expand_counts((horizon_ns - 1) // interval_ns - first_bin + 1)
    burst_bin, width = first_bin[owner] + step, interval_ns[owner]
    node_id, tag = faults.node_id[hard][owner], faults.tag[hard][owner]
    key = seed.key(Purpose.BURST)
    first = words(key, node_id, tag, burst_bin, 0)
    count = poisson_one(first[0])
    begin, length, who = [start_ns], [faults.habit.first_burst[hard]], [np.arange(hard.size)]
    for position in range(int(count.max(initial=0))):
        some = np.flatnonzero(count > position)
        place, span = (
            (first[1][some], first[2][some])
            if position == 0
            else words(key, node_id[some], tag[some], burst_bin[some], position)[1:3]
        )
        begin.append(burst_bin[some] * width[some] + (unit32(place) * width[some]).astype(np.int64))
        length.append(-log(unit32(span)))
        who.append(owner[some])
    at, mine = np.concatenate(begin), np.concatenate(who)
    end_ns = at + 1 + (np.concatenate(length) * length_ns[mine]).astype(np.int64)
    alive = (at >= start_ns[mine]) & (at < horizon_ns)
    return Bursts(hard[mine], at, np.minimum(end_ns, horizon_ns)).take(alive)


class Active(NamedTuple):
    """Windows with bursts in them, ordered by (fault, window): from the first to the last burst [ns], and how long."""

    fault: Ints
    window: Ints
    low_ns: Ints
    high_ns: Ints
    active_ns: Ints


def active_windows(bursts: Bursts, window_ns: int, horizon_ns: int) -> Active:
    """Cut bursts at the ends of windows and merge those of the same fault and window."""
    first = bursts.begin_ns // window_ns
    burst, step = expand_counts((bursts.end_ns - 1) // window_ns - first + 1)
    window, fault = first[burst] + step, bursts.fault[burst]
    low = np.maximum(bursts.begin_ns[burst], window * window_ns)
    high = np.minimum(bursts.end_ns[burst], (window + 1) * window_ns)
    n_windows = horizon_ns // window_ns + 1  # (fault, window) as one number, so that one sort groups both
    name = fault * n_windows + window
    order = np.argsort(name, kind="stable")
    start = np.flatnonzero(np.diff(name[order], prepend=-1))
    if not start.size:
        return Active(fault, window, low, high, high - low)
    low_ns = np.minimum.reduceat(low[order], start)
    high_ns = np.maximum.reduceat(high[order], start)
    length = np.minimum(np.add.reduceat((high - low)[order], start), high_ns - low_ns)
    return Active(*np.divmod(name[order[start]], n_windows), low_ns, high_ns, length)
