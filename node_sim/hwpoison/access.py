"""What processes see of a poisoned page later: reads, writes, system calls, fork, hole punching.

**Models.** Page faults on hwpoison and swap entries and on poisoned page-cache pages, kernel copies that fail with
-EFAULT, read() of kept and of dropped pages, EIO from fsync, msync and syncfs once per descriptor, stale data.

**Leaves out.** O_DIRECT, ptrace, write back.

**Assumes.** An access reads or writes the bad 4 KiB page of a huge page.

**Sources.** mm/memory.c ``do_swap_page()``, ``__do_fault()``; arch/x86/mm/fault.c ``do_sigbus()``; mm/shmem.c;
fs/hugetlbfs/inode.c; lib/errseq.c; recorded on 6.1.192.
"""

from __future__ import annotations

from dataclasses import replace

from node_sim.catalog.kernels import has_since
from node_sim.hwpoison.file import WRITES_BACK, ZEROS, Backing, Descriptor, File
from node_sim.hwpoison.kernel import Machine
from node_sim.hwpoison.page import Kind, Page
from node_sim.hwpoison.process import Mapping, Pte, Received, Task

ADDRESS = 0x7F0000001000
"""Virtual address at which processes map the page."""
_CHECKED = "BUS_MCEERR_AR"
_ORDINARY = "BUS_ADRERR"


def show(letter: str) -> str:
    """Write what a read returned as the recordings do."""
    return f"ok('{letter}')" if letter.isprintable() else f"ok({ord(letter):#04x})"


def fault(machine: Machine, page: Page, mapping: Mapping) -> str | None:
    """Resolve a missing page table entry; return the signal code when that fails."""
    if mapping.pte in (Pte.HWPOISON, Pte.SWAP_ERROR):
        return _CHECKED if mapping.pte is Pte.HWPOISON else _ORDINARY
    if mapping.pte is Pte.SWAP and page.swapcache and page.poisoned:
        return _CHECKED
    if mapping.pte is Pte.NONE and page.file is not None and page.file.bad_block:
        return machine.profile.dax_bad_block
    if mapping.pte is Pte.NONE and mapping.private is None:
        code = _file_fault(page.file) if page.file is not None else None
        if code == _CHECKED and page.backing in WRITES_BACK:
            page.replace_entries(Pte.NONE)  # __do_fault() tries to drop the page first (5.10.110)
        if code is not None:
            return code
        if page.file is None:
            mapping.private = ZEROS
    if mapping.pte not in (Pte.PRESENT, Pte.MOVED):
        mapping.swapped_in = mapping.pte is Pte.SWAP
        mapping.pte = Pte.PRESENT if page.kind is Kind.DEVICE else Pte.MOVED  # device memory is where the file is
    return None


def _file_fault(file: File) -> str | None:
    if file.truncated or file.lost_in_swap:
        return _ORDINARY
    if file.poisoned:
        return _CHECKED
    file.fill()
    return None


def late_kill_line(name: str, address: int) -> str:
    """Return the line of the kernel log about a process whose page fault met poison."""
    return f"MCE: Killing {name} due to hardware memory corruption fault at {address:x}"


def fail_access(machine: Machine, page: Page, task: Task, mapping: Mapping, rule: str) -> None:
    """Send the SIGBUS of a page fault that met poison itself (VM_FAULT_HWPOISON), as a rule says."""
    machine.log.append(late_kill_line(task.name, ADDRESS + mapping.offset))
    machine.step(rule, f"VM_FAULT_HWPOISON: SIGBUS/{_CHECKED} to {task.name}, lsb {page.shift}")
    task.force(Received(machine.phase, "SIGBUS", _CHECKED, page.shift, mapping.offset, task.name))


def _bus(machine: Machine, page: Page, task: Task, mapping: Mapping, code: str) -> str:
    """Send the SIGBUS of a failed access and return it in the notation of the recordings."""
    lsb = None
    if code == _CHECKED:
        lsb = mapping.shift if mapping.pte is Pte.HWPOISON else page.shift
        rule = "do_swap_page" if mapping.pte is not Pte.NONE else "filemap_fault"
        machine.log.append(late_kill_line(task.name, ADDRESS + mapping.offset))
        machine.step(rule, f"poisoned: SIGBUS/{code} to {task.name}, lsb {lsb}")
    task.force(Received(machine.phase, "SIGBUS", code, lsb, mapping.offset, task.name))
    return f"SIGBUS({code})"


