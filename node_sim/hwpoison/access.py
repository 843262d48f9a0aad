"""What processes see of a poisoned page later: reads, writes, system calls, fork, hole punching.

**Models.** Page faults on hwpoison and swap entries and on poisoned page-cache pages, kernel copies that fail with
-EFAULT, read() of kept and of dropped pages, EIO from fsync, msync and syncfs once per descriptor, stale data.

**Leaves out.** close() with error, O_DIRECT, ptrace, mremap of huge pages.

**Assumes.** An access reads or writes the bad 4 KiB page of a huge page.

**Sources.** mm/memory.c ``do_swap_page()``, arch/x86/mm/fault.c ``do_sigbus()``, mm/shmem.c, fs/hugetlbfs/inode.c,
lib/errseq.c, Linux 6.1.192 (recorded).
"""

from __future__ import annotations

from node_sim.hwpoison.guest import Backing, Descriptor, File, Kind, Page, Pte, Received, Task
from node_sim.hwpoison.memory_failure import Machine

ZEROS = "\0"
_MACHINE_CHECK = "SIGBUS(BUS_MCEERR_AR)"


def show(letter: str) -> str:
    """Write what a read returned as the recordings do."""
    return f"ok('{letter}')" if letter.isprintable() else f"ok({ord(letter):#04x})"


def _bus(machine: Machine, task: Task, code: str, lsb: int | None, who: str) -> str:
    if code == "BUS_MCEERR_AR":
        machine.log.append(f"MCE: Killing {task.name} due to hardware memory corruption fault")
        machine.step("do_sigbus", f"hwpoison: SIGBUS/{code} to {task.name}")
    task.force(Received(machine.phase, "SIGBUS", code, lsb, 0, who))
    return f"SIGBUS({code})"


def fill(file: File) -> str:
    """Return the cached data of a file page, read from its store when it is not cached."""
    if file.cached is None:
        file.cached = file.stored if file.stored is not None else ZEROS
    return file.cached


def fault(page: Page, task: Task) -> str | None:
    """Resolve a missing page table entry; return the signal code when that fails."""
    if task.pte is Pte.HWPOISON:
        return "BUS_MCEERR_AR"
    if task.pte is Pte.SWAP:
        if page.swapcache and page.poisoned:
            return "BUS_MCEERR_AR"
        task.private = page.letter if task.private is None else task.private
    elif task.pte is Pte.NONE:
        if page.file is not None and task.private is None:
            if page.file.truncated:
                return "BUS_ADRERR"
            if page.file.poisoned:
                return "BUS_MCEERR_AR"
            fill(page.file)
        elif task.private is None:
            task.private = ZEROS
    if task.pte not in (Pte.PRESENT, Pte.MOVED):
        task.pte = Pte.MOVED
    return None


def _lsb(page: Page, task: Task, code: str) -> int | None:
    if code != "BUS_MCEERR_AR":
        return None
    return task.shift if task.pte is Pte.HWPOISON else page.shift


def read(machine: Machine, page: Page, task: Task, *, who: str | None = None) -> str:
    """Read the page in user space; return the data or the signal, in the notation of the recordings."""
    who = who or task.name
    if "r" not in task.protection:
        task.received.append(Received(machine.phase, "SIGSEGV", "SEGV_ACCERR", None, 0, who))
        return "SIGSEGV(SEGV_ACCERR)"
    code = fault(page, task)
    if code is not None:
        return _bus(machine, task, code, _lsb(page, task, code), who)
    return show(data(page, task))


def data(page: Page, task: Task) -> str:
    """Return what a mapped page holds for a process."""
    if task.private is not None:
        return task.private
    return fill(page.file) if page.file is not None else page.letter


def write(machine: Machine, page: Page, task: Task, letter: str = "w") -> str:
    """Write the page in user space."""
    if "w" not in task.protection:
        task.received.append(Received(machine.phase, "SIGSEGV", "SEGV_ACCERR", None, 0, task.name))
        return "SIGSEGV(SEGV_ACCERR)"
    code = fault(page, task)
    if code is not None:
        return _bus(machine, task, code, _lsb(page, task, code), task.name)
    if page.file is not None and task.private is None and "p" not in task.protection:
        page.file.cached = letter
    else:
        task.private = letter
    return "ok"


