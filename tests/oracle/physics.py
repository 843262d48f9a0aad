"""The physics of faults, one read after the other: which fail, alone or with another fault, and how many are corrected.

**Models.** The docstrings of ``corrected/windows.py``, ``read_order.py``, ``soft_sightings.py`` and ``bad_reads.py``,
``ecc/judgement.py`` and ``lives/uncorrected.py``, for one fault at a time in plain integers and floats.

**Leaves out.** Sparing.

**Assumes.** Of several faults that a read meets the one nearest in the order of starts counts.

**Sources.** Shared with the product: the named draws, the faults that start as such, ``AddressMap``, the catalogue.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from node_sim.catalog.designs import DESIGNS
from node_sim.codes import Path
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.draws import Purpose
from node_sim.server.policy import Policy
from tests.oracle.fault_growth import HOUR_NS, Box, Draws, Fault, walk_over
from tests.oracle.named_draws import unit32
from tests.oracle.read_codes import ReadRisk, fail_together, risk_of, shown_share, silent_together
from tests.oracle.soft_pages import SoftError, Touch, errors_of, touches
from tests.oracle.wrong_reads import FAILURES, Window, accepted, failing, shown_reads, windows

SOFT_PAGES = 32
ALONE, AFTER_ALL = 0, 1 << 62


class Stretch(NamedTuple):
    """Reads ``first`` < k <= ``last`` of a window."""

    window: Window
    first: int
    last: int


class Meeting(NamedTuple):
    """Another fault that makes reads fail, and where and while it does."""

    reader: Fault
    other: Fault
    box: Box
    risk: ReadRisk
    since: int
    until: int


class Failure(NamedTuple):
    """A read that fails."""

    fault: Fault
    place: tuple[Box, int] | None
    """Footprint and number of the page in it, if it is on any."""
    time: int
    scrub: bool
    silent: bool
    path: Path


class SoftPage(NamedTuple):
    """A page of a soft fault whose words are uncorrectable."""

    fault: Fault
    place: tuple[Box, int]
    silent: bool
    path: Path


class Corrected(NamedTuple):
    """Corrected errors of a hard fault in a window."""

    fault: Fault
    window: Window
    errors: int
    n_pages: int
    reads: list[int]
    """Numbers of the reads that show them; none where no read fails, and they are spread over the window."""
    right: int
    """Reads that are corrected, logged or not."""
    later: int
    """Reads that are lost after those that are looked for."""

    def times(self) -> list[int]:
        """Return when they come."""
        if self.reads:
            return [self.window.time(read) for read in self.reads]
        return self.window._replace(wrong=float(self.errors)).all_times()

    def before(self, time: int) -> int:
        """Count those that come before a time."""
        if self.reads:
            return bisect_left(self.reads, time, key=self.window.time)
        return self.window._replace(wrong=float(self.errors)).before(time)

    def first(self) -> int:
        """Return when the first one comes."""
        return self.window.time(self.reads[0]) if self.reads else self.window._replace(wrong=float(self.errors)).time(1)


@dataclass
class Physics:
    """What follows from the faults of some DIMMs."""

    reads: list[Failure]
    soft: list[SoftPage]
    corrected: list[Corrected]
    touched: list[tuple[Fault, list[Touch]]]
    """Pages of soft faults that show corrected errors."""
    soft_errors: list[SoftError]
    twice: int = 0
    """Reads that fail in two ways."""
    later: int = 0
    """Reads lost after those that are looked for."""


class Stream(NamedTuple):
    """Reads of a fault that can fail in one way, and those that do."""

    stretches: list[Stretch]
    failures: list[tuple[Window, int]]
    p: float


class Dimm:
    """The faults of one DIMM under one policy."""

    def __init__(self, draws: Draws, faults: list[Fault], policy: Policy, address_map: AddressMap, horizon: int):
        self.draws, self.policy, self.address_map, self.horizon = draws, policy, address_map, horizon
        self.faults = sorted(faults, key=lambda fault: (fault.time, fault.tag))
        self.risk = {fault.tag: risk_of(draws, fault, policy.ecc) for fault in faults}
        self.windows = {
            fault.tag: windows(draws, fault, policy, horizon) if fault.hard and self.is_visible(fault) else []
            for fault in faults
        }
        self.meetings = list(self._meetings())

    def is_visible(self, fault: Fault) -> bool:
        """Whether reads of the fault reach the controller: not one bit on its die; a second device with the first."""
        hidden = DESIGNS[self.policy.ecc.code].on_die and fault.n_dq == fault.n_beats == 1
        return not fault.second and (fault.on_wires or not hidden)

    def soft_uncorrected(self, fault: Fault) -> bool:
        """Whether the verdict on a soft fault is that its words are uncorrectable."""
        drawn = unit32(self.draws(Purpose.RISK, fault.node, fault.tag)[3])
        return not fault.hard and not fault.on_wires and drawn < self.risk[fault.tag].p

    def is_corrected(self, fault: Fault) -> bool:
        """Whether the fault shows corrected errors."""
        ecc, (p, silent) = self.policy.ecc, self.risk[fault.tag]
        fails = self.soft_uncorrected(fault) or (fault.on_wires and p > 0) or not DESIGNS[ecc.code].block_code
        return self.is_visible(fault) and (not fails or (ecc.mirroring and silent < 1.0))

    def corrects_cells(self, fault: Fault) -> bool:
        """Whether the code itself corrects what the controller sees of the fault."""
        return self.is_corrected(fault) and not self.soft_uncorrected(fault)

    # ----------------------------------------------------------------------------------------- two faults

    def _meetings(self) -> Iterator[Meeting]:
        """Yield which faults meet, nearest in the order of starts first."""
        pairs = combinations(range(len(self.faults)), 2)
        for i, j in sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair[0])):
            met = self._meet(self.faults[i], self.faults[j])
            if met:
                yield met

    def _meet(self, earlier: Fault, later: Fault) -> Meeting | None:
        code = self.policy.ecc.code
        own = later.second and earlier.tag == later.root
        family = earlier.second or later.second or earlier.root == later.root
        if (family and not own) or earlier.on_wires or later.on_wires or not DESIGNS[code].block_code:
            return None
        if not all(one.second or self.corrects_cells(one) for one in (earlier, later)):
            return None
        if not earlier.hard and self.end_of_round(earlier.time) <= later.time:
            return None
        box = self.common(earlier.box, later.box)
        if box is None or not fail_together(code, earlier, later):
            return None
        reader, other = (earlier, later) if own or (earlier.hard and not later.hard) else (later, earlier)
        p = self.risk[later.tag].p if own else box.lines / reader.box.lines * shown_share(code, reader, other)
        until = AFTER_ALL if other.hard else self.end_of_round(other.time)
        return Meeting(
            reader,
            other,
            box,
            ReadRisk(p, silent_together(code, earlier, later, self.policy.ecc.locator_bits)),
            later.time,
            until,
        )

    def end_of_round(self, time: int) -> int:
        """Return when the scrubber's round ends; never without one."""
        hours = self.policy.detection.scrub_hours
        period = max(1, round(hours * HOUR_NS))
        return (time // period + 1) * period if hours else AFTER_ALL

    def common(self, a: Box, b: Box) -> Box | None:
        """Return the lines that boxes share; of several runs of ranks or banks the first of the second box."""
        sizes = self.address_map.dimm
        rank, bank = (
            first_run([(start + step) % size for step in range(n)], {(first + step) % size for step in range(m)})
            for start, n, first, m, size in (
                (b.rank, b.n_ranks, a.rank, a.n_ranks, sizes.ranks),
                (b.bank, b.n_banks, a.bank, a.n_banks, sizes.banks),
            )
        )
        rows = range(max(a.row, b.row), min(a.row + a.n_rows, b.row + b.n_rows))
        lines = range(max(a.line, b.line), min(a.line + a.n_lines, b.line + b.n_lines))
        if not (rank and bank and rows and lines):
            return None
        return Box(a.slot, rank[0], bank[0], rows[0], lines[0], len(rank), len(bank), len(rows), len(lines))

    def overlaps(self, met: Meeting) -> list[Stretch]:
        """Return the reads of a fault while the other one is there, and active if it has active windows."""
        found = []
        always = [(met.since, met.until)]
        if met.other.hard and not met.other.second:
            always = [(window.low, window.high) for window in self.windows[met.other.tag]]
        for window in self.windows[met.reader.tag]:
            for begin, end in always:
                low, high = max(window.low, begin, met.since), min(window.high, end, met.until)
                if low < high:
                    found.append(Stretch(window, window.before(low), window.before(high)))
        return found

    # ----------------------------------------------------------------------------------------------- reads

    def stream(self, fault: Fault, name: int, p: float, stretches: list[Stretch]) -> Stream:
        """Find which reads fail, going through the stretches one after the other."""
        room = sum(stretch.last - stretch.first for stretch in stretches)
        numbers = failing(self.draws, fault, name, p, room) if p > 0 else []
        failures = []
        for number in numbers:
            left = number
            for stretch in stretches:
                if left <= stretch.last - stretch.first:
                    failures.append((stretch.window, stretch.first + left))
                    break
                left -= stretch.last - stretch.first
        return Stream(stretches, failures, p)

    def failure(self, fault: Fault, window: Window, read: int, met: Meeting | None) -> Failure:
        """Describe a read that fails."""
        box = met.box if met else fault.box
        pages = page_count(self.address_map, box)
        number = (read - 1) % min(window.reads, pages)
        path = Path.GROWN if fault.wider else Path.BORN
        if met:
            path = Path.SECOND_DEVICE if met.other.second else Path.PAIR
        elif fault.on_wires:
            path = Path.COMMAND_ADDRESS
        place = None if fault.on_wires else (box, walk_over(self.draws, fault, pages).place(number))
        silent = met.risk.silent if met else self.risk[fault.tag].silent
        drawn = unit32(self.draws(Purpose.OUTCOME, fault.node, fault.tag, window.number, read)[0])
        return Failure(fault, place, window.time(read), window.scrub, drawn < silent, path)

    def simulate(self) -> Physics:
        """Walk through the reads of all faults."""
        found = Physics([], [], [], [], [])
        for fault in self.faults:
            if not fault.hard and self.is_corrected(fault):
                pages = page_count(self.address_map, fault.box)
                met = touches(self.draws, fault, self.policy, self.address_map, pages)
                found.touched.append((fault, met))
                found.soft_errors += errors_of(fault, met, self.policy, self.horizon)
            if fault.hard:
                self._hard(fault, found)
            elif not fault.on_wires:
                self._soft(fault, found)
            elif self.risk[fault.tag].p > 0:
                silent = self.risk[fault.tag].silent > 0
                found.reads.append(Failure(fault, None, fault.time, False, silent, Path.COMMAND_ADDRESS))
        if self.policy.ecc.mirroring:
            found.reads = [read for read in found.reads if read.silent]
            found.soft = [page for page in found.soft if page.silent]
        return found

    def _hard(self, fault: Fault, found: Physics) -> None:
        mine, mirroring = self.windows[fault.tag], self.policy.ecc.mirroring
        whole = [Stretch(window, 0, window.reads) for window in mine]
        risk = self.risk[fault.tag]
        ways = [(None, risk, self.stream(fault, ALONE, risk.p, whole))]
        for met in self.meetings:
            if met.reader is fault:
                name = 1 + met.other.tag % (1 << 16)
                ways.append((met, met.risk, self.stream(fault, name, met.risk.p, self.overlaps(met))))
        bad: dict[tuple[int, int], Failure] = {}
        lost: set[tuple[int, int]] = set()
        later: dict[int, int] = defaultdict(int)
        for met, way, stream in ways:
            for window, read in stream.failures:
                one = self.failure(fault, window, read, met)
                bad.setdefault((window.number, read), one)
                if one.silent or not mirroring:
                    lost.add((window.number, read))
            for number, count in lost_later(stream, way.p * way.silent if mirroring else way.p).items():
                later[number] += count
        found.reads += bad.values()
        found.twice += sum(len(stream.failures) for _, _, stream in ways) - len(bad)
        found.later += sum(later.values())
        if not self.is_corrected(fault):
            return
        for window in mine:
            failing = {read for number, read in lost if number == window.number}
            found.corrected += self._log(fault, window, failing, later[window.number])

    def _log(self, fault: Fault, window: Window, failing: set[int], later: int) -> list[Corrected]:
        """Return what is logged of a window some reads of which fail, and so many more are lost."""
        process, gone = self.policy.errors, min(len(failing) + later, window.reads)
        room = accepted(window.wrong - gone, window.active, process)
        count = room // process.firmware_threshold
        if not count:
            return []
        shown = shown_reads(window.reads, failing, gone, room, process.firmware_threshold) if failing else []
        pages = min(count, page_count(self.address_map, fault.box))
        return [Corrected(fault, window, count, pages, shown, window.reads - gone, gone - len(failing))]

    def _soft(self, fault: Fault, found: Physics) -> None:
        box, silent, path = fault.box, self.risk[fault.tag].silent, Path.BORN
        met = [one for one in self.meetings if one.reader is fault]
        if met:
            first = min(met, key=lambda one: (one.other.time, one.other.tag))
            box, silent, path = first.box, first.risk.silent, Path.PAIR
        elif not self.soft_uncorrected(fault):
            return
        pages = page_count(self.address_map, box)
        for number in range(min(pages, SOFT_PAGES)):
            drawn = unit32(self.draws(Purpose.OUTCOME, fault.node, fault.tag, number)[0])
            place = walk_over(self.draws, fault, pages).place(number)
            found.soft.append(SoftPage(fault, (box, place), drawn < silent, path))


def first_run(places: list[int], inside: set[int]) -> list[int]:
    """Return the first of a row of places that lie inside, and those right after it."""
    run: list[int] = []
    for place in places:
        if place in inside:
            run.append(place)
        elif run:
            break
    return run


def lost_later(stream: Stream, p: float) -> dict[int, int]:
    """Return how many reads of each window are lost after the last failure that is looked for: their share that fails.

    Whole ones of each stretch, rounded by the uniform of its window.
    """
    if len(stream.failures) < FAILURES:
        return {}
    (last, read), found = stream.failures[-1], defaultdict(int)
    for window, first, end in stream.stretches:
        begin = max(first, read) if window.number == last.number else first
        if window.number >= last.number and end > begin:
            found[window.number] += int((end - begin) * min(p, 1.0 - 2.0**-10) + window.u)
    return found


@lru_cache(maxsize=1 << 14)
def page_count(address_map: AddressMap, box: Box) -> int:
    return int(address_map.page_count(Footprint(*(np.asarray([part]) for part in box)))[0])


def simulate(draws: Draws, faults: list[Fault], policy: Policy, address_map: AddressMap, horizon: int) -> Physics:
    """Return what follows from faults, DIMM by DIMM."""
    assert policy.ecc.sparing == "none"
    dimms = defaultdict(list)
    for fault in faults:
        dimms[fault.dimm].append(fault)
    found = Physics([], [], [], [], [])
    for mine in dimms.values():
        one = Dimm(draws, mine, policy, address_map, horizon).simulate()
        found.reads += one.reads
        found.soft += one.soft
        found.corrected += one.corrected
        found.touched += one.touched
        found.soft_errors += one.soft_errors
        found.twice += one.twice
        found.later += one.later
    return found
