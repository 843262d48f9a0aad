"""What simulated lifetimes of a DIMM design come to, for whoever turns counts into probabilities.

**Models.** Lifetimes by their first fault, first uncorrectable and first silent error, by year, by mode, and by the one
fault or the two that it came from.

**Leaves out.** When within a year.

**Assumes.** Lifetimes are independent, so that counts are binomial.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

from node_sim.records import Ints


class LifetimeCounts(NamedTuple):
    """Counted lifetimes.

    Attributes:
        lifetimes: Simulated.
        years: Length of one [years].
        faults: All faults, by mode: shape ``(modes,)``.
        by_year: Lifetimes whose first fault, uncorrectable error, silent error falls in year i: ``(3, years)``.
        by_mode: Lifetimes with a fault of the mode; whose first such error came with one: ``(3, modes)``.
        alone: Lifetimes whose first uncorrectable, silent error is of one fault, by its mode: ``(2, modes)``.
        met: Of two faults that met, by both modes, the smaller first: ``(2, modes, modes)``, 0 below the diagonal.
    """

    lifetimes: int
    years: float
    faults: Ints
    by_year: Ints
    by_mode: Ints
    alone: Ints
    met: Ints
