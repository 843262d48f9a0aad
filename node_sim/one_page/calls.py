"""The system calls that recorded scenarios make after an error, in their order and notation.

**Models.** What the recording program calls on the mapping, on a file, on shared memory and on hugetlbfs.

**Leaves out.** Answers of a process that dies on the way: it has nobody to tell.

**Assumes.** As the recordings.

**Sources.** The program that made the recordings.
"""

from __future__ import annotations

from collections.abc import Iterator

from node_sim.hwpoison import access
from node_sim.hwpoison.file import Backing
from node_sim.hwpoison.process import Mapping, Pte
from node_sim.one_page.scene import Scene

Answers = Iterator[tuple[str, str]]


def later_calls(calls: access.Calls, scene: Scene) -> Answers:
    """Make the calls of one process; yield the name and the answer of each."""
    mapping = calls.task.first
    if mapping is not None:
        if len(calls.task.mappings) > 1 and not calls.page.ksm:
            yield "second_mapping.read", access.read(calls.machine, calls.page, calls.task, calls.task.mappings[1])
        yield "write(pipe,page)", calls.copy()
    if scene.descriptors:
        yield from _on_file(calls, scene)
    elif mapping is not None:
        yield "pagemap", _pagemap(mapping)
        yield "forked_child.read", calls.fork_and_read("hwp-P0:c")
        answer = calls.dontneed()
        yield "madvise(DONTNEED)", answer
        if answer == "0":
            yield "dontneed.read", access.read(calls.machine, calls.page, calls.task, mapping)
            yield "dontneed.write", access.write(calls.machine, calls.page, calls.task, mapping)


def _pagemap(mapping: Mapping) -> str:
    if mapping.pte in (Pte.PRESENT, Pte.MOVED):
        return "present"
    return "none" if mapping.huge_entry else mapping.pte.value


def _on_file(calls: access.Calls, scene: Scene) -> Answers:
    memory = calls.file.backing in (Backing.SHMEM, Backing.SECRETMEM)
    huge = calls.file.backing is Backing.HUGETLBFS
    disk = not memory and not huge
    yield "pread", calls.pread()
    if disk and calls.task.first is not None:
        yield "msync", calls.msync()
        yield "msync#2", calls.msync()
    if not huge:
        yield from _flushes(calls, disk=disk)
    if scene.named:
        third = calls.file.open()
        yield "reopen", "0"
        yield "reopen.pread", calls.pread()
        if not huge:
            yield "reopen.fsync", calls.fsync(third)
        yield "reopen.close", "0"
    if not huge and not calls.file.truncated:
        yield "pwrite", calls.pwrite()
        yield "pread2", calls.pread()
        yield "fsync3", calls.fsync(calls.files[0])
    if not disk:
        yield "punch_hole", calls.punch_hole()
        yield "punched.pread", calls.pread()
        if calls.task.first is not None:
            yield "punched.mapped_read", access.read(calls.machine, calls.page, calls.task, calls.task.first)
    for number in range(len(calls.files), 0, -1):
        yield f"close(fd{number})", "0"


def _flushes(calls: access.Calls, *, disk: bool) -> Answers:
    for number, descriptor in enumerate(calls.files, 1):
        yield f"fsync(fd{number})", calls.fsync(descriptor)
        yield f"fsync(fd{number})#2", calls.fsync(descriptor)
    if disk:
        yield "syncfs(fd1)", calls.syncfs(calls.files[0])
        yield "syncfs(fd1)#2", calls.syncfs(calls.files[0])
