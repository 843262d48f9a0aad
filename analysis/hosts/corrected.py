"""Corrected errors of a window as the records that a host logs: when, how many, and where.

A row of ``errors`` counts the corrected errors of a fault in a window (of a day, by default) and tells the first and
the last. What a host logs are records, of one error or of several. Draws are named by fault and time of the first
error, so every export, counter and log of a node agrees on them, in every arm that has the row.

**Assumes.** Records between the first and the last stand at uniform times; errors are spread over records evenly at
random. The page of a record is known where the window has one page only, and of the first record.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from analysis.hosts.lives import Row
from node_sim.names import slot_of_fault

COUNT_MAX: Final = 65_535
"""The trace event of the kernel (``ras:mc_event``) has 16 bits for the number of errors."""
ROWS_PER_WINDOW: Final = 60
"""Records of a window, if nobody says otherwise, unless each must hold more than ``COUNT_MAX`` errors."""


class CorrectedRecord(NamedTuple):
    """A record of corrected errors.

    Attributes:
        time_ns: When it is logged.
        errors: How many it stands for.
        slot: DIMM slot; None is unknown.
        pfn: Page; None is unknown.
    """

    time_ns: int
    errors: int
    slot: int | None
    pfn: int | None


def corrected_records(row: Row, seed: int, at_most: int = ROWS_PER_WINDOW) -> list[CorrectedRecord]:
    """Return the records of a row of ``errors`` that counts corrected errors, in order of time.

    Wrong commands and addresses have no cells: the controller tells neither DIMM nor page.

    Args:
        row: The row.
        seed: Seed of the run.
        at_most: Records, unless each must hold more than ``COUNT_MAX`` errors.
    """
    errors, first_ns, last_ns = row["ce_count"], row["first_time_ns"], row["last_time_ns"]
    if not errors:
        return []
    records = min(errors, max(at_most, -(-errors // COUNT_MAX)))
    draws = np.random.Generator(np.random.Philox(counter=first_ns, key=[seed, row["fault_id"]]))
    between = np.sort(draws.integers(first_ns, last_ns + 1, max(0, records - 2)))
    ends = [first_ns, *between.tolist(), last_ns][:records] if records > 1 else [first_ns]
    counts = _spread(draws, errors, records)
    slot = None if row["first_pfn"] is None else slot_of_fault(row["fault_id"])
    return [
        CorrectedRecord(time_ns, number, slot, row["first_pfn"] if n == 0 or row["n_pages"] == 1 else None)
        for n, (time_ns, number) in enumerate(zip(ends, counts, strict=True))
    ]


def _spread(draws: np.random.Generator, errors: int, records: int) -> list[int]:
    """Share errors out among records: at least one and at most ``COUNT_MAX`` each."""
    counts = 1 + draws.multinomial(errors - records, np.full(records, 1 / records))
    over = int(np.maximum(counts - COUNT_MAX, 0).sum())
    counts = np.minimum(counts, COUNT_MAX)
    for n in np.flatnonzero(counts < COUNT_MAX):
        taken = min(over, COUNT_MAX - int(counts[n]))
        counts[n] += taken
        over -= taken
    return [int(count) for count in counts]
