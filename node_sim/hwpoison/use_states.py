"""Page states of the fleet: what the handler finds in a page of each use, on each file system.

**Models.** One state per use; a huge page that can or cannot be split; pages of files by file system and by whether
they are part of a large folio. File systems that the handler cannot tell apart have the same states.

**Leaves out.** Sizes of large folios (2 MiB stand for all: a split is a split), large folios of tmpfs and anonymous
memory, the errors of syncfs on overlayfs.

**Assumes.** A kernel older than huge pages (KSM, MADV_FREE, ...) has ordinary ones instead.

**Sources.** ``page_states.py``, ``catalog/file_systems.py``.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Final

import numpy as np

from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM, FILE_SYSTEMS
from node_sim.catalog.kernels import has_since, switches_of
from node_sim.catalog.profile import Profile
from node_sim.codes import PageUse
from node_sim.hwpoison.page_states import PAGES
from node_sim.records import Ints

_STATE_OF_USE: Final = {
    PageUse.FREE: "free",
    PageUse.RESERVED: "reserved",
    PageUse.SLAB: "slab",
    PageUse.PAGE_TABLE: "page-table",
    PageUse.ANONYMOUS: "anonymous",
    PageUse.THP: "thp",
    PageUse.HUGETLB: "hugetlb",
    PageUse.HUGETLB_FREE: "hugetlb-free",
    PageUse.HUGETLB_1G: "hugetlb-1g",
    PageUse.HUGETLB_1G_FREE: "hugetlb-1g-free",
    PageUse.TMPFS: "tmpfs",
    PageUse.MLOCKED: "anonymous-mlocked",
    PageUse.KSM: "ksm",
    PageUse.SWAPCACHE_DIRTY: "swap-dirty",
    PageUse.SWAPCACHE_CLEAN: "swap-clean",
}
_SHARED: Final = {PageUse.HUGETLB: "hugetlb-file", PageUse.HUGETLB_1G: "hugetlb-1g-file"}
"""Huge pages that several processes map are those of a file (hugetlbfs, SysV shared memory, memfd)."""
_FILE_USES: Final = {
    PageUse.FILE_CLEAN: ("-clean-unmapped", "-unmapped"),
    PageUse.FILE_CLEAN_MAPPED: ("-clean", ""),
    PageUse.FILE_DIRTY: ("-dirty-unmapped", "-dirty-unmapped"),
    PageUse.FILE_DIRTY_MAPPED: ("-dirty", "-dirty"),
}
"""Ends of the names of states of files: of a 4 KiB page, and of one in a large folio."""


def _file_state(use: PageUse, file_system: str, *, large: bool) -> str:
    """Return the state of a page of a file."""
    system, (small_end, large_end) = FILE_SYSTEMS[file_system], _FILE_USES[use]
    if not large:
        return f"{'file' if system.removes else 'fuse'}{small_end}"
    begin = "cifs" if not system.removes else "file" if system.private_data else "nfs"
    return f"{begin}-thp{large_end}"


def state_of_use(
    use: PageUse,
    *,
    split_ok: bool = True,
    file_system: str = DEFAULT_FILE_SYSTEM,
    large: bool = False,
    shared: bool = False,
) -> str:
    """Return the page state of a page use.

    Args:
        use: What the page is used for.
        split_ok: Whether a huge page of anonymous memory can be split.
        file_system: Of files.
        large: Whether a page of a file is part of a large folio.
        shared: Whether several processes map it.
    """
    if use in _FILE_USES:
        return _file_state(use, file_system, large=large)
    if shared and use in _SHARED:
        return _SHARED[use]
    return "thp-unsplittable" if use is PageUse.THP and not split_ok else _STATE_OF_USE[use]


def _states(file_system: str) -> list[str]:
    """Return the states of all uses by split_ok, large and shared (``state_of_use``)."""
    booleans = itertools.product((False, True), repeat=3)
    return [
        state_of_use(use, split_ok=split_ok, file_system=file_system, large=large, shared=shared)
        for use, (split_ok, large, shared) in itertools.product(PageUse, booleans)
    ]


STATES: Final = tuple(dict.fromkeys(itertools.chain.from_iterable(map(_states, FILE_SYSTEMS))))
"""Page states of the fleet in the order of their codes."""


@cache
def state_codes(file_system: str = DEFAULT_FILE_SYSTEM) -> Ints:
    """Return codes of states by use, split_ok, large and shared (``state_of_use``), shape ``(n_uses, 2, 2, 2)``."""
    return np.asarray([STATES.index(state) for state in _states(file_system)]).reshape(len(PageUse), 2, 2, 2)


def is_hugetlb(state: str) -> bool:
    """Whether a state is one of a hugetlb page."""
    return PAGES[state].group == "hugetlb"


def known_state(state: str, profile: str | Profile) -> str:
    """Return the state, or what an older kernel has instead of it."""
    if has_since(switches_of(profile), PAGES[state].since):
        return state
    return "anonymous" if PAGES[state].group in ("anonymous memory", "hugetlb") else "file-dirty"
