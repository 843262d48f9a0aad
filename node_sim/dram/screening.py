"""Which DIMMs have faults, and how many: one draw decides about four DIMMs.

**Models.** Soft faults of a DIMM are Poisson; hard ones are Poisson with a rate that a gamma-distributed frailty
multiplies, so their number is negative binomial. The draw gives the sum; a second one splits it.

**Leaves out.** Nothing that is in the rates.

**Assumes.** Frailty is a property of the DIMM; given the number of faults, their start times are independent.

**Sources.** Greenwood and Yule 1920: a gamma mixture of Poisson laws is negative binomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy import special

from node_sim.dram.rates import FaultRates
from node_sim.draws import Purpose, Seed, Words, unit53, words
from node_sim.elementary import exp, log1p
from node_sim.errors import ModelError
from node_sim.names import dimm_draw
from node_sim.records import Floats, Index, Ints, join, take
from node_sim.units import NS_PER_YEAR

FAULTS_PER_DIMM_MAX = 60_000
"""Ordinals of one DIMM generation fit in 16 bits of the fault's name."""
LANES: Final = 4
"""DIMMs that one screening draw decides about, each by a word of its own."""
_TAIL: Final = 40.0
"""Chances below exp(-40) are left out; a 53-bit uniform does not meet them."""


def _poisson(mean: float, size: int) -> Floats:
    """Poisson chances of 0 … size-1."""
    count = np.arange(size)
    return exp(special.xlogy(count, mean) - mean - special.gammaln(count + 1))


def _negative_binomial(mean: float, variance: float, size: int) -> Floats:
    """Chances of 0 … size-1 under a Poisson law whose mean is multiplied by a gamma variable of mean 1."""
    if not variance:
        return _poisson(mean, size)
    count = np.arange(size)
    # Gamma(count + 1/variance) variance**count / Gamma(1/variance), as a product that stays exact for a small variance
    rising = np.concatenate(([0.0], np.cumsum(log1p(variance * count[:-1]))))
    log = special.xlogy(count, mean) - special.gammaln(count + 1) + rising
    return exp(log - (count + 1.0 / variance) * log1p(mean * variance))


def _size(mean: float, variance: float, steepest: str) -> int:
    """Counts to list until the tail is negligible.

    Args:
        mean: Expected faults.
        variance: Of their frailty.
        steepest: The setting to lower if there are too many.

    Raises:
        ModelError: There are too many.
    """
    size = int(mean + 12.0 * np.sqrt(mean) + 20.0 + _TAIL * mean * variance)
    if size > FAULTS_PER_DIMM_MAX:
        msg = (
            f"faults: up to {size:,} faults per DIMM ({mean:.3g} expected), expected at most {FAULTS_PER_DIMM_MAX:,}; "
            f"lower {steepest}, years or frailty_variance"
        )
        raise ModelError(msg)
    return size


def _folded(few: Floats, many: Floats) -> Floats:
    """Chances of the sum of two counts, as many as ``many``.

    One shift after the other: products by BLAS depend on the processor in the last bit, and wake its threads.
    """
    both = np.zeros(many.size)
    for count, chance in enumerate(few.tolist()):
        both[count:] += chance * many[: many.size - count]
    return both


@dataclass(frozen=True)
class CountLaw:
    """How many soft and hard faults a DIMM has over some time.

    Attributes:
        soft: Chance of 0, 1, … soft faults.
        hard: Chance of 0, 1, … hard faults, listed as far.
        cdf: Distribution function of their sum.
    """

    soft: Floats
    hard: Floats
    cdf: Floats

    @classmethod
    def of(cls, rates: FaultRates, horizon_ns: int) -> CountLaw:
        """Return the law for a horizon.

        Raises:
            ModelError: Too many faults per DIMM.
        """
        years, variance = horizon_ns / NS_PER_YEAR, rates.frailty_variance
        soft, hard = rates.soft_per_year * years, rates.hard_per_year * years
        if not variance:
            size = _size(soft + hard, 0.0, rates.steepest)
            cdf = np.asarray(special.pdtr(np.arange(size), soft + hard), np.float64)
            return cls(_poisson(soft, size), _poisson(hard, size), cdf)
        n_soft = _size(soft, 0.0, rates.steepest)
        size = n_soft + _size(hard, variance, rates.steepest)
        both = _poisson(soft, size), _negative_binomial(hard, variance, size)
        # More soft faults than n_soft have no chance.
        return cls(*both, np.cumsum(_folded(both[0][:n_soft], both[1])))

    def hard_of(self, total: Ints, u: Floats) -> Ints:
        """Draw how many of some faults are hard, by one uniform for each DIMM."""
        found = np.zeros_like(total)
        for n in np.flatnonzero(np.bincount(total)).tolist():
            mine = np.flatnonzero(total == n)
            chance = np.cumsum(self.soft[n::-1] * self.hard[: n + 1])
            found[mine] = np.searchsorted(chance, u[mine] * chance[-1], side="right")
        return found


class Counts(NamedTuple):
    """Faults of DIMMs, and how many of them are hard; shape ``(n,)``."""

    total: Ints
    hard: Ints

    def take(self, index: Index) -> Counts:
        """Select some DIMMs."""
        return take(self, index)


def _complete(
    seed: Seed, node_id: Ints, generation: Ints | int, slot: Ints | int, high: Words, law: CountLaw
) -> Counts:
    """Extend the 32-bit draw of the DIMMs that passed the screen to 53 bits, then look up how many faults each has."""
    low, _, w2, w3 = words(seed.key(Purpose.SCREEN), node_id, dimm_draw(generation, slot), 1)
    total = np.searchsorted(law.cdf, unit53(high, low), side="right").astype(np.int64)
    return Counts(total, law.hard_of(total, unit53(w2, w3)))


def draw_counts(seed: Seed, node_id: Ints, slot: Ints, generation: Ints, law: CountLaw) -> Counts:
    """Draw how many faults each DIMM generation has.

    Args:
        seed: Of the run.
        node_id: Nodes, shape ``(n,)``.
        slot: DIMM slots, shape ``(n,)``.
        generation: Generations, shape ``(n,)``.
        law: Of the counts.
    """
    lanes = np.asarray(words(seed.key(Purpose.SCREEN), node_id, dimm_draw(generation, slot // LANES)))
    return _complete(seed, node_id, generation, slot, lanes[slot % LANES, np.arange(slot.size)], law)


class Hits(NamedTuple):
    """DIMMs that have faults, ordered by node and slot: place of the node in the list asked about, slot, counts."""

    node: Ints
    slot: Ints
    counts: Counts

    def take(self, index: Index) -> Hits:
        """Select some DIMMs."""
        return take(self, index)


def screen_nodes(seed: Seed, node_id: Ints, slots: int, law: CountLaw) -> Hits:
    """Find the DIMMs of generation 0 that have faults; the same draws as ``draw_counts``."""
    some = np.uint32(min(int(law.cdf[0] * 2.0**32), 2**32 - 1))  # a screening word below this means no faults
    hits = []
    for first in range(0, slots, LANES):
        lanes = words(seed.key(Purpose.SCREEN), node_id, first // LANES)
        for slot, high in zip(range(first, slots), lanes, strict=False):
            where = np.flatnonzero(high >= some)
            counts = _complete(seed, node_id[where], 0, slot, high[where], law)
            hits.append(Hits(where, np.full(where.size, slot), counts).take(counts.total > 0))
    found = join(hits)
    return found.take(np.argsort(found.node, kind="stable"))
