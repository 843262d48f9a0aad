"""A question about one DIMM design, from the words of the command line: names, sizes and rates checked together.

**Models.** Geometry, rates, code, rules and scrub period of one design.

**Leaves out.** Interleaving, the server around it.

**Assumes.** The scrubber has no phase: its rounds begin at multiples of the period.

**Sources.** Default design and its 61,320 hours: FaultSim at commit cb3350b, ``tests/statistical/test_lifetimes.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from node_sim.catalog.designs import DESIGNS
from node_sim.catalog.fit import RATE_GENERATIONS, RATE_TABLES
from node_sim.catalog.numbers import SCRUB_HOURS
from node_sim.catalog.parts import DDR2
from node_sim.dram.geometry import Dimm
from node_sim.dram.rates import FaultRates, table_rates
from node_sim.dram.screening import CountLaw
from node_sim.ecc.verdicts import misfit
from node_sim.errors import ConfigError, ModelError
from node_sim.guesses import one_of
from node_sim.server.hardware import FRAILTY_VARIANCE_LEAST
from node_sim.units import NS_PER_HOUR, NS_PER_YEAR

_COLUMNS_PER_LINE = 8
YEAR_NS: Final = 8760 * NS_PER_HOUR
"""Lifetimes are told in years of 365 days: FaultSim's seven are 61,320 hours."""
FAULTS_PER_LIFETIME_MAX: Final = 50.0
RULES: Final = ("codes", "faultsim")
EXTENTS: Final = ("partial", "whole")
FAULTSIM_CODES: Final = ("none", "secded", "chipkill")
"""Codes that FaultSim has rules for."""


@dataclass(frozen=True)
class Question:
    """A DIMM design and how it is judged.

    Attributes:
        dimm: Geometry.
        rates: Fault rates of one DIMM.
        horizon_ns: Length of a lifetime [ns].
        code: Name of the error-correcting design.
        rules: One of ``RULES``.
        scrub_ns: Soft faults stay until the next multiple of this [ns]; 0: they stay for ever.
        extents: How much of its row, column or bank a fault takes: one of ``EXTENTS``.
    """

    dimm: Dimm
    rates: FaultRates
    horizon_ns: int
    code: str
    rules: str
    scrub_ns: int
    extents: str

    def __post_init__(self) -> None:
        """Check that the rules can judge the design.

        Raises:
            ModelError: They cannot; every reason is given.
        """
        problems = []
        if self.rules == "faultsim" and self.code not in FAULTSIM_CODES:
            problems.append(f"--ecc {self.code}: expected one of {', '.join(FAULTSIM_CODES)} under faultsim rules")
        if self.rules == "faultsim" and self.extents != "whole":
            problems.append(f"--extents {self.extents}: expected whole under faultsim rules")
        if self.rules == "codes" and DESIGNS[self.code].by_algebra:
            others = ", ".join(name for name, design in DESIGNS.items() if not design.by_algebra)
            problems.append(
                f"--ecc {self.code}: expected one of {others}, as what it loses depends on how often a fault is read, "
                f"which no lifetime here knows; ask a scenario with ecc.code = {self.code}"
            )
        wrong = misfit(self.code, self.dimm) if self.rules == "codes" else None
        if wrong:
            problems.append(f"--ecc {self.code}: {wrong}; change --chips, --width or the code")
        if self.mean_faults > FAULTS_PER_LIFETIME_MAX:
            problems.append(
                f"--fit-factor: {self.mean_faults:.3g} faults expected per lifetime, expected at most "
                f"{FAULTS_PER_LIFETIME_MAX:g}; lower it, or --years"
            )
        if problems:
            raise ModelError("\n".join(problems))

    @cached_property
    def law(self) -> CountLaw:
        """Law of the number of faults of a lifetime."""
        return CountLaw.of(self.rates, self.horizon_ns)

    @property
    def mean_faults(self) -> float:
        """Expected faults of a lifetime."""
        return self.rates.total_per_year * self.horizon_ns / NS_PER_YEAR


def ask(  # noqa: PLR0913 - each is an option of the command
    *,
    ecc: str,
    rules: str,
    years: float,
    fit_table: str,
    fit_factor: float,
    chips: int | None,
    ranks: int,
    banks: int,
    rows: int,
    columns: int,
    width: str,
    frailty_variance: float,
    scrub_hours: float | None,
    extents: str | None,
) -> Question:
    """Return the question that options ask.

    Raises:
        ConfigError: A name or size is not possible; all mistakes at once.
        ModelError: The rules cannot judge the design.
    """
    extents = extents or ("whole" if rules == "faultsim" else "partial")
    known = (
        ("--ecc", ecc, tuple(DESIGNS)),
        ("--rules", rules, RULES),
        ("--fit-table", fit_table, tuple(RATE_TABLES)),
        ("--extents", extents, EXTENTS),
    )
    problems = [f"{option} {name}: {one_of(name, names)}" for option, name, names in known if name not in names]
    beats = DESIGNS[ecc].beats if ecc in DESIGNS and rules == "codes" else _COLUMNS_PER_LINE
    if columns % beats:
        problems.append(f"--columns {columns}: expected a multiple of {beats}, the columns of a line")
    if 0.0 < frailty_variance < FRAILTY_VARIANCE_LEAST:
        problems.append(
            f"--frailty-variance {frailty_variance}: expected 0, or {FRAILTY_VARIANCE_LEAST:g} and more, as less is "
            "no more than 0"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    pins = int(width)
    devices = chips or (DESIGNS[ecc].bits // pins if rules == "codes" else 18)
    # FaultSim's faults of a bit are one cell each.
    generation = RATE_GENERATIONS[fit_table] if rules == "codes" else DDR2
    scrub = scrub_hours if scrub_hours is not None else 0.0 if rules == "faultsim" else SCRUB_HOURS.value
    return Question(
        dimm=Dimm(ranks, devices, pins, banks, rows, columns // beats, beats, generation=generation),
        rates=table_rates(fit_table, devices * ranks, fit_factor=fit_factor, frailty_variance=frailty_variance),
        horizon_ns=round(years * YEAR_NS),
        code=ecc,
        rules=rules,
        scrub_ns=max(1, round(scrub * NS_PER_HOUR)) if scrub else 0,
        extents=extents,
    )
