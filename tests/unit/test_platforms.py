"""Settings of the platform: the pace of the scrubber, who reports, and combinations that are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fleet.scenario.decode import decode
from fleet.scenario.fleet import Group
from node_sim.catalog.parts import PARTS
from node_sim.codes import CheckAction, ErrorKind, Mode, Observer, Severity
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.lives.block import simulate_block
from node_sim.lives.physics import Store, simulate_physics
from node_sim.lives.policies import PolicyColumns
from node_sim.lives.steps import run_lives, start_lives
from node_sim.lives.world import World
from node_sim.memory.pages import Memory
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.policy import Cordon, Detection, Ecc, Kernel, Platform, Policy, Repair
from node_sim.server.workload import Use, Workload
from node_sim.units import NS_PER_DAY, NS_PER_S, NS_PER_YEAR, PAGE_BYTES
from tests.handmade import faults_of

SEED = Seed.of(3)
HARDWARE = Hardware(faults=Faults(fit_factor=20.0))
BASE = Policy(ecc=Ecc("secded"))


def simulate(policy: Policy, nodes: int = 200) -> dict:
    block = simulate_block(SEED, np.arange(nodes), HARDWARE, (policy,), NS_PER_YEAR // 4)
    tables: dict = {}
    for part in block.parts:
        for name, columns in part.tables.items():
            for column, cells in columns.items():
                tables.setdefault(name, {}).setdefault(column, []).append(cells)
    return {name: {c: np.concatenate(cells) for c, cells in columns.items()} for name, columns in tables.items()}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_memory_of_a_server_is_that_of_its_address_map(part, ranks):
    server = Server(part=part, ranks=ranks)
    assert server.memory_gb * 2**30 == AddressMap(server).pages * PAGE_BYTES


def test_64_gb_per_day_need_12_days_for_768_gb():
    assert Server().memory_gb == 768
    settled = BASE.on(Server()), dataclasses.replace(BASE, detection=Detection(scrub_gb_per_day=64.0)).on(Server())
    assert [policy.detection.scrub_ns for policy in settled] == [NS_PER_DAY, 12 * NS_PER_DAY]


def test_half_the_memory_is_scrubbed_in_half_the_time():
    paced = Detection(scrub_gb_per_day=50.0)
    assert 2 * paced.on(Server(ranks=1)).scrub_ns == paced.on(Server(ranks=2)).scrub_ns


def test_a_pace_gives_the_rows_of_the_period_it_takes():
    paced, period = (
        simulate(dataclasses.replace(BASE, detection=detection))
        for detection in (Detection(scrub_gb_per_day=64.0), Detection(scrub_hours=288.0))
    )
    assert paced.keys() == period.keys()
    assert all((paced[t][c] == period[t][c]).all() for t in paced for c in paced[t])
    usual = simulate(BASE)
    by_scrub = [(tables["errors"]["observer"] == Observer.SCRUB).sum() for tables in (paced, usual)]
    assert by_scrub[0] < by_scrub[1]


def test_a_pace_that_was_not_settled_is_a_mistake_of_the_programmer():
    with pytest.raises(AssertionError):
        _ = Detection(scrub_gb_per_day=64.0).scrub_ns


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"detection": {"scrub_gb_per_day": 64.0, "scrub_hours": 0.0}}, "scrub_gb_per_day = 64 with scrub_hours = 0"),
        ({"detection": {"scrub_gb_per_day": 1.0}}, "scrub_gb_per_day = 1 takes 768 days for the server's 768 GB"),
        ({"kernel": {"profile": "3.10"}, "platform": {"reporting": "amd"}}, "profile = '3.10', expected 4.18 or later"),
        ({"platform": {"reporting": "arm"}}, "expected one of intel, amd, firmware_first"),
    ],
)
def test_combinations_that_mean_nothing_explain_themselves(change, complaint):
    with pytest.raises(ConfigError) as error:
        decode("x.toml", {"group": {"a": change}})
    assert complaint in str(error.value)
    assert ".." not in str(error.value)


def test_an_arm_that_does_not_suit_the_server_is_named():
    arm = {"set": {"detection.scrub_gb_per_day": 1.0}}
    with pytest.raises(ConfigError, match=r"x.toml: arm.slow: group.a.detection.scrub_gb_per_day = 1 takes 768 days"):
        decode("x.toml", {"group": {"a": {}}, "arm": {"slow": arm}})


def test_old_kernels_on_amd_are_allowed_without_recovery():
    Group(platform=Platform(reporting="amd", mca_recovery=False), kernel=Kernel(profile="3.10"))


def asynchronous(platform: Platform, profile: str) -> dict:
    tables = simulate(dataclasses.replace(BASE, platform=platform, kernel=Kernel(profile=profile)))
    checks = tables["machine_checks"]
    return {name: cells[checks["cpu_context"] == 0] for name, cells in checks.items()} | {
        name: tables["memory_failures"][name] for name in ("latency_ns", "duration_ns")
    }


def test_amd_defers_what_the_scrubber_finds_and_no_kernel_acts_on_it_by_default():
    for profile in ("6.1", "7.1"):
        checks = asynchronous(Platform(reporting="amd", device_fatal_share=0.0), profile)
        assert set(checks["severity"].tolist()) == {Severity.DEFERRED}
        assert set(checks["action"].tolist()) == {CheckAction.LOG}


def test_a_physical_address_lets_the_latest_kernel_act_on_deferred_errors():
    platform = Platform(reporting="amd", device_fatal_share=0.0, physical_address=True)
    assert CheckAction.QUEUE in asynchronous(platform, "7.1")["action"]


def test_records_of_the_firmware_come_late():
    platform = Platform(reporting="firmware_first", firmware_latency_s=5.0, device_fatal_share=0.0)
    checks = asynchronous(platform, "6.1")
    assert set(checks["severity"].tolist()) == {Severity.RECOVERABLE}
    waited = checks["latency_ns"] - checks["duration_ns"]
    late = waited[waited > 0]
    assert late.size > 50
    assert late.min() >= 5 * NS_PER_S
    # The work itself takes 0.1 s on average, exponentially; six standard errors.
    assert abs(late.mean() / NS_PER_S - 5.1) < 6 * 0.1 / late.size**0.5


def test_pages_of_many_channels_wait_for_the_firmware_and_not_in_the_queue_of_the_kernel():
    # 32 channels, a bad page on each, all found by the scrubber within one delay of the firmware: soft faults of two
    # pins, of which no error goes unnoticed.
    hardware = Hardware(Server(channels=16, sockets=2, dimms_per_channel=1, address_map="closed_page"))
    free = Use(free=1.0, kernel=0.0, anonymous=0.0, thp=0.0, file=0.0, tmpfs=0.0)
    policy = Policy(
        ecc=Ecc("secded"),
        detection=Detection(scrub_hours=0.5),
        platform=Platform(reporting="firmware_first", firmware_latency_s=3600.0),
        workload=Workload(use=free),
        repair=Repair(cordon=Cordon(ue=0)),
    )
    world = World(SEED, hardware, policy, Memory.of(policy), AddressMap(hardware.server), NS_PER_DAY)
    soft = {"hard": 0, "mode": int(Mode.COLUMN), "n_dq": 2}
    faults = faults_of(*(soft | {"dimm": slot} for slot in range(32)))
    pages = world.address_map.page(faults.box, np.zeros(32, np.int64))
    store = Store(world, simulate_physics(world, faults._replace(first_pfn=pages)))
    one, place = np.zeros(1, np.int64), (np.zeros(32, np.int64), np.arange(32))
    state = start_lives(world, store, one, one, PolicyColumns.of([policy]), place)
    run_lives(state)
    log = state.log
    seen = log.column("errors", "kind") == ErrorKind.UE
    assert seen.sum() > 20  # some show one pin only
    action = log.column("machine_checks", "action")
    assert action.size == seen.sum()
    assert set(action.tolist()) == {CheckAction.QUEUE}
