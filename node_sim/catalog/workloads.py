"""What the memory of a server is used for and by whom, by kind of workload. All shares are assumptions.

No public breakdown of page uses by fleet exists; the shares are round figures for a busy server of each kind, meant to
be replaced by the user's own (``/proc/meminfo``, ``/proc/kpageflags``).
"""

from __future__ import annotations

from typing import Final

from node_sim.catalog.numbers import KERNEL_SHARE, TENANCY_DAYS
from node_sim.catalog.values import Assumed

BLOCK_USES: Final = ("free", "kernel", "anonymous", "thp", "hugetlb", "file", "tmpfs", "hugetlb_1g")
"""Uses of a 2 MiB block, in the order of the shares below."""

_WHY: Final = "no public breakdown of page uses; round figure for a busy server of this kind"


def _block_shares(kernel: float, *others: float) -> dict[str, float]:
    """Shares of anonymous, thp, hugetlb, file, tmpfs and hugetlb_1g; the rest is free."""
    shares = dict(zip(BLOCK_USES[2:], others, strict=True))
    return {"free": round(1.0 - kernel - sum(others), 9), "kernel": kernel, **shares}


_K: Final = KERNEL_SHARE.value

WORKLOADS: Final[dict[str, dict[str, object]]] = {
    "web": {
        "tenancy_days": TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.30, 0.17, 0.0, 0.30, 0.03, 0.0),
        "process": [
            {"kind": "web", "count": 16, "share": 0.80, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "cache", "count": 2, "share": 0.15, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "system", "count": 20, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
    "database": {
        "tenancy_days": 2 * TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.12, 0.05, 0.30, 0.22, 0.05, 0.10),
        "shared": {"hugetlb": 0.95},
        "process": [
            {"kind": "database", "count": 4, "share": 0.90, "kill_policy": "early", "on_sigbus": "recover"},
            {"kind": "batch", "count": 4, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "system", "count": 20, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
    "batch": {
        "tenancy_days": 0.25 * TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.25, 0.35, 0.0, 0.17, 0.02, 0.0),
        "process": [
            {"kind": "batch", "count": 32, "share": 0.95, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "system", "count": 20, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
    "vm_host": {
        "tenancy_days": 2 * TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.05, 0.05, 0.45, 0.03, 0.0, 0.30),
        "process": [
            {"kind": "vm_guest", "count": 12, "share": 0.97, "kill_policy": "early", "on_sigbus": "forward"},
            {"kind": "system", "count": 20, "share": 0.03, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
}
"""Named workloads as scenario tables: use of 2 MiB blocks, processes and their share of the owned blocks."""

WORKLOAD_ASSUMPTION: Final = Assumed(0.0, 0.0, 1.0, _WHY, "share", headline=True)

PAGE_REFINEMENT: Final[dict[str, dict[str, float]]] = {
    "free": {"free": 1.0},
    "kernel": {"reserved": 0.15, "slab": 0.60, "page table": 0.25},
    "anonymous": {
        "anonymous": 0.92,
        "mlocked": 0.02,
        "KSM": 0.01,
        "swap cache dirty": 0.03,
        "swap cache clean": 0.02,
    },
    "thp": {"THP": 1.0},
    "hugetlb": {"hugetlb": 0.95, "hugetlb free": 0.05},
    "hugetlb_1g": {"hugetlb 1G": 0.95, "hugetlb 1G free": 0.05},
    "file": {
        "file clean": 0.62,
        "file clean mapped": 0.20,
        "file dirty": 0.13,
        "file dirty mapped": 0.05,
    },
    "tmpfs": {"tmpfs": 1.0},
}
"""Assumed: what the pages of a block of each use are in detail; a huge page of a pool is one page."""

SHARED_USES: Final[dict[str, str]] = {
    "anonymous": "forked",
    "mlocked": "forked",
    "swap cache dirty": "forked",
    "swap cache clean": "forked",
    "THP": "forked",
    "hugetlb": "hugetlb",
    "hugetlb 1G": "hugetlb",
    "file clean mapped": "mapped_file",
    "file dirty mapped": "mapped_file",
    "tmpfs": "tmpfs",
    "KSM": "merged",
}
"""Uses of pages that several processes can map, and the share of ``workload.shared`` that says how often they do."""

ACCESS_SHARES: Final[dict[str, tuple[float, float, float, float]]] = {
    "free": (0.0, 0.0, 0.0, 0.0),
    "reserved": (0.0, 0.7, 0.0, 0.3),
    "slab": (0.0, 0.7, 0.0, 0.3),
    "page table": (0.0, 0.7, 0.0, 0.3),
    "anonymous": (0.55, 0.10, 0.05, 0.30),
    "THP": (0.60, 0.05, 0.05, 0.30),
    "hugetlb": (0.60, 0.05, 0.05, 0.30),
    "hugetlb free": (0.0, 0.0, 0.0, 0.0),
    "hugetlb 1G": (0.60, 0.05, 0.05, 0.30),
    "hugetlb 1G free": (0.0, 0.0, 0.0, 0.0),
    "file clean": (0.0, 0.75, 0.20, 0.05),
    "file clean mapped": (0.80, 0.10, 0.10, 0.0),
    "file dirty": (0.0, 0.40, 0.40, 0.20),
    "file dirty mapped": (0.50, 0.10, 0.20, 0.20),
    "tmpfs": (0.55, 0.15, 0.05, 0.25),
    "mlocked": (0.60, 0.10, 0.10, 0.20),
    "KSM": (0.90, 0.05, 0.05, 0.0),
    "swap cache dirty": (0.60, 0.05, 0.15, 0.20),
    "swap cache clean": (0.80, 0.05, 0.15, 0.0),
}
"""Assumed: who accesses a page of each use: (user read, kernel read, device read, full-line write)."""

FROM_USER: Final = frozenset(
    {
        "anonymous",
        "THP",
        "hugetlb",
        "hugetlb 1G",
        "file clean mapped",
        "file dirty mapped",
        "tmpfs",
        "mlocked",
        "KSM",
        "swap cache dirty",
        "swap cache clean",
    }
)
"""Uses of memory that processes map, which write(), pipes and the like copy from; these reads have a recovery entry."""

_COPY_RANGES: Final[dict[str, tuple[float, float, str]]] = {
    "cow": (0.0, 0.9, "copy-on-write after fork; many in servers that snapshot by fork, hardly any elsewhere"),
    "do-cow": (0.0, 0.5, "first write to a private mapping of a file: data of programs and libraries when they start"),
    "fork": (0.0, 0.2, "fork with pages that a device holds: RDMA, io_uring with registered buffers; rare"),
    "hugetlb-cow": (0.0, 1.0, "copy-on-write of a private hugetlb page: after fork only"),
    "ksm": (0.0, 0.5, "a merged page, or one of another mapping, that is swapped in; needs KSM and swap"),
    "ksmd": (0.0, 0.9, "the KSM daemon reads every page that it is told to merge, if it runs"),
    "khugepaged": (0.0, 0.9, "collapse into huge pages: once per page, 4,096 pages every 10 s by default"),
    "migration": (0.0, 1.0, "compaction, NUMA balancing and tiering move a page as often as their load asks"),
    "read": (0.0, 1.0, "read() and sendfile() of the page cache: what a cached file is there for"),
}
"""Low, high and why of each kind's share below."""


def _reads(**shares: float) -> dict[str, Assumed[float]]:
    named = {kind.replace("_", "-"): share for kind, share in shares.items()}
    return {kind: Assumed(share, *_COPY_RANGES[kind]) for kind, share in named.items()}


PAGE_COPIES: Final[dict[str, dict[str, Assumed[float]]]] = {
    "anonymous": _reads(cow=0.25, fork=0.02, ksmd=0.03, khugepaged=0.30, migration=0.40),
    "THP": _reads(migration=1.0),
    "hugetlb": _reads(hugetlb_cow=1.0),
    "hugetlb 1G": _reads(hugetlb_cow=1.0),
    "file clean": _reads(do_cow=0.02, migration=0.08, read=0.90),
    "file clean mapped": _reads(do_cow=0.15, migration=0.25, read=0.60),
    "file dirty": _reads(do_cow=0.01, migration=0.09, read=0.90),
    "file dirty mapped": _reads(do_cow=0.05, migration=0.25, read=0.70),
    "tmpfs": _reads(do_cow=0.02, migration=0.18, read=0.80),
    "mlocked": _reads(cow=0.30, fork=0.10, ksmd=0.02, migration=0.58),
    "KSM": _reads(cow=0.20, ksmd=0.60, migration=0.20),
    "swap cache dirty": _reads(cow=0.30, ksm=0.30, migration=0.40),
    "swap cache clean": _reads(cow=0.30, ksm=0.30, migration=0.40),
}
"""Assumed: which code it is that copies, compares or read()s a page of each use, but from user space: shares by kind.

How many of all kernel reads these are is ``PAGE_COPY_SHARE``; pages of the kernel itself are read by other code only.
"""
