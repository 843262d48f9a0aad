"""``memory_failure()``: one readable definition for every kernel profile.

**Models.** The flow with every early exit, the ordered state table, the handlers, who is told, the page table
entries left behind, log lines, return values and counters. Every step names the rule that decided it.

**Leaves out.** Races, retries, timing, guest_memfd.

**Assumes.** One page at a time (the kernel serialises calls since 5.14).

**Sources.** mm/memory-failure.c of the profiles' kernels: ``memory_failure()``, ``hwpoison_user_mappings()``,
``collect_procs()``, ``kill_procs()``, ``error_states[]``, ``me_*()``, ``try_memory_failure_hugetlb()``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from node_sim.codes import KillPolicy, Result
from node_sim.hwpoison.guest import PAGE_BYTES, Backing, Kind, Page, Pte, Received, Task
from node_sim.hwpoison.profiles import Profile

EIO, ENXIO, EFAULT, EBUSY = -5, -6, -14, -16
EOPNOTSUPP, EHWPOISON = -95, -133


class Panic(Exception):  # noqa: N818 - the kernel's word
    """The kernel stopped."""


class Flag(enum.IntFlag):
    """Page flags the state table looks at; SWAPCACHE stands for PG_swapcache together with PG_swapbacked."""

    NONE = 0
    RESERVED = enum.auto()
    SLAB = enum.auto()
    HEAD = enum.auto()
    SWAPCACHE = enum.auto()
    MLOCKED = enum.auto()
    UNEVICTABLE = enum.auto()
    LRU = enum.auto()
    DIRTY = enum.auto()


class StateRow(NamedTuple):
    """A row of ``error_states[]``: first match wins; ``texts`` are the page type in the wording of each era."""

    mask: Flag
    match: Flag
    texts: tuple[str, str, str]
    handler: str


_F = Flag
ERROR_STATES: Final = (
    StateRow(_F.RESERVED, _F.RESERVED, ("reserved kernel", "reserved kernel", "reserved kernel page"), "kernel"),
    StateRow(_F.SLAB, _F.SLAB, ("kernel slab", "kernel slab", "kernel slab page"), "kernel"),
    StateRow(_F.HEAD, _F.HEAD, ("huge", "huge", "huge page"), "huge"),
    StateRow(
        _F.SWAPCACHE | _F.DIRTY,
        _F.SWAPCACHE | _F.DIRTY,
        ("swapcache", "dirty swapcache", "dirty swapcache page"),
        "swap dirty",
    ),
    StateRow(
        _F.SWAPCACHE | _F.DIRTY, _F.SWAPCACHE, ("swapcache", "clean swapcache", "clean swapcache page"), "swap clean"
    ),
    StateRow(
        _F.MLOCKED | _F.DIRTY,
        _F.MLOCKED | _F.DIRTY,
        ("unevictable LRU", "dirty mlocked LRU", "dirty mlocked LRU page"),
        "cache dirty",
    ),
    StateRow(
        _F.MLOCKED | _F.DIRTY,
        _F.MLOCKED,
        ("unevictable LRU", "clean mlocked LRU", "clean mlocked LRU page"),
        "cache clean",
    ),
    StateRow(
        _F.UNEVICTABLE | _F.DIRTY,
        _F.UNEVICTABLE | _F.DIRTY,
        ("unevictable LRU", "dirty unevictable LRU", "dirty unevictable LRU page"),
        "cache dirty",
    ),
    StateRow(
        _F.UNEVICTABLE | _F.DIRTY,
        _F.UNEVICTABLE,
        ("unevictable LRU", "clean unevictable LRU", "clean unevictable LRU page"),
        "cache clean",
    ),
    StateRow(_F.LRU | _F.DIRTY, _F.LRU | _F.DIRTY, ("LRU", "dirty LRU", "dirty LRU page"), "cache dirty"),
    StateRow(_F.LRU | _F.DIRTY, _F.LRU, ("clean LRU", "clean LRU", "clean LRU page"), "cache clean"),
    StateRow(_F.NONE, _F.NONE, ("unknown page state", "unknown page state", "unknown page"), "unknown"),
)
"""Rows in the kernel's order; the last catches everything."""

