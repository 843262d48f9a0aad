"""A change of one setting moves the rows of the nodes that it is about, and no byte of any other node's.

Which nodes a change is about is read in the table of faults alone; of all others every table, column and number is the
same, over 5,000 nodes (20,000 as ``long``).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from node_sim.codes import Mode
from node_sim.columns import TABLES
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.server.hardware import Faults, Growth, Hardware, Server
from node_sim.server.policy import Cordon, Ecc, PageOffline, Policy, Repair, Risk
from node_sim.units import NS_PER_YEAR

SEED = Seed.of(31)
SIZES = pytest.mark.parametrize("n", [5_000, pytest.param(20_000, marks=pytest.mark.long)])
CHILD = 0b11 << 14
"""Bits of the ordinal that mark what another fault grew to."""
NEVER = Risk(share_2dq=0.0, share_3dq=0.0, share_4dq=0.0, tail_2dq=0.0, tail_3dq=0.0, tail_4dq=0.0)
OLD = Faults(fit_factor=1.0, command_address_fit=0.0, growth=Growth(factor=0.0))
DDR4, DDR5 = Server(), Server(part="ddr5_16gb_x4")
LIMITS = Policy(page_offline=PageOffline(2), repair=Repair(replace_ce=500, cordon=Cordon(ue=2)))
SERVERS = {
    "chipkill": (DDR4, replace(LIMITS, ecc=Ecc("chipkill"))),
    "secded": (DDR4, replace(LIMITS, ecc=Ecc("secded"))),
    "ddr5": (DDR5, replace(LIMITS, ecc=Ecc("ddr5", ecs="rows"))),
}
"""A server of each kind, with a policy that acts on what it sees."""
Table = dict[str, np.ndarray]
Tables = dict[str, Table]


@cache
def simulate(n: int, server: Server, faults: Faults, policy: Policy) -> Tables:
    """All rows of one arm by table, ordered by node and number."""
    block = simulate_block(SEED, np.arange(n), Hardware(server, faults), (policy,), NS_PER_YEAR)
    found = {}
    for name, columns in TABLES.items():
        parts = (
            [part.tables[name] for part in block.parts if name in part.tables] if name != "faults" else [block.faults]
        )
        if parts:
            rows = {c.name: np.concatenate([np.asarray(part[c.name], np.int64) for part in parts]) for c in columns}
            order = np.lexsort((rows["seq"], rows["node_id"]))
            found[name] = {column: cells[order] for column, cells in rows.items()}
    return found


def differing(n: int, first: Tables, second: Tables) -> np.ndarray:
    """Which nodes have any other row in the one than in the other, by all columns of all their rows."""
    differ = np.zeros(n, np.bool_)
    for name, columns in TABLES.items():
        empty = {column.name: np.zeros(0, np.int64) for column in columns}
        both = [tables.get(name) or empty for tables in (first, second)]
        n_rows = [np.bincount(rows["node_id"], minlength=n) for rows in both]
        as_many = n_rows[0] == n_rows[1]
        differ |= ~as_many
        # Rows are in the order of their numbers: of a node with as many here as there they stand beside each other.
        ours, theirs = ({column: cells[as_many[rows["node_id"]]] for column, cells in rows.items()} for rows in both)
        for column in empty:
            differ[ours["node_id"][ours[column] != theirs[column]]] = True
    return differ


def nodes_with(n: int, table: Table, which: np.ndarray) -> np.ndarray:
    found = np.zeros(n, np.bool_)
    found[table["node_id"][which]] = True
    return found


def check_others_are_equal(first: Tables, second: Tables, about: np.ndarray, tables: set[str]) -> None:
    """Check that only nodes a change is about differ, that some do, and that the others have rows in these tables."""
    differ = differing(about.size, first, second)
    assert not (differ & ~about).any(), np.flatnonzero(differ & ~about)[:10]
    assert differ.any()
    other = {name for name, rows in first.items() if (~about)[rows["node_id"]].any()}
    assert other >= tables
    assert (~about).sum() > about.size / 2


SEEN = {
    "chipkill": {"faults", "errors", "machine_checks", "page_offlines", "lifecycle"},
    "secded": set(TABLES) - {"ecs_reports"},
    "ddr5": {"faults", "errors", "ecs_reports", "page_offlines", "lifecycle"},
}
"""Tables in which nodes without a growing fault have rows; together all nine."""


@SIZES
@pytest.mark.parametrize("name", SERVERS)
def test_growth_moves_only_nodes_with_a_fault_that_grew(name, n):
    server, policy = SERVERS[name]
    faults = replace(OLD, command_address_fit=4.0)
    without = simulate(n, server, faults, policy)
    grown = simulate(n, server, replace(faults, growth=Growth(factor=3.0)), policy)
    table = grown["faults"]
    about = nodes_with(n, table, (table["fault_id"] & CHILD) > 0)
    assert about.sum() > 50
    check_others_are_equal(without, grown, about, SEEN[name])


def test_the_servers_together_have_rows_in_all_nine_tables():
    assert set().union(*SEEN.values()) == set(TABLES)
    assert len(TABLES) == 9


def meet(n: int, table: Table) -> np.ndarray:
    """Which nodes have two faults of a DIMM whose boxes overlap in banks, rows and lines, whatever their ranks."""
    dimm = table["fault_id"] >> 16
    order = np.argsort(dimm, kind="stable")
    found = np.zeros(n, np.bool_)
    for group in np.split(order, np.flatnonzero(np.diff(dimm[order])) + 1):
        for place, i in enumerate(group):
            others = group[place + 1 :]
            together = np.ones(others.size, np.bool_)
            for low, size in (("bank", "n_banks"), ("row", "n_rows"), ("line", "n_lines")):
                together &= (table[low][i] < table[low][others] + table[size][others]) & (
                    table[low][others] < table[low][i] + table[size][i]
                )
            found[table["node_id"][i]] |= bool(together.any())
    return found


@SIZES
def test_the_weakened_code_without_risk_differs_from_chipkill_only_where_faults_meet(n):
    # Meetings grow with the square of the rate: as many of them among fewer nodes.
    fit_factor = 4.0 * math.sqrt(20_000 / n)
    faults = replace(OLD, fit_factor=fit_factor, command_address_fit=4.0)
    blocks = [
        simulate(n, DDR4, faults, replace(LIMITS, ecc=ecc)) for ecc in (Ecc("chipkill"), Ecc("sddc_table", risk=NEVER))
    ]
    about = meet(n, blocks[0]["faults"]) | meet(n, blocks[1]["faults"])
    differ = differing(n, *blocks)
    assert not (differ & ~about).any()
    seen = {name for name, rows in blocks[0].items() if (~about)[rows["node_id"]].any()}
    assert seen >= SEEN["chipkill"]
    assert 0 < about.sum() < n / 2


def kinds(table: Table) -> Table:
    """What a fault is called and what it is, apart from where and when."""
    return {name: table[name] for name in ("node_id", "fault_id", "mode")} | {"hard": table["persistence"] > 0}


@SIZES
@pytest.mark.parametrize("name", SERVERS)
def test_command_faults_move_only_nodes_whose_faults_are_others(name, n):
    """One draw counts the faults of a DIMM, one chooses the mode of each: so another rate moves others, too."""
    server, policy = SERVERS[name]
    blocks = [simulate(n, server, replace(OLD, command_address_fit=fit), policy) for fit in (0.0, 4.0)]
    commands = nodes_with(n, blocks[1]["faults"], blocks[1]["faults"]["mode"] == Mode.COMMAND_ADDRESS)
    ours, theirs = (set(zip(*(part.tolist() for part in kinds(b["faults"]).values()), strict=True)) for b in blocks)
    about = np.zeros(n, np.bool_)
    about[[node for node, *_ in ours ^ theirs]] = True
    assert not (commands & ~about).any()
    print(f"{commands.sum()} nodes with command faults, {(about & ~commands).sum()} others whose faults are others")
    check_others_are_equal(*blocks, about, SEEN[name] - {"machine_checks", "lifecycle"})
