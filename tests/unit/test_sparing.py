"""Sparing and mirroring: which faults still make uncorrectable words, and what a server can have."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.scenario.decode import decode
from fleet.scenario.fleet import Group
from node_sim.codes import ErrorKind, Mode
from node_sim.corrected.sparing import drop_spared, spared_ns
from node_sim.corrected.windows import Windows
from node_sim.dram.faults import FaultTable, simulate_faults
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.ecc.judgement import bad_pages, dimms_of, judge_alone, judge_together
from node_sim.errors import ConfigError
from node_sim.lives.block import simulate_block
from node_sim.lives.physics import simulate_physics
from node_sim.lives.world import World
from node_sim.memory.pages import Memory
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Ecc, Policy
from node_sim.units import FOREVER, NS_PER_YEAR
from tests.fleets import busy_document
from tests.handmade import faults_of

BANK, RANK = "adddc_bank", "adddc_rank"
ERRORS = 5


def windows_of(*rows: tuple[int, int]) -> Windows:
    """One window of ``ERRORS`` errors per (fault, time): all of them at that time."""
    fault, time = (np.asarray(column, np.int64) for column in zip(*rows, strict=True))
    n = np.full(fault.size, ERRORS)
    return Windows(fault, time, time, time + 1, n, np.ones_like(n), np.full(n.size, 0.5), n < 0)


def since(sparing: str, faults: FaultTable, windows: Windows, ce: int = ERRORS) -> list[int]:
    alone = judge_alone(faults, Ecc()).corrected
    return spared_ns(faults, windows, alone, dimms_of(faults), Ecc(sparing=sparing, sparing_ce=ce)).tolist()


def failing(sparing: str, faults: FaultTable, windows: Windows) -> list[int]:
    """Which faults make uncorrectable words."""
    policy = Policy(ecc=Ecc(sparing=sparing, sparing_ce=ERRORS))
    alone = judge_alone(faults, policy.ecc)
    gone = spared_ns(faults, windows, alone.corrected & ~alone.uncorrected, dimms_of(faults), policy.ecc)
    found = judge_together(alone, faults, dimms_of(faults), Server(), policy, gone)
    return np.flatnonzero(found.uncorrected).tolist()


@pytest.mark.parametrize(("sparing", "expected"), [("none", [1]), (BANK, []), (RANK, [])])
def test_a_fault_of_another_device_fails_unless_the_first_is_mapped_out(sparing, expected):
    faults = faults_of({}, {"time_ns": 100, "device": 1})
    assert failing(sparing, faults, windows_of((0, 50))) == expected


def test_a_fault_that_starts_before_the_sparing_makes_uncorrectable_words():
    faults = faults_of({}, {"time_ns": 100, "device": 1})
    assert failing(BANK, faults, windows_of((0, 150))) == [1]


def test_a_fault_inside_the_region_that_starts_later_meets_nobody():
    faults = faults_of({}, {"time_ns": 10, "device": 1}, {"time_ns": 100})
    assert failing("none", faults, windows_of((0, 50))) == [1, 2]
    assert failing(BANK, faults, windows_of((0, 50))) == [1]


def test_two_faults_outside_the_region_meet_as_before():
    faults = faults_of({}, {"time_ns": 100, "device": 1}, {"time_ns": 200, "device": 2})
    assert failing(BANK, faults, windows_of((0, 50))) == [2]


@pytest.mark.parametrize(("ce", "expected"), [(ERRORS, 50), (ERRORS + 1, FOREVER)])
def test_sparing_starts_at_the_threshold_of_one_window(ce, expected):
    assert since(BANK, faults_of({}), windows_of((0, 50), (0, 60)), ce) == [expected]


def test_a_dimm_has_one_region_for_the_first_fault_that_gets_there():
    faults = faults_of({}, {"device": 3}, {"device": 3, "dimm": 1})
    assert since(BANK, faults, windows_of((0, 80), (1, 50), (2, 90))) == [FOREVER, 50, 90]


def test_a_soft_fault_starts_no_sparing():
    assert since(BANK, faults_of({"hard": 0}), windows_of((0, 50))) == [FOREVER]


@pytest.mark.parametrize(
    ("fault", "bank", "rank"),
    [
        ({}, True, True),
        ({"bank": 1}, False, True),
        ({"n_banks": 2}, False, True),
        ({"rank": 1}, False, False),
        ({"n_ranks": 2}, False, False),
        ({"device": 1}, False, False),
    ],
)
def test_a_region_holds_the_faults_of_its_device_that_lie_inside(fault, bank, rank):
    for sparing, inside in ((BANK, bank), (RANK, rank)):
        found = since(sparing, faults_of({}, fault), windows_of((0, 50)))
        assert found == [50, 50 if inside else FOREVER]


@pytest.mark.parametrize(("sparing", "expected"), [(BANK, FOREVER), (RANK, 50)])
def test_a_fault_that_does_not_fit_starts_no_sparing(sparing, expected):
    assert since(sparing, faults_of({"n_banks": 2}), windows_of((0, 50))) == [expected]


def test_windows_that_begin_after_the_sparing_are_left_out():
    windows = windows_of((0, 40), (0, 50), (0, 60), (1, 60))
    assert drop_spared(windows, np.asarray([50, FOREVER])).low_ns.tolist() == [40, 60]


def test_faults_that_are_mapped_out_show_no_errors_in_windows_that_begin_later():
    faults = simulate_faults(SEED, NODES, HARDWARE, NS_PER_YEAR)
    found = {}
    for sparing in ("none", BANK):
        policy = Policy(ecc=Ecc(sparing=sparing, sparing_ce=3))
        world = World(SEED, HARDWARE, policy, Memory.of(policy), AddressMap(HARDWARE.server), NS_PER_YEAR)
        found[sparing] = simulate_physics(world, faults).windows
    alone = judge_alone(faults, Ecc())
    gone = spared_ns(faults, found["none"], alone.corrected & ~alone.uncorrected, dimms_of(faults), policy.ecc)
    late = found["none"].low_ns >= gone[found["none"].fault]
    assert late.sum() > 100
    assert found[BANK].low_ns.tolist() == found["none"].low_ns[~late].tolist()


@pytest.mark.parametrize("code", ["none", "secded"])
def test_only_a_code_over_devices_can_do_without_one(code):
    with pytest.raises(ConfigError, match="sparing = 'adddc_bank', expected 'none'"):
        Group(ecc=Ecc(code=code, sparing=BANK))


def test_sparing_needs_two_ranks_and_mirroring_two_channels():
    Group(ecc=Ecc(sparing=BANK, mirroring=True))
    with pytest.raises(ConfigError, match=r"ecc.sparing = 'adddc_rank', expected .* server.ranks = 1"):
        Group(ecc=Ecc(sparing=RANK), server=Server(ranks=1))
    with pytest.raises(ConfigError, match=r"ecc.mirroring = True, expected False with server.channels = 1"):
        Group(ecc=Ecc(mirroring=True), server=Server(channels=1))


def test_a_scenario_says_which_arm_asks_for_what_its_servers_cannot_do():
    document = busy_document()
    document["group"]["chipkill"]["server"] = {"ranks": 1}
    document["arm"]["early_kill"]["set"] = {"ecc.sparing": BANK}
    with pytest.raises(ConfigError) as caught:
        decode("mine.toml", document)
    start = "mine.toml: arm.early_kill: group."
    assert str(caught.value).splitlines() == [
        f"{start}chipkill.ecc.sparing = 'adddc_bank', expected 'none' with server.ranks = 1 (or set it >= 2)",
        f"{start}secded.ecc.sparing = 'adddc_bank', expected 'none' with code = 'secded' (or set code = 'chipkill')",
    ]


# ---------------------------------------------------------------------------------------- mirroring


HARDWARE = Hardware(faults=Faults(fit_factor=30.0, command_address_fit=2000.0))
NODES, SEED = np.arange(400), Seed.of(11)


def kinds_of_errors(ecc: Ecc) -> dict[int, int]:
    """Rows of ``errors`` of some nodes in one arm, by kind."""
    block = simulate_block(SEED, NODES, HARDWARE, (Policy(ecc=ecc),), NS_PER_YEAR)
    kinds = np.concatenate([part.tables["errors"]["kind"] for part in block.parts if "errors" in part.tables])
    return {kind: int((kinds == kind).sum()) for kind in ErrorKind}


@pytest.mark.parametrize("code", ["none", "secded", "chipkill"])
def test_with_a_mirror_no_read_is_uncorrectable_but_silent_errors_remain(code):
    plain, mirrored = kinds_of_errors(Ecc(code)), kinds_of_errors(Ecc(code, mirroring=True))
    assert (plain[ErrorKind.UE] > 100) == (code != "none")
    assert mirrored[ErrorKind.UE] == 0
    assert (mirrored[ErrorKind.SDC] > 10) == (plain[ErrorKind.SDC] > 10) == (code != "chipkill")
    assert (mirrored[ErrorKind.CE] > plain[ErrorKind.CE]) == (code != "none")  # command/address faults


@pytest.mark.parametrize("code", ["none", "secded"])
def test_a_mirror_leaves_the_same_pages_silently_wrong(code):
    faults = simulate_faults(SEED, NODES, HARDWARE, NS_PER_YEAR)
    address_map = AddressMap(HARDWARE.server)
    found = {}
    for mirroring in (False, True):
        ecc = Ecc(code, mirroring=mirroring)
        never = np.full(faults.time_ns.size, FOREVER)
        policy = Policy(ecc=ecc)
        judged = judge_together(judge_alone(faults, ecc), faults, dimms_of(faults), Server(), policy, never)
        found[mirroring] = bad_pages(SEED, faults, judged, address_map, mirroring=mirroring)
    assert found[True].silent.all()
    assert found[True].pfn.size > 100
    assert found[True].pfn.tolist() == found[False].pfn[found[False].silent].tolist()


def test_with_a_mirror_command_address_faults_are_corrected_errors():
    found = {}
    for mirroring in (False, True):
        ecc = Ecc(mirroring=mirroring, command_retry=False)
        faults = faults_of({})._replace(mode=np.asarray([int(Mode.COMMAND_ADDRESS)]))
        judged = judge_alone(faults, ecc)
        never = np.asarray([FOREVER])
        judged = judge_together(judged, faults, dimms_of(faults), Server(), Policy(ecc=ecc), never)
        found[mirroring] = (bool(judged.corrected[0]), bool(judged.uncorrected[0]))
    assert found == {False: (False, True), True: (True, False)}
