"""Which code of the kernel it is that reads a page, by the use of the page.

**Models.** Copies from user space; among the other reads those that copy, compare or ``read()`` the page, by kind; the
rest is other code of the kernel.

**Leaves out.** That kinds come at different times: khugepaged after a fork, compaction when memory is short.

**Assumes.** The shares in ``catalog/workloads.py``. They are those of the load, not of the kernel: one that does not
know a copy has other code in its place, so that the same reads exist under every kernel.

**Sources.** None for the shares.
"""

from __future__ import annotations

import numpy as np

from node_sim.catalog.workloads import FROM_USER, PAGE_COPIES
from node_sim.codes import KernelRead, PageUse
from node_sim.records import Floats


def kernel_read_shares(use: PageUse, copy_share: float, page_copy_share: float) -> dict[KernelRead, float]:
    """Return the share of each kind among the kernel's reads of pages of a use; they add up to 1.

    Args:
        use: What the page is used for.
        copy_share: Share of copies from user space, where that is possible.
        page_copy_share: Share of copies, comparisons and read() among the others, where there are such.
    """
    from_user = copy_share if use.text in FROM_USER else 0.0
    copies = PAGE_COPIES.get(use.text, {})
    copied = (1.0 - from_user) * page_copy_share if copies else 0.0
    shares = {KernelRead.COPY: from_user, KernelRead.OTHER: 1.0 - from_user - copied}
    return shares | {kind: copied * copies[kind.text].value for kind in KernelRead if kind.text in copies}


def kernel_read_cdf(copy_share: float, page_copy_share: float) -> Floats:
    """Return cumulative shares in the order of ``KernelRead``, shape ``(n_uses, n_kinds - 1)``; arguments as above."""
    by_use = [kernel_read_shares(use, copy_share, page_copy_share) for use in PageUse]
    table = np.asarray([[shares.get(kind, 0.0) for kind in KernelRead] for shares in by_use])
    return np.cumsum(table, axis=1)[:, :-1]
