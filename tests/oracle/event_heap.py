"""All event rows of one node under one policy, one event at a time: the readable twin of the simulator's lanes.

**Models.** A heap of pending events (late kills, fsync errors, calls of the handler), touches of bad pages, limits,
ends of drains and visits of technicians; corrected errors by walking over every single error of all faults of a boot,
in the order of time.

**Leaves out.** Speed. The physics of faults, windows and footprints, and the scalar definitions of the
handler and of the machine-check grade, are those of ``node_sim``.

**Assumes.** Nothing of how the lanes are computed: no code of them is used here.

**Sources.** None.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate, islice
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from node_sim.catalog.kernels import PROFILES
from node_sim.catalog.profile import Profile
from node_sim.catalog.workloads import ACCESS_SHARES, FROM_USER, PAGE_COPIES
from node_sim.codes import (
    CheckAction,
    CpuContext,
    EcsUnit,
    ErrorKind,
    Fate,
    IoCall,
    KernelRead,
    KillPolicy,
    LifecycleKind,
    LifecycleReason,
    Mode,
    Observer,
    OfflineResult,
    OfflineTrigger,
    OnSigbus,
    PageUse,
    Path,
    SignalCode,
    SignalName,
    Timing,
)
from node_sim.columns import TABLE_NAMES, TABLE_RANK
from node_sim.corrected.passes import simulate_passes
from node_sim.corrected.soft_sightings import simulate_soft_sightings
from node_sim.corrected.windows import Reads, simulate_reads, simulate_windows
from node_sim.dram.faults import FaultTable, simulate_faults, simulate_generation
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.dram.growth import grow
from node_sim.draws import Purpose, Seed, Tag
from node_sim.ecc.judgement import Judgement, bad_pages, dimms_of, judge_alone, judge_together
from node_sim.hwpoison.kernel import Machine
from node_sim.hwpoison.outcomes import CallKind, Earlier, Heard, Outcome, Signal, memory_failure
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.soft_offline import soft_offline as soft_offline_page
from node_sim.lives.uncorrected import Judged, bad_reads, drop_mapped_out, judge_reads, lost_reads
from node_sim.machine_check.grades import Check, Reporting, grade
from node_sim.server.hardware import Hardware, Server
from node_sim.server.kernel import Kernel
from node_sim.server.policy import Ecc, Policy
from node_sim.units import NS_PER_S, PAGE_BYTES, hours_to_ns, seconds_to_ns
from tests.oracle import kernel_copies
from tests.oracle.error_times import error_times
from tests.oracle.named_draws import below, philox, split, unit32, unit53
from tests.oracle.page_uses import PageUses, Use, purpose_key

FIRMWARE_QUEUE, RING, POOL = 16, 15, 80
"""memory_failure_queue() for GHES; mce_ring up to 4.2; the record pool since 4.3."""
EIO = -5
OFFLINE_RESULTS = {
    0: OfflineResult.OFFLINED,
    -2: OfflineResult.NO_INTERFACE,
    -95: OfflineResult.DISABLED,
    EIO: OfflineResult.UNHANDLABLE,
    -12: OfflineResult.NO_SPARE,
}
"""By the answer to soft offline of a page that is not poisoned: 0, ENOENT, EOPNOTSUPP, EIO, ENOMEM."""
PENDING, TOUCH, REPLACE, DRAINED, VISIT, ORDER, EMPTIED = range(7)
NEVER = 1 << 62
NO_USE = Use(start=-1, use=PageUse.FREE, owners=range(0), hot=False, splits=0.0, large=False)
"""Of errors without an address."""
KERNEL_READS = (*KernelRead,)
"""Kinds of reads by the kernel in the order in which the mark of a touch decides between them."""
SIGNALS = {
    Signal.EARLY_AO: (SignalCode.MCEERR_AO, Timing.EARLY),
    Signal.DIRECT_AR: (SignalCode.MCEERR_AR, Timing.DIRECT),
    Signal.DIRECT_PLAIN: (SignalCode.KERNEL, Timing.DIRECT),
}

Values = dict[str, int | None]


@dataclass(eq=False)
class Pass:
    """A pass of error check and scrub in which a device counts enough wrong words of a fault."""

    begin_ns: int
    end_ns: int
    count: int


@dataclass(eq=False)
class Window:
    """Corrected errors of a fault in one window, in order of time."""

    number: int
    """Of the window since the start of the scenario."""
    low_ns: int
    times: list[int]
    pages: list[int]
    """Number of the page of each error among those of the fault."""
    scrubs: list[bool]
    """Whether the patrol scrubber sees it."""

    def cut(self, until: int) -> Window:
        """Return the errors before a time."""
        kept = [i for i, time in enumerate(self.times) if time < until]
        times, pages, scrubs = ([part[i] for i in kept] for part in (self.times, self.pages, self.scrubs))
        return Window(self.number, self.low_ns, times, pages, scrubs)


@dataclass(eq=False)
class Fault:
    """A fault with everything an arm's code makes of it, and the eras in which it was in place."""

    name: int
    tag: int
    slot: int
    generation: int
    time_ns: int
    values: Values
    stays: bool
    installed_ns: int
    batch: FaultTable
    index: int
    windows: list[Window] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    era_start_ns: int = 0
    eras: list[tuple[int, int]] = field(default_factory=list)
    removed_ns: int | None = None
    suspect: Row | None = None
    """Why firmware repairs its row at the next boot, if it can."""
    repaired: str | None = None

    def takes_one_row(self) -> bool:
        """Whether a spare row can replace all of it."""
        n_ranks = int(self.batch.box.n_ranks[self.index])
        return self.values["persistence"] != 0 and n_ranks == self.values["n_banks"] == self.values["n_rows"] == 1

    @cached_property
    def crosses_halves(self) -> bool:
        """Whether it makes bits on DQ0 or DQ1 and on DQ2 or DQ3 wrong."""
        pins = int(self.batch.cells.pins[self.index])
        return self.values["mode"] != Mode.COMMAND_ADDRESS and bool(pins & 3) and bool(pins & 12)

    def spare(self, banks_per_group: int) -> tuple[int | None, ...]:
        """Name the spare row it would use."""
        bank = self.values["bank"]
        assert bank is not None
        chip = self.values["rank"], self.values["device"]
        return self.slot, self.generation, *chip, bank // banks_per_group


@dataclass(eq=False)
class Row:
    """One row of a table; its cause is a fault or another row."""

    table: str
    time_ns: int
    fault: Fault
    cause: Fault | Row
    values: Values
    times: list[int] = field(default_factory=list)
    """When the corrected errors of a window are seen."""


@dataclass(eq=False)
class Frame:
    """A page frame, whichever faults hit it."""

    freed_ns: int = -1
    """When it last went back to the free lists."""
    poisoned_ns: int | None = None
    out_ns: int = NEVER
    """From when on only the scrubber reads it in this boot."""
    beside_ns: int | None = None
    """When another 4 KiB page of its huge page was poisoned."""
    broken_ns: int = NEVER
    """When its huge page is broken up."""

    def whole_when_poisoned(self) -> bool:
        """Whether its huge page kept the mark, if it is part of one."""
        return self.poisoned_ns is not None and self.broken_ns > self.poisoned_ns


@dataclass(eq=False)
class BadPage:
    """A page with uncorrectable words, and what became of it since the last boot."""

    fault: Fault
    number: int
    pfn: int
    silent: bool
    position: int
    frame: Frame
    path: Path
    reads: list[tuple[int, bool, bool]] = field(default_factory=list)
    """When words of a hard fault are read and not corrected, whether by the scrubber, and whether unnoticed."""
    seen: Row | None = None
    error: Row | None = None
    logged: bool = False
    dead: bool = False
    dead_for_good: bool = False
    search: int = 0
    """Number of the last search for its next touch; touches of earlier searches are stale."""


@dataclass(eq=False)
class Pending:
    """A late kill (of ``process``), a call of the handler (``read``) or else an I/O error."""

    time_ns: int
    page: BadPage
    cause: Row
    process: int | None = None
    lsb: int = 0
    read: Read | None = None
    cancelled: bool = False


@dataclass(eq=False)
class Drain:
    """A cordon that has not been repaired yet."""

    begin_ns: int
    end_ns: int
    fault: Fault
    cause: Fault | Row
    reason: LifecycleReason
    at_limit: bool


class MappedOut(NamedTuple):
    """A DIMM that the node goes on without."""

    since_ns: int
    due_ns: int
    """When a technician comes for it."""
    panic: Row


class Touch(NamedTuple):
    """A read (or write) of a bad page."""

    page: BadPage
    time_ns: int
    observer: int
    mark: float
    process: int | None
    """Owner whose access it is."""
    silent: bool


class Read(NamedTuple):
    """A touch that raised a machine check and its call of the handler."""

    touch: Touch
    use: Use | None
    """As it was at the load; None: as it is when the handler runs."""
    call: CallKind
    row: Row
    earlier: Earlier
    second: bool
    """The other report of the same load has been handled, or will be before."""


class Report(NamedTuple):
    """A machine-check record of a touch."""

    touch: Touch
    use: Use
    check: Check
    kind: KernelRead | None
    bank: int
    overflow: bool


SECOND_CALLS = {
    (CallKind.ACTION_OPTIONAL, CallKind.ACTION_REQUIRED): CallKind.REQUIRED_AFTER_REPORT,
    (CallKind.ACTION_OPTIONAL, CallKind.KERNEL_COPY): CallKind.COPY_AFTER_REPORT,
    (CallKind.ACTION_OPTIONAL, CallKind.FAILED_FAULT): CallKind.FAULT_AFTER_REPORT,
    (CallKind.ACTION_OPTIONAL, CallKind.ACTION_OPTIONAL): CallKind.REPORT_AFTER_REPORT,
    (CallKind.ACTION_REQUIRED, CallKind.ACTION_OPTIONAL): CallKind.REPORT_AFTER_REQUIRED,
    (CallKind.KERNEL_COPY, CallKind.ACTION_OPTIONAL): CallKind.REPORT_AFTER_COPY,
    (CallKind.FAILED_FAULT, CallKind.ACTION_OPTIONAL): CallKind.REPORT_AFTER_FAULT,
}


class Ordered(NamedTuple):
    """What a policy of one's own has ordered, and the error that led to it."""

    time_ns: int
    kind: str
    """``offline``, ``replace``, ``cordon`` or ``drain``."""
    target: int
    """Page number or DIMM slot."""
    fault: int
    """Name of the fault of the error."""
    cause_ns: int
    """Time of the error."""


class Seen(NamedTuple):
    """A corrected error that is seen."""

    time_ns: int
    fault: Fault
    page: int
    pfn: int
    window: int
    scrub: bool


class DimmRow(NamedTuple):
    """A row of a DIMM."""

    slot: int
    rank: int
    bank: int
    row: int


class Rule(NamedTuple):
    """When a daemon asks for pages to go offline."""

    threshold: int
    columns: int
    scope: str
    counting: str
    age_ns: int