_KERNEL_KINDS = (Kind.RESERVED, Kind.SLAB, Kind.COMPOUND, Kind.KERNEL, Kind.TAIL, Kind.ZERO, Kind.HUGE_ZERO)
_ORDINARY_FILE = (Backing.FILE, Backing.BLOCK, Backing.METADATA)


def state_flags(page: Page, profile: Profile) -> Flag:
    """Return the flags of a page as the state table sees them, after unmapping."""
    flags = Flag.NONE
    if page.kind in (Kind.RESERVED, Kind.ZERO, Kind.HUGE_ZERO):
        flags |= Flag.RESERVED
    if page.kind is Kind.SLAB:
        flags |= Flag.SLAB
    if page.hugetlb:
        flags |= Flag.HEAD
    if page.kind is Kind.USER:
        flags |= Flag.LRU if page.lru else Flag.NONE
        flags |= Flag.SWAPCACHE if page.swapcache and page.swapbacked else Flag.NONE
        flags |= Flag.UNEVICTABLE if page.unevictable else Flag.NONE
        flags |= Flag.MLOCKED if page.mlocked and profile.era < 2 else Flag.NONE  # noqa: PLR2004 - era of wording
    return flags | (Flag.DIRTY if page.dirty else Flag.NONE)


def find_state(flags: Flag) -> StateRow:
    """Return the first row that matches."""
    return next(row for row in ERROR_STATES if flags & row.mask == row.match)


def _unfiltered(_page: Page) -> bool:
    return False


@dataclass
class Machine:
    """A kernel with its settings, counters and log.

    Attributes:
        profile: The kernel.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        enable_soft_offline: vm.enable_soft_offline.
        filtered: Says whether the injection filter drops a page.
        filter_enabled: The filter is switched on.
        hardware_corrupted_pages: Behind HardwareCorrupted in /proc/meminfo.
        statistics: Per-node counters.
        hardware_failure_seen: A real error has been handled since boot.
        log: Kernel log lines.
        actions: (page type, result) of every action line.
        steps: (rule, what it decided).
        phase: Name of what is going on, for the signals.
    """

    profile: Profile
    early_kill: bool = False
    recovery: bool = True
    enable_soft_offline: bool = True
    filtered: Callable[[Page], bool] = _unfiltered
    filter_enabled: bool = False
    hardware_corrupted_pages: int = 0
    statistics: dict[str, int] = field(default_factory=dict)
    hardware_failure_seen: bool = False
    log: list[str] = field(default_factory=list)
    actions: list[tuple[str, str]] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    phase: str = "inject"

    def say(self, page: Page, text: str) -> None:
        """Print a line with the handler's prefix."""
        self.log.append(self.profile.prefix.format(pfn=page.pfn) + text)

    def step(self, rule: str, decision: str) -> None:
        """Note which rule decided what."""
        self.steps.append((rule, decision))


class Event(NamedTuple):
    """How ``memory_failure()`` is called.

    Attributes:
        action_required: The current task has consumed the data.
        must_kill: It cannot be restarted.
        held: The caller holds a reference (madvise).
        simulated: By a test interface.
        current: The consuming task.
    """

    action_required: bool = False
    must_kill: bool = False
    held: bool = False
    simulated: bool = False
    current: Task | None = None


# ---------------------------------------------------------------------------------------- telling processes


def is_early(policies: tuple[KillPolicy, ...], kill_set: str, *, early_kill: bool) -> bool:
    """Return whether a process is told at once about an action-optional error.

    Args:
        policies: ``PR_MCE_KILL`` policy of each thread, leader first.
        kill_set: Rules, K0 ... K4.
        early_kill: vm.memory_failure_early_kill.
    """
    if kill_set in ("K0", "K1b"):
        return early_kill if policies[0] is KillPolicy.UNSET else policies[0] is KillPolicy.EARLY
    if kill_set == "K2":
        return early_kill or KillPolicy.EARLY in policies
    return any(early_kill if policy is KillPolicy.UNSET else policy is KillPolicy.EARLY for policy in policies)


