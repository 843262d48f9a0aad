"""The command about one DIMM design: dram."""

from __future__ import annotations

import math
import time
from typing import Any

import click

from fleet.commands.printing import print_json, say_fitted
from node_sim.catalog.designs import DESIGNS
from node_sim.catalog.numbers import SCRUB_HOURS

_LIFETIMES_MAX = 1 << 33
_CODES = [name for name, design in DESIGNS.items() if not design.by_algebra]


class _Range(click.FloatRange):
    """Numbers of a range; nan, which no comparison excludes, is not one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


@click.command("dram")
@click.option("--ecc", metavar="NAME", default="secded", show_default=True, help=f"{'|'.join(_CODES)}.")
@click.option("--rules", metavar="NAME", default="codes", show_default=True, help="codes|faultsim; see above.")
@click.option(
    "--lifetimes", type=click.IntRange(1, _LIFETIMES_MAX), default=1_000_000, show_default=True, help="DIMMs."
)
@click.option("--years", type=_Range(0.001, 100.0), default=7.0, show_default=True, help="Of 8,760 hours.")
@click.option("--fit-table", metavar="NAME", default="ddr2_jaguar", show_default=True, help="Rates by mode.")
@click.option("--fit-factor", type=_Range(0.0, 1e6), default=1.0, show_default=True, help="Multiplies them.")
@click.option(
    "--frailty-variance",
    type=_Range(0.0, 100.0),
    default=0.0,
    show_default=True,
    help="Variance of the factor by which hard rates of DIMMs differ; 0 = all alike.",
)
@click.option("--chips", type=click.IntRange(1, 256), help="Chips of a rank.  [default: as the code needs; 18]")
@click.option("--ranks", type=click.IntRange(1, 16), default=1, show_default=True, help="Ranks of the DIMM.")
@click.option("--banks", type=click.IntRange(1, 1024), default=8, show_default=True, help="Banks of a chip.")
@click.option("--rows", type=click.IntRange(1, 1 << 24), default=16384, show_default=True, help="Rows of a bank.")
@click.option("--columns", type=click.IntRange(1, 1 << 20), default=2048, show_default=True, help="Columns of a row.")
@click.option(
    "--width", type=click.Choice(["4", "8", "16"]), default="4", show_default=True, help="Data pins of a chip."
)
@click.option(
    "--scrub-hours",
    type=_Range(0.0, 1e6),
    help=f"Soft faults stay until the next scrub; 0 = for ever.  [default: {SCRUB_HOURS.value:g}; faultsim: 0]",
)
@click.option(
    "--extents",
    metavar="NAME",
    help="partial|whole: how much of its row, column or bank a fault takes.  [default: partial; faultsim: whole]",
)
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), default=1, show_default=True, help="Of all draws.")
@click.option(
    "--dump", metavar="K", type=click.IntRange(0, _LIFETIMES_MAX - 1), help="Show the faults of lifetime K instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def dram_command(dump: int | None, as_json: bool, lifetimes: int, seed: int, **options: Any) -> None:
    """Tell how reliable one DIMM design is, without a kernel.

    Rules "codes": faults take part of their row, column or bank (or all of it: --extents whole) and some pins, and
    real codes judge the lines.

    Rules "faultsim": the rules of FaultSim, for comparison on equal terms. Faults take all of it, soft faults stay for
    ever, and devices are counted: two whose faults meet are uncorrectable; a fault that has met two more, be it at
    different times, is silent.
    """
    from analysis.estimators.reliability import reliability_document, reliability_lines
    from node_sim.draws import Seed
    from node_sim.one_dimm.question import ask
    from node_sim.one_dimm.simulate import describe_lifetime, simulate_lifetimes

    question, stream = ask(**options), Seed.of(seed)
    if dump is not None:
        rows = describe_lifetime(stream, question, dump)
        lines = [" ".join(f"{name}={value}" for name, value in row.items()) for row in rows]
        if as_json:
            print_json("dram-lifetime", {"lifetime": dump, "faults": rows})
        else:
            say_fitted(lines or ["no faults"])
        return
    begun = time.perf_counter()
    counts = simulate_lifetimes(stream, question, lifetimes)
    found = reliability_document(counts, time.perf_counter() - begun)
    if as_json:
        print_json("dram", found)
    else:
        say_fitted(reliability_lines(found))
