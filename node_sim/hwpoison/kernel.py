"""A running kernel as the handler knows it: profile, sysctls, counters, log, and how a result is reported.

**Models.** Action lines in the wording of the profile, the counters they raise, the trace event; a trail of the
rules that decided.

**Leaves out.** Rate limits of the log, console levels.

**Assumes.** One call at a time (the kernel serialises calls since 5.14).

**Sources.** mm/memory-failure.c ``action_result()``, ``update_per_node_mf_stats()``; include/ras/ras_event.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from node_sim.catalog.profile import Profile
from node_sim.codes import Result
from node_sim.hwpoison.page import Page
from node_sim.hwpoison.process import Task

EPERM, ENOENT, EIO, ENXIO, ENOMEM, EFAULT, EBUSY, EINVAL = -1, -2, -5, -6, -12, -14, -16, -22
EOPNOTSUPP, EHWPOISON = -95, -133
ERRNO_NAMES: Final = {
    0: "0",
    EPERM: "EPERM",
    ENOENT: "ENOENT",
    EIO: "EIO",
    ENXIO: "ENXIO",
    ENOMEM: "ENOMEM",
    EFAULT: "EFAULT",
    EBUSY: "EBUSY",
    EINVAL: "EINVAL",
    EOPNOTSUPP: "EOPNOTSUPP",
    EHWPOISON: "EHWPOISON",
}

_MF = "mm/memory-failure.c"
RULES: Final[dict[str, str]] = {
    "memory_failure": f"{_MF} memory_failure(): early exits",
    "TestSetPageHWPoison": f"{_MF} memory_failure(): the page is poisoned already",
    "kill_accessing_process": f"{_MF} kill_accessing_process()",
    "hwpoison_filter": f"{_MF} hwpoison_filter(); mm/hwpoison-inject.c hwpoison_inject()",
    "get_hwpoison_page": f"{_MF} get_hwpoison_page(), get_any_page(), HWPoisonHandlable()",
    "take_page_off_buddy": "mm/page_alloc.c take_page_off_buddy()",
    "try_to_migrate_one": "mm/rmap.c try_to_migrate_one()",
    "try_to_split_thp_page": f"{_MF} try_to_split_thp_page()",
    "hwpoison_user_mappings": f"{_MF} hwpoison_user_mappings()",
    "task_early_kill": f"{_MF} task_early_kill(), find_early_kill_thread(), collect_procs()",
    "try_to_unmap": "mm/rmap.c try_to_unmap()",
    "kill_procs": f"{_MF} kill_procs(), kill_proc()",
    "error_states": f"{_MF} error_states[], identify_page_state()",
    "has_extra_refcount": f"{_MF} has_extra_refcount(), page_action()",
    "me_pagecache_dirty": f"{_MF} me_pagecache_dirty()",
    "truncate_error_page": f"{_MF} truncate_error_page()",
    "shmem_error_remove_page": "mm/shmem.c shmem_error_remove_page()",
    "me_huge_page": f"{_MF} me_huge_page()",
    "try_memory_failure_hugetlb": f"{_MF} try_memory_failure_hugetlb(), hugetlb_set_page_hwpoison()",
    "dissolve_free_huge_page": "mm/hugetlb.c dissolve_free_huge_page()",
    "memory_failure_dev_pagemap": f"{_MF} memory_failure_dev_pagemap(), mf_generic_kill_procs()",
    "memory_failure_pfn": f"{_MF} memory_failure_pfn()",
    "arch_memory_failure": "arch/x86/kernel/cpu/sgx/main.c arch_memory_failure()",
    "action_result": f"{_MF} action_result()",
    "soft_offline_page": f"{_MF} soft_offline_page(), soft_offline_in_use_page()",
    "migrate_pages": "mm/migrate.c migrate_pages()",
    "unpoison_memory": f"{_MF} unpoison_memory()",
    "madvise_inject_error": "mm/madvise.c madvise_inject_error()",
    "hwpoison_inject": "mm/hwpoison-inject.c hwpoison_inject()",
    "do_swap_page": "mm/memory.c do_swap_page(), arch/x86/mm/fault.c do_sigbus()",
    "filemap_fault": "mm/memory.c __do_fault(), arch/x86/mm/fault.c do_sigbus()",
    "mce_severity": "arch/x86/kernel/cpu/mce/severity.c mce_severity()",
    "do_machine_check": "arch/x86/kernel/cpu/mce/core.c do_machine_check(), mce_reign()",
    "machine_check_poll": "arch/x86/kernel/cpu/mce/core.c machine_check_poll(), uc_decode_notifier()",
    "kill_me_maybe": "arch/x86/kernel/cpu/mce/core.c kill_me_maybe(); mce_notify_process() before 5.8",
    "kill_me_now": "arch/x86/kernel/cpu/mce/core.c kill_me_now(); do_machine_check() before 5.8",
    "mce_inject": "arch/x86/kernel/cpu/mce/inject.c do_inject()",
    "fixup_exception": "arch/x86/kernel/cpu/mce/core.c do_machine_check(), arch/x86/mm/extable.c fixup_exception()",
    "memory_failure_queue": f"{_MF} memory_failure_queue(); include/linux/highmem.h copy_mc_user_highpage()",
    "copy_present_page": "mm/memory.c copy_present_page(), kernel/fork.c dup_mm()",
    "do_wp_page": "mm/memory.c wp_page_copy(), do_cow_fault(), do_swap_page(), mm/hugetlb.c hugetlb_wp()",
    "khugepaged": "mm/khugepaged.c __collapse_huge_page_copy(), collapse_file()",
    "dump_user_range": "fs/coredump.c dump_user_range()",
    "shrink_folio_list": "mm/vmscan.c shrink_folio_list(), before 5.19 shrink_page_list()",
    "unuse_pte": "mm/swapfile.c unuse_pte()",
    "set_mce_nospec": "arch/x86/mm/pat/set_memory.c set_mce_nospec()",
}
"""Kernel file and function of every rule that a step can name."""


class Panic(Exception):  # noqa: N818 - the kernel's word
    """The kernel stopped; the text follows "Kernel panic - not syncing: "."""


class MfCall(NamedTuple):
    """How ``memory_failure()`` is called.

    Attributes:
        action_required: The current task has consumed the data (MF_ACTION_REQUIRED).
        must_kill: It cannot be restarted (MF_MUST_KILL).
        held: The caller holds a reference (MF_COUNT_INCREASED).
        pretended: The caller says so, and does not.
        simulated: By a test interface (MF_SW_SIMULATED).
        current: The task that runs.
    """

    action_required: bool = False
    must_kill: bool = False
    held: bool = False
    pretended: bool = False
    simulated: bool = False
    current: Task | None = None


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
        filtered: Says whether the injection filter, if it is enabled, drops a page.
        filter_enabled: The filter is switched on.
        counted_pages: Behind HardwareCorrupted in /proc/meminfo.
        statistics: Per-node counters.
        hardware_failure_seen: A real error has been handled since boot.
        log: Kernel log lines.
        trace: Trace events.
        actions: (page type, result) of every action line.
        steps: (rule, what it decided).
        phase: Name of what is going on, for the signals.
        answer: What ``memory_failure()`` returned last; None before it was called.
    """

    profile: Profile
    early_kill: bool = False
    recovery: bool = True
    enable_soft_offline: bool = True
    filtered: Callable[[Page], bool] = _unfiltered
    filter_enabled: bool = False
    counted_pages: int = 0
    statistics: dict[str, int] = field(default_factory=dict)
    hardware_failure_seen: bool = False
    log: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    actions: list[tuple[str, str]] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    phase: str = "inject"
    answer: int | None = None

    def say(self, page: Page, text: str) -> None:
        """Print a line with the handler's prefix."""
        self.log.append(self.profile.prefix.format(pfn=page.pfn) + text)

    def step(self, rule: str, decision: str) -> None:
        """Note which rule decided what."""
        self.steps.append((rule, decision))

    def drops(self, page: Page) -> bool:
        """Whether the injection filter drops a page."""
        return self.filter_enabled and self.filtered(page)

    def word(self, *texts: str) -> str:
        """Pick the wording of the profile, given the texts of 2009, 2013 and 2015; of two the first is old."""
        return texts[max(self.profile.wording - 3 + len(texts), 0)]