def collect(machine: Machine, page: Page, event: Event) -> list[tuple[Task, bool]]:
    """Return the tasks to tell, each with whether it is the consumer (``collect_procs()``)."""
    kill_set = machine.profile.kill_set
    chosen = []
    for task in page.tasks:
        covers = page.backing not in (Backing.ANONYMOUS, Backing.NONE) or task.pte in (Pte.PRESENT, Pte.SWAP)
        if not task.alive or not covers:
            continue
        consumer = event.action_required and task is event.current
        everybody = event.action_required and kill_set in ("K1b", "K2")
        nobody_else = event.action_required and kill_set == "K3"
        early = is_early(task.policies, kill_set, early_kill=machine.early_kill) and not nobody_else
        if consumer or everybody or early:
            chosen.append((task, consumer))
    return chosen


def tell(machine: Machine, page: Page, told: list[tuple[Task, bool]], *, sigkill: bool, lsb: int) -> None:
    """Send the signals (``kill_procs()``)."""
    for task, consumer in told:
        if sigkill:
            machine.say(page, f"forcibly killing {task.name} because of failure to unmap corrupted page")
            task.died_at = machine.phase
            continue
        start = page.hugetlb and not machine.profile.exact_hugetlb_address
        offset = -page.subpage * PAGE_BYTES if start else 0
        machine.say(page, machine.profile.killing_text.format(task=task.name))
        code = "BUS_MCEERR_AR" if consumer else "BUS_MCEERR_AO"
        machine.step("kill_proc", f"SIGBUS/{code} to {task.name}")
        received = Received(machine.phase, "SIGBUS", code, lsb, offset, task.name)
        if consumer:
            task.force(received)
        else:
            task.queue(received)


# ---------------------------------------------------------------------------------------- results


def report(machine: Machine, page: Page, text: str, result: Result, *, counted: bool = True) -> int:
    """Print the action line, count it and return the errno it stands for (``action_result()``)."""
    profile = machine.profile
    if profile.era < 2:  # noqa: PLR2004 - era of wording
        dirty = "dirty " if profile.era == 0 and page.dirty and not text.startswith("dirty ") else ""
        machine.say(page, f"{dirty}{text} page recovery: {result.text}")
    else:
        machine.say(page, f"recovery action for {text}: {result.text}")
    machine.actions.append((text, result.text))
    machine.step("action_result", f"{text}: {result.text}")
    if counted:
        machine.hardware_corrupted_pages += profile.counts == "action"
        for name in ("total", result.text.lower()):
            machine.statistics[name] = machine.statistics.get(name, 0) + 1
    if profile.era == 0:
        return 0 if result is Result.RECOVERED else EBUSY
    return 0 if result in (Result.RECOVERED, Result.DELAYED) else EBUSY


def _word(machine: Machine, old: str, since_2015: str, in_2009: str | None = None) -> str:
    """Pick the wording of the profile's era."""
    return (in_2009 or old, old, since_2015)[machine.profile.era]


def _finish(machine: Machine, page: Page, text: str, result: Result, *, users: int) -> int:
    """Apply the reference check of the profile, then report."""
    rule = machine.profile.references
    complaint = f"{text} still referenced by {users} users"
    if machine.profile.era < 2:  # noqa: PLR2004 - era of wording
        complaint = f"{text} page still referenced by {users} users"
    if users and rule in ("failed", "some"):
        machine.say(page, complaint)
        return report(machine, page, text, Result.FAILED)
    errno = report(machine, page, text, result)
    if users:
        machine.say(page, complaint)
    return EBUSY if users and rule == "errno" else errno


# ---------------------------------------------------------------------------------------- user mappings


