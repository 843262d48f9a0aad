"""A process of its own for a user's code: however it ends, prints or hangs, the process that asked goes on.

The child is a fork, so that it has all that the code is shown, and lives for one piece of work. It tells in memory that
it shares when the user's code is entered and left, so that its parent can name the node, and can end it if it hangs.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn, TypeVar

from fleet.printable import printable

T = TypeVar("T")
TICK_S: Final = 0.5
PATIENCE_S: Final = 120.0
"""How long one call may wait or compute where no signal reaches it."""
LINES_MAX: Final = 100
LINE_MAX: Final = 800
"""How much of what is printed is shown."""
_PR_SET_PDEATHSIG: Final = 1
_LENGTH_BYTES: Final = 8
_PIECE: Final = 1 << 16


class EndedError(Exception):
    """The process has ended without a result, or was ended.

    Attributes:
        inside: Whether the user's code was running.
        node_id: The node it was entered for last.
        given_up: The user's code would not stop.
    """

    def __init__(self, text: str, watch: Watch) -> None:
        """Say how it ended."""
        super().__init__(text)
        self.inside, self.node_id, self.given_up = watch.inside, watch.node_id, watch.given_up


class Watch:
    """Memory of two processes: how often the user's code was entered or left, and for which node."""

    def __init__(self) -> None:
        """Begin outside."""
        self._cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")

    def enter(self, node_id: int) -> None:
        """Tell that the user's code begins."""
        self._cells[1] = node_id
        self._cells[0] += 1

    def leave(self) -> None:
        """Tell that it has ended."""
        self._cells[0] += 1

    def give_up(self) -> NoReturn:
        """End this process, as the user's code does not stop when it is told to."""
        self._cells[2] = 1
        os._exit(1)

    @property
    def given_up(self) -> bool:
        """Whether the process has ended itself."""
        return self._cells[2] == 1

    @property
    def steps(self) -> int:
        """How often it was entered or left."""
        return self._cells[0]

    @property
    def inside(self) -> bool:
        """Whether it runs."""
        return self._cells[0] % 2 == 1

    @property
    def node_id(self) -> int:
        """The node it was entered for."""
        return self._cells[1]


class Printed:
    """Shows the first lines that a user's code prints as notices on stderr, and drops the others."""

    def __init__(self, name: str) -> None:
        """Call the code by a name."""
        self._name, self._rest, self._lines = name, b"", 0

    @property
    def enough(self) -> bool:
        """Whether nothing more is shown."""
        return self._lines > LINES_MAX

    def add(self, piece: bytes) -> None:
        """Show the lines that end in a piece of output."""
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[:LINE_MAX]
        for line in lines:
            self._show(line)

    def end(self) -> None:
        """Show a last line that has no end."""
        if self._rest:
            self._show(self._rest)
        self._rest = b""

    def _show(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > LINES_MAX + 1:
            return
        text = f": {printable(line[:LINE_MAX].decode(errors='replace'))}"
        if self._lines > LINES_MAX:
            text = f" more than {LINES_MAX} lines: the others are not shown"
        with suppress(OSError, ValueError, AttributeError):  # stderr is full, or closed
            sys.stderr.write(f"notice: {self._name} prints{text}\n")


def run_apart(work: Callable[[], T], watch: Watch, printed: Printed, patience_s: float = PATIENCE_S) -> T:
    """Do work in a fork of this process and return what it returns.

    Args:
        work: Is done there; what it returns or raises is pickled.
        watch: Is told there by the work when the user's code runs.
        printed: Is given what is printed there.
        patience_s: The fork is ended when the user's code has run for so long without being left.

    Raises:
        EndedError: The process has ended without a result, or was ended.
        BaseException: What the work has raised.
    """
    (answer, telling), (words, saying) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        _child(work, telling, os.open(os.devnull, os.O_WRONLY) if printed.enough else saying)
    os.close(telling)
    os.close(saying)
    try:
        told, in_time = _listen(pid, answer, words, watch, printed, patience_s)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(answer)
        os.close(words)
        printed.end()
    if not in_time:
        msg = f"does not end: ended after {patience_s:g} s without an answer"
        raise EndedError(msg, watch)
    if told is None:
        raise EndedError(_how(os.waitstatus_to_exitcode(status)), watch)
    done, found = pickle.loads(told)  # noqa: S301 - of a fork of this process
    if not done:
        raise found
    result: T = found
    return result


def _how(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended the process it runs in (exit code {code})"
    return f"its process was ended by {signal.Signals(-code).name}: by itself, or because memory ran out"


def _listen(
    pid: int, answer: int, words: int, watch: Watch, printed: Printed, patience_s: float
) -> tuple[bytes | None, bool]:
    """Wait for the answer of a process; return it, if it gave one, and whether it was in time."""
    death = os.pidfd_open(pid)
    poll = select.poll()
    for descriptor in (answer, words, death):
        poll.register(descriptor, select.POLLIN)
    told, ticks, steps, looked = b"", 0, watch.steps, time.monotonic()
    try:
        while not _is_whole(told):
            ready = {descriptor for descriptor, _ in poll.poll(TICK_S * 1000)}
            if words in ready:
                printed.add(_read(poll, words))
            if answer in ready:
                told += _read(poll, answer)
            elif death in ready and words not in ready:
                return None, True
            if time.monotonic() - looked < TICK_S:
                continue
            # a tick is a look, not a time: a machine that slept, or a shell that stopped both, has not run out of any
            ticks = ticks + 1 if watch.inside and watch.steps == steps else 0
            steps, looked = watch.steps, time.monotonic()
            if ticks * TICK_S >= patience_s:
                return None, False
        while words in {descriptor for descriptor, _ in poll.poll(0)}:
            printed.add(_read(poll, words))
        return told[_LENGTH_BYTES:], True
    finally:
        os.close(death)


def _is_whole(told: bytes) -> bool:
    return len(told) >= _LENGTH_BYTES and len(told) >= _LENGTH_BYTES + int.from_bytes(told[:_LENGTH_BYTES], "little")


def _read(poll: select.poll, descriptor: int) -> bytes:
    """Read what there is; a pipe that nobody writes any more is asked no longer."""
    piece = os.read(descriptor, _PIECE)
    if not piece:
        poll.unregister(descriptor)
    return piece


def _child(work: Callable[[], Any], telling: int, saying: int) -> NoReturn:
    """Do the work in a new process, tell what comes of it, and end."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _print_to(saying)
        try:
            told = (True, work())
        except BaseException as error:  # noqa: BLE001 - the parent raises it
            told = (False, error)
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
        _tell(telling, told)
    finally:
        os._exit(0)


def _tell(telling: int, told: tuple[bool, Any]) -> None:
    """Write an answer: its length, and itself."""
    content = pickle.dumps(told)
    left = memoryview(len(content).to_bytes(_LENGTH_BYTES, "little") + content)
    while left:
        left = left[os.write(telling, left) :]


def _print_to(saying: int) -> None:
    """Let everything that is printed go into a pipe, and let nothing be read from the terminal."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, source in ((0, nothing), (1, saying), (2, saying)):
        os.dup2(source, descriptor)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout = sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8", "backslashreplace", line_buffering=True
    )
