"""The ledger of a run: which shards are left, which have failed, and when a shard or the run is given up.

A lost worker says little about the shard it had: it may have been killed for any reason. So an attempt counts against a
shard only if nothing else was finished meanwhile, and a shard that failed is tried again after all others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from fleet.progress import GivenUp, Progress, Reached, Retried, tell_nobody
from fleet.stored.plan import Shard
from node_sim.errors import ExecutionError, TransientError

_CHECK: Final = "check memory (or use fewer --workers) and disk, then 'hwpoison-fleet resume'"
ATTEMPTS_MAX: Final = 3
"""How often a shard is tried without anything being finished meanwhile."""


class LostError(TransientError):
    """A worker, a host or an aggregator was lost with an attempt."""


class LostShardError(ExecutionError):
    """A shard has lost its worker whenever it was tried: something is wrong with it, or with the machine."""

    def __init__(self, shard: Shard, what: str) -> None:
        """Say which shard, and how often it was tried."""
        super().__init__(f"shard {shard.shard_id}: {what}; {_CHECK}")
        self.shard, self.what = shard, what


class Ledger:
    """Hands out shards and takes back what became of them."""

    def __init__(self, shards: Sequence[Shard], tell: Progress = tell_nobody) -> None:
        """Start with all shards left."""
        self._tell = tell
        self._left = deque(shards)
        self._finished_before: dict[Shard, int] = {}
        """Of shards in work: how many were finished when the attempt began."""
        self._fruitless: dict[Shard, int] = {}
        self._finished = 0
        self._finished_at_loss = -1
        self.failed: dict[Shard, ExecutionError] = {}

    def is_open(self) -> bool:
        """Return whether a shard is left or in work."""
        return bool(self._left or self._finished_before)

    def has_more(self) -> bool:
        """Return whether a shard is left."""
        return bool(self._left)

    def take(self) -> Shard:
        """Return the next shard; an attempt at it begins."""
        shard = self._left.popleft()
        self._finished_before[shard] = self._finished
        self._tell(Reached(shard.shard_id, 0, 0))
        return shard

    def finish(self, shard: Shard) -> None:
        """Strike off a shard that is done."""
        del self._finished_before[shard]
        self._finished += 1

    def fail(self, shard: Shard, error: ExecutionError) -> None:
        """Strike off a shard that would fail again; the others go on."""
        del self._finished_before[shard]
        self.failed[shard] = error
        self._tell(GivenUp(shard.shard_id))

    def retry(self, shard: Shard, error: TransientError) -> None:
        """Put a shard behind all others after an attempt that failed for a reason outside of it.

        A shard that loses its workers again and again is given up.

        Raises:
            ExecutionError: The store has failed too often, or two shards were given up with nothing finished between
                them: the others would fare no better.
        """
        fruitless = self._finished == self._finished_before.pop(shard)
        self._fruitless[shard] = self._fruitless.get(shard, 0) + fruitless
        if self._fruitless[shard] < ATTEMPTS_MAX:
            self._left.append(shard)
            self._tell(Retried(shard.shard_id))
            return
        self._tell(GivenUp(shard.shard_id))
        given_up = _given_up(shard, error)
        if not isinstance(error, LostError) or self._finished_at_loss == self._finished:
            raise given_up from error
        self._finished_at_loss = self._finished
        self.failed[shard] = given_up

    def raise_first(self) -> None:
        """Raise what the first of the failed shards failed with, naming the others; nothing if none has failed."""
        if not self.failed:
            return
        first, *others = sorted(self.failed)
        if others:
            self.failed[first].add_note(f"failed, too: shard {', '.join(str(one.shard_id) for one in others)}")
        raise self.failed[first]


def _given_up(shard: Shard, error: TransientError) -> ExecutionError:
    """Say that a shard has failed too often, and how it failed at last."""
    what = f"failed {ATTEMPTS_MAX} times, at last: {error}"
    if isinstance(error, LostError):
        return LostShardError(shard, what)
    return ExecutionError(f"shard {shard.shard_id}: {what}; {_CHECK}")
