"""Uncorrected reads of faults: of hard ones by their erroneous reads, and of commands that are not repeated.

**Models.** Reads fail alone, or with another fault that is active at that time (``corrected/bad_reads.py``). Each names
the page it is on, unless a command or an address was wrong, and whether it goes unnoticed.

**Leaves out.** Words of soft faults, which stay wrong until they are rewritten: ``ecc/judgement.py`` lists their pages.

**Assumes.** A read that fails in two ways fails alone. What is mapped out is not read wrong any more; the window in
which that begins goes on to its end.

**Sources.** None.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from node_sim.codes import Path
from node_sim.corrected.bad_reads import (
    Failures,
    Streams,
    Stretches,
    count_later,
    failure_times_ns,
    find_failures,
)
from node_sim.corrected.bursts import Active
from node_sim.corrected.read_order import LostReads
from node_sim.corrected.windows import Reads, errors_before
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.dram.page_order import draw_page_order
from node_sim.draws import Purpose, Seed, unit32, words
from node_sim.ecc.judgement import Judgement, Meetings
from node_sim.names import ORDINALS, is_second_device, is_wider
from node_sim.records import NULL, Flags, Index, Ints, expand_counts, join, take

ALONE: Final = 0
"""Name of the stream of a fault alone; those of meetings are named by the other fault."""
_READS: Final = 1 << 32
"""More than the reads of a window."""


class BadReads(NamedTuple):
    """Reads that are not corrected; arrays of shape ``(n,)``.

    Attributes:
        fault: Index into the fault table.
        pfn: Page, -1 of errors without an address.
        time_ns: When [ns].
        scrub: The patrol scrubber reads.
        silent: It goes unnoticed.
        path: How the fault came to it (``Path``).
    """

    fault: Ints
    pfn: Ints
    time_ns: Ints
    scrub: Flags
    silent: Flags
    path: Ints

    def take(self, index: Index) -> BadReads:
        """Select some."""
        return take(self, index)


def alone(faults: FaultTable, judgement: Judgement, reads: Reads) -> tuple[Streams, Stretches]:
    """Return the reads of hard faults that can fail alone."""
    fault = np.flatnonzero(faults.hard & (judgement.risk.p > 0))
    streams = Streams(fault, np.full(fault.size, ALONE), judgement.risk.p[fault], judgement.risk.silent[fault])
    start = np.searchsorted(reads.active.fault, fault)
    stream, step = expand_counts(np.searchsorted(reads.active.fault, fault, side="right") - start)
    window = start[stream] + step
    return streams, Stretches(stream, window, np.zeros(window.size, np.int64), reads.whole[window])


def together(faults: FaultTable, meetings: Meetings, reads: Reads) -> tuple[Streams, Stretches]:
    """Return the reads of hard faults while another fault is there, and active."""
    name = 1 + (faults.tag[meetings.other] & (ORDINALS - 1))
    streams = Streams(meetings.reader, name, meetings.p, meetings.silent)
    active, whole = reads.active, reads.windows(reads.whole, faults)
    first = np.searchsorted(active.fault, meetings.reader)
    stream, step = expand_counts(np.searchsorted(active.fault, meetings.reader, side="right") - first)
    window = first[stream] + step
    other = meetings.other[stream]
    # A window of the reader meets the other fault's window of that number, or all the time one without any is there.
    hard = faults.hard[other] & ~is_second_device(faults.tag[other])
    theirs, known = _same_windows(active, other, window)
    met = np.flatnonzero(known | ~hard)
    stream, window, hard, theirs = stream[met], window[met], hard[met], theirs[met]
    low_ns = np.maximum(active.low_ns[window], meetings.from_ns[stream])
    high_ns = np.minimum(active.high_ns[window], meetings.until_ns[stream])
    if theirs.size:
        low_ns = np.where(hard, np.maximum(low_ns, active.low_ns[theirs]), low_ns)
        high_ns = np.where(hard, np.minimum(high_ns, active.high_ns[theirs]), high_ns)
    some = np.flatnonzero(low_ns < high_ns)
    window = window[some]
    mine = whole.take(window)
    begin, end = (errors_before(mine, edge_ns[some]) for edge_ns in (low_ns, high_ns))
    return streams, Stretches(stream[some], window, begin, end)


def _same_windows(active: Active, other: Ints, window: Ints) -> tuple[Ints, Flags]:
    """Return where other faults have the same windows as some, and whether they have.

    Args:
        active: All windows, ordered by (fault, window).
        other: A fault for each, shape ``(n,)``.
        window: Places of windows, shape ``(n,)``.
    """
    n_windows = int(active.window.max(initial=0)) + 1  # (fault, window) as one number
    names, asked = active.fault * n_windows + active.window, other * n_windows + active.window[window]
    at = np.minimum(np.searchsorted(names, asked), max(names.size - 1, 0))
    return at, names[at] == asked


class Judged(NamedTuple):
    """Failures of streams, one element each; arrays of shape ``(n,)``."""

    streams: Streams
    stretches: Stretches
    failures: Failures
    bad: BadReads


def judge_reads(
    seed: Seed,
    faults: FaultTable,
    judgement: Judgement,
    reads: Reads,
    address_map: AddressMap,
    meetings: Meetings | None = None,
) -> Judged:
    """Find the failures of hard faults alone, or together with the faults they meet.

    Args:
        seed: Of the run.
        faults: Faults.
        judgement: Of each alone.
        reads: Erroneous reads of the hard ones.
        address_map: Of the nodes.
        meetings: Faults that meet; None for the faults alone.
    """
    streams, stretches = alone(faults, judgement, reads) if meetings is None else together(faults, meetings, reads)
    failures = find_failures(seed, faults, streams, stretches)
    fault, active = streams.fault[failures.stream], reads.active
    if meetings is None:
        n_pages = faults.n_pages[fault]
    else:
        box = meetings.box.take(failures.stream)
        n_pages = address_map.page_count(box)
    number = (failures.read - 1) % n_pages
    if meetings is None:
        pfn = np.where(faults.on_wires[fault], NULL, faults.pages(address_map, fault, number))
        path = np.where(is_wider(faults.tag[fault]), int(Path.GROWN), int(Path.BORN))
        path = np.where(faults.on_wires[fault], int(Path.COMMAND_ADDRESS), path)
    else:
        order = draw_page_order(seed, faults.node_id[fault], faults.tag[fault], n_pages)
        pfn = address_map.page(box, order.place(number, n_pages))
        second = is_second_device(faults.tag[meetings.other[failures.stream]])
        path = np.where(second, int(Path.SECOND_DEVICE), int(Path.PAIR))
    names = active.window[failures.window], failures.read
    draw, _, _, _ = words(seed.key(Purpose.OUTCOME), faults.node_id[fault], faults.tag[fault], *names)
    time_ns = failure_times_ns(reads, faults, failures)
    bad = BadReads(
        fault, pfn, time_ns, reads.scrub[failures.window], unit32(draw) < streams.silent[failures.stream], path
    )
    return Judged(streams, stretches, failures, bad)


def drop_mapped_out(judged: Judged, reads: Reads, since_ns: Ints) -> Judged:
    """Leave out the failures in windows that begin after their fault has been mapped out (``since_ns`` by fault)."""
    kept = np.flatnonzero(reads.active.low_ns[judged.failures.window] < since_ns[judged.bad.fault])
    return judged._replace(failures=judged.failures.take(kept), bad=judged.bad.take(kept))


def lost_reads(judged: list[Judged], reads: Reads, *, mirroring: bool) -> LostReads:
    """Return which reads of windows are neither corrected nor answered from a copy."""
    later, failed = np.zeros(reads.u.size, np.int64), []
    for one in judged:
        streams, kept = one.streams, np.ones(one.bad.fault.size, np.bool_)
        if mirroring:
            streams, kept = streams._replace(p=streams.p * streams.silent), one.bad.silent
        failed.append(one.failures.window[kept] * _READS + one.failures.read[kept])
        later += count_later(reads, streams, one.failures, one.stretches)
    window, read = np.divmod(np.unique(np.concatenate(failed)), _READS)  # what fails in two ways is lost once
    n_lost = np.minimum(np.bincount(window, minlength=later.size) + later, reads.whole)
    return LostReads(n_lost, window, read)


def bad_reads(faults: FaultTable, judgement: Judgement, judged: list[Judged], *, mirroring: bool) -> BadReads:
    """List the reads that are not corrected, ordered by (fault, page, time); each read once.

    Args:
        faults: Faults.
        judgement: Of each alone.
        judged: Failures of hard faults alone, then of those that meet others.
        mirroring: Those that are detected are answered from a copy.
    """
    window, read = (np.concatenate([getattr(one.failures, part) for one in judged]) for part in ("window", "read"))
    order = np.lexsort((read, window))  # stable: of equal reads the one alone comes first
    again = (np.diff(window[order], prepend=-1) == 0) & (np.diff(read[order], prepend=-1) == 0)
    bad = join([*(one.bad for one in judged)]).take(np.sort(order[~again]))
    at_once = np.flatnonzero(faults.on_wires & ~faults.hard & (judgement.risk.p > 0))
    n, silent = at_once.size, judgement.risk.silent[at_once] > 0
    commands = BadReads(
        at_once,
        np.full(n, NULL),
        faults.time_ns[at_once],
        np.zeros(n, np.bool_),
        silent,
        np.full(n, int(Path.COMMAND_ADDRESS)),
    )
    found = join([bad, commands])
    if mirroring:
        found = found.take(np.flatnonzero(found.silent))
    return found.take(np.lexsort((found.time_ns, found.pfn, found.fault)))