def unmap(machine: Machine, page: Page, event: Event) -> bool:
    """Unmap the page and tell its users (``hwpoison_user_mappings()``); False when it cannot be unmapped."""
    profile = machine.profile
    if not page.mapped:
        machine.step("hwpoison_user_mappings", "not mapped: nobody is told")
        return True
    if page.ksm and not profile.handles_ksm:
        machine.step("hwpoison_user_mappings", "KSM page")
        if profile.era == 2:  # noqa: PLR2004 - era of wording
            machine.say(page, "can't handle KSM pages.")
        return profile.unmap_failure == "continue"
    if page.swapcache:
        machine.say(page, "keeping poisoned page in swap cache")
    clean_file = not page.dirty and page.backing in _ORDINARY_FILE
    entry = Pte.SWAP if page.swapcache else Pte.HWPOISON
    if clean_file and not event.must_kill:
        machine.say(page, "corrupted page was clean: dropped without side effects")
        entry = Pte.NONE
    told = collect(machine, page, event)
    forced = page.dirty or page.hugetlb or event.must_kill
    if page.unmaps:
        for task in page.tasks:
            if task.pte is Pte.PRESENT:
                task.pte, task.shift = entry, page.shift
        machine.step("try_to_unmap", f"page table entries become: {entry.value}")
    else:
        machine.say(page, "failed to unmap page (mapcount=1)")
        forced = forced or profile.forces_on_unmap_failure
    if forced:
        tell(machine, page, told, sigkill=not page.unmaps and profile.unmap_failure_sigkill, lsb=page.shift)
    return page.unmaps or profile.unmap_failure == "continue"


def _unmap_failed(machine: Machine, page: Page) -> int:
    how = machine.profile.unmap_failure
    if how == "give up":
        machine.say(page, "cannot unmap page, give up")
        return EBUSY
    result = Result.FAILED if how == "failed" else Result.IGNORED
    return report(machine, page, "unmapping failed page", result)


# ---------------------------------------------------------------------------------------- handlers of the table


def _me_kernel(machine: Machine, page: Page, text: str) -> int:
    return _finish(machine, page, text, Result.IGNORED, users=_held_by_owner(machine))


def _me_unknown(machine: Machine, page: Page, text: str) -> int:
    machine.say(page, "Unknown page state")
    result = Result.IGNORED if machine.profile.kernel_page == "get hwpoison" else Result.FAILED
    return _finish(machine, page, text, result, users=_held_by_owner(machine))


def _held_by_owner(machine: Machine) -> int:
    """Kernel pages hold their owner's reference, which kernels up to 5.15 complain about."""
    return int(machine.profile.references == "failed")


def _me_swapcache_dirty(machine: Machine, page: Page, text: str) -> int:
    page.withdrawn = True
    return _finish(machine, page, text, Result.DELAYED, users=page.extra_references)


def _me_swapcache_clean(machine: Machine, page: Page, text: str) -> int:
    page.swapcache = False
    page.withdrawn = True
    return _finish(machine, page, text, Result.RECOVERED, users=page.extra_references)


def _me_pagecache_dirty(machine: Machine, page: Page, text: str) -> int:
    file = page.cached_in
    if file is not None:
        machine.step("me_pagecache_dirty", "I/O error recorded on the file")
        file.errors += 1
        file.reported = file.reported_by_sync = False
    return _me_pagecache_clean(machine, page, text)


def _me_pagecache_clean(machine: Machine, page: Page, text: str) -> int:
    profile, file = machine.profile, page.cached_in
    if file is None:
        page.withdrawn = True
        checked = page.extra_references if profile.references != "some" else 0
        return _finish(machine, page, text, Result.RECOVERED, users=checked)
    if page.backing is Backing.METADATA and not page.buffers:
        machine.say(page, "Failed to punch page: -5")
        return report(machine, page, text, Result.FAILED)
    stuck = page.backing is Backing.BLOCK and (page.dirty or page.buffers)
    if stuck or page.backing in (Backing.RAMFS, Backing.METADATA):
        machine.say(page, "Failed to invalidate")
        machine.step("truncate_error_page", "the page stays in the page cache")
        file.poisoned = True
        return report(machine, page, text, Result.FAILED)
    page.withdrawn = True
    if page.backing is Backing.SHMEM and profile.keeps_shmem:
        machine.step("shmem_error_remove_page", "kept in the file: later accesses fail")
        file.poisoned = True
    else:
        file.cached = None
        machine.step("truncate_error_page", "removed from the page cache")
    return _finish(machine, page, text, Result.RECOVERED, users=page.extra_references)


