"""Error check and scrub: what a pass counts, what firmware hears of it, and what follows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fleet.scenario.fleet import Group
from node_sim.catalog.parts import PARTS
from node_sim.codes import EcsUnit, LifecycleKind, LifecycleReason, Mode
from node_sim.corrected.bursts import draw_bursts
from node_sim.corrected.passes import mean_counts, simulate_passes
from node_sim.dram.faults import simulate_faults
from node_sim.dram.geometry import Dimm
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.lives.block import simulate_block
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Cordon, Ecc, ErrorProcess, Policy, Repair
from node_sim.units import NS_PER_HOUR, NS_PER_YEAR
from tests.handmade import DEFAULTS, faults_of

SEED = Seed.of(5)
SERVER = Server(part="ddr5_16gb_x4")
DIMM = Dimm.of(SERVER)
ENOUGH = 256 * 16
"""Default threshold of a 16 Gbit device."""
ALWAYS = ErrorProcess(burst_interval_days=0.1, burst_days=365.0, burst_spread=0.0)
"""Hard faults never rest."""
COUNTING = Policy(ecc=Ecc("ddr5", ecs="codewords"), errors=ALWAYS)
COLUMN = {"mode": int(Mode.COLUMN), "beats": 1 << 3, "line": 7, "n_rows": 4 * ENOUGH}


def slow_count(fault: dict[str, int], unit: EcsUnit) -> float:
    """Mean count of a pass, one line after the other: a word is 128 bits of a device, so two lines of 16 beats x 4."""
    beats = fault.get("beats", DEFAULTS["beats"]).bit_count()
    bad: dict[tuple[int, int, int], int] = {}
    for bank in range(fault.get("n_banks", 1)):
        for row in range(fault.get("n_rows", 1)):
            for line in range(fault.get("line", 0), fault.get("line", 0) + fault.get("n_lines", 1)):
                where = (bank, row, line // 2 if unit is EcsUnit.CODEWORDS else 0)
                bad[where] = bad.get(where, 0) + fault.get("n_dq", 1) * beats
    return sum(1 - 0.5**bits for bits in bad.values())


@pytest.mark.parametrize("unit", EcsUnit)
@pytest.mark.parametrize(
    "fault",
    [
        {"beats": 0xFFFF},
        {"mode": int(Mode.BIT), "beats": 1},
        {"mode": int(Mode.WORD), "beats": 1, "n_dq": 3},
        {"mode": int(Mode.COLUMN), "beats": 1 << 9, "n_rows": 17, "n_dq": 2},
        {"beats": 0b10011, "n_lines": 3, "n_dq": 2},
        {"line": 1, "n_lines": 1},
        {"line": 1, "n_lines": 2, "n_dq": 4},
        {"line": 5, "n_lines": 6},
        {"line": 4, "n_lines": 7, "n_rows": 3, "mode": int(Mode.BANK)},
        {"n_banks": 4, "n_lines": 128, "n_rows": 5, "mode": int(Mode.MULTI_BANK)},
    ],
)
def test_a_pass_counts_what_a_walk_over_all_lines_counts(fault, unit):
    assert mean_counts(faults_of(fault), DIMM, unit)[0] == pytest.approx(slow_count(fault, unit), rel=1e-12)


def test_a_word_of_an_x8_device_is_one_line():
    dimm = Dimm.of(Server(part="ddr5_16gb_x8"))
    fault = faults_of({"n_lines": 6, "beats": 0xFFFF})
    assert mean_counts(fault, dimm, EcsUnit.CODEWORDS)[0] == pytest.approx(6 * (1 - 2.0**-16))


@pytest.mark.parametrize(
    "fault", [{"hard": 0}, *({"mode": int(mode)} for mode in (Mode.LANE, Mode.COMMAND_ADDRESS, Mode.MULTI_RANK))]
)
def test_soft_faults_and_wires_are_not_counted(fault):
    assert mean_counts(faults_of({"n_lines": 128, "n_rows": 9999} | fault), DIMM, EcsUnit.ROWS)[0] == 0.0


def passes(*faults: dict[str, int], policy: Policy = COUNTING, horizon_ns: int = 10 * 24 * NS_PER_HOUR):
    return simulate_passes(SEED, faults_of(*faults), SERVER, policy, horizon_ns)


def test_a_fault_that_never_rests_is_counted_by_every_pass_that_ends_before_the_horizon():
    hour = NS_PER_HOUR
    found = passes(COLUMN | {"time_ns": 30 * hour})
    # The pass under way meets the fault for 18 of its 24 hours.
    assert found.wrong.tolist() == [ENOUGH * 2 * 18 // 24] + [ENOUGH * 2] * 7
    assert (found.begin_ns // hour).tolist() == list(range(24, 24 * 9, 24))
    assert (found.end_ns - found.begin_ns == 24 * hour).all()


def test_a_longer_period_counts_the_same_in_fewer_passes():
    policy = replace(COUNTING, ecc=replace(COUNTING.ecc, ecs_hours=100.0))
    assert passes(COLUMN, policy=policy).wrong.tolist() == [2 * ENOUGH, 2 * ENOUGH]


def test_a_pass_counts_in_proportion_to_the_time_of_bursts_in_it():
    process = ErrorProcess(burst_interval_days=4.0, burst_days=0.7, burst_spread=0.0)
    fault, horizon_ns = COLUMN | {"n_rows": 1000 * ENOUGH}, 300 * 24 * NS_PER_HOUR
    found = passes(fault, policy=replace(COUNTING, errors=process), horizon_ns=horizon_ns)
    bursts = draw_bursts(SEED, faults_of(fault), np.arange(1), process, horizon_ns)
    spans = list(zip(bursts.begin_ns.tolist(), bursts.end_ns.tolist(), strict=True))
    checked = 0
    for begin, end, count in zip(found.begin_ns.tolist(), found.end_ns.tolist(), found.wrong.tolist(), strict=True):
        inside = [(max(low, begin), min(high, end)) for low, high in spans if low < end and high > begin]
        assert inside
        if len(inside) == 1:
            (low, high), checked = inside[0], checked + 1
            assert count == pytest.approx(500 * ENOUGH * (high - low) / (end - begin), abs=1)
    assert checked > 20
    assert found.wrong.min() < 100 * ENOUGH < found.wrong.max()


@pytest.mark.parametrize(("threshold", "per_gbit", "heard"), [(256, 256, True), (256, 255, False), (1024, 1023, False)])
def test_counts_below_the_threshold_of_the_device_are_masked(threshold, per_gbit, heard):
    policy = replace(COUNTING, ecc=replace(COUNTING.ecc, ecs_threshold=threshold))
    found = passes(COLUMN | {"n_rows": 2 * 16 * per_gbit}, policy=policy)
    assert bool(found.wrong.size) is heard


def test_the_threshold_grows_with_the_size_of_the_device():
    fault = COLUMN | {"n_rows": 2 * ENOUGH}
    double = simulate_passes(SEED, faults_of(fault), Server(part="ddr5_32gb_x4"), COUNTING, NS_PER_YEAR)
    assert passes(fault).wrong.size
    assert not double.wrong.size
    assert (PARTS["ddr5_16gb_x4"].gbit, PARTS["ddr5_32gb_x4"].gbit, PARTS["ddr4_8gb_x8"].gbit) == (16, 32, 8)


def test_nothing_is_counted_unless_it_is_asked_for():
    assert not passes(COLUMN, policy=Policy(ecc=Ecc("ddr5"))).wrong.size


# ---------------------------------------------------------------------------------------- fleets


OFTEN = replace(COUNTING, errors=replace(ALWAYS, burst_interval_days=1.0))
"""Few hard faults ever rest, and for hours; a tenth of the bursts of ``COUNTING``, which a fleet has to go through."""


@cache
def simulate(policy: Policy, nodes: int = 400, command_address_fit: float = 31.0) -> dict[str, dict[str, np.ndarray]]:
    """All rows of one arm by table."""
    faults = Faults(fit_factor=20.0, extents="whole", command_address_fit=command_address_fit)
    hardware = Hardware(SERVER, faults)
    block = simulate_block(SEED, np.arange(nodes), hardware, (policy,), NS_PER_YEAR)
    tables = {"faults": block.faults}
    for name in {name for part in block.parts for name in part.tables}:
        parts = [part.tables[name] for part in block.parts if name in part.tables]
        tables[name] = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    return tables


def of_kind(table, kind, reason):
    mine = (table["kind"] == kind) & (table["reason"] == reason)
    return {name: column[mine] for name, column in table.items()}


def test_single_bits_hidden_by_the_devices_are_seen_by_nobody_else():
    tables = simulate(replace(COUNTING, errors=ErrorProcess()))
    faults, reports, errors = tables["faults"], tables["ecs_reports"], tables["errors"]
    hidden = (faults["mode"] == Mode.COLUMN) & (faults["n_dq"] == 1) & (faults["persistence"] > 0)
    names = faults["fault_id"][hidden]
    assert names.size > 50
    assert not np.isin(errors["fault_id"], names).any()
    # Nearly all of them: those late in the year, or in short bursts, are not.
    assert np.isin(names, reports["fault_id"]).mean() > 0.9


def test_reports_change_no_other_row():
    plain, counted = simulate(Policy(ecc=Ecc("ddr5"))), simulate(Policy(ecc=Ecc("ddr5", ecs="rows")))
    assert counted["ecs_reports"]["seq"].size > 100
    assert plain.keys() == counted.keys() - {"ecs_reports"}
    for name, table in plain.items():
        for column, cells in table.items():
            if column not in ("seq", "cause_seq"):
                assert (np.sort(cells) == np.sort(counted[name][column])).all()


def test_a_report_replaces_the_dimm_whose_faults_are_then_gone():
    tables = simulate(replace(OFTEN, repair=Repair(replace_ecs=True)))
    life, reports = tables["lifecycle"], tables["ecs_reports"]
    cordons = of_kind(life, LifecycleKind.CORDON, LifecycleReason.ECS_LIMIT)
    swaps = of_kind(life, LifecycleKind.DIMM_REPLACEMENT, LifecycleReason.ECS_LIMIT)
    assert cordons["seq"].size > 100
    report_of = dict(
        zip(zip(reports["node_id"].tolist(), reports["seq"].tolist(), strict=True), range(10**6), strict=False)
    )
    for node, cause, time, fault in zip(
        *(cordons[c].tolist() for c in ("node_id", "cause_seq", "time_ns", "fault_id")), strict=True
    ):
        report = report_of[node, cause]
        assert reports["fault_id"][report] == fault
        assert reports["time_ns"][report] == time - 1
    # Every report leads to a cordon, but for those of other faults of the node at the same time.
    assert np.unique(reports["node_id"] * 2.0**64 + reports["time_ns"]).size == cordons["seq"].size
    for fault, begin in zip(swaps["fault_id"].tolist(), swaps["time_ns"].tolist(), strict=True):
        assert (reports["time_ns"][reports["fault_id"] == fault] < begin).all()


def test_a_pass_cut_by_a_boot_is_not_reported():
    # Hard command/address faults, half of all, take nodes down for two days; faults of other DIMMs go on.
    tables = simulate(replace(OFTEN, repair=Repair(cordon=Cordon(ue=1))), 280, 20_000.0)
    reports, life = tables["ecs_reports"], tables["lifecycle"]
    day = 24 * NS_PER_HOUR
    boots_in_a_series = 0
    for node, low, high in zip(*(life[c].tolist() for c in ("node_id", "time_ns", "end_ns")), strict=True):
        mine = reports["node_id"] == node
        begin, end, fault = reports["begin_ns"][mine], reports["time_ns"][mine], reports["fault_id"][mine]
        assert not ((begin < high) & (end > low)).any()
        before, after = (fault[begin == (at // day + step) * day] for at, step in ((low, -1), (high, 1)))
        boots_in_a_series += np.isin(before, after).any()
    assert boots_in_a_series > 20


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Group(ecc=Ecc("chipkill", ecs="rows")),
            r"ecs = 'rows', expected 'off' with code = 'chipkill' \(or set code = 'ddr5'\)",
        ),
        (lambda: Ecc("ddr5", ecs="words"), "ecs = 'words', expected one of off, rows, codewords"),
        (lambda: Ecc("ddr5", ecs_threshold=300), "ecs_threshold = 300, expected one of 256, 1024, 4096"),
        (lambda: Group(repair=Repair(replace_ecs=True)), "replace_ecs = True, expected False with ecc.ecs = 'off'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_hidden_columns_of_partial_extent_stay_below_the_smallest_threshold():
    hardware = Hardware(SERVER, Faults(fit_factor=20.0))
    faults = simulate_faults(SEED, np.arange(400), hardware, NS_PER_YEAR)
    hidden = (faults.mode == Mode.COLUMN) & (faults.cells.n_dq == 1) & faults.hard
    assert hidden.sum() > 50
    assert mean_counts(faults.take(hidden), DIMM, EcsUnit.CODEWORDS).max() < ENOUGH
