"""The injection filter: which pages an injected error may hit.

**Models.** Backing device, stable page flags and memory cgroup, as debugfs hwpoison/corrupt-filter-* sets them.

**Leaves out.** Which cgroup: a page is in the named one or not.

**Assumes.** A page that has no backing device never matches one.

**Sources.** mm/memory-failure.c ``hwpoison_filter()``; fs/proc/page.c ``stable_page_flags()``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from node_sim.errors import ConfigError
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.page import Kind, Page

KPF: Final = {
    "LOCKED": 0,
    "ERROR": 1,
    "REFERENCED": 2,
    "UPTODATE": 3,
    "DIRTY": 4,
    "LRU": 5,
    "ACTIVE": 6,
    "SLAB": 7,
    "WRITEBACK": 8,
    "RECLAIM": 9,
    "BUDDY": 10,
    "MMAP": 11,
    "ANON": 12,
    "SWAPCACHE": 13,
    "SWAPBACKED": 14,
    "COMPOUND_HEAD": 15,
    "COMPOUND_TAIL": 16,
    "HUGE": 17,
    "UNEVICTABLE": 18,
    "HWPOISON": 19,
    "NOPAGE": 20,
    "KSM": 21,
    "THP": 22,
    "OFFLINE": 23,
    "ZERO_PAGE": 24,
    "IDLE": 25,
    "PGTABLE": 26,
    "RESERVED": 32,
    "MLOCKED": 33,
    "MAPPEDTODISK": 34,
    "PRIVATE": 35,
    "OWNER_PRIVATE": 37,
}
"""Bits of /proc/kpageflags."""
DISK: Final = (254, 0)
"""Device of the file system that page-cache states live on."""


def flag_bits(names: Iterable[str]) -> int:
    """Return /proc/kpageflags as a number, given the names of its bits."""
    return sum(1 << KPF[name] for name in names)


def stable_flags(page: Page) -> frozenset[str]:
    """Return the names of the /proc/kpageflags bits that a page's state decides."""
    shared = page.backing is Backing.SHMEM
    anonymous = page.backing is Backing.ANONYMOUS
    tail = bool(page.order) and page.subpage > 0
    on_list = page.kind is Kind.USER and page.lru and not tail
    bits = {
        "LRU": on_list,
        "DIRTY": page.dirty and not tail and (not anonymous or page.ksm or (page.swapcache and not page.mapped)),
        "MMAP": page.mapped and page.kind not in (Kind.ZERO, Kind.HUGE_ZERO),
        "ANON": anonymous and (page.kind is Kind.USER or (page.hugetlb and bool(page.tasks))),
        "SWAPCACHE": page.swapcache,
        "SWAPBACKED": on_list and (shared or (anonymous and page.swapbacked)),
        "UNEVICTABLE": on_list and (page.unevictable or page.mlocked),
        "MLOCKED": on_list and page.mlocked,
        "KSM": page.ksm,
        "HUGE": page.hugetlb,
        "THP": bool(page.order) and not page.hugetlb,
        "COMPOUND_TAIL": tail,
        "COMPOUND_HEAD": bool(page.order) and not tail,
        "BUDDY": page.kind is Kind.FREE,
        "SLAB": page.kind in (Kind.SLAB, Kind.COMPOUND),
        "RESERVED": page.kind in (Kind.RESERVED, Kind.ZERO),
        "ZERO_PAGE": page.kind in (Kind.ZERO, Kind.HUGE_ZERO),
        "PGTABLE": page.table,
    }
    return frozenset(name for name, on in bits.items() if on)


@dataclass(frozen=True)
class Filter:
    """Criteria; a page passes if it meets every one that is set.

    Attributes:
        dev_major: Major number of the backing device.
        dev_minor: Its minor number.
        flags_mask: Bits of /proc/kpageflags looked at.
        flags_value: Their values.
        memcg: The owner is in the cgroup that was named ("in"), or is not ("out"); empty where none was.
    """

    dev_major: int | None = None
    dev_minor: int | None = None
    flags_mask: int = 0
    flags_value: int = 0
    memcg: str = ""

    def drops(self, flags: int, device: tuple[int, int] | None, *, owned: bool) -> bool:
        """Whether a page with some flags, backing device and owner is dropped."""
        wanted = (self.dev_major, self.dev_minor)
        has = device or (None, None)
        wrong_device = any(want not in (None, got) for want, got in zip(wanted, has, strict=True))
        wrong_owner = self.memcg == "out" or (self.memcg == "in" and not owned)
        return wrong_device or flags & self.flags_mask != self.flags_value or wrong_owner


def parse_filter(texts: Mapping[str, str]) -> Filter:
    """Read criteria by their debugfs names, dev-major, dev-minor, flags-mask, flags-value and memcg.

    Raises:
        ConfigError: A name or value is not known; all mistakes at once.
    """
    numbers, memcg, problems = {}, "", []
    for name, text in texts.items():
        field = name.replace("-", "_")
        if field == "memcg":
            memcg = text
            if text not in ("in", "out"):
                problems.append(f"--filter memcg={text}: expected in or out")
            continue
        if field not in ("dev_major", "dev_minor", "flags_mask", "flags_value"):
            problems.append(f"--filter {name}: expected dev-major, dev-minor, flags-mask, flags-value or memcg")
            continue
        try:
            numbers[field] = int(text, 0)
        except ValueError:
            numbers[field] = -1
        if numbers[field] < 0:
            problems.append(f"--filter {name}={text}: expected a number >= 0, such as 0x1000")
    if problems:
        raise ConfigError("\n".join(problems))
    return Filter(**numbers, memcg=memcg)
