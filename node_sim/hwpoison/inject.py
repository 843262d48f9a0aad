"""What would the kernel do with this page? One injection, told step by step.

**Models.** Every page use and state of the handler, processes with policy and disposition, the sysctls, the kind of
event, and accesses afterwards.

**Leaves out.** Several bad pages.

**Assumes.** The first process is the one that consumes the data or calls madvise().

**Sources.** As the handler's; ``RULES`` names kernel file and function of every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from node_sim.codes import KillPolicy
from node_sim.errors import ConfigError
from node_sim.hwpoison import access
from node_sim.hwpoison import memory_failure as kernel
from node_sim.hwpoison.guest import PLAIN, Backing, Disposition, File, Kind, Page, Pte, Received, Task
from node_sim.hwpoison.profiles import PROFILE_NAMES, PROFILES
from node_sim.hwpoison.soft_offline import soft_offline

_2M, _1G = 9, 18


class _Case(NamedTuple):
    """A page use and state: words and how the page looks."""

    text: str
    page: dict[str, Any]
    file: dict[str, Any] | None = None
    mapped: bool = True


def _kernel(text: str, kind: Kind, **page: Any) -> _Case:
    return _Case(text, {"kind": kind, "backing": Backing.NONE, "dirty": False, **page}, mapped=False)


def _file(
    text: str, *, mapped: bool = True, backing: Backing = Backing.FILE, stored: str | None = "D", **page: Any
) -> _Case:
    cached = "N" if page.get("dirty", True) else stored
    return _Case(text, {"backing": backing, "dirty": True, **page}, {"stored": stored, "cached": cached}, mapped)


PAGES: Final[dict[str, _Case]] = {
    "anonymous": _Case("anonymous page, written", {}),
    "anonymous-clean": _Case("anonymous page after MADV_FREE", {"dirty": False, "swapbacked": False}),
    "anonymous-pinned": _Case("anonymous page with an extra reference", {"extra_references": 1}),
    "anonymous-mlocked": _Case("anonymous page in an mlocked area", {"mlocked": True}),
    "anonymous-isolated": _Case("anonymous page off the LRU for a moment", {"lru": False}),
    "anonymous-stuck": _Case("anonymous page that cannot be unmapped", {"unmaps": False}),
    "ksm": _Case("merged page (KSM)", {"ksm": True}),
    "thp": _Case("transparent huge page", {"order": _2M, "subpage": 5}),
    "thp-unsplittable": _Case("transparent huge page with an extra reference", {"order": _2M, "splits": False}),
    "swap-dirty": _Case("swap cache, dirty, mapped", {"swapcache": True}),
    "swap-dirty-unmapped": _Case("swap cache, dirty, not mapped", {"swapcache": True}, mapped=False),
    "swap-clean": _Case("swap cache, clean, mapped", {"swapcache": True, "dirty": False}),
    "swap-clean-unmapped": _Case("swap cache, clean, not mapped", {"swapcache": True, "dirty": False}, mapped=False),
    "file-clean": _file("page cache of a file, clean, mapped", dirty=False),
    "file-clean-unmapped": _file("page cache of a file, clean, not mapped", dirty=False, mapped=False),
    "file-dirty": _file("page cache of a file, dirty, mapped"),
    "file-dirty-unmapped": _file("page cache of a file, dirty, not mapped", mapped=False),
    "file-pinned": _file("page cache of a file, clean, with an extra reference", dirty=False, extra_references=1),
    "file-truncated": _Case(
        "truncated file page, still referenced",
        {"backing": Backing.FILE, "dirty": False, "extra_references": 1},
        {"stored": "D", "truncated": True},
        mapped=False,
    ),
    "file-thp": _file("huge page of a file", dirty=False, order=_2M, subpage=5),
    "metadata": _file("directory or other metadata mapping", backing=Backing.METADATA, dirty=False, mapped=False),
    "block-clean": _file("block device page cache, clean", backing=Backing.BLOCK, dirty=False),
    "block-dirty": _file("block device page cache, dirty", backing=Backing.BLOCK),
    "block-buffers": _file(
        "super block, buffers in use", backing=Backing.BLOCK, dirty=False, buffers=True, mapped=False
    ),
    "ramfs": _file("ramfs", backing=Backing.RAMFS, stored=None, unevictable=True),
    "tmpfs": _file("tmpfs or memfd, mapped", backing=Backing.SHMEM, stored=None),
    "tmpfs-unmapped": _file("tmpfs or memfd, not mapped", backing=Backing.SHMEM, stored=None, mapped=False),
    "shm-locked": _file("SysV shared memory, SHM_LOCKed", backing=Backing.SHMEM, stored=None, unevictable=True),
    "tmpfs-thp": _file("tmpfs huge page", backing=Backing.SHMEM, stored=None, order=_2M, subpage=5),
    "hugetlb": _Case("hugetlb 2M, private, mapped", {"kind": Kind.HUGETLB, "order": _2M, "subpage": 3}),
    "hugetlb-stuck": _Case(
        "hugetlb 2M, private, that cannot be dissolved", {"kind": Kind.HUGETLB, "order": _2M, "dissolves": False}
    ),
    "hugetlb-1g": _Case("hugetlb 1G, private, mapped", {"kind": Kind.HUGETLB, "order": _1G, "subpage": 3}),
    "hugetlb-file": _Case(
        "hugetlbfs file 2M, mapped",
        {"kind": Kind.HUGETLB, "backing": Backing.HUGETLBFS, "order": _2M, "subpage": 3},
        {"cached": "N", "hugetlbfs": True},
    ),
    "hugetlb-file-unmapped": _Case(
        "hugetlbfs file 2M, not mapped",
        {"kind": Kind.HUGETLB, "backing": Backing.HUGETLBFS, "order": _2M, "subpage": 3},
        {"cached": "N", "hugetlbfs": True},
        mapped=False,
    ),
    "hugetlb-free": _Case(
        "hugetlb 2M, free in the pool", {"kind": Kind.HUGETLB, "order": _2M, "dirty": False}, mapped=False
    ),
    "hugetlb-1g-free": _Case(
        "hugetlb 1G, free in the pool", {"kind": Kind.HUGETLB, "order": _1G, "dirty": False}, mapped=False
    ),
    "free": _kernel("free page in the buddy allocator", Kind.FREE),
    "free-head": _kernel("free page, first of its block", Kind.FREE, block_head=True),
    "free-pcp": _kernel("free page on a per-CPU list", Kind.PCP),
    "reserved": _kernel("reserved page (kernel image, memory map)", Kind.RESERVED),
    "slab": _kernel("slab page, order 0", Kind.SLAB),
    "slab-compound": _kernel("slab or other compound kernel page", Kind.COMPOUND),
    "kernel": _kernel("page table, kernel stack, vmalloc or driver page", Kind.KERNEL),
    "kernel-tail": _kernel("later page of a high-order allocation", Kind.TAIL),
    "zero": _kernel("zero page", Kind.ZERO)._replace(mapped=True),
    "huge-zero": _kernel("huge zero page", Kind.HUGE_ZERO)._replace(mapped=True),
    "dax": _Case("device memory (DAX), mapped", {"kind": Kind.DEVICE, "backing": Backing.FILE}),
    "offline": _kernel("page of an offline memory block", Kind.OFFLINE),
    "absent": _kernel("pfn outside memory", Kind.ABSENT),
}
"""Page uses and states by name."""

EVENTS: Final = {
    "ao": "action optional: patrol scrub or a deferred error",
    "ar": "action required: the first process loads the data (RIPV=1)",
    "ar-must-kill": "action required, and the process cannot be restarted (RIPV=0)",
    "madvise": "madvise(MADV_HWPOISON) by the first process",
    "corrupt-pfn": "debugfs hwpoison/corrupt-pfn",
    "hard-offline": "sysfs hard_offline_page",
    "soft-offline": "sysfs soft_offline_page",
}
ACCESSES: Final = ("read", "write", "pread", "pwrite", "fsync", "syncfs", "fork", "dontneed", "again")

_MF = "mm/memory-failure.c"
RULES: Final[dict[str, str]] = {
    "memory_failure": f"{_MF} memory_failure(): early exits",
    "TestSetPageHWPoison": f"{_MF} memory_failure(): the page is poisoned already",
    "kill_accessing_process": f"{_MF} kill_accessing_process()",
    "hwpoison_filter": f"{_MF} hwpoison_filter()",
    "try_to_split_thp_page": f"{_MF} try_to_split_thp_page()",
    "hwpoison_user_mappings": f"{_MF} hwpoison_user_mappings()",
    "try_to_unmap": "mm/rmap.c try_to_unmap()",
    "kill_proc": f"{_MF} collect_procs(), kill_procs(), kill_proc()",
    "error_states": f"{_MF} error_states[], identify_page_state()",
    "me_pagecache_dirty": f"{_MF} me_pagecache_dirty()",
    "truncate_error_page": f"{_MF} truncate_error_page()",
    "shmem_error_remove_page": "mm/shmem.c shmem_error_remove_page()",
    "me_huge_page": f"{_MF} me_huge_page()",
    "dissolve_free_huge_page": "mm/hugetlb.c dissolve_free_huge_page()",
    "action_result": f"{_MF} action_result()",
    "soft_offline_page": f"{_MF} soft_offline_page()",
    "migrate_pages": "mm/migrate.c migrate_pages()",
    "do_sigbus": "arch/x86/mm/fault.c do_sigbus()",
    "kill_me_maybe": "arch/x86/kernel/cpu/mce/core.c kill_me_maybe()",
    "machine check": "arch/x86/kernel/cpu/mce/core.c do_machine_check(), severity.c",
    "mce-inject sw": "arch/x86/kernel/cpu/mce/inject.c",
}
"""Kernel file and function of every rule a step can name."""


def _tasks(processes: Sequence[str], case: _Case) -> list[Task]:
    tasks = []
    policies = {member.text: member for member in KillPolicy}
    for number, words in enumerate(processes):
        policy, _, disposition = words.partition(":")
        if policy not in policies or disposition not in {"", *(member.value for member in Disposition)}:
            known = "|".join(policies), "|".join(member.value for member in Disposition)
            msg = f"--process {words}: expected POLICY[:DISPOSITION], {known[0]} and {known[1]}"
            raise ConfigError(msg)
        pte = Pte.PRESENT if case.mapped else Pte.SWAP if case.page.get("swapcache") else Pte.NONE
        task = Task(f"app{number}:{100 + number}", (policies[policy],), Disposition(disposition or "default"), pte)
        if case.file is None:
            task.private = "A"
        tasks.append(task)
    return tasks


def _check(page: str, kernel_name: str, event: str, then: Sequence[str]) -> None:
    problems = []
    for option, text, known in (
        ("--page", page, PAGES),
        ("--kernel", kernel_name, PROFILE_NAMES),
        ("--event", event, EVENTS),
        *(("--then", name, ACCESSES) for name in then),
    ):
        if text not in known:
            problems.append(f"{option} {text}: expected one of {', '.join(known)}")
    if problems:
        raise ConfigError("\n".join(problems))


def _happen(machine: kernel.Machine, page: Page, event: str) -> int:
    """Let the error happen, with what the caller of ``memory_failure()`` makes of its answer."""
    first = page.tasks[0] if page.tasks else None
    simulated = event in ("madvise", "corrupt-pfn", "hard-offline")
    if event == "soft-offline":
        return soft_offline(machine, page)
    if event == "madvise":
        if first is None or access.fault(page, first) is not None:
            return kernel.EFAULT
        required = machine.profile.madvise_is_ar
        errno = kernel.memory_failure(machine, page, kernel.Event(required, False, True, True, first))
        return 0 if errno == kernel.EOPNOTSUPP else errno
    required = event.startswith("ar")
    answer = kernel.Event(required, event == "ar-must-kill", False, simulated, first if required else None)
    errno = kernel.memory_failure(machine, page, answer)
    if required and first is not None and errno not in (0, kernel.EHWPOISON, kernel.EOPNOTSUPP):
        machine.log.append("Memory error not recovered")
        machine.step("kill_me_maybe", f"plain SIGBUS to {first.name}")
        first.force(Received(machine.phase, "SIGBUS", PLAIN, None, None, first.name))
    return errno


def _later(machine: kernel.Machine, page: Page, calls: access.Calls, what: str, event: str) -> str:
    machine.phase = what
    if what == "again":
        return str(_happen(machine, page, event))
    plain: dict[str, Callable[[], str]] = {"fork": calls.fork_and_read, "dontneed": calls.dontneed}
    if what == "read":
        return access.read(machine, page, calls.task)
    if what == "write":
        return access.write(machine, page, calls.task)
    if what in plain:
        return plain[what]()
    if page.file is None:
        return "no file"
    files: dict[str, Callable[[], str]] = {
        "pread": calls.pread,
        "pwrite": calls.pwrite,
        "fsync": lambda: calls.fsync(calls.files[0]),
        "syncfs": lambda: calls.syncfs(calls.files[0]),
    }
    return files[what]()


def inject(  # noqa: PLR0913 - each is an option of the command
    page: str,
    *,
    kernel_name: str = "6.1",
    event: str = "ao",
    processes: Sequence[str] = ("unset",),
    early_kill: bool = False,
    recovery: bool = True,
    enable_soft_offline: bool = True,
    then: Sequence[str] = (),
) -> dict[str, Any]:
    """Inject an error and say what the kernel does.

    Args:
        page: Page use and state, a name of ``PAGES``.
        kernel_name: Kernel profile.
        event: How the error comes, a name of ``EVENTS``.
        processes: Of each process mapping the page ``POLICY[:DISPOSITION]``.
        early_kill: vm.memory_failure_early_kill.
        recovery: vm.memory_failure_recovery.
        enable_soft_offline: vm.enable_soft_offline.
        then: What the first process does afterwards, names of ``ACCESSES``.

    Returns:
        ``page_type``, ``result``, ``errno``, ``log``, ``signals``, ``panic``, ``later``, ``hardware_corrupted_kb``,
        ``statistics`` and ``steps``; page type and result are None without an action line.

    Raises:
        ConfigError: A name is not known.
    """
    _check(page, kernel_name, event, then)
    case = PAGES[page]
    target = Page(**case.page, file=None if case.file is None else File(**case.file))
    owned = case.mapped or case.page.get("backing") is not Backing.NONE
    target.tasks = _tasks(processes, case) if owned else []
    machine = kernel.Machine(
        PROFILES[kernel_name], early_kill=early_kill, recovery=recovery, enable_soft_offline=enable_soft_offline
    )
    calls = access.Calls(machine, target, target.tasks[0], descriptors=2) if target.tasks else None
    panic, errno, later = None, 0, []
    try:
        errno = _happen(machine, target, event)
        for what in then:
            if calls is None or not calls.task.alive:
                later.append({"what": what, "answer": "no process" if calls is None else "process is dead"})
                continue
            later.append({"what": what, "answer": _later(machine, target, calls, what, event)})
    except kernel.Panic as reason:
        panic = f"Kernel panic - not syncing: {reason}"
        machine.log.append(panic)
    page_type, result = machine.actions[0] if machine.actions else (None, None)
    return {
        "page_type": page_type,
        "result": result,
        "errno": errno,
        "log": machine.log,
        "signals": [
            {"task": task.name, "phase": got.phase, "signal": got.signal, "code": got.code, "lsb": got.lsb}
            for task in target.tasks
            for got in task.received
        ]
        + [
            {"task": task.name, "phase": task.died_at, "signal": "SIGBUS", "code": "killed", "lsb": None}
            for task in target.tasks
            if task.died_at is not None
        ],
        "panic": panic,
        "later": later,
        "hardware_corrupted_kb": 4 * machine.hardware_corrupted_pages,
        "statistics": machine.statistics,
        "steps": [{"rule": rule, "decision": decision} for rule, decision in machine.steps],
    }


def inject_lines(found: dict[str, Any]) -> list[str]:
    """Tell an injection in lines."""
    lines = ["steps:"]
    lines += [f"  {step['rule']:<24} {step['decision']}" for step in found["steps"]]
    lines += ["kernel log:", *(f"  {line}" for line in found["log"] or ["(nothing)"])]
    lines.append("signals:")
    for got in found["signals"]:
        extent = f" lsb={got['lsb']}" if got["lsb"] is not None else ""
        lines.append(f"  {got['task']} during {got['phase']}: {got['signal']} {got['code']}{extent}")
    lines += ["  (none)"] if not found["signals"] else []
    lines += ["afterwards:"] if found["later"] else []
    lines += [f"  {entry['what']:<8} {entry['answer']}" for entry in found["later"]]
    lines.append(
        f"{found['page_type'] or 'no action line'}: {found['result'] or '-'}, returns {found['errno']}, "
        f"HardwareCorrupted {found['hardware_corrupted_kb']:+d} kB"
    )
    return lines
