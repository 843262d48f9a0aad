"""A policy of one's own as the simulation calls it: in a process of its own, within its time, its failures named."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from types import FrameType
from typing import Final, TypeVar

from fleet.scenario.own_process import PATIENCE_S, EndedError, Printed, Watch, run_apart
from fleet.scenario.policy_source import PolicySource
from node_sim.errors import PolicyError, TransientError
from node_sim.orders import Interest, KnownNode, Order, PolicyFunction, RecordArray, interest_of
from node_sim.records import Flags

T = TypeVar("T")
TELLS_MAX: Final = 5
"""How often a policy is told that its time is over before its process is ended."""
TELL_AGAIN_S: Final = 0.05


class _OutOfTimeError(BaseException):
    """The calls for one node have taken too long."""


@cache
def printed_by(source: PolicySource) -> Printed:
    """Return what shows the output of a policy: one for all shards of this process."""
    return Printed(f"own_policy.function = {source.name}")


class Guarded:
    """A policy that names the node when it fails, and may take so much processor time for one node."""

    def __init__(self, source: PolicySource, policy: PolicyFunction, seconds: float) -> None:
        """Guard a policy."""
        self.source, self.policy, self.seconds = source, policy, seconds
        self.node_id, self.left = -1, seconds
        self.told, self.timed = 0, False
        self.watch = Watch()
        interest = interest_of(policy)
        if interest is not None:
            self.interest = self._guarded_interest(interest)

    def apart(self, work: Callable[[], T]) -> T:
        """Do work that calls the policy in a process of its own, which it may print in, hang in or end.

        Raises:
            PolicyError: It has failed, or the process has ended.
            TransientError: The process has ended while the policy was not running.
        """
        self.watch = Watch()
        try:
            return run_apart(work, self.watch, printed_by(self.source), PATIENCE_S + TELLS_MAX * self.seconds)
        except EndedError as ended:
            if ended.given_up:
                text = f"{self._too_long()}, and goes on when it is told so"
            elif ended.inside:
                text = f"{ended}, expected it to return"
            else:
                msg = f"own_policy.function = {self.source.name}: {ended}, expected it to live"
                raise TransientError(msg) from None
            raise PolicyError(self.source.name, ended.node_id, text) from None

    def _too_long(self) -> str:
        return f"took more than own_policy.seconds_per_node = {self.seconds:g} s of processor time"

    def _guarded_interest(self, interest: Interest) -> Interest:
        """Return what the policy looks at, with its failures named."""

        def ask(errors: RecordArray) -> Flags:
            self.watch.enter(-1)
            try:
                return interest(errors)
            except BaseException as error:  # noqa: BLE001 - as in __call__
                text = f"what it looks at raised {last_line(error, self.source.path)}"
                raise PolicyError(self.source.name, -1, text) from None
            finally:
                self.watch.leave()

        return ask

    def __call__(self, node: KnownNode) -> Sequence[Order] | None:
        """Call the policy.

        Raises:
            PolicyError: It has raised, taken too long, or returned what is no list.
        """
        if node.node_id != self.node_id:
            self.node_id, self.left = node.node_id, self.seconds
        try:
            found = self._timed(node)
        except _OutOfTimeError:
            raise PolicyError(self.source.name, node.node_id, self._too_long()) from None
        except BaseException as error:  # noqa: BLE001 - whatever a user's function raises is its mistake
            text = f"raised {last_line(error, self.source.path)}"
            raise PolicyError(self.source.name, node.node_id, text) from None
        if found is not None and not isinstance(found, list | tuple):
            text = f"returned {type(found).__name__}, expected a list of orders"
            raise PolicyError(self.source.name, node.node_id, text)
        return found

    def _timed(self, node: KnownNode) -> Sequence[Order] | None:
        """Call the policy, and tell it when its time is over, again and again."""
        self.watch.enter(node.node_id)
        self.told, self.timed = 0, True
        try:
            signal.signal(signal.SIGVTALRM, self._tell)
            signal.setitimer(signal.ITIMER_VIRTUAL, self.left, TELL_AGAIN_S)
            return self.policy(node)
        finally:
            self.timed = False
            self.left = signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)[0] or 1e-6
            self.watch.leave()
            if self.told:
                raise _OutOfTimeError

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        """Raise in the policy; end the process when that has not helped."""
        if not self.timed:
            return
        self.told += 1
        if self.told > TELLS_MAX:
            self.watch.give_up()
        raise _OutOfTimeError


def last_line(error: BaseException, path: str) -> str:
    """Say what was raised, and in which line of a file, in one line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no text'}{where}"
