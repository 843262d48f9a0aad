"""Which erroneous reads of hard faults are not corrected.

**Models.** Every erroneous read fails with the probability the code leaves it (``ecc/read_risk.py``), independently:
alone, or together with another fault whose words it shares, while that one is active, too. Failures are points of one
Poisson process over the fault's reads and all levels of hazard, so the reads that fail under a code are among those
that fail under one of higher risk. They are corrected errors no more; those that are left keep their places among all
reads (``read_order.py``).

**Leaves out.** Reads beyond the first ``FAILURES_MAX`` failures of a fault (and of two that meet): by then the node has
been repaired, or its pages are out of use. Of later reads the share that fails is counted as lost, whichever they are.

**Assumes.** Of the reads of a fault as large a share meets the other fault as its lines lie in the other's. All reads
of a window are on the pages of the fault in turn; corrected errors by themselves are, too (``windows.py``).

**Sources.** A Poisson process of hazard h leaves no point in one read with probability exp(-h) = 1 - p.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from node_sim.corrected.windows import Reads, error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.elementary import log, log1p
from node_sim.records import Floats, Index, Ints, join, take

FAILURES_MAX: Final = 16
P_MAX: Final = 1.0 - 2.0**-10
"""Higher risks count as this one: its hazard is below the first edge."""
EDGES: Final = np.asarray([*np.ldexp(1.0, 3 * np.arange(1, -9, -1)), 0.0])
"""Hazards that part the levels, each of which is a process of its own."""
_TOP_LEVELS: Final = 2
"""Levels in which most of a stream's failures are: its highest, and the next, as it may accept little of that one."""
_TRIES: Final = 4
"""Pairs of points of each stream that are drawn together while streams are many."""
_DRAWS_AT_ONCE: Final = 512
"""Pairs that are drawn together while streams are few: a stream that accepts few points needs thousands, and so many
pairs cost hardly more than one."""


class Streams(NamedTuple):
    """Reads that fail with one probability each; arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        name: Number of the stream among those of its fault, below 2**24.
        p: Probability that a read fails.
        silent: Share of the failures that go unnoticed.
    """

    fault: Ints
    name: Ints
    p: Floats
    silent: Floats


class Stretches(NamedTuple):
    """Reads ``first`` < k <= ``last`` of windows, in the order in which a stream goes through them; shape ``(n,)``."""

    stream: Ints
    window: Ints
    first: Ints
    last: Ints


class Failures(NamedTuple):
    """Reads that fail, ordered by (stream, read); arrays of shape ``(n,)``.

    Attributes:
        stream: Index into the streams.
        window: Index into the windows of the reads.
        read: Number of the read in its window, from 1.
    """

    stream: Ints
    window: Ints
    read: Ints

    def take(self, index: Index) -> Failures:
        """Select some."""
        return take(self, index)


class Processes(NamedTuple):
    """Points of one level for one stream; arrays of shape ``(n,)``.

    Attributes:
        node_id: Node of the stream's fault.
        tag: Name of the fault in it.
        label: Name of stream and level.
        room: How many reads there are.
        hazard: Of the whole level per read.
        share: Which share of its points the stream accepts.
    """

    node_id: Ints
    tag: Ints
    label: Ints
    room: Ints
    hazard: Floats
    share: Floats


class Found(NamedTuple):
    """Reads of streams, by stream and number among all reads of the stream, from 1."""

    stream: Ints
    read: Ints


def _first_of(found: Found) -> Found:
    """Return the first reads of each stream, each once, in order."""
    order = np.lexsort((found.read, found.stream))
    found = take(found, order)
    new = (np.diff(found.stream, prepend=-1) != 0) | (np.diff(found.read, prepend=-1) != 0)
    found = take(found, new)
    return take(found, np.arange(found.stream.size) - np.searchsorted(found.stream, found.stream) < FAILURES_MAX)


def find_failures(seed: Seed, faults: FaultTable, streams: Streams, stretches: Stretches) -> Failures:
    """Find the first failures of each stream.

    Args:
        seed: Of the run.
        faults: Faults.
        streams: What is read.
        stretches: Reads of each, ordered by stream.
    """
    n = streams.fault.size
    end = np.cumsum(stretches.last - stretches.first)
    stop = np.searchsorted(stretches.stream, np.arange(n), side="right")
    ends = np.concatenate(([0], end))
    begin, total = ends[np.searchsorted(stretches.stream, np.arange(n))], ends[stop]
    hazard = -log1p(-np.minimum(streams.p, P_MAX))
    found = Found(*(np.empty(0, np.int64) for _ in range(2)))
    room = total - begin
    for some, level in _levels(hazard):
        mine = streams.fault[some]
        high, low = EDGES[level], EDGES[level + 1]
        share = (np.minimum(hazard[some], high) - low) / (high - low)
        label = (streams.name[some] + 1) << 8 | level
        more = _points(seed, Processes(faults.node_id[mine], faults.tag[mine], label, room[some], high - low, share))
        found = _first_of(join([found, more._replace(stream=some[more.stream])]))
        _, at, size = np.unique(found.stream, return_index=True, return_counts=True)
        full = at[size == FAILURES_MAX] + FAILURES_MAX - 1
        room[found.stream[full]] = found.read[full]  # what comes later does not count
    stream, read = found
    at = np.searchsorted(end, begin[stream] + read)
    number = begin[stream] + read - (end[at] - (stretches.last - stretches.first)[at])
    return Failures(stream, stretches.window[at], stretches.first[at] + number)


