"""What can follow an injection: accesses and calls of the first process, and what an administrator does.

**Models.** Loads and stores, system calls on mapping and file, soft offline and unpoison.

**Leaves out.** What other processes do meanwhile.

**Assumes.** They come one after the other, in the order given.

**Sources.** ``hwpoison/access.py``, ``hwpoison/soft_offline.py``, ``hwpoison/unpoison.py``, which answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node_sim.hwpoison import access, kernel
from node_sim.hwpoison.page import Kind, Page
from node_sim.hwpoison.process import Pte, Task
from node_sim.hwpoison.reclaim import reclaim, swapoff
from node_sim.hwpoison.soft_offline import soft_offline
from node_sim.hwpoison.unpoison import unpoison
from node_sim.one_page.events import MachineFacts, copy_again, load_again, read_file

ACCESSES: Final = {
    "read": "load from the mapping",
    "write": "store to the mapping",
    "copy": "write(pipe, page): the kernel reads the mapping",
    "pread": "pread() of the file",
    "pread-healthy": "pread() of another 4 KiB page of the same hugetlbfs page",
    "pwrite": "pwrite() of the file",
    "fsync": "fsync() of the first descriptor",
    "fsync2": "fsync() of a second descriptor",
    "msync": "msync() of the mapping",
    "syncfs": "syncfs() of the file system",
    "punch": "punch a hole",
    "fork": "fork, and load in the child",
    "dontneed": "madvise(MADV_DONTNEED)",
    "munmap": "munmap()",
    "again": "the same event again",
    "reclaim": "memory reclaim comes to the page",
    "swapoff": "swapoff",
    "soft_offline": "sysfs soft_offline_page",
    "unpoison": "debugfs hwpoison/unpoison-pfn",
}
"""What can follow, by name."""
_NEEDS_FILE = frozenset({"pread", "pread-healthy", "pwrite", "fsync", "fsync2", "msync", "syncfs", "punch"})


class Afterwards:
    """What the first process, or an administrator, does afterwards."""

    def __init__(
        self, machine: kernel.Machine, page: Page, again: Callable[[], int], facts: MachineFacts, *, real: bool
    ) -> None:
        """Prepare to act on a page.

        Args:
            machine: Kernel, settings and log; changed.
            page: The page; changed.
            again: Lets the same error happen once more.
            facts: What else the machine is like.
            real: The memory is really bad: loads that reach it raise machine checks.
        """
        self.machine, self.page, self.again, self.facts, self.real = machine, page, again, facts, real
        self.calls = access.Calls(machine, page, page.tasks[0], descriptors=2) if page.tasks else None

    def do(self, what: str) -> str:
        """Do one thing and return its answer as the recordings write it."""
        self.machine.phase = what
        administrator: dict[str, Callable[[], int]] = {
            "again": self.again,
            "soft_offline": lambda: soft_offline(self.machine, self.page),
            "unpoison": lambda: unpoison(self.machine, self.page, head=True),
        }
        if what in administrator:
            return kernel.ERRNO_NAMES[administrator[what]()]
        system = {"reclaim": reclaim, "swapoff": swapoff}
        if what in system:
            return system[what](self.machine, self.page)
        calls = self.calls
        if calls is None or not calls.task.alive or calls.task.loops:
            return "no process" if calls is None else "process loops" if calls.task.loops else "process is dead"
        if what in _NEEDS_FILE:
            return self._on_file(calls, what)
        mapping = calls.task.first
        if mapping is None:
            return "not mapped"
        forks = what == "fork" and mapping.private is not None  # other pages the child faults in itself
        reads = (what in ("read", "copy") or forks) and mapping.readable
        if (
            self.real
            and reads
            and access.fault(self.machine, self.page, mapping) is None
            and mapping.pte is Pte.PRESENT
        ):
            return self._meet_poison(calls.task, what)
        on_mapping: dict[str, Callable[[], str]] = {
            "read": lambda: access.read(self.machine, self.page, calls.task, mapping),
            "write": lambda: access.write(self.machine, self.page, calls.task, mapping),
            "copy": calls.copy,
            "fork": lambda: calls.fork_and_read("child:200"),
            "dontneed": calls.dontneed,
            "munmap": calls.munmap,
        }
        answer = on_mapping[what]()
        return answer if calls.task.alive else "died"

    def _meet_poison(self, parent: Task, what: str) -> str:
        """Let the process load the poison itself, its child, or the kernel for it, from a page that is still mapped."""
        task = access.fork(parent, "child:200") if what == "fork" else parent
        heard, errno = task.heard, 0
        if what == "copy":
            copy_again(self.machine, self.page, task, self.facts)
            errno = kernel.EFAULT if self.machine.profile.copy_recovery == "errno" else 0
        else:
            load_again(self.machine, self.page, task, self.facts)
        if not task.alive:
            return "killed_by_BUS" if what == "fork" else "died"
        if task.heard > heard:
            return f"SIGBUS({task.received[-1].code})"
        if task.loops:
            return "machine checks without end"
        return "EFAULT" if errno else "1" if what == "copy" else "ok"

    def _on_file(self, calls: access.Calls, what: str) -> str:
        if self.page.file is None:
            return "no file"
        if what == "pread" and self.real:
            if self.page.kind is Kind.DEVICE:
                return "EIO"  # the one reader that copies safely (_copy_mc_to_iter())
            if self._still_cached() and calls.pread().startswith("ok"):
                read_file(self.machine, self.page, self.facts)
        on_file: dict[str, Callable[[], str]] = {
            "pread": calls.pread,
            "pread-healthy": lambda: calls.pread(healthy=True),
            "pwrite": calls.pwrite,
            "fsync": lambda: calls.fsync(calls.files[0]),
            "fsync2": lambda: calls.fsync(calls.files[1]),
            "msync": calls.msync,
            "syncfs": lambda: calls.syncfs(calls.files[0]),
            "punch": calls.punch_hole,
        }
        return on_file[what]()

    def _still_cached(self) -> bool:
        """Whether the file still holds the bad page: marked, or one that the handler never got at."""
        file = self.page.cached_in
        mapped = any(task.maps(Pte.PRESENT) for task in self.page.tasks)
        return file is not None and (file.poisoned or mapped) and not self.page.withdrawn
