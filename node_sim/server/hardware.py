"""Frozen dataclasses of what no arm may change: the memory of a server, and how often it fails.

Every field carries its unit, a sentence, its allowed range and, where the default is a catalogue number, that number
with its source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from node_sim.catalog import evolution, numbers
from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.parts import PARTS, Part
from node_sim.catalog.sites import SITES, Site
from node_sim.errors import ConfigError
from node_sim.names import SLOTS_MAX
from node_sim.records import Floats, Ints
from node_sim.server.settings import Checked, check_settings, setting
from node_sim.units import BYTES_PER_GB, HOURS_PER_YEAR, LINES_PER_PAGE

FRAILTY_VARIANCE_LEAST = 1e-9
"""Below it, chances of counts are those of DIMMs that are all alike, to 1e-9 where a DIMM has a few faults."""
ADDRESS_MAPS = ("open_page", "closed_page", "contiguous")


@dataclass(frozen=True)
class Server(Checked):
    """Memory population and address map of a server."""

    sockets: int = setting(numbers.SOCKETS, "CPU sockets.", low=1, high=8)
    channels: int = setting(numbers.CHANNELS, "Memory channels per socket.", low=1, high=16)
    dimms_per_channel: int = setting(numbers.DIMMS_PER_CHANNEL, "DIMMs per channel.", low=1, high=3)
    ranks: int = setting(numbers.RANKS, "Ranks per DIMM.", low=1, high=8)
    part: str = setting("ddr4_16gb_x4", "DRAM part.", choices=tuple(PARTS))
    address_map: str = setting("open_page", "Interleaving of addresses.", choices=ADDRESS_MAPS)
    lockstep: bool = setting(False, "Whether pairs of ranks give a line together, as SSC-DSD needs.")

    def __post_init__(self) -> None:
        """Check that slots can be named and that rows of the address map do not share pages."""
        check_settings(self)
        problems = []
        if self.dimms > SLOTS_MAX:
            problems.append(f"sockets x channels x dimms_per_channel = {self.dimms}, expected at most {SLOTS_MAX}")
        if self.lockstep and self.ranks % 2:
            problems.append(f"ranks = {self.ranks}, expected an even number where lockstep = true")
        least = -(-LINES_PER_PAGE * (2 if self.lockstep else 1) // (self.dram.banks * self.dram.subchannels))
        if self.address_map == "closed_page" and self.channels * self.ranks < least:
            problems.append(f"channels x ranks = {self.channels * self.ranks}, expected >= {least} for closed_page")
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def dimms(self) -> int:
        """DIMM slots of the server."""
        return self.sockets * self.channels * self.dimms_per_channel

    @property
    def dimm_bytes(self) -> int:
        """Memory of one DIMM, check bits left out."""
        return self.ranks * self.dram.subchannels * self.dram.rank_bytes

    @property
    def memory_gb(self) -> float:
        """Memory of the server, check bits left out [GB of 2**30 bytes, as memory is sold]."""
        return self.dimms * self.dimm_bytes / BYTES_PER_GB

    @property
    def dram(self) -> Part:
        """The DRAM part."""
        return PARTS[self.part]

    @property
    def devices_per_dimm(self) -> int:
        """DRAM devices of a DIMM."""
        return self.ranks * self.dram.subchannels * self.dram.devices


@dataclass(frozen=True)
class Growth(Checked):
    """How often hard faults grow, and when. The same in every arm."""

    factor: float = setting(1.0, "Multiplies all shares below; 0 = faults stay as they start.", "1", low=0.0, high=3.0)
    share_1x1: float = setting(
        evolution.GROWTH_1X1, "Share of faults of one pin and beat that widen.", low=0.0, high=1.0
    )
    share_1xm: float = setting(evolution.GROWTH_1XM, "Of one pin and several beats.", low=0.0, high=1.0)
    share_2dq: float = setting(evolution.GROWTH_2DQ, "Of two pins.", low=0.0, high=1.0)
    share_3dq: float = setting(evolution.GROWTH_3DQ, "Of three pins.", low=0.0, high=1.0)
    share_4dq: float = setting(evolution.GROWTH_4DQ, "Of four pins.", low=0.0, high=1.0)
    second_device: float = setting(
        evolution.SECOND_DEVICE, "Share of faults that reach a second device.", low=0.0, high=1.0
    )
    hours_low: float = setting(evolution.GROWTH_HOURS_LOW, "Least time until they grow.", low=0.001, high=1e6)
    years_high: float = setting(evolution.GROWTH_YEARS_HIGH, "Greatest; log-uniform in between.", low=0.001, high=100.0)

    def __post_init__(self) -> None:
        """Check that the least time is below the greatest."""
        check_settings(self)
        if self.hours_low >= self.years_high * HOURS_PER_YEAR:
            msg = (
                f"hours_low = {self.hours_low:g} with years_high = {self.years_high:g}, expected hours_low "
                f"below {self.years_high * HOURS_PER_YEAR:g} hours"
            )
            raise ConfigError(msg)

    def by_class(self, n_dq: Ints, n_beats: Ints) -> Floats:
        """Return the share of faults that widen by the numbers of their pins and beats."""
        of_pins = np.asarray([0.0, self.share_1xm, self.share_2dq, self.share_3dq, self.share_4dq])
        return self.factor * np.where((n_dq == 1) & (n_beats == 1), self.share_1x1, of_pins[n_dq])


@dataclass(frozen=True)
class Faults(Checked):
    """How often DIMMs fail, and where they stand. The same in every arm."""

    rates: str = setting("ddr4_avg", "Table of fault rates by mode.", choices=tuple(RATE_TABLES))
    fit_factor: float = setting(1.0, "Multiplies every rate of the table.", "1", low=0.0, high=1e6)
    bit_factor: float = setting(1.0, "Multiplies its rates of bits once more.", "1", low=0.0, high=1e6)
    command_address_fit: float = setting(
        numbers.COMMAND_ADDRESS_FIT, "Rate of command/address faults, per DIMM.", low=0.0, high=1e9
    )
    command_address_transient_share: float = setting(
        numbers.COMMAND_ADDRESS_TRANSIENT_SHARE,
        "Share of them that pass: a command that is repeated succeeds.",
        low=0.0,
        high=1.0,
    )
    growth: Growth = field(default_factory=Growth)
    lane_fit: float = setting(numbers.LANE_FIT, "Rate of faults of one data lane, per DIMM.", low=0.0, high=1e9)
    frailty_variance: float = setting(
        numbers.FRAILTY_VARIANCE,
        "Variance of the factor by which hard rates of DIMMs differ.",
        low=0.0,
        high=100.0,
        least=FRAILTY_VARIANCE_LEAST,
    )
    intermittent_share: float = setting(
        numbers.INTERMITTENT_SHARE, "Share of hard faults that rest for most of the time.", low=0.0, high=1.0
    )
    speed_ratio: float = setting(1.0, "Transfer rate over that of the table's parts.", "1", low=0.1, high=10.0)
    infant_factor: float = setting(
        numbers.INFANT_FACTOR, "Extra rate of hard faults of a new DIMM, relative.", low=0.0, high=100.0
    )
    infant_months: float = setting(numbers.INFANT_MONTHS, "Time in which it falls to 1/e.", low=0.01, high=1200.0)
    wearout_factor: float = setting(
        numbers.WEAROUT_FACTOR, "Extra rate of hard faults of an old DIMM, relative.", low=0.0, high=100.0
    )
    oldest_years: float = setting(
        numbers.OLDEST_YEARS, "DIMMs are 0 to this old at the start, by node.", low=0.0, high=30.0
    )
    alpha_share: float = setting(
        numbers.ALPHA_SHARE, "Share of soft faults from alpha particles, which no site changes.", low=0.0, high=1.0
    )
    thermal_share: float = setting(
        numbers.THERMAL_SHARE, "Share of the upsets by neutrons that thermal ones make in the open.", low=0.0, high=1.0
    )
    thermal_factor: float = setting(
        numbers.THERMAL_FACTOR, "Thermal flux near the server over that in the open.", low=0.0, high=100.0
    )
    sun: str = setting("mean", "Solar activity.", choices=("quiet", "active", "mean"))
    extents: str = setting(
        "partial", "How much of its row, column or bank a fault takes.", choices=("partial", "whole")
    )
    site: str = setting("new_york", "Place: altitude and cutoff rigidity.", choices=tuple(SITES))

    @property
    def place(self) -> Site:
        """The site."""
        return SITES[self.site]


@dataclass(frozen=True)
class Hardware(Checked):
    """What no arm may change."""

    server: Server = field(default_factory=Server)
    faults: Faults = field(default_factory=Faults)
