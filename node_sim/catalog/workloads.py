"""What the memory of a server is used for and by whom, by kind of workload. All shares are assumptions.

No public breakdown of page uses by fleet exists; the shares are round figures for a busy server of each kind, meant to
be replaced by the user's own (``/proc/meminfo``, ``/proc/kpageflags``).
"""

from __future__ import annotations

from typing import Final

from node_sim.catalog.numbers import KERNEL_SHARE, TENANCY_DAYS
from node_sim.catalog.values import Assumed

BLOCK_USES: Final = ("free", "kernel", "anonymous", "thp", "hugetlb", "file", "tmpfs")
"""Uses of a 2 MiB block, in the order of the shares below."""

_WHY: Final = "no public breakdown of page uses; round figure for a busy server of this kind"


def _block_shares(kernel: float, *others: float) -> dict[str, float]:
    """Shares of anonymous, thp, hugetlb, file and tmpfs; the rest is free."""
    shares = dict(zip(BLOCK_USES[2:], others, strict=True))
    return {"free": round(1.0 - kernel - sum(others), 9), "kernel": kernel, **shares}


_K: Final = KERNEL_SHARE.value

WORKLOADS: Final[dict[str, dict[str, object]]] = {
    "web": {
        "tenancy_days": TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.30, 0.17, 0.0, 0.30, 0.03),
        "process": [
            {"kind": "web", "count": 16, "share": 0.80, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "cache", "count": 2, "share": 0.15, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "system", "count": 20, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
    "database": {
        "tenancy_days": 2 * TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.12, 0.05, 0.40, 0.22, 0.05),
        "process": [
            {"kind": "database", "count": 4, "share": 0.90, "kill_policy": "early", "on_sigbus": "recover"},
            {"kind": "batch", "count": 4, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "system", "count": 20, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
    "batch": {
        "tenancy_days": 0.25 * TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.25, 0.35, 0.0, 0.17, 0.02),
        "process": [
            {"kind": "batch", "count": 32, "share": 0.95, "kill_policy": "unset", "on_sigbus": "die"},
            {"kind": "system", "count": 20, "share": 0.05, "kill_policy": "unset", "on_sigbus": "die"},
        ],
    },
    "vm_host": {
        "tenancy_days": 2 * TENANCY_DAYS.value,
        "use": _block_shares(_K, 0.05, 0.05, 0.75, 0.03, 0.0),
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
    "hugetlb": {"hugetlb": 1.0},
    "file": {
        "file clean": 0.62,
        "file clean mapped": 0.20,
        "file dirty": 0.13,
        "file dirty mapped": 0.05,
    },
    "tmpfs": {"tmpfs": 1.0},
}
"""Assumed: what the 4 KiB pages of a block of each use are in detail."""

ACCESS_SHARES: Final[dict[str, tuple[float, float, float, float]]] = {
    "free": (0.0, 0.0, 0.0, 0.0),
    "reserved": (0.0, 0.7, 0.0, 0.3),
    "slab": (0.0, 0.7, 0.0, 0.3),
    "page table": (0.0, 0.7, 0.0, 0.3),
    "anonymous": (0.55, 0.10, 0.05, 0.30),
    "THP": (0.60, 0.05, 0.05, 0.30),
    "hugetlb": (0.60, 0.05, 0.05, 0.30),
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
