"""Who is signalled, when and how, in kernel 6.1.

**Models.** Collection by the early-kill rule per process (``PR_MCE_KILL`` against the sysctl), the forced
SIGBUS to the consumer, the plain SIGBUS when handling failed, and whether the process is left to the next
access.

**Leaves out.** Blocked and ignored signals, several processes mapping one page.

**Assumes.** The owner is the only process that maps the page, so it is the consumer of a user read.

**Sources.** mm/memory-failure.c ``task_early_kill()``, ``kill_procs()``, ``kill_accessing_process()``;
arch/x86/kernel/cpu/mce/core.c ``kill_me_maybe()``; Linux 6.1.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from node_sim.codes import KillPolicy

EHWPOISON = -133


class Event(enum.IntEnum):
    """How the error reached ``memory_failure()``."""

    ACTION_OPTIONAL = 0
    ACTION_REQUIRED = 1
    KERNEL_COPY = 2


class Signal(enum.IntEnum):
    """What the owner gets during handling."""

    NONE = 0
    EARLY_AO = 1
    DIRECT_AR = 2
    DIRECT_PLAIN = 3


class Unmapping(enum.IntEnum):
    """What handling left in the page tables."""

    NOT_MAPPED = 0
    STILL_MAPPED = 1
    HWPOISON_ENTRY = 2
    REFAULT = 3


class Kill(NamedTuple):
    """Decision about the owner: a signal now, or one at its next access."""

    signal: Signal
    late: bool


def is_early(kill_policy: KillPolicy, early_kill: bool) -> bool:
    """Return whether a process is to be told at once: its own policy if set, else the sysctl."""
    if kill_policy is KillPolicy.UNSET:
        return early_kill
    return kill_policy is KillPolicy.EARLY


def decide_kill(event: Event, errno: int, unmapping: Unmapping, *, already: bool, early: bool) -> Kill:
    """Decide what happens to the owner of the page.

    Args:
        event: How the error came.
        errno: Return value of ``memory_failure()``.
        unmapping: What became of the owner's mapping.
        already: Whether the page had been poisoned before.
        early: Whether the owner is of the early kind.
    """
    if event is Event.ACTION_REQUIRED:
        if already and unmapping is Unmapping.STILL_MAPPED:
            return Kill(Signal.DIRECT_AR, late=False)
        if errno not in (0, EHWPOISON):
            return Kill(Signal.DIRECT_PLAIN, late=False)
        if unmapping is Unmapping.HWPOISON_ENTRY:
            return Kill(Signal.DIRECT_AR, late=False)
        return Kill(Signal.NONE, late=False)
    if unmapping is not Unmapping.HWPOISON_ENTRY:
        return Kill(Signal.NONE, late=False)
    if early:
        return Kill(Signal.EARLY_AO, late=False)
    return Kill(Signal.NONE, late=True)
