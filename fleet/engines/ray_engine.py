"""The Ray engine: hosts simulate shards, and each streams to the aggregator of its machine.

Actors that die are replaced by new ones, never restarted: an aggregator that has forgotten half of an attempt would
finish the other half.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fleet.engines import Job, name_attempt
from fleet.engines.cluster import ClusterWatch, check_limits, check_reachable, lost_cluster, no_cluster
from fleet.engines.descendants import descendants, outliving_none, stop_all
from fleet.engines.failure import ShardError
from fleet.engines.ledger import Ledger, LostError
from fleet.engines.ray_actors import ActorPlace, AggregatorActor, NodeHost
from fleet.engines.signals import ending_at_once, undisturbed
from fleet.interruption import way_out
from fleet.progress import Progress, Reached, tell_nobody
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard
from node_sim.errors import ConfigError, ExecutionError, PolicyError, SimError, TransientError

TICK_S: Final = 1.0
START_TIMEOUT_S: Final = 120
STARTS_MAX: Final = 8
"""How many hosts may fail to start without a shard being finished meanwhile."""
HOSTS_PER_AGGREGATOR: Final = 4
"""More wait for each other: writing a shard takes a tenth of simulating it (``deploy/scale.md``)."""
ASKED_MAX: Final = 64
"""Aggregators that are asked at a time how far they are: with more, each is asked less often than every ``TICK_S``."""
END_S: Final = 2.0
OBJECT_STORE_BYTES: Final = 256 << 20


@dataclass(eq=False)
class _Seat:
    """Where an aggregator belongs, the one that is there, how many attempts it has, and when it was asked of them."""

    node_id: str
    actor: Any = None
    ready: Any = None
    attempts: int = 0
    asked_s: float = 0.0


class _Aggregators:
    """The aggregators of a run: enough on each Ray node for its hosts, or as many as asked, spread over the nodes."""

    def __init__(self, known: Any, wanted: int | None) -> None:
        """Start none before it is needed."""
        self._known = known
        self._by_node = wanted is None
        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
        self.seats = [_Seat(nodes[position % len(nodes)]) for position in range(wanted or 0) if nodes]

    def near(self, node_id: str) -> _Seat:
        """Return the seat for a host on a node, with an aggregator on it."""
        mine = [seat for seat in self.seats if seat.node_id == node_id]
        full = all(seat.attempts >= HOSTS_PER_AGGREGATOR for seat in mine)
        if full and (self._by_node or not self.seats):
            mine.append(_Seat(node_id))
            self.seats.append(mine[-1])
        seat = min(mine or self.seats, key=lambda one: one.attempts)
        if seat.actor is None:
            placed = NodeAffinitySchedulingStrategy(seat.node_id, soft=True)
            seat.actor = AggregatorActor.options(scheduling_strategy=placed).remote(self._known)
            seat.ready = seat.actor.ready.remote()
        return seat

    def forget(self, actor: Any) -> None:
        """Have another aggregator take the seat of one that is lost."""
        for seat in self.seats:
            if seat.actor is actor:
                seat.actor, seat.ready = None, None
                _kill(actor)


@dataclass
class _Work:
    """A host at work on a shard."""

    host: _Host
    shard: Shard
    name: str
    seat: _Seat
    aggregator: Any


@dataclass
class _Host:
    """A host and where it is."""

    actor: Any
    place: ActorPlace | None = None


def _kill(actor: Any) -> None:
    """End an actor at once, or if the head is lost, after what it is at."""
    with suppress(RayError, RuntimeError, ConnectionError, ValueError):
        actor.leave.remote()
        ray.kill(actor)


@dataclass
class _Crew:
    """The hosts of a run, whatever they are at; those that are lost are replaced."""

    known: Any
    aggregators: _Aggregators
    watch: ClusterWatch
    tell: Progress
    starting: dict[Any, _Host] = field(default_factory=dict)
    idle: list[_Host] = field(default_factory=list)
    running: dict[Any, _Work] = field(default_factory=dict)
    asked: dict[Any, _Seat] = field(default_factory=dict)
    failed_starts: int = 0

    def hire(self) -> None:
        """Start a host; it takes part once it has a core."""
        actor = NodeHost.remote(self.known)
        self.starting[actor.ready.remote()] = _Host(actor)

    def issue(self, ledger: Ledger) -> None:
        """Give shards to hosts that have none."""
        while ledger.has_more() and self.idle:
            host, shard = self.idle.pop(), ledger.take()
            assert host.place is not None
            seat, attempt = self.aggregators.near(host.place.node_id), name_attempt(shard)
            seat.attempts += 1
            reference = host.actor.simulate.remote(shard, attempt, seat.actor)
            self.running[reference] = _Work(host, shard, attempt, seat, seat.actor)

    def wait(self) -> list[Any]:
        """Wait until some host has an answer or is lost.

        Raises:
            ExecutionError: The cluster is lost, or no host gets a core.
        """
        since_s = time.monotonic()
        while True:
            self.watch.check()
            self.look()
            found, _ = ray.wait([*self.running, *self.starting], num_returns=1, timeout=TICK_S)
            if found:
                return list(found)
            if not self.running and time.monotonic() - since_s > START_TIMEOUT_S:
                msg = f"--engine ray: no core became free in {START_TIMEOUT_S} s; add nodes or wait, then resume"
                raise ExecutionError(msg)

    def look(self) -> None:
        """Tell how far attempts are, as aggregators have answered, and ask them again; nobody waits for an answer."""
        answered, _ = ray.wait(list(self.asked), num_returns=len(self.asked), timeout=0) if self.asked else ([], [])
        shards = {attempt.name: attempt.shard for attempt in self.running.values()}
        for reference in answered:
            del self.asked[reference]
            with suppress(RayError):
                for name, (nodes, rows) in ray.get(reference).items():
                    if name in shards:
                        self.tell(Reached(shards[name].shard_id, nodes, rows))
        now_s, asked = time.monotonic(), list(self.asked.values())
        free = [seat for seat in self.aggregators.seats if seat.attempts and seat not in asked]
        for seat in sorted(free, key=lambda one: one.asked_s)[: ASKED_MAX - len(asked)]:
            if now_s - seat.asked_s >= TICK_S and seat.actor is not None:
                seat.asked_s = now_s
                self.asked[seat.actor.reached.remote()] = seat

    def begin(self, reference: Any) -> None:
        """Take in a host that has started, or another for it.

        Raises:
            ExecutionError: Too many do not start.
        """
        host = self.starting.pop(reference)
        try:
            host.place = ray.get(reference)
            self.idle.append(host)
        except RayError as error:
            self.failed_starts += 1
            if self.failed_starts > STARTS_MAX:
                raise ExecutionError(lost_cluster(f"hosts do not start: {_said(error)}")) from None
            self.replace(host)

    def replace(self, host: _Host) -> None:
        """Have another host take the place of one that is lost."""
        _kill(host.actor)
        self.hire()

    def end(self, reference: Any, ledger: Ledger) -> Receipt | None:
        """Enter what became of an attempt; return its receipt, if there is one.

        Raises:
            SimError: It ends the run.
        """
        attempt = self.running.pop(reference)
        attempt.seat.attempts -= 1
        try:
            receipt: Receipt = ray.get(reference)
        except RayTaskError as error:
            self.idle.append(attempt.host)
            attempt.aggregator.drop.remote(attempt.name)
            self._enter(attempt, error, ledger)
            return None
        except RayError as error:
            self.replace(attempt.host)
            attempt.aggregator.drop.remote(attempt.name)
            ledger.retry(attempt.shard, LostError(f"its host was lost ({type(error).__name__})"))
            return None
        self.idle.append(attempt.host)
        self.failed_starts = 0
        ledger.finish(attempt.shard)
        return receipt

    def _enter(self, attempt: _Work, error: RayTaskError, ledger: Ledger) -> None:
        """Enter why a host could not finish a shard.

        Raises:
            SimError: It ends the run.
        """
        cause = error.cause
        if isinstance(cause, LostError):
            self.aggregators.forget(attempt.aggregator)
        if isinstance(cause, TransientError):
            ledger.retry(attempt.shard, cause)
        elif isinstance(cause, PolicyError | ShardError):
            ledger.fail(attempt.shard, cause)
        elif isinstance(cause, SimError):
            raise cause from None
        else:
            ledger.fail(attempt.shard, ShardError(attempt.shard, attempt.shard.first_node, (_said(error),)))

    def dismiss(self) -> None:
        """End all actors, whatever they are at; wait for those of this machine, which may still write."""
        hosts = [*self.starting.values(), *self.idle, *(attempt.host for attempt in self.running.values())]
        seats = [seat for seat in self.aggregators.seats if seat.actor is not None]
        places = [host.place for host in hosts if host.place is not None]
        with suppress(RayError):
            answered = [seat.ready for seat in seats if ray.wait([seat.ready], timeout=0)[0]]
            places.extend(ray.get(answered))
        for actor in (*(host.actor for host in hosts), *(seat.actor for seat in seats)):
            _kill(actor)
        until_s = time.monotonic() + END_S
        here = [Path(f"/proc/{place.pid}") for place in places if place.machine == socket.gethostname()]
        while any(path.exists() for path in here) and time.monotonic() < until_s:
            time.sleep(0.02)


def _said(error: RayError) -> str:
    """Return the last line of what Ray says."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


