"""The Ray engine: ``NodeHost`` actors simulate the nodes and stream Arrow tables to an ``Aggregator`` actor."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final, Self

import ray
from ray.exceptions import RayActorError, RayError, RaySystemError

from fleet.engines import ATTEMPTS_MAX, Job, name_attempt, raise_first
from fleet.engines.aggregator import Aggregator
from fleet.engines.shard import ShardSums, ShardTable, run_shard
from fleet.shortage import naming_shortage
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard
from fleet.stored.sink import give_memory_back
from node_sim.errors import ConfigError, ExecutionError, PolicyError, SimError, TransientError

TABLE_BYTES_MAX = 16 << 20
"""Largest table sent through the object store."""
IN_FLIGHT_MAX = 4
"""Tables one host may have under way."""
LIMITS: Final = (("n", resource.RLIMIT_NOFILE, 1, 256), ("v", resource.RLIMIT_AS, 1024, 16 << 20))
"""Limits that Ray needs: flag of ulimit, which it is, its unit, and the least that is safe."""
CONNECT_TIMEOUT_S = 5.0
START_TIMEOUT_S = 120
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

    def finish(self, attempt: str, shard: Shard, sums: ShardSums) -> Receipt:
        """Write what waits of an attempt."""
        return self.inner.finish(attempt, shard, sums)


class _NodeHost:
    """Simulates server nodes, one shard at a time."""

    def __init__(self, job: Job, aggregator: Any) -> None:
        """Learn the scenario and where to send tables."""
        give_memory_back()
        self.job = job
        self.aggregator = aggregator

    def ready(self) -> None:
        """Answer once the actor has a core and has learnt the scenario."""

    def simulate(self, shard: Shard, attempt: str) -> Receipt:
        """Simulate the nodes of a shard and stream their tables to the aggregator."""
        sent: list[Any] = []
        with naming_shortage(f"shard {shard.shard_id}"):
            sums = self._stream(shard, attempt, sent)
        ray.get(sent)
        receipt: Receipt = ray.get(self.aggregator.finish.remote(attempt, shard, sums))
        return receipt

    def _stream(self, shard: Shard, attempt: str, sent: list[Any]) -> ShardSums:
        """Send the tables of a shard to the aggregator, of which few are under way; return what is counted."""
        sums = ShardSums.zero(self.job.fleet)
        for block in run_shard(self.job.fleet, self.job.seed, shard):
            sums = sums.plus(self.job.fleet, block)
            for item in block.tables:
                for piece in _slices(item):
                    if len(sent) >= IN_FLIGHT_MAX:
                        done, sent[:] = ray.wait(sent, num_returns=1)
                        ray.get(done)
                    sent.append(self.aggregator.add.remote(attempt, item.arms, item.table, piece))
        return sums


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

    def __enter__(self) -> Self:
        """Join or start a cluster.

        Raises:
            ConfigError: Nothing answers at the address.
            ExecutionError: The limits of this process are too low for Ray.
        """
        _check_limits()
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
            _check_reachable(self.address)
            options["address"] = self.address
        try:
            ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            raise ConfigError(_no_cluster(self.address, error)) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; one started for the run ends with it."""
        ray.shutdown()

    def run(self, job: Job, shards: Sequence[Shard]) -> Generator[Receipt, None, None]:
        """Simulate shards; see ``Engine.run``.

        A free host gets the next shard; hosts that find no free core take no part. A lost host is replaced and its
        shard issued again.
        """
        known = ray.put(job)
        aggregator = AggregatorActor.remote(known)
        starting: dict[Any, Any] = {}
        idle: list[Any] = []
        for _ in range(min(self.workers, len(shards))):
            host = NodeHost.remote(known, aggregator)
            starting[host.ready.remote()] = host
        queue, attempts = list(reversed(shards)), dict.fromkeys(shards, 0)
        failed: dict[Shard, PolicyError] = {}
        running: dict[Any, tuple[Any, Shard, str]] = {}
        while queue or running:
            while queue and idle:
                host, shard = idle.pop(), queue.pop()
                attempt = name_attempt(shard)
                running[host.simulate.remote(shard, attempt)] = (host, shard, attempt)
            ready, _ = ray.wait([*running, *starting], num_returns=1, timeout=None if running else START_TIMEOUT_S)
            if not ready:
                msg = f"--engine ray: no core became free in {START_TIMEOUT_S} s; add nodes or wait, then resume"
                raise ExecutionError(msg)
            if ready[0] in starting:
                idle.append(starting.pop(ready[0]))
                continue
            host, shard, attempt = running.pop(ready[0])
            try:
                receipt: Receipt = ray.get(ready[0])
            except RayError as error:
                if isinstance(getattr(error, "cause", None), PolicyError):
                    failed[shard] = error.cause
                    aggregator.drop.remote(attempt)
                    idle.append(host)
                    continue
                attempts[shard] += 1
                _check_transient(error, shard, attempts[shard])
                aggregator.drop.remote(attempt)
                queue.append(shard)
                if isinstance(error, RayActorError):
                    host = NodeHost.remote(known, aggregator)
                    starting[host.ready.remote()] = host
                else:
                    idle.append(host)
                continue
            idle.append(host)
            yield receipt
        raise_first(failed)


def _check_limits() -> None:
    """Check the limits of this process: below them Ray does not fail, but hang or abort.

    Raises:
        ExecutionError: They are too low.
    """
    for flag, kind, unit, least in LIMITS:
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY and soft // unit < least:
            limit = f"'ulimit -{flag}' = {soft // unit:,}, expected at least {least:,}"
            msg = f"--engine ray: {limit}; raise it or use --engine local"
            raise ExecutionError(msg)


def _check_reachable(address: str) -> None:
    """Check that something listens at HOST:PORT, because Ray itself would try for many minutes.

    Raises:
        ConfigError: Nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(_no_cluster(address, error)) from None


def _no_cluster(address: str | None, error: Exception) -> str:
    """Say why there is no cluster."""
    where = address or "this machine"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    hint = "; set RAY_AUTH_MODE=token" if "auth" in f"{type(error).__name__} {error}".lower() else ""
    return f"--engine ray: no Ray cluster at {where} ({text}); start one or leave --address out{hint}"


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