class Calls:
    """System calls of a process on the file and the mapping of the page; text answers as recorded."""

    def __init__(self, machine: Machine, page: Page, task: Task, *, descriptors: int, opened: bool = True) -> None:
        """Hold the descriptors that were open before the error."""
        self.machine, self.page, self.task = machine, page, task
        self.count = descriptors
        start = page.file or File()
        self.files = [start.open() for _ in range(descriptors)] if opened else []

    def reopen(self) -> None:
        """Open the file (again)."""
        assert self.page.file is not None
        self.files = [self.page.file.open() for _ in range(self.count)]

    def write_pipe(self) -> str:
        """Let the kernel copy the page from user space."""
        if "r" not in self.task.protection or fault(self.page, self.task) is not None:
            return "EFAULT"
        return "1"

    def pread(self) -> str:
        """Read the page with read()."""
        file = self.page.file
        assert file is not None
        if file.truncated:
            return "EOF"
        if file.poisoned and self._read_is_checked():
            return "EIO"
        return show(fill(file))

    def _read_is_checked(self) -> bool:
        if not self.page.file or not self.page.file.hugetlbfs:
            return self.page.backing is Backing.SHMEM
        return self.machine.profile.hugetlbfs_read_checks != "none"

    def pwrite(self) -> str:
        """Write the page with write()."""
        file = self.page.file
        assert file is not None
        if file.poisoned and self.page.backing is Backing.SHMEM:
            return "EIO"
        file.cached = "W"
        return "1"

    def fsync(self, descriptor: Descriptor) -> str:
        """Flush: an I/O error is reported once per descriptor (once in all before 4.13)."""
        file = self.page.file
        assert file is not None
        if self.page.backing in (Backing.SHMEM, Backing.RAMFS):
            return "0"
        if not self.machine.profile.error_once_per_descriptor:
            error, file.reported = not file.reported, True
            return "EIO" if error else "0"
        if descriptor.seen == file.errors:
            return "0"
        descriptor.seen, file.reported = file.errors, True
        return "EIO"

    def msync(self) -> str:
        """Flush the mapping: shared ones through the first descriptor."""
        return "0" if "p" in self.task.protection else self.fsync(self.files[0])

    def syncfs(self, descriptor: Descriptor) -> str:
        """Flush the file system: errors are reported once per descriptor on its own account."""
        file = self.page.file
        assert file is not None
        if self.page.backing is Backing.BLOCK or not self.machine.profile.syncfs_reports:
            return "0"
        error, descriptor.seen_by_sync = descriptor.seen_by_sync != file.errors, file.errors
        file.reported_by_sync = file.reported_by_sync or error
        return "EIO" if error else "0"

    def punch_hole(self) -> str:
        """Drop the file page; hugetlbfs drops hwpoison entries too."""
        file = self.page.file
        assert file is not None
        file.cached, file.poisoned, file.stored = None, False, ZEROS
        for task in self.page.tasks:
            if task.pte in (Pte.PRESENT, Pte.MOVED) or file.hugetlbfs:
                task.pte, task.private = Pte.NONE, None
        return "0"

    def dontneed(self) -> str:
        """Drop the mapping of the page."""
        if self.page.mlocked:
            return "EINVAL"
        self.task.pte, self.task.private = Pte.NONE, None
        if self.page.backing is Backing.ANONYMOUS or self.page.kind in (Kind.ZERO, Kind.HUGE_ZERO):
            self.task.private = ZEROS
        return "0"

    def fork_and_read(self) -> str:
        """Read in a forked child, which inherits the entry."""
        child = Task(**{**vars(self.task), "received": self.task.received})
        answer = read(self.machine, self.page, child, who="child")
        return answer if child.alive else "killed_by_BUS"
