"""Laws of counting and daemons by name: stories on windows made by hand, brute force, what names stand for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner

from fleet.cli import main
from node_sim.catalog.kernels import PROFILE_NAMES, PROFILES
from node_sim.codes import Mode, OfflineTrigger
from node_sim.corrected.asking import Ground, OfflineQuestion, Offlines
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.live_errors import count_live
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.offlining import Counted, find_offlines
from node_sim.corrected.windows import Windows, error_time_ns
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap, Dimm
from node_sim.dram.page_order import PageOrder
from node_sim.draws import Seed
from node_sim.errors import ConfigError
from node_sim.lives.block import simulate_block
from node_sim.memory.pages import Static
from node_sim.server.hardware import Faults, Hardware, Server
from node_sim.server.kernel import Kernel
from node_sim.server.page_offline import OfflineScope, PageOffline
from node_sim.server.policy import Platform, Policy
from node_sim.server.workload import Use, Workload
from node_sim.units import FOREVER, NS_PER_DAY, NS_PER_HOUR, NS_PER_YEAR
from tests.handmade import faults_of

SERVER = Server(channels=2)
ADDRESS_MAP = AddressMap(SERVER)
OWNED = Workload(use=Use(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0))
LINES = Dimm.of(SERVER).lines
RASDAEMON, MCELOG = PageOffline(daemon="rasdaemon"), PageOffline(daemon="mcelog")
WINDOW = PageOffline(2)


def wide(shape: dict[str, int], n_pages: int) -> FaultTable:
    """A fault of so many pages, in the order of their addresses."""
    one = faults_of({"mode": int(Mode.ROW), **shape})
    return one._replace(n_pages=np.asarray([n_pages]), order=PageOrder(np.asarray([0]), np.asarray([1])))


def count(
    daemon: PageOffline,
    windows: list[tuple[float, float, int]],
    shape: dict[str, int] | None = None,
    booted_h: float = 0.0,
    n_pages: int = 1,
) -> tuple[Counted, Windows, Eras]:
    """Let a daemon count the errors of one fault: windows from one hour to another with so many errors each."""
    rule = daemon.on(PROFILES["6.1"], amd=False)
    faults = wide(shape or {}, n_pages)
    begin, end, errors = (np.asarray(part) for part in zip(*windows, strict=True))
    low_ns, high_ns = ((part * NS_PER_HOUR).astype(np.int64) for part in (begin, end))
    n, zero = len(windows), np.zeros(1, np.int64)
    listed = Windows.even(
        np.zeros(n, np.int64), low_ns // NS_PER_DAY, low_ns, high_ns, errors, np.minimum(errors, n_pages),
        np.full(n, 0.4), np.zeros(n, np.bool_), np.full(n, -1),
    )  # fmt: skip
    eras = Eras(
        zero, zero, zero + int(booted_h * NS_PER_HOUR), zero + NS_PER_YEAR, zero + rule.ce_threshold,
        np.asarray([int(rule.by)]), zero + rule.row_columns, zero + rule.age_ns,
        np.zeros((1, len(OfflineQuestion)), np.int64),
    )  # fmt: skip
    index, ground = WindowIndex(listed, 1), Ground(Seed.of(1), ADDRESS_MAP, Static.of(OWNED))
    return find_offlines(eras, spans_of(eras, index), index, faults, ground, Poisoned.none()), listed, eras


def taken(daemon: PageOffline, windows: list[tuple[float, float, int]], booted_h: float = 0.0) -> Offlines:
    """Return what a daemon takes offline of a fault of one page."""
    return count(daemon, windows, booted_h=booted_h)[0].offlines


MONTHS_APART = [(240.0, 241.0, 1), (2400.0, 2401.0, 1)]


def test_cec_takes_a_page_whose_two_errors_are_months_apart_in_one_boot_and_no_daemon_does():
    found = taken(PageOffline(daemon="cec"), MONTHS_APART)
    assert found.time_ns.tolist() == [int(2400 * NS_PER_HOUR + 0.4 * NS_PER_HOUR)]
    assert found.trigger.tolist() == [OfflineTrigger.KERNEL_CEC]
    for daemon in (MCELOG, WINDOW):
        assert not taken(daemon, MONTHS_APART).era.size


def test_a_boot_between_two_errors_lets_cec_begin_anew():
    assert not taken(PageOffline(daemon="cec"), MONTHS_APART, booted_h=300.0).era.size


MIDNIGHT = [(23.0, 24.0, 30), (24.0, 25.0, 30)]


def test_a_burst_over_midnight_fills_a_bucket_of_50_and_no_window_has_50():
    found = taken(RASDAEMON, MIDNIGHT)
    assert found.error.tolist() == [20]
    assert found.span.tolist() == [1]
    assert found.trigger.tolist() == [OfflineTrigger.CE_THRESHOLD]
    assert not taken(PageOffline(50), MIDNIGHT).era.size
    assert taken(PageOffline(30), MIDNIGHT).error.tolist() == [30]


def test_errors_of_the_window_that_a_boot_cuts_fill_a_bucket_and_do_not_count_by_window():
    windows = [(1.0, 3.0, 200)]
    assert taken(RASDAEMON, windows, booted_h=2.0).error.size == 1
    assert not taken(PageOffline(50), windows, booted_h=2.0).error.size


ANCHORED = [(0.0, 0.001, 1), (23.0, 23.5, 30), (24.5, 25.0, 30)]
"""A bucket that starts at 0 h is emptied by the first error after 24 h; yet 60 errors come within two hours."""


def test_a_bucket_starts_with_its_first_error_and_a_row_keeps_the_errors_of_the_last_day():
    assert not taken(RASDAEMON, ANCHORED).era.size
    assert taken(RASDAEMON, ANCHORED[1:]).error.tolist() == [20]
    row = taken(PageOffline(daemon="rasdaemon_row"), ANCHORED)
    assert set(row.error.tolist()) == {20}
    assert set(row.trigger.tolist()) == {OfflineTrigger.ROW_THRESHOLD}
    assert row.pfn.size == LINES // 16  # all pages of the row on one of two channels


def literal(daemon: PageOffline, times: list[int]) -> int | None:
    """Count errors of one page or row as the source of the daemon does; return which one is too many."""
    count, start, kept = 0, times[0] if times else 0, []
    for number, time in enumerate(times):
        if daemon.by is OfflineScope.ROW:
            kept = [one for one in kept if time - one <= daemon.age_ns] + [time]
            count = len(kept)
        else:
            if daemon.age_ns < FOREVER and time - start >= daemon.age_ns:
                count = max(0, count - int((time - start) / daemon.age_ns * daemon.ce_threshold))
                start = time
            count += 1
        if count >= daemon.ce_threshold:
            return number
    return None


SHAPES = [{}, {"n_lines": LINES}, {"n_lines": LINES, "n_rows": 3}, {"n_lines": LINES // 4, "line": 5, "n_rows": 2}]
RULES = [
    *(PageOffline(limit, counting="bucket", age_hours=hours) for limit in (1, 2, 6, 20) for hours in (3.0, 24.0, 90.0)),
    *(PageOffline(limit, counting="boot") for limit in (1, 2, 6, 40)),
    *(
        PageOffline(limit, "row", counting="bucket", age_hours=hours)
        for limit in (1, 2, 6, 40)
        for hours in (3.0, 24.0, 90.0)
    ),
]


@pytest.mark.parametrize("seed", range(40))
def test_a_law_takes_what_its_source_takes_error_by_error_and_the_rest_is_still_seen(seed):
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    n_pages = int(ADDRESS_MAP.page_count(wide(shape, 1).box)[0])
    faults = wide(shape, n_pages)
    windows = []
    for day in np.flatnonzero(rng.random(30) < 0.4).tolist():
        begin, end = np.sort(rng.random(2) * 24) + day * 24
        windows.append((begin, end + 0.01, int(rng.integers(1, rng.choice((3, 20, 90))))))
    if not windows:
        return
    booted_h = float(rng.choice((0.0, windows[0][0] + 0.3)))
    for daemon in RULES:
        found, listed, eras = count(daemon, windows, shape, booted_h, n_pages)
        index = WindowIndex(listed, 1)
        errors = sorted(
            (int(error_time_ns(listed.take([k]), np.asarray([number]))[0]), (number - 1) % int(listed.n_pages[k]))
            for k in range(len(windows))
            for number in range(1, int(listed.errors[k]) + 1)
        )
        errors = [one for one in errors if one[0] >= eras.from_ns[0]]
        pfn = faults.pages(ADDRESS_MAP, np.zeros(n_pages, np.int64), np.arange(n_pages)).tolist()
        per_row = n_pages // shape.get("n_rows", 1)
        groups: dict[int, list[tuple[int, int]]] = {}
        for time, page in errors:
            groups.setdefault(page // per_row if daemon.by is OfflineScope.ROW else page, []).append((time, page))
        expected: dict[int, int] = {}
        for name, mine in groups.items():
            too_many = literal(daemon, [time for time, _ in mine])
            if too_many is not None:
                pages = [p for p in range(n_pages) if p // per_row == name] if daemon.by is OfflineScope.ROW else [name]
                expected |= {pfn[page]: mine[too_many][0] for page in pages}
        own = np.isin(found.offlines.pfn, pfn)
        got = dict(zip(found.offlines.pfn[own].tolist(), found.offlines.time_ns[own].tolist(), strict=True))
        assert got == expected, daemon
        counts = count_live(eras, spans_of(eras, index), index, found)
        assert counts.errors.sum() == sum(time <= expected.get(pfn[page], FOREVER) for time, page in errors)


# ---- what names stand for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rasdaemon", PageOffline(50, counting="bucket")),
        ("rasdaemon_row", PageOffline(50, "row", counting="bucket")),
        ("mcelog", PageOffline(2, counting="bucket")),
        ("mcelog_2024", PageOffline(10, counting="bucket")),
        ("mrt", PageOffline(0, "row", 4)),
        ("none", PageOffline()),
    ],
)
def test_a_name_stands_for_the_numbers_of_its_source(name, expected):
    assert PageOffline(daemon=name).on(PROFILES["6.1"], amd=False) == expected


@pytest.mark.parametrize("reporting", ["intel", "firmware_first", "amd"])
def test_cec_acts_at_two_errors_on_intel_since_6_1_and_one_error_later_before_5_4(reporting):
    new = 1023 if reporting == "amd" else 2
    expected = {"4.18": 1024, "5.10": 1023, "6.1": new, "6.12": new, "7.1": new}
    for profile in PROFILE_NAMES:
        policy = Policy(kernel=Kernel(profile), platform=Platform(reporting), page_offline=PageOffline(daemon="cec"))
        if profile in expected:
            assert policy.on(SERVER).page_offline == PageOffline(expected[profile], counting="boot")
        else:
            with pytest.raises(ConfigError, match="'cec', expected another"):
                policy.on(SERVER)


def test_a_name_and_its_settings_are_one_policy():
    hardware = Hardware(SERVER, Faults(fit_factor=40.0))
    named, spelt = Policy(page_offline=MCELOG), Policy(page_offline=PageOffline(2, counting="bucket"))
    rows = simulate_block(Seed.of(3), np.arange(100), hardware, (named, Policy(), spelt), NS_PER_YEAR // 8)
    parts = [part for part in rows.parts if "page_offlines" in part.tables]
    assert parts
    assert {part.arms for part in parts} == {(0, 2)}


@pytest.mark.parametrize(
    ("name", "source"),
    [("mcelog", "andikleen/mcelog @2965a54 mcelog.conf"), ("cec", "drivers/ras/cec.c"), ("mrt", "assumed 2 to 8")],
)
def test_scenario_show_says_whose_rule_a_daemon_is(name, source, tmp_path):
    path = tmp_path / "daemons.toml"
    path.write_text(f'[group.a]\n[arm.default]\n[arm.named]\nset = {{ "page_offline.daemon" = "{name}" }}\n')
    by_arm, by_group = [], []
    for found, change in ((by_arm, ()), (by_group, ("--set", f"page_offline.daemon={name}"))):
        done = CliRunner().invoke(main, ["scenario", "show", str(path), *change])
        assert done.exit_code == 0, done.output
        unfolded = re.sub(r"\n {10,}", " ", done.output)
        lines = re.sub(
            r"^arm .*(\n  .*)*", lambda arm: arm[0].replace("\n ", ""), unfolded, flags=re.MULTILINE
        ).splitlines()
        found += [line for line in lines if "page_offline.daemon" in line and source in line]
    assert [line.split()[0] for line in by_arm] == ["arm"]
    assert "page_offline.daemon" in {line.split()[0] for line in by_group}
