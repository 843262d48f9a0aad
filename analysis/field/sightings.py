"""What a study sees of a fleet: its errors by DIMM and month.

An observation takes whole months at the end of the simulated time, so that faults of the years before are still there,
as in the fleets that were studied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from node_sim.codes import Path
from node_sim.names import dimm_of_fault, node_of_dimm, node_of_fault
from node_sim.records import Flags, Ints
from node_sim.units import NS_PER_YEAR

COLUMNS: Final = ("fault_id", "kind", "ce_count", "first_time_ns", "last_time_ns", "path")
"""Of the table of errors."""
FAULT_COLUMNS: Final = ("fault_id", "n_dq", "n_beats")
"""Of the table of faults."""
CLASSES: Final = ("1 x 1", "1 x more", "2 DQ", "3 DQ", "4 DQ")
"""Classes of patterns: data pins and beats, or data pins."""
NO_CLASS: Final = -1
"""Of wrong commands or addresses, which have no pattern."""
MONTH_NS: Final = NS_PER_YEAR // 12
MONTHS_PER_YEAR: Final = 12
FOLDS: Final = 30


class Observation(NamedTuple):
    """What was watched: months at the end of the simulated time, and how many servers and DIMMs."""

    months: int
    start_ns: int
    servers: float
    dimms: float
    day_cap: int
    population: int

    @property
    def years(self) -> float:
        """Length of the observation."""
        return self.months / MONTHS_PER_YEAR


class Sightings(NamedTuple):
    """Errors seen during an observation; CEs are summed by DIMM and month.

    Attributes:
        dimm: DIMM (server, slot, generation) of each DIMM-month with CEs, shape ``(n,)``.
        month: Its month.
        errors: Its CEs.
        widest: Index into ``CLASSES`` of the widest fault that made some; -1 if only wrong commands or addresses did.
        storm_dimm: DIMMs of windows whose count reached the log's daily limit.
        ue_fault: Fault of each UE.
        ue_ns: Time of each UE [ns].
        ue_path: How the fault came to it (``Path``).
        watched_dimm: DIMMs with UEs, once for each window with CEs at any time before.
        watched_ns: First CE of each such window [ns].
        risky_dimm: DIMMs of windows with CEs in both halves of the data pins of a device, shape ``(k,)``.
        risky_ns: First and last CE of each such window [ns], shape ``(k, 2)``.
    """

    dimm: Ints
    month: Ints
    errors: Ints
    widest: Ints
    storm_dimm: Ints
    ue_fault: Ints
    ue_ns: Ints
    ue_path: Ints
    watched_dimm: Ints
    watched_ns: Ints
    risky_dimm: Ints
    risky_ns: Ints

    def of_servers(self, left_out: int) -> Sightings:
        """Leave out one fold of the servers."""
        by_dimm, storm, watched, risky = (
            node_of_dimm(dimm) % FOLDS != left_out
            for dimm in (self.dimm, self.storm_dimm, self.watched_dimm, self.risky_dimm)
        )
        ue = node_of_fault(self.ue_fault) % FOLDS != left_out
        return Sightings(
            self.dimm[by_dimm],
            self.month[by_dimm],
            self.errors[by_dimm],
            self.widest[by_dimm],
            self.storm_dimm[storm],
            self.ue_fault[ue],
            self.ue_ns[ue],
            self.ue_path[ue],
            self.watched_dimm[watched],
            self.watched_ns[watched],
            self.risky_dimm[risky],
            self.risky_ns[risky],
        )


def see_errors(errors: pa.Table, faults: pa.Table, across: Flags, observation: Observation) -> Sightings:
    """Reduce tables of errors and faults (of one arm, any servers) to what the figures need.

    Args:
        errors: With ``COLUMNS``.
        faults: With ``FAULT_COLUMNS``; those of the errors are among them.
        across: Which of these faults make bits of both halves of a x4 device's data pins wrong.
        observation: What was watched.
    """
    is_ce = pc.equal(errors.column("kind"), "CE")
    ce, ue = errors.filter(is_ce), errors.filter(pc.equal(errors.column("kind"), "UE"))
    fault, time = _ints(ce, "fault_id"), _ints(ce, "first_time_ns")
    count = _ints(ce, "ce_count")
    ue_fault, ue_ns = _ints(ue, "fault_id"), _ints(ue, "first_time_ns")
    seen = ue_ns >= observation.start_ns
    ue_fault, ue_ns = ue_fault[seen], ue_ns[seen]
    ue_path = np.asarray([Path.of(text) for text in ue.column("path").filter(pa.array(seen)).to_pylist()], np.int64)
    watched = np.isin(dimm_of_fault(fault), dimm_of_fault(ue_fault))
    inside = np.flatnonzero(time >= observation.start_ns)
    month = np.minimum((time[inside] - observation.start_ns) // MONTH_NS, observation.months - 1)
    name, where = np.unique(dimm_of_fault(fault[inside]) * observation.months + month, return_inverse=True)
    at = _places(faults, fault[inside])
    widest = np.full(name.size, NO_CLASS, np.int64)
    np.maximum.at(widest, where, _classes(faults)[at])
    risky = inside[across[at]]
    return Sightings(
        dimm=name // observation.months,
        month=name % observation.months,
        errors=np.bincount(where, count[inside], minlength=name.size).astype(np.int64),
        widest=widest,
        storm_dimm=dimm_of_fault(fault[inside[count[inside] >= observation.day_cap]]),
        ue_fault=ue_fault,
        ue_ns=ue_ns,
        ue_path=ue_path,
        watched_dimm=dimm_of_fault(fault[watched]),
        watched_ns=time[watched],
        risky_dimm=dimm_of_fault(fault[risky]),
        risky_ns=np.stack((time[risky], _ints(ce, "last_time_ns")[risky]), axis=1),
    )


def _places(faults: pa.Table, fault: Ints) -> Ints:
    """Return the rows of given faults."""
    name = _ints(faults, "fault_id")
    order = np.argsort(name)
    found: Ints = order[np.searchsorted(name[order], fault)] if fault.size else fault
    return found


def _classes(faults: pa.Table) -> Ints:
    """Return the class of pattern of each fault, ``NO_CLASS`` of those without."""
    n_dq, n_beats = _ints(faults, "n_dq"), _ints(faults, "n_beats")
    classes = np.where((n_dq == 1) & (n_beats == 1), 0, n_dq)
    return np.where(n_dq > 0, classes, NO_CLASS)


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(pc.fill_null(table.column(name), 0)).astype(np.int64)


def join_sightings(parts: Iterable[Sightings]) -> Sightings:
    """Put sightings of different servers together."""
    return Sightings(*(np.concatenate(column) for column in zip(*parts, strict=True)))
