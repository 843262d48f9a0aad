"""What an order of a policy of one's own means, and whether it can be carried out.

**Models.** An order about a row is one about all its pages.

**Leaves out.** What is known when it is given; ``decisions.py`` knows that.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.dram.device_rows import name_row, pages_of_rows
from node_sim.dram.geometry import AddressMap
from node_sim.lives.ordered import OrderKind
from node_sim.orders import KINDS, CordonNode, KnownNode, OfflinePage, OfflineRow, Order, RecordArray, ReplaceDimm
from node_sim.records import Flags


def complaint(order: object, shown: KnownNode) -> str | None:
    """Say why something that a policy has returned cannot be carried out, or nothing."""
    if not isinstance(order, KINDS):
        return f"expected orders: {', '.join(kind.__name__ for kind in KINDS)}"
    layout = shown.layout
    limits = {
        "pfn": layout.pages,
        "dimm": layout.dimms,
        "rank": layout.ranks,
        "bank": layout.banks,
        "row": layout.rows,
    }
    for name, value in order._asdict().items():
        if name == "time_ns" and value is None:
            continue
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            return f"{name} is {value!r}, expected a whole number"
        if name == "time_ns":
            if value < shown.now_ns:
                return f"it is {shown.now_ns} ns, expected that time or a later one"
        elif not 0 <= value < limits[name]:
            return f"{name} is {value}, expected 0 to {limits[name] - 1}"
    return None


def targets(order: Order, address_map: AddressMap) -> list[tuple[OrderKind, int]]:
    """Return what an order is about: pages, a DIMM, or the node (-1)."""
    if isinstance(order, OfflinePage):
        return [(OrderKind.OFFLINE, int(order.pfn))]
    if isinstance(order, OfflineRow):
        name = name_row(address_map, order.dimm, order.rank, order.bank, order.row)
        _, pages = pages_of_rows(address_map, np.asarray([name]))
        return [(OrderKind.OFFLINE, pfn) for pfn in sorted(pages.tolist())]
    if isinstance(order, ReplaceDimm):
        return [(OrderKind.REPLACE, int(order.dimm))]
    return [(OrderKind.CORDON if isinstance(order, CordonNode) else OrderKind.DRAIN, -1)]


def each_once(rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Leave out orders that were given before for the same time."""
    first: dict[tuple[int, ...], tuple[int, ...]] = {}
    for row in rows:
        first.setdefault(row[:4], row)
    return list(first.values())


def shows(order: Order, errors: RecordArray) -> Flags:
    """Return which errors show what an order is about."""
    found = np.ones(errors.size, np.bool_)
    if isinstance(order, OfflinePage):
        names: tuple[str, ...] = ("pfn",)
    elif isinstance(order, OfflineRow):
        names = ("dimm", "rank", "bank", "row")
    else:
        names = ("dimm",) if isinstance(order, ReplaceDimm) else ()
    for name in names:
        found &= errors[name] == getattr(order, name)
    return found
