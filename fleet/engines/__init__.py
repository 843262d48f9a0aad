"""Engines: the same shards on local processes or on Ray actors.

An engine turns shards into receipts, in any order. It holds no state that commits do not rebuild.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from fleet.progress import Progress, tell_nobody
from fleet.scenario.fleet import Fleet
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard


@dataclass(frozen=True)
class Job:
    """What every worker needs to know.

    Attributes:
        fleet: The scenario.
        seed: Of the run.
        root: Folder of the run.
    """

    fleet: Fleet
    seed: int
    root: str


def name_attempt(shard: Shard) -> str:
    """Return a new name for an attempt at a shard."""
    return f"{shard.shard_id:06d}-{uuid.uuid4().hex[:12]}"


class Engine(Protocol):
    """Simulates shards, between entering its context and leaving it."""

    def __enter__(self) -> Self:
        """Get hold of workers.

        Raises:
            ConfigError: There are none where the options say.
        """
        ...

    def __exit__(self, *_: object) -> None:
        """Let go of the workers."""
        ...

    def run(self, job: Job, shards: Sequence[Shard], tell: Progress = tell_nobody) -> Generator[Receipt, None, None]:
        """Simulate shards and yield a receipt for each, in any order; tell how far each is, and if one is tried again.

        Raises:
            ExecutionError: Some shard failed for good, by a policy of the user's own (PolicyError), by another error
                (ShardError) or by losing its worker whenever it is tried; all others are done by then. Or there is
                nobody left to simulate them.
        """
        ...