NAMED_RULES: dict[str, tuple[int, int, str, str, float]] = {
    "rasdaemon": (50, 0, "page", "bucket", 24.0),
    "rasdaemon_row": (50, 0, "row", "bucket", 24.0),
    "mcelog": (2, 0, "page", "bucket", 24.0),
    "mcelog_2024": (10, 0, "page", "bucket", 24.0),
    "mrt": (0, 4, "row", "window", 24.0),
}
CEC_THRESHOLDS = {
    "intel": {"4.18": 1024, "5.10": 1023, "6.1": 2, "6.12": 2, "7.1": 2},
    "amd": {"4.18": 1024, "5.10": 1023, "6.1": 1023, "6.12": 1023, "7.1": 1023},
}


def rule_of(policy: Policy) -> Rule:
    """Say when the daemon of a policy asks for pages to go offline."""
    asks = policy.page_offline
    if asks.daemon == "cec":
        vendor = "amd" if policy.platform.reporting == "amd" else "intel"
        return Rule(CEC_THRESHOLDS[vendor][policy.kernel.profile], 0, "page", "boot", 0)
    own = (asks.ce_threshold, asks.row_columns, asks.scope, asks.counting, asks.age_hours)
    threshold, columns, scope, counting, hours = own if asks.daemon == "none" else NAMED_RULES[asks.daemon]
    return Rule(threshold, columns, scope, counting, hours_to_ns(hours))


@dataclass(eq=False)
class Bucket:
    """A leaky bucket as rasdaemon and mcelog have it."""

    start: int
    count: int = 0

    def account(self, now: int, capacity: int, age_ns: int) -> bool:
        """Add an error; return whether the bucket is full."""
        elapsed = now - self.start
        if elapsed >= age_ns:
            leaked = elapsed * capacity // age_ns
            self.count -= min(leaked, self.count)
            self.start = now
        self.count += 1
        if self.count < capacity or not capacity:
            return False
        self.count = 0
        return True


class DimmBank(NamedTuple):
    """A bank of a rank of a DIMM."""

    slot: int
    rank: int
    bank: int


@lru_cache(maxsize=24)
def pages_of_bank(server: Server, bank: DimmBank) -> np.ndarray:
    """Return which pages of a node have lines of a bank, by going through those of its rows, many rows at a time."""
    address_map, at_once = AddressMap(server), 1 << 12
    dimm, found = address_map.dimm, np.zeros(address_map.pages, np.bool_)
    for row in range(0, dimm.rows, at_once):
        box = Footprint(*(np.asarray([part]) for part in (*bank, row, 0, 1, 1, at_once, dimm.lines)))
        n = int(address_map.page_count(box)[0])
        found[address_map.page(box, np.arange(n), np.zeros(n, np.int64))] = True
    return found


class GoneBank(NamedTuple):
    """Pages that went offline with a bank, ascending, and when."""

    time_ns: int
    pages: np.ndarray

    def has(self, pfn: int) -> bool:
        """Whether a page is one of them."""
        return has(self.pages, pfn)


@dataclass(eq=False)
class Daemon:
    """Counts corrected errors of a boot, of pages, rows or banks of each fault, and asks for pages to go offline."""

    rule: Rule
    errors: dict[Any, int] = field(default_factory=dict)
    columns: dict[Any, set[int]] = field(default_factory=dict)
    """Pages of a row with errors."""
    asked: set[int] = field(default_factory=set)
    """Pages it has asked for, whatever the answer."""
    asked_with_banks: np.ndarray | None = None
    """Which pages of the node it has asked for with banks."""
    broken: set[range] = field(default_factory=set)
    """Huge pages of a pool that have lost a page so."""
    buckets: dict[Any, Bucket] = field(default_factory=dict)
    recent: dict[Any, list[int]] = field(default_factory=dict)
    """Times of the errors of rows that rasdaemon keeps."""

    def count(self, fault: int, window: int, name: Any, time: int, pfn: int) -> OfflineTrigger | None:
        """Count an error; return why what it is counted for is to go offline, if it is."""
        rule = self.rule
        if rule.counting == "window":
            return self.count_in_window((fault, window, name), pfn)
        if rule.counting == "boot":
            self.errors[fault, name] = self.errors.get((fault, name), 0) + 1
            return OfflineTrigger.KERNEL_CEC if self.errors[fault, name] == rule.threshold else None
        if rule.scope == "row":
            kept = self.recent.setdefault((fault, name), [])
            kept.append(time)
            while time - kept[0] > rule.age_ns:
                kept.pop(0)
            return OfflineTrigger.ROW_THRESHOLD if len(kept) >= rule.threshold > 0 else None
        bucket = self.buckets.setdefault((fault, name), Bucket(time))
        return OfflineTrigger.CE_THRESHOLD if bucket.account(time, rule.threshold, rule.age_ns) else None

    def count_in_window(self, name: Any, pfn: int) -> OfflineTrigger | None:
        """Count an error of a window."""
        by_row, by_bank = self.rule.scope == "row", self.rule.scope == "bank"
        self.errors[name] = self.errors.get(name, 0) + 1
        columns = self.columns.setdefault(name, set())
        fresh = pfn not in columns
        columns.add(pfn)
        if self.errors[name] == self.rule.threshold:
            if by_bank:
                return OfflineTrigger.BANK_THRESHOLD
            return OfflineTrigger.ROW_THRESHOLD if by_row else OfflineTrigger.CE_THRESHOLD
        if by_row and fresh and len(columns) == self.rule.columns:
            return OfflineTrigger.ROW_COLUMNS
        return None


class Errors(NamedTuple):
    """Corrected errors of one boot."""

    rows: list[Row]
    offlined: dict[int, int]
    """When each page that counting took out of use by itself or with its row was taken out, by page number."""
    banks: list[GoneBank]
    """Pages that counting took out of use with their banks."""
    too_many: dict[Fault, int]
    """When an error of the fault is the one with which its DIMM first reaches the limit in one window."""
    risky: dict[Fault, int]
    """When the fault first shows bits in both halves of its device."""
    seen: list[Seen]

    def out_ns(self, pfn: int) -> int:
        """Return when counting takes a page out of use."""
        alone = self.offlined.get(pfn, NEVER)
        return min([alone, *(bank.time_ns for bank in self.banks if bank.has(pfn))]) if self.banks else alone

    def broken_ns(self, huge: range) -> int:
        """Return when counting breaks a huge page up."""
        alone = [time for pfn, time in self.offlined.items() if pfn in huge]
        cuts = [(bank.time_ns, np.searchsorted(bank.pages, (huge.start, huge.stop))) for bank in self.banks]
        return min([NEVER, *alone, *(time for time, (first, end) in cuts if first < end)])

    def last_ask_ns(self) -> int:
        """Return when counting takes pages out of use for the last time."""
        return max([-1, *self.offlined.values(), *(bank.time_ns for bank in self.banks)])


def has(pages: np.ndarray, pfn: int) -> bool:
    """Whether a page is among others, which are ascending."""
    at = int(np.searchsorted(pages, pfn))
    return at < pages.size and int(pages[at]) == pfn


def with_switches(kernel: Kernel) -> Profile:
    """Return the profile of a kernel with its switches set."""
    rules = PROFILES[kernel.profile]
    for name, text in kernel.switches:
        kind = type(getattr(rules, name))
        rules = replace(rules, **{name: text == "True" if kind is bool else kind(text)})
    return rules


def exponential(word: int, mean: int) -> int:
    """Draw an exponential time, rounded down."""
    return int(-math.log(unit32(word)) * mean)


def map_out(batch: FaultTable, windows: dict[int, list[Window]], verdict: Judgement, ecc: Ecc) -> dict[int, int]:
    """Say from when on the cells of faults are mapped out: by position, those that ever are."""
    box = batch.box
    spareable = {
        i
        for i in range(batch.tag.size)
        if verdict.corrected[i]
        and not verdict.uncorrected[i]
        and batch.mode[i] != Mode.COMMAND_ADDRESS
        and box.n_ranks[i] == 1
        and (box.n_banks[i] == 1 or ecc.sparing == "adddc_rank")
    }

    def region(i: int) -> tuple[int, ...]:
        bank = int(box.bank[i]) if ecc.sparing == "adddc_bank" else -1
        return int(batch.cells.device[i]), int(box.rank[i]), bank

    found: dict[int, int] = {}
    for dimm in np.unique(batch.tag >> 16).tolist():
        mine = [i for i in spareable if batch.tag[i] >> 16 == dimm]
        starts = [
            (window.times[ecc.sparing_ce - 1], int(batch.tag[i]), i)
            for i in mine
            for window in windows.get(i, [])
            if batch.hard[i] and len(window.times) >= ecc.sparing_ce
        ]
        if starts:
            time, _, first = min(starts)
            found.update({i: time for i in mine if region(i) == region(first)})
    return found


