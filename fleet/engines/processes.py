"""Worker processes of this machine: started, given shards, and gone with the driver.

An executor of the standard library will not do: it does not know which shard a lost worker had, takes its fork server's
death for that of all workers and leaves them running, and ends only when the shards in work are done.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
from contextlib import ExitStack, suppress
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from typing import Final, Self

from fleet.engines import Job, name_attempt
from fleet.engines.aggregator import Aggregator
from fleet.engines.descendants import end_with
from fleet.engines.failure import naming_failure
from fleet.engines.ledger import LostError
from fleet.engines.shard import ShardBlock, ShardSums, run_shard
from fleet.engines.signals import holding_back, undisturbed
from fleet.progress import Progress, Reached, tell_nobody
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard
from node_sim.errors import SimError

PRELOADED: Final = ["fleet.engines.processes"]
STARTS_MAX: Final = 3
"""How often a worker's start is tried, should the fork server die in the midst of it."""
DESCRIPTORS: Final = 16
"""Files that are open while a worker starts, with the fork server and its tracker."""
END_S: Final = 2.0


def simulate_shard(job: Job, shard: Shard, tell: Progress = tell_nobody) -> Receipt:
    """Simulate one shard and write its parts, in this process, and tell of each block; a failed attempt leaves nothing.

    Raises:
        SimError: It has failed.
    """
    aggregator, sums = Aggregator(job.root, job.fleet), ShardSums.zero(job.fleet)
    attempt, nodes, rows = name_attempt(shard), 0, 0
    try:
        with naming_failure(shard) as reached:
            for block in run_shard(job.fleet, job.seed, shard):
                sums = sums.plus(job.fleet, block)
                _hand_over(block, attempt, aggregator)
                reached.node, nodes, rows = block.next_node, nodes + sum(block.nodes), rows + block.n_rows()
                tell(Reached(shard.shard_id, nodes, rows))
                del block  # so that none of its rows is held while the next one is simulated
            return aggregator.finish(attempt, shard, sums)
    except BaseException:
        aggregator.drop(attempt)
        raise


def _hand_over(block: ShardBlock, attempt: str, aggregator: Aggregator) -> None:
    """Give the tables of a block to the aggregator."""
    for arms, table, rows in block.tables:
        aggregator.add(attempt, arms, table, rows)


def _work(job: Job, driver_pid: int, pipe: Connection) -> None:
    """Simulate the shards that come; Ctrl-C is left to the driver."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(driver_pid)
    with suppress(EOFError, OSError):  # the driver is gone or needs no more
        while True:
            shard = pipe.recv()
            try:
                pipe.send(simulate_shard(job, shard, pipe.send))
            except SimError as error:
                pipe.send(error)


class Worker:
    """One worker process and the shard it has."""

    def __init__(self, job: Job) -> None:
        """Start it.

        Raises:
            OSError: The machine gives no process or file.
        """
        context = multiprocessing.get_context("forkserver")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(job, os.getpid(), theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.handle = os.pidfd_open(self.process.pid or 0)
        self.shard: Shard | None = None

    def give(self, shard: Shard) -> None:
        """Have it simulate a shard; that it is gone shows when it is asked for the receipt."""
        self.shard = shard
        with suppress(OSError):
            self.pipe.send(shard)

    def take(self) -> tuple[Shard | None, Receipt | Reached | SimError]:
        """Return the shard it has and how far it is, or the one it had and what became of it."""
        shard = self.shard
        try:
            answer: Receipt | Reached | SimError = self.pipe.recv()
        except (EOFError, OSError):
            answer = LostError("its worker was lost")
        if not isinstance(answer, Reached):
            self.shard = None
        return shard, answer

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def forget(self) -> None:
        """Wait for its end and give back what it held here."""
        select.select([self.handle], [], [], END_S)
        os.close(self.handle)
        self.pipe.close()
        self.process.join(END_S)


class Workers:
    """Some workers for one job, between entering its context and leaving it."""

    def __init__(self, job: Job, most: int) -> None:
        """Use at most so many."""
        self.job = job
        self.most = most
        self.workers: list[Worker] = []

    def __enter__(self) -> Self:
        """Nothing to get hold of: they are started when there is a shard for them."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them, whatever they are at."""
        with undisturbed():
            for worker in self.workers:
                worker.kill()
            for worker in self.workers:
                worker.forget()

    def free(self) -> Worker | None:
        """Return a worker that has no shard, a new one if need be; None if all have one."""
        idle = next((worker for worker in self.workers if worker.shard is None), None)
        if idle is None and len(self.workers) < self.most:
            idle = self._start()
        return idle

    def wait(self) -> list[Worker]:
        """Wait until some worker has something to say or is gone."""
        busy = {worker.pipe: worker for worker in self.workers if worker.shard is not None}
        return [busy[pipe] for pipe in connection.wait(list(busy)) if isinstance(pipe, Connection)]

    def dismiss(self, worker: Worker) -> None:
        """Let go of a worker that is lost; ``free`` starts another."""
        self.workers.remove(worker)
        worker.kill()
        worker.forget()

    @staticmethod
    def _check_descriptors() -> None:
        """Open as many files as a worker's start does: cut short, the fork server would say so at length.

        Raises:
            OSError: The machine gives fewer.
        """
        with ExitStack() as stack:
            for _ in range(DESCRIPTORS):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))

    def _start(self) -> Worker:
        """Start a worker; the fork server is started again if it is gone. A Ctrl-C meanwhile waits until that is done.

        Raises:
            OSError: The machine gives no process or file.
            LostError: The fork server dies whenever it is asked.
        """
        self._check_descriptors()
        multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
        for _ in range(STARTS_MAX):
            with suppress(ConnectionError, EOFError, ProcessLookupError), holding_back(signal.SIGINT):
                forkserver.ensure_running()
                self.workers.append(Worker(self.job))
                return self.workers[-1]
        msg = "this machine: no worker process starts, expected one; check memory, then 'hwpoison-fleet resume'"
        raise LostError(msg)
