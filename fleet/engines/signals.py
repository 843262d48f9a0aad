"""Signals while workers start and end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""What asks a process to end: SIGALRM is the first two, again (see ``fleet.interruption``)."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore what asks the process to end, while it is ending; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_held: set[signal.Signals] = set()
os.register_at_fork(after_in_child=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _held))


@contextmanager
def holding_back(*numbers: signal.Signals) -> Iterator[None]:
    """Have signals wait until the end, and then find the handlers of the beginning; processes started get theirs.

    For libraries that take over signals while they start: there is a time in which their handlers are already in place
    and cannot be replaced yet.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    _held.update(numbers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _held.difference_update(numbers)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
