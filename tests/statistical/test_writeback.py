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
from node_sim.memory.sightings import Mask, Range, Reader, Sighting, next_sighting, reader_at, spell_of
from node_sim.server.policy import Platform, Policy
from node_sim.server.workload import Use, Workload
from node_sim.units import FOREVER, NS_PER_YEAR

ALPHA = 1e-6
SEED = Seed.of(20261126)
N = 40_000
TMPFS = Policy(workload=Workload(use=Use(free=0.0, kernel=0.0, anonymous=0.0, thp=0.0, file=0.0, tmpfs=1.0)))
SHARES = {Observer.USER: 0.55, Observer.KERNEL: 0.15, Observer.DEVICE: 0.05, Observer.WRITE: 0.25}
"""Accesses of a page of tmpfs, typed from the catalogue."""


def pages():
    """Many pages of tmpfs that nobody has done anything to."""
    rng = np.random.default_rng(7)
    frames = make_frames(SEED, rng.integers(0, 10**6, N), rng.integers(0, 1 << 26, N), Static(0.0, 0.0, 0.0, 0.0))
    memory, never = Memory.of(TMPFS), np.full(N, FOREVER)
    mask = Mask(np.full(N, -1), never, never, never, np.zeros(N, np.int64))
    return memory, frames, mask, np.full((1, memory.processes.count), -1)


def sight(share: float) -> Sighting:
    """First touches of pages that nobody scrubs."""
    memory, frames, mask, deaths = pages()
    start = np.zeros(N, np.int64)
    where = Range(start, np.full(N, FOREVER), np.full(N, 90 * NS_PER_YEAR))
    return next_sighting(memory, frames, mask, deaths, spell_of(memory, frames, start, mask), np.full(N, share), where)


def read(share: float) -> Reader:
    """Who reads pages from memory at some time."""
    reader, unused = reader_at(*pages(), np.full(N, NS_PER_YEAR), np.full(N, share))
    assert not unused.any()
    return reader


def check_shares(observer: np.ndarray, expected: dict[Observer, float]) -> None:
    """Check that observers are met in proportion, and no others."""
    seen = {known: int((observer == known).sum()) for known in expected}
    assert sum(seen.values()) == N
    some = [known for known, part in expected.items() if part > 0]
    assert all(seen[known] == 0 for known in expected if known not in some)
    total = sum(expected[known] for known in some)
    assert stats.chisquare([seen[o] for o in some], [expected[o] / total * N for o in some]).pvalue > ALPHA


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_that_share_of_the_writes_is_found_at_write_back(share):
    written = SHARES[Observer.WRITE]
    check_shares(
        sight(share).observer,
        {**SHARES, Observer.WRITE: written * (1 - share), Observer.WRITE_BACK: written * share},
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_writes_read_memory_where_they_fill_a_part_of_the_line_and_nowhere_else(share):
    readers = {known: part for known, part in SHARES.items() if known is not Observer.WRITE}
    check_shares(read(share).observer, {**readers, Observer.WRITE: 0.0, Observer.WRITE_BACK: 0.25 * share})


def test_a_write_is_found_at_its_own_time_and_nothing_else_moves():
    none, every = sight(0.0), sight(1.0)
    written = none.observer == Observer.WRITE
    assert written.sum() > N / 10
    assert (every.observer == np.where(written, int(Observer.WRITE_BACK), none.observer)).all()
    assert (every.time_ns == none.time_ns).all()
    assert (every.mark == none.mark).all()


def test_more_partial_writes_only_add_to_those_found():
    few, many = sight(0.2), sight(0.6)
    assert (many.time_ns <= few.time_ns).all()
    assert (many.observer[few.observer == Observer.WRITE_BACK] == Observer.WRITE_BACK).all()
    fewer, more = read(0.2), read(0.6)
    added = more.observer != fewer.observer
    assert added.any()
    assert (more.observer[added] == Observer.WRITE_BACK).all()
    assert (more.process == fewer.process).all()


def test_platforms_that_report_no_write_back_find_nothing_there():
    silent = Platform(partial_write_share=1.0)
    assert silent.found_at_writeback == 0.0
    assert replace(silent, writeback_report="srao").found_at_writeback == 1.0