def _segv(machine: Machine, task: Task, mapping: Mapping) -> str:
    code = "SEGV_MAPERR" if mapping.pte is Pte.GUARD else "SEGV_ACCERR"
    task.received.append(Received(machine.phase, "SIGSEGV", code, None, mapping.offset, task.name))
    return f"SIGSEGV({code})"


def read(machine: Machine, page: Page, task: Task, mapping: Mapping) -> str:
    """Read the page in user space; return the data or the signal, in the notation of the recordings."""
    if not mapping.readable or mapping.pte is Pte.GUARD:
        return _segv(machine, task, mapping)
    code = fault(machine, page, mapping)
    return show(_data(page, mapping)) if code is None else _bus(machine, page, task, mapping, code)


def _data(page: Page, mapping: Mapping) -> str:
    if mapping.private is not None:
        return mapping.private
    assert page.file is not None
    return page.file.fill()


def write(machine: Machine, page: Page, task: Task, mapping: Mapping, letter: str = "w") -> str:
    """Write the page in user space."""
    if not mapping.writable or mapping.pte is Pte.GUARD:
        return _segv(machine, task, mapping)
    code = fault(machine, page, mapping)
    if code is not None:
        return _bus(machine, page, task, mapping, code)
    if page.file is not None and mapping.shared:
        page.file.cached = letter
    else:
        if mapping.pte is Pte.PRESENT and _is_shared(page, mapping):
            mapping.pte = Pte.MOVED
        mapping.private, mapping.swapped_in = letter, False  # a page written leaves the swap cache
    return "ok"


def _is_shared(page: Page, mapping: Mapping) -> bool:
    """Whether a write has to copy the page first."""
    users = sum(task.maps(Pte.PRESENT) for task in page.tasks)
    return page.ksm or page.kind in (Kind.ZERO, Kind.HUGE_ZERO) or mapping.private is None or users > 1


def fork(task: Task, name: str) -> Task:
    """Return a child; its signals are recorded with the parent's.

    It inherits page table entries, but for mappings that have no page of their own: those it faults in again.
    """
    mappings = [
        replace(mapping, pte=mapping.pte if mapping.private is not None else Pte.NONE) for mapping in task.mappings
    ]
    return replace(task, name=name, mappings=mappings)


