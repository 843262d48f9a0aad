"""What a page is used for at a time, who owns it, and when it is next read or written.

**Models.** Use and owner are drawn per 2 MiB block and refined per 4 KiB page, so that neighbouring pages
mostly share one owner. Blocks of the kernel keep their use for ever; others change at Poisson times (a
*tenancy* lies between two changes). Pages are hot or cold; accesses that reach a line in DRAM are Poisson
points.

**Leaves out.** 1 GiB pages, page migration, ownership of one page by several processes.

**Assumes.** The shares in ``catalog/workloads.py``. An arm only masks tenancies: after a kill the owner's
memory, after a boot all memory of processes, is free until it has been filled again; its use from then on to the next
change is a draw of its own, named by the frame and that time. Pages of a large folio are drawn one by one.

**Sources.** None for the shares: no public breakdown exists, so they are swept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from node_sim.catalog.workloads import ACCESS_SHARES, BLOCK_USES, PAGE_REFINEMENT
from node_sim.codes import Observer, PageUse
from node_sim.draws import Key, Purpose, Seed, Tag, child_key, split64, unit32, words
from node_sim.memory.processes import NOBODY, ProcessTable
from node_sim.points import next_point, points_around
from node_sim.records import Flags, Floats, Index, Ints, join, take
from node_sim.server.policy import Policy
from node_sim.units import FOREVER, LINES_PER_PAGE, NS_PER_DAY, PAGES_PER_HUGE_PAGE, hours_to_ns, seconds_to_ns

ACCESS_OBSERVERS = (Observer.USER, Observer.KERNEL, Observer.DEVICE, Observer.WRITE)
"""Order of the columns of ``ACCESS_SHARES``."""
KERNEL_BLOCK = BLOCK_USES.index("kernel")


class Frames(NamedTuple):
    """Physical pages with the keys of their child streams; arrays of shape ``(n,)``."""

    pfn: Ints
    block_key: Key
    page_key: Key
    kernel: Flags

    def take(self, index: Index) -> Frames:
        """Select some frames."""
        return take(self, index)


class Tenancy(NamedTuple):
    """Use of frames at a time, without any arm's mask; arrays of shape ``(n,)``.

    Attributes:
        start_ns: When the use began; -1 before the scenario.
        use: ``PageUse``.
        owner: Number of the owning process, ``NOBODY`` for free and kernel pages.
        hot: Whether the page is read often.
        splits: The uniform that decides whether a huge page can be split.
        large: Whether the page is part of a large folio, if it is one of a file.
    """

    start_ns: Ints
    use: Ints
    owner: Ints
    hot: Flags
    splits: Floats
    large: Flags


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


def make_frames(seed: Seed, node_id: Ints, pfn: Ints, kernel_share: float) -> Frames:
    """Name the frames of given nodes; ``node_id`` and ``pfn`` have shape ``(n,)``."""
    block_low, block_high = split64(pfn // PAGES_PER_HUGE_PAGE)
    page_low, page_high = split64(pfn)
    block_key = child_key(words(seed.key(Purpose.BLOCK), node_id, block_low, block_high))
    page_key = child_key(words(seed.key(Purpose.PAGE), node_id, page_low, page_high))
    static = words(block_key, 0, 0, int(Tag.STATIC))
    return Frames(pfn, block_key, page_key, unit32(static[0]) < kernel_share)


@dataclass(frozen=True)
class Memory:
    """Lookup tables of one arm's workload and detection settings."""

    policy: Policy
    processes: ProcessTable
    tenancy_ns: int
    refill_ns: int
    hot_ns: int
    cold_ns: int
    use_cdf: Floats
    refinement_cdf: Floats
    access_cdf: Floats
    accessed: Flags

    @classmethod
    def of(cls, policy: Policy) -> Memory:
        """Prepare the tables of a policy."""
        use = policy.workload.use
        shares = np.asarray(use.shares())
        shares[KERNEL_BLOCK] = 0.0
        rest = shares.sum()
        cdf = np.cumsum(shares / rest if rest else np.eye(len(BLOCK_USES))[0])[:-1]
        return cls(
            policy=policy,
            processes=ProcessTable.of(policy.workload),
            tenancy_ns=round(policy.workload.tenancy_days * NS_PER_DAY),
            refill_ns=seconds_to_ns(60.0 * policy.workload.refill_minutes),
            hot_ns=seconds_to_ns(policy.detection.hot_interval_s),
            cold_ns=hours_to_ns(policy.detection.cold_interval_hours),
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
        """Draw the uses that are named by a bin of time and a number in it."""
        low, high = split64(bins)
        both = join([frames.block_key, frames.page_key])
        low, high, number = np.concatenate((low, low)), np.concatenate((high, high)), np.concatenate((which, which))
        drawn = words(both, low, high, int(tag), number)
        n = bins.size
        by_use, by_group, by_member, _ = (part[:n] for part in drawn)
        by_page, by_heat, by_split, by_folio = (part[n:] for part in drawn)
        block_use = np.where(frames.kernel, KERNEL_BLOCK, np.searchsorted(self.use_cdf, unit32(by_use), side="right"))
        use = (unit32(by_page)[:, None] >= self.refinement_cdf[block_use]).sum(axis=1)
        owned = (use != PageUse.FREE) & ~frames.kernel
        return Tenancy(
            start_ns=start_ns,
            use=use,
            owner=np.where(owned, self.processes.owner(by_group, by_member), NOBODY),
            hot=unit32(by_heat) < self.policy.detection.hot_share,
            splits=unit32(by_split),
            large=unit32(by_folio) < self.policy.workload.large_folio_share,
        )

    def next_access(
        self,
        frames: Frames,
        use: Ints,
        hot: Flags,
        after_ns: Ints,
        limit_ns: Ints,
        *,
        whole_page: bool = False,
    ) -> tuple[Ints, Ints, Floats]:
        """Return time, kind (``Observer``) and mark of the next access of each frame in one tenancy.

        The accesses are those to one line, or to any line of the page: a page that was unmapped is missed whichever
        line is wanted. The time is the limit, and the kind -1, where no access comes before the limit.
        """
        tags = (Tag.TOUCH_HOT, Tag.TOUCH_COLD) if whole_page else (Tag.ACCESS_HOT, Tag.ACCESS_COLD)
        tag = np.where(hot, int(tags[0]), int(tags[1]))
        width = np.where(hot, self.hot_ns, self.cold_ns)
        if whole_page:
            width = np.maximum(width // LINES_PER_PAGE, 1)
        limit = np.where(self.accessed[use], limit_ns, after_ns)
        point = next_point(frames.page_key, tag, width, after_ns, limit)
        low, high = split64(np.maximum(point.bin, 0))
        name = point.position * 4 + 2 * whole_page + hot
        by_kind, by_mark, _, _ = words(frames.page_key, low, high, int(Tag.ACCESS_MARK), name)
        position = (unit32(by_kind)[:, None] >= self.access_cdf[use]).sum(axis=1)
        none = point.bin < 0
        kind = np.where(none, -1, np.asarray(ACCESS_OBSERVERS, np.int64)[position])
        return np.where(none, limit_ns, point.time_ns), kind, unit32(by_mark)
