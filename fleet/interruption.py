"""What has asked this program to end: Ctrl-C or SIGTERM, which must not get lost.

A handler raises ``KeyboardInterrupt`` wherever the program is. Now and then that is within a question which C code asks
of an object (NumPy does, of a member of an enumeration that an array is compared with), and C code drops whatever such
a question raises. So it is raised again, until it is seen on its way.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

AGAIN_S: Final = 0.5
Leave = Callable[[int, Callable[[], None]], NoReturn]
"""Says that a signal has ended the program, does one last thing, and ends it at once, from any thread."""
_asked: list[int] = []
_ways_out: list[Leave] = []


@contextmanager
def interrupted_when_asked(leave: Leave | None = None) -> Iterator[None]:
    """Have SIGTERM and Ctrl-C raise ``KeyboardInterrupt`` that reaches the end; a Ctrl-C that is ignored stays so.

    Args:
        leave: For times in which nothing can be raised; see ``way_out``.
    """
    _asked.clear()
    _ways_out[:] = [leave] if leave else []
    signal.signal(signal.SIGALRM, _raise_if_lost)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        _ways_out.clear()
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def way_out() -> Leave | None:
    """Return what ends the program when asked, where a library would not let an exception through; None if not ours."""
    return next(iter(_ways_out), None)


def was_terminated() -> bool:
    """Return whether SIGTERM was among what has asked: Ray raises an interruption of its own in place of ours."""
    return signal.SIGTERM in _asked


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    _asked.append(number)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
    raise KeyboardInterrupt


def _raise_if_lost(_number: int, _frame: FrameType | None) -> None:
    """Raise it again unless it is on its way: what clean-up runs then handles it, or an error that it led to."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    raise KeyboardInterrupt
