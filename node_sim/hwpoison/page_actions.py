"""What the handler does with each row of the state table.

**Models.** Swap cache, page cache (with truncation by kind of file), hugetlb and kernel pages; the check for
references that nobody expects.

**Leaves out.** Locks, the memory cgroup.

**Assumes.** A failed truncation leaves the page, and the page cache's reference, where they are.

**Sources.** mm/memory-failure.c ``me_*()``, ``truncate_error_page()``, ``has_extra_refcount()``, ``page_action()``;
mm/truncate.c ``generic_error_remove_page()``; mm/shmem.c, fs/hugetlbfs/inode.c ``*_error_remove_*()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node_sim.codes import Result
from node_sim.hwpoison.error_states import find_state, state_flags
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.kernel import EBUSY, Machine, MfCall, report
from node_sim.hwpoison.page import ORDER_1G, Kind, Page
from node_sim.hwpoison.process import Pte
from node_sim.units import PAGE_BYTES

Handler = Callable[[Machine, Page], tuple[Result, int]]
"""Returns the result and the references that nobody expects."""


def act(machine: Machine, page: Page, call: MfCall) -> int:
    """Find the page's row in the state table, run its handler, check references and report."""
    row = find_state(state_flags(page, machine.profile))
    text = row.texts[machine.profile.wording]
    machine.step("error_states", f"{text} -> {row.handler}")
    result, users = HANDLERS[row.handler](machine, page)
    if page.kind is Kind.USER and page.lru:  # page tables that still map it hold references, too
        users += sum(mapping.pte is Pte.PRESENT for task in page.tasks if task.alive for mapping in task.mappings)
    return _finish(machine, page, text, result, max(users - call.pretended, 0))


def _finish(machine: Machine, page: Page, text: str, result: Result, users: int) -> int:
    rule = machine.profile.references
    complaint = machine.word(
        f"{text} page still referenced by {users} users", f"{text} still referenced by {users} users"
    )
    if users and rule in ("all", "some"):
        machine.say(page, complaint)
        machine.step("has_extra_refcount", f"{users} references nobody expects: Failed")
        return report(machine, page, text, Result.FAILED)
    # A page still mapped has its dirtiness in the page tables.
    errno = report(machine, page, text, result, dirty=page.dirty and not page.mapped)
    if users:
        machine.say(page, complaint)
        machine.step(
            "has_extra_refcount", f"{users} references nobody expects" + (": -EBUSY" if rule == "errno" else "")
        )
    return EBUSY if users and rule == "errno" else errno


def _withdraw(page: Page, size_bytes: int = PAGE_BYTES) -> None:
    page.withdrawn = page.held = True
    page.lost_bytes = size_bytes


def _me_kernel(machine: Machine, _page: Page) -> tuple[Result, int]:
    """Leave a kernel page alone; its owner's reference counts as one too many where all handlers are checked."""
    return Result.IGNORED, int(machine.profile.references == "all")


def _me_unknown(machine: Machine, page: Page) -> tuple[Result, int]:
    machine.say(page, "Unknown page state")
    result = Result.IGNORED if machine.profile.unknown_result == "Ignored" else Result.FAILED
    return result, int(machine.profile.references == "all")


def _me_swapcache_dirty(_machine: Machine, page: Page) -> tuple[Result, int]:
    """Keep the page in the swap cache for a later access to find."""
    _withdraw(page)
    page.dirty = False
    if page.cached_in is not None:
        page.cached_in.lost_in_swap = True
    return Result.DELAYED, page.extra_references


def _me_swapcache_clean(_machine: Machine, page: Page) -> tuple[Result, int]:
    page.swapcache = False
    _withdraw(page)
    return Result.RECOVERED, page.extra_references


def _me_pagecache_dirty(machine: Machine, page: Page) -> tuple[Result, int]:
    if page.cached_in is not None:
        machine.step("me_pagecache_dirty", "I/O error recorded on the file")
        page.cached_in.fail()
    return _me_pagecache_clean(machine, page)


