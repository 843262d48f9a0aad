"""What one page is used for at a time, who owns it and when it is next accessed: the scalar reading of the model.

**Models.** The same named draws as ``node_sim.memory.pages``, for one page at a time, without any arm's mask.

**Leaves out.** Masks: killing an owner and rebooting belong to the event loop.

**Assumes.** The tables of shares of ``Memory``.

**Sources.** None.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from node_sim.catalog.workloads import BLOCK_USES
from node_sim.codes import PageUse
from node_sim.draws import Purpose, Seed, Tag
from node_sim.memory.pages import ACCESS_OBSERVERS, Memory
from node_sim.server.policy import Policy
from tests.oracle.named_draws import Key, Point, below, last_point, next_point, philox, split, unit32

BEFORE_THE_SCENARIO = -1
HUGE = {"2M": 512, "1G": 262_144}
"""4 KiB pages of a huge page of a pool."""
FREE = {"2M": PageUse.HUGETLB_FREE, "1G": PageUse.HUGETLB_1G_FREE}
BLOCK_USE = {"kernel": "kernel", "2M": "hugetlb", "1G": "hugetlb_1g"}
FORKED = (
    PageUse.ANONYMOUS,
    PageUse.MLOCKED,
    PageUse.SWAPCACHE_DIRTY,
    PageUse.SWAPCACHE_CLEAN,
    PageUse.THP,
)


class Block(NamedTuple):
    """What a page is for ever."""

    key: Key
    kind: str
    """ordinary, kernel, 2M or 1G."""
    spare: bool


class Use(NamedTuple):
    """Use of a page in one tenancy."""

    start: int
    use: int
    owners: range
    """Numbers of the processes that have it."""
    hot: bool
    splits: float
    large: bool


class Access(NamedTuple):
    """One access to a page."""

    time: int
    kind: int
    mark: float
    word: int
    """Says which owner it is."""


def purpose_key(seed: Seed, purpose: Purpose) -> Key:
    """Return the key of a purpose as integers."""
    key = seed.key(purpose)
    return int(key.low), int(key.high)


class PageUses:
    """Uses and accesses of the pages of one node."""

    def __init__(self, seed: Seed, node: int, policy: Policy) -> None:
        memory = Memory.of(policy)
        self.node, self.policy, self.memory = node, policy, memory
        self.block_purpose, self.page_purpose = purpose_key(seed, Purpose.BLOCK), purpose_key(seed, Purpose.PAGE)
        self.use_cdf = memory.use_cdf.tolist()
        self.refinement_cdf = memory.refinement_cdf.tolist()
        self.access_cdf = memory.access_cdf.tolist()
        self.accessed = memory.accessed.tolist()
        self.group_cdf = memory.processes.share_cdf.tolist()
        self.groups: list[range] = []
        for group in policy.workload.process:
            first = self.groups[-1].stop if self.groups else 0
            self.groups.append(range(first, first + group.count))
        self._keys: dict[int, tuple[Block, Key]] = {}
        self._uses: dict[tuple[int, bool, Point | int | None], Use] = {}

    def _page(self, pfn: int) -> tuple[Block, Key]:
        """Return the block of a page and its own child key."""
        if pfn not in self._keys:
            self._keys[pfn] = self._block(pfn), philox(self.page_purpose, self.node, *split(pfn))[:2]
        return self._keys[pfn]

    def _block(self, pfn: int) -> Block:
        use, spares = self.policy.workload.use, self.policy.workload.spare_huge_page_share
        giant = philox(self.block_purpose, self.node, *split(pfn // HUGE["1G"]), 1)[:2]
        drawn = philox(giant, 0, 0, Tag.STATIC)
        if unit32(drawn[0]) < use.hugetlb_1g:
            return Block(giant, "1G", unit32(drawn[1]) < spares)
        block = philox(self.block_purpose, self.node, *split(pfn // HUGE["2M"]))[:2]
        drawn = philox(block, 0, 0, Tag.STATIC)
        mark, rest = unit32(drawn[0]), 1.0 - use.hugetlb_1g
        kind = (
            "kernel" if mark < use.kernel / rest else "2M" if mark < (use.kernel + use.hugetlb) / rest else "ordinary"
        )
        return Block(block, kind, unit32(drawn[1]) < spares)

    def is_kernel(self, pfn: int) -> bool:
        """Whether the page is in a block of the kernel."""
        return self._page(pfn)[0].kind == "kernel"

    def huge_page(self, pfn: int) -> range | None:
        """Return the 4 KiB pages of the huge page of a pool that a page is part of."""
        kind = self._page(pfn)[0].kind
        if kind not in HUGE:
            return None
        first = pfn // HUGE[kind] * HUGE[kind]
        return range(first, first + HUGE[kind])

    def has_spare(self, pfn: int) -> bool:
        """Whether the pool of the page has a spare huge page."""
        return self._page(pfn)[0].spare

    def page_key(self, pfn: int) -> Key:
        """Return the key of the page's own draws."""
        return self._page(pfn)[1]

    def free_use(self, pfn: int, *, broken: bool) -> int:
        """Return the use of a page that nobody has; ``broken``: its huge page has been broken up."""
        return PageUse.FREE if broken else FREE.get(self._page(pfn)[0].kind, PageUse.FREE)

    def at(self, pfn: int, time: int, *, broken: bool = False) -> Use:
        """Return the use of a page at a time."""
        block, _ = self._page(pfn)
        kernel = block.kind == "kernel"
        since = None if kernel else last_point(block.key, Tag.TENANCY, self.memory.tenancy_ns, time)
        if (pfn, broken, since) not in self._uses:
            self._uses[pfn, broken, since] = self._draw_use(pfn, since, broken=broken)
        return self._uses[pfn, broken, since]

    def refilled(self, pfn: int, time: int, *, broken: bool = False) -> Use:
        """Return the use of a page since memory that had become free was filled again."""
        if (pfn, broken, time) not in self._uses:
            name = (*split(time // self.memory.tenancy_ns), Tag.REFILL, 0)
            self._uses[pfn, broken, time] = self._draw_named_use(pfn, name, time, broken=broken)
        return self._uses[pfn, broken, time]

    def _draw_use(self, pfn: int, since: Point | None, *, broken: bool) -> Use:
        """Draw the use of a page from a change of its block on."""
        name = (*split(since.bin + 1), Tag.TENANT, since.position) if since else (0, 0, Tag.TENANT, 0)
        return self._draw_named_use(pfn, name, since.time if since else BEFORE_THE_SCENARIO, broken=broken)

    def _draw_named_use(self, pfn: int, name: tuple[int, ...], start: int, *, broken: bool) -> Use:
        block, page = self._page(pfn)
        kind = "ordinary" if broken else block.kind
        by_use, by_group, by_member, by_sharing = philox(block.key, *name)
        by_page, by_heat, by_split, by_folio = philox(page, *name)
        drawn = bisect_right(self.use_cdf, unit32(by_use))
        block_use = drawn if kind == "ordinary" else BLOCK_USES.index(BLOCK_USE[kind])
        use = bisect_right(self.refinement_cdf[block_use], unit32(by_use if kind in HUGE else by_page))
        owners = self._owners(use, by_group, by_member, by_sharing)
        return Use(
            start=start,
            use=use,
            owners=range(0) if kind == "kernel" or use == self.free_use(pfn, broken=broken) else owners,
            hot=unit32(by_heat) < self.policy.detection.hot_share,
            splits=unit32(by_split),
            large=unit32(by_folio) < self.policy.workload.large_folio_share,
        )

    def _owners(self, use: int, by_group: int, by_member: int, by_sharing: int) -> range:
        """Draw who owns a page: a process, all of its kind, or all of the node."""
        shared, drawn = self.policy.workload.shared, unit32(by_sharing)
        group = self.groups[bisect_right(self.group_cdf, unit32(by_group))]
        share = 0.0
        if use in FORKED:
            share = shared.forked
        elif use in (PageUse.HUGETLB, PageUse.HUGETLB_1G):
            share = shared.hugetlb
        elif use == PageUse.TMPFS:
            share = shared.tmpfs
        elif use == PageUse.KSM:
            share = shared.merged
        elif use == PageUse.FILE_DIRTY_MAPPED:
            share = shared.mapped_file
        elif use == PageUse.FILE_CLEAN_MAPPED:
            if drawn < shared.library:
                return range(self.groups[-1].stop)
            share = shared.library + shared.mapped_file
        kind = self.policy.workload.process[self.groups.index(group)].kind
        if drawn < share and kind != "system":
            return group
        one = group.start + below(by_member, len(group))
        return range(one, one + 1)

    def end_of_use(self, pfn: int, after: int, limit: int) -> int:
        """Return when the use of a page next changes; the limit if not before."""
        block, _ = self._page(pfn)
        kernel = block.kind == "kernel"
        change = None if kernel else next_point(block.key, Tag.TENANCY, self.memory.tenancy_ns, after, limit)
        return change.time if change else limit

    def next_access(self, pfn: int, use: int, *, hot: bool, after: int, limit: int) -> Access | None:
        """Return the first access to a line of a page of a given use after a time and before a limit."""
        tag, width = (Tag.ACCESS_HOT, self.memory.hot_ns) if hot else (Tag.ACCESS_COLD, self.memory.cold_ns)
        return self._access(self.page_key(pfn), (tag, width, hot), use, after, limit)

    def next_touch(  # by one of the owners, of any line of the page
        self, pfn: int, use: Use, process: int, *, broken: bool, after: int, limit: int
    ) -> Access | None:
        """Return the first access of an owner to any line of a page, or of its huge page."""
        block, key = self._page(pfn)
        hot, lines = use.hot, 64
        width = self.memory.hot_ns if hot else self.memory.cold_ns
        if block.kind in HUGE and not broken:
            detection, key, hot, lines = self.policy.detection, block.key, True, 64 * HUGE[block.kind]
            width = round(
                1 / (detection.hot_share / self.memory.hot_ns + (1 - detection.hot_share) / self.memory.cold_ns)
            )
        if len(use.owners) > 1:
            key = philox(key, process, 0, Tag.OWNER)[:2]
        width = max(width * len(use.owners) // lines, 1)
        tag = Tag.TOUCH_HOT if hot else Tag.TOUCH_COLD
        return self._access(key, (tag, width, 2 + hot), use.use, after, limit)

    def _access(self, key: Key, process: tuple[int, int, int], use: int, after: int, limit: int) -> Access | None:
        if not self.accessed[use]:
            return None
        tag, width, number = process
        point = next_point(key, tag, width, after, limit)
        if point is None:
            return None
        by_kind, by_mark, by_owner, _ = philox(key, *split(point.bin), Tag.ACCESS_MARK, 4 * point.position + number)
        kind = ACCESS_OBSERVERS[bisect_right(self.access_cdf[use], unit32(by_kind))]
        return Access(point.time, kind, unit32(by_mark), by_owner)
