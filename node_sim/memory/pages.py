"""What a page is used for at a time, who owns it, and when it is next read or written.

**Models.** Use and owners are drawn per 2 MiB block and refined per 4 KiB page, so that neighbouring pages mostly have
the same owners. Blocks of the kernel and of pools of huge pages are what they are for ever; what pools and other blocks
are used for changes at Poisson times (a *tenancy* lies between two changes). A huge page of a pool, of 2 MiB or 1 GiB,
has one use and its owners as a whole. Pages are hot or cold; accesses that reach a line in DRAM are Poisson points,
each the access of one of the owners.

**Leaves out.** Page migration; pools that change their size.

**Assumes.** The shares in ``catalog/workloads.py``. An arm only masks tenancies: after a kill the owner's
memory, after a boot all memory of processes, is free until it has been filled again; its use from then on to the next
change is a draw of its own, named by the frame and that time. Pages of a large folio are drawn one by one. A huge page
that is touched anywhere is touched at the mean rate of its pages.

**Sources.** None for the shares: no public breakdown exists, so they are swept.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.catalog.workloads import ACCESS_SHARES, BLOCK_USES, PAGE_REFINEMENT
from node_sim.codes import Observer, PageUse
from node_sim.draws import Key, Purpose, Seed, Tag, Words, child_key, split64, unit32, words
from node_sim.memory.processes import NOBODY, ProcessTable
from node_sim.points import next_point, points_around
from node_sim.records import Flags, Floats, Index, Ints, join, take
from node_sim.server.policy import Policy
from node_sim.server.workload import Workload
from node_sim.units import (
    FOREVER,
    LINES_PER_PAGE,
    NS_PER_DAY,
    PAGES_PER_GIGANTIC_PAGE,
    PAGES_PER_HUGE_PAGE,
    hours_to_ns,
    seconds_to_ns,
)

ACCESS_OBSERVERS = (Observer.USER, Observer.KERNEL, Observer.DEVICE, Observer.WRITE)
"""Order of the columns of ``ACCESS_SHARES``."""
KERNEL_BLOCK = BLOCK_USES.index("kernel")


class BlockKind(enum.IntEnum):
    """What a block of memory is for ever: ordinary, the kernel's, or part of a pool of huge pages."""

    ORDINARY = 0
    KERNEL = 1
    POOL_2M = 2
    POOL_1G = 3


_BLOCK_USE = np.asarray([-1, KERNEL_BLOCK, BLOCK_USES.index("hugetlb"), BLOCK_USES.index("hugetlb_1g")])
"""Block use by kind, where the kind decides it."""
FREE_USE = np.asarray([PageUse.FREE, PageUse.FREE, PageUse.HUGETLB_FREE, PageUse.HUGETLB_1G_FREE], np.int64)
"""``PageUse`` of memory that nobody has, by kind of its block."""
UNUSED = np.asarray([use in set(FREE_USE.tolist()) for use in PageUse])
"""Which uses are those of memory that nobody has, by ``PageUse``."""
HUGE_PAGES = np.asarray([1, 1, PAGES_PER_HUGE_PAGE, PAGES_PER_GIGANTIC_PAGE], np.int64)
"""4 KiB pages of a page, by kind of its block."""


class Static(NamedTuple):
    """What is drawn for ever about memory.

    Attributes:
        kernel: Share of blocks of the kernel.
        pool_2m: Share of blocks of the pool of 2 MiB pages.
        pool_1g: Share of blocks of the pool of 1 GiB pages.
        spare: Share of huge pages for which their pool has a spare one.
    """

    kernel: float
    pool_2m: float
    pool_1g: float
    spare: float

    @classmethod
    def of(cls, workload: Workload) -> Static:
        """Return the shares of a workload."""
        use = workload.use
        return cls(use.kernel, use.hugetlb, use.hugetlb_1g, workload.spare_huge_page_share)


class Blocks(NamedTuple):
    """Blocks of memory, of 2 MiB or of 1 GiB pages: key of the child stream, ``BlockKind``, and ``spare`` of frames."""

    key: Key
    kind: Ints
    spare: Flags


class Frames(NamedTuple):
    """Physical pages with the keys of their child streams; arrays of shape ``(n,)``.

    Attributes:
        pfn: Page number.
        block_key: Of the 2 MiB block, or of the 1 GiB page it is part of.
        page_key: Of the 4 KiB page.
        kind: ``BlockKind``.
        spare: Whether a pool has a spare page for a huge page of it.
    """

    pfn: Ints
    block_key: Key
    page_key: Key
    kind: Ints
    spare: Flags

    @property
    def kernel(self) -> Flags:
        """Whether the block is the kernel's."""
        found: Flags = self.kind == BlockKind.KERNEL
        return found

    def take(self, index: Index) -> Frames:
        """Select some frames."""
        return take(self, index)


