"""Sparing and mirroring: which faults still make uncorrectable words, and what a server can have."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.scenario.decode import decode
from fleet.scenario.fleet import Group
from node_sim.codes import ErrorKind, Mode
from node_sim.corrected.bad_reads import FAILURES_MAX
from node_sim.corrected.sparing import drop_spared, spared_ns
from node_sim.corrected.windows import Windows
from node_sim.dram.faults import FaultTable, simulate_faults
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.ecc.judgement import corrected_cells, dimms_of, judge_alone, judge_together
from node_sim.errors import ConfigError
from node_sim.lives.block import simulate_block
from node_sim.lives.physics import Physics, simulate_physics
from node_sim.lives.world import World
from node_sim.memory.pages import Memory
from node_sim.records import NULL, take
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Ecc, ErrorProcess, Policy
from node_sim.units import FOREVER, NS_PER_HOUR, NS_PER_YEAR
from tests.fleets import busy_document
from tests.handmade import corrected_windows, faults_of

BANK, RANK = "adddc_bank", "adddc_rank"
ERRORS = 5
SEED = Seed.of(11)


def windows_of(*rows: tuple[int, int]) -> Windows:
    """One window of ``ERRORS`` errors per (fault, time): all of them at that time."""
    fault, time = (np.asarray(column, np.int64) for column in zip(*rows, strict=True))
    n = np.full(fault.size, ERRORS)
    return Windows.even(
        fault, time, time, time + 1, n, np.ones_like(n), np.full(n.size, 0.5), n < 0, np.full(n.size, -1)
    )


def since(sparing: str, faults: FaultTable, windows: Windows, ce: int = ERRORS, **ecc: bool) -> list[int]:
    settings = Ecc(sparing=sparing, sparing_ce=ce, **ecc)
    alone = corrected_cells(judge_alone(SEED, faults, settings), faults)
    return spared_ns(faults, windows, alone, dimms_of(faults), settings).tolist()


def failing(sparing: str, faults: FaultTable, windows: Windows) -> list[tuple[int, int, int, int]]:
    """Which faults make uncorrectable words together: reader, other, since when and until when; no soft ones."""
    policy = Policy(ecc=Ecc(sparing=sparing, sparing_ce=ERRORS))
    judged = judge_alone(SEED, faults, policy.ecc)
    gone = spared_ns(faults, windows, corrected_cells(judged, faults), dimms_of(faults), policy.ecc)
    judged, met = judge_together(judged, faults, dimms_of(faults), Server(), policy, gone)
    assert not judged.uncorrected.any()
    return sorted(zip(*(part.tolist() for part in (met.reader, met.other, met.from_ns, met.until_ns)), strict=True))


@pytest.mark.parametrize(("sparing", "expected"), [("none", [(1, 0, 100, FOREVER)]), (BANK, []), (RANK, [])])
def test_a_fault_of_another_device_fails_unless_the_first_is_mapped_out(sparing, expected):
    faults = faults_of({}, {"time_ns": 100, "device": 1})
    assert failing(sparing, faults, windows_of((0, 50))) == expected


@pytest.mark.parametrize("spared", [0, 1])
def test_a_fault_that_starts_before_the_sparing_makes_uncorrectable_words_until_then(spared):
    faults = faults_of({}, {"time_ns": 100, "device": 1})
    assert failing(BANK, faults, windows_of((spared, 150))) == [(1, 0, 100, 150)]


def test_a_fault_inside_the_region_that_starts_later_meets_nobody():
    faults = faults_of({}, {"time_ns": 10, "device": 1}, {"time_ns": 100})
    assert failing("none", faults, windows_of((0, 50))) == [(1, 0, 10, FOREVER), (2, 1, 100, FOREVER)]
    assert failing(BANK, faults, windows_of((0, 50))) == [(1, 0, 10, 50)]


def test_two_faults_outside_the_region_meet_as_before():
    faults = faults_of({}, {"time_ns": 100, "device": 1}, {"time_ns": 200, "device": 2})
    assert failing(BANK, faults, windows_of((0, 50))) == [(2, 1, 200, FOREVER)]


@pytest.mark.parametrize(("ce", "expected"), [(ERRORS, 50), (ERRORS + 1, FOREVER)])
def test_sparing_starts_at_the_threshold_of_one_window(ce, expected):
    assert since(BANK, faults_of({}), windows_of((0, 50), (0, 60)), ce) == [expected]


def test_a_dimm_has_one_region_for_the_first_fault_that_gets_there():
    faults = faults_of({}, {"device": 3}, {"device": 3, "dimm": 1})
    assert since(BANK, faults, windows_of((0, 80), (1, 50), (2, 90))) == [FOREVER, 50, 90]


def test_a_soft_fault_starts_no_sparing():
    assert since(BANK, faults_of({"hard": 0}), windows_of((0, 50))) == [FOREVER]


@pytest.mark.parametrize("mirroring", [False, True])
@pytest.mark.parametrize("hard", [0, 1])
def test_a_fault_of_commands_starts_no_sparing_and_goes_on_outside_of_any_region(hard, mirroring):
    # Its errors are corrected: those of the soft one by a second try, those of the hard one from the copy of the line.
    faults = faults_of({"mode": int(Mode.COMMAND_ADDRESS), "hard": hard}, {})
    assert since(BANK, faults, windows_of((0, 50)), mirroring=mirroring) == [FOREVER, FOREVER]
    assert since(BANK, faults, windows_of((0, 50), (1, 80)), mirroring=mirroring) == [FOREVER, 80]


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
    found = {sparing: physics_of(faults, Ecc(sparing=sparing, sparing_ce=3)) for sparing in ("none", BANK)}
    plain, spared = found["none"].windows, found[BANK].windows
    judged = judge_alone(SEED, faults, Ecc())
    # Reads that fail together with another fault are no corrected errors, but count for the threshold.
    counted = corrected_windows(SEED, faults, judged.corrected, Policy(), NS_PER_YEAR)
    ecc = Ecc(sparing=BANK, sparing_ce=3)
    gone = spared_ns(faults, counted, corrected_cells(judged, faults), dimms_of(faults), ecc)
    late = plain.low_ns >= gone[plain.fault]
    assert late.sum() > 100
    read = np.unique(found["none"].reads.fault[found["none"].reads.pfn >= 0])
    mine = ~np.isin(plain.fault, read)
    assert spared.low_ns[~np.isin(spared.fault, read)].tolist() == plain.low_ns[mine & ~late].tolist()
    assert (spared.low_ns < gone[spared.fault]).all()


def test_reads_of_two_faults_fail_day_after_day_until_one_of_them_is_mapped_out():
    # Both are active all the time and read once a day.
    once = ErrorProcess(burst_interval_days=0.1, burst_days=365.0, burst_spread=0.0, median_ce_per_window=0.01)
    faults = faults_of({"n_dq": 4}, {"n_dq": 4, "device": 1})
    for sparing, expected in (("none", list(range(FAILURES_MAX))), (BANK, [])):
        found = physics_of(faults, Ecc(sparing=sparing, sparing_ce=1), once)
        assert set(found.reads.fault.tolist()) <= {1}
        days = (found.reads.time_ns // (24 * NS_PER_HOUR)).tolist()
        assert [day for day in days if day > 0] == expected[1:]


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


OTHERS = "(or set code = 'chipkill', 'sddc_table' or 'sddc_locator')"


def test_a_scenario_says_which_arm_asks_for_what_its_servers_cannot_do():
    document = busy_document()
    document["group"]["sddc"]["server"] = {"ranks": 1}
    document["arm"]["early_kill"]["set"] = {"ecc.sparing": BANK}
    with pytest.raises(ConfigError) as caught:
        decode("mine.toml", document)
    start = "mine.toml: arm.early_kill: group."
    assert str(caught.value).splitlines() == [
        f"{start}sddc.ecc.sparing = 'adddc_bank', expected 'none' with server.ranks = 1 (or set it >= 2)",
        f"{start}secded.ecc.sparing = 'adddc_bank', expected 'none' with code = 'secded' {OTHERS}",
    ]


# ---------------------------------------------------------------------------------------- mirroring


HARDWARE = Hardware(faults=Faults(fit_factor=30.0, command_address_fit=2000.0))
NODES = np.arange(400)


def physics_of(faults: FaultTable, ecc: Ecc, errors: ErrorProcess = ErrorProcess()) -> Physics:  # noqa: B008 - frozen
    policy = Policy(ecc=ecc, errors=errors)
    return simulate_physics(
        World(SEED, HARDWARE, policy, Memory.of(policy), AddressMap(HARDWARE.server), NS_PER_YEAR), faults
    )


def kinds_of_errors(ecc: Ecc, horizon_ns: int) -> dict[int, int]:
    """Rows of ``errors`` of some nodes in one arm, by kind."""
    block = simulate_block(SEED, NODES, HARDWARE, (Policy(ecc=ecc),), horizon_ns)
    kinds = np.concatenate([part.tables["errors"]["kind"] for part in block.parts if "errors" in part.tables])
    return {kind: int((kinds == kind).sum()) for kind in ErrorKind}


@pytest.mark.parametrize(("code", "years"), [("none", 0.2), ("secded", 0.2), ("chipkill", 1.0)])
def test_with_a_mirror_no_read_is_uncorrectable_but_silent_errors_remain(code, years):
    plain, mirrored = (
        kinds_of_errors(Ecc(code, mirroring=mirroring), round(years * NS_PER_YEAR)) for mirroring in (False, True)
    )
    assert (plain[ErrorKind.UE] > 100) == (code != "none")
    assert mirrored[ErrorKind.UE] == 0
    assert (mirrored[ErrorKind.SDC] > 10) == (plain[ErrorKind.SDC] > 10) == (code != "chipkill")
    assert (mirrored[ErrorKind.CE] > plain[ErrorKind.CE]) == (code != "none")  # command/address faults


@pytest.mark.parametrize("code", ["none", "secded"])
def test_a_mirror_leaves_the_same_pages_and_reads_silently_wrong(code):
    faults = simulate_faults(SEED, NODES, HARDWARE, NS_PER_YEAR)
    plain, mirrored = (physics_of(faults, Ecc(code, mirroring=mirroring)) for mirroring in (False, True))
    soft = [take(found.pages, found.pages.n_reads == 0) for found in (plain, mirrored)]
    assert soft[1].silent.all()
    assert soft[1].pfn.size > 100
    assert soft[1].pfn.tolist() == soft[0].pfn[soft[0].silent].tolist()
    assert mirrored.reads.silent.all()
    assert mirrored.reads.fault.size > 100
    kept = plain.reads.take(plain.reads.silent)
    for mine, others in zip(mirrored.reads, kept, strict=True):
        assert mine.tolist() == others.tolist()


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("mirroring", [False, True])
def test_a_command_that_is_wrong_once_is_corrected_by_a_second_try_or_from_the_copy(mirroring, retry):
    faults = faults_of({"mode": int(Mode.COMMAND_ADDRESS), "hard": 0, "time_ns": 5})
    found = physics_of(faults, Ecc(mirroring=mirroring, command_retry=retry))
    corrected = mirroring or retry
    windows = list(zip(found.windows.low_ns.tolist(), found.windows.errors.tolist(), strict=True))
    assert windows == ([(5, 1)] if corrected else [])
    assert found.reads.time_ns.tolist() == ([] if corrected else [5])
    assert found.pages.pfn.tolist() == ([] if corrected else [NULL])
    assert not found.reads.silent.any()


@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("mirroring", [False, True])
def test_commands_that_stay_wrong_are_fatal_at_every_read_unless_there_is_a_copy(mirroring, retry):
    faults = faults_of({"mode": int(Mode.COMMAND_ADDRESS)})
    found = physics_of(faults, Ecc(mirroring=mirroring, command_retry=retry))
    # A year has more reads than are looked at.
    assert found.reads.pfn.tolist() == ([] if mirroring else [NULL] * FAILURES_MAX)
    assert found.pages.n_reads.tolist() == ([] if mirroring else [FAILURES_MAX])
    assert (found.windows.fault.size > 0) == mirroring
