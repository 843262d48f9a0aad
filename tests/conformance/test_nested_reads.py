"""Uncorrected reads nest: a code that fails less often, or a policy that takes pages away, only leaves some out.

Between arms this holds while nothing goes down and nobody dies; otherwise arms are offered the same reads.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from node_sim.codes import ErrorKind
from node_sim.draws import Seed
from node_sim.lives.block import BlockRows, simulate_block
from node_sim.server.hardware import Faults, Growth, Hardware
from node_sim.server.policy import Cordon, Ecc, PageOffline, Platform, Policy, Repair
from node_sim.server.risk import Risk
from node_sim.server.workload import Process, Use, Workload
from node_sim.units import NS_PER_YEAR

SEED, NODES = Seed.of(9), np.arange(300)
OFTEN = Risk(share_2dq=0.7, share_3dq=0.5, share_4dq=0.5, low=0.01, high=0.5)
CALM = Policy(
    ecc=Ecc("sddc_table", risk=OFTEN),
    repair=Repair(cordon=Cordon(ue=0)),
    platform=Platform(device_fatal_share=0.0, copy_share=1.0),
    workload=Workload(
        use=Use(free=0.1, kernel=0.0, anonymous=0.9, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0, hugetlb_1g=0.0),
        process=(Process(count=4, on_sigbus="recover"),),
    ),
)


@cache
def run(*policies: Policy, growth: float = 1.0) -> BlockRows:
    faults = Faults(fit_factor=10.0, command_address_fit=0.0, lane_fit=0.0, growth=Growth(factor=growth))
    return simulate_block(SEED, NODES, Hardware(faults=faults), policies, NS_PER_YEAR)


def rows(block: BlockRows, arm: int, table: str) -> list[dict[str, int]]:
    """Rows of a table in one arm."""
    parts = [part.tables[table] for part in block.parts if table in part.tables and (not part.arms or arm in part.arms)]
    return [
        dict(zip(part, cells, strict=True))
        for part in parts
        for cells in zip(*map(np.ndarray.tolist, part.values()), strict=True)
    ]


def first_ues(block: BlockRows, arm: int) -> dict[tuple[int, int], int]:
    """Time of the first uncorrected error of each fault and page: later ones there are no first sight."""
    found = [row for row in rows(block, arm, "errors") if row["kind"] == ErrorKind.UE]
    return {
        (row["fault_id"], row["first_pfn"]): row["time_ns"] for row in sorted(found, key=lambda row: -row["time_ns"])
    }


def test_pages_taken_offline_sooner_leave_fewer_of_the_same_errors():
    policies = [replace(CALM, page_offline=PageOffline(threshold)) for threshold in (0, 50, 2)]
    block = run(*policies)
    for arm in range(3):
        assert not rows(block, arm, "lifecycle")
    never, late, soon = (first_ues(block, arm) for arm in range(3))
    assert soon.keys() < late.keys() < never.keys()
    assert all(late[page] >= never[page] for page in late)
    assert all(soon[page] >= late[page] for page in soon)
    assert len(never) > 100


@pytest.mark.parametrize("risk", [replace(OFTEN, share_4dq=0.2), replace(OFTEN, share_2dq=0.0, share_3dq=0.0)])
def test_a_code_that_fails_less_often_leaves_some_of_the_same_errors(risk):
    block = run(CALM, replace(CALM, ecc=Ecc("sddc_table", risk=risk)), growth=0.0)
    often, seldom = (first_ues(block, arm) for arm in range(2))
    last: dict[int, int] = {}
    for (fault, _), time_ns in often.items():
        last[fault] = max(time_ns, last.get(fault, 0))
    # Only the first failures of a fault are looked for, so what fails less often is seen to fail for longer.
    early = {page: time_ns for page, time_ns in seldom.items() if time_ns <= last.get(page[0], time_ns)}
    assert len(seldom) / 2 < len(early) < len(often)
    assert early.keys() <= often.keys()
    assert all(early[page] >= often[page] for page in early)


@pytest.mark.parametrize("variant", ["structured", "random"])
def test_a_locator_of_more_bits_leaves_some_of_the_same_errors(variant):
    arms = [replace(CALM, ecc=Ecc("sddc_locator", locator_bits=bits, variant=variant)) for bits in (12, 16, 32)]
    block = run(*arms, growth=0.0)
    short, usual, long = (first_ues(block, arm) for arm in range(3))
    for more, fewer in ((short, usual), (usual, long)):
        last: dict[int, int] = {}
        for (fault, _), time_ns in more.items():
            last[fault] = max(time_ns, last.get(fault, 0))
        # As above: what fails less often is seen to fail for longer.
        early = {page: time_ns for page, time_ns in fewer.items() if time_ns <= last.get(page[0], time_ns)}
        assert early.keys() <= more.keys()
        assert all(early[page] >= more[page] for page in early)
        assert len(early) < len(more)
    assert len(short) > 100
    if variant == "structured":
        assert min(len(usual), len(long)) > 10


def test_without_risk_and_growth_the_weakened_code_is_chipkill():
    never = Risk(share_2dq=0.0, share_3dq=0.0, share_4dq=0.0, tail_2dq=0.0, tail_3dq=0.0, tail_4dq=0.0)
    blocks = [run(replace(CALM, ecc=ecc), growth=0.0) for ecc in (Ecc("sddc_table", risk=never), Ecc("chipkill"))]
    tables = [{name: rows(block, 0, name) for name in ("errors", "machine_checks", "lifecycle")} for block in blocks]
    met = [[row for row in table["errors"] if row["kind"] != ErrorKind.CE] for table in tables]
    assert met == [[], []]  # no two of these faults meet
    assert tables[0] == tables[1]
    assert len(tables[0]["errors"]) > 1000


def test_parents_are_the_same_with_growth():
    without, with_growth = run(CALM, growth=0.0), run(CALM, growth=3.0)
    names = set(without.faults["fault_id"].tolist())
    kept = np.isin(with_growth.faults["fault_id"], list(names))
    assert (~kept).sum() > 0
    for column, cells in without.faults.items():
        if column != "seq":
            order, other = np.argsort(without.faults["fault_id"]), np.argsort(with_growth.faults["fault_id"][kept])
            assert cells[order].tolist() == with_growth.faults[column][kept][other].tolist(), column