class Calls:
    """System calls of a process on the file and the mapping of the page; text answers as recorded."""

    def __init__(self, machine: Machine, page: Page, task: Task, *, descriptors: int = 1) -> None:
        """Open the file of the page a number of times."""
        self.machine, self.page, self.task = machine, page, task
        self.files = [self.file.open() for _ in range(descriptors)] if page.file is not None else []

    @property
    def file(self) -> File:
        """The file of the page."""
        assert self.page.file is not None
        return self.page.file

    def copy(self) -> str:
        """Let the kernel copy the page from user space: write(pipe, page)."""
        mapping = self.task.first
        if mapping is None or not mapping.readable or mapping.pte is Pte.GUARD:
            return "EFAULT"
        return "1" if fault(self.machine, self.page, mapping) is None else "EFAULT"

    def pread(self, *, healthy: bool = False) -> str:
        """Read the page with read(), or a healthy 4 KiB page of the same huge page."""
        if self.file.backing is Backing.SECRETMEM:
            return "ESPIPE"
        if self.file.truncated:
            return "EOF"
        if self.file.bad_block:
            return "EIO"
        healthy = healthy and self.machine.profile.hugetlbfs_read != "page"
        if self.file.lost_in_swap or (self.file.poisoned and self._read_is_checked() and not healthy):
            return "EIO"
        return show(self.file.fill())

    def _read_is_checked(self) -> bool:
        if self.file.backing is Backing.HUGETLBFS:
            return self.machine.profile.hugetlbfs_read != "none"
        return self.file.backing is Backing.SHMEM and self.machine.profile.keeps_shmem

    def pwrite(self) -> str:
        """Write the page with write()."""
        if self.file.backing is Backing.SECRETMEM:
            return "ESPIPE"
        if self.file.backing is Backing.HUGETLBFS:
            return "EINVAL"
        if self.file.bad_block:  # a part of a block cannot clear it (dax_iomap_rw(), 5.19)
            return "EFAULT" if has_since(self.machine.profile, "6.1") else "EIO"
        marked = self.file.poisoned and self.machine.profile.keeps_shmem
        if self.file.backing is Backing.SHMEM and (marked or self.file.lost_in_swap):
            return "EIO"
        self.file.cached = "W"
        return "1"

    def fsync(self, descriptor: Descriptor) -> str:
        """Flush: an I/O error is reported once per descriptor (once in all before 4.13)."""
        file = self.file
        if file.backing is Backing.SECRETMEM:
            return "EINVAL"
        if file.backing in (Backing.SHMEM, Backing.RAMFS, Backing.HUGETLBFS):
            return "0"
        if not self.machine.profile.error_once_per_descriptor:
            error, file.reported = not file.reported, True
            return "EIO" if error else "0"
        if descriptor.seen == file.errors:
            return "0"
        descriptor.seen, file.reported = file.errors, True
        return "EIO"

    def msync(self) -> str:
        """Flush the mapping: a shared one through the descriptor it was made from, the first."""
        mapping = self.task.first
        return self.fsync(self.files[0]) if mapping is not None and mapping.shared else "0"

    def syncfs(self, descriptor: Descriptor) -> str:
        """Flush the file system: errors are reported once per descriptor on its own account."""
        file = self.file
        if file.backing is Backing.BLOCK or file.system.layered or not self.machine.profile.syncfs_reports:
            return "0"
        error, descriptor.seen_by_sync = descriptor.seen_by_sync != file.errors, file.errors
        file.reported_by_sync = file.reported_by_sync or error
        return "EIO" if error else "0"

    def punch_hole(self) -> str:
        """Drop the file page. On hugetlbfs hwpoison entries and private copies go, too, on tmpfs by profile."""
        file = self.file
        if file.backing is Backing.SECRETMEM:
            return "EOPNOTSUPP"
        poison_goes = self.machine.profile.punch_takes_entries
        file.cached, file.stored = None, ZEROS
        file.poisoned = file.lost_in_swap = file.bad_block = False
        for mapping in (mapping for task in self.page.tasks for mapping in task.mappings):
            gone = (Pte.PRESENT, Pte.MOVED, Pte.HWPOISON) if poison_goes else (Pte.PRESENT, Pte.MOVED)
            if mapping.pte in gone or file.backing is Backing.HUGETLBFS:
                mapping.pte, mapping.private = Pte.NONE, None
        return "0"

    def dontneed(self) -> str:
        """Drop the page from the mapping: madvise(MADV_DONTNEED)."""
        mapping = self.task.first
        assert mapping is not None
        hugetlb = self.page.hugetlb or mapping.huge_entry
        if mapping.locked or (hugetlb and not self.machine.profile.dontneed_hugetlb):
            return "EINVAL"
        mapping.pte = Pte.NONE
        mapping.private = ZEROS if self.page.file is None or self.page.kind is Kind.HUGE_ZERO else None
        return "0"

    def mremap(self) -> str:
        """Move the first mapping, which takes its entry along; a merged page is copied first (``move_vma()``)."""
        mapping = self.task.first
        if self.page.ksm and mapping is not None and mapping.pte is Pte.PRESENT:
            mapping.pte = Pte.MOVED
        return "0"

    def fork_and_read(self, name: str) -> str:
        """Read in a forked child of a given name."""
        child = fork(self.task, name)
        mapping = child.first
        answer = read(self.machine, self.page, child, mapping) if mapping is not None else "n/a"
        return answer if child.alive else "killed_by_BUS"

    def munmap(self) -> str:
        """Remove the mapping of the page."""
        self.task.munmap()
        return "0"
