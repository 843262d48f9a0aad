"""What one page is used for at a time, who owns it and when it is next accessed: the scalar reading of the model.

**Models.** The same named draws as ``node_sim.memory.pages``, for one page at a time, without any arm's mask.

**Leaves out.** Masks: killing an owner and rebooting belong to the event loop.

**Assumes.** The tables of shares of ``Memory``.

**Sources.** None.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from node_sim.codes import PageUse
from node_sim.draws import Purpose, Seed, Tag
from node_sim.memory.pages import ACCESS_OBSERVERS, KERNEL_BLOCK, Memory
from node_sim.memory.processes import NOBODY
from node_sim.server.policy import Policy
from tests.oracle.named_draws import Key, Point, below, last_point, next_point, philox, split, unit32

BEFORE_THE_SCENARIO = -1


class Use(NamedTuple):
    """Use of a page in one tenancy."""

    start: int
    use: int
    owner: int
    hot: bool
    splits: float
    large: bool


class Access(NamedTuple):
    """One access to a page."""

    time: int
    kind: int
    mark: float


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
        self.groups = list(zip(memory.processes.first.tolist(), memory.processes.size.tolist(), strict=True))
        self._keys: dict[int, tuple[Key, Key, bool]] = {}
        self._uses: dict[tuple[int, Point | None], Use] = {}

    def _page(self, pfn: int) -> tuple[Key, Key, bool]:
        """Return the child keys of the block and of the page, and whether the block is the kernel's."""
        if pfn not in self._keys:
            block = philox(self.block_purpose, self.node, *split(pfn // 512))[:2]
            page = philox(self.page_purpose, self.node, *split(pfn))[:2]
            static = unit32(philox(block, 0, 0, Tag.STATIC)[0])
            self._keys[pfn] = block, page, static < self.policy.workload.use.kernel
        return self._keys[pfn]

    def is_kernel(self, pfn: int) -> bool:
        """Whether the page is in a block of the kernel."""
        return self._page(pfn)[2]

    def page_key(self, pfn: int) -> Key:
        """Return the key of the page's own draws."""
        return self._page(pfn)[1]

    def at(self, pfn: int, time: int) -> Use:
        """Return the use of a page at a time."""
        block, _, kernel = self._page(pfn)
        since = None if kernel else last_point(block, Tag.TENANCY, self.memory.tenancy_ns, time)
        if (pfn, since) not in self._uses:
            self._uses[pfn, since] = self._draw_use(pfn, since)
        return self._uses[pfn, since]

    def refilled(self, pfn: int, time: int) -> Use:
        """Return the use of a page since memory that had become free was filled again."""
        name = (*split(time // self.memory.tenancy_ns), Tag.REFILL, 0)
        return self._draw_named_use(pfn, name, time)

    def _draw_use(self, pfn: int, since: Point | None) -> Use:
        """Draw the use of a page from a change of its block on."""
        name = (*split(since.bin + 1), Tag.TENANT, since.position) if since else (0, 0, Tag.TENANT, 0)
        return self._draw_named_use(pfn, name, since.time if since else BEFORE_THE_SCENARIO)

    def _draw_named_use(self, pfn: int, name: tuple[int, ...], start: int) -> Use:
        block, page, kernel = self._page(pfn)
        by_use, by_group, by_member, _ = philox(block, *name)
        by_page, by_heat, by_split, by_folio = philox(page, *name)
        block_use = KERNEL_BLOCK if kernel else bisect_right(self.use_cdf, unit32(by_use))
        use = bisect_right(self.refinement_cdf[block_use], unit32(by_page))
        first, size = self.groups[bisect_right(self.group_cdf, unit32(by_group))]
        return Use(
            start=start,
            use=use,
            owner=NOBODY if kernel or use == PageUse.FREE else first + below(by_member, size),
            hot=unit32(by_heat) < self.policy.detection.hot_share,
            splits=unit32(by_split),
            large=unit32(by_folio) < self.policy.workload.large_folio_share,
        )

    def end_of_use(self, pfn: int, after: int, limit: int) -> int:
        """Return when the use of a page next changes; the limit if not before."""
        block, _, kernel = self._page(pfn)
        change = None if kernel else next_point(block, Tag.TENANCY, self.memory.tenancy_ns, after, limit)
        return change.time if change else limit

    def next_access(  # one line, or any of the 64 of the page
        self, pfn: int, use: int, *, hot: bool, after: int, limit: int, lines: int = 1
    ) -> Access | None:
        """Return the first access to a page of a given use after a time and before a limit."""
        if not self.accessed[use]:
            return None
        page = self.page_key(pfn)
        tag, width = (Tag.ACCESS_HOT, self.memory.hot_ns) if hot else (Tag.ACCESS_COLD, self.memory.cold_ns)
        if lines > 1:
            tag, width = (Tag.TOUCH_HOT if hot else Tag.TOUCH_COLD), max(width // lines, 1)
        point = next_point(page, tag, width, after, limit)
        if point is None:
            return None
        mark = 4 * point.position + (2 if lines > 1 else 0) + hot
        by_kind, by_mark, _, _ = philox(page, *split(point.bin), Tag.ACCESS_MARK, mark)
        kind = ACCESS_OBSERVERS[bisect_right(self.access_cdf[use], unit32(by_kind))]
        return Access(point.time, kind, unit32(by_mark))