def _levels(hazard: Floats) -> Iterator[tuple[Ints, Ints]]:
    """Yield streams with levels of theirs: first the top ones, after which little is left of most; then the others."""
    offset = np.arange(EDGES.size - 1)
    level = EDGES.size - 1 - np.searchsorted(EDGES[::-1], hazard)[:, None] + offset
    mine = (level < EDGES.size - 1) & (hazard > 0.0)[:, None]
    for part in (offset < _TOP_LEVELS, offset >= _TOP_LEVELS):
        stream, place = np.nonzero(mine & part)
        yield stream, level[stream, place]


def _points(seed: Seed, processes: Processes) -> Found:
    """Draw the reads on which points fall that their streams accept, the first of each process.

    Returns:
        Processes by their position, in the place of streams.
    """
    key, room = seed.key(Purpose.RISK), processes.room
    open_, place = np.flatnonzero(room > 0), np.zeros(room.size)
    found, last = np.zeros(room.size, np.int64), np.full(room.size, -1)
    parts, step, tries = [Found(open_[:0], open_[:0])], 0, 1
    while open_.size:
        who = np.repeat(open_, tries)
        number = np.tile(step + np.arange(tries), open_.size)
        w0, w1, w2, w3 = words(key, processes.node_id[who], processes.tag[who], processes.label[who], number)
        gaps = -log(unit32(np.stack((w0, w2), axis=-1))).reshape(open_.size, -1) / processes.hazard[open_, None]
        marks = unit32(np.stack((w1, w3), axis=-1)).reshape(open_.size, -1)
        at = np.cumsum(np.hstack((place[open_, None], gaps)), axis=1)[:, 1:]
        inside = at < room[open_, None]
        row, column = np.nonzero(inside & (marks < processes.share[open_, None]))
        read = np.floor(at[row, column]).astype(np.int64) + 1
        parts.append(Found(open_[row], read))
        new = np.ones(row.size, np.bool_)
        new[1:] = (np.diff(row) != 0) | (np.diff(read) != 0)
        first = np.diff(row, prepend=-1) != 0
        new &= ~first | (read != last[open_[row]])
        found[open_] += np.bincount(row[new], minlength=open_.size)
        last[open_[row]] = read
        place[open_] = at[:, -1]
        open_ = open_[inside[:, -1] & (found[open_] < FAILURES_MAX)]
        step += tries
        tries = max(_TRIES, _DRAWS_AT_ONCE // max(open_.size, 1))
    return join(parts)


def failure_times_ns(reads: Reads, faults: FaultTable, failures: Failures) -> Ints:
    """Return when failures happen [ns]: at the time of the read's number among all of its window."""
    some = reads.take(failures.window)
    return error_time_ns(some.windows(some.whole, faults), failures.read)


def count_later(reads: Reads, streams: Streams, failures: Failures, stretches: Stretches) -> Ints:
    """Count the reads of each window after the failures that are looked for that fail on average, ``(n_windows,)``.

    Whole ones: rounded up or down by the uniform of the window, so that neither many short windows nor certain failures
    leave corrected errors that nobody saw.

    Args:
        reads: All reads.
        streams: What is read; ``p`` is the probability that a read is lost.
        failures: Of the streams.
        stretches: Reads of each stream.
    """
    later = np.zeros(reads.u.size, np.int64)
    size = np.bincount(failures.stream, minlength=streams.p.size)
    full = np.flatnonzero(size == FAILURES_MAX)
    if full.size:
        last = (np.cumsum(size) - 1)[full]
        after = np.full(streams.p.size, np.iinfo(np.int64).max)
        read_of = np.zeros(streams.p.size, np.int64)
        after[full], read_of[full] = failures.window[last], failures.read[last]
        late = stretches.window >= after[stretches.stream]
        first = np.where(stretches.window == after[stretches.stream], read_of[stretches.stream], stretches.first)
        more = np.where(late, np.maximum(stretches.last - np.maximum(first, stretches.first), 0), 0)
        mean = more * np.minimum(streams.p, P_MAX)[stretches.stream]
        np.add.at(later, stretches.window, (mean + reads.u[stretches.window]).astype(np.int64))
    return later