class Tenancy(NamedTuple):
    """Use of frames at a time, without any arm's mask; arrays of shape ``(n,)``.

    Attributes:
        start_ns: When the use began; -1 before the scenario.
        use: ``PageUse``.
        owners: Number of the set of owning processes (``ProcessTable``), ``NOBODY`` for free and kernel pages.
        hot: Whether the page is read often.
        splits: The uniform that decides whether a huge page can be split.
        large: Whether the page is part of a large folio, if it is one of a file.
    """

    start_ns: Ints
    use: Ints
    owners: Ints
    hot: Flags
    splits: Floats
    large: Flags


class Access(NamedTuple):
    """Accesses to frames, shape ``(n,)``: time [ns], ``Observer`` (-1: none), a uniform mark, a word for the owner."""

    time_ns: Ints
    kind: Ints
    mark: Floats
    by_owner: Words


def _refinement_cdf() -> Floats:
    """Cumulative shares of page uses by block use: shape ``(block uses, page uses)``."""
    table = np.zeros((len(BLOCK_USES), len(PageUse)))
    by_text = {use.text: use for use in PageUse}
    for position, name in enumerate(BLOCK_USES):
        for text, share in PAGE_REFINEMENT[name].items():
            table[position, by_text[text]] = share
    return np.cumsum(table, axis=1)[:, :-1]


def _access_cdf() -> Floats:
    """Cumulative shares of accesses by page use: shape ``(page uses, 3)``."""
    return np.cumsum([ACCESS_SHARES[use.text] for use in PageUse], axis=1)[:, :-1]


def make_frames(seed: Seed, node_id: Ints, pfn: Ints, static: Static) -> Frames:
    """Name the frames of given nodes; ``node_id`` and ``pfn`` have shape ``(n,)``."""
    page_low, page_high = split64(pfn)
    page_key = child_key(words(seed.key(Purpose.PAGE), node_id, page_low, page_high))
    blocks = draw_blocks(seed, node_id, pfn, static)
    return Frames(pfn, blocks.key, page_key, blocks.kind, blocks.spare)


