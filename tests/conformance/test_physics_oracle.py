"""The physics of faults against a scalar walk through their reads, on random hardware under random policies.

Times may differ by the last bits of floats: a time of the oracle is the same if it is within ``SLACK_NS``.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from node_sim.catalog.designs import DESIGNS
from node_sim.catalog.fit import RATE_TABLES
from node_sim.catalog.numbers import CMCI_STORMS
from node_sim.codes import Mode, Path
from node_sim.corrected.windows import error_time_ns
from node_sim.dram.faults import Cells, FaultTable, simulate_faults
from node_sim.dram.geometry import AddressMap, Footprint
from node_sim.dram.growth import grow
from node_sim.dram.rates import expected_per_dimm
from node_sim.draws import Seed
from node_sim.ecc.read_risk import read_risk
from node_sim.ecc.verdicts import judge_pairs, wrong_together
from node_sim.lives import physics as product
from node_sim.lives.world import World as LaneWorld
from node_sim.memory.pages import Memory
from node_sim.names import is_second_device
from node_sim.records import NULL
from node_sim.server import policy as config
from node_sim.server.hardware import ADDRESS_MAPS, Faults, Growth, Hardware, Server
from node_sim.server.risk import Risk
from node_sim.server.workload import Use
from node_sim.units import NS_PER_YEAR
from tests.oracle import physics as oracle
from tests.oracle.fault_growth import Box, Draws, Fault, faults_of_table, grown_out_of
from tests.oracle.read_codes import fail_together, risk_of, shown_share, silent_together

WORLDS, CHUNK, LEAST = 90, 10, 5
CODES = ("none", "secded", "sddc_table", "chipkill", "sddc_table", "secded", "chipkill", "ddr5", "secded", "ssc_dsd")
"""Of worlds by their last digit; the last two are of x8 devices, and in lockstep."""
LOCATOR_FROM = 80
"""Worlds from here on have the locator by its algebra."""
CROWDED = (3, 6, 7, 9)
"""Last digits of worlds in which many faults meet, soft ones, too, so that some of that goes unnoticed."""
SLACK_NS = 10_000
FAULT = Fault(0, 0, 0, Mode.ROW, True, 0.0, 0.0, 0.0, False, 0, 1, 1, Box(*(0,) * 5, *(1,) * 4))


@dataclass(frozen=True)
class World:
    """Some nodes under one policy; ``draw_world(number)`` gives it back."""

    number: int
    seed: Seed
    nodes: tuple[int, ...]
    hardware: Hardware
    policy: config.Policy
    horizon_ns: int


def log_uniform(rng: random.Random, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())


def draw_server(rng: random.Random, code: str, number: int) -> Server:
    parts = ("ddr2_1gb_x4", "ddr3_4gb_x4", "ddr4_8gb_x4", "ddr4_16gb_x4")
    part = "ddr5_16gb_x4" if code == "ddr5" else rng.choice(parts)
    if number % 10 == 8:
        part = rng.choice(("ddr3_2gb_x8", "ddr4_8gb_x8"))
    if code in ("sddc_table", "sddc_locator"):
        part = rng.choice(parts[2:])
    address_map = rng.choice(ADDRESS_MAPS)
    return Server(
        sockets=1,
        channels=16 if address_map == "closed_page" else rng.choice((1, 2, 3)),
        dimms_per_channel=1,
        ranks=2 if code == "ssc_dsd" else rng.randint(1, 2),
        part=part,
        address_map=address_map,
        lockstep=code == "ssc_dsd",
    )


def draw_hardware(rng: random.Random, code: str, number: int, horizon_ns: int) -> Hardware:
    server = draw_server(rng, code, number)
    growth = Growth(
        factor=rng.choice((0.0, 1.0, 3.0)),
        share_1x1=rng.random() / 3,
        share_1xm=rng.random() / 3,
        second_device=rng.random() / 3,
        hours_low=log_uniform(rng, 0.01, 100.0),
        years_high=log_uniform(rng, 0.1, 3.0),
    )
    faults = Faults(
        rates=rng.choice(sorted(RATE_TABLES)),
        growth=growth,
        command_address_transient_share=rng.random(),
        frailty_variance=0.0,
        intermittent_share=rng.random(),
        oldest_years=0.0,
        extents=rng.choice(("partial", "whole")),
    )
    per_dimm = expected_per_dimm(Hardware(server, replace(faults, command_address_fit=0.0, lane_fit=0.0)), horizon_ns)
    factor = (35.0 if number % 10 in CROWDED else rng.choice((8.0, 20.0))) / (per_dimm * server.dimms)
    faults = replace(
        faults, fit_factor=factor, command_address_fit=rng.choice((5.0, 50.0)) * factor, lane_fit=2.0 * factor
    )
    return Hardware(server, replace(faults, extents="whole") if number % 10 in CROWDED else faults)


def draw_policy(rng: random.Random, code: str) -> config.Policy:
    low = log_uniform(rng, 1e-3, 0.1)
    risk = Risk(
        share_2dq=rng.random(),
        share_3dq=rng.random() / 2,
        share_4dq=rng.random() / 2,
        low=low,
        high=rng.choice((low, 0.5, 1.0)),
        tail_2dq=rng.choice((0.0, 1e-5, 1e-2)),
        tail_4dq=rng.choice((0.0, 1e-5, 1e-2)),
        grown_low=log_uniform(rng, 1e-3, 0.5),
    )
    errors = config.ErrorProcess(
        window_hours=rng.choice((6.0, 24.0, 48.0)),
        burst_interval_days=rng.uniform(2.0, 60.0),
        burst_days=rng.uniform(0.1, 5.0),
        intermittent_interval_days=rng.uniform(10.0, 100.0),
        intermittent_days=rng.uniform(0.05, 2.0),
        burst_spread=rng.choice((0.0, 1.0)),
        median_ce_per_window=log_uniform(rng, 0.5, 50.0),
        sigma_fault=rng.uniform(0.2, 1.5),
        sigma_window=rng.uniform(0.2, 1.2),
        ce_cap_per_day=log_uniform_count(rng, 3, 3000),
        ce_cap_per_quarter_hour=log_uniform_count(rng, 1, 300),
        firmware_threshold=rng.choice((1, 1, 3)),
        scrub_share=rng.random(),
    )
    ecc = config.Ecc(code, risk=risk, command_retry=rng.random() < 0.5, mirroring=rng.random() < 0.15)
    if code == "sddc_locator":
        ecc = replace(ecc, locator_bits=rng.choice((12, 12, 16, 32)), variant=rng.choice(("structured", "random")))
    detection = config.Detection(scrub_hours=rng.choice((0.0, 6.0, 24.0, 2000.0, 8000.0)))
    return config.Policy(errors=errors, ecc=ecc, detection=detection)


def touch(rng: random.Random, policy: config.Policy) -> config.Policy:
    """Let pages be read and overwritten more or less often, and storms be; drawn apart, so that no other draw moves."""
    detection = replace(
        policy.detection,
        hot_share=rng.choice((0.0, 0.3, 1.0)),
        hot_interval_s=log_uniform(rng, 60.0, 1e5),
        cold_interval_hours=log_uniform(rng, 1.0, 3000.0),
    )
    free = rng.choice((0.0, 0.3, 0.9))
    use = Use(free=free, kernel=0.0, anonymous=1.0 - free, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0)
    errors = replace(policy.errors, storm=rng.choice(("none", *CMCI_STORMS)))
    return replace(policy, errors=errors, detection=detection, workload=replace(policy.workload, use=use))


def log_uniform_count(rng: random.Random, low: int, high: int) -> int:
    return round(log_uniform(rng, low, high))


@cache
def draw_world(number: int) -> World:
    rng = random.Random(f"physics {number}")
    code = CODES[number % 10] if number < LOCATOR_FROM else "sddc_locator"
    horizon_ns = round(log_uniform(rng, 0.2, 1.0) * NS_PER_YEAR)
    hardware = draw_hardware(rng, code, number, horizon_ns)
    policy = draw_policy(rng, code)
    if number % 10 in CROWDED:
        ecc, detection = replace(policy.ecc, mirroring=False), config.Detection(scrub_hours=8000.0)
        policy = replace(policy, ecc=ecc, detection=detection)
    policy = touch(random.Random(f"touches {number}"), policy)
    nodes = tuple(sorted(rng.sample(range(1 << 32), 2)))
    return World(number, Seed.of(rng.getrandbits(64)), nodes, hardware, policy, horizon_ns)


@cache
def product_of(number: int) -> product.Physics:
    """Return what the product says, as a block has it."""
    world = draw_world(number)
    born = simulate_faults(world.seed, np.asarray(world.nodes), world.hardware, world.horizon_ns)
    faults, _ = grow(world.seed, born, world.hardware, world.horizon_ns)
    faults = faults.take(np.lexsort((faults.tag, faults.time_ns, faults.node_id)))
    lanes = LaneWorld(
        world.seed,
        world.hardware,
        world.policy,
        Memory.of(world.policy),
        AddressMap(world.hardware.server),
        world.horizon_ns,
    )
    return product.simulate_physics(lanes, faults)


@cache
def oracle_faults(number: int) -> list[Fault]:
    world, draws = draw_world(number), Draws(draw_world(number).seed)
    born = simulate_faults(world.seed, np.asarray(world.nodes), world.hardware, world.horizon_ns)
    faults = faults_of_table(born)
    return faults + [
        grown for fault in faults for grown in grown_out_of(draws, fault, world.hardware, world.horizon_ns)
    ]


@cache
def oracle_of(number: int) -> oracle.Physics:
    world = draw_world(number)
    address_map = AddressMap(world.hardware.server)
    return oracle.simulate(Draws(world.seed), oracle_faults(number), world.policy, address_map, world.horizon_ns)


def pfns(number: int, places: list[tuple[Any, int] | None]) -> list[int]:
    """Return the pages of places, all at once."""
    known = [place for place in places if place is not None]
    boxes = Footprint(*(np.asarray([box[part] for box, _ in known], np.int64) for part in range(9)))
    ordinal = np.asarray([at for _, at in known], np.int64)
    found = iter(AddressMap(draw_world(number).hardware.server).page(boxes, ordinal).tolist())
    return [NULL if place is None else next(found) for place in places]


def rows(table: FaultTable, record: Any, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return rows of the product, fault by name first."""
    name = (table.node_id[record.fault].tolist(), table.tag[record.fault].tolist())
    return list(zip(*name, *(getattr(record, part).tolist() for part in names), strict=True))


