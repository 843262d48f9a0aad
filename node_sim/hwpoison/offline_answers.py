"""Soft offline as the fleet asks for it: ``soft_offline_page()`` enumerated by kernel, sysctl and kind of page.

**Models.** A daemon that writes the address of a page into sysfs. A kernel without CONFIG_MEMORY_FAILURE, or from
before soft offline, has no such file there.

**Leaves out.** Pages that cannot be moved for other reasons than being the kernel's, or having no spare huge page:
transparent huge pages that cannot be split.

**Assumes.** A page of the kernel is like a slab page, one of a pool like a private hugetlb page, any other like an
anonymous one: all uses of the fleet answer so.

**Sources.** ``soft_offline.py``; drivers/base/memory.c ``soft_offline_page_store()``, inside #ifdef
CONFIG_MEMORY_FAILURE (2.6.33).
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np

from node_sim.catalog.profile import Profile
from node_sim.codes import KillPolicy, OfflineResult
from node_sim.hwpoison.kernel import EIO, ENOENT, ENOMEM, EOPNOTSUPP, Machine
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.records import Flags, Ints

RESULTS: Final = {
    0: OfflineResult.OFFLINED,
    EIO: OfflineResult.UNHANDLABLE,
    ENOENT: OfflineResult.NO_INTERFACE,
    EOPNOTSUPP: OfflineResult.DISABLED,
    ENOMEM: OfflineResult.NO_SPARE,
}
"""What each answer means for a page that is not poisoned."""


class OfflineAnswers(NamedTuple):
    """What a kernel answers to soft offline: 0 or a negative errno.

    Attributes:
        user: For a page of a process.
        kernel: For a page of its own.
        pool_2m: For a 4 KiB page of a 2 MiB page of a pool that has a spare one.
        pool_1g: … of a 1 GiB page.
        pool_2m_full: … of a 2 MiB page of a pool that has none.
        pool_1g_full: … of a 1 GiB page.
        poisoned: For a page that ``memory_failure()`` has marked.
        neighbour: For another 4 KiB page of a huge page that it has marked.
    """

    user: int
    kernel: int
    pool_2m: int
    pool_1g: int
    pool_2m_full: int
    pool_1g_full: int
    poisoned: int
    neighbour: int


_STATES: Final = {
    "kernel": "slab",
    "pool_2m": "hugetlb",
    "pool_1g": "hugetlb-1g",
    "pool_2m_full": "hugetlb",
    "pool_1g_full": "hugetlb-1g",
    "neighbour": "hugetlb",
}
"""Page states of the questions; those of the others are anonymous."""


def ask(
    profile: Profile, *, memory_failure: bool, enabled: bool, question: str, printed: list[str] | None = None
) -> int:
    """Ask a kernel to soft-offline a page; return 0 or a negative errno.

    Args:
        profile: Kernel.
        memory_failure: CONFIG_MEMORY_FAILURE.
        enabled: vm.enable_soft_offline.
        question: Name of the kind of page in ``OfflineAnswers``.
        printed: Gets the lines of the kernel log.
    """
    if not (memory_failure and profile.has_soft_offline):
        return ENOENT
    machine = Machine(profile, enable_soft_offline=enabled)
    page = build_page(_STATES.get(question, "anonymous"), [Task("owner", (KillPolicy.UNSET,))])
    page.poisoned = question in ("poisoned", "neighbour")
    if question == "neighbour":
        page.migratable, page.bad_subpages = False, {page.subpage + 1}
    errno = soft_offline(machine, page, spare_huge_page=not question.endswith("_full"))
    if printed is not None:
        printed += machine.log
    return errno


@cache
def offline_answers(profile: Profile, *, memory_failure: bool, enabled: bool) -> OfflineAnswers:
    """Enumerate ``ask()`` for a kernel as it is configured; arguments as there."""
    questions = OfflineAnswers._fields
    return OfflineAnswers(
        *(ask(profile, memory_failure=memory_failure, enabled=enabled, question=question) for question in questions)
    )


def results_of(errno: Ints, poisoned: Flags) -> Ints:
    """Return the stored ``OfflineResult`` of answers.

    Args:
        errno: The answers, shape ``(n,)``.
        poisoned: Whether the page, or its huge page, had been marked before, shape ``(n,)``.
    """
    codes = np.full(1 - min(RESULTS), int(OfflineResult.ALREADY_POISONED))
    codes[[-answer for answer in RESULTS]] = [int(result) for result in RESULTS.values()]
    refused = (errno == ENOENT) | (errno == EOPNOTSUPP)
    return np.where(poisoned & ~refused, int(OfflineResult.ALREADY_POISONED), codes[-errno])
