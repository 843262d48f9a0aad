"""The actors of the Ray engine: ``NodeHost`` simulates nodes and streams Arrow tables to an ``Aggregator``."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from fleet.engines import Job
from fleet.engines.aggregator import Aggregator
from fleet.engines.descendants import end_with
from fleet.engines.failure import naming_failure
from fleet.engines.ledger import LostError
from fleet.engines.shard import ShardSums, ShardTable, run_shard
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard
from fleet.stored.sink import give_memory_back

TABLE_BYTES_MAX: Final = 16 << 20
"""Largest table sent through the object store."""
IN_FLIGHT_MAX: Final = 4
"""Tables one host may have under way."""


class ActorPlace(NamedTuple):
    """Where an actor is: Ray's name of the node, the machine's own name, the process."""

    node_id: str
    machine: str
    pid: int

    @classmethod
    def here(cls) -> ActorPlace:
        """Return where this process is."""
        return cls(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())


class _Actor:
    """What the driver asks of every actor.

    It does not outlive its raylet: one that waits for another actor of a raylet that was killed would wait for long.
    """

    def __init__(self) -> None:
        """End with the raylet, which has started this process."""
        end_with(os.getppid())

    def ready(self) -> ActorPlace:
        """Say where the actor is, once it has what it needs."""
        return ActorPlace.here()

    def leave(self) -> None:
        """End after what it is at: where the head is lost, nobody else can end it."""
        os._exit(0)


class _AggregatorActor(_Actor):
    """The aggregator, in an actor of its own."""

    def __init__(self, job: Job) -> None:
        """Prepare to write the parts of a run."""
        super().__init__()
        self.inner = Aggregator(job.root, job.fleet)
        self.done: dict[str, tuple[int, int]] = {}

    def note(self, attempt: str, nodes: int, rows: int) -> None:
        """Note how many nodes and rows of an attempt are simulated."""
        self.done[attempt] = nodes, rows

    def reached(self) -> dict[str, tuple[int, int]]:
        """Return how many nodes and rows are simulated, by attempt."""
        return self.done

    def add(self, attempt: str, arms: tuple[int, ...], table: str, rows: Any) -> int:
        """Take some rows of one shard's attempt."""
        return self.inner.add(attempt, arms, table, rows)

    def drop(self, attempt: str) -> None:
        """Forget an attempt that will not finish."""
        self.done.pop(attempt, None)
        self.inner.drop(attempt)

    def finish(self, attempt: str, shard: Shard, sums: ShardSums) -> Receipt:
        """Write what waits of an attempt."""
        self.done.pop(attempt, None)
        return self.inner.finish(attempt, shard, sums)


class _NodeHost(_Actor):
    """Simulates server nodes, one shard at a time."""

    def __init__(self, job: Job) -> None:
        """Learn the scenario."""
        super().__init__()
        give_memory_back()
        self.job = job

    def simulate(self, shard: Shard, attempt: str, aggregator: Any) -> Receipt:
        """Simulate the nodes of a shard and stream their tables to an aggregator.

        Raises:
            LostError: The aggregator is lost.
            TransientError: It cannot write.
            ShardError: Simulating has failed.
        """
        with naming_failure(shard) as reached:
            try:
                sums, sent, nodes, rows = ShardSums.zero(self.job.fleet), list[Any](), 0, 0
                for block in run_shard(self.job.fleet, self.job.seed, shard):
                    sums = sums.plus(self.job.fleet, block)
                    for item in block.tables:
                        _send(item, attempt, aggregator, sent)
                    reached.node, nodes, rows = block.next_node, nodes + sum(block.nodes), rows + block.n_rows()
                    aggregator.note.remote(attempt, nodes, rows)
                    del block  # so that none of its rows is held while the next one is simulated
                ray.get(sent)
                receipt: Receipt = ray.get(aggregator.finish.remote(attempt, shard, sums))
            except RayTaskError as error:  # raised by the aggregator itself
                raise error.cause from None
            except RayError as error:
                msg = f"its aggregator was lost ({type(error).__name__})"
                raise LostError(msg) from None
        return receipt


def _send(item: ShardTable, attempt: str, aggregator: Any, sent: list[Any]) -> None:
    """Send a table to the aggregator, small enough for the object store; few are under way."""
    for piece in _slices(item):
        if len(sent) >= IN_FLIGHT_MAX:
            done, sent[:] = ray.wait(sent, num_returns=1)
            ray.get(done)
        sent.append(aggregator.add.remote(attempt, item.arms, item.table, piece))


AggregatorActor: Any = ray.remote(num_cpus=0)(_AggregatorActor)
NodeHost: Any = ray.remote(num_cpus=1)(_NodeHost)


def _slices(item: ShardTable) -> Iterator[Any]:
    """Cut a table into pieces small enough for the object store."""
    rows = max(1, int(item.rows.num_rows * TABLE_BYTES_MAX / max(item.rows.nbytes, 1)))
    for start in range(0, item.rows.num_rows, rows):
        yield item.rows.slice(start, rows)