def report(
    machine: Machine, page: Page, text: str, result: Result, *, counted: bool = True, dirty: bool = False
) -> int:
    """Print the action line, count it and return the errno it stands for.

    Args:
        machine: Log and counters; changed.
        page: The page.
        text: Page type in the wording of the profile.
        result: What became of it.
        counted: It raises the counters.
        dirty: PG_dirty is set, which the kernel of 2009 puts before the page type.
    """
    profile = machine.profile
    if profile.wording < 2:  # noqa: PLR2004 - the wording of 2015
        flag = "dirty " if profile.wording == 0 and dirty else ""
        machine.say(page, f"{flag}{text} page recovery: {result.text}")
    else:
        machine.say(page, f"recovery action for {text}: {result.text}")
    if profile.trace_event:
        machine.trace.append(f"{profile.trace_event}: pfn {page.pfn:#x}: recovery action for {text}: {result.text}")
    machine.actions.append((text, result.text))
    machine.step("action_result", f"{text}: {result.text}" + ("" if counted else " (not counted)"))
    if counted:
        machine.counted_pages += profile.counts == "action"
        if profile.statistics:
            for name in ("total", result.text.lower()):
                machine.statistics[name] = machine.statistics.get(name, 0) + 1
    good = (Result.RECOVERED,) if profile.ignored_is_error else (Result.RECOVERED, Result.DELAYED)
    return 0 if result in good else EBUSY
