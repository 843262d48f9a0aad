"""Poison found when the last-level cache writes a line back: which writes, and that no other draw moves.

False-alarm rate 1e-6 per check.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Observer
from node_sim.draws import Seed
from node_sim.memory.pages import Memory, Static, make_frames
from node_sim.memory.sightings import Mask, Range, Sighting, Writes, next_sighting, spell_of
from node_sim.server.policy import Platform, Policy
from node_sim.server.workload import Use, Workload
from node_sim.units import FOREVER, NS_PER_YEAR

ALPHA = 1e-6
SEED = Seed.of(20261126)
N = 40_000
TMPFS = Policy(workload=Workload(use=Use(free=0.0, kernel=0.0, anonymous=0.0, thp=0.0, file=0.0, tmpfs=1.0)))
SHARES = {Observer.USER: 0.55, Observer.KERNEL: 0.15, Observer.DEVICE: 0.05, Observer.WRITE: 0.25}
"""Accesses of a page of tmpfs, typed from the catalogue."""


def sight(share: float, *, hard: bool) -> Sighting:
    """First sightings of many pages of tmpfs that nobody scrubs."""
    rng = np.random.default_rng(7)
    frames = make_frames(SEED, rng.integers(0, 10**6, N), rng.integers(0, 1 << 26, N), Static(0.0, 0.0, 0.0, 0.0))
    memory, never, start = Memory.of(TMPFS), np.full(N, FOREVER), np.zeros(N, np.int64)
    mask = Mask(np.full(N, -1), never, never, never, np.zeros(N, np.int64))
    deaths = np.full((1, memory.processes.count), -1)
    spell = spell_of(memory, frames, start, mask)
    where = Range(start, never, np.full(N, 90 * NS_PER_YEAR))
    return next_sighting(memory, frames, mask, deaths, spell, Writes(np.full(N, hard), np.full(N, share)), where)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("hard", [False, True])
def test_that_share_of_the_writes_is_found_at_write_back(share, hard):
    found = sight(share, hard=hard)
    expected = {**SHARES, Observer.WRITE: SHARES[Observer.WRITE] * (1 - share) * (not hard)}
    expected[Observer.WRITE_BACK] = SHARES[Observer.WRITE] * share
    seen = {observer: int((found.observer == observer).sum()) for observer in expected}
    assert sum(seen.values()) == N
    some = [observer for observer, part in expected.items() if part > 0]
    assert all(seen[observer] == 0 for observer in expected if observer not in some)
    total = sum(expected[observer] for observer in some)
    p = stats.chisquare([seen[o] for o in some], [expected[o] / total * N for o in some]).pvalue
    assert p > ALPHA


def test_a_write_is_found_at_its_own_time_and_nothing_else_moves():
    none, every = sight(0.0, hard=False), sight(1.0, hard=False)
    written = none.observer == Observer.WRITE
    assert written.sum() > N / 10
    assert (every.observer == np.where(written, int(Observer.WRITE_BACK), none.observer)).all()
    assert (every.time_ns == none.time_ns).all()
    assert (every.mark == none.mark).all()


@pytest.mark.parametrize("hard", [False, True])
def test_more_partial_writes_only_add_to_those_found(hard):
    few, many = sight(0.2, hard=hard), sight(0.6, hard=hard)
    assert (many.time_ns <= few.time_ns).all()
    assert (many.observer[few.observer == Observer.WRITE_BACK] == Observer.WRITE_BACK).all()


def test_platforms_that_report_no_write_back_find_nothing_there():
    silent = Platform(partial_write_share=1.0)
    assert silent.found_at_writeback == 0.0
    assert replace(silent, writeback_report="srao").found_at_writeback == 1.0