def _me_pagecache_clean(machine: Machine, page: Page) -> tuple[Result, int]:
    stray = int(page.mlocked and machine.profile.mlock_survives)  # the one that sits in a per-CPU list of pages to move
    if page.cached_in is None:
        checked = machine.profile.references != "some"
        _withdraw(page)
        return Result.RECOVERED, (page.extra_references if checked else 0) + stray
    trouble = _truncation_trouble(machine, page)
    if trouble is None:
        _remove(machine, page)
        return Result.RECOVERED, page.extra_references + stray
    machine.say(page, trouble)
    cached = not trouble.startswith("failed to release")
    page.cached_in.poisoned, page.held = cached, True
    machine.step("truncate_error_page", f"{trouble}: the page stays in the page cache" if cached else trouble)
    return Result.FAILED, page.extra_references + cached + page.buffers


def _truncation_trouble(machine: Machine, page: Page) -> str | None:
    """Say why the page cannot be removed from its file; None where it can."""
    if page.backing is Backing.METADATA:
        return "Failed to punch page: -5"
    if page.backing is Backing.GUEST_MEMFD and machine.profile.has_guest_memfd:
        return "Failed to punch page: 2"
    assert page.cached_in is not None
    removable = page.cached_in.system.removes and page.backing is not Backing.BLOCK
    if page.backing in (Backing.RAMFS, Backing.SECRETMEM) or (not removable and (page.dirty or page.buffers)):
        return "Failed to invalidate"
    return "failed to release buffers" if page.buffers else None


def _remove(machine: Machine, page: Page) -> None:
    """Take the page out of its file, or (tmpfs since 5.16) leave it there as a mark of the loss."""
    file = page.cached_in
    assert file is not None
    _withdraw(page)
    if page.backing is Backing.SHMEM and machine.profile.keeps_shmem:
        file.poisoned = True
        machine.step("shmem_error_remove_page", "kept in the file: later accesses fail")
    else:
        file.cached = None
        page.dirty = False
        machine.step("truncate_error_page", "removed from the page cache")


def _me_huge_page(machine: Machine, page: Page) -> tuple[Result, int]:
    profile, file = machine.profile, page.cached_in
    delayed = profile.hugetlb == "delayed"
    if file is None and not delayed:
        return Result.RECOVERED if dissolve(machine, page) else Result.FAILED, page.extra_references
    _withdraw(page, page.extent_bytes)
    kept = file is not None and profile.hugetlb_file == "kept"
    if file is not None and kept:
        file.poisoned = True
        machine.step("me_huge_page", "kept in the file: later accesses fail")
    elif file is not None:
        file.cached = None
        machine.step("me_huge_page", "removed from the file")
    # Kernels that check all handlers alike do not expect the reference of the page cache.
    expected = profile.references == "some"
    users = page.extra_references + (kept and not expected)
    return Result.DELAYED if delayed else Result.RECOVERED, users


def dissolve(machine: Machine, page: Page) -> bool:
    """Break a hugetlb page up and take its bad 4 KiB off the free lists; say whether the profile calls that success."""
    profile = machine.profile
    taken_off = page.dissolves and page.takes_off and (page.order < ORDER_1G or profile.gigantic_taken_off)
    if page.dissolves:
        page.kind, page.order, page.lru, page.held = Kind.USER, 0, False, profile.dissolve_ok != "any"
        page.withdrawn = True
        page.lost_bytes = PAGE_BYTES
    taken = {
        True: "the bad 4 KiB are taken off the free lists",
        False: "the bad 4 KiB are not taken off the free lists",
    }
    words = "the bad 4 KiB stay marked" if profile.dissolve_ok == "any" else taken[taken_off]
    machine.step("dissolve_free_huge_page", f"dissolved, {words}" if page.dissolves else "cannot be dissolved")
    return {"any": True, "dissolved": page.dissolves, "taken off": taken_off}[profile.dissolve_ok]


HANDLERS: Final[dict[str, Handler]] = {
    "kernel": _me_kernel,
    "unknown": _me_unknown,
    "huge": _me_huge_page,
    "swap dirty": _me_swapcache_dirty,
    "swap clean": _me_swapcache_clean,
    "cache dirty": _me_pagecache_dirty,
    "cache clean": _me_pagecache_clean,
}
"""Handlers by the name the state table gives them."""