def _me_huge_page(machine: Machine, page: Page, text: str) -> int:
    profile, file = machine.profile, page.cached_in
    if profile.hugetlb == "delayed":
        page.withdrawn = True
        if file is not None:
            file.poisoned = True
        return _finish(machine, page, text, Result.DELAYED, users=page.extra_references + (file is not None))
    if file is not None:
        page.withdrawn = True
        if profile.keeps_hugetlb:
            file.poisoned = True
            machine.step("me_huge_page", "kept in the file: later accesses fail")
        else:
            file.cached = None
            machine.step("me_huge_page", "removed from the file")
        return _finish(machine, page, text, Result.RECOVERED, users=page.extra_references)
    dissolved = _dissolve(machine, page)
    good = dissolved or not profile.raw_list
    return _finish(machine, page, text, Result.RECOVERED if good else Result.FAILED, users=page.extra_references)


def _dissolve(machine: Machine, page: Page) -> bool:
    """Break the hugetlb page up and take the bad 4 KiB page off the free lists."""
    if not page.dissolves:
        return False
    page.kind = Kind.USER
    page.withdrawn = machine.profile.gigantic_dissolves or page.order < GIGANTIC_ORDER
    machine.step("dissolve_free_huge_page", "only the bad 4 KiB are lost" if page.withdrawn else "cannot be taken off")
    return page.withdrawn


GIGANTIC_ORDER = 18

_HANDLERS: Final[dict[str, Callable[[Machine, Page, str], int]]] = {
    "kernel": _me_kernel,
    "unknown": _me_unknown,
    "huge": _me_huge_page,
    "swap dirty": _me_swapcache_dirty,
    "swap clean": _me_swapcache_clean,
    "cache dirty": _me_pagecache_dirty,
    "cache clean": _me_pagecache_clean,
}


def _act(machine: Machine, page: Page) -> int:
    row = find_state(state_flags(page, machine.profile))
    text = row.texts[machine.profile.era]
    machine.step("error_states", f"{text} -> {row.handler}")
    return _HANDLERS[row.handler](machine, page, text)


# ---------------------------------------------------------------------------------------- early exits


def _bad_pfn(machine: Machine, page: Page, event: Event) -> int:
    how = machine.profile.bad_pfn
    if how == "action":
        report(machine, page, "memory outside kernel control", Result.IGNORED)
        return EIO
    if how == "log" or page.kind is Kind.OFFLINE:
        machine.say(page, "memory outside kernel control")
        return ENXIO
    if not page.device_range:
        return report(machine, page, "non struct page pfn", Result.IGNORED, counted=False)
    forced = event._replace(action_required=True, must_kill=True)
    tell(machine, page, collect(machine, page, forced), sigkill=False, lsb=12)
    return report(machine, page, "non struct page pfn", Result.RECOVERED, counted=False)


def _already(machine: Machine, page: Page, event: Event) -> int:
    profile = machine.profile
    machine.step("TestSetPageHWPoison", "already poisoned")
    if profile.already_line == "ignored":
        report(machine, page, "already hardware poisoned", Result.IGNORED)
    elif profile.already_line == "log":
        machine.say(page, "already hardware poisoned")
    else:
        report(machine, page, "already poisoned page", Result.FAILED, counted=False)
    return _kill_accessing(machine, page, event)


def _kill_accessing(machine: Machine, page: Page, event: Event) -> int:
    """Signal a consumer that hits a page poisoned before (``kill_accessing_process()``)."""
    profile, task = machine.profile, event.current
    if not (event.action_required and profile.kill_accessing):
        return profile.already_errno
    if task is None:
        return EFAULT
    if task.pte not in (Pte.PRESENT, Pte.HWPOISON):
        machine.step("kill_accessing_process", "the task does not map the page")
        return profile.not_found_errno
    tell(machine, page, [(task, True)], sigkill=False, lsb=page.shift)
    return EHWPOISON


def _free(machine: Machine, page: Page) -> int | None:
    """Handle a free page; None when the profile does not recognise it as one."""
    profile = machine.profile
    if page.kind is Kind.PCP and not profile.drains_pcp:
        return None
    if profile.free == "Ignored":
        report(machine, page, "free or high order kernel", Result.IGNORED)
        return 0 if page.block_head else EBUSY
    page.withdrawn = True
    result = next(result for result in Result if result.text == profile.free)
    return report(machine, page, _word(machine, "free buddy", "free buddy page"), result)


