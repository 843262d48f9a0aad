"""The local engine: shards on processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Self

from fleet.engines import ATTEMPTS_MAX, Job, name_attempt, raise_first
from fleet.engines.aggregator import Aggregator
from fleet.engines.shard import ShardSums, run_shard
from fleet.shortage import naming_shortage
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard
from node_sim.errors import ExecutionError, PolicyError, SimError, TransientError


def simulate_shard(job: Job, shard: Shard) -> Receipt:
    """Simulate one shard and write its parts, in this process."""
    aggregator, sums = Aggregator(job.root, job.fleet), ShardSums.zero(job.fleet)
    attempt = name_attempt(shard)
    try:
        with naming_shortage(f"shard {shard.shard_id}"):
            for block in run_shard(job.fleet, job.seed, shard):
                sums = sums.plus(job.fleet, block)
                for arms, table, rows in block.tables:
                    aggregator.add(attempt, arms, table, rows)
            return aggregator.finish(attempt, shard, sums)
    except SimError:
        aggregator.drop(attempt)
        raise


def _start_worker(driver_pid: int) -> None:
    """Leave Ctrl-C to the driver, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = os.pidfd_open(driver_pid)

    def watch() -> None:
        select.select([driver], [], [])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Have processes that are started meanwhile leave Ctrl-C to the driver from their first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class LocalEngine:
    """Runs shards on ``workers`` processes; one worker runs in the driver's own process."""

    def __init__(self, workers: int) -> None:
        """Use this many workers, >= 1."""
        self.workers = workers

    def __enter__(self) -> Self:
        """Nothing to get hold of: processes are started with the shards."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to let go of."""

    def run(self, job: Job, shards: Sequence[Shard]) -> Generator[Receipt, None, None]:
        """Simulate shards; see ``Engine.run``."""
        if self.workers == 1 or len(shards) <= 1:
            failed: dict[Shard, PolicyError] = {}
            for shard in shards:
                try:
                    yield _with_retries(job, shard)
                except PolicyError as error:
                    failed[shard] = error
            raise_first(failed)
        else:
            yield from self._run_pool(job, shards)

    def _run_pool(self, job: Job, shards: Sequence[Shard]) -> Iterator[Receipt]:
        """Keep all workers busy; a broken pool is made anew for the shards it still had."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["fleet.engines.shard", "fleet.engines.aggregator"])
        with _ignoring_ctrl_c():
            forkserver.ensure_running()
        left = dict.fromkeys(shards, 0)
        failed: dict[Shard, PolicyError] = {}
        while left:
            before, workers = len(left), min(self.workers, len(left))
            pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
            try:
                futures = {pool.submit(simulate_shard, job, shard): shard for shard in left}
                yield from _collect(futures, left, failed)
            except BrokenProcessPool:
                if len(left) == before:  # nobody knows which shard it was; those that are done tell that some can be
                    _count_attempts(left)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        raise_first(failed)


def _with_retries(job: Job, shard: Shard) -> Receipt:
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return simulate_shard(job, shard)
        except TransientError:
            continue
    return simulate_shard(job, shard)


def _collect(
    futures: dict[Future[Receipt], Shard], left: dict[Shard, int], failed: dict[Shard, PolicyError]
) -> Iterator[Receipt]:
    """Yield receipts as they come and strike their shards off the list; so are those on which a policy has failed."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                receipt = future.result()
            except TransientError:
                _count_attempts(left, futures[future])
                continue
            except PolicyError as error:
                failed[futures[future]] = error
                del left[futures[future]]
                continue
            del left[futures[future]]
            yield receipt


def _count_attempts(left: dict[Shard, int], only: Shard | None = None) -> None:
    """Count a failed attempt of shards; give up after too many."""
    for shard in [only] if only is not None else list(left):
        left[shard] += 1
        if left[shard] >= ATTEMPTS_MAX:
            msg = (
                f"shard {shard.shard_id}: failed {ATTEMPTS_MAX} times, expected a worker to finish it; "
                f"check memory (or use fewer --workers) and disk, then 'hwpoison-fleet resume'"
            )
            raise ExecutionError(msg)
