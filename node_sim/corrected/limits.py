"""When corrected errors let a DIMM be replaced: so many of it in one window, or one with wrong bits in both halves.

**Models.** A daemon counts the errors of a DIMM that are seen, those of all its faults together, by window. The risky
pattern of an x4 device is a wrong bit on DQ0 or DQ1 and another on DQ2 or DQ3.

**Leaves out.** Counters that go on from one window to the next. Which reads of a fault show which of its pins.

**Assumes.** A fault whose pins cross the halves shows it with its first error. Counting starts with the first whole
window of each fault after a boot.

**Sources.** Counts per DIMM and 24 h: ``catalog/numbers.py``. The risky pattern: M2-MFP, KDD 2025, table 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.corrected.asking import Ground
from node_sim.corrected.eras import Eras, Spans, WindowIndex, spans_of
from node_sim.corrected.live_errors import SeenErrors, count_live, go_through
from node_sim.corrected.marked_windows import MANY
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.offlining import find_offlines
from node_sim.corrected.windows import Windows, error_time_ns, errors_before
from node_sim.dram.faults import FaultTable
from node_sim.names import dimm_tag
from node_sim.records import Flags, Ints, expand_counts
from node_sim.units import FOREVER


class Limits(NamedTuple):
    """When eras bring their DIMMs to a limit [ns], ``FOREVER`` if they do not; arrays of shape ``(n_eras,)``.

    Attributes:
        count_ns: Their error is the last one of the count.
        pattern_ns: They show the risky pattern for the first time.
    """

    count_ns: Ints
    pattern_ns: Ints


def shows_risky_pattern(faults: FaultTable) -> Flags:
    """Return which faults make bits of both halves of a device's data pins wrong."""
    return faults.cells.cross_halves & ~faults.on_wires


def count_together(windows: Windows, owner: Ints) -> Ints:
    """Return how many errors the owner of each element has in the same window, were all of them seen.

    Args:
        windows: Windows, shape ``(n,)``.
        owner: Whose they are, such as numbers of faults or of DIMMs, shape ``(n,)``.
    """
    order = np.lexsort((windows.window, owner))
    new = (np.diff(owner[order], prepend=-1) != 0) | (np.diff(windows.window[order], prepend=-1) != 0)
    start = np.flatnonzero(new)
    if not start.size:
        return windows.errors
    found = np.empty_like(windows.errors)
    found[order] = np.add.reduceat(windows.errors[order], start)[np.cumsum(new) - 1]
    return found


def find_limits(
    eras: Eras,
    index: WindowIndex,
    faults: FaultTable,
    ground: Ground,
    poisoned: Poisoned,
    limit: Ints,
    by_pattern: Flags,
) -> Limits:
    """Find when faults bring their DIMMs to a limit.

    Args:
        eras: The present eras of all faults of some lanes; they end at the horizon.
        index: All windows.
        faults: All faults.
        ground: As in ``find_offlines``.
        poisoned: As in ``find_offlines``.
        limit: Errors of a DIMM in a window, 0 where they do not matter; the same for all eras of a lane.
        by_pattern: Where the risky pattern does.
    """
    spans = spans_of(eras, index)
    counted = find_offlines(eras, spans, index, faults, ground, poisoned)
    counts = count_live(eras, spans, index, counted)
    never = np.full(eras.lane.size, FOREVER)
    found = Limits(never, never.copy())
    risky = np.flatnonzero((by_pattern & shows_risky_pattern(faults)[eras.fault])[spans.era] & (counts.errors > 0))
    first_ns = error_time_ns(index.windows.take(spans.window[risky]), counts.first[risky])
    np.minimum.at(found.pattern_ns, spans.era[risky], first_ns)
    windows = index.windows
    whole = (spans.first == 0) & (windows.low_ns[spans.window] >= eras.from_ns[spans.era])
    some = np.flatnonzero((limit[spans.era] > 0) & whole & (counts.errors > 0))
    group, some = _first_groups(eras, spans, some, index, faults, counts.errors, limit)
    if not some.size:
        return found
    size = np.bincount(group)
    untouched = counts.errors[some] == windows.errors[spans.window[some]]
    plain = (size == 1)[group] & untouched
    alone = some[plain]
    times = error_time_ns(windows.take(spans.window[alone]), limit[spans.era[alone]])
    np.minimum.at(found.count_ns, spans.era[alone], times)
    rest, of_rest = some[~plain], np.unique(group[~plain], return_inverse=True)[1]
    if rest.size:
        order = np.argsort(rest)  # as the list of seen errors is
        rest, of_rest = rest[order], of_rest[order]
        seen = go_through(spans, rest, index, counted)
        _reach_together(spans, rest, of_rest, index, seen, limit, found.count_ns)
    return found


def _first_groups(
    eras: Eras,
    spans: Spans,
    some: Ints,
    index: WindowIndex,
    faults: FaultTable,
    errors: Ints,
    limit: Ints,
) -> tuple[Ints, Ints]:
    """Find the first window of each DIMM whose seen errors reach the limit.

    Returns:
        Number of the group (DIMM and window), and the span, of all spans of these windows.
    """
    era = spans.era[some]
    window, dimm = index.windows.window[spans.window[some]], dimm_tag(faults.tag[eras.fault[era]])
    order = np.lexsort((some, window, dimm, eras.lane[era]))
    some, keys = some[order], [key[order] for key in (eras.lane[era], dimm, window)]
    new_dimm = (np.diff(keys[0], prepend=-1) != 0) | (np.diff(keys[1], prepend=-1) != 0)
    new = new_dimm | (np.diff(keys[2], prepend=-1) != 0)
    start = np.flatnonzero(new)
    if not start.size:
        return start, start
    enough = np.add.reduceat(errors[some], start) >= limit[spans.era[some[start]]]
    of_dimm = (np.cumsum(new_dimm) - 1)[start]
    _, first = np.unique(of_dimm[enough], return_index=True)
    chosen = np.flatnonzero(enough)[first]
    length = np.diff(start, append=some.size)[chosen]
    group, step = expand_counts(length)
    return group, some[start[chosen][group] + step]


def _reach_together(
    spans: Spans, some: Ints, group: Ints, index: WindowIndex, seen: SeenErrors, limit: Ints, count_ns: Ints
) -> None:
    """Find the time of the error that brings groups of spans to their limit, by bisection on time.

    Args:
        spans: All spans.
        some: Which of them, ascending, shape ``(n,)``.
        group: Group of each; those of a group have one limit, which their seen errors reach.
        index: All windows.
        seen: The errors of these spans that are seen.
        limit: By era.
        count_ns: By era; changed.
    """
    windows, n = index.windows.take(spans.window[some]), int(group.max()) + 1
    name = seen.span * MANY + seen.number
    begin = np.searchsorted(name, some * MANY)

    def before(time_ns: Ints) -> Ints:
        return np.searchsorted(name, some * MANY + errors_before(windows, time_ns[group]), side="right") - begin

    wanted = np.zeros(n, np.int64)
    wanted[group] = limit[spans.era[some]]
    low, high = np.full(n, FOREVER), np.zeros(n, np.int64)
    np.minimum.at(low, group, windows.low_ns)
    np.maximum.at(high, group, windows.high_ns)
    # The error is in [low, high): as many as the limit come before high, fewer before low + 1 or later.
    while (low + 1 < high).any():
        middle = (low + high) // 2
        enough = np.bincount(group, before(middle), minlength=n) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    last = np.flatnonzero(before(high) > before(high - 1))
    np.minimum.at(count_ns, spans.era[some[last]], high[group[last]] - 1)
