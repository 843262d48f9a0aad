"""Page offlining at two errors under SECDED avoids what the law of reads allows, and no more.

Each erroneous read of a fault on several pins shows one pin and is corrected, or more and fails: with probability p,
drawn for the fault, read by read and independent. A page that goes offline at its second corrected error has its first
uncorrected one avoided only if the first two reads of the page were right: with (1 - p)², however many follow. For a
fault of one page the share avoided follows from the reads of each window: those of windows with a single one must be
right, and the first two of the first window that has more.

False-alarm rate 1e-6 per check.
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
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.names import fault_ids
from node_sim.server.hardware import Faults, Growth, Hardware
from node_sim.server.policy import Ecc, PageOffline
from node_sim.units import NS_PER_YEAR
from tests.conformance.test_nested_reads import CALM, first_ues
from tests.oracle.fault_growth import Draws, Fault, faults_of_table
from tests.oracle.read_codes import risk_of
from tests.oracle.wrong_reads import windows

SEED, NODES = Seed.of(9), np.arange(40_000)
HARDWARE = Hardware(faults=Faults(fit_factor=10.0, command_address_fit=0.0, lane_fit=0.0, growth=Growth(factor=0.0)))
SECDED = replace(CALM, ecc=Ecc("secded"), detection=replace(CALM.detection, scrub_hours=0.0))
"""Without patrol scrub, which reads pages that are offline, too."""
NARROW = (Mode.BIT, Mode.ROW)
Z = 4.9
"""Normal quantile of 1 - 5e-7."""


class Avoided(NamedTuple):
    """First uncorrected errors of pages: the most and the expected probability of each to be avoided, and the truth."""

    allowed: np.ndarray
    expected: np.ndarray
    avoided: np.ndarray


def p_visible(draws: Draws, fault: Fault) -> float:
    """Return the share of uncorrected reads among those that anybody sees: silent ones are left out."""
    risk = risk_of(draws, fault, SECDED.ecc)
    return risk.p * (1.0 - risk.silent) / (1.0 - risk.p * risk.silent)


def p_avoided(draws: Draws, fault: Fault, p: float) -> float:
    """Return how likely the first uncorrected error of a fault of one page is avoided, given that there is one."""
    reads = [window.reads for window in windows(draws, fault, SECDED, NS_PER_YEAR)]
    alone = next((i for i, n in enumerate(reads) if n > 1), None)
    if alone is None:
        return 0.0
    later = sum(reads) - alone - 2
    return (1.0 - p) ** (alone + 2) * (1.0 - (1.0 - p) ** later) / (1.0 - (1.0 - p) ** sum(reads))


@cache
def pages() -> dict[Mode, Avoided]:
    """Live nodes with hard faults on several pins; those with faults of many pages are left out."""
    table = simulate_faults(SEED, NODES, HARDWARE, NS_PER_YEAR)
    faults = dict(zip(fault_ids(table.node_id, table.tag).tolist(), faults_of_table(table), strict=True))
    wide = {fault.node for fault in faults.values() if fault.mode not in NARROW and (fault.hard or fault.n_dq > 1)}
    nodes = {fault.node for fault in faults.values() if fault.hard and fault.n_dq > 1} - wide
    arms = SECDED, replace(SECDED, page_offline=PageOffline(2))
    block = simulate_block(SEED, np.asarray(sorted(nodes)), HARDWARE, arms, NS_PER_YEAR)
    never, soon = (first_ues(block, arm) for arm in range(2))
    draws, found = Draws(SEED), defaultdict(list)
    for page, time_ns in never.items():
        fault = faults[page[0]]
        if fault.hard:
            p = p_visible(draws, fault)
            found[fault.mode].append(((1.0 - p) ** 2, p_avoided(draws, fault, p), soon.get(page) != time_ns))
    return {mode: Avoided(*map(np.asarray, zip(*rows, strict=True))) for mode, rows in found.items()}


@pytest.mark.parametrize("mode", NARROW)
def test_no_more_is_avoided_than_reads_allow(mode: Mode) -> None:
    allowed, _, avoided = pages()[mode]
    assert avoided.sum() <= allowed.sum() + Z * np.sqrt((allowed * (1.0 - allowed)).sum())
    assert allowed.sum() > 100


def test_of_faults_of_one_page_most_is_avoided_that_the_windows_make_likely() -> None:
    """The errors left to a window are spread over it anew: where most reads fail, the second comes later than it did.

    That costs 26 % here, all of faults on three pins and four. It may cost no more than 40.
    """
    _, expected, avoided = pages()[Mode.BIT]
    spread = Z * np.sqrt((expected * (1.0 - expected)).sum())
    assert 0.6 * expected.sum() - spread < avoided.sum() < expected.sum() + spread
