"""Soft offline as the fleet asks for it: ``soft_offline_page()`` enumerated by kernel, sysctl and kind of page.

**Models.** A daemon that writes the address of a page into sysfs. A kernel without CONFIG_MEMORY_FAILURE, or from
before soft offline, has no such file there.

**Leaves out.** Pages that cannot be moved for other reasons than being the kernel's: huge pages that cannot be split, a
pool of huge pages without a spare one.

**Assumes.** A page of the kernel is like a slab page, any other like an anonymous one: all uses of the fleet answer so.

**Sources.** ``soft_offline.py``; drivers/base/memory.c ``soft_offline_page_store()``, inside #ifdef
CONFIG_MEMORY_FAILURE (2.6.33).
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np

from node_sim.catalog.profile import Profile
from node_sim.codes import KillPolicy, OfflineResult
from node_sim.hwpoison.kernel import EIO, ENOENT, EOPNOTSUPP, Machine
from node_sim.hwpoison.page_states import build_page
from node_sim.hwpoison.process import Task
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.records import Flags, Ints

RESULTS: Final = {
    0: OfflineResult.OFFLINED,
    EIO: OfflineResult.UNHANDLABLE,
    ENOENT: OfflineResult.NO_INTERFACE,
    EOPNOTSUPP: OfflineResult.DISABLED,
}
"""What each answer means for a page that is not poisoned."""


class OfflineAnswers(NamedTuple):
    """What a kernel answers to soft offline: 0 or a negative errno.

    Attributes:
        user: For a page of a process.
        kernel: For a page of its own.
        poisoned: For a page that ``memory_failure()`` has marked.
    """

    user: int
    kernel: int
    poisoned: int


USER_PAGE, KERNEL_PAGE, POISONED_PAGE = range(3)


def ask(profile: Profile, *, memory_failure: bool, enabled: bool, kind: int) -> int:
    """Ask a kernel to soft-offline a page; return 0 or a negative errno.

    Args:
        profile: Kernel.
        memory_failure: CONFIG_MEMORY_FAILURE.
        enabled: vm.enable_soft_offline.
        kind: Place of the page's kind in ``OfflineAnswers``.
    """
    if not (memory_failure and profile.has_soft_offline):
        return ENOENT
    machine = Machine(profile, enable_soft_offline=enabled)
    own = kind == KERNEL_PAGE
    page = build_page("slab", []) if own else build_page("anonymous", [Task("owner", (KillPolicy.UNSET,))])
    page.poisoned = kind == POISONED_PAGE
    return soft_offline(machine, page)


@cache
def offline_answers(profile: Profile, *, memory_failure: bool, enabled: bool) -> OfflineAnswers:
    """Enumerate ``ask()`` for a kernel as it is configured; arguments as there."""
    kinds = (USER_PAGE, KERNEL_PAGE, POISONED_PAGE)
    return OfflineAnswers(*(ask(profile, memory_failure=memory_failure, enabled=enabled, kind=kind) for kind in kinds))


def results_of(errno: Ints, poisoned: Flags) -> Ints:
    """Return the stored ``OfflineResult`` of answers.

    Args:
        errno: The answers, shape ``(n,)``.
        poisoned: Whether the page had been marked before, shape ``(n,)``.
    """
    codes = np.full(1 - min(RESULTS), int(OfflineResult.ALREADY_POISONED))
    codes[[-answer for answer in RESULTS]] = [int(result) for result in RESULTS.values()]
    refused = (errno == ENOENT) | (errno == EOPNOTSUPP)
    return np.where(poisoned & ~refused, int(OfflineResult.ALREADY_POISONED), codes[-errno])
