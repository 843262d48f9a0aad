"""Frozen dataclasses of what an arm may change: all about a server but its faults and its memory population.

As in ``hardware.py`` every field carries what is known about it; ``scenario show`` prints that, and nothing else needs
to know where a number came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from node_sim.catalog import numbers, sddc
from node_sim.catalog.designs import DESIGNS
from node_sim.catalog.profile import Profile
from node_sim.codes import EcsUnit, Mode
from node_sim.errors import ConfigError
from node_sim.records import Floats, Ints
from node_sim.server.hardware import Server
from node_sim.server.kernel import Kernel
from node_sim.server.own_policy import OwnPolicy
from node_sim.server.page_offline import PageOffline
from node_sim.server.risk import Risk
from node_sim.server.settings import COUNT_MAX, Checked, check_settings, setting
from node_sim.server.workload import Workload
from node_sim.units import HOURS_PER_DAY, hours_to_ns

SCRUB_HOURS_MAX = 8766.0
LEVEL_MIN = 0.001


@dataclass(frozen=True)
class Levels(Checked):
    """How many errors faults of each mode make in a window beside its first: multiplies the median.

    A window in which a fault is active has one error at least, whatever its level, so no level means "none".
    """

    bit: float = setting(numbers.CE_LEVEL_BIT, "Faults of a bit.", low=LEVEL_MIN, high=1e3)
    word: float = setting(numbers.CE_LEVEL_BIT, "Of a word.", low=LEVEL_MIN, high=1e3)
    column: float = setting(numbers.CE_LEVEL_COLUMN, "Of a column.", low=LEVEL_MIN, high=1e3)
    row: float = setting(numbers.CE_LEVEL_ROW, "Of a row.", low=LEVEL_MIN, high=1e3)
    bank: float = setting(numbers.CE_LEVEL_BANK, "Of a bank.", low=LEVEL_MIN, high=1e3)
    multi_bank: float = setting(numbers.CE_LEVEL_BANK, "Of several banks.", low=LEVEL_MIN, high=1e3)
    multi_rank: float = setting(numbers.CE_LEVEL_BANK, "Of several ranks.", low=LEVEL_MIN, high=1e3)
    command_address: float = setting(
        numbers.CE_LEVEL_COMMAND_ADDRESS, "Of command or address lines.", low=LEVEL_MIN, high=1e3
    )
    lane: float = setting(numbers.CE_LEVEL_LANE, "Of a data lane.", low=LEVEL_MIN, high=1e3)

    def by_mode(self) -> Floats:
        """Return the levels by ``Mode``."""
        return np.asarray([getattr(self, mode.text) for mode in Mode])


@dataclass(frozen=True)
class ErrorProcess(Checked):
    """How a fault produces corrected errors over time."""

    window_hours: float = setting(24.0, "Length of a counting window.", "h", low=1.0, high=720.0)
    burst_interval_days: float = setting(
        numbers.BURST_INTERVAL_DAYS, "Mean time between bursts of a permanent fault.", low=0.1, high=3650
    )
    burst_days: float = setting(numbers.BURST_DAYS, "Mean length of its bursts.", low=0.01, high=365.0)
    intermittent_interval_days: float = setting(
        numbers.INTERMITTENT_INTERVAL_DAYS, "The same for an intermittent fault.", low=0.1, high=3650
    )
    intermittent_days: float = setting(numbers.INTERMITTENT_DAYS, "Mean length of its bursts.", low=0.01, high=365.0)
    burst_spread: float = setting(
        numbers.BURST_SPREAD, "Lognormal sigma between faults of how often bursts come.", low=0.0, high=3.0
    )
    median_ce_per_window: float = setting(
        numbers.CE_MEDIAN_PER_WINDOW, "Median count of an active window.", low=0.01, high=1e6
    )
    level: Levels = field(default_factory=Levels)
    sigma_fault: float = setting(numbers.CE_SIGMA_FAULT, "Lognormal sigma between faults.", low=0.0, high=5.0)
    sigma_window: float = setting(numbers.CE_SIGMA_WINDOW, "Lognormal sigma between windows.", low=0.0, high=5.0)
    ce_cap_per_day: int = setting(numbers.CE_CAP_PER_DAY, "Logged errors saturate here.", low=1, high=10_000_000)
    ce_cap_per_quarter_hour: int = setting(
        numbers.CE_CAP_PER_QUARTER_HOUR, "The same within a burst.", low=1, high=10_000_000
    )
    storm: str = setting("none", "What the kernel does in a storm of CMCIs.", choices=("none", *numbers.CMCI_STORMS))
    firmware_threshold: int = setting(
        1,
        "Firmware reports every so many-th error of a fault and window; 1 = all.",
        low=1,
        high=10_000_000,
        role="policy",
    )
    scrub_share: float = setting(
        numbers.CE_SCRUB_SHARE, "Share of active windows whose errors the scrubber logs.", low=0.0, high=1.0
    )

    def saturation(self, quarters: Ints) -> Ints:
        """Return how many errors windows log at most, given in how many quarters of an hour they are active."""
        per_window = max(1, round(self.ce_cap_per_day * self.window_hours / HOURS_PER_DAY))
        return np.minimum(self.ce_cap_per_quarter_hour * quarters, per_window)


@dataclass(frozen=True)
class Ecc(Checked):
    """Error-correcting code of the memory controller."""

    code: str = setting("chipkill", "Code over a rank.", choices=tuple(DESIGNS))
    locator_bits: int = setting(
        sddc.LOCATOR_BITS_USUAL, "Bits of the locator of ``sddc_locator``.", choices=sddc.LOCATOR_BITS_CHOICES
    )
    variant: str = setting(
        "structured",
        "Its coefficients: powers and their squares, or drawn once and for all.",
        choices=sddc.LOCATOR_VARIANTS,
    )
    risk: Risk = field(default_factory=Risk)
    command_retry: bool = setting(
        True,
        "Whether a command with wrong parity is repeated (DDR4 on): some reads of such a fault are corrected.",
    )
    sparing: str = setting(
        "none",
        "ADDDC: what of a device is mapped out at the threshold, once per DIMM.",
        choices=("none", "adddc_bank", "adddc_rank"),
    )
    sparing_ce: int = setting(
        numbers.SPARING_CE, "Corrected errors of a fault in one window that start the sparing.", low=1, high=COUNT_MAX
    )
    mirroring: bool = setting(
        False, "Every line has a copy on another channel; costs half of the memory, which is not subtracted here."
    )
    ecs: str = setting(
        "off",
        "Error check and scrub of DDR5: whether devices count rows with wrong code words, or code words.",
        choices=("off", *EcsUnit.vocabulary()),
    )
    ecs_threshold: int = setting(
        numbers.ECS_THRESHOLD, "Smaller counts are not reported.", choices=numbers.ECS_THRESHOLDS.value
    )
    ecs_hours: float = setting(numbers.ECS_HOURS, "Time in which a device reads itself once.", low=1.0, high=720.0)


@dataclass(frozen=True)
class Detection(Checked):
    """How soon somebody reads a wrong word."""

    scrub_hours: float = setting(
        numbers.SCRUB_HOURS, "Patrol scrub: time to read all memory once; 0 = off.", low=0.0, high=SCRUB_HOURS_MAX
    )
    scrub_gb_per_day: float = setting(
        0.0,
        "Patrol scrub: pace, instead of scrub_hours; the period follows from the node's memory; 0 = use scrub_hours. "
        f"Intel's default is about {numbers.SCRUB_GB_PER_DAY.value:g} ({numbers.SCRUB_GB_PER_DAY.source}).",
        "GB/day",
        low=0.0,
        high=1e6,
    )
    hot_share: float = setting(numbers.HOT_SHARE, "Share of used pages that are hot.", low=0.0, high=1.0)
    hot_interval_s: float = setting(
        numbers.HOT_INTERVAL_S, "Mean time between DRAM accesses to a line of a hot page.", low=0.001, high=1e8
    )
    cold_interval_hours: float = setting(numbers.COLD_INTERVAL_HOURS, "The same for a cold page.", low=0.01, high=1e6)

    def __post_init__(self) -> None:
        """Check that the scrubber's period is given once."""
        check_settings(self)
        usual = numbers.SCRUB_HOURS.value
        if self.scrub_gb_per_day and self.scrub_hours != usual:
            msg = (
                f"scrub_gb_per_day = {self.scrub_gb_per_day:g} with scrub_hours = {self.scrub_hours:g}, expected one "
                f"of them (set scrub_gb_per_day to 0, or leave scrub_hours at {usual:g})"
            )
            raise ConfigError(msg)

    def on(self, server: Server) -> Self:
        """Settle the scrub period on a server: a pace becomes the hours that its memory takes.

        Raises:
            ConfigError: The pace is too slow for that much memory.
        """
        if not self.scrub_gb_per_day:
            return self
        days = server.memory_gb / self.scrub_gb_per_day
        if days * HOURS_PER_DAY > SCRUB_HOURS_MAX:
            msg = (
                f"detection.scrub_gb_per_day = {self.scrub_gb_per_day:g} takes {days:,.0f} days for the server's "
                f"{server.memory_gb:,.0f} GB, expected at most {SCRUB_HOURS_MAX / HOURS_PER_DAY:g} days (raise "
                "it, or set it to 0 and give scrub_hours)"
            )
            raise ConfigError(msg)
        return replace(self, scrub_hours=days * HOURS_PER_DAY, scrub_gb_per_day=0.0)

    @property
    def scrub_ns(self) -> int:
        """Time of one round of the scrubber [ns], 0 if it is off; settle the detection on a server first."""
        assert not self.scrub_gb_per_day, "a pace is no period before Policy.on(server)"
        return max(1, hours_to_ns(self.scrub_hours)) if self.scrub_hours else 0


