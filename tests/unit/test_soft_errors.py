"""Errors of the pages of one soft row fault: their order, and the pages that a daemon takes offline for them."""

from __future__ import annotations

import numpy as np
import pytest

from node_sim.corrected.asking import Ground, OfflineQuestion, Offlines
from node_sim.corrected.eras import Eras, WindowIndex, spans_of
from node_sim.corrected.limits import count_together
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.offlining import find_offlines
from node_sim.corrected.windows import Windows
from node_sim.dram.geometry import AddressMap
from node_sim.draws import Seed
from node_sim.memory.pages import Static
from node_sim.server.hardware import Server
from node_sim.server.policy import Detection, Policy
from node_sim.server.workload import Use, Workload
from node_sim.units import NS_PER_DAY
from tests.handmade import corrected_windows, soft_rows

SEED, SERVER, N = Seed.of(11), Server(), 200
ALL_USED = Workload(use=Use(free=0.0, kernel=0.0, anonymous=1.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0))
FAULTS = soft_rows(N, SERVER)


@pytest.fixture(scope="module")
def windows() -> Windows:
    detection = Detection(scrub_hours=48.0, hot_share=0.0, cold_interval_hours=30.0)
    policy = Policy(detection=detection, workload=ALL_USED)
    return corrected_windows(SEED, FAULTS, np.ones(N, np.bool_), policy, 90 * NS_PER_DAY, SERVER)


def offlines(windows: Windows, threshold: int) -> Offlines:
    zero = np.zeros(N, np.int64)
    answer = np.zeros((N, len(OfflineQuestion)), np.int64)
    eras = Eras(
        np.arange(N), np.arange(N), zero, zero + 90 * NS_PER_DAY, zero + threshold, zero > 0, zero, zero, answer
    )
    index = WindowIndex(windows, N)
    ground = Ground(SEED, AddressMap(SERVER), Static.of(ALL_USED))
    return find_offlines(eras, spans_of(eras, index), index, FAULTS, ground, Poisoned.none()).offlines


def test_errors_of_a_soft_fault_are_ordered_by_window_observer_and_time(windows):
    rows = list(
        zip(*(part.tolist() for part in (windows.fault, windows.window, windows.scrub, windows.low_ns)), strict=True)
    )
    assert rows == sorted(rows)
    assert len({row[:3] for row in rows}) > 2 * N  # more than two rows of errors for a fault, on average


def test_each_page_that_is_seen_goes_offline_at_its_one_error_if_one_is_enough(windows):
    found = offlines(windows, threshold=1)
    expected = sorted(zip(windows.fault.tolist(), windows.page.tolist(), windows.low_ns.tolist(), strict=True))
    assert list(zip(found.era.tolist(), found.page.tolist(), found.time_ns.tolist(), strict=True)) == expected
    assert found.pfn.tolist() == FAULTS.pages(AddressMap(SERVER), found.era, found.page).tolist()


def test_no_page_of_a_soft_fault_has_two_errors(windows):
    assert offlines(windows, threshold=2).era.size == 0


def test_errors_of_a_dimm_count_together_by_window(windows):
    dimm = windows.fault // 3
    total: dict[tuple[int, int], int] = {}
    names = list(zip(dimm.tolist(), windows.window.tolist(), strict=True))
    for name in names:
        total[name] = total.get(name, 0) + 1
    assert count_together(windows, dimm).tolist() == [total[name] for name in names]


def test_a_fault_shows_errors_up_to_its_last_page_that_is_seen(windows):
    last = [max(windows.page[windows.fault == fault].tolist(), default=-1) + 1 for fault in range(N)]
    assert WindowIndex(windows, N).shown().tolist() == last
