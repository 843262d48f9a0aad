"""The Ray engine: ``NodeHost`` actors simulate the nodes and stream Arrow tables to an ``Aggregator`` actor."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RaySystemError

from fleet.aggregator import Aggregator
from fleet.engines import ATTEMPTS_MAX, Job
from fleet.manifest import Receipt
from fleet.plan import Shard
from fleet.shard import ShardTable, run_shard
from node_sim.errors import ConfigError, ExecutionError, SimError, TransientError

TABLE_BYTES_MAX = 16 << 20
"""Largest table sent through the object store."""
IN_FLIGHT_MAX = 4
"""Tables one host may have under way."""
ACTORS_PER_MACHINE_MAX = 64
OBJECT_STORE_BYTES = 256 << 20


class _AggregatorActor:
    """The aggregator, in an actor of its own."""

    def __init__(self, job: Job) -> None:
        """Prepare to write the parts of a run."""
        self.inner = Aggregator(job.root, job.fleet)

    def add(self, attempt: str, arms: tuple[int, ...], table: str, rows: Any) -> int:
        """Take some rows of one shard's attempt."""
        return self.inner.add(attempt, arms, table, rows)

    def drop(self, attempt: str) -> None:
        """Forget an attempt that will not finish."""
        self.inner.drop(attempt)

    def finish(self, attempt: str, shard: Shard) -> Receipt:
        """Write, digest and count all rows of an attempt."""
        return self.inner.finish(attempt, shard)


class _NodeHost:
    """Simulates server nodes, one shard at a time."""

    def __init__(self, job: Job, aggregator: Any) -> None:
        """Learn the scenario and where to send tables."""
        self.job = job
        self.aggregator = aggregator

    def simulate(self, shard: Shard, attempt: str) -> Receipt:
        """Simulate the nodes of a shard and stream their tables to the aggregator."""
        sent: list[Any] = []
        for item in run_shard(self.job.fleet, self.job.seed, shard):
            for piece in _slices(item):
                if len(sent) >= IN_FLIGHT_MAX:
                    _, sent = ray.wait(sent, num_returns=1)
                sent.append(self.aggregator.add.remote(attempt, item.arms, item.table, piece))
        ray.get(sent)
        receipt: Receipt = ray.get(self.aggregator.finish.remote(attempt, shard))
        return receipt


AggregatorActor: Any = ray.remote(num_cpus=0)(_AggregatorActor)
NodeHost: Any = ray.remote(num_cpus=1)(_NodeHost)


def _slices(item: ShardTable) -> Iterator[Any]:
    """Cut a table into pieces that fit the object store."""
    rows = max(1, int(item.rows.num_rows * TABLE_BYTES_MAX / max(item.rows.nbytes, 1)))
    for start in range(0, item.rows.num_rows, rows):
        yield item.rows.slice(start, rows)


class RayEngine:
    """Runs shards on actors of a Ray cluster: of one given by address, or of one started for the run."""

    def __init__(self, workers: int, address: str | None) -> None:
        """Use at most ``workers`` hosts at a time."""
        self.workers = workers
        self.address = address

    def _connect(self) -> None:
        """Join or start a cluster.

        Raises:
            ConfigError: Nothing answers at the address.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.address is None:
            options |= {
                "num_cpus": self.workers,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "address": "local",
            }
        else:
            options["address"] = self.address
        try:
            ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            where = self.address or "this machine"
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            msg = f"--engine ray: no Ray cluster at {where} ({reason}); start one or leave --address out"
            raise ConfigError(msg) from None

    def run(self, job: Job, shards: Sequence[Shard]) -> Iterator[Receipt]:
        """Simulate shards; see ``Engine.run``."""
        self._connect()
        try:
            yield from self._run_shards(job, list(shards))
        finally:
            ray.shutdown()

    def _run_shards(self, job: Job, shards: list[Shard]) -> Iterator[Receipt]:
        """Give each free host the next shard; a lost host is replaced and its shard issued again."""
        known = ray.put(job)
        aggregator = AggregatorActor.remote(known)
        idle = [NodeHost.remote(known, aggregator) for _ in range(min(self.workers, len(shards)))]
        queue, attempts = list(reversed(shards)), dict.fromkeys(shards, 0)
        running: dict[Any, tuple[Any, Shard, str]] = {}
        while queue or running:
            while queue and idle:
                host, shard, attempt = idle.pop(), queue.pop(), uuid.uuid4().hex[:12]
                running[host.simulate.remote(shard, attempt)] = (host, shard, attempt)
            ready, _ = ray.wait(list(running), num_returns=1)
            host, shard, attempt = running.pop(ready[0])
            try:
                receipt: Receipt = ray.get(ready[0])
            except RayError as error:
                attempts[shard] += 1
                _check_transient(error, shard, attempts[shard])
                aggregator.drop.remote(attempt)
                queue.append(shard)
                lost = isinstance(error, RayActorError)
                idle.append(NodeHost.remote(known, aggregator) if lost else host)
                continue
            idle.append(host)
            yield receipt


def _check_transient(error: RayError, shard: Shard, attempts: int) -> None:
    """Return if the shard is worth another attempt.

    Raises:
        SimError: What the task itself raised, if it is not transient.
        ExecutionError: The shard failed too often, or for an unknown reason.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, SimError) and not isinstance(cause, TransientError):
        raise cause from error
    transient = isinstance(cause, TransientError) or isinstance(error, RayActorError | RaySystemError)
    if not transient:
        msg = f"shard {shard.shard_id}: its actor failed: {error}"
        raise ExecutionError(msg) from error
    if attempts >= ATTEMPTS_MAX:
        msg = f"shard {shard.shard_id}: failed {ATTEMPTS_MAX} times; check memory and disk, then resume"
        raise ExecutionError(msg) from error
