"""Who owns a page together, whose access a read is, and huge pages as wholes, against shares and rates.

False-alarm rate 1e-6 per check.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from node_sim.codes import Observer, PageUse
from node_sim.draws import Seed
from node_sim.memory.pages import FREE_USE, BlockKind, Memory, Static, make_frames
from node_sim.memory.processes import NOBODY, members_of, pick
from node_sim.memory.sightings import Mask, Range, absent, next_sighting, spell_of
from node_sim.server.policy import Detection, Policy
from node_sim.server.workload import Process, Shared, Use, Workload
from node_sim.units import FOREVER

ALPHA = 1e-6
SEED = Seed.of(20261126)
DAY_NS = 86_400 * 10**9
N = 40_000
PAGES = 1 << 26
SHARED = Shared(forked=0.3, mapped_file=0.5, library=0.2, tmpfs=0.7, hugetlb=0.4, merged=0.9)
PROCESSES = (Process("web", 6, 0.6), Process("cache", 3, 0.3), Process("system", 5, 0.1))
USE = Use(free=0.05, kernel=0.05, anonymous=0.2, thp=0.1, hugetlb=0.15, file=0.2, tmpfs=0.1, hugetlb_1g=0.15)
WORKLOAD = Workload(use=USE, shared=SHARED, process=PROCESSES)


def memory_of(workload: Workload = WORKLOAD, **detection: float) -> Memory:
    return Memory.of(Policy(workload=workload, detection=Detection(**detection)))


def frames_of(n: int = N, workload: Workload = WORKLOAD):
    rng = np.random.default_rng(1)
    return make_frames(SEED, rng.integers(0, 10**6, n), rng.integers(0, PAGES, n), Static.of(workload))


def tenancies(n: int = N):
    memory, frames = memory_of(), frames_of(n)
    return memory, frames, memory.tenancy(frames, np.random.default_rng(2).integers(0, 400 * DAY_NS, n))[0]


@pytest.mark.parametrize(
    ("use", "group", "everybody"),
    [
        (PageUse.ANONYMOUS, 0.3, 0.0),
        (PageUse.THP, 0.3, 0.0),
        (PageUse.HUGETLB, 0.4, 0.0),
        (PageUse.HUGETLB_1G, 0.4, 0.0),
        (PageUse.FILE_CLEAN_MAPPED, 0.5, 0.2),
        (PageUse.FILE_CLEAN, 0.0, 0.0),
        (PageUse.TMPFS, 0.7, 0.0),
    ],
)
def test_pages_of_a_use_are_shared_as_often_as_the_workload_says(use, group, everybody):
    memory, _, tenancy = tenancies()
    owners = tenancy.owners[tenancy.use == use]
    assert owners.size > 300
    last = memory.processes.first.size - 1
    related = group * (0.6 + 0.3)  # system daemons have nothing in common
    for seen, share in (((owners == last).sum(), everybody), (((owners >= 14) & (owners < last)).sum(), related)):
        assert stats.binomtest(int(seen), owners.size, share).pvalue > ALPHA


def test_sets_are_a_process_all_of_a_group_or_all_of_the_node():
    processes = memory_of().processes
    which, process = members_of(processes, np.asarray([NOBODY, 3, 14, 15, 16, 17]))
    sets = [process[which == one].tolist() for one in range(6)]
    assert sets == [[], [3], [0, 1, 2, 3, 4, 5], [6, 7, 8], [9, 10, 11, 12, 13], list(range(14))]


def test_the_consumer_of_a_read_is_each_owner_equally_often():
    memory = memory_of()
    words = np.random.default_rng(3).integers(0, 1 << 32, 60_000, np.uint64).astype(np.uint32)
    seen = np.bincount(pick(memory.processes, np.full(words.size, 14), words), minlength=14)
    assert not seen[6:].any()
    assert stats.chisquare(seen[:6]).pvalue > ALPHA


def test_owners_of_a_page_touch_it_at_equal_rates_that_add_up_to_the_rate_of_the_page():
    memory = memory_of(hot_interval_s=6400.0)
    frames, n = frames_of(), N
    tenancy = memory.tenancy(frames, np.zeros(n, np.int64))[0]
    kind = np.where(frames.kind >= BlockKind.POOL_2M, int(BlockKind.ORDINARY), frames.kind)
    frames = frames._replace(kind=kind)
    tenancy = tenancy._replace(use=np.full(n, int(PageUse.TMPFS)), owners=np.full(n, 14), hot=np.ones(n, np.bool_))
    after, end = np.full(n, DAY_NS), np.full(n, 1000 * DAY_NS)
    waits = [
        memory.next_touch(frames, tenancy, np.full(n, process), after, end).time_ns - after for process in (0, 1, 5)
    ]
    mean_ns = 6 * 6400e9 / 64
    for wait in waits:
        assert stats.kstest(wait / mean_ns, "expon").pvalue > ALPHA
    assert stats.spearmanr(waits[0], waits[1]).pvalue > ALPHA


def test_accesses_of_owners_that_have_died_do_not_happen():
    memory = memory_of(hot_share=1.0, hot_interval_s=600.0)
    frames, n = frames_of(), N
    mine = np.flatnonzero(frames.kind == BlockKind.ORDINARY)
    frames, n = frames.take(mine), mine.size
    never, after = np.full(n, FOREVER), np.full(n, DAY_NS)
    mask = Mask(np.full(n, -1), never, never, never, np.zeros(n, np.int64))
    deaths = np.full((1, memory.processes.count), -1)
    deaths[0, :2] = DAY_NS // 2
    spell = spell_of(memory, frames, after, mask)
    fixed = spell.tenancy._replace(
        start_ns=np.zeros(n, np.int64), use=np.full(n, int(PageUse.KSM)), owners=np.full(n, 14), hot=np.ones(n, bool)
    )
    spell = spell._replace(tenancy=fixed, until_ns=never)
    found = next_sighting(memory, frames, mask, deaths, spell, np.zeros(n), Range(after, never, never))
    assert set(found.process.tolist()) == {2, 3, 4, 5}
    assert stats.kstest((found.time_ns - after) / (600e9 * 6 / 4), "expon").pvalue > ALPHA
    assert absent(memory, deaths, mask, fixed.start_ns, np.zeros(n, np.int64), after).all()


def test_the_death_of_an_owner_moves_no_access_of_the_others():
    memory = memory_of(hot_share=1.0, hot_interval_s=600.0)
    frames = frames_of()
    frames = frames.take(np.flatnonzero(frames.kind == BlockKind.ORDINARY))
    n = frames.pfn.size
    never, after = np.full(n, FOREVER), np.full(n, DAY_NS)
    mask = Mask(np.full(n, -1), never, never, never, np.zeros(n, np.int64))
    spell = spell_of(memory, frames, after, mask)
    fixed = spell.tenancy._replace(use=np.full(n, int(PageUse.KSM)), owners=np.full(n, 14), hot=np.ones(n, bool))
    fixed = fixed._replace(start_ns=np.zeros(n, np.int64))
    where = Range(after, never, never)
    found = []
    for killed_ns in (-1, DAY_NS // 2):
        deaths = np.full((1, memory.processes.count), -1)
        deaths[0, 3] = killed_ns
        mine = spell._replace(tenancy=fixed, until_ns=never.copy())
        found.append(next_sighting(memory, frames, mask, deaths, mine, np.zeros(n), where))
    alive, dead = found
    others = alive.process != 3
    for first, second in zip(alive, dead, strict=True):
        assert np.array_equal(first[others], second[others])
    assert (dead.time_ns[~others] > alive.time_ns[~others]).all()


@pytest.mark.parametrize(("kind", "pages"), [(BlockKind.POOL_2M, 512), (BlockKind.POOL_1G, 262_144)])
def test_a_huge_page_has_one_use_and_its_owners_as_a_whole(kind, pages):
    memory = memory_of()
    rng = np.random.default_rng(4)
    first = rng.integers(0, PAGES // pages, 300) * pages
    pfn = (first[:, None] + np.concatenate(([0, pages - 1], rng.integers(0, pages, 6)))).ravel()
    node, time_ns = np.repeat(rng.integers(0, 1000, 300), 8), np.repeat(rng.integers(0, 400 * DAY_NS, 300), 8)
    frames = make_frames(SEED, node, pfn, Static.of(WORKLOAD))
    tenancy = memory.tenancy(frames, time_ns)[0]
    mine = (frames.kind == kind).reshape(-1, 8)
    assert (mine == mine[:, :1]).all()
    assert 20 < mine[:, 0].sum() < 280
    for part in (tenancy.use, tenancy.owners, tenancy.start_ns, frames.spare):
        cells = part.reshape(-1, 8)[mine[:, 0]]
        assert (cells == cells[:, :1]).all()


def test_shares_of_pools_and_of_the_kernel_are_those_of_the_workload():
    kind = frames_of().kind
    for one, share in ((BlockKind.KERNEL, 0.05), (BlockKind.POOL_2M, 0.15), (BlockKind.POOL_1G, 0.15)):
        assert stats.binomtest(int((kind == one).sum()), N, share).pvalue > ALPHA


def test_spare_huge_pages_are_as_common_as_the_workload_says():
    frames = frames_of(workload=replace(WORKLOAD, spare_huge_page_share=0.8))
    pool = frames.spare[frames.kind >= BlockKind.POOL_2M]
    assert stats.binomtest(int(pool.sum()), pool.size, 0.8).pvalue > ALPHA


def test_a_huge_page_that_is_broken_up_is_free_and_then_ordinary_memory():
    memory, frames = memory_of(), frames_of()
    frames = frames.take(np.flatnonzero(frames.kind >= BlockKind.POOL_2M))
    n = frames.pfn.size
    never, broken = np.full(n, FOREVER), np.full(n, 10 * DAY_NS)
    mask = Mask(np.full(n, -1), broken, never, never, np.zeros(n, np.int64))
    before, soon, later = (spell_of(memory, frames, broken + step, mask) for step in (-1, 1, DAY_NS))
    assert (before.until_ns <= broken).all()
    assert (soon.tenancy.use == FREE_USE[BlockKind.ORDINARY]).all()
    assert (soon.until_ns <= broken + memory.refill_ns).all()
    pools = (PageUse.HUGETLB, PageUse.HUGETLB_FREE, PageUse.HUGETLB_1G, PageUse.HUGETLB_1G_FREE)
    assert np.isin(before.tenancy.use, pools).all()
    assert not np.isin(later.tenancy.use, pools).any()


def test_the_whole_of_a_huge_page_is_touched_at_the_mean_rate_of_its_pages():
    memory = memory_of(hot_share=0.5, hot_interval_s=1e6, cold_interval_hours=1e6 / 1800)
    frames = frames_of()
    frames = frames.take(np.flatnonzero(frames.kind == BlockKind.POOL_2M))
    n = frames.pfn.size
    tenancy = memory.tenancy(frames, np.zeros(n, np.int64))[0]
    tenancy = tenancy._replace(use=np.full(n, int(PageUse.HUGETLB)), owners=np.zeros(n, np.int64))
    after = np.full(n, DAY_NS)
    found = memory.next_touch(frames, tenancy, np.zeros(n, np.int64), after, np.full(n, FOREVER))
    mean_ns = 1.0 / (0.5 / 1e15 + 0.5 / 2e15) / (64 * 512)
    assert stats.kstest((found.time_ns - after) / mean_ns, "expon").pvalue > ALPHA
    assert Observer.USER in found.kind
