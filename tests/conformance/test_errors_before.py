"""``first_ce_ns`` and ``n_ce_before`` of uncorrected errors against the log of corrected ones, and against their reads.

Nothing goes down and no daemon takes pages offline, so until the first uncorrected error of a node every error that is
logged is seen; the event heap judges other lives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from node_sim.codes import ErrorKind, Mode
from node_sim.dram.faults import simulate_faults
from node_sim.dram.geometry import AddressMap
from node_sim.dram.growth import grow
from node_sim.draws import Seed
from node_sim.lives.block import BlockRows, simulate_block
from node_sim.names import fault_ids
from node_sim.server.hardware import Faults, Hardware
from node_sim.server.policy import Ecc, ErrorProcess, Policy
from node_sim.units import NS_PER_YEAR
from tests.conformance.test_nested_reads import CALM, rows
from tests.oracle import physics
from tests.oracle.fault_growth import Draws, Fault, faults_of_table

SEED = Seed.of(13)
HARDWARE = Hardware(faults=Faults(fit_factor=20.0, command_address_fit=0.0, lane_fit=0.0))
SLACK_NS = 10_000
"""Times of the oracle may differ by the last bits of floats."""
SECDED = replace(CALM, ecc=Ecc("secded"))
POLICIES = {
    "all logged": replace(SECDED, errors=ErrorProcess(ce_cap_per_day=10_000_000, ce_cap_per_quarter_hour=10_000_000)),
    "log full": replace(SECDED, errors=ErrorProcess(ce_cap_per_day=20)),
    "firmware": replace(SECDED, errors=ErrorProcess(firmware_threshold=3)),
    "storms": replace(SECDED, errors=ErrorProcess(storm="poll_1s", median_ce_per_window=100.0)),
    "no scrubber": replace(SECDED, detection=replace(CALM.detection, scrub_hours=0.0)),
    "table": CALM,
    "mirrored": replace(SECDED, ecc=Ecc("secded", mirroring=True)),
}


@cache
def nodes() -> np.ndarray:
    """Nodes with hard faults on several pins, but none on which reads fail all over the memory for ever."""
    born = simulate_faults(SEED, np.arange(800), HARDWARE, NS_PER_YEAR)
    table, _ = grow(SEED, born, HARDWARE, NS_PER_YEAR)
    several = table.hard & (table.cells.n_dq > 1)
    wide = ~np.isin(table.mode, [Mode.BIT, Mode.ROW])
    return np.setdiff1d(table.node_id[several], table.node_id[wide & (table.hard | (table.cells.n_dq > 1))])


@cache
def run(name: str) -> BlockRows:
    block = simulate_block(SEED, nodes(), HARDWARE, (POLICIES[name],), NS_PER_YEAR)
    assert not rows(block, 0, "lifecycle")
    return block


def errors_by_dimm(name: str) -> tuple[dict[tuple[int, int], list[dict[str, int]]], list[dict[str, int]]]:
    """Rows of corrected errors by node and DIMM, and all others, which gain the same key."""
    block = run(name)
    of_fault = dict(zip(block.faults["fault_id"].tolist(), block.faults["dimm"].tolist(), strict=True))
    corrected, others = defaultdict(list), []
    for row in rows(block, 0, "errors"):
        row["dimm"] = of_fault[row["fault_id"]]
        if row["kind"] == ErrorKind.CE:
            corrected[row["node_id"], row["dimm"]].append(row)
        else:
            others.append(row)
    return corrected, others


@pytest.mark.parametrize("name", POLICIES)
def test_they_are_what_the_log_shows_before(name: str) -> None:
    corrected, others = errors_by_dimm(name)
    for row in others:
        mine = [one for one in corrected[row["node_id"], row["dimm"]] if one["first_time_ns"] < row["time_ns"]]
        assert row["first_ce_ns"] == min((one["first_time_ns"] for one in mine), default=-1)
        under_way = [one for one in mine if one["last_time_ns"] >= row["time_ns"]]
        surely = sum(one["ce_count"] for one in mine) - sum(one["ce_count"] for one in under_way)
        fewest, most = surely + len(under_way), surely + sum(one["ce_count"] - 1 for one in under_way)
        assert fewest <= row["n_ce_before"] <= most
    assert len(others) > 20


@cache
def faults_beside() -> dict[int, dict[int, Fault]]:
    """Return the faults of the DIMM of each fault, all by name."""
    born = simulate_faults(SEED, nodes(), HARDWARE, NS_PER_YEAR)
    table, _ = grow(SEED, born, HARDWARE, NS_PER_YEAR)
    faults = dict(zip(fault_ids(table.node_id, table.tag).tolist(), faults_of_table(table), strict=True))
    of_dimm: dict[tuple[int, int], dict[int, Fault]] = defaultdict(dict)
    for name, fault in faults.items():
        of_dimm[fault.dimm][name] = fault
    return {name: of_dimm[fault.dimm] for name, fault in faults.items()}


def expected(policy: Policy, row: dict[str, int]) -> list[tuple[int, int]]:
    """Return how many corrected errors of the DIMM precede reads of the fault that fail then, and the first."""
    mine = faults_beside()[row["fault_id"]]
    one = physics.simulate(Draws(SEED), list(mine.values()), policy, AddressMap(HARDWARE.server), NS_PER_YEAR)
    soft = sorted(error.touch.time or 0 for error in one.soft_errors)
    first = min([part.first() for part in one.corrected] + soft, default=NS_PER_YEAR)
    found = []
    for read in one.reads:
        if read.fault is mine[row["fault_id"]] and abs(read.time - row["time_ns"]) <= SLACK_NS:
            before = sum(part.before(read.time) for part in one.corrected) + bisect_left(soft, read.time)
            found.append((before, first if before else -1))
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_as_many_are_before_as_the_oracle_has_read(name: str) -> None:
    n = 0
    others = sorted(errors_by_dimm(name)[1], key=lambda row: -row["time_ns"])
    for row in {row["node_id"]: row for row in others}.values():  # the first, for it may take its page out of use
        near = expected(POLICIES[name], row)
        if near:  # else a page of a soft fault, which is touched
            assert row["n_ce_before"] in {before for before, _ in near}, (row, near)
            assert any(abs(first - row["first_ce_ns"]) <= SLACK_NS for _, first in near)
            n += 1
    assert n > 20