def same(number: int, expected: list[tuple[Any, ...]], found: list[tuple[Any, ...]], times: int) -> None:
    """Compare sorted rows whose last columns are times."""
    expected, found = sorted(expected), sorted(found)
    missing = Counter(row[:-times] for row in expected)
    missing.subtract(row[:-times] for row in found)
    wrong = {row: count for row, count in missing.items() if count}
    assert not wrong, f"draw_world({number}): {draw_world(number)}\nmissing (1) and surplus (-1): {wrong}"
    apart = np.abs(np.asarray([row[-times:] for row in expected]) - np.asarray([row[-times:] for row in found]))
    late = np.flatnonzero(apart.reshape(-1, times).max(axis=1) > SLACK_NS)
    assert not late.size, (number, [(expected[at], found[at]) for at in late])


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_faults_grow_like_those_of_the_oracle(first: int) -> None:
    for number in range(first, first + CHUNK):
        found = faults_of_table(product_of(number).faults)
        expected = {(fault.node, fault.tag): fault for fault in oracle_faults(number)}
        assert len(found) == len(expected)
        for fault in found:
            mine = expected[fault.node, fault.tag]
            assert abs(fault.time - mine.time) <= SLACK_NS, number
            assert fault.pace == pytest.approx(mine.pace, rel=1e-12)
            assert fault.first_burst == pytest.approx(mine.first_burst, rel=1e-12)
            drawn = {"time": mine.time, "pace": mine.pace, "first_burst": mine.first_burst}
            assert replace(fault, **drawn) == mine, number


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_reads_that_fail_are_those_of_the_oracle(first: int) -> None:
    for number in range(first, first + CHUNK):
        got, mine = product_of(number), oracle_of(number).reads
        expected = [
            (one.fault.node, one.fault.tag, pfn, one.scrub, one.silent, int(one.path), one.time)
            for one, pfn in zip(mine, pfns(number, [one.place for one in mine]), strict=True)
        ]
        same(number, expected, rows(got.faults, got.reads, ("pfn", "scrub", "silent", "path", "time_ns")), 1)


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_pages_of_soft_faults_are_those_of_the_oracle(first: int) -> None:
    for number in range(first, first + CHUNK):
        got, mine = product_of(number), oracle_of(number).soft
        expected = [
            (one.fault.node, one.fault.tag, pfn, one.silent, int(one.path), 0)
            for one, pfn in zip(mine, pfns(number, [one.place for one in mine]), strict=True)
        ]
        found = rows(got.faults, got.pages, ("pfn", "silent", "path", "n_reads"))
        same(number, expected, [row for row in found if not row[-1]], 1)


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_corrected_errors_of_hard_faults_are_those_of_the_oracle(first: int) -> None:
    for number in range(first, first + CHUNK):
        got, mine = product_of(number), oracle_of(number).corrected
        expected = [
            (
                *(one.fault.node, one.fault.tag, one.window.number, one.errors, one.n_pages),
                *(one.window.scrub, one.window.u, one.window.low, one.window.high),
            )
            for one in mine
        ]
        hard = got.windows.take(got.faults.hard[got.windows.fault])
        names = ("window", "errors", "n_pages", "scrub", "u", "low_ns", "high_ns")
        same(number, expected, rows(got.faults, hard, names), 2)


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_corrected_errors_of_hard_faults_come_when_the_oracle_has_read_them(first: int) -> None:
    for number in range(first, first + CHUNK):
        got, mine = product_of(number), oracle_of(number).corrected
        windows = got.windows.take(got.faults.hard[got.windows.fault])
        of = np.repeat(np.arange(windows.errors.size), windows.errors)
        k = np.arange(of.size) - np.repeat(np.cumsum(windows.errors) - windows.errors, windows.errors) + 1
        times = np.split(error_time_ns(windows.take(of), k), np.cumsum(windows.errors)[:-1])
        names = rows(got.faults, windows, ("window",))
        expected = {(one.fault.node, one.fault.tag, one.window.number): one.times() for one in mine}
        for name, found in zip(names, times, strict=True) if names else ():
            assert len(found) == len(expected[name]), (number, name)
            assert np.abs(found - np.asarray(expected[name])).max() <= SLACK_NS, (number, name)


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_corrected_errors_of_soft_faults_are_those_of_the_oracle_page_by_page(first: int) -> None:
    for number in range(first, first + CHUNK):
        world, got, mine = draw_world(number), product_of(number), oracle_of(number).soft_errors
        expected = [
            (
                *(one.fault.node, one.fault.tag, one.window, one.touch.page, 1, 1, one.touch.scrub),
                *(one.touch.pfn, one.touch.time, (one.touch.time or 0) + 1),
            )
            for one in mine
        ]
        soft = got.windows.take(~got.faults.hard[got.windows.fault])
        names = ("window", "page", "errors", "n_pages", "scrub", "low_ns", "high_ns")
        pfn = got.faults.pages(AddressMap(world.hardware.server), soft.fault, soft.page)
        pfn = np.where(got.faults.on_wires[soft.fault], NULL, pfn).tolist()
        found = [(*row[:-2], at, *row[-2:]) for row, at in zip(rows(got.faults, soft, names), pfn, strict=True)]
        same(number, expected, found, 2)


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_risks_of_faults_are_those_of_the_oracle(first: int) -> None:
    for number in range(first, first + CHUNK):
        world, table = draw_world(number), product_of(number).faults
        found = read_risk(world.seed, table, world.policy.ecc)
        expected = [risk_of(Draws(world.seed), fault, world.policy.ecc) for fault in faults_of_table(table)]
        assert found.p == pytest.approx([one.p for one in expected], rel=1e-9, abs=1e-15), number
        own = ~is_second_device(table.tag)  # of a second device the first one's reads are looked at
        silent = np.asarray([one.silent for one in expected])
        assert found.silent[own] == pytest.approx(silent[own], rel=1e-9, abs=1e-15), number