def _kernel_owned(machine: Machine, page: Page) -> int | None:
    """Refuse a page the handler cannot handle; None to go on to the state table."""
    how = machine.profile.kernel_page
    frozen = page.kind in (Kind.PCP, Kind.TAIL)
    if how == "unknown":
        machine.say(page, "unhandlable page.")
        return report(machine, page, "unknown page", Result.IGNORED)
    if how == "get hwpoison":
        machine.say(page, "unhandlable page.")
        return report(machine, page, "get hwpoison page", Result.IGNORED)
    if frozen:
        text = _word(machine, "high order kernel", "high-order kernel page", "free or high order kernel")
        return report(machine, page, text, Result.IGNORED)
    if how == "non lru":
        return report(machine, page, "non LRU", Result.IGNORED)
    if page.kind in (Kind.COMPOUND, Kind.HUGE_ZERO):
        machine.say(page, "non anonymous thp")
        return report(machine, page, "high-order kernel page", Result.IGNORED)
    return None


def _split(machine: Machine, page: Page, event: Event) -> int | None:
    """Split a transparent huge page; an errno when that ends the handling."""
    profile = machine.profile
    anonymous = page.backing is Backing.ANONYMOUS
    if not anonymous and not profile.splits_file_thp and profile.thp != "none":
        machine.say(page, "non anonymous thp")
        return report(machine, page, "high-order kernel page", Result.IGNORED)
    if page.splits and page.kind is not Kind.HUGE_ZERO:
        machine.step("try_to_split_thp_page", "split; go on with the 4 KiB page")
        page.order = 0
        if not anonymous:
            for task in page.tasks:
                task.pte = Pte.NONE if task.pte is Pte.PRESENT else task.pte
        return None
    return _split_failed(machine, page, event)


def _split_failed(machine: Machine, page: Page, event: Event) -> int:
    how = machine.profile.thp
    if how == "give up":
        machine.say(page, "failed to split THP")
        machine.say(page, "cannot unmap page, give up")
        return EBUSY
    if how == "cleared":
        machine.say(page, "thp split failed")
        page.poisoned = False
        machine.hardware_corrupted_pages -= 1
        return EBUSY
    if how == "killed":
        if page.kind is not Kind.HUGE_ZERO:
            tell(machine, page, collect(machine, page, event), sigkill=False, lsb=12 + page.order)
        report(machine, page, "unsplit thp", Result.FAILED)
        return EHWPOISON
    if machine.profile.counts == "detection":
        machine.log.append(f"Memory Failure: {page.pfn:#x}: thp split failed")
    return report(machine, page, "unsplit thp", Result.IGNORED)


def _drop_filtered(machine: Machine, page: Page) -> int:
    machine.step("hwpoison_filter", "dropped by the filter")
    page.poisoned = False
    page.bad_subpages.discard(page.subpage)
    machine.hardware_corrupted_pages -= machine.profile.counts == "detection"
    return machine.profile.filter_errno


def _device(machine: Machine, page: Page, event: Event) -> int:
    page.poisoned = True
    forced = event._replace(action_required=True, must_kill=True)
    told = collect(machine, page, forced)
    for task in page.tasks:
        task.pte = Pte.HWPOISON if task.pte is Pte.PRESENT else task.pte
    tell(machine, page, told, sigkill=False, lsb=12 + page.order)
    page.withdrawn = True
    return report(machine, page, "dax page", Result.RECOVERED)


# ---------------------------------------------------------------------------------------- hugetlb


