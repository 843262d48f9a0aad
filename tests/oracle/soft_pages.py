"""When each page of one soft fault is first touched, by whom, and which of its errors are logged.

The scalar reading of ``corrected/soft_sightings.py`` and of the part of ``corrected/windows.py`` that logs them, from
the same named draws. Shared with the product: those draws, ``AddressMap``, the share of writes in the catalogue.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from node_sim.catalog.numbers import SOFT_WRITE_SHARE
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.draws import Purpose
from node_sim.server.policy import Policy
from tests.oracle.fault_growth import HOUR_NS, Draws, Fault, walk_over
from tests.oracle.named_draws import unit32
from tests.oracle.wrong_reads import logged

PAGES_LOOKED_AT, BLOCK = 32, 512


class Touch(NamedTuple):
    """What comes of a page: first touched at a time, or never (None), by whom, and whether that overwrites it."""

    page: int
    pfn: int
    time: int | None
    scrub: bool = False
    overwrites: bool = False

    def is_seen(self, horizon: int) -> bool:
        """Whether somebody reads the wrong word."""
        return self.time is not None and self.time < horizon and not self.overwrites


class SoftError(NamedTuple):
    """A corrected error of a soft fault in the log."""

    fault: Fault
    window: int
    touch: Touch


def touches(draws: Draws, fault: Fault, policy: Policy, address_map: AddressMap, n_pages: int) -> list[Touch]:
    """Go through the pages of a soft fault, one after the other."""
    if fault.on_wires:
        return [Touch(0, -1, fault.time)]
    detection, share = policy.detection, 1.0 - policy.workload.use.free
    period = max(1, round(detection.scrub_hours * HOUR_NS))
    in_use: dict[int, bool] = {}
    start = begin = 0
    found = []
    for page in range(min(n_pages, PAGES_LOOKED_AT)):
        place = walk_over(draws, fault, n_pages).place(page)
        pfn = pfn_of(address_map, fault, place)
        by_scrub, by_use, by_time, by_kind = (unit32(word) for word in draws(Purpose.SEEN, fault.node, fault.tag, page))
        known = pfn // BLOCK in in_use
        used = in_use.setdefault(pfn // BLOCK, by_use < share)
        hot = by_use < (detection.hot_share if known else share * detection.hot_share)
        passes = int(pfn / address_map.pages * period)
        if page == 0:
            start, begin = int(by_scrub * period), passes
        scrub = (start + passes - begin) % period if detection.scrub_hours else None
        mean = round(detection.hot_interval_s * 1e9) if hot else round(detection.cold_interval_hours * HOUR_NS)
        access = int(-math.log(by_time) * mean) if used else None
        if scrub is not None and (access is None or scrub <= access):
            found.append(Touch(page, pfn, fault.time + scrub, scrub=True))
        elif access is not None:
            overwrites = by_kind < SOFT_WRITE_SHARE.value
            found.append(Touch(page, pfn, fault.time + access, overwrites=overwrites))
        else:
            found.append(Touch(page, pfn, None))
    return found


def pfn_of(address_map: AddressMap, fault: Fault, place: int) -> int:
    """Return the page at a place in a fault's footprint."""
    box = Footprint(*(np.asarray([part]) for part in fault.box))
    return int(address_map.page(box, np.asarray([place]))[0])


def errors_of(fault: Fault, met: list[Touch], policy: Policy, horizon: int) -> list[SoftError]:
    """Return the errors that the log takes, and the firmware reports: every m-th of a window, until the log is full."""
    length = round(policy.errors.window_hours * HOUR_NS)
    by_window: dict[int, list[Touch]] = {}
    for touch in met:
        if touch.is_seen(horizon):
            assert touch.time is not None
            by_window.setdefault(touch.time // length, []).append(touch)
    found = []
    for window, seen in by_window.items():
        seen.sort(key=lambda touch: (touch.time or 0, touch.page))
        active = (seen[-1].time or 0) - (seen[0].time or 0) + 1
        count, every = logged(float(len(seen)), active, policy.errors), policy.errors.firmware_threshold
        reported = seen[every - 1 :: every][:count]
        found += [SoftError(fault, window, touch) for touch in reported]
    return found
