"""Page offlining at two errors under SECDED avoids what the law of reads expects, no more and no less.

Each erroneous read of a fault on several pins shows one pin and is corrected, or more and fails: with probability p,
drawn for the fault, read by read and independent. A page that goes offline at its second corrected error of a window
has its first uncorrected one avoided if that error comes first. Of a fault of one page the reads of each window are
those of the page, so the probability is exact; of one of several pages each read is on the page of its number.

False-alarm rate 1e-6 per check: reads of different pages are independent, so the count is Poisson-binomial.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.dram.faults import simulate_faults
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.names import fault_ids
from node_sim.server.hardware import Faults, Growth, Hardware
from node_sim.server.policy import Ecc, PageOffline
from node_sim.server.workload import Use
from node_sim.units import NS_PER_YEAR
from tests.conformance.test_nested_reads import CALM, first_ues
from tests.oracle.fault_growth import Draws, Fault, faults_of_table, walk_over
from tests.oracle.read_codes import ReadRisk, risk_of
from tests.oracle.wrong_reads import windows

SEED = Seed.of(9)
SIZES = pytest.mark.parametrize("nodes", [16_000, pytest.param(40_000, marks=pytest.mark.long)])
HARDWARE = Hardware(faults=Faults(fit_factor=10.0, command_address_fit=0.0, lane_fit=0.0, growth=Growth(factor=0.0)))
ALL_USED = Use(free=0.0, kernel=0.0, anonymous=1.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0, hugetlb_1g=0.0)
SECDED = replace(
    CALM,
    ecc=Ecc("secded"),
    detection=replace(CALM.detection, scrub_hours=0.0),
    workload=replace(CALM.workload, use=ALL_USED),
)
"""Without patrol scrub, which reads pages that are offline, too, and without memory that nobody reads."""
NARROW = (Mode.BIT, Mode.ROW)
ALPHA = 1e-6
P_MOST = 1.0 - 2.0**-10
TERMS = 64
"""So many silent reads in a row do not happen."""
SHORT = 0.85
"""Of what reads allow, faults of several pages have this share avoided at least."""


class Avoided(NamedTuple):
    """First uncorrected errors of pages: how likely each is avoided, whether it is, and of how many pages its fault."""

    expected: np.ndarray
    avoided: np.ndarray
    n_pages: np.ndarray


def p_avoided(reads: list[int], risk: ReadRisk) -> float:
    """Return how likely the first uncorrected error of a page is avoided, given that there is one.

    Args:
        reads: Of the page in each window.
        risk: Of each read.
    """
    p = min(risk.p, P_MOST)
    right, loud, silent = 1.0 - p, p * (1.0 - risk.silent), p * risk.silent
    left, still, found = sum(reads), 1.0, 0.0
    for n in reads:
        for t in range(2, min(n, TERMS) + 1):  # the second corrected error is read t, the one before any of the others
            found += still * (t - 1) * right**2 * silent ** (t - 2) * (1.0 - (1.0 - loud) ** (left - t))
        left -= n
        still *= silent**n + (n * right * silent ** (n - 1) if n else 0.0)
    return found / (1.0 - (1.0 - loud) ** sum(reads))


def pages_in_order(draws: Draws, fault: Fault, address_map: AddressMap) -> list[int]:
    """Return the pages of a fault in the order in which it shows errors on them."""
    box = Footprint(*(np.asarray([part]) for part in fault.box))
    n_pages = int(address_map.page_count(box)[0])
    walk = walk_over(draws, fault, n_pages)
    places = np.asarray([walk.place(number) for number in range(n_pages)])
    found: list[int] = address_map.page(Footprint(*(np.repeat(part, n_pages) for part in box)), places).tolist()
    return found


@cache
def pages(nodes: int) -> dict[Mode, Avoided]:
    """Live nodes with hard faults on several pins; those with faults of many pages are left out."""
    every = simulate_faults(SEED, np.arange(nodes), HARDWARE, NS_PER_YEAR)
    several = every.cells.n_dq > 1
    wide = every.node_id[~np.isin(every.mode, NARROW) & (every.hard | several)]
    alike = np.setdiff1d(every.node_id[every.hard & several], wide)
    table = every.take(np.flatnonzero(np.isin(every.node_id, alike)))
    faults = dict(zip(fault_ids(table.node_id, table.tag).tolist(), faults_of_table(table), strict=True))
    arms = SECDED, replace(SECDED, page_offline=PageOffline(2))
    block = simulate_block(SEED, alike, HARDWARE, arms, NS_PER_YEAR)
    never, soon = (first_ues(block, arm) for arm in range(2))
    draws, address_map, found = Draws(SEED), AddressMap(HARDWARE.server), defaultdict(list)
    by_fault = defaultdict(list)
    for page, time_ns in never.items():
        by_fault[page[0]].append((page, time_ns))
    for name, of_fault in by_fault.items():
        fault = faults[name]
        if fault.hard:
            order, risk = pages_in_order(draws, fault, address_map), risk_of(draws, fault, SECDED.ecc)
            n_reads, n = [window.reads for window in windows(draws, fault, SECDED, NS_PER_YEAR)], len(order)
            for page, time_ns in of_fault:
                reads = [len(range(order.index(page[1]), number, n)) for number in n_reads]
                found[fault.mode].append((p_avoided(reads, risk), soon.get(page) != time_ns, n))
    return {mode: Avoided(*map(np.asarray, zip(*rows, strict=True))) for mode, rows in found.items()}


def tails(p: np.ndarray, count: int) -> tuple[float, float]:
    """Return how likely as few, and as many, of independent events happen."""
    law = np.ones(1)
    for one in p:
        law = np.convolve(law, (1.0 - one, one))
    return float(law[: count + 1].sum()), float(law[count:].sum())


def one_page(nodes: int) -> Avoided:
    """Those of faults of one page."""
    every = Avoided(*(np.concatenate(parts) for parts in zip(*pages(nodes).values(), strict=True)))
    return Avoided(*(part[every.n_pages == 1] for part in every))


@SIZES
def test_of_faults_of_one_page_as_many_are_avoided_as_the_law_of_reads_expects(nodes: int) -> None:
    expected, avoided, _ = one_page(nodes)
    assert min(tails(expected, int(avoided.sum()))) > ALPHA / 2
    assert expected.sum() > nodes / 200


@SIZES
def test_also_where_most_reads_fail(nodes: int) -> None:
    """There the second corrected error of a window comes late among its reads, and usually after the first failure."""
    expected, avoided, _ = one_page(nodes)
    seldom = (expected > 0.0) & (expected < 0.25)
    assert min(tails(expected[seldom], int(avoided[seldom].sum()))) > ALPHA / 2
    assert expected[seldom].sum() > nodes / 800
    assert not avoided[expected == 0.0].any()


@SIZES
@pytest.mark.parametrize("mode", NARROW)
def test_no_more_is_avoided_than_reads_allow(mode: Mode, nodes: int) -> None:
    expected, avoided, _ = pages(nodes)[mode]
    assert tails(expected, int(avoided.sum()))[1] > ALPHA
    assert expected.sum() > nodes / 400


@SIZES
def test_of_faults_of_several_pages_little_less_is_avoided(nodes: int) -> None:
    """Errors go on from page to page as if no read had failed in between: a page's second comes a little late.

    That costs 8 % here. It may cost no more than 15.
    """
    expected, avoided, _ = pages(nodes)[Mode.ROW]
    assert tails(SHORT * expected, int(avoided.sum()))[0] > ALPHA
