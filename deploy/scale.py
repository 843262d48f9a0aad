"""A discrete-event model of a run on a cluster: what many hosts would take, from rates measured on few.

``python deploy/scale.py`` prints the tables of ``deploy/scale.md``; ``--rates FILE`` takes rates measured elsewhere
(``python -m tests.bench.scale_rates``).

Models: hosts that take shards one at a time, as ``fleet/engines/ray_engine.py`` hands them out; their CPU on machines
whose cores are shared evenly by all that runs there; aggregators that serve their hosts one after the other, while a
host waits until its last table is written; a driver that commits one shard at a time while hosts go on; start-up of
Ray, of actors, of each host's tables.

Leaves out: the network between machines (tables stay on one), contention for memory bandwidth and for shared storage,
machines that fail.

Assumes: shards of one run differ in work as lognormal numbers with the measured spread.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from fleet.stored.plan import shard_size

ROUNDING_S = 1e-9
HOSTS_PER_AGGREGATOR = 4
"""As in ``fleet/engines/ray_engine.py``."""
RATES = Path(__file__).with_name("scale_rates.json")


@dataclass(frozen=True)
class Rates:
    """What was measured: CPU seconds unless said otherwise.

    Attributes:
        cluster_start_s: Until Ray is up, on the driver's machine.
        cluster_end_s: Until Ray is gone.
        plan_s: The driver's work before the first shard.
        host_start_s: A host: its interpreter, imports and tables.
        shard_s: Simulating a shard, whatever is in it.
        node_s: Simulating a node for a year.
        spread: Standard deviation of the logarithm of the work of shards of one size.
        aggregate_node_s: Writing the rows of a node, by the aggregator.
        aggregate_shard_s: Writing the parts of a shard, whatever is in them.
        sync_shard_s: Waiting for the disk for each shard; no CPU.
        commit_s: The driver's work for each shard.
        finish_s: The driver's work after the last.
    """

    cluster_start_s: float
    cluster_end_s: float
    plan_s: float
    host_start_s: float
    shard_s: float
    node_s: float
    spread: float
    aggregate_node_s: float
    aggregate_shard_s: float
    sync_shard_s: float
    commit_s: float
    finish_s: float


@dataclass(frozen=True)
class Cluster:
    """Machines that are alike; the driver runs on the first, beside its hosts."""

    machines: int
    cores: int
    hosts_per_machine: int

    @property
    def hosts(self) -> int:
        """All hosts."""
        return self.machines * self.hosts_per_machine


class Clock:
    """Simulated time: what happens when, in order."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.now_s = 0.0
        self._count = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time_s: float, act: Callable[[], None]) -> None:
        """Have something happen at a time."""
        self._count += 1
        heapq.heappush(self._due, (time_s, self._count, act))

    def run(self) -> None:
        """Go on until nothing is due."""
        while self._due:
            self.now_s, _, act = heapq.heappop(self._due)
            act()


@dataclass
class _Job:
    """CPU seconds left, and what comes then."""

    left_s: float
    then: Callable[[], None]


class Machine:
    """Cores shared evenly by all jobs that run, none of which uses more than one."""

    def __init__(self, clock: Clock, cores: int) -> None:
        """Begin with nothing to do."""
        self._clock, self._cores = clock, cores
        self._jobs: list[_Job] = []
        self._since_s = 0.0
        self._turn = 0
        self.work_s = 0.0

    def run(self, work_s: float, then: Callable[[], None]) -> None:
        """Do some work, and then something else."""
        self._advance()
        self.work_s += work_s
        self._jobs.append(_Job(work_s, then))
        self._plan()

    def _speed(self) -> float:
        return min(1.0, self._cores / len(self._jobs)) if self._jobs else 0.0

    def _advance(self) -> None:
        done_s = (self._clock.now_s - self._since_s) * self._speed()
        for job in self._jobs:
            job.left_s -= done_s
        self._since_s = self._clock.now_s

    def _plan(self) -> None:
        """Say when the next job ends; what was said before counts no more."""
        self._turn += 1
        if self._jobs:
            turn, left_s = self._turn, min(job.left_s for job in self._jobs)
            self._clock.at(self._clock.now_s + max(0.0, left_s) / self._speed(), lambda: self._end(turn))

    def _end(self, turn: int) -> None:
        if turn != self._turn:
            return
        self._advance()
        ended = [job for job in self._jobs if job.left_s <= ROUNDING_S]
        self._jobs = [job for job in self._jobs if job.left_s > ROUNDING_S]
        self._plan()
        for job in ended:
            job.then()


