"""Lifetimes of one DIMM design: the faults of each, and what happens in it.

**Models.** Lifetime k is slot k % 4 of node k // 4, so its faults (``dram/faults.py``) are those that a run would give
that DIMM.

**Leaves out.** The kernel, replacement, page retirement: a lifetime ends at the horizon, and its first failure counts.

**Assumes.** A soft fault stays until the next multiple of the scrub period.

**Sources.** ``dram/faults.py``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from node_sim.dram.extents import draw_box
from node_sim.dram.faults import Cells, draw_arrivals, draw_cells
from node_sim.dram.geometry import Dimm, Footprint, meet
from node_sim.dram.screening import LANES, screen_nodes
from node_sim.draws import Seed
from node_sim.ecc.judgement import is_present
from node_sim.names import fault_tag
from node_sim.one_dimm.question import Question
from node_sim.records import NULL, Flags, Index, Ints, expand_counts, pairs_within, take

SLOTS: Final = LANES
"""Lifetimes of one node: those that one screening draw decides about."""


class Incidents(NamedTuple):
    """Failures, or arrivals of faults; arrays of shape ``(n,)``.

    Attributes:
        lifetime: In which lifetime.
        time_ns: When [ns].
        mode: Mode of the fault with which it came.
        partner: Mode of the earlier fault that it met, ``NULL`` if it failed alone.
    """

    lifetime: Ints
    time_ns: Ints
    mode: Ints
    partner: Ints

    def take(self, index: Index) -> Incidents:
        """Select some."""
        return take(self, index)

    def first(self) -> Incidents:
        """Keep the first of each lifetime."""
        ordered = self
        if (np.diff(self.lifetime) < 0).any():
            ordered = self.take(np.argsort(self.lifetime, kind="stable"))
        start = _starts(ordered.lifetime)
        if start.size == ordered.lifetime.size:
            return ordered
        earliest = np.minimum.reduceat(ordered.time_ns, start)
        length = np.diff(start, append=ordered.lifetime.size)
        first = ordered.take(np.flatnonzero(ordered.time_ns == np.repeat(earliest, length)))
        return first.take(_starts(first.lifetime))


def _starts(lifetime: Ints) -> Ints:
    """Return where each lifetime begins in a list that is ordered by lifetime."""
    return np.flatnonzero(np.diff(lifetime, prepend=-1))


class LifetimeFaults(NamedTuple):
    """Faults of some lifetimes, ordered by lifetime; ``tag`` names a fault within its node."""

    lifetime: Ints
    node_id: Ints
    tag: Ints
    time_ns: Ints
    mode: Ints
    hard: Flags

    def take(self, index: Index) -> LifetimeFaults:
        """Select some faults."""
        return take(self, index)

    def arrivals(self, index: Index) -> Incidents:
        """Return the arrivals of some faults."""
        mode = self.mode[index]
        return Incidents(self.lifetime[index], self.time_ns[index], mode, np.broadcast_to(np.int64(NULL), mode.size))

    def meetings(self, earlier: Ints, later: Ints) -> Incidents:
        """Return the arrivals of faults that meet earlier ones, each with its partner."""
        return self.arrivals(later)._replace(partner=self.mode[earlier])


def draw_lifetimes(seed: Seed, question: Question, node_id: Ints) -> LifetimeFaults:
    """Draw the faults of the lifetimes of some nodes."""
    rates = question.rates
    hits = screen_nodes(seed, node_id, SLOTS, question.law)
    owner, ordinal = expand_counts(hits.counts.total)
    node, slot = node_id[hits.node[owner]], hits.slot[owner]
    tag = fault_tag(slot, np.zeros_like(slot), ordinal)
    hard = ordinal < hits.counts.hard[owner]
    arrivals = draw_arrivals(seed, node, tag, hard, rates, question.horizon_ns)
    return LifetimeFaults(
        SLOTS * node + slot, node, tag, arrivals.time_ns, rates.mode[arrivals.category], rates.hard[arrivals.category]
    )


def draw_damage(seed: Seed, question: Question, faults: LifetimeFaults) -> tuple[Cells, Footprint]:
    """Draw what faults touch."""
    dimm, extents = question.dimm, question.extents
    return (
        draw_cells(seed, faults.node_id, faults.tag, faults.mode, faults.hard, dimm),
        draw_box(seed, faults.node_id, faults.tag, faults.mode, dimm, extents),
    )


def pairs_by_later(faults: LifetimeFaults, box: Footprint, dimm: Dimm) -> tuple[Ints, Ints]:
    """List the pairs (earlier, later) of faults of a lifetime with lines in common, ordered by later and earlier one.

    The faults are ordered by lifetime and time, so the first pair of each later fault is with the one that started
    first.
    """
    earlier, later = pairs_within(faults.lifetime)
    hit = np.flatnonzero(meet(box.take(earlier), box.take(later), dimm))
    hit = hit[np.lexsort((earlier[hit], later[hit]))]
    return earlier[hit], later[hit]


def has_company(faults: LifetimeFaults) -> Flags:
    """Whether the lifetime of each fault has others; the faults are ordered by lifetime."""
    same = np.diff(faults.lifetime) == 0
    edge = np.zeros(1, np.bool_)
    found: Flags = np.concatenate([edge, same]) | np.concatenate([same, edge])
    return found


def with_several(faults: LifetimeFaults) -> LifetimeFaults:
    """Keep the lifetimes with two faults or more, ordered by lifetime and time."""
    kept = faults.take(np.flatnonzero(has_company(faults)))
    return kept.take(np.lexsort((kept.time_ns, kept.lifetime)))


def outlasts(question: Question, faults: LifetimeFaults, earlier: Ints, later: Ints) -> Flags:
    """Return which faults are still there when a later one of the same lifetime starts."""
    return is_present(faults.time_ns[earlier], faults.hard[earlier], faults.time_ns[later], question.scrub_ns)


def no_incidents() -> Incidents:
    """Return an empty list."""
    empty = np.empty(0, np.int64)
    return Incidents(empty, empty, empty, empty)
