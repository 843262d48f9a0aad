"""Processes that other processes have started, so that none of them outlives what it was started for."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


def end_with(pid: int) -> None:
    """Have this process end when another one does, whatever it is at."""
    other = os.pidfd_open(pid)

    def watch() -> None:
        select.select([other], [], [])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _below(pid: int) -> Iterator[int]:
    """Yield the processes that a process and its children have started, and whose parents live."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def descendants() -> frozenset[int]:
    """Return the processes below this one."""
    return frozenset(_below(os.getpid()))


def stop_all(others: frozenset[int]) -> Callable[[], None]:
    """Stop the processes below this one, so that they start no more; return what ends them.

    Args:
        others: Processes that are none of ours.
    """
    stopped: dict[int, int] = {}
    while new := descendants() - others - stopped.keys():
        for pid in new:
            with suppress(ProcessLookupError):
                stopped[pid] = os.pidfd_open(pid)
                signal.pidfd_send_signal(stopped[pid], signal.SIGSTOP)

    def end() -> None:
        for pid in sorted(stopped, reverse=True):  # what others lean on began before them
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(stopped[pid], signal.SIGKILL)

    return end


@contextmanager
def outliving_none(grace_s: float, others: frozenset[int]) -> Iterator[None]:
    """End the processes below this one that are there now and still there at the end, after a while of grace.

    Args:
        grace_s: How long they may take to end.
        others: Processes that are none of ours.
    """
    with ExitStack() as stack:
        handles = []
        for pid in descendants() - others:
            with suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
                stack.callback(os.close, handles[-1])
        try:
            yield
        finally:
            until_s = time.monotonic() + grace_s
            for handle in handles:
                ended, _, _ = select.select([handle], [], [], max(0.0, until_s - time.monotonic()))
                if not ended:
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
