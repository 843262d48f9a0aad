"""Lifetimes of one DIMM judged one after the other: which fault fails alone, which two meet, which is silent.

Shared with the product: the faults and what they touch, the named draws, the layout of the codes. The verdicts are
those of ``read_codes.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from node_sim.catalog.designs import DESIGNS
from node_sim.codes import Mode
from node_sim.dram.geometry import Dimm
from node_sim.draws import Purpose, Seed
from node_sim.server.policy import Ecc
from tests.oracle.fault_growth import Box, Draws, Fault
from tests.oracle.named_draws import unit32
from tests.oracle.read_codes import fail_together, risk_of, silent_together


@dataclass(frozen=True)
class Design:
    """How lifetimes are judged: code, geometry, and after how many nanoseconds soft faults are gone (0: never)."""

    code: str
    dimm: Dimm
    scrub: int


@dataclass(frozen=True)
class Failure:
    """A first uncorrectable read: the later fault, the earlier one that it met (none: alone), the silent share."""

    later: Fault
    earlier: Fault | None
    silent: float

    @property
    def cause(self) -> tuple[Mode, ...]:
        """Modes of the fault or the two, sorted."""
        return tuple(sorted([self.later.mode] + ([self.earlier.mode] if self.earlier else [])))


def share_lines(a: Box, b: Box, dimm: Dimm) -> bool:
    """Say whether boxes have a line in common: ranks and banks run around, rows and lines do not."""

    def around(first: int, n: int, size: int) -> set[int]:
        return {(first + step) % size for step in range(n)}

    return (
        bool(around(a.rank, a.n_ranks, dimm.ranks) & around(b.rank, b.n_ranks, dimm.ranks))
        and bool(around(a.bank, a.n_banks, dimm.banks) & around(b.bank, b.n_banks, dimm.banks))
        and max(a.row, b.row) < min(a.row + a.n_rows, b.row + b.n_rows)
        and max(a.line, b.line) < min(a.line + a.n_lines, b.line + b.n_lines)
    )


def first_failure(seed: Seed, faults: list[Fault], design: Design) -> Failure | None:
    """Walk through the faults of one lifetime until a read is not corrected."""
    draws, ecc, seen = Draws(seed), Ecc(design.code), list[Fault]()
    for fault in sorted(faults, key=lambda fault: fault.time):
        alone = risk_of(draws, fault, ecc)
        if alone.p > 0:
            return Failure(fault, None, alone.silent)
        for other in seen if DESIGNS[design.code].block_code else []:
            stays = other.hard or not design.scrub or other.time // design.scrub == fault.time // design.scrub
            if stays and share_lines(other.box, fault.box, design.dimm) and fail_together(design.code, other, fault):
                return Failure(fault, other, silent_together(design.code, other, fault))
        seen.append(fault)
    return None


def causes(seed: Seed, lifetimes: Iterator[list[Fault]], design: Design) -> tuple[Counter[tuple[Mode, ...]], ...]:
    """Count the causes of the first uncorrectable reads, and of those among them that are silent."""
    uncorrected, silent = Counter[tuple[Mode, ...]](), Counter[tuple[Mode, ...]]()
    for faults in lifetimes:
        failure = first_failure(seed, faults, design)
        if failure:
            uncorrected[failure.cause] += 1
            drawn = unit32(Draws(seed)(Purpose.OUTCOME, failure.later.node, failure.later.tag)[0])
            silent[failure.cause] += drawn < failure.silent
    return uncorrected, silent
