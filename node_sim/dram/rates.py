"""Fault rates of one DIMM: published tables scaled by site, speed and age.

**Models.** Rates by mode, soft and hard. Soft rates scale with the neutron flux at the site, apart from an alpha share;
part of the neutrons may be thermal, whose flux the surroundings change. Hard rates vary between DIMMs (frailty) and
with age. Lanes and command/address lines have rates per DIMM.

**Leaves out.** Temperature, load, short-term solar events.

**Assumes.** All tables are rates at the flux of New York City and at the speed of the parts they were measured on. A
DIMM's frailty multiplies all its hard rates alike and no soft rate: neutrons do not know the DIMM.

**Sources.** ``catalog/fit.py``, ``catalog/numbers.py``; flux: ``cosmic.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.numbers import SPEED_EXPONENT
from node_sim.codes import Mode
from node_sim.dram.ageing import peak_hazard
from node_sim.dram.cosmic import flux_relative
from node_sim.records import Flags, Floats, Ints
from node_sim.server.hardware import Faults, Hardware
from node_sim.units import NS_PER_YEAR, fit_to_per_year

_SETTINGS: Final = {Mode.COMMAND_ADDRESS: "command_address_fit", Mode.LANE: "lane_fit"}
"""Settings that are rates of their own; ``fit_factor`` multiplies those of the table."""


@dataclass(frozen=True)
class FaultRates:
    """Rates of one DIMM by category: first those of soft faults, then those of hard ones.

    Attributes:
        mode: Mode of each category, shape ``(n,)``.
        hard: Whether the category is permanent, shape ``(n,)``.
        per_year: Faults per DIMM and year, shape ``(n,)``.
        frailty_variance: Variance of the factor by which the hard rates of DIMMs differ; its mean is 1.
        bit_factor: What the rates of bits are multiplied by beside ``fit_factor``.
    """

    mode: Ints
    hard: Flags
    per_year: Floats
    frailty_variance: float = 0.0
    bit_factor: float = 1.0

    @property
    def steepest(self) -> str:
        """The setting that makes most of the faults: what to lower if there are too many."""
        by_number = list(Mode)
        keys = [_SETTINGS.get(by_number[mode], "fit_factor") for mode in self.mode.tolist()]
        share: dict[str, float] = dict.fromkeys(keys, 0.0)
        for key, per_year in zip(keys, self.per_year.tolist(), strict=True):
            share[key] += per_year
        found = max(share, key=share.__getitem__)
        bits = float(self.per_year[self.mode == Mode.BIT].sum())
        return "bit_factor" if found == "fit_factor" and bits > share[found] / 2 and self.bit_factor > 1 else found

    @property
    def soft_per_year(self) -> float:
        """Soft faults per DIMM and year."""
        return float(self.per_year[~self.hard].sum())

    @property
    def hard_per_year(self) -> float:
        """Hard faults per DIMM and year."""
        return float(self.per_year[self.hard].sum())

    @property
    def total_per_year(self) -> float:
        """Faults of all categories per DIMM and year."""
        return self.soft_per_year + self.hard_per_year


def soft_scale(faults: Faults) -> float:
    """Return the rate of soft faults at the site over that at New York City."""
    flux = flux_relative(faults.place.altitude_m, faults.place.cutoff_gv, faults.sun)
    neutrons = 1.0 - faults.thermal_share + faults.thermal_share * faults.thermal_factor
    return faults.alpha_share + (1.0 - faults.alpha_share) * flux * neutrons


def fault_rates(hardware: Hardware) -> FaultRates:
    """Work out the fault rates of one DIMM at its site; the hard ones at the age at which they are highest."""
    faults = hardware.faults
    return table_rates(
        faults.rates,
        hardware.server.devices_per_dimm,
        fit_factor=faults.fit_factor * faults.speed_ratio**SPEED_EXPONENT.value,
        bit_factor=faults.bit_factor,
        soft_scale=soft_scale(faults),
        hard_scale=peak_hazard(faults),
        per_dimm=[
            (Mode.COMMAND_ADDRESS, False, faults.command_address_fit * faults.command_address_transient_share),
            (Mode.COMMAND_ADDRESS, True, faults.command_address_fit * (1.0 - faults.command_address_transient_share)),
            (Mode.LANE, True, faults.lane_fit),
        ],
        frailty_variance=faults.frailty_variance,
    )


def table_rates(  # noqa: PLR0913 - each is an option
    table: str,
    devices: int,
    *,
    fit_factor: float = 1.0,
    bit_factor: float = 1.0,
    soft_scale: float = 1.0,
    hard_scale: float = 1.0,
    per_dimm: Iterable[tuple[Mode, bool, float]] = (),
    frailty_variance: float = 0.0,
) -> FaultRates:
    """Multiply out a published table.

    Args:
        table: Name of the table.
        devices: Devices of a DIMM.
        fit_factor: Multiplies every rate of the table.
        bit_factor: Multiplies those of bits once more.
        soft_scale: Multiplies the rates of soft faults.
        hard_scale: Multiplies the rates of all hard faults.
        per_dimm: Further modes, whether their faults are hard, and their rates, which no site changes [FIT/DIMM].
        frailty_variance: See ``FaultRates``.
    """
    entries = RATE_TABLES[table].items()
    factor = {mode: devices * fit_factor * (bit_factor if mode is Mode.BIT else 1.0) for mode, _ in entries}
    soft = [(mode, transient.value * factor[mode] * soft_scale) for mode, (transient, _) in entries]
    hard = [(mode, permanent.value * factor[mode] * hard_scale) for mode, (_, permanent) in entries]
    soft += [(mode, fit) for mode, stays, fit in per_dimm if not stays and fit]
    hard += [(mode, fit * hard_scale) for mode, stays, fit in per_dimm if stays]
    return FaultRates(
        mode=np.asarray([mode for mode, _ in soft + hard], np.int64),
        hard=np.arange(len(soft) + len(hard)) >= len(soft),
        per_year=np.asarray([fit_to_per_year(fit) for _, fit in soft + hard], np.float64),
        frailty_variance=frailty_variance,
        bit_factor=bit_factor,
    )


def expected_per_dimm(hardware: Hardware, horizon_ns: int) -> float:
    """Return the expected faults of one DIMM over the horizon, before any are dropped for the DIMM's age."""
    return fault_rates(hardware).total_per_year * horizon_ns / NS_PER_YEAR
