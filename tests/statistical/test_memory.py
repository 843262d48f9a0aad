"""Use, owner and accesses of pages over time against the shares and rates of the workload.

False-alarm rate 1e-6 per check, divided by the number of classes where there are several.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from node_sim.catalog.workloads import ACCESS_SHARES, BLOCK_USES, PAGE_REFINEMENT, WORKLOADS
from node_sim.codes import PageUse, ProcessClass
from node_sim.draws import Seed
from node_sim.memory.pages import Frames, Memory, Static, Tenancy, make_frames
from node_sim.memory.processes import NOBODY
from node_sim.server.policy import Detection, Policy
from node_sim.server.workload import Process, Shared, Use, Workload
from node_sim.units import FOREVER

ALPHA = 1e-6
SEED = Seed.of(20260403)
DAY_NS = 86_400 * 10**9
YEAR_NS = 8766 * 3600 * 10**9
N = 60_000
PAGES = 12 * 2**30 // 4096 * 64
OBSERVERS = ("user", "kernel", "device", "write")
BLOCK_OF_USE = {use: block for block, shares in PAGE_REFINEMENT.items() for use in shares}


def policy_of(name: str) -> Policy:
    """A named workload with the default detection."""
    table = WORKLOADS[name]
    workload = Workload(
        tenancy_days=table["tenancy_days"],
        use=Use(**table["use"]),
        process=tuple(Process(**process) for process in table["process"]),
    )
    return Policy(workload=workload)


def frames_of(policy: Policy, n: int = N, seed: int = 1) -> Frames:
    """Random pages of random nodes."""
    rng = np.random.default_rng(seed)
    return make_frames(SEED, rng.integers(0, 10**6, n), rng.integers(0, PAGES, n), Static.of(policy.workload))


def times(n: int = N, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5 * YEAR_NS, n)


def chi2_p(seen: np.ndarray, share: np.ndarray) -> float:
    """p-value of counts against shares; classes of share zero must be empty."""
    assert not seen[share == 0].any()
    some = share > 0
    return stats.chisquare(seen[some], share[some] / share[some].sum() * seen.sum()).pvalue


def same(a: Tenancy, b: Tenancy) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", WORKLOADS)
def test_long_run_shares_of_page_use_are_those_of_the_workload(name):
    policy = policy_of(name)
    tenancy = Memory.of(policy).tenancy(frames_of(policy), times())[0]
    use = dataclasses.asdict(policy.workload.use)
    share = [use[BLOCK_OF_USE[u.text]] * PAGE_REFINEMENT[BLOCK_OF_USE[u.text]][u.text] for u in PageUse]
    assert chi2_p(np.bincount(tenancy.use, minlength=len(PageUse)), np.asarray(share)) > ALPHA


def test_shares_of_page_use_are_stationary_from_the_first_instant():
    policy = policy_of("web")
    tenancy = Memory.of(policy).tenancy(frames_of(policy), np.zeros(N, np.int64))[0]
    use = dataclasses.asdict(policy.workload.use)
    share = [use[BLOCK_OF_USE[u.text]] * PAGE_REFINEMENT[BLOCK_OF_USE[u.text]][u.text] for u in PageUse]
    assert chi2_p(np.bincount(tenancy.use, minlength=len(PageUse)), np.asarray(share)) > ALPHA


@pytest.mark.parametrize("name", WORKLOADS)
def test_owned_pages_belong_to_each_kind_of_process_by_its_share(name):
    policy = policy_of(name)
    memory = Memory.of(policy)
    tenancy = memory.tenancy(frames_of(policy), times())[0]
    sets = memory.processes
    mine = (tenancy.owners != NOBODY) & (tenancy.owners != sets.first.size - 1)  # libraries are everybody's
    kind = sets.kind[sets.first[tenancy.owners[mine]]]
    share = np.zeros(len(ProcessClass))
    for process in policy.workload.process:
        share[ProcessClass[process.kind.upper()]] += process.share
    assert chi2_p(np.bincount(kind, minlength=len(ProcessClass)), share) > ALPHA


def test_processes_of_one_kind_own_equal_shares():
    policy = policy_of("web")
    memory = Memory.of(policy)
    owner = memory.tenancy(frames_of(policy), times())[0].owners
    owner = owner[owner < memory.processes.count]  # others are sets
    share = np.repeat([p.share / p.count for p in policy.workload.process], [p.count for p in policy.workload.process])
    assert chi2_p(np.bincount(owner[owner != NOBODY], minlength=share.size), share) > ALPHA


def test_free_and_kernel_pages_belong_to_nobody_and_all_others_to_somebody():
    policy = policy_of("web")
    frames = frames_of(policy)
    tenancy = Memory.of(policy).tenancy(frames, times())[0]
    assert np.array_equal(tenancy.owners == NOBODY, (tenancy.use == PageUse.FREE) | frames.kernel)


def test_kernel_frames_are_used_by_the_kernel_at_all_times_and_no_others_ever():
    policy = policy_of("web")
    frames = frames_of(policy)
    tenancy = Memory.of(policy).tenancy(frames, times())[0]
    kernel_uses = [PageUse.RESERVED, PageUse.SLAB, PageUse.PAGE_TABLE]
    assert np.array_equal(np.isin(tenancy.use, kernel_uses), frames.kernel)


def test_the_configured_share_of_pages_is_hot():
    policy = policy_of("web")
    tenancy = Memory.of(policy).tenancy(frames_of(policy), times())[0]
    assert stats.binomtest(int(tenancy.hot.sum()), N, 0.3).pvalue > ALPHA


def test_the_uniform_that_decides_a_split_is_uniform():
    policy = policy_of("web")
    assert stats.kstest(Memory.of(policy).tenancy(frames_of(policy), times())[0].splits, "uniform").pvalue > ALPHA


def whole_blocks(policy: Policy, n_blocks: int = 200) -> tuple[Frames, Tenancy]:
    """All 512 pages of some blocks, each block at its own time."""
    rng = np.random.default_rng(3)
    node = np.repeat(rng.integers(0, 1000, n_blocks), 512)
    pfn = (rng.integers(0, PAGES // 512, n_blocks)[:, None] * 512 + np.arange(512)).ravel()
    frames = make_frames(SEED, node, pfn, Static.of(policy.workload))
    return frames, Memory.of(policy).tenancy(frames, np.repeat(times(n_blocks, 4), 512))[0]


def test_pages_of_one_block_share_owner_and_start_of_use():
    alone = dataclasses.replace(policy_of("web").workload, shared=Shared(0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    frames, tenancy = whole_blocks(Policy(workload=alone))
    for part in (tenancy.owners, tenancy.start_ns, frames.kernel):
        blocks = part.reshape(-1, 512)
        assert np.array_equal(blocks, np.broadcast_to(blocks[:, :1], blocks.shape))


def test_pages_of_one_block_are_refinements_of_one_block_use():
    _, tenancy = whole_blocks(policy_of("web"))
    block = np.asarray([BLOCK_USES.index(BLOCK_OF_USE[use.text]) for use in PageUse])[tenancy.use].reshape(-1, 512)
    assert np.array_equal(block, np.broadcast_to(block[:, :1], block.shape))
    assert np.unique(block[:, 0]).size >= 5


def test_pages_of_one_block_are_refined_independently():
    _, tenancy = whole_blocks(policy_of("web"))
    file = tenancy.use[tenancy.use == PageUse.FILE_CLEAN].size
    some = sum(int((tenancy.use == use).sum()) for use in PageUse if BLOCK_OF_USE[use.text] == "file")
    assert stats.binomtest(file, some, PAGE_REFINEMENT["file"]["file clean"]).pvalue > ALPHA


def test_neighbouring_blocks_and_the_same_block_of_another_node_differ():
    policy = policy_of("web")
    pfn = np.asarray([511, 512, 511])
    frames = make_frames(SEED, np.asarray([1, 1, 2]), pfn, Static.of(policy.workload))
    low = frames.block_key.low.tolist()
    assert len(set(low)) == 3


def test_a_tenancy_is_the_same_at_all_times_until_its_end():
    policy = policy_of("web")
    memory, frames, start = Memory.of(policy), frames_of(policy, 3000), times(3000)
    end = memory.tenancy(frames, start)[1]
    now = memory.tenancy(frames, start)[0]
    end = np.minimum(end, 10 * YEAR_NS)
    assert same(now, memory.tenancy(frames, end - 1)[0])
    assert same(now, memory.tenancy(frames, start + (end - start) // 2)[0])
    assert same(now, memory.tenancy(frames, np.maximum(now.start_ns, 0))[0])


def test_a_new_tenancy_begins_at_the_end_of_the_last():
    policy = policy_of("web")
    memory, frames, start = Memory.of(policy), frames_of(policy, 3000), times(3000)
    end = memory.tenancy(frames, start)[1]
    moving = end < FOREVER
    assert np.array_equal(moving, ~frames.kernel)
    assert np.array_equal(memory.tenancy(frames, end)[0].start_ns[moving], end[moving])


def test_successive_tenancies_are_drawn_anew():
    policy = policy_of("web")
    memory, frames, start = Memory.of(policy), frames_of(policy), times()
    end = memory.tenancy(frames, start)[1]
    moving = ~frames.kernel
    before, after = (memory.tenancy(frames, at)[0].use[moving] == PageUse.FREE for at in (start, end))
    use = policy.workload.use
    free = use.free / (1 - use.kernel)
    assert stats.binomtest(int((before & after).sum()), int(moving.sum()), free**2).pvalue > ALPHA


@pytest.mark.parametrize("name", WORKLOADS)
def test_use_changes_at_the_rate_of_one_over_the_tenancy(name):
    policy = policy_of(name)
    memory, frames, start = Memory.of(policy), frames_of(policy), times()
    moving = ~frames.kernel
    end = memory.tenancy(frames, start)[1]
    days = (end - start)[moving] / DAY_NS
    assert stats.kstest(days / policy.workload.tenancy_days, "expon").pvalue > ALPHA


def test_kernel_frames_never_change():
    policy = policy_of("web")
    memory, frames = Memory.of(policy), frames_of(policy, 5000)
    kernel = frames.take(frames.kernel)
    n = kernel.pfn.size
    limit = np.full(n, 50 * YEAR_NS)
    assert (memory.tenancy(kernel, np.zeros(n, np.int64))[1] == FOREVER).all()
    assert same(memory.tenancy(kernel, np.zeros(n, np.int64))[0], memory.tenancy(kernel, limit)[0])


def first_access(use: PageUse, *, hot: bool, n: int = 20_000, after: int = DAY_NS) -> tuple[np.ndarray, ...]:
    """Time since ``after``, kind and mark of the next access of pages of one use."""
    policy = Policy(detection=Detection(hot_interval_s=600.0, cold_interval_hours=240.0))
    frames = frames_of(policy, n, int(use) + 10)
    heat, start = np.full(n, hot), np.full(n, after)
    found = Memory.of(policy).next_access(frames, np.full(n, int(use)), heat, start, start + 100 * YEAR_NS)
    return found[0] - start, found[1], found[2]


@pytest.mark.parametrize(("hot", "mean_ns"), [(True, 600 * 10**9), (False, 240 * 3600 * 10**9)])
def test_the_time_to_the_next_access_is_exponential_with_the_interval_of_hot_or_cold_pages(hot, mean_ns):
    wait, _, _ = first_access(PageUse.ANONYMOUS, hot=hot)
    assert stats.kstest(wait / mean_ns, "expon").pvalue > ALPHA


@pytest.mark.parametrize("use", [use for use in PageUse if not use.text.endswith("free")], ids=lambda use: use.text)
def test_pages_are_accessed_by_each_kind_of_reader_by_the_share_of_their_use(use):
    _, kind, _ = first_access(use, hot=True)
    codes = {"user": 1, "kernel": 2, "device": 3, "write": 4}
    seen = np.asarray([(kind == codes[name]).sum() for name in OBSERVERS])
    assert seen.sum() == kind.size
    assert chi2_p(seen, np.asarray(ACCESS_SHARES[use.text])) > ALPHA


def test_marks_of_accesses_are_uniform_and_independent_of_their_kind():
    _, kind, mark = first_access(PageUse.ANONYMOUS, hot=True)
    assert stats.kstest(mark, "uniform").pvalue > ALPHA
    assert stats.spearmanr(kind, mark).pvalue > ALPHA


def test_free_pages_are_never_accessed():
    policy = Policy()
    frames, start = frames_of(policy, 1000), np.full(1000, DAY_NS)
    limit = start + YEAR_NS
    time, kind, _, _ = Memory.of(policy).next_access(
        frames, np.full(1000, int(PageUse.FREE)), np.ones(1000, np.bool_), start, limit
    )
    assert np.array_equal(time, limit)
    assert set(kind.tolist()) == {-1}


def test_there_is_no_access_before_the_limit_as_often_as_an_exponential_outlasts_it():
    policy = Policy()
    n, start = 20_000, np.full(20_000, DAY_NS)
    limit = start + 600 * 10**9
    frames, use = frames_of(policy, n), np.full(n, int(PageUse.ANONYMOUS))
    time, kind, _, _ = Memory.of(policy).next_access(frames, use, np.ones(n, np.bool_), start, limit)
    assert np.array_equal(time == limit, kind == -1)
    assert stats.binomtest(int((kind == -1).sum()), n, np.exp(-1.0)).pvalue > ALPHA


def test_the_use_of_a_page_does_not_depend_on_those_asked_with_it():
    policy = policy_of("web")
    memory, frames, time = Memory.of(policy), frames_of(policy, 4000), times(4000)
    some = np.random.default_rng(5).permutation(4000)[:600]
    whole = memory.tenancy(frames, time)[0]
    part = memory.tenancy(frames.take(some), time[some])[0]
    assert same(part, Tenancy(*(column[some] for column in whole)))


def test_a_workload_of_kernel_pages_only_is_used_by_the_kernel_only():
    use = Use(free=0.0, kernel=1.0, anonymous=0.0, thp=0.0, hugetlb=0.0, file=0.0, tmpfs=0.0, hugetlb_1g=0.0)
    policy = Policy(workload=Workload(use=use))
    frames = frames_of(policy, 1000)
    assert frames.kernel.all()
    assert (Memory.of(policy).tenancy(frames, times(1000))[0].owners == NOBODY).all()
