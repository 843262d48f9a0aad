"""Two policies of one's own, to copy from: ``hwpoison-fleet run huawei-2024 --policy analysis.own_policies:risky``.

What a policy sees and may order is in ``node_sim/orders.py``.
"""

from __future__ import annotations

import math

import numpy as np

from node_sim.orders import KnownNode, Order, RecordArray, ReplaceDimm, looks_at
from node_sim.records import Flags

_LOW_HALF, _HIGH_HALF = 0b0011, 0b1100
_MANY = 10
_WEIGHTS = (-5.15, 1.23, -0.34, -1.63)
"""Of one, and of the logarithms to base ten of all errors, of those of the newest day, and of the days.

Fitted by maximum likelihood to whether 6,675 DIMMs of ``huawei-2024`` (20,000 nodes, nine months, seed 7), each seen on
one of its first fourteen such days, have an uncorrected error later; there with all errors of such days, here without
the first nine of each.
"""
_SCORE = -2.6
"""About a tenth of these DIMMs reach it."""


def _both_halves(errors: RecordArray) -> Flags:
    """Return which errors have wrong bits on data pins of both halves of a x4 device."""
    found: Flags = ((errors["pins"] & _LOW_HALF) > 0) & ((errors["pins"] & _HIGH_HALF) > 0)
    return found


def _of_dimm(node: KnownNode, errors: RecordArray, dimm: int) -> RecordArray:
    """Return which of some errors are of the DIMM that is in a slot now."""
    replaced = node.repairs["time_ns"][node.repairs["dimm"] == dimm]
    installed_ns = int(replaced[-1]) if replaced.size else 0
    found: RecordArray = errors[(errors["dimm"] == dimm) & (errors["first_ns"] >= installed_ns)]
    return found


@looks_at(_both_halves)
def risky(node: KnownNode) -> list[Order]:
    """Replace a DIMM at its first corrected error in both halves of a device (the risky pattern of M2-MFP, 2025)."""
    new = node.errors[node.new :]
    if node.cordoned:
        return []
    return [ReplaceDimm(dimm) for dimm in np.unique(new["dimm"]).tolist() if len(_of_dimm(node, new, dimm))]


def _many(errors: RecordArray) -> Flags:
    """Return which errors are at least the tenth of their device and day."""
    found: Flags = errors["in_window"] >= _MANY
    return found


@looks_at(_many)
def logistic(node: KnownNode) -> list[Order]:
    """Replace a DIMM whose counts of corrected errors, on days with ten or more, have a high score."""
    orders: list[Order] = []
    if node.cordoned:
        return orders
    for dimm in np.unique(node.errors["dimm"][node.new :]).tolist():
        errors = _of_dimm(node, node.errors, dimm)
        if not len(errors):
            continue
        day = errors["last_ns"] // node.layout.window_ns
        newest = int(errors["count"][day == day[-1]].sum())
        counts = int(errors["count"].sum()), newest, np.unique(day).size
        score = _WEIGHTS[0] + sum(w * math.log10(n) for w, n in zip(_WEIGHTS[1:], counts, strict=True))
        if score >= _SCORE:
            orders.append(ReplaceDimm(dimm))
    return orders