def draw_blocks(seed: Seed, node_id: Ints, pfn: Ints, static: Static) -> Blocks:
    """Draw what the blocks of pages of given nodes are; ``node_id`` and ``pfn`` have shape ``(n,)``."""
    block_key = _block_key(seed, node_id, pfn // PAGES_PER_HUGE_PAGE, 0)
    if static.pool_1g:
        giant_key = _block_key(seed, node_id, pfn // PAGES_PER_GIGANTIC_PAGE, 1)
        giant = unit32(words(giant_key, 0, 0, int(Tag.STATIC))[0]) < static.pool_1g
        block_key = Key(*(np.where(giant, one, other) for one, other in zip(giant_key, block_key, strict=True)))
    drawn = words(block_key, 0, 0, int(Tag.STATIC))
    rest, mark = max(1.0 - static.pool_1g, np.finfo(float).tiny), unit32(drawn[0])
    kernel, pool = mark < static.kernel / rest, mark < (static.kernel + static.pool_2m) / rest
    kind = np.where(kernel, int(BlockKind.KERNEL), np.where(pool, int(BlockKind.POOL_2M), int(BlockKind.ORDINARY)))
    if static.pool_1g:
        kind[giant] = int(BlockKind.POOL_1G)
    return Blocks(block_key, kind, unit32(drawn[1]) < static.spare)


def _block_key(seed: Seed, node_id: Ints, number: Ints, size: int) -> Key:
    """Return the child keys of blocks of memory of one size."""
    low, high = split64(number)
    return child_key(words(seed.key(Purpose.BLOCK), node_id, low, high, size))


@dataclass(frozen=True)
class Memory:
    """Lookup tables of one arm's workload and detection settings; ``mean_ns`` is between accesses at the mean rate."""

    policy: Policy
    processes: ProcessTable
    tenancy_ns: int
    refill_ns: int
    hot_ns: int
    cold_ns: int
    mean_ns: int
    use_cdf: Floats
    refinement_cdf: Floats
    access_cdf: Floats
    accessed: Flags

    @classmethod
    def of(cls, policy: Policy) -> Memory:
        """Prepare the tables of a policy."""
        use = policy.workload.use
        shares = np.asarray(use.shares())
        shares[_BLOCK_USE[1:]] = 0.0
        rest = shares.sum()
        cdf = np.cumsum(shares / rest if rest else np.eye(len(BLOCK_USES))[0])[:-1]
        detection = policy.detection
        hot_ns, cold_ns = seconds_to_ns(detection.hot_interval_s), hours_to_ns(detection.cold_interval_hours)
        return cls(
            policy=policy,
            processes=ProcessTable.of(policy.workload),
            tenancy_ns=round(policy.workload.tenancy_days * NS_PER_DAY),
            refill_ns=seconds_to_ns(60.0 * policy.workload.refill_minutes),
            hot_ns=hot_ns,
            cold_ns=cold_ns,
            mean_ns=round(1.0 / (detection.hot_share / hot_ns + (1.0 - detection.hot_share) / cold_ns)),
            use_cdf=cdf,
            refinement_cdf=_refinement_cdf(),
            access_cdf=_access_cdf(),
            accessed=np.asarray([sum(ACCESS_SHARES[page_use.text]) > 0 for page_use in PageUse]),
        )

    def tenancy(self, frames: Frames, time_ns: Ints) -> tuple[Tenancy, Ints]:
        """Return the use of each frame at a time, and when it next changes [ns], ``FOREVER`` if it never does."""
        width = np.full(time_ns.shape, self.tenancy_ns, np.int64)
        since, next_ns = points_around(frames.block_key, int(Tag.TENANCY), width, time_ns)
        start = np.where(frames.kernel, -1, since.time_ns)
        bins, which = np.where(frames.kernel, 0, since.bin + 1), np.where(frames.kernel, 0, since.position)
        return self._drawn(frames, start, Tag.TENANT, bins, which), np.where(frames.kernel, FOREVER, next_ns)

    def refilled(self, frames: Frames, filled_ns: Ints) -> Tenancy:
        """Return the use of each frame, not of the kernel, since memory that had become free was filled again."""
        return self._drawn(frames, filled_ns, Tag.REFILL, filled_ns // self.tenancy_ns, np.zeros_like(filled_ns))

    def _drawn(self, frames: Frames, start_ns: Ints, tag: Tag, bins: Ints, which: Ints) -> Tenancy:
        """Draw the uses that are named by a bin of time and a number in it; a huge page of a pool has one."""
        low, high = split64(bins)
        both = join([frames.block_key, frames.page_key])
        low, high, number = np.concatenate((low, low)), np.concatenate((high, high)), np.concatenate((which, which))
        drawn = words(both, low, high, int(tag), number)
        n = bins.size
        by_use, by_group, by_member, by_sharing = (part[:n] for part in drawn)
        by_page, by_heat, by_split, by_folio = (part[n:] for part in drawn)
        ordinary = np.searchsorted(self.use_cdf, unit32(by_use), side="right")
        block_use = np.where(frames.kind == BlockKind.ORDINARY, ordinary, _BLOCK_USE[frames.kind])
        detail = np.where(frames.kind >= BlockKind.POOL_2M, by_use, by_page)
        use = (unit32(detail)[:, None] >= self.refinement_cdf[block_use]).sum(axis=1)
        owned = ~UNUSED[use] & ~frames.kernel
        return Tenancy(
            start_ns=start_ns,
            use=use,
            owners=np.where(owned, self.processes.owners(by_group, by_member, by_sharing, use), NOBODY),
            hot=unit32(by_heat) < self.policy.detection.hot_share,
            splits=unit32(by_split),
            large=unit32(by_folio) < self.policy.workload.large_folio_share,
        )

    def next_access(self, frames: Frames, use: Ints, hot: Flags, after_ns: Ints, limit_ns: Ints) -> Access:
        """Return the next access to one line of each frame in one tenancy, at the limit where there is none."""
        tag = np.where(hot, int(Tag.ACCESS_HOT), int(Tag.ACCESS_COLD))
        width = np.where(hot, self.hot_ns, self.cold_ns)
        return self._access(frames.page_key, (tag, width, hot.astype(np.int64)), use, after_ns, limit_ns)

    def next_touch(self, frames: Frames, tenancy: Tenancy, process: Ints, after_ns: Ints, limit_ns: Ints) -> Access:
        """Return the next access of one owner to any line of each page: an unmapped page is missed whichever it is.

        All owners of a page touch it equally often.
        """
        sharers = self.processes.size[tenancy.owners]
        huge = frames.kind >= BlockKind.POOL_2M
        key = Key(*(np.where(huge, one, other) for one, other in zip(frames.block_key, frames.page_key, strict=True)))
        own = child_key(words(key, process, 0, int(Tag.OWNER)))
        key = Key(*(np.where(sharers > 1, one, other) for one, other in zip(own, key, strict=True)))
        width = np.where(huge, self.mean_ns, np.where(tenancy.hot, self.hot_ns, self.cold_ns))
        width = np.maximum(width * sharers // (LINES_PER_PAGE * HUGE_PAGES[frames.kind]), 1)
        hot = tenancy.hot | huge
        tag = np.where(hot, int(Tag.TOUCH_HOT), int(Tag.TOUCH_COLD))
        return self._access(key, (tag, width, 2 + hot.astype(np.int64)), tenancy.use, after_ns, limit_ns)

    def _access(self, key: Key, process: tuple[Ints, Ints, Ints], use: Ints, after_ns: Ints, limit_ns: Ints) -> Access:
        """Return the next points of access processes (tag, width [ns], number of its marks) with their marks."""
        tag, width, number = process
        limit = np.where(self.accessed[use], limit_ns, after_ns)
        point = next_point(key, tag, width, after_ns, limit)
        low, high = split64(np.maximum(point.bin, 0))
        by_kind, by_mark, by_owner, _ = words(key, low, high, int(Tag.ACCESS_MARK), point.position * 4 + number)
        position = (unit32(by_kind)[:, None] >= self.access_cdf[use]).sum(axis=1)
        none = point.bin < 0
        kind = np.where(none, -1, np.asarray(ACCESS_OBSERVERS, np.int64)[position])
        return Access(np.where(none, limit_ns, point.time_ns), kind, unit32(by_mark), by_owner)