class RayEngine:
    """Runs shards on actors of a Ray cluster: of one given by address, or of one started for the run."""

    def __init__(self, workers: int, address: str | None, aggregators: int | None = None) -> None:
        """Use at most ``workers`` hosts at a time, and so many aggregators; None is one on each node that has hosts."""
        self.workers = workers
        self.address = address
        self.aggregators = aggregators
        self._others: frozenset[int] = frozenset()

    def __enter__(self) -> Self:
        """Join or start a cluster.

        Raises:
            ConfigError: Nothing answers at the address.
            ExecutionError: The limits of this process are too low for Ray.
        """
        check_limits()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
        waiting = [signal.SIGTERM]
        if self.address is None:
            options |= {
                "num_cpus": self.workers,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "address": "local",
            }
            waiting.append(signal.SIGINT)  # half a cluster would be left behind
            self._others = descendants()
        else:
            check_reachable(self.address)
            options["address"] = self.address
        try:
            with ending_at_once(tuple(waiting), self._end if way_out() else None):
                ray.init(**options)
                _hush()
        except KeyboardInterrupt:
            self.__exit__()
            raise
        except Exception as error:  # noqa: BLE001 - a start that takes too long is nothing more precise to Ray
            self.__exit__()
            raise ConfigError(no_cluster(self.address, error)) from None
        return self

    def _end(self, number: int) -> None:
        """End the process while Ray starts, which takes seconds in which it neither ends nor can be left."""
        leave = way_out()
        assert leave is not None
        leave(number, (lambda: None) if self.address else stop_all(self._others))

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; one started for the run ends with it."""
        with undisturbed(), nullcontext() if self.address else outliving_none(END_S, self._others):
            ray.shutdown()

    def run(self, job: Job, shards: Sequence[Shard], tell: Progress = tell_nobody) -> Generator[Receipt, None, None]:
        """Simulate shards; see ``Engine.run``.

        A free host gets the next shard; hosts that find no free core take no part.
        """
        ledger, known = Ledger(shards, tell), ray.put(job)
        crew = _Crew(known, _Aggregators(known, self.aggregators), ClusterWatch(_needed()), tell)
        try:
            for _ in range(min(self.workers, len(shards))):
                crew.hire()
            while ledger.is_open():
                crew.issue(ledger)
                for reference in crew.wait():
                    if reference in crew.starting:
                        crew.begin(reference)
                    elif (receipt := crew.end(reference, ledger)) is not None:
                        crew.issue(ledger)  # no host waits until the driver has committed
                        yield receipt
        except (ConnectionError, RayError) as error:
            raise ExecutionError(lost_cluster(_said(error))) from None
        finally:
            with undisturbed():
                crew.dismiss()
        ledger.raise_first()


def _hush() -> None:
    """Keep what Ray has to say about a lost raylet, 20 lines of a log, off the output: the run says so itself."""
    worker = ray._private.worker  # noqa: SLF001 - there is no setting for it; log_to_driver does not reach it
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _needed() -> dict[str, str]:
    """Name what the driver cannot do without, and where it listens; a client of Ray watches its own connection."""
    if ray.util.client.ray.is_connected():
        return {}
    context = ray.get_runtime_context()
    places = {"its head": context.gcs_address}
    for node in ray.nodes():
        if node["NodeID"] == context.get_node_id():
            places["the raylet of this machine"] = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    return places