@dataclass(frozen=True)
class Platform(Checked):
    """What the hardware can tell the kernel."""

    reporting: str = setting(
        "intel",
        "Who reports poison to the kernel, and as what: Intel's or AMD's machine checks, or records of a firmware that "
        "handles errors first (GHES).",
        choices=("intel", "amd", "firmware_first"),
    )
    mca_recovery: bool = setting(True, "Whether poison is reported as recoverable (MCG_SER_P; AMD: SUCCOR).")
    scrub_report: str = setting("ucna", "Intel: how the scrubber reports UE.", choices=("ucna", "srao"))
    writeback_report: str = setting(
        "none",
        "Intel: how the last-level cache reports poison in a line that it writes back after a store to a part of it.",
        choices=("none", "srao"),
    )
    partial_write_share: float = setting(
        numbers.PARTIAL_WRITE_SHARE,
        "Share of write accesses that fill a part of the line and leave its poison, where the cache reports that.",
        low=0.0,
        high=1.0,
    )
    data_load_recovery: bool = setting(
        True,
        "Intel: whether loads of poison are recoverable (SRAR: Xeon E7 v2, 2014, on; kernel 3.4 on); else they are "
        "fatal.",
    )
    deferred_interrupt: bool = setting(
        True,
        "AMD: whether deferred errors come by their interrupt, which the kernel takes no action on before 6.19, or "
        "are found by the poller.",
    )
    physical_address: bool = setting(
        False,
        "AMD: whether deferred errors name the page (PADDRV), or a normalized address that the kernel cannot use.",
    )
    firmware_latency_s: float = setting(
        numbers.FIRMWARE_LATENCY_S,
        "Firmware first: from the error to its record in the kernel; records that come meanwhile are lost.",
        low=0.0,
        high=3600.0,
    )
    device_fatal_share: float = setting(
        numbers.DEVICE_FATAL_SHARE, "Share of device reads of poison that bring the node down.", low=0.0, high=1.0
    )
    copy_share: float = setting(
        numbers.COPY_SHARE,
        "Share of kernel reads of user memory that copy from user space (write(), pipes), with a recovery entry.",
        low=0.0,
        high=1.0,
    )
    page_copy_share: float = setting(
        numbers.PAGE_COPY_SHARE,
        "Share of the other kernel reads of pages of processes and files that copy, compare or read() the page "
        "(copy-on-write, fork, khugepaged, KSM, migration, read()); which of them survive is the kernel's.",
        low=0.0,
        high=1.0,
    )
    controller_first_share: float = setting(
        numbers.CONTROLLER_FIRST_SHARE,
        "Share of reads of poison whose record of the memory controller wins against the machine check of the core.",
        low=0.0,
        high=1.0,
    )
    bank_busy_s: float = setting(
        numbers.BANK_BUSY_S, "How long an asynchronous record occupies its bank.", low=0.0, high=3600.0
    )
    work_latency_s: float = setting(
        numbers.WORK_LATENCY_S, "Mean delay of the memory_failure work.", low=0.0, high=3600.0
    )

    handler_base_us: float = setting(
        numbers.HANDLER_BASE_US, "Time that memory_failure() takes for a page that no process maps.", low=0.0, high=1e7
    )
    handler_mapping_us: float = setting(
        numbers.HANDLER_MAPPING_US, "What each process that maps the page adds to it.", low=0.0, high=1e6
    )

    @property
    def found_at_writeback(self) -> float:
        """Share of the write accesses to poison that leave it, and are reported when the line is written back."""
        return self.partial_write_share if self.writeback_report == "srao" else 0.0

    @property
    def report_delay_s(self) -> float:
        """Time from an asynchronous error to its record in the kernel [s]."""
        return self.firmware_latency_s if self.reporting == "firmware_first" else 0.0

    def record_entries(self, rules: Profile) -> int:
        """Asynchronous records that wait for the handler at most: of the firmware in its queue, else of the banks."""
        if self.reporting == "firmware_first":
            return numbers.QUEUE_ENTRIES.value
        ring = rules.keeps_records == "ring"
        return (numbers.RING_ENTRIES if ring else numbers.POOL_RECORDS).value

    @property
    def record_busy_s(self) -> float:
        """How long an asynchronous record is in the way of the next one of its channel [s]."""
        return self.firmware_latency_s if self.reporting == "firmware_first" else self.bank_busy_s


