"""The single operations of a recorded plan that act on the mapping of the first process: name and answer of each.

**Models.** fork, mremap, mprotect, MADV_DONTNEED, guard pages, calls with the page as buffer, a process that looks into
another one, a pipe that holds the page, UFFDIO_POISON, compaction, core dumps.

**Leaves out.** What compaction and other processes do with a healthy page.

**Assumes.** The areas are as large as the recording program made them.

**Sources.** mm/process_vm_access.c, fs/proc/base.c ``mem_rw()``, fs/proc/task_mmu.c ``smaps_pte_entry()``,
fs/coredump.c ``vma_dump_size()``, mm/gup.c ``get_dump_page()``, fs/splice.c; recorded on 6.1.192.
UFFDIO_POISON: mm/userfaultfd.c (6.6). Hwpoison entries count as resident: include/linux/swapops.h
``is_pfn_swap_entry()`` (6.9, and 6.1.y).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node_sim.catalog.kernels import has_since
from node_sim.hwpoison import access
from node_sim.hwpoison.access import Calls
from node_sim.hwpoison.file import ZEROS, Backing
from node_sim.hwpoison.page import Kind
from node_sim.hwpoison.process import Pte
from node_sim.one_page.buffers import install_guard, local_calls, registered_buffer
from node_sim.one_page.calls import Answers
from node_sim.one_page.page_types import UnknownScene

_AREA_KB: Final = {Backing.ANONYMOUS: 12, Backing.SHMEM: 16, Backing.FILE: 4}
_PAGE_KB: Final = 4
_IN_MEMORY: Final = (Pte.PRESENT, Pte.MOVED)


def _mprotect(_calls: Calls, _letter: str) -> Answers:
    yield "mprotect(NONE)", "0"
    yield "mprotect(RW)", "0"


def _remote_calls(calls: Calls, _letter: str) -> Answers:
    """Let another process read and write the page."""
    mapping = calls.task.first
    assert mapping is not None
    if calls.copy() != "EFAULT":
        msg = "what another process reads of a healthy page has not been recorded"
        raise UnknownScene(msg)
    yield from ((name, "EFAULT") for name in ("process_vm_readv", "process_vm_writev"))
    yield from ((name, "EIO") for name in ("procmem.read", "procmem.write", "ptrace.peek"))
    yield "smaps.Rss", str(_resident_kb(calls))
    yield "smaps.Swap", str(_PAGE_KB if mapping.pte is Pte.SWAP else 0)


def _resident_kb(calls: Calls) -> int:
    mapping = calls.task.first
    assert mapping is not None
    if calls.page.hugetlb or mapping.huge_entry or calls.page.backing not in _AREA_KB:
        return 0
    counted = mapping.pte in _IN_MEMORY or (mapping.pte is Pte.HWPOISON and has_since(calls.machine.profile, "6.1"))
    return _AREA_KB[calls.page.backing] - (0 if counted else _PAGE_KB)


def _read_pipe(_calls: Calls, letter: str) -> Answers:
    """Read what the pipe holds: the page itself, whatever became of its mappings."""
    yield "pipe.read", access.show(letter)


def _poison_by_call(calls: Calls, _letter: str) -> Answers:
    """Let the monitor of the area answer for a missing page with UFFDIO_POISON."""
    mapping = calls.task.first
    assert mapping is not None
    if not has_since(calls.machine.profile, "6.12"):
        msg = "UFFDIO_POISON came with 6.6: before, the access waits for its page for ever"
        raise UnknownScene(msg)
    mapping.pte = Pte.HWPOISON
    yield "UFFDIO_POISON", "0"


def _compact(calls: Calls, _letter: str) -> Answers:
    page = calls.page
    if page.mapped and page.splittable:
        msg = "whether compaction moves a page in use depends on where it lies"
        raise UnknownScene(msg)
    yield from ()


ON_MAPPING: Final[dict[str, Callable[[Calls, str], Answers]]] = {
    "F": lambda calls, _letter: iter([("forked_child.read", calls.fork_and_read("hwp-P0:c"))]),
    "M": lambda calls, _letter: iter([("mremap", calls.mremap())]),
    "D": lambda calls, _letter: iter([("madvise(DONTNEED)", calls.dontneed())]),
    "p": _mprotect,
    "g": lambda calls, _letter: iter([("madvise(GUARD_INSTALL)", install_guard(calls))]),
    "l": lambda calls, _letter: local_calls(calls),
    "i": registered_buffer,
    "m": _remote_calls,
    "e": _read_pipe,
    "j": _poison_by_call,
    "z": _compact,
}
"""By letter; each is given the calls of the process, and what the page held before the error."""


def core_page(calls: Calls, letter: str) -> str:
    """Return what the core dump of a process shows of the page, and of the next one.

    A page that cannot be had is left as a hole; shared memory that has a name, or is hugetlb, is left out (the default
    filter, 0x33).

    Args:
        calls: Of the process that died.
        letter: What the page held before the error.
    """
    mapping = calls.task.first
    if mapping is None:
        return "left out"
    if mapping.shared and (calls.page.kind is Kind.HUGETLB or mapping.huge_entry or calls.files):
        return "left out"
    shown = ZEROS if calls.copy() == "EFAULT" else letter
    following = chr(ord(letter) + 1) if mapping.pte is Pte.SWAP or calls.page.swapcache else letter
    quoted = [access.show(one).removeprefix("ok(").removesuffix(")") for one in (shown, following)]
    return f"{quoted[0]} next {quoted[1]}"
