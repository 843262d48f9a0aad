"""Replacement for corrected errors and post-package repair: what is due, what a spare row repairs, what comes back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from node_sim.catalog.parts import PARTS
from node_sim.codes import ErrorKind, LifecycleKind, LifecycleReason, Mode, Observer, OfflineResult
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.lives.block import simulate_block
from node_sim.lives.dimms import power_off, spare_is_free, spare_name, takes_one_row, use_spare_rows
from node_sim.lives.physics import Store, simulate_physics
from node_sim.lives.places import go_down
from node_sim.lives.policies import PPR_HARD, PPR_SOFT, PolicyColumns
from node_sim.lives.state import LaneState
from node_sim.lives.steps import start_lives
from node_sim.lives.world import World
from node_sim.memory.pages import Memory
from node_sim.server.hardware import Faults, Growth, Hardware
from node_sim.server.policy import Cordon, Ecc, Kernel, PageOffline, Policy, Repair
from node_sim.units import FOREVER, NS_PER_DAY, NS_PER_YEAR
from tests.handmade import faults_of

SEED = Seed.of(11)
LIMIT = 10
PART = PARTS["ddr4_16gb_x4"]


@cache
def simulate(policy, nodes=120, fit_factor=30.0, command_address_fit=0.0, horizon_ns=NS_PER_YEAR):
    """All rows of one arm by table."""
    rates = Faults(fit_factor=fit_factor, command_address_fit=command_address_fit, growth=Growth(factor=0.0))
    hardware = Hardware(faults=rates)
    block = simulate_block(SEED, np.arange(nodes), hardware, (policy,), horizon_ns)
    names = {name for part in block.parts for name in part.tables}
    tables = {"faults": block.faults}
    for name in names:
        parts = [part.tables[name] for part in block.parts if name in part.tables]
        tables[name] = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    return tables


def rows(table, **wanted):
    """Select the rows of a table whose columns have the given values."""
    mine = np.ones(table["seq"].size, bool)
    for name, value in wanted.items():
        mine &= table[name] == value
    return {name: column[mine] for name, column in table.items()}


def named(table, column="seq"):
    return (table["node_id"].astype(np.int64) << 32) | table[column].astype(np.int64)


def by_dimm_and_day(errors):
    """Name the DIMM and the day of each row, and return how many corrected errors the DIMM logs that day."""
    days = 1 + NS_PER_YEAR // NS_PER_DAY
    name = (errors["fault_id"].astype(np.int64) >> 16) * days + errors["first_time_ns"] // NS_PER_DAY
    _, group = np.unique(name, return_inverse=True)
    return name, np.bincount(group, errors["ce_count"])[group]


CE_CORDON = {"kind": LifecycleKind.CORDON, "reason": LifecycleReason.CE_LIMIT}


# ---------------------------------------------------------------------------------------- replacement


@pytest.mark.parametrize("drain_hours", [0.0, 1.0])
def test_a_cordon_for_corrected_errors_is_caused_by_the_window_that_reaches_the_limit(drain_hours):
    tables = simulate(Policy(repair=Repair(replace_ce=LIMIT, cordon=Cordon(drain_hours=drain_hours))))
    cordons, errors = rows(tables["lifecycle"], **CE_CORDON), rows(tables["errors"], kind=ErrorKind.CE)
    place = np.searchsorted(np.sort(named(errors)), named(cordons, "cause_seq"))
    errors["of_dimm"] = by_dimm_and_day(errors)[1]
    window = {name: column[np.argsort(named(errors))[place]] for name, column in errors.items()}
    assert cordons["seq"].size > 100
    assert (named(window) == named(cordons, "cause_seq")).all()
    assert (window["fault_id"] == cordons["fault_id"]).all()
    assert (window["of_dimm"] >= LIMIT).all()
    assert (window["ce_count"] < LIMIT).any()  # several faults of a DIMM reach it together
    if drain_hours:  # the node is up, and the fault goes on to show errors
        assert (window["first_time_ns"] < cordons["time_ns"]).all()
        assert (window["last_time_ns"] >= cordons["time_ns"] - 1).all()
        assert (window["last_time_ns"] > cordons["time_ns"]).any()
        return
    assert (window["last_time_ns"] == cordons["time_ns"] - 1).all()
    assert (window["of_dimm"] == LIMIT).mean() > 0.99  # but for errors of the same nanosecond


def test_no_window_reaches_the_limit_without_a_cordon():
    tables = simulate(Policy(repair=Repair(replace_ce=LIMIT)))
    life, errors = tables["lifecycle"], rows(tables["errors"], kind=ErrorKind.CE)
    name, of_dimm = by_dimm_and_day(errors)
    reached = of_dimm >= LIMIT
    caused = np.isin(named(errors), named(rows(life, **CE_CORDON), "cause_seq"))
    caused = np.isin(name, name[caused])
    # A window in which the node came back is not whole.
    for at in np.flatnonzero(reached & ~caused):
        ends = life["end_ns"][life["node_id"] == errors["node_id"][at]]
        assert (ends // NS_PER_DAY == errors["first_time_ns"][at] // NS_PER_DAY).any()
    assert caused.sum() > 100
    assert rows(simulate(Policy())["errors"], kind=ErrorKind.CE)["ce_count"].max() > LIMIT


def test_the_dimm_at_the_limit_is_replaced_and_its_faults_are_gone():
    tables = simulate(Policy(repair=Repair(replace_ce=LIMIT)))
    swaps = rows(tables["lifecycle"], kind=LifecycleKind.DIMM_REPLACEMENT, reason=LifecycleReason.CE_LIMIT)
    assert set(named(swaps, "cause_seq").tolist()) <= set(named(rows(tables["lifecycle"], **CE_CORDON)).tolist())
    assert ((swaps["fault_id"] >> 24) & 0xFF == swaps["dimm"]).all()
    errors = tables["errors"]
    for fault, begin in zip(swaps["fault_id"].tolist(), swaps["time_ns"].tolist(), strict=True):
        assert (errors["last_time_ns"][errors["fault_id"] == fault] < begin).all()


def test_errors_of_pages_taken_offline_do_not_count_but_for_those_of_the_scrubber():
    limits = {"repair": Repair(replace_ce=3), "page_offline": PageOffline(2)}
    tables = simulate(Policy(**limits))
    cordons, faults = rows(tables["lifecycle"], **CE_CORDON), tables["faults"]
    errors = rows(tables["errors"], kind=ErrorKind.CE)
    alone = named(errors)[errors["ce_count"] == by_dimm_and_day(errors)[1]]
    cordons = rows(cordons | {"alone": np.isin(named(cordons, "cause_seq"), alone)}, alone=True)
    one_page = faults["fault_id"][(faults["n_pages"] == 1) & (faults["mode"] == Mode.BIT)]
    refused = rows(tables["page_offlines"], result=OfflineResult.UNHANDLABLE)
    mine = np.isin(cordons["fault_id"], one_page)
    seq = dict(zip(named(errors).tolist(), errors["observer"].tolist(), strict=True))
    observer = np.asarray([seq[name] for name in named(cordons, "cause_seq")[mine].tolist()])
    demand = observer == Observer.DEMAND
    assert demand.sum() > 5  # kernel pages
    assert np.isin(cordons["fault_id"][mine][demand], refused["fault_id"]).all()
    assert (~demand).sum() > 5  # the scrubber reads physical memory
    without = rows(simulate(Policy(repair=limits["repair"]))["lifecycle"], **CE_CORDON)
    assert np.isin(without["fault_id"], one_page).sum() > 1.5 * mine.sum()


def test_a_dimm_is_replaced_at_the_first_error_of_a_fault_whose_pins_cross_the_halves():
    tables, plain = simulate(Policy(repair=Repair(replace_risky=True))), simulate(Policy())
    risky = {"kind": LifecycleKind.CORDON, "reason": LifecycleReason.RISKY_PATTERN}
    cordons, faults = rows(tables["lifecycle"], **risky), tables["faults"]
    errors = rows(tables["errors"], kind=ErrorKind.CE)
    place = np.argsort(named(errors))[np.searchsorted(np.sort(named(errors)), named(cordons, "cause_seq"))]
    assert cordons["seq"].size > 50
    assert (errors["fault_id"][place] == cordons["fault_id"]).all()
    assert (errors["first_time_ns"][place] == cordons["time_ns"] - 1).all()
    pins = dict(zip(faults["fault_id"].tolist(), faults["n_dq"].tolist(), strict=True))
    assert min(pins[fault] for fault in cordons["fault_id"].tolist()) == 2
    # More than two pins always cross them: the first such fault of a node that shows an error is answered.
    shown = rows(plain["errors"], kind=ErrorKind.CE)
    wide = np.asarray([pins.get(fault, 0) > 2 for fault in shown["fault_id"].tolist()])
    for node in np.unique(shown["node_id"][wide]):
        first_ns = shown["first_time_ns"][wide & (shown["node_id"] == node)].min()
        assert tables["lifecycle"]["time_ns"][tables["lifecycle"]["node_id"] == node].min() <= first_ns + 1


def test_a_limit_nobody_reaches_changes_no_row():
    plain, limited = simulate(Policy()), simulate(Policy(repair=Repair(replace_ce=10**6)))
    assert plain.keys() == limited.keys()
    for name, table in plain.items():
        for column, cells in table.items():
            assert (cells == limited[name][column]).all()


# ---------------------------------------------------------------------------------------- spare rows


@pytest.mark.parametrize(
    ("fault", "repairable"),
    [({}, True), ({"hard": 0}, False), ({"n_rows": 2}, False), ({"n_banks": 2}, False), ({"n_ranks": 2}, False)],
)
def test_a_spare_row_replaces_hard_faults_of_one_row(fault, repairable):
    assert takes_one_row(faults_of(fault)).tolist() == [repairable]


@pytest.mark.parametrize(
    ("fault", "same"),
    [
        ({"bank": 3, "row": 7}, True),
        ({"bank": 4}, False),
        ({"device": 1}, False),
        ({"rank": 1}, False),
        ({"dimm": 1}, False),
        ({"generation": 1}, False),
    ],
)
def test_the_banks_of_a_group_share_the_spare_row_of_their_device(fault, same):
    first, second = spare_name(faults_of({}, fault), PART).tolist()
    assert (first == second) is same


def test_every_bank_group_of_every_device_has_a_name_of_its_own():
    largest = {"dimm": 255, "generation": 255}
    faults = [
        {"rank": r, "device": d, "bank": b, **dimm}
        for r in range(8)
        for d in range(18)
        for b in (0, 4, 8, 12)
        for dimm in ({}, largest)
    ]
    found = spare_name(faults_of(*faults), PART)
    assert np.unique(found).size == len(faults)
    assert 0 <= found.min() <= found.max() < 2**31


def state_of(*rows_: dict[str, int]) -> LaneState:
    """One lane in which each fault has had an uncorrected error."""
    hardware, policy = Hardware(), Policy(ecc=Ecc("secded"))
    address_map = AddressMap(hardware.server)
    world = World(SEED, hardware, policy, Memory.of(policy), address_map, NS_PER_YEAR)
    faults = faults_of(*rows_)
    zero, n = np.zeros(1, np.int64), faults.tag.size
    place = (np.zeros(n, np.int64), np.arange(n))
    state = start_lives(
        world, Store(world, simulate_physics(world, faults)), zero, zero, PolicyColumns.of([policy]), place
    )
    state.places.suspect[:] = 5
    return state


def boot(state: LaneState, kind: int, end_ns: int) -> list[int]:
    """Places repaired at a boot."""
    lane, end = np.zeros(1, np.int64), np.asarray([end_ns])
    go_down(state, lane, end - 10, end)
    found = use_spare_rows(state, lane, end, np.asarray([kind]))
    state.places.suspect[found] = -1
    return found.tolist()


@pytest.mark.parametrize("kind", [PPR_SOFT, PPR_HARD])
def test_the_spare_row_goes_to_the_oldest_fault_of_its_group(kind):
    state = state_of({"time_ns": 9}, {"time_ns": 5}, {"time_ns": 7}, {"time_ns": 8, "bank": 4})
    assert sorted(boot(state, kind, 100)) == [1, 3]
    assert state.places.removed_ns.tolist() == [FOREVER, 100, FOREVER, 100]
    assert boot(state, kind, 200) == []


def test_a_used_spare_row_repairs_no_other_fault_of_its_group():
    state = state_of({}, {"time_ns": 5}, {"time_ns": 6, "bank": 4})
    state.places.suspect[1:] = -1
    assert spare_is_free(state, np.arange(3)).tolist() == [True, True, True]
    assert boot(state, PPR_HARD, 100) == [0]
    assert spare_is_free(state, np.arange(3)).tolist() == [False, False, True]


def test_a_fault_without_errors_takes_no_spare_row():
    state = state_of({}, {"time_ns": 5})
    state.places.suspect[0] = -1
    assert boot(state, PPR_HARD, 100) == [1]


@pytest.mark.parametrize(("kind", "back"), [(PPR_SOFT, True), (PPR_HARD, False)])
def test_power_off_undoes_soft_repair_and_frees_the_spare_row(kind, back):
    state = state_of({}, {"time_ns": 5})
    assert boot(state, kind, 100) == [0]
    power_off(state, np.zeros(1, np.int64), np.asarray([300]))
    assert state.places.removed_ns[0] == (FOREVER if back else 100)
    assert state.places.era_from_ns[0] == (300 if back else 100)
    assert boot(state, kind, 400) == ([1] if back else [])


def down_by_ue(ppr: str) -> dict[str, dict[str, np.ndarray]]:
    """Rows of nodes that panic at every uncorrected error and are never cordoned for it; many nodes, not for long."""
    policy = Policy(
        ecc=Ecc("secded"),
        kernel=Kernel(memory_failure_recovery=0),
        repair=Repair(ppr=ppr, cordon=Cordon(ue=0), reboot_minutes=600.0),
    )
    return simulate(policy, 1600, 3.0, horizon_ns=NS_PER_YEAR // 4)


@pytest.mark.parametrize("ppr", ["soft", "hard"])
def test_a_repaired_row_shows_no_error_after_the_reboot_and_panics_no_more(ppr):
    tables, plain = down_by_ue(ppr), down_by_ue("off")
    life, errors = tables["lifecycle"], tables["errors"]
    fixed = rows(life, kind=LifecycleKind.POST_PACKAGE_REPAIR)
    assert fixed["seq"].size > 20
    panics = rows(life, kind=LifecycleKind.PANIC)
    assert set(zip(*(fixed[c].tolist() for c in ("node_id", "time_ns", "end_ns")), strict=True)) <= set(
        zip(*(panics[c].tolist() for c in ("node_id", "time_ns", "end_ns")), strict=True)
    )
    for fault, end in zip(fixed["fault_id"].tolist(), fixed["end_ns"].tolist(), strict=True):
        assert (errors["last_time_ns"][errors["fault_id"] == fault] < end).all()
    faults = tables["faults"]
    assert (faults["n_rows"][np.isin(faults["fault_id"], fixed["fault_id"])] == 1).all()
    assert not rows(plain["lifecycle"], kind=LifecycleKind.POST_PACKAGE_REPAIR)["seq"].size
    assert panics["seq"].size < 0.9 * rows(plain["lifecycle"], kind=LifecycleKind.PANIC)["seq"].size


def test_a_row_at_the_limit_of_corrected_errors_is_repaired_instead_of_its_dimm():
    policy = Policy(repair=Repair(replace_ce=LIMIT, ppr="hard"))
    tables, plain = simulate(policy), simulate(replace(policy, repair=Repair(replace_ce=LIMIT)))
    life, faults = tables["lifecycle"], tables["faults"]
    fixed = rows(life, kind=LifecycleKind.POST_PACKAGE_REPAIR)
    swapped = rows(life, kind=LifecycleKind.DIMM_REPLACEMENT, reason=LifecycleReason.CE_LIMIT)
    assert fixed["seq"].size > 20
    one_row = faults["fault_id"][(faults["persistence"] >= 1) & (faults["n_rows"] == 1) & (faults["n_banks"] == 1)]
    assert np.isin(fixed["fault_id"], one_row).all()
    assert not np.isin(swapped["fault_id"], fixed["fault_id"]).any()
    assert np.isin(fixed["reason"], LifecycleReason.CE_LIMIT).all()
    assert set(named(fixed, "cause_seq").tolist()) <= set(named(rows(life, **CE_CORDON)).tolist())
    assert set((fixed["end_ns"] - fixed["time_ns"]).tolist()) == {15 * 60 * 10**9}
    assert swapped["seq"].size < 0.6 * rows(plain["lifecycle"], kind=LifecycleKind.DIMM_REPLACEMENT)["seq"].size
