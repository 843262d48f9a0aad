"""When the words of one hard fault are read wrong, which of the reads fail, and which of the others are logged.

The scalar reading of ``corrected/windows.py``, ``read_order.py`` and ``bad_reads.py``, from the same named draws.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from scipy import special

from node_sim.catalog.numbers import CMCI_STORMS
from node_sim.draws import Purpose
from node_sim.server.policy import ErrorProcess, Policy
from tests.oracle.fault_growth import HOUR_NS, Draws, Fault
from tests.oracle.named_draws import POISSON_ONE, unit32, unit53

DAY_NS, QUARTER_NS = 24 * HOUR_NS, HOUR_NS // 4
FAILURES = 16
"""Of a fault alone, and with each other one, that are looked for."""
HAZARD_MOST = 10 * math.log(2.0)
LEVELS = [(8.0**power, 8.0 ** (power - 1)) for power in range(1, -8, -1)] + [(8.0**-8, 0.0)]


class Window(NamedTuple):
    """A window in which a hard fault is active: its reads."""

    number: int
    low: int
    high: int
    active: int
    wrong: float
    u: float
    scrub: bool

    @property
    def reads(self) -> int:
        return int(self.wrong)

    def time(self, k: int) -> int:
        """Return when the k-th of the reads happens: the k-th of n points that are uniform on the window."""
        return self.low + int(beta_quantile(k, self.reads, self.u) * (self.high - self.low))

    def all_times(self) -> list[int]:
        """Return when each of the reads happens."""
        inner = special.betaincinv(range(2, self.reads), range(self.reads - 1, 1, -1), self.u)  # as in ``time``
        ends = [self.time(k) for k in sorted({1, self.reads})]
        return [ends[0], *(self.low + int(at * (self.high - self.low)) for at in inner.tolist()), *ends[1:]]

    def before(self, time: int) -> int:
        """Count the reads before a time."""
        return bisect_left(range(1, self.reads + 1), time, key=self.time)


def beta_quantile(k: int, n: int, u: float) -> float:
    if k == n:
        return u ** (1.0 / n)
    if k == 1:
        return -math.expm1(math.log1p(-u) / n)
    return float(special.betaincinv(k, n - k + 1, u))


def bursts(draws: Draws, fault: Fault, process: ErrorProcess, horizon: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the bursts of a hard fault: one at its start, then a Poisson process by bins."""
    interval, days = process.burst_interval_days, process.burst_days
    if fault.intermittent:
        interval, days = process.intermittent_interval_days, process.intermittent_days
    spread = process.burst_spread
    width = int(min(max(interval * DAY_NS / math.exp(spread * fault.pace - spread**2 / 2), HOUR_NS), 1 << 62))
    found = [(fault.time, fault.first_burst)]
    for number in range(fault.time // width, (horizon - 1) // width + 1):
        count = bisect_right(POISSON_ONE, unit32(draws(Purpose.BURST, fault.node, fault.tag, number)[0]))
        for position in range(count):
            _, place, span, _ = draws(Purpose.BURST, fault.node, fault.tag, number, position)
            found.append((number * width + int(unit32(place) * width), -math.log(unit32(span))))
    for begin, length in found:
        if fault.time <= begin < horizon:
            yield begin, min(begin + 1 + int(length * days * DAY_NS), horizon)


def windows(draws: Draws, fault: Fault, policy: Policy, horizon: int) -> list[Window]:
    """Return the windows in which a hard fault is active, and how often its words are read wrong in them."""
    process = policy.errors
    size = round(process.window_hours * HOUR_NS)
    parts = defaultdict(list)
    for begin, end in bursts(draws, fault, process, horizon):
        for number in range(begin // size, (end - 1) // size + 1):
            parts[number].append((max(begin, number * size), min(end, (number + 1) * size)))
    median = process.median_ce_per_window * getattr(process.level, fault.mode.text)
    found = []
    for number, pieces in sorted(parts.items()):
        low, high = min(begin for begin, _ in pieces), max(end for _, end in pieces)
        w0, w1, w2, w3 = draws(Purpose.WINDOW, fault.node, fault.tag, number)
        spread = process.sigma_fault * fault.level + process.sigma_window * float(special.ndtri(unit32(w2)))
        scrub = policy.detection.scrub_hours > 0 and unit32(w3) < process.scrub_share
        active = min(sum(end - begin for begin, end in pieces), high - low)
        found.append(Window(number, low, high, active, 1.0 + median * math.exp(spread), unit53(w0, w1), scrub))
    return found


def failing(draws: Draws, fault: Fault, name: int, p: float, room: int) -> list[int]:
    """Return the numbers of the first reads of ``room`` that fail: points of all levels that the risk accepts."""
    hazard = min(-math.log1p(-p) if p < 1.0 else math.inf, HAZARD_MOST)
    found: set[int] = set()
    for level, (high, low) in reversed(list(enumerate(LEVELS))):
        if hazard <= low:
            continue
        label, at, pair, here = (name + 1) << 8 | level, 0.0, 0, 0
        while at < room and here < FAILURES:
            words = draws(Purpose.RISK, fault.node, fault.tag, label, pair)
            for gap, mark in (words[:2], words[2:]):
                at += -math.log(unit32(gap)) / (high - low)
                if at < room and unit32(mark) * (high - low) < min(hazard, high) - low:
                    here += math.floor(at) + 1 not in found
                    found.add(math.floor(at) + 1)
            pair += 1
        first = sorted(found)[:FAILURES]
        if len(first) == FAILURES:
            room = first[-1]  # later ones do not count any more
    return sorted(found)[:FAILURES]


def accepted(errors: float, active: int, process: ErrorProcess) -> int:
    """Return how many errors the log has room for, once polls in a storm have seen one each."""
    if process.storm != "none":
        rate, poll = CMCI_STORMS[process.storm].value
        seconds = active / 1e9
        if errors > max(rate * seconds, 1.0):
            errors = min(errors, 1.0 + seconds / poll)
    per_window = max(1, round(process.ce_cap_per_day * process.window_hours / 24))
    return min(int(errors), per_window, process.ce_cap_per_quarter_hour * -(-active // QUARTER_NS))


def logged(errors: float, active: int, process: ErrorProcess) -> int:
    """Return how many errors the log takes, and the firmware reports."""
    return accepted(errors, active, process) // process.firmware_threshold


def shown_reads(reads: int, failing: set[int], lost: int, room: int, threshold: int) -> list[int]:
    """Walk through the reads of a window and return the numbers of those that are logged as corrected.

    Args:
        reads: How many there are.
        failing: Those that are known to fail, one at least.
        lost: How many are lost in all: those that nobody looks for are the last ones.
        room: How many of the others are accepted.
        threshold: Firmware reports one of so many.
    """
    shown: list[int] = []
    gap: list[int] = []
    right, all_right = 0, reads - lost
    for number in range(1, reads + 2):
        if number <= reads and number not in failing:
            gap.append(number)
            right += right < all_right
            continue
        # Here a gap ends, with a read that fails or with the window: by now this share of the errors is logged.
        wanted = right * room // all_right // threshold - len(shown)
        shown += [gap[-(-step * len(gap) // wanted) - 1] for step in range(1, wanted + 1)]
        gap = []
    return shown