@pytest.mark.parametrize("code", sorted({*CODES, "sddc_locator"} - {"none"}))
def test_verdicts_on_two_faults_are_those_of_the_oracle(code: str) -> None:
    rng, draws = random.Random(code), []
    design = DESIGNS[code]
    while len(draws) < 200:
        beats = rng.choice((1, 2, 3, (1 << design.beats) - 1, rng.randrange(1, 1 << design.beats)))
        draws.append((rng.randrange(design.devices), rng.randrange(1, 16), beats))
    cells = np.asarray(draws).T
    n_dq, n_beats = (np.bitwise_count(part).astype(np.int64) for part in cells[1:])
    table = Cells(cells[0], n_dq, cells[1], n_beats, cells[2])
    half = np.arange(100)
    fails, silent = judge_pairs(code, table.take(half), table.take(half + 100))
    shown = wrong_together(code, table.take(half), table.take(half + 100))
    faults = [replace(FAULT, device=device, pins=pins, beats=beats) for device, pins, beats in draws]
    pairs = list(zip(faults[:100], faults[100:], strict=True))
    assert fails.tolist() == [fail_together(code, a, b) for a, b in pairs]
    assert shown == pytest.approx([shown_share(code, a, b) for a, b in pairs], rel=1e-12)
    expected = [silent_together(code, a, b) if fail_together(code, a, b) else 0.0 for a, b in pairs]
    assert silent == pytest.approx(expected, rel=1e-9)
    assert fails.sum() > 50


