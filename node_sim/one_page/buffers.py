"""System calls that take the page as their buffer, and rings that hold it pinned, in the order of the recordings.

**Models.** Copies to and from the page, O_DIRECT, futexes, residence, locking, advice, buffers of io_uring.

**Leaves out.** What reclaim does to a healthy page after MADV_PAGEOUT.

**Assumes.** Zeros are read into a registered buffer, as the recording program does.

**Sources.** mm/gup.c ``faultin_page()``; mm/mincore.c; mm/madvise.c ``madvise_populate()``,
``madvise_guard_install()``; the program that made the
recordings, on 6.1.192. MADV_COLD and MADV_PAGEOUT: 5.4; MADV_POPULATE_READ: 5.14; MADV_GUARD_INSTALL: 6.13.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from node_sim.catalog.kernels import PROFILE_NAMES, has_since
from node_sim.hwpoison.access import Calls, show
from node_sim.hwpoison.file import ZEROS
from node_sim.hwpoison.process import Pte
from node_sim.one_page.page_types import UnknownScene

# Call -> its answer for a healthy and for a poisoned page.
_COPIES: Final = {
    "read(zero,page)": ("16", "EFAULT"),
    "getrandom(page)": ("16", "EFAULT"),
    "odirect.write(page)": ("4096", "EFAULT"),
    "odirect.read(page)": ("4096", "EFAULT"),
    "vmsplice(page)": ("4096", "EFAULT"),
    "futex(WAKE)": ("0", "EFAULT"),
    "futex(WAIT)": ("EAGAIN", "EFAULT"),
    "futex(WAIT_PRIVATE)": ("EAGAIN", "EFAULT"),
}
_ADVICE: Final = {
    "mlock": ("0", "ENOMEM"),
    "madvise(POPULATE_READ)": ("0", "EHWPOISON"),
    "madvise(COLD)": ("0", "0"),
    "madvise(PAGEOUT)": ("0", "0"),
    "madvise(WILLNEED)": ("0", "0"),
    "move_pages": ("0/node", "0/ENOENT"),
    "fork": ("0", "0"),
}
_SINCE: Final = {"madvise(POPULATE_READ)": "6.1", "madvise(COLD)": "5.10", "madvise(PAGEOUT)": "5.10"}
_GUARDS_SINCE: Final = "7.1"
_READ_IN: Final = "Q"


def local_calls(calls: Calls) -> Iterator[tuple[str, str]]:
    """Make the calls of a process with its page as buffer; yield the name and the answer of each."""
    profile, mapping = calls.machine.profile, calls.task.first
    assert mapping is not None
    bad = calls.copy() == "EFAULT"
    if not bad and (calls.page.splits or mapping.pte is not Pte.PRESENT):
        msg = "what MADV_PAGEOUT does to a healthy page is a matter of its references"
        raise UnknownScene(msg)
    yield from ((name, answers[bad]) for name, answers in _COPIES.items())
    yield "mincore", "0/0" if mapping.pte is Pte.SWAP else "0/1"
    for name, answers in _ADVICE.items():
        yield name, answers[bad] if has_since(profile, _SINCE.get(name, PROFILE_NAMES[0])) else "EINVAL"
    if not bad:
        mapping.private = _READ_IN
    if calls.files:
        yield "splice(file)", "EIO" if calls.pread() == "EIO" else "4096"


def registered_buffer(calls: Calls, letter: str) -> Iterator[tuple[str, str]]:
    """Write from and read into a buffer registered with io_uring: the old page, whatever maps it now.

    Args:
        calls: Of the process.
        letter: What the page held when it was registered.
    """
    yield "uring.write_fixed", "1/" + show(letter).removeprefix("ok(").removesuffix(")")
    mapping = calls.task.first
    if mapping is not None and mapping.pte is Pte.PRESENT:
        if mapping.private is None:
            calls.file.cached = ZEROS
        else:
            mapping.private = ZEROS
    yield "uring.read_fixed", "1"


def install_guard(calls: Calls) -> str:
    """Call madvise(MADV_GUARD_INSTALL), which older kernels do not know; it zaps whatever entry is there."""
    mapping = calls.task.first
    assert mapping is not None
    if not has_since(calls.machine.profile, _GUARDS_SINCE):
        return "EINVAL"
    mapping.pte = Pte.GUARD
    return "0"
