"""Sums over nodes given one by one, as tallies hold them."""

import numpy as np

from analysis.estimators.rates import NO_PROCESSES, Sums
from fleet.stored.headline import INDEX, METRICS
from fleet.stored.tally import Tally


def nodes(n, **columns):
    """Metrics of so many nodes that are up for a year, shape ``(n, metrics)``."""
    x = np.zeros((n, len(METRICS)))
    x[:, INDEX["node_years"]] = 1.0
    for name, values in columns.items():
        x[:, INDEX[name]] = values
    return x


def sums_of(x, x0=None, ends=NO_PROCESSES):
    """Sums over nodes of an arm, and of the same nodes in its baseline."""
    tally = Tally.zero(2, 1)
    base = x if x0 is None else x0
    tally.nodes[:] = x.shape[0]
    tally.add((0, 1) if base is x else (0,), 0, base, base, 1.0)
    if base is not x:
        tally.add((1,), 0, x, base, 1.0)
    return Sums.of(tally, 1, ends=ends)
