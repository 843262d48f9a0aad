"""Points of Poisson processes, named like all draws.

**Models.** A process is drawn in bins of width 1/rate: "next point after t" costs O(1) and knows no history.

**Leaves out.** Rates that change.

**Assumes.** Nothing.

**Sources.** A Poisson process has independent Poisson(1) counts in bins of width 1/rate, uniform inside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from node_sim.draws import Key, Words, poisson_one, split64, unit32, words
from node_sim.records import Ints
from node_sim.units import FOREVER


class Points(NamedTuple):
    """Points of Poisson processes, one for each asked process; ``bin`` is -1 where there is none."""

    time_ns: Ints
    bin: Ints
    position: Ints


def _bin_points(key: Key, tag: npt.ArrayLike, width_ns: Ints, bin_index: Ints) -> tuple[Ints, Ints]:
    """Draw the points of one bin per process: times ``(n, k_max)`` (padded with -1) and counts ``(n,)``."""
    low, high = split64(bin_index)
    tag_word = np.asarray(tag, np.uint64)
    first = words(key, low, high, tag_word, 0)
    count = poisson_one(first[0])
    most = int(count.max(initial=0))
    time_ns = np.full((bin_index.shape[0], max(most, 1)), -1, np.int64)
    columns: list[Words] = list(first[1:])
    while len(columns) < most:
        columns.extend(words(key, low, high, tag_word, 1 + (len(columns) - 3) // 4))
    for position in range(most):
        time = bin_index * width_ns + (unit32(columns[position]) * width_ns).astype(np.int64)
        time_ns[:, position] = np.where(position < count, time, -1)
    return time_ns, count


def _bins_at_once(n: int) -> int:
    """Return how many bins of each of n processes are looked into together: for few, more cost the same as one."""
    return max(1, min(8, 256 // n))


def _look_into(key: Key, tags: Ints, width_ns: Ints, some: Ints, bins: Ints) -> tuple[Ints, int]:
    """Draw the points of several bins of some processes.

    Args:
        key: Child keys of all processes, shape ``(n,)``.
        tags: Of all, shape ``(n,)``.
        width_ns: Width of their bins [ns], shape ``(n,)``.
        some: Which processes, shape ``(m,)``.
        bins: Bins of each, shape ``(m, k)``.

    Returns:
        Times of their points, bin by bin, padded with -1, shape ``(m, k * most)``, and ``most``, the room of each bin.
    """
    which = np.repeat(some, bins.shape[1])
    time_ns, _ = _bin_points(key.take(which), tags[which], width_ns[which], bins.ravel())
    return time_ns.reshape(some.size, -1), time_ns.shape[1]


def next_point(key: Key, tag: npt.ArrayLike, width_ns: Ints, after_ns: Ints, limit_ns: Ints) -> Points:
    """Find, for each process, its first point later than a time.

    Args:
        key: Child keys, arrays of shape ``(n,)``.
        tag: Which process of the child, scalar or ``(n,)``.
        width_ns: Width of a bin [ns] = 1/rate, shape ``(n,)``, > 0.
        after_ns: Times [ns], shape ``(n,)``, >= 0; points at or before are passed over.
        limit_ns: Search no further than this [ns], shape ``(n,)``.

    Returns:
        Time [ns] and name (bin, index) of each point; ``limit_ns`` and bin -1 where none comes before the limit.

    Source:
        A Poisson process has independent Poisson(1) counts in bins of width 1/rate, uniform inside.
    """
    n = after_ns.shape[0]
    found = Points(limit_ns.copy(), np.full(n, -1, np.int64), np.zeros(n, np.int64))
    tags = np.broadcast_to(np.asarray(tag, np.int64), (n,))
    bin_index = after_ns // width_ns
    open_ = np.flatnonzero(after_ns < limit_ns)
    while open_.size:
        bins = bin_index[open_, None] + np.arange(_bins_at_once(open_.size))
        late, most = _look_into(key, tags, width_ns, open_, bins)
        late = np.where(late > after_ns[open_, None], late, np.iinfo(np.int64).max)
        position = late.argmin(axis=1)
        best = late[np.arange(open_.size), position]
        hit = best < limit_ns[open_]
        rows, at = open_[hit], position[hit]
        found.time_ns[rows], found.bin[rows], found.position[rows] = best[hit], bins[hit, at // most], at % most
        bin_index[open_] += bins.shape[1]
        open_ = open_[~hit & (bin_index[open_] * width_ns[open_] < limit_ns[open_])]
    return found


def points_around(key: Key, tag: int, width_ns: Ints, at_ns: Ints) -> tuple[Points, Ints]:
    """Find, for each process, its last point at or before a time, and when the next one comes.

    Args:
        key: Child keys, arrays of shape ``(n,)``.
        tag: Which process of the child.
        width_ns: Width of a bin [ns] = 1/rate, shape ``(n,)``, > 0.
        at_ns: Times [ns], shape ``(n,)``, >= 0.

    Returns:
        The last points as of ``last_point``, and the times of the next ones [ns].
    """
    n = at_ns.shape[0]
    half = _bins_at_once(max(n, 1)) // 2
    middle = at_ns // width_ns
    bins = middle[:, None] + np.arange(-half, half + 1)
    time_ns, most = _look_into(key, np.full(n, tag), width_ns, np.arange(n), np.maximum(bins, 0))
    real = (time_ns >= 0) & np.repeat(bins >= 0, most, axis=1)
    early = np.where(real & (time_ns <= at_ns[:, None]), time_ns, -1)
    late = np.where(real & (time_ns > at_ns[:, None]), time_ns, FOREVER)
    at = early.argmax(axis=1)
    each = np.arange(n)
    none = early[each, at] < 0
    last = Points(early[each, at], np.where(none, -1, bins[each, at // most]), np.where(none, 0, at % most))
    next_ns = late.min(axis=1, initial=FOREVER)
    before = np.flatnonzero(none & (middle > half))
    if before.size:
        earlier = last_point(key.take(before), tag, width_ns[before], (middle - half)[before] * width_ns[before] - 1)
        for column, cells in zip(last, earlier, strict=True):
            column[before] = cells
    after = np.flatnonzero(next_ns == FOREVER)
    if after.size:
        from_ns = (middle + half + 1)[after] * width_ns[after] - 1
        next_ns[after] = next_point(
            key.take(after), tag, width_ns[after], from_ns, np.full(after.size, FOREVER)
        ).time_ns
    return last, next_ns


def last_point(key: Key, tag: npt.ArrayLike, width_ns: Ints, until_ns: Ints) -> Points:
    """Find, for each process, its last point at or before a time; time and bin are -1 where there is none since 0.

    Args:
        key: Child keys, arrays of shape ``(n,)``.
        tag: Which process of the child, scalar or ``(n,)``.
        width_ns: Width of a bin [ns] = 1/rate, shape ``(n,)``, > 0.
        until_ns: Times [ns], shape ``(n,)``, >= 0.

    Returns:
        Time [ns] and name (bin, index) of each point.
    """
    n = until_ns.shape[0]
    found = Points(np.full(n, -1, np.int64), np.full(n, -1, np.int64), np.zeros(n, np.int64))
    tags = np.broadcast_to(np.asarray(tag, np.int64), (n,))
    bin_index = until_ns // width_ns
    open_ = np.arange(n)
    while open_.size:
        bins = bin_index[open_, None] - np.arange(_bins_at_once(open_.size))
        early, most = _look_into(key, tags, width_ns, open_, np.maximum(bins, 0))
        early = np.where((early <= until_ns[open_, None]) & np.repeat(bins >= 0, most, axis=1), early, -1)
        position = early.argmax(axis=1)
        best = early[np.arange(open_.size), position]
        hit = best >= 0
        rows, at = open_[hit], position[hit]
        found.time_ns[rows], found.bin[rows], found.position[rows] = best[hit], bins[hit, at // most], at % most
        bin_index[open_] -= bins.shape[1]
        open_ = open_[~hit & (bin_index[open_] >= 0)]
    return found