def test_sample_has_a_thousand_faults_and_meets_every_branch() -> None:
    met: Counter[Any] = Counter()
    for number in range(WORLDS):
        world, mine = draw_world(number), oracle_of(number)
        code = world.policy.ecc.code
        met["faults"] += len(oracle_faults(number))
        for one in mine.reads:
            met.update([one.path, (code, one.path), ("silent", code) if one.silent else "detected"])
            met["scrub" if one.scrub else "demand"] += 1
            met["command", one.fault.hard] += one.path is Path.COMMAND_ADDRESS
            met["meeting", one.fault.mode] += one.path in (Path.PAIR, Path.SECOND_DEVICE)
        for page in mine.soft:
            met["soft", page.path, page.silent] += 1
        for fault, pages in mine.touched:
            seen = [page for page in pages if page.is_seen(world.horizon_ns)]
            met["many pages", fault.mode] += len(pages) > 1
            met["many windows"] += len({one.window for one in mine.soft_errors if one.fault is fault}) > 1
            met["both observers"] += len({page.scrub for page in seen}) > 1
            met["page unseen"] += sum(page.time is None for page in pages)
            met["page after the end"] += sum((page.time or 0) >= world.horizon_ns for page in pages)
            met["page overwritten"] += sum(page.overwrites for page in pages)
            met["page scrubbed"] += sum(page.scrub for page in seen)
            met["page read"] += sum(not page.scrub for page in seen)
            met["command seen"] += fault.on_wires
            met["not logged"] += len(seen) - sum(one.fault is fault for one in mine.soft_errors)
        met["in two ways"] += mine.twice
        met["lost later"] += mine.later
        met["corrected", code] += len(mine.corrected)
        for one in mine.corrected:
            met["in order"] += bool(one.reads) and one.errors == one.right
            met["in order, some left out"] += bool(one.reads) and one.errors < one.right
            met["in order, more lost later"] += bool(one.reads) and one.later > 0
        for one in oracle_faults(number):
            met["wider"] += one.wider
            met["second"] += one.second
            met[world.hardware.server.dram.width, one.n_dq] += 1
    wanted = [*Path, *(("corrected", code) for code in CODES if code != "none"), "detected", "scrub", "demand"]
    wanted += ["in order", "in order, some left out", "in order, more lost later"]
    wanted += ["in two ways", "lost later", ("command", True), ("command", False), "wider", "second", (8, 4)]
    wanted += [("meeting", mode) for mode in (Mode.BIT, Mode.COLUMN, Mode.ROW, Mode.BANK, Mode.MULTI_BANK)]
    wanted += [("silent", code) for code in ("none", "secded", "chipkill")]
    wanted += [("secded", Path.BORN), ("secded", Path.GROWN), ("sddc_table", Path.BORN), ("sddc_table", Path.GROWN)]
    wanted += [("sddc_locator", Path.BORN)]
    wanted += [(code, path) for code in (*CODES[1:], "sddc_locator") for path in (Path.PAIR, Path.SECOND_DEVICE)]
    wanted += [("soft", path, silent) for path in (Path.BORN, Path.PAIR) for silent in (False, True)]
    wanted += [("many pages", mode) for mode in (Mode.ROW, Mode.COLUMN, Mode.BANK, Mode.MULTI_BANK)]
    wanted += ["many windows", "both observers", "page unseen", "page after the end", "page overwritten"]
    wanted += ["page scrubbed", "page read", "command seen", "not logged"]
    few = {what: met[what] for what in wanted if met[what] < LEAST}
    assert not few, f"met fewer than {LEAST} times: {few}; all: {dict(met)}"
    assert met["faults"] >= 1000
