"""Signals while workers start and end."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""What asks a process to end: SIGALRM is the first two, again (see ``fleet.interruption``)."""
LOOK_EVERY_S: Final = 0.1


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


class _Guard(threading.Thread):
    """Ends the process when one of some signals comes, which the other threads hold back or have handlers for."""

    def __init__(self, numbers: tuple[signal.Signals, ...], end: Callable[[int], None]) -> None:
        """Watch for signals; ``end`` does not return."""
        super().__init__(daemon=True)
        self._numbers, self._end = numbers, end
        self._told, self._tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._over = threading.Event()
        self._wakeup_before = signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)

    def run(self) -> None:
        """Watch, and look once more at the end."""
        while not self._over.is_set():
            self._look(LOOK_EVERY_S)
        self._look(0.0)

    def _look(self, patience_s: float) -> None:
        """End the process if a signal is held back, or has come to a thread that was there before."""
        ready, _, _ = select.select([self._told], [], [], patience_s)
        held = signal.sigtimedwait(self._numbers, 0)
        came = os.read(self._told, 64) if ready else b""
        for number in ([held.si_signo] if held else []) + [one for one in self._numbers if one in came]:
            self._end(number)

    def stop(self) -> None:
        """Watch no longer; does not return if a signal has come."""
        self._over.set()
        self.join()
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._told)
        os.close(self._tell)


@contextmanager
def ending_at_once(numbers: tuple[signal.Signals, ...], end: Callable[[int], None] | None) -> Iterator[None]:
    """Have signals end the process meanwhile, from a thread, whatever the main one waits for; else hold them back.

    Args:
        numbers: The signals.
        end: Ends the process; None if somebody else decides what signals do.
    """
    with holding_back(*numbers):
        if end is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        guard = _Guard(numbers, end)
        guard.start()
        try:
            yield
        finally:
            guard.stop()