def _hugetlb(machine: Machine, page: Page, event: Event) -> int:
    profile = machine.profile
    free = not page.mapped and page.cached_in is None
    if profile.hugetlb == "non lru":
        page.poisoned = True
        text = "free or high order kernel" if free else "non LRU"
        return report(machine, page, text, Result.IGNORED)
    if page.bad_subpages:
        return _hugetlb_again(machine, page, event)
    page.poisoned = True
    page.bad_subpages.add(page.subpage)
    if profile.counts == "detection":
        machine.hardware_corrupted_pages += profile.hugetlb_counted_pages
    if page.order >= GIGANTIC_ORDER and profile.gigantic == "ignored" and not free:
        return report(machine, page, "non-pmd-sized huge page", Result.IGNORED)
    if free:
        return _hugetlb_free(machine, page)
    if machine.filter_enabled and machine.filtered(page):
        return _drop_filtered(machine, page)
    if not unmap(machine, page, event):
        return _unmap_failed(machine, page)
    return _act(machine, page)


def _hugetlb_free(machine: Machine, page: Page) -> int:
    profile = machine.profile
    if profile.hugetlb == "delayed":
        page.withdrawn = page.dissolves
        return report(machine, page, "free huge", Result.DELAYED if page.dissolves else Result.IGNORED)
    good = _dissolve(machine, page)
    if not profile.raw_list:
        return report(machine, page, "free huge page", Result.DELAYED)
    return report(machine, page, "free huge page", Result.RECOVERED if good else Result.FAILED)


def _hugetlb_again(machine: Machine, page: Page, event: Event) -> int:
    """Handle a further error in a huge page that is still one."""
    profile = machine.profile
    known = page.subpage in page.bad_subpages
    page.bad_subpages.add(page.subpage)
    if known or not profile.raw_list:
        return _already(machine, page, event)
    if profile.second_huge_line:
        report(machine, page, "huge page", Result.FAILED)
    else:
        machine.hardware_corrupted_pages += 1
        machine.say(page, "already hardware poisoned")
    return _kill_accessing(machine, page, event)


# ---------------------------------------------------------------------------------------- the flow


def memory_failure(machine: Machine, page: Page, event: Event) -> int:
    """Handle an error in a page and return the kernel's return value.

    Args:
        machine: Kernel, settings, counters and log; changed.
        page: The page; changed, with the processes that map it.
        event: How the error came.

    Raises:
        Panic: The kernel stops.
    """
    profile = machine.profile
    if not machine.recovery:
        machine.step("memory_failure", "vm.memory_failure_recovery=0")
        trap = " from trap 18" if profile.trap_number else ""
        msg = f"Memory failure{trap} on page {page.pfn:x}"
        raise Panic(msg)
    machine.hardware_failure_seen |= not event.simulated
    if page.kind is Kind.ABSENT or (page.kind is Kind.OFFLINE and profile.offline_is_bad):
        return _bad_pfn(machine, page, event)
    if page.kind is Kind.DEVICE and profile.dax:
        return _device(machine, page, event)
    if page.hugetlb:
        return _hugetlb(machine, page, event)
    if page.poisoned:
        return _already(machine, page, event)
    page.poisoned = True
    machine.hardware_corrupted_pages += profile.counts == "detection"
    return _handle(machine, page, event)


def _handle(machine: Machine, page: Page, event: Event) -> int:
    profile = machine.profile
    checked = not event.held or profile.madvise_checks_type or profile.era < 2  # noqa: PLR2004 - era of wording
    if page.kind in (Kind.FREE, Kind.PCP):
        errno = _free(machine, page)
        return errno if errno is not None else _kernel_owned(machine, page) or 0
    owned = page.kind in (*_KERNEL_KINDS, Kind.DEVICE, Kind.OFFLINE) or not page.lru
    if owned and checked:
        errno = _kernel_owned(machine, page)
        if errno is not None:
            return errno
    if page.order or page.kind is Kind.HUGE_ZERO:
        errno = _split(machine, page, event)
        if errno is not None:
            return errno
    if machine.filter_enabled and machine.filtered(page):
        return _drop_filtered(machine, page)
    if page.kind is not Kind.USER or not page.lru:
        return _act(machine, page)
    if not unmap(machine, page, event):
        return _unmap_failed(machine, page)
    if page.cached_in is not None and page.cached_in.truncated:
        errno = report(
            machine, page, _word(machine, "already truncated LRU", "already truncated LRU page"), Result.IGNORED
        )
        return errno if profile.era else 0
    return _act(machine, page)
