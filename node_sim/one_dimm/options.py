"""From the words of a question about a DIMM design to the question: names, sizes and rates checked together."""

from __future__ import annotations

from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.numbers import SCRUB_HOURS
from node_sim.dram.geometry import Dimm
from node_sim.dram.rates import table_rates
from node_sim.ecc.verdicts import DESIGNS
from node_sim.errors import ConfigError
from node_sim.one_dimm.lifetimes import RULES, YEAR_NS, Question
from node_sim.units import NS_PER_HOUR

_COLUMNS_PER_LINE = 8


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
) -> Question:
    """Return the question that options ask.

    Raises:
        ConfigError: A name or size is not possible; all mistakes at once.
        ModelError: The rules cannot judge the design.
    """
    known = (("--ecc", ecc, tuple(DESIGNS)), ("--rules", rules, RULES), ("--fit-table", fit_table, tuple(RATE_TABLES)))
    problems = [
        f"{option} {name}: expected one of {', '.join(names)}" for option, name, names in known if name not in names
    ]
    beats = DESIGNS[ecc].beats if ecc in DESIGNS and rules == "codes" else _COLUMNS_PER_LINE
    if columns % beats:
        problems.append(f"--columns {columns}: expected a multiple of {beats}, the columns of a line")
    if problems:
        raise ConfigError("\n".join(problems))
    pins = int(width)
    devices = chips or (DESIGNS[ecc].bits // pins if rules == "codes" else 18)
    scrub = scrub_hours if scrub_hours is not None else 0.0 if rules == "faultsim" else SCRUB_HOURS.value
    return Question(
        dimm=Dimm(ranks, devices, pins, banks, rows, columns // beats, beats),
        rates=table_rates(fit_table, devices * ranks, fit_factor=fit_factor, frailty_variance=frailty_variance),
        horizon_ns=round(years * YEAR_NS),
        code=ecc,
        rules=rules,
        scrub_ns=max(1, round(scrub * NS_PER_HOUR)) if scrub else 0,
    )