@dataclass(frozen=True)
class Cordon(Checked):
    """When a node is taken out of service."""

    ue: int = setting(numbers.CORDON_UE, "UEs (page and boot) since the last repair; 0 = never.", low=0, high=COUNT_MAX)
    drain_hours: float = setting(numbers.DRAIN_HOURS, "Time to drain.", low=0.0, high=8766.0)


PPR_KINDS = ("off", "soft", "hard")


@dataclass(frozen=True)
class Repair(Checked):
    """What follows a panic or a cordon."""

    reboot_minutes: float = setting(numbers.REBOOT_MINUTES, "Time down after a panic.", low=0.01, high=525960.0)
    replace_hours: float = setting(
        numbers.REPLACE_HOURS, "Time to replace the DIMMs that are due.", low=0.0, high=8766.0
    )
    replace_ce: int = setting(
        0,
        "Logged corrected errors of a DIMM in one window at which it is replaced; 0 = off. Published per DIMM "
        f"and 24 h: Intel {numbers.REPLACE_CE_INTEL.value}, Oracle {numbers.REPLACE_CE_ORACLE.value}, "
        f"mcelog {numbers.REPLACE_CE_MCELOG.value}.",
        low=0,
        high=COUNT_MAX,
        role="policy",
    )
    replace_risky: bool = setting(
        False,
        "Whether a DIMM is replaced at its first corrected error with wrong bits in both halves of a x4 device's data "
        f"pins, the risky pattern of Huawei ({sddc.RISKY_SOURCE}).",
    )
    replace_ecs: bool = setting(False, "Whether a DIMM is replaced at the first report of its error check and scrub.")
    ppr: str = setting(
        "off",
        "Post-package repair at boot of one-row faults that had a UE or reached replace_ce; soft is lost at power-off.",
        choices=PPR_KINDS,
    )
    map_out: bool = setting(
        False,
        "Whether the boot after a panic maps out the DIMMs that had a UE, and the node goes on without them; a cordon "
        "replaces DIMMs as ever.",
    )
    technician_days: float = setting(
        numbers.TECHNICIAN_DAYS,
        "Median time from that boot until a technician replaces the DIMM, unless a cordon's repair comes earlier.",
        low=0.0,
        high=3653.0,
    )
    technician_sigma: float = setting(
        numbers.TECHNICIAN_SIGMA, "Lognormal sigma of that time between DIMMs.", low=0.0, high=3.0
    )
    cordon: Cordon = field(default_factory=Cordon)


@dataclass(frozen=True)
class Policy(Checked):
    """Everything about a server that an arm may change: all but its faults and its memory population."""

    errors: ErrorProcess = field(default_factory=ErrorProcess)
    ecc: Ecc = field(default_factory=Ecc)
    detection: Detection = field(default_factory=Detection)
    platform: Platform = field(default_factory=Platform)
    workload: Workload = field(default_factory=Workload)
    kernel: Kernel = field(default_factory=Kernel)
    page_offline: PageOffline = field(default_factory=PageOffline)
    repair: Repair = field(default_factory=Repair)
    own_policy: OwnPolicy = field(default_factory=OwnPolicy)

    def on(self, server: Server) -> Self:
        """Settle what depends on the server, or on the kernel; the rest is asked about settled policies only.

        Raises:
            ConfigError: A setting does not suit the server.
        """
        detection = self.detection.on(server)
        page_offline = self.page_offline.on(self.kernel.rules, amd=self.platform.reporting == "amd")
        if detection is self.detection and page_offline is self.page_offline:
            return self
        return replace(self, detection=detection, page_offline=page_offline)
