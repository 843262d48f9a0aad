"""How the rate of hard faults changes with the age of a DIMM.

**Models.** A bathtub: an infant share that dies away exponentially, and a wear-out that sets in over some months.
Faults are drawn at the highest rate and kept with the probability that belongs to their DIMM's age.

**Leaves out.** Temperature and load histories; ageing of soft rates.

**Assumes.** All DIMMs of a node are equally old at time 0; a replacement is new.

**Sources.** Onset at 10-18 months: Schroeder et al., SIGMETRICS 2009; falling permanent rates over the first two years:
Sridharan et al., SC 2013; no ageing: Levy et al., SC 2018 (``tests/oracle/catalog/ce_process.csv``). Sizes are
assumptions.
"""

from __future__ import annotations

import numpy as np

from node_sim.catalog.numbers import WEAROUT_MONTHS
from node_sim.draws import Purpose, Seed, unit32, unit53, words
from node_sim.elementary import exp
from node_sim.records import Flags, Floats, Ints
from node_sim.server.hardware import Faults
from node_sim.units import NS_PER_YEAR

NS_PER_MONTH = NS_PER_YEAR // 12


def hazard(faults: Faults, age_ns: Ints) -> Floats:
    """Return the rate of hard faults at an age over that of a DIMM past infancy and before wear-out."""
    months = age_ns / NS_PER_MONTH
    first, last = WEAROUT_MONTHS.value
    infant = faults.infant_factor * exp(-months / faults.infant_months)
    worn: Floats = faults.wearout_factor * np.clip((months - first) / (last - first), 0.0, 1.0)
    return 1.0 + infant + worn


def peak_hazard(faults: Faults) -> float:
    """Return a bound of ``hazard`` over all ages."""
    return 1.0 + faults.infant_factor + faults.wearout_factor


def start_age_ns(seed: Seed, node_id: Ints, faults: Faults) -> Ints:
    """Draw how old the DIMMs of nodes are at time 0 [ns]."""
    if not faults.oldest_years:
        return np.zeros_like(node_id)
    _, _, w2, w3 = words(seed.key(Purpose.NODE), node_id)
    return (unit53(w2, w3) * (faults.oldest_years * NS_PER_YEAR)).astype(np.int64)


def stays_with_age(seed: Seed, node_id: Ints, tag: Ints, hard: Flags, age_ns: Ints, faults: Faults) -> Flags:
    """Draw which faults are kept, given the age of their DIMM when they start.

    Args:
        seed: Of the run.
        node_id: Node of each fault, shape ``(n,)``; so are the others.
        tag: Name of the fault within its node.
        hard: Soft faults are always kept.
        age_ns: Of the DIMM [ns], >= 0.
        faults: Settings.

    Source:
        Thinning of a Poisson process (Lewis and Shedler 1979).
    """
    peak = peak_hazard(faults)
    if peak == 1.0:
        return np.ones_like(hard)
    mark, _, _, _ = words(seed.key(Purpose.FAULT), node_id, tag, 5)
    kept: Flags = ~hard | (unit32(mark) * peak < hazard(faults, age_ns))
    return kept