class Life:
    """The life of one node under one policy."""

    def __init__(
        self,
        seed: Seed,
        node: int,
        hardware: Hardware,
        policy: Policy,
        horizon_ns: int,
        orders: Sequence[Ordered] = (),
    ) -> None:
        self.seed, self.node, self.hardware, self.policy, self.horizon = seed, node, hardware, policy, horizon_ns
        self.server = hardware.server
        self.address_map = AddressMap(hardware.server)
        self.uses = PageUses(seed, node, policy)
        self.processes = self.uses.memory.processes
        self.leaving = self.leaving_shares()
        self.scrub_ns = self.scrub_period()
        self.settled = policy.on(hardware.server)
        self.refill_ns = seconds_to_ns(60.0 * policy.workload.refill_minutes)
        high, low, _, _ = philox(purpose_key(seed, Purpose.NODE), node)
        self.scrub_phase = int(unit53(high, low) * self.scrub_ns)
        self.firmware_first = policy.platform.reporting == "firmware_first"
        self.firmware_ns = seconds_to_ns(policy.platform.firmware_latency_s) if self.firmware_first else 0
        self.rules, self.switches = with_switches(policy.kernel), dict(policy.kernel.switches)
        old = policy.kernel.profile in ("2.6.32", "3.10")
        ring = self.switches.get("keeps_records", "ring" if old else "pool") == "ring"
        self.records_kept = FIRMWARE_QUEUE if self.firmware_first else RING if ring else POOL
        self.bank_busy_ns = self.firmware_ns if self.firmware_first else seconds_to_ns(policy.platform.bank_busy_s)
        self.work_latency_ns = seconds_to_ns(policy.platform.work_latency_s)
        self.fsync_ns = seconds_to_ns(policy.kernel.fsync_s)

        self.faults: list[Fault] = []
        self.pages: list[BadPage] = []
        self.rows: list[Row] = []
        self.generation = dict.fromkeys(range(self.server.dimms), 0)
        self.heap: list[tuple[int, int, int, int, Any]] = []
        self.pending: list[Pending] = []
        self.busy_until: dict[int, int] = {}
        self.queue, self.queue_position = [0] * self.records_kept, 0
        self.killed_ns: dict[int, int] = {}
        self.frames: dict[int, Frame] = {}
        self.drain: Drain | None = None
        self.past_poison: list[tuple[int, dict[int, Frame]]] = []
        self.version = 0
        self.boot_end = 0
        self.ue_count, self.had_ue = 0, set[int]()
        self.mapped: dict[int, MappedOut] = {}
        """By slot."""
        self.caused_by_limit: list[Row] = []
        self.rule = rule_of(policy)
        self.scope = self.rule.scope
        self.shown: dict[Fault, list[tuple[int, int]]] = {}
        """Place in the box, and pfn, of the pages of a fault."""
        self.rows_shown: dict[Fault, list[DimmRow]] = {}
        self.row_pages: dict[DimmRow, list[int]] = {}
        self.rows_listed: set[Fault] = set()
        self.last_ask_ns = -1
        """When counting takes the last page offline in this boot, or asks for the last bank."""
        self.orders = list(orders)
        self.ordered_dimms: set[int] = set()
        self.withdrawn: dict[int, int] = {}
        """When orders took pages offline in this boot."""
        self.past_withdrawn: dict[int, dict[int, int]] = {}
        self.broken_by_order: set[range] = set()
        self.caused_by_order: list[tuple[Row, Ordered]] = []
        self.drain_order: Ordered | None = None
        self.last_walk: tuple[Any, Errors] | None = None
        """What the last walk of the boot under way was asked, and what it found."""
        self.seen: list[Seen] = []
        self.downs: list[tuple[int, int]] = []
        self.answers: dict[int, int] = {}
        """What the kernel answers about pages that are not poisoned."""

    # --- physics ------------------------------------------------------------------------------------------------

    def scrub_period(self) -> int:
        """Return the time of one round of the scrubber: given, or all memory at its pace."""
        detection = self.policy.detection
        if detection.scrub_gb_per_day:
            days = self.address_map.pages * PAGE_BYTES / 2**30 / detection.scrub_gb_per_day
            return round(days * 86_400 * NS_PER_S)
        return hours_to_ns(detection.scrub_hours)

    def install(self, batch: FaultTable, installed_ns: int) -> None:
        """Put DIMMs with these faults in place."""
        batch = batch.take(batch.time_ns >= installed_ns)
        ecc = self.policy.ecc
        verdict = judge_alone(self.seed, batch, ecc)
        hard = np.flatnonzero(verdict.visible & batch.hard)
        reads = simulate_reads(self.seed, batch, hard, self.settled, self.horizon)
        judged = [judge_reads(self.seed, batch, verdict, reads, self.address_map)]
        windows = self.windows_of(batch, verdict.corrected, reads, judged)
        mapped_out = map_out(batch, windows, verdict, ecc) if ecc.sparing != "none" else {}
        spared = np.asarray([mapped_out.get(i, NEVER) for i in range(batch.tag.size)], np.int64)
        verdict, met = judge_together(verdict, batch, dimms_of(batch), self.server, self.settled, spared)
        judged.append(judge_reads(self.seed, batch, verdict, reads, self.address_map, met))
        judged = [drop_mapped_out(one, reads, spared) for one in judged]
        windows = self.windows_of(batch, verdict.corrected, reads, judged)
        added = [
            Fault(
                name=int(batch.fault_id[i]),
                tag=int(batch.tag[i]),
                slot=int(batch.box.slot[i]),
                generation=int(batch.generation[i]),
                time_ns=int(batch.time_ns[i]),
                values=fault_values(batch, i),
                stays=bool(batch.hard[i]),
                installed_ns=installed_ns,
                era_start_ns=installed_ns,
                batch=batch,
                index=i,
            )
            for i in range(batch.tag.size)
        ]
        for i, mine in windows.items():
            until = mapped_out.get(i, NEVER)
            added[i].windows = [window for window in mine if window.low_ns < until]
            if not added[i].stays:
                added[i].windows = [window.cut(until) for window in added[i].windows]
        passes = simulate_passes(self.seed, batch, self.server, self.settled, self.horizon)
        for i, *times_and_count in zip(*(part.tolist() for part in passes), strict=True):
            added[i].passes.append(Pass(*times_and_count))
        bad = bad_pages(self.seed, batch, verdict, self.address_map, mirroring=False)
        for owner, number, pfn, silent in zip(*(part.tolist() for part in bad), strict=True):
            if silent or not ecc.mirroring:
                path = Path.BORN if verdict.alone[owner] else Path.PAIR
                self.add_page(added[owner], number, pfn, silent, path, [])
        failing = bad_reads(batch, verdict, judged, mirroring=ecc.mirroring)
        by_page: dict[tuple[int, int], list[tuple[int, bool, bool, int]]] = {}
        for owner, pfn, time, scrub, silent, path in zip(*(part.tolist() for part in failing), strict=True):
            by_page.setdefault((owner, pfn), []).append((time, scrub, silent, path))
        for (owner, pfn), found in by_page.items():
            self.add_page(added[owner], 0, pfn, False, Path(found[0][3]), [one[:3] for one in found])
        self.faults.extend(added)

    def add_page(
        self, fault: Fault, number: int, pfn: int, silent: bool, path: Path, reads: list[tuple[int, bool, bool]]
    ) -> None:
        """List a bad page; errors without an address (-1) have a frame that is no page."""
        frame = Frame() if pfn < 0 else self.frames.setdefault(pfn, Frame(freed_ns=fault.installed_ns or -1))
        self.pages.append(BadPage(fault, number, pfn, silent, len(self.pages), frame, path, reads))

    def windows_of(
        self, batch: FaultTable, corrected: np.ndarray, reads: Reads, judged: list[Judged]
    ) -> dict[int, list[Window]]:
        """Draw the windows of faults with the time of every error, by position in the batch."""
        lost = lost_reads(judged, reads, mirroring=self.policy.ecc.mirroring)
        soft = np.flatnonzero(~batch.hard)
        sightings = simulate_soft_sightings(self.seed, batch, soft, self.settled, self.address_map, self.horizon)
        windows = simulate_windows(batch, corrected, self.settled, reads, lost, sightings)
        found: dict[int, dict[int, Window]] = {}
        times = error_times(windows, reads, lost, self.settled.errors)
        columns = zip(*(part.tolist() for part in windows[:9]), times, strict=True)
        for owner, number, low, _, n, n_pages, _, scrub, page, mine in columns:
            window = found.setdefault(owner, {}).setdefault(number, Window(number, low, [], [], []))
            pages = [i % n_pages for i in range(n)] if batch.hard[owner] else [page]
            window.low_ns = min(window.low_ns, low)
            window.times += mine
            window.pages += pages
            window.scrubs += [scrub] * n
        return {owner: list(mine.values()) for owner, mine in found.items()}

    def pages_shown(self, fault: Fault) -> list[tuple[int, int]]:
        """Return place in the box, and pfn, of the pages of a fault in its order, as far as it shows errors on them."""
        if fault not in self.shown:
            most, n = 1 + max(max(window.pages) for window in fault.windows), int(fault.batch.n_pages[fault.index])
            first, stride, _, _ = philox(purpose_key(self.seed, Purpose.FAULT), self.node, fault.tag, 7)
            step = 1 + below(stride, n)
            while math.gcd(step, n) > 1:
                step += 1
            box = fault.batch.box.take(np.full(most, fault.index))
            places = [(below(first, n) + number * step) % n for number in range(most)]
            pfns = self.address_map.page(box, np.asarray(places)).tolist()
            self.shown[fault] = list(zip(places, pfns, strict=True))
        return self.shown[fault]

    def pfn_of(self, fault: Fault, number: int) -> int:
        """Return the pfn of a page of a fault's footprint."""
        return self.pages_shown(fault)[number][1]

    def row_of(self, fault: Fault, number: int) -> DimmRow:
        """Return the row in which a page of a fault's footprint lies."""
        if fault not in self.rows_shown:
            self.rows_shown[fault] = self.rows_of(fault)
        return self.rows_shown[fault][number]

    def rows_of(self, fault: Fault) -> list[DimmRow]:
        """Return the row of each page that a fault shows: its pages go by rank, bank, row, page in the row."""
        box, dimm, n_rows = fault.batch.box, self.address_map.dimm, int(fault.batch.box.n_rows[fault.index])
        first_rank, first_bank, first_row = (int(part[fault.index]) for part in (box.rank, box.bank, box.row))
        n_banks = int(box.n_banks[fault.index])
        steps = np.arange(int(box.n_ranks[fault.index]) * n_banks)
        rank, bank = (first_rank + steps // n_banks) % dimm.ranks, (first_bank + steps % n_banks) % dimm.banks
        alone = dict.fromkeys(("n_ranks", "n_banks", "n_rows"), np.ones_like(steps))
        one_row = box.take(np.full(steps.size, fault.index))._replace(rank=rank, bank=bank, **alone)
        in_row = self.address_map.page_count(one_row).tolist()
        begins = [0, *accumulate(n_rows * pages for pages in in_row)]
        found = []
        for place, _ in self.pages_shown(fault):
            step = bisect_right(begins, place) - 1
            row = first_row + (place - begins[step]) // in_row[step]
            found.append(DimmRow(fault.slot, int(rank[step]), int(bank[step]), row))
        return found

    def list_rows(self, faults: Sequence[Fault]) -> None:
        """List the pages of all rows on which faults show errors, among them those with the errors."""
        new = [fault for fault in faults if fault not in self.rows_listed]
        of_fault = {fault: [self.row_of(fault, number) for number in range(len(self.shown[fault]))] for fault in new}
        self.list_pages([row for rows in of_fault.values() for row in rows])
        for fault, rows in of_fault.items():
            assert all(pfn in self.row_pages[row] for (_, pfn), row in zip(self.shown[fault], rows, strict=True))
        self.rows_listed.update(new)

    def list_pages(self, rows: Sequence[DimmRow]) -> None:
        """List the pfns of all pages with lines of each of some rows, ascending."""
        new = [row for row in dict.fromkeys(rows) if row not in self.row_pages]
        if not new:
            return
        zero, one = np.zeros(len(new), np.int64), np.ones(len(new), np.int64)
        box = Footprint(*np.asarray(new).T, zero, one, one, one, one * self.address_map.dimm.lines)
        sizes = self.address_map.page_count(box)
        ordinal = np.concatenate([np.arange(size) for size in sizes])
        pages = iter(self.address_map.page(box, ordinal, np.repeat(np.arange(len(new)), sizes)).tolist())
        for row, size in zip(new, sizes.tolist(), strict=True):
            self.row_pages[row] = sorted(islice(pages, size))
            assert len(set(self.row_pages[row])) == size

    def pages_of_row(self, row: DimmRow) -> list[int]:
        """Return the pfns of all pages with lines of a row, ascending."""
        self.list_pages([row])
        return self.row_pages[row]

    # --- corrected errors ---------------------------------------------------------------------------------------

    def walk(self, eras: list[tuple[Fault, int, int]], poison: dict[int, Frame], withdrawn: dict[int, int]) -> Errors:
        """Go through every corrected error of one boot in the order of time.

        Args:
            eras: Faults, and from when to when each was in place in this boot.
            poison: What memory_failure() marked in it, by page number.
            withdrawn: When orders took pages offline in it.
        """
        errors = Errors([], {}, [], {}, {}, [])
        times = [
            (time, position, k, i)
            for position, (fault, begin, end) in enumerate(eras)
            for k, window in enumerate(fault.windows)
            for i, time in enumerate(window.times)
            if begin <= time < end
        ]
        pages = [self.pages_shown(fault) if fault.windows else [] for fault, _, _ in eras]
        if self.scope != "page":
            self.list_rows([fault for fault, _, _ in eras if fault.windows and fault.values["n_pages"]])
        shown: dict[tuple[int, int, bool], list[tuple[int, int]]] = {}
        counts: dict[tuple[int, int], int] = {}
        answers: dict[tuple[int, int, bool], list[tuple[int, Values]]] = {}
        daemon, limit = Daemon(self.rule), self.policy.repair.replace_ce
        for time, position, k, i in sorted(times):
            fault, begin, _ = eras[position]
            window = fault.windows[k]
            page, scrub = window.pages[i], window.scrubs[i]
            whole = window.low_ns >= begin or not fault.stays
            pfn = pages[position][page][1]
            if not scrub and (errors.out_ns(pfn) < NEVER or withdrawn.get(pfn, NEVER) <= time):
                continue
            marked = [poison.get(pfn), *self.poisoned_beside(pfn, poison)] if poison and not scrub else []
            if any(other is not None and other.out_ns <= time for other in marked):
                continue
            errors.seen.append(Seen(time, fault, page, pfn, window.number, scrub))
            shown.setdefault((position, k, scrub), []).append((time, page))
            if fault.crosses_halves:
                errors.risky.setdefault(fault, time)
            if whole:
                of_dimm = fault.tag >> 16, window.number
                counts[of_dimm] = counts.get(of_dimm, 0) + 1
                if counts[of_dimm] == limit:
                    errors.too_many.setdefault(fault, time)
            if not fault.values["n_pages"] or not (whole or self.rule.counting != "window"):
                continue
            of_row = self.row_of(fault, page) if self.scope != "page" else None
            of_bank = DimmBank(*of_row[:3]) if of_row is not None and self.scope == "bank" else None
            trigger = daemon.count(position, k, of_bank or of_row or page, time, pfn)
            if trigger is None:
                continue
            if of_bank is not None:
                values, gone = self.ask_bank(daemon, of_bank, pfn, time, poison)
                if values:
                    answers.setdefault((position, k, scrub), []).append((time, values))
                    errors.banks.append(gone)
                continue
            for one in [pfn] if of_row is None else self.pages_of_row(of_row):
                if one not in daemon.asked:
                    values = self.ask(daemon, one, trigger, time, poison)
                    answers.setdefault((position, k, scrub), []).append((time, values))
                    if values["result"] == OfflineResult.OFFLINED:
                        errors.offlined[one] = time
        for (position, k, scrub), mine in shown.items():
            fault = eras[position][0]
            row = Row("errors", mine[0][0], fault, fault, self._window_values(fault, mine, scrub=scrub))
            row.times = [time for time, _ in mine]
            errors.rows.append(row)
            found = answers.get((position, k, scrub), [])
            errors.rows.extend(Row("page_offlines", time, fault, row, values) for time, values in found)
        return errors

    def ask(self, daemon: Daemon, pfn: int, trigger: OfflineTrigger, time: int, poison: dict[int, Frame]) -> Values:
        """Let a daemon ask for a page to go offline; return the columns of the row that says so."""
        result, errno = self.soft_offline(pfn, time, poison.get(pfn), self.poisoned_beside(pfn, poison))
        daemon.asked.add(pfn)
        huge = self.uses.huge_page(pfn) if result is OfflineResult.OFFLINED else None
        lost = 0 if huge is None or huge in daemon.broken else len(huge) * PAGE_BYTES
        if huge is not None:
            daemon.broken.add(huge)
        values: Values = {"pfn": pfn, "trigger": trigger, "result": result, "errno": errno}
        return values | {"n_pages": int(result is OfflineResult.OFFLINED), "pool_lost_bytes": lost}

    def ask_bank(
        self, daemon: Daemon, bank: DimmBank, pfn: int, time: int, poison: dict[int, Frame]
    ) -> tuple[Values, GoneBank]:
        """Let a daemon ask for all pages of a bank that it has not asked for, one 2 MiB block after the other.

        Returns:
            The columns of the row that says so, none if there was no page to ask for; and the pages that are gone.
        """
        every, before = pages_of_bank(self.server, bank), daemon.asked_with_banks
        pages = np.flatnonzero(every if before is None else every & ~before)
        if not pages.size:
            return {}, GoneBank(time, pages)
        daemon.asked_with_banks = every if before is None else every | before
        marked = {one for one, frame in poison.items() if frame.poisoned_ns is not None and frame.poisoned_ns <= time}
        gone, lost = [], 0
        for part in np.split(pages, np.flatnonzero(np.diff(pages // 512)) + 1):
            first = int(part[0])
            huge = self.uses.huge_page(first)
            near = [one for one in marked if one in (huge or range(first // 512 * 512, first // 512 * 512 + 512))]
            taken = part if not near and self.goes_offline(first, time, {}) else part[:0]
            if near:
                taken = np.asarray([one for one in part.tolist() if self.goes_offline(one, time, poison)], np.int64)
            gone.append(taken)
            if huge is not None and taken.size and huge not in daemon.broken:
                daemon.broken.add(huge)
                lost += len(huge) * PAGE_BYTES
        found = np.concatenate([np.empty(0, np.int64), *gone])
        result, errno = OfflineResult.OFFLINED, 0
        if not found.size:
            result, errno = self.soft_offline(pfn, time, poison.get(pfn), self.poisoned_beside(pfn, poison))
        values: Values = {"pfn": pfn, "trigger": OfflineTrigger.BANK_THRESHOLD, "result": result, "errno": errno}
        return values | {"n_pages": found.size, "pool_lost_bytes": lost}, GoneBank(time, found)

    def goes_offline(self, pfn: int, time: int, poison: dict[int, Frame]) -> bool:
        """Whether the kernel takes a page offline."""
        result, _ = self.soft_offline(pfn, time, poison.get(pfn), self.poisoned_beside(pfn, poison))
        return result is OfflineResult.OFFLINED

    def poisoned_beside(self, pfn: int, poison: dict[int, Frame]) -> list[Frame]:
        """Return the other frames of a page's huge page that were marked while it was whole."""
        huge = self.uses.huge_page(pfn) if poison and self.rules.hugetlb != "non lru" else None
        if huge is None:
            return []
        return [
            frame for other, frame in poison.items() if other in huge and other != pfn and frame.whole_when_poisoned()
        ]

    def soft_offline(self, pfn: int, time: int, frame: Frame | None, beside: list[Frame]) -> tuple[OfflineResult, int]:
        """Return what the kernel answers to a daemon that writes an address into sysfs."""
        kernel = self.policy.kernel
        exists = self.switches.get("has_soft_offline", str(kernel.profile != "2.6.32")) == "True"
        poisoned = frame is not None and frame.poisoned_ns is not None and frame.poisoned_ns <= time
        if not kernel.memory_failure or not exists:
            errno = -2
        elif not kernel.enable_soft_offline:
            errno = -95
        elif poisoned or self.withdrawn.get(pfn, NEVER) <= time:
            usual = "-16" if kernel.profile in ("2.6.32", "3.10", "4.18") else "0"
            return OfflineResult.ALREADY_POISONED, int(self.switches.get("soft_already_errno", usual))
        elif any(other.poisoned_ns is not None and other.poisoned_ns <= time for other in beside):
            page = build_page("hugetlb-file", [Task("owner")])
            page.poisoned, page.migratable, page.bad_subpages = True, False, {page.subpage + 1}
            return OfflineResult.ALREADY_POISONED, soft_offline_page(Machine(self.rules), page)
        else:
            errno = self.answers[pfn] = self.answers[pfn] if pfn in self.answers else self.usual_answer(pfn)
        return OFFLINE_RESULTS[errno], errno

    def usual_answer(self, pfn: int) -> int:
        """Return what the kernel answers about a page that is not poisoned."""
        if self.uses.huge_page(pfn):
            page = build_page(f"hugetlb{self.size_of(pfn)}", [Task("owner")])
            return soft_offline_page(Machine(self.rules), page, spare_huge_page=self.uses.has_spare(pfn))
        return EIO if self.uses.is_kernel(pfn) else 0

    def size_of(self, pfn: int) -> str:
        """Return what the name of the state of a huge page says about its size."""
        huge = self.uses.huge_page(pfn)
        return "-1g" if huge is not None and len(huge) > 512 else ""

    def _window_values(self, fault: Fault, shown: list[tuple[int, int]], *, scrub: bool) -> Values:
        return {
            "kind": ErrorKind.CE,
            "observer": Observer.SCRUB if scrub and self.scrub_ns else Observer.DEMAND,
            "ce_count": len(shown),
            "n_pages": len({page for _, page in shown}) if fault.values["n_pages"] else 0,
            "first_pfn": self.pfn_of(fault, shown[0][1]) if fault.values["n_pages"] else None,
            "first_time_ns": shown[0][0],
            "last_time_ns": shown[-1][0],
            "path": None,
            "first_ce_ns": None,
            "n_ce_before": None,
        }

    def reports(self, fault: Fault, begin: int, end: int) -> list[Row]:
        """List what the error check and scrub of a fault's device reports in an era."""
        unit = EcsUnit.CODEWORDS if self.policy.ecc.ecs == "codewords" else EcsUnit.ROWS
        return [
            Row("ecs_reports", p.end_ns, fault, fault, {"unit": unit, "count": p.count, "begin_ns": p.begin_ns})
            for p in fault.passes
            if begin <= p.begin_ns and p.end_ns < end
        ]

    def walk_on(self) -> Errors:
        """Go through the corrected errors of the boot under way, as if nothing else happened until the horizon."""
        eras, poison = self.open_eras(), self.poison()
        marks = [(pfn, frame.poisoned_ns, frame.out_ns, frame.broken_ns) for pfn, frame in poison.items()]
        asked = (eras, marks, dict(self.withdrawn))
        if self.last_walk is None or self.last_walk[0] != asked:
            self.last_walk = asked, self.walk(eras, poison, self.withdrawn)
        return self.last_walk[1]

    def open_eras(self) -> list[tuple[Fault, int, int]]:
        """List the faults in place, as if nothing happened until the horizon."""
        return [(fault, fault.era_start_ns, self.horizon) for fault in self.faults if fault.removed_ns is None]

    def poison(self) -> dict[int, Frame]:
        """Return what memory_failure() has marked in this boot so far."""
        return {pfn: frame for pfn, frame in self.frames.items() if frame.poisoned_ns is not None}

    def watch(self) -> None:
        """Put the moment at which some fault reaches a limit on the heap."""
        self.version += 1
        if self.drain is not None:
            return
        found: list[tuple[int, int, LifecycleReason]] = []
        rules = self.policy.repair
        if rules.replace_ce or rules.replace_risky:
            errors = self.walk_on()
            for reason, times in (
                (LifecycleReason.CE_LIMIT, errors.too_many),
                (LifecycleReason.RISKY_PATTERN, errors.risky),
            ):
                if reason == LifecycleReason.CE_LIMIT or rules.replace_risky:
                    found += [(time, self.faults.index(fault), reason) for fault, time in times.items()]
        if self.policy.repair.replace_ecs:
            for position, fault in enumerate(self.faults):
                if fault.removed_ns is None:
                    reports = self.reports(fault, fault.era_start_ns, self.horizon)
                    found += [(report.time_ns, position, LifecycleReason.ECS_LIMIT) for report in reports]
        if found:
            time, position, reason = min(found)
            heapq.heappush(self.heap, (time + 1, REPLACE, position, self.version, (self.faults[position], reason)))

    def plan(self, after: int) -> list[Frame]:
        """Work out when counting takes bad pages offline in this boot later than a time, if nothing else happens.

        Returns:
            Frames of which that has changed.
        """
        if not self.frames or not (self.rule.threshold or self.rule.columns):
            return []
        errors = self.walk_on()
        self.last_ask_ns = errors.last_ask_ns()
        changed = []
        for pfn, frame in self.frames.items():
            before = frame.out_ns, frame.broken_ns
            if frame.out_ns > after and frame.poisoned_ns is None and frame.beside_ns is None:
                frame.out_ns = errors.out_ns(pfn)
            huge = self.uses.huge_page(pfn)
            if frame.broken_ns > after:
                frame.broken_ns = NEVER if huge is None else errors.broken_ns(huge)
            if before != (frame.out_ns, frame.broken_ns):
                changed.append(frame)
        return changed

    def plan_anew(self, time: int) -> None:
        """Work out anew which rows or banks go offline, now that more pages are silent, and who touches them next.

        Where no page was to go offline later, fewer errors take none offline.
        """
        if self.scope == "page" or self.last_ask_ns <= time:
            return
        changed = {id(frame) for frame in self.plan(time)}
        for page in self.pages:
            if id(page.frame) in changed and not page.dead:
                self.find_touch(page, time)

    # --- who touches a bad page next ----------------------------------------------------------------------------

    def leaves_ns(self, process: int) -> int:
        """Return when a process leaves the node, if it drains."""
        if self.drain is None:
            return NEVER
        length = self.drain.end_ns - self.drain.begin_ns
        return self.drain.begin_ns + int(self.leaving[process] * length)

    def leaving_shares(self) -> list[float]:
        """Return after what share of a drain each process has left: work one by one, system processes at the end."""
        kinds = [group.kind for group in self.policy.workload.process for _ in range(group.count)]
        work = sum(kind != "system" for kind in kinds)
        gone = [sum(kind != "system" for kind in kinds[: process + 1]) for process in range(len(kinds))]
        return [1.0 if kind == "system" else before / work for kind, before in zip(kinds, gone, strict=True)]

    def use_until(self, pfn: int, time: int) -> tuple[Use, int]:
        """Return the use of a page, as kills, reboots and a drain have left it, and until when they keep it so."""
        frame = self.frames[pfn]
        broken = frame.broken_ns <= time
        use, freed, end = self.uses.at(pfn, time, broken=broken), frame.freed_ns, NEVER if broken else frame.broken_ns
        if broken:
            freed = max(freed, frame.broken_ns)
        free = use._replace(use=self.uses.free_use(pfn, broken=broken), owners=range(0))
        if freed > use.start and not self.uses.is_kernel(pfn):
            filled = freed + self.refill_ns
            if time < filled:
                return free, min(filled, end)
            use = self.uses.refilled(pfn, filled, broken=broken)
        last = NEVER
        if self.drain is not None and use.owners:
            last = max(self.leaves_ns(process) for process in use.owners)
        if last <= time:
            return free, end
        return use, min(last, end)

    def gone(self, process: int, use: Use, time: int) -> bool:
        """Whether an owner does not use its page any more."""
        return self.killed_ns.get(process, -1) > use.start or self.leaves_ns(process) <= time

    def masked_use(self, pfn: int, time: int) -> Use:
        """Return the use of a page at a time."""
        return self.use_until(pfn, time)[0]

    def scrub_visit(self, pfn: int, after: int) -> int:
        """Return when the patrol scrubber next comes by; it begins a round at every boot."""
        begin = self.boot_end or self.scrub_phase
        offset = (begin + int(pfn / self.address_map.pages * self.scrub_ns)) % self.scrub_ns
        return after + 1 + (offset - after - 1) % self.scrub_ns

    def find_access(self, page: BadPage, after: int, limit: int) -> Touch | None:
        """Return the first access to a bad page that matters."""
        time = after
        while time < limit:
            use, until = self.use_until(page.pfn, time)
            end = self.uses.end_of_use(page.pfn, time, min(limit, until))
            access = self.uses.next_access(page.pfn, use.use, hot=use.hot, after=time, limit=end)
            if access is None:
                time = end
                continue
            time = access.time
            who = use.owners[below(access.word, len(use.owners))] if use.owners else None
            if who is not None and self.gone(who, use, time):
                continue
            if access.kind == Observer.WRITE and self.leaves_poison(page.pfn, time):
                return Touch(page, time, Observer.WRITE_BACK, access.mark, who, page.silent)
            return Touch(page, time, access.kind, access.mark, who, page.silent)
        return None

    def find_read(self, page: BadPage, after: int, end: int) -> Touch | None:
        """Return the next failing read of a bad page of a hard fault that happens."""
        for time, scrub, silent in page.reads:
            if not after < time < end:
                continue
            if page.pfn < 0:
                return Touch(page, time, Observer.DEMAND, 0.0, None, silent)
            in_use = time < page.frame.out_ns
            use = self.masked_use(page.pfn, time) if in_use and not scrub else None
            if use is not None and sum(ACCESS_SHARES[PageUse(use.use).text]):
                touch = self.reader(page, time, use, silent=silent)
                if touch is not None:
                    return touch
            elif (scrub or (in_use and self.scrub_ns)) and page.seen is None and (in_use or not silent):
                return Touch(page, time, Observer.SCRUB, 0.0, None, silent)
        return None

    def reader(self, page: BadPage, time: int, use: Use, *, silent: bool) -> Touch | None:
        """Say who reads a page that is in use; nobody if it is an owner who is gone."""
        kind, mark, owner, fill = philox(self.uses.page_key(page.pfn), *split(time), Tag.READER)
        user, kernel, device, write = ACCESS_SHARES[PageUse(use.use).text]
        platform = self.policy.platform
        fills = write * platform.partial_write_share if platform.writeback_report == "srao" else 0.0
        place, reads = unit32(kind), user + kernel + device
        observer = Observer.DEVICE
        if place * reads < user:
            observer = Observer.USER
        elif place * reads < user + kernel:
            observer = Observer.KERNEL
        if unit32(fill) * (fills + reads) < fills:
            observer = Observer.WRITE_BACK
        who = use.owners[below(owner, len(use.owners))] if use.owners else None
        if who is not None and len(use.owners) > 1 and self.gone(who, use, time):
            return None
        return Touch(page, time, observer, unit32(mark), who, silent)

    def leaves_poison(self, pfn: int, time: int) -> bool:
        """Whether a write fills a part of its line, and the cache reports the poison that it writes back with it."""
        platform = self.policy.platform
        if platform.writeback_report != "srao":
            return False
        drawn = unit32(philox(self.uses.page_key(pfn), *split(time), Tag.PARTIAL_WRITE)[0])
        return drawn < platform.partial_write_share

    def find_touch(self, page: BadPage, after: int) -> None:
        """Look for the next touch of a page and put it on the heap."""
        page.search += 1
        after = max(after, page.fault.installed_ns, self.boot_end)
        end = self.horizon if self.drain is None else min(self.horizon, self.drain.end_ns)
        if page.reads:
            touch = self.find_read(page, after, end)
            if touch is not None:
                heapq.heappush(self.heap, (touch.time_ns, TOUCH, page.position, page.search, touch))
            return
        after, visit = max(after, page.fault.time_ns), NEVER
        if self.scrub_ns and page.seen is None:
            visit = self.scrub_visit(page.pfn, after)
            if visit >= end or (page.silent and visit >= page.frame.out_ns):
                visit = NEVER
        touch = self.find_access(page, after, min(visit, end, page.frame.out_ns))
        if touch is None and visit < NEVER:
            touch = Touch(page, visit, Observer.SCRUB, 0.0, None, page.silent)
        if touch is None:
            return
        heapq.heappush(self.heap, (touch.time_ns, TOUCH, page.position, page.search, touch))

    def find_all_touches(self, after: int) -> None:
        """Look again for the next touches of all pages in play."""
        for page in self.pages:
            if not page.dead:
                self.find_touch(page, after)

    # --- the loop -----------------------------------------------------------------------------------------------

    def run(self) -> Life:
        """Live until the horizon."""
        node = np.asarray([self.node])
        born = simulate_faults(self.seed, node, self.hardware, self.horizon)
        faults, _ = grow(self.seed, born, self.hardware, self.horizon)
        self.install(faults.take(np.lexsort((faults.tag, faults.time_ns))), 0)
        self.plan(-1)
        self.find_all_touches(0)
        self.watch()
        self.push_orders()
        while self.heap:
            time, kind, _, search, what = heapq.heappop(self.heap)
            if time >= self.horizon:
                break
            if kind == PENDING and not what.cancelled:
                self.fire(what)
            elif kind == TOUCH and search == what.page.search and not what.page.dead:
                self.touch(what)
            elif kind == REPLACE and search == self.version and self.drain is None:
                fault, reason = what
                self.cordon(fault, fault, time, reason, at_limit=True)
            elif kind in (DRAINED, EMPTIED) and what is self.drain and what.end_ns == time:
                self.repair(what)
            elif kind == ORDER:
                self.orders.remove(what)
                self.obey(what)
            elif kind == VISIT and self.drain is None:
                self.visit(time)
        if self.drain is not None:
            self.cordon_row(self.drain)
        for slot in self.mapped:
            self.map_out_row(slot, self.horizon)
        self.past_poison.append((self.boot_end, self.poison()))
        boots: dict[int, list[tuple[Fault, int, int]]] = {}
        for fault in self.faults:
            if fault.removed_ns is None:
                fault.eras.append((fault.era_start_ns, self.horizon))
            for begin, end in fault.eras:
                if begin < end:
                    boots.setdefault(begin, []).append((fault, begin, end))
                self.rows.extend(self.reports(fault, begin, end))
        poisoned, withdrawn = dict(self.past_poison), {**self.past_withdrawn, self.boot_end: self.withdrawn}
        for begin, eras in boots.items():
            errors = self.walk(eras, poisoned[begin], withdrawn.get(begin, {}))
            self.rows.extend(errors.rows)
            self.seen.extend(errors.seen)
        self.tell_warnings()
        for cordon in self.caused_by_limit:
            (cordon.cause,) = (row for row in self.rows if row.fault is cordon.fault and self.reached(row, cordon))
        for row, order in self.caused_by_order:
            errors_of = [one for one in self.rows if one.table == "errors" and one.fault is row.fault]
            before = [one for one in errors_of if one.time_ns <= order.cause_ns]
            row.cause = max(before, key=lambda one: one.time_ns)
        return self

    def push_orders(self) -> None:
        """Put the orders of this boot on the heap."""
        ordered = sorted(self.orders, key=lambda order: order.kind != "offline")  # pages first
        for position, order in enumerate(ordered):
            if order.time_ns >= self.boot_end:
                heapq.heappush(self.heap, (order.time_ns, ORDER, position, 0, order))

    def obey(self, order: Ordered) -> None:
        """Do what a policy of one's own has ordered."""
        (fault,) = (fault for fault in self.faults if fault.name == order.fault)
        if order.kind == "offline":
            self.take_offline(order, fault)
            return
        if order.kind == "replace":
            self.ordered_dimms.add(order.target)
        if self.drain is None:
            self.cordon(fault, fault, order.time_ns, LifecycleReason.OWN_POLICY, at_limit=False)
            self.drain_order = order
        if order.kind == "drain" and self.drain is not None:
            self.drain.end_ns = min(self.drain.end_ns, order.time_ns)
            heapq.heappush(self.heap, (self.drain.end_ns, EMPTIED, 0, 0, self.drain))

    def take_offline(self, order: Ordered, fault: Fault) -> None:
        """Ask the kernel to take a page offline."""
        pfn, time, poison = order.target, order.time_ns, self.poison()
        result, errno = self.soft_offline(pfn, time, poison.get(pfn), self.poisoned_beside(pfn, poison))
        values: Values = {"pfn": pfn, "trigger": OfflineTrigger.OWN_POLICY, "result": result, "errno": errno}
        n_pages = int(result is OfflineResult.OFFLINED)
        row = Row("page_offlines", time, fault, fault, values | {"n_pages": n_pages, "pool_lost_bytes": 0})
        self.rows.append(row)
        self.caused_by_order.append((row, order))
        if result is not OfflineResult.OFFLINED:
            return
        self.withdrawn[pfn] = time
        huge = self.uses.huge_page(pfn)
        if huge is not None and huge not in self.broken_by_order:
            self.broken_by_order.add(huge)
            row.values["pool_lost_bytes"] = len(huge) * PAGE_BYTES
        changed = set()
        for number, frame in self.frames.items():
            if number == pfn:
                frame.out_ns = min(frame.out_ns, time)
                changed.add(number)
            elif huge is not None and number in huge:
                changed.add(number)
            if huge is not None and number in huge:
                frame.broken_ns = min(frame.broken_ns, time)
        for page in self.pages:
            if page.pfn in changed and not page.dead:
                self.find_touch(page, time)
        self.watch()

    def tell_warnings(self) -> None:
        """Count the corrected errors of its DIMM before each uncorrected one."""
        times: dict[int, list[int]] = {}
        for row in self.rows:
            times.setdefault(row.fault.tag >> 16, []).extend(row.times)
        for mine in times.values():
            mine.sort()
        for row in self.rows:
            if row.table == "errors" and row.values["kind"] != ErrorKind.CE:
                mine = times[row.fault.tag >> 16]
                before = bisect_left(mine, row.time_ns)
                row.values["n_ce_before"] = before
                row.values["first_ce_ns"] = mine[0] if before else None

    def reached(self, row: Row, cordon: Row) -> bool:
        """Whether a row is the one that let a fault reach the limit a cordon names."""
        if cordon.values["reason"] == LifecycleReason.ECS_LIMIT:
            return row.table == "ecs_reports" and row.time_ns == cordon.time_ns - 1
        if row.table != "errors" or row.values["kind"] != ErrorKind.CE:
            return False
        return cordon.time_ns - 1 in row.times

    def write(self, table: str, time: int, page: BadPage, cause: Fault | Row, values: Values) -> Row:
        """Add a row."""
        row = Row(table, time, page.fault, cause, values)
        self.rows.append(row)
        return row

    def wait(self, pending: Pending) -> None:
        """Put a late kill or an I/O error on the heap."""
        self.pending.append(pending)
        heapq.heappush(self.heap, (pending.time_ns, PENDING, len(self.pending), 0, pending))

    def fire(self, pending: Pending) -> None:
        """Let a late kill, a call of the handler or an I/O error happen."""
        time, page = pending.time_ns, pending.page
        if pending.read is not None:
            if pending.read.use is not None or page.frame.out_ns > time:
                self.handle(pending.read, time)
        elif pending.process is None:
            values: Values = {"pfn": page.pfn, "call": IoCall.FSYNC, "errno": EIO}
            self.write("io_errors", time, page, pending.cause, values)
        elif self.leaves_ns(pending.process) > time:
            self.signal(pending, SignalCode.MCEERR_AR, Timing.LATE)

    def signal(self, what: Pending, code: SignalCode, timing: Timing) -> None:
        """Signal a process; one that dies gives its memory back, and poisoned frames never return."""
        process = what.process
        assert process is not None
        dies = code is SignalCode.KERNEL or self.processes.on_sigbus[process] == OnSigbus.DIE
        values: Values = {
            "process_class": int(self.processes.kind[process]),
            "process": process,
            "signal": SignalName.SIGBUS,
            "code": code,
            "timing": timing,
            "lsb": 0 if code is SignalCode.KERNEL else what.lsb,
            "fate": Fate.KILLED if dies else Fate.HANDLED,
        }
        self.write("signals", what.time_ns, what.page, what.cause, values)
        if not dies:
            return
        time = self.killed_ns[process] = what.time_ns
        for pending in self.pending:
            pending.cancelled |= pending.process == process
        still = {id(page.frame) for page in self.pages if not page.reads or page.reads[-1][0] > time}
        still |= {id(pending.page.frame) for pending in self.pending}
        matter = [one for one in self.frames.items() if one[1].poisoned_ns is not None or id(one[1]) in still]
        uses = [(frame, self.masked_use(pfn, time)) for pfn, frame in matter]
        freed = [frame for frame, use in uses if use.owners and all(self.gone(one, use, time) for one in use.owners)]
        sooner = [frame for frame in freed if frame.poisoned_ns is not None and frame.out_ns > time]
        for frame in freed:
            frame.freed_ns = time
        for frame in sooner:
            frame.out_ns = time
        if sooner:
            self.plan_anew(time)
        self.find_all_touches(time)

    # --- a touch ------------------------------------------------------------------------------------------------

    def touch(self, touch: Touch) -> None:
        """Let a page be read or written."""
        page, time = touch.page, touch.time_ns
        if touch.observer == Observer.WRITE:
            page.dead = page.dead_for_good = True
            return
        if touch.silent:
            self.write("errors", time, page, page.fault, first_sight(ErrorKind.SDC, touch))
            page.dead = not page.reads
            if not page.dead:
                self.find_touch(page, time)
            return
        if page.seen is None:
            page.seen = self.write("errors", time, page, page.fault, first_sight(ErrorKind.UE, touch))
        boot = self.boot_end
        row = self.machine_check(touch)
        ready = time if self.boot_end == boot else self.boot_end
        limit = self.policy.repair.cordon.ue
        if row is not None and 0 < limit <= self.ue_count and self.drain is None and ready < self.horizon:
            self.cordon(page.fault, row, ready, LifecycleReason.UE_LIMIT, at_limit=False, idle=ready > time)
        if self.boot_end == boot and not page.dead:
            self.find_touch(page, time)

    def machine_check(self, touch: Touch) -> Row | None:
        """Report a UE to the kernel; return its first record, None if it was lost."""
        page, time, platform = touch.page, touch.time_ns, self.policy.platform
        use = self.masked_use(page.pfn, time) if page.pfn >= 0 else NO_USE
        channel = int(self.address_map.slot_channel(np.asarray([page.fault.slot]))[0])
        busy = self.busy_until.get(channel, 0) > time
        load = touch.observer in (Observer.USER, Observer.KERNEL)
        kind = self.kernel_read(touch, use) if touch.observer == Observer.KERNEL else None
        check = grade(
            Observer(touch.observer),
            self.reporting(),
            kernel_read=KernelRead.OTHER if kind is None else kind,
            device_fatal=touch.mark < platform.device_fatal_share,
            overflow=busy and not load,
        )
        if busy and not load and check.action != CheckAction.PANIC:
            return None
        own_bank = self.server.sockets * self.server.channels
        core = Report(touch, use, check, kind, own_bank if load else channel, busy and not load)
        already = self.poisoned_before(page.frame, time)
        if not load or busy or self.firmware_first or check.action is CheckAction.PANIC:
            return self.report(core, None, already, prompt=False)[0]
        found = grade(
            Observer.DEVICE, self.reporting(), kernel_read=KernelRead.OTHER, device_fatal=False, overflow=False
        )
        controller = Report(touch, use, found, None, channel, False)
        wins = unit32(self.latency_words(page, time)[1]) < platform.controller_first_share
        boot = self.boot_end
        both = [(controller, True), (core, False)] if wins else [(core, False), (controller, False)]
        rows, before = [], None
        for record, prompt in both:
            if self.boot_end == boot:
                row, before = self.report(record, before, already, prompt=prompt)
                rows.append(row)
        return rows[0]

    def report(
        self, record: Report, before: CallKind | None, earlier: Earlier, *, prompt: bool
    ) -> tuple[Row, CallKind | None]:
        """Log a machine check and act on it; return its row, and the last kind of call for this read."""
        touch, use, check, kind, bank, overflow = record
        page, time = touch.page, touch.time_ns
        asynchronous = check.context is CpuContext.NONE
        delay = self.firmware_ns if asynchronous else 0
        latency = delay + (self.work_latency(page, time) if asynchronous and not prompt else 0)
        if check.action is CheckAction.QUEUE:
            fits = self.enqueue(time + delay, time + latency)
            if not fits or page.frame.out_ns <= time:
                check = check._replace(action=CheckAction.ALREADY_POISONED if fits else CheckAction.QUEUE_FULL)
        values: Values = {
            "severity": check.severity,
            "bank": bank,
            "cpu_context": check.context,
            "kernel_read": kind,
            "overflow": int(overflow),
            "pfn": page.pfn if page.pfn >= 0 else None,
            "action": check.action,
        }
        assert page.seen is not None
        row = self.write("machine_checks", time, page, page.seen, values)
        if not page.logged:
            page.logged, page.fault.suspect = True, row
            self.ue_count += 1
            self.had_ue.add(page.fault.slot)
        if asynchronous:
            self.busy_until[bank] = time + self.bank_busy_ns
        if check.action is CheckAction.PANIC:
            self.panic(page, row, time, check.reason)
            return row, before
        handled = check.action in (CheckAction.QUEUE, CheckAction.ACTION_REQUIRED)
        if not handled or time + latency >= self.horizon:
            return row, before
        itself = self.event_of(check, kind)
        call = itself if before is None else SECOND_CALLS[before, itself]
        read = Read(touch, use, call, row, earlier, before is not None)
        if latency == 0:
            self.handle(read, time)
        else:
            waits = read if read.second else read._replace(use=None)
            self.wait(Pending(time + latency, page, row, read=waits))
        return row, call

    def latency_words(self, page: BadPage, time: int) -> tuple[int, ...]:
        """Draw for the delay of the memory_failure work of a touch, and for who reports it first."""
        return philox(self.uses.page_key(page.pfn), *split(time), Tag.LATENCY)

    def work_latency(self, page: BadPage, time: int) -> int:
        """Draw the delay of the memory_failure work of a touch."""
        return exponential(self.latency_words(page, time)[0], self.work_latency_ns)

    def reporting(self) -> Reporting:
        """Say what the hardware can tell, and to which kernel."""
        kernel, platform = self.policy.kernel, self.policy.platform
        return Reporting(
            self.rules,
            kernel.memory_failure,
            platform.reporting,
            platform.mca_recovery,
            platform.scrub_report == "srao",
            True,
            platform.deferred_interrupt,
            platform.physical_address,
            platform.data_load_recovery,
        )

    def enqueue(self, time: int, done: int) -> bool:
        """Put work on the queue unless it is full."""
        if self.queue[self.queue_position] > time:
            return False
        self.queue[self.queue_position] = done
        self.queue_position = (self.queue_position + 1) % self.records_kept
        return True

    # --- memory_failure() ---------------------------------------------------------------------------------------

    def poisoned_before(self, frame: Frame, time: int) -> Earlier:
        """Say what had been poisoned before an error in a frame."""
        if frame.poisoned_ns is not None:
            return Earlier.PAGE
        return Earlier.NEIGHBOUR if frame.beside_ns is not None and frame.broken_ns > time else Earlier.NOTHING

    def threads(self, process: int) -> tuple[KillPolicy, KillPolicy]:
        """Return the policies of the first thread of a process and of its others."""
        group = [group for group in self.policy.workload.process for _ in range(group.count)][process]
        first = KillPolicy.of(group.kill_policy)
        return first, first if group.thread_policy == "leader" else KillPolicy.of(group.thread_policy)

    def handle(self, read: Read, done: int) -> None:
        """Run ``memory_failure()``."""
        page, kernel, use, earlier = read.touch.page, self.policy.kernel, read.use, read.earlier
        frame = page.frame
        if use is None:
            use, earlier = self.masked_use(page.pfn, done), self.poisoned_before(frame, done)
        reported = (CallKind.ACTION_OPTIONAL, CallKind.REPORT_AFTER_REPORT)
        consumer = read.touch.process if use.owners and read.call not in reported else None
        order = sorted(use.owners, key=lambda process: process != consumer)
        threads = [self.threads(process) for process in order] or [(KillPolicy.UNSET, KillPolicy.UNSET)]
        outcome = memory_failure(
            PageUse(use.use),
            read.call,
            threads[0],
            early_kill=bool(kernel.memory_failure_early_kill),
            recovery=bool(kernel.memory_failure_recovery),
            earlier=earlier,
            others=threads[1:],
            split_ok=use.splits < kernel.thp_split_p,
            file_system=self.policy.workload.file_system,
            large=use.large,
            shared=len(use.owners) > 1,
            profile=self.rules,
        )
        if outcome.panic:
            off = not kernel.memory_failure_recovery
            reason = LifecycleReason.RECOVERY_OFF if off else LifecycleReason.UNRECOVERABLE_PAGE
            self.panic(page, read.row, done, reason)
            return
        heard = dict(zip(order, [Heard(outcome.signal, outcome.late, outcome.lsb), *outcome.others], strict=False))
        here = [process for process in use.owners if not self.gone(process, use, done)]
        again = frame.poisoned_ns is not None and consumer is not None and outcome.signal is not Signal.NONE
        again = again and len(use.owners) == 1
        released = (outcome.withdrawn or again) and not read.second
        huge = self.uses.huge_page(page.pfn)
        of_pool = huge if released and PageUse(use.use).text.startswith("hugetlb") else None
        mapped = PageUse(use.use).text in FROM_USER
        platform = self.policy.platform
        walked = len(here) if mapped and earlier is Earlier.NOTHING and not read.second else 0
        duration = round(platform.handler_base_us * 1000) + walked * round(platform.handler_mapping_us * 1000)
        by_task = (CallKind.ACTION_REQUIRED, CallKind.KERNEL_COPY)
        after_report = (CallKind.REQUIRED_AFTER_REPORT, CallKind.COPY_AFTER_REPORT)
        values: Values = {
            "pfn": page.pfn,
            "page_use": use.use,
            "page_type": outcome.page_type,
            "result": outcome.result,
            "errno": outcome.errno,
            "latency_ns": done - read.touch.time_ns + duration,
            "duration_ns": duration,
            "current_affected": int(mapped and consumer in here and read.call in (*by_task, *after_report)),
            "lost_bytes": (outcome.lost_bytes or (len(of_pool) if of_pool else 1) * PAGE_BYTES) if released else 0,
            "pool_lost_bytes": 0 if of_pool is None else len(of_pool) * PAGE_BYTES,
        }
        row = self.write("memory_failures", done, page, read.row, values)
        for process in here:
            if heard[process].late:
                self.wait_for_owner(page, row, heard[process].lsb, process, use)
        self.mark(page, use, done, released=released)
        self.share_fate(page, done, broken=of_pool is not None and outcome.lost_bytes == PAGE_BYTES)
        self.follow_up(read, outcome, row, {process: heard[process] for process in here})
        self.plan_anew(done)
        if self.drain is None and self.policy.repair.replace_ce:
            self.watch()
        for other in self.pages:
            if (other.frame is frame or (huge and other.pfn in huge)) and not other.dead:
                self.find_touch(other, done)

    def mark(self, page: BadPage, use: Use, time: int, *, released: bool) -> None:
        """Mark a frame: from now on it is not soft-offlined, and it does not come back once its users are done."""
        frame = page.frame
        if frame.poisoned_ns is None:
            frame.poisoned_ns = time
            if frame.beside_ns is None:
                frame.out_ns = NEVER
        free = (PageUse.FREE, PageUse.HUGETLB_FREE, PageUse.HUGETLB_1G_FREE)
        given_back = time if released or use.use in free else self.end_of_spell(page.pfn, time)
        frame.out_ns = min(frame.out_ns, given_back)

    def end_of_spell(self, pfn: int, time: int) -> int:
        """Return when the use of a page changes, whatever changes it."""
        _, until = self.use_until(pfn, time)
        return self.uses.end_of_use(pfn, time, min(until, self.horizon))

    def share_fate(self, page: BadPage, time: int, *, broken: bool) -> None:
        """Let the huge page of a marked frame be broken up, or be poisoned as a whole."""
        huge = self.uses.huge_page(page.pfn)
        if huge is None or page.frame.broken_ns <= time or self.rules.hugetlb == "non lru":
            return
        for pfn, frame in self.frames.items():
            if pfn not in huge:
                continue
            if broken:
                assert frame is page.frame or frame.poisoned_ns is None
                frame.broken_ns = time
                continue
            frame.broken_ns = NEVER
            if frame is not page.frame:
                if frame.beside_ns is None and frame.poisoned_ns is None:
                    frame.out_ns = NEVER
                frame.out_ns = min(frame.out_ns, page.frame.out_ns)
                frame.beside_ns = time if frame.beside_ns is None else frame.beside_ns

    def event_of(self, check: Check, kind: KernelRead | None) -> CallKind:
        """Say how the error reached the handler."""
        if kind is KernelRead.COPY:
            return CallKind.KERNEL_COPY
        if kind is not None:
            failed = kernel_copies.FAULT in kernel_copies.COPIES[f"ar-{kind.text}"][1]
            return CallKind.FAILED_FAULT if failed else CallKind.ACTION_OPTIONAL
        return CallKind.ACTION_REQUIRED if check.action is CheckAction.ACTION_REQUIRED else CallKind.ACTION_OPTIONAL

    def kernel_read(self, touch: Touch, use: Use) -> KernelRead:
        """Say which code of the kernel reads; one that this kernel does not have is other code."""
        platform, text = self.policy.platform, PageUse(use.use).text
        left, kinds = touch.mark, PAGE_COPIES.get(text, {})
        others = 1.0
        if text in FROM_USER:
            if left < platform.copy_share:
                return KernelRead.COPY
            left, others = left - platform.copy_share, 1.0 - platform.copy_share
        for kind in KERNEL_READS:
            share = others * platform.page_copy_share * kinds[kind.text].value if kind.text in kinds else 0.0
            if left < share:
                column = kernel_copies.PROFILES.index(self.policy.kernel.profile)
                absent = kernel_copies.COPIES[f"ar-{kind.text}"][1][column] == kernel_copies.ABSENT
                return KernelRead.OTHER if absent else kind
            left -= share
        return KernelRead.OTHER

    def follow_up(self, read: Read, outcome: Outcome, row: Row, heard: dict[int, Heard]) -> None:
        """Tell the owners, and the writer of a file."""
        page, time = read.touch.page, read.touch.time_ns
        if outcome.eio:
            delay = exponential(philox(self.uses.page_key(page.pfn), *split(time), Tag.FSYNC)[0], self.fsync_ns)
            self.wait(Pending(row.time_ns + delay, page, row))
        for process, (told, _, lsb) in heard.items():
            if told is not Signal.NONE:
                code, timing = SIGNALS[told]
                self.signal(Pending(row.time_ns, page, row, process, lsb), code, timing)

    def wait_for_owner(self, page: BadPage, cause: Row, lsb: int, process: int, use: Use) -> None:
        """Let a process run until its own next access to a page it has lost."""
        time, broken = cause.time_ns, page.frame.broken_ns <= cause.time_ns
        _, until = self.use_until(page.pfn, time)
        end = self.uses.end_of_use(page.pfn, time, min(until, self.leaves_ns(process), self.horizon))
        while access := self.uses.next_touch(page.pfn, use, process, broken=broken, after=time, limit=end):
            if access.kind in (Observer.USER, Observer.WRITE):
                self.wait(Pending(access.time, page, cause, process, lsb))
                return
            time = access.time

    # --- down ---------------------------------------------------------------------------------------------------

    def panic(self, page: BadPage, cause: Row, time: int, reason: LifecycleReason) -> None:
        """Panic and reboot; a node that drained is empty then."""
        end = time + round(self.policy.repair.reboot_minutes * 60 * NS_PER_S)
        running = sum(self.leaves_ns(process) > time for process in range(self.policy.workload.processes))
        row = self.write("lifecycle", time, page, cause, down(LifecycleKind.PANIC, reason, end, None, running))
        if self.drain is not None:
            self.drain.end_ns = end
        self.go_down(time, end, set(), time, row)

    def cordon(
        self,
        fault: Fault,
        cause: Fault | Row,
        time: int,
        reason: LifecycleReason,
        *,
        at_limit: bool,
        idle: bool = False,
    ) -> None:
        """Cordon the node; it drains, unless it is idle after a boot."""
        drain_ns = 0 if idle else hours_to_ns(self.policy.repair.cordon.drain_hours)
        self.drain = Drain(time, time + drain_ns, fault, cause, reason, at_limit)
        heapq.heappush(self.heap, (self.drain.end_ns, DRAINED, 0, 0, self.drain))
        self.find_all_touches(time)

    def cordon_row(self, drain: Drain) -> Row:
        """Write down a cordon, now that its end is known."""
        values = down(LifecycleKind.CORDON, drain.reason, drain.end_ns, None, 0)
        row = Row("lifecycle", drain.begin_ns, drain.fault, drain.cause, values)
        self.rows.append(row)
        if drain.at_limit:
            self.caused_by_limit.append(row)
        if drain.reason == LifecycleReason.OWN_POLICY and self.drain_order is not None:
            self.caused_by_order.append((row, self.drain_order))
        return row

    def repair(self, drain: Drain) -> None:
        """Take the drained node down, and replace or repair what is due."""
        repair, fault, start = self.policy.repair, drain.fault, drain.end_ns
        row = self.cordon_row(drain)
        due = dict.fromkeys(self.had_ue, LifecycleReason.DIMM_HAD_UE)
        due |= dict.fromkeys(self.ordered_dimms, LifecycleReason.OWN_POLICY)
        if drain.at_limit:
            if fault.slot in due or not self.can_repair_row(fault):
                due[fault.slot] = drain.reason
            fault.suspect = row
        end = start + (hours_to_ns(repair.replace_hours) if due else round(repair.reboot_minutes * 60 * NS_PER_S))
        self.replace_dimms(due, start, end, row)

    def visit(self, start: int) -> None:
        """Let a technician replace what is mapped out, and what else has had uncorrected errors."""
        _, first = min((dimm.due_ns, slot) for slot, dimm in self.mapped.items())
        end = start + hours_to_ns(self.policy.repair.replace_hours)
        due = dict.fromkeys(self.had_ue, LifecycleReason.DIMM_HAD_UE)
        self.replace_dimms(due, start, end, self.mapped[first])

    def replace_dimms(self, due: dict[int, LifecycleReason], start: int, end: int, why: Row | MappedOut) -> None:
        """Replace DIMMs, each because it is mapped out, or else for what brings the others about."""
        assert self.mapped.keys() <= due.keys()
        rows = {slot: self.map_out_row(slot, end) for slot in self.mapped}
        if isinstance(why, MappedOut):
            (why,) = (rows[slot] for slot, dimm in self.mapped.items() if dimm is why)
        for slot, reason in sorted(due.items()):
            values = down(LifecycleKind.DIMM_REPLACEMENT, reason, end, slot, 0)
            cause = rows.get(slot, why)
            self.rows.append(Row("lifecycle", start, cause.fault, cause, values))
        self.ue_count, self.had_ue, self.drain, self.mapped, self.ordered_dimms = 0, set(), None, {}, set()
        self.go_down(start, end, set(due), start)

    def map_out_row(self, slot: int, end: int) -> Row:
        """Write down for how long the node has gone on without a DIMM."""
        dimm = self.mapped[slot]
        values = down(LifecycleKind.MAP_OUT, LifecycleReason.DIMM_HAD_UE, end, slot, 0)
        self.rows.append(Row("lifecycle", dimm.since_ns, dimm.panic.fault, dimm.panic, values))
        return self.rows[-1]

    def map_out_dimms(self, panic: Row, boot: int) -> None:
        """Let firmware map out what has had uncorrected errors that no spare row has repaired; some memory stays."""
        rules = self.policy.repair
        if not rules.map_out or boot >= self.horizon:
            return
        seen = [fault for fault in self.faults if fault.removed_ns is None and fault.suspect is not None]
        bad = {fault.slot for fault in seen if fault.suspect is not None and fault.suspect.table == "machine_checks"}
        for slot in sorted(bad):
            if len(self.mapped) == self.server.dimms - 1:
                return
            word = philox(purpose_key(self.seed, Purpose.TECHNICIAN), self.node, self.generation[slot] << 16 | slot)[0]
            factor = math.exp(rules.technician_sigma * special.ndtri(unit32(word)))
            takes = int(min(hours_to_ns(24 * rules.technician_days) * factor, self.horizon))
            self.mapped[slot] = MappedOut(boot, boot + takes, panic)
            for fault in self.faults:
                if fault.slot == slot:
                    fault.removed_ns, fault.repaired = fault.removed_ns or boot, None

    def can_repair_row(self, fault: Fault) -> bool:
        """Whether post-package repair is on and has a spare row for a fault."""
        if self.policy.repair.ppr == "off" or not fault.takes_one_row():
            return False
        per_group = self.server.dram.banks // self.server.dram.bank_groups
        return fault.spare(per_group) not in {other.spare(per_group) for other in self.faults if other.repaired}

    def repair_rows(self, start: int, end: int) -> None:
        """Let firmware repair rows at the end of an interval down."""
        for fault in sorted(self.faults, key=lambda fault: (fault.time_ns, fault.tag)):
            if fault.removed_ns is not None or fault.suspect is None or not self.can_repair_row(fault):
                continue
            reason = LifecycleReason.DIMM_HAD_UE
            if fault.suspect.table == "lifecycle":
                reason = LifecycleReason(fault.suspect.values["reason"])
            values = down(LifecycleKind.POST_PACKAGE_REPAIR, reason, end, fault.slot, 0)
            self.rows.append(Row("lifecycle", start, fault, fault.suspect, values))
            fault.suspect, fault.repaired, fault.removed_ns = None, self.policy.repair.ppr, end

    def go_down(self, start: int, end: int, replaced: set[int], boot: int, panic: Row | None = None) -> None:
        """Be down for an interval, at the end of which some DIMMs have been replaced.

        Firmware repairs rows in the part that starts at ``boot``, and tests memory after a ``panic``.
        """
        self.heap.clear()
        self.pending.clear()
        self.busy_until.clear()
        self.queue, self.queue_position = [0] * self.records_kept, 0
        self.past_poison.append((self.boot_end, {pfn: replace(frame) for pfn, frame in self.poison().items()}))
        self.past_withdrawn[self.boot_end], self.withdrawn = self.withdrawn, {}
        self.broken_by_order = set()
        self.downs.append((start, end))
        self.boot_end = end
        for fault in self.faults:
            if fault.removed_ns is None:
                fault.eras.append((fault.era_start_ns, start))
                fault.era_start_ns = max(end, fault.installed_ns)
            elif replaced and fault.repaired == "soft":
                fault.era_start_ns, fault.removed_ns, fault.repaired = end, None, None
            if fault.removed_ns is None and fault.slot in replaced:
                fault.removed_ns = end
        self.repair_rows(boot, end)
        if panic is not None:
            self.map_out_dimms(panic, end)
        for page in self.pages:
            page.dead_for_good |= not page.fault.stays and page.fault.time_ns < end
            page.seen, page.logged = None, False
            page.dead = page.dead_for_good or page.fault.removed_ns is not None
        for frame in self.frames.values():
            frame.freed_ns, frame.poisoned_ns, frame.out_ns = end, None, NEVER
            frame.beside_ns, frame.broken_ns = None, NEVER
        for slot in sorted(replaced):
            self.generation[slot] += 1
            one = (np.asarray([value]) for value in (self.node, slot, self.generation[slot], end))
            batch, _ = simulate_generation(self.seed, *one, self.hardware, self.horizon)
            faults, _ = grow(self.seed, batch, self.hardware, self.horizon)
            self.install(faults.take(np.argsort(faults.tag)), end)
        self.plan(end)
        self.find_all_touches(end)
        self.watch()
        self.push_orders()
        if self.drain is not None:
            heapq.heappush(self.heap, (self.drain.end_ns, DRAINED, 0, 0, self.drain))
        elif self.mapped:
            due = min(dimm.due_ns for dimm in self.mapped.values())
            heapq.heappush(self.heap, (max(due, end), VISIT, 0, 0, None))


def first_sight(kind: ErrorKind, touch: Touch) -> Values:
    """Columns of the first sight of a page in a boot."""
    return {
        "kind": kind,
        "observer": touch.observer,
        "ce_count": None,
        "n_pages": int(touch.page.pfn >= 0),
        "first_pfn": touch.page.pfn if touch.page.pfn >= 0 else None,
        "first_time_ns": touch.time_ns,
        "last_time_ns": touch.time_ns,
        "path": touch.page.path,
        "first_ce_ns": None,
        "n_ce_before": 0,
    }


def down(kind: LifecycleKind, reason: LifecycleReason, end: int, dimm: int | None, processes: int) -> Values:
    """Columns of an interval without service."""
    return {"kind": kind, "reason": reason, "end_ns": end, "dimm": dimm, "processes_lost": processes}


def fault_values(batch: FaultTable, index: int) -> Values:
    """Columns of a fault."""
    one = batch.take(slice(index, index + 1))
    box = one.box
    columns = {
        "dimm": box.slot,
        "generation": one.generation,
        "rank": box.rank,
        "device": one.cells.device,
        "mode": one.mode,
        "persistence": one.hard.astype(np.int64) + one.habit.intermittent,
        "bank": box.bank,
        "row": box.row,
        "line": box.line,
        "n_banks": box.n_banks,
        "n_rows": box.n_rows,
        "n_lines": box.n_lines,
        "n_dq": one.cells.n_dq,
        "n_beats": one.cells.n_beats,
        "n_pages": one.n_pages,
        "first_pfn": one.first_pfn,
    }
    values: Values = {name: int(column[0]) for name, column in columns.items()}
    if values["mode"] == Mode.COMMAND_ADDRESS:
        placed = ("rank", "device", "bank", "row", "line", "n_banks", "n_rows", "n_lines", "n_dq", "n_beats")
        values |= {"n_pages": 0} | dict.fromkeys((*placed, "first_pfn"))
    return values


class Events(NamedTuple):
    """What happened to a node, not numbered yet."""

    faults: dict[int, Fault]
    """Faults that were in place, by name."""
    rows: list[Row]


def simulate_node(seed: Seed, node: int, hardware: Hardware, policy: Policy, horizon_ns: int) -> Events:
    """Simulate one node under one policy."""
    life = Life(seed, node, hardware, policy, horizon_ns).run()
    in_place = [fault for fault in life.faults if fault.removed_ns is None or fault.time_ns < fault.removed_ns]
    return Events({fault.name: fault for fault in in_place}, life.rows)


def number_rows(node: int, faults: dict[int, Fault], rows: list[Row]) -> dict[str, list[dict[str, int | None]]]:
    """Number the rows of a node, and lay them out as tables.

    Args:
        node: Its number.
        faults: All faults to be numbered, by name: those of this arm, or of all arms.
        rows: Other rows, in the order in which they were made.
    """
    ordered = sorted(faults.values(), key=lambda fault: (fault.generation, fault.time_ns, fault.tag))
    seq: dict[Fault | Row, int] = {}
    number = {fault.name: i for i, fault in enumerate(ordered)}
    tables: dict[str, list[dict[str, int | None]]] = {name: [] for name in TABLE_NAMES}
    for fault in ordered:
        head = {"time_ns": fault.time_ns, "node_id": node, "fault_id": fault.name, "seq": number[fault.name]}
        tables["faults"].append(head | fault.values)
    by_time = sorted(rows, key=lambda row: (row.time_ns, TABLE_RANK[row.table]))
    seq.update({row: len(ordered) + i for i, row in enumerate(by_time)})
    for row in by_time:
        cause = number[row.cause.name] if isinstance(row.cause, Fault) else seq[row.cause]
        head = {"time_ns": row.time_ns, "node_id": node, "fault_id": row.fault.name, "seq": seq[row]}
        values = {name: None if value is None else int(value) for name, value in row.values.items()}
        tables[row.table].append(head | {"cause_seq": cause} | values)
    return tables