@dataclass
class Queue:
    """A server that takes one request after the other: CPU on its machine, and then a wait."""

    clock: Clock
    machine: Machine
    waiting: deque[tuple[float, float, Callable[[], None]]] = field(default_factory=deque)
    busy: bool = False

    def ask(self, work_s: float, wait_s: float, then: Callable[[], None]) -> None:
        """Have a request served."""
        self.waiting.append((work_s, wait_s, then))
        self._next()

    def _next(self) -> None:
        if self.busy or not self.waiting:
            return
        self.busy = True
        work_s, wait_s, then = self.waiting.popleft()

        def served() -> None:
            self.busy = False
            then()
            self._next()

        self.machine.run(work_s, lambda: self.clock.at(self.clock.now_s + wait_s, served))


@dataclass(frozen=True)
class Prediction:
    """What a run takes.

    Attributes:
        wall_s: From start to end.
        cpu_s: Of all processes.
        working_s: From the first shard to the end.
    """

    wall_s: float
    cpu_s: float
    working_s: float


def predict(cluster: Cluster, rates: Rates, nodes: int, shards: int, seed: int = 1) -> Prediction:
    """Simulate a run of so many nodes for a year, cut into so many shards."""
    clock, draw = Clock(), random.Random(seed)  # noqa: S311 - nothing secret
    machines = [Machine(clock, cluster.cores) for _ in range(cluster.machines)]
    driver = Queue(clock, machines[0])
    size, mean = nodes / shards, -(rates.spread**2) / 2
    left = deque(rates.shard_s + size * rates.node_s * math.exp(draw.gauss(mean, rates.spread)) for _ in range(shards))
    writing_s = rates.aggregate_shard_s + size * rates.aggregate_node_s
    ended_s, started_s, n_open = 0.0, math.inf, shards

    def begin(machine: Machine, aggregator: Queue) -> None:
        nonlocal started_s
        started_s = min(started_s, clock.now_s)
        if left:
            machine.run(left.popleft(), lambda: aggregator.ask(writing_s, rates.sync_shard_s, written))

        def written() -> None:
            driver.ask(rates.commit_s, 0.0, committed)
            begin(machine, aggregator)

    def committed() -> None:
        nonlocal n_open
        n_open -= 1
        if not n_open:
            machines[0].run(rates.finish_s + rates.cluster_end_s, end)

    def end() -> None:
        nonlocal ended_s
        ended_s = clock.now_s

    def hire() -> None:
        for machine in machines:
            aggregators = [Queue(clock, machine) for _ in range(0, cluster.hosts_per_machine, HOSTS_PER_AGGREGATOR)]
            for host in range(cluster.hosts_per_machine):
                machine.run(rates.host_start_s, partial(begin, machine, aggregators[host // HOSTS_PER_AGGREGATOR]))

    machines[0].run(rates.plan_s + rates.cluster_start_s, hire)
    clock.run()
    return Prediction(ended_s, sum(machine.work_s for machine in machines), ended_s - started_s)


def shards_of(nodes: int, hosts: int, points_per_node: float) -> int:
    """Return how many shards ``run`` plans."""
    return -(-nodes // shard_size(nodes, points=points_per_node * nodes, workers=hosts))


SIZES = (1_000_000, 10_000_000, 1_000_000_000)
CLUSTERS = (Cluster(1, 16, 16), Cluster(4, 16, 16), Cluster(16, 16, 16), Cluster(256, 16, 16))


def main() -> None:
    """Print wall time, node-years per core-second and efficiency by size and cluster."""
    parser = argparse.ArgumentParser(description="Predict what runs take on clusters.")
    parser.add_argument("--rates", type=Path, default=RATES, help="measured rates")
    measured = json.loads(parser.parse_args().rates.read_text(encoding="utf-8"))
    rates = Rates(**measured["rates"])
    print(f"{measured['about']}:", ", ".join(f"{name} {value:.3g}" for name, value in asdict(rates).items()))
    print(f"{'node-years':>14} {'hosts':>6} {'shards':>8} {'wall s':>9} {'working s':>9} {'efficiency':>10}")
    for nodes, cluster in product(SIZES, CLUSTERS):
        shards = shards_of(nodes, cluster.hosts, measured["points_per_node"])
        found = predict(cluster, rates, nodes, shards)
        efficiency = nodes * rates.node_s / (cluster.hosts * found.working_s)
        print(
            f"{nodes:>14,} {cluster.hosts:>6} {shards:>8,} {found.wall_s:>9,.1f} {found.working_s:>9,.1f}"
            f" {efficiency:>10.2f}"
        )


if __name__ == "__main__":
    main()
