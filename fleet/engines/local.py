"""The local engine: shards on processes of this machine."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Self

from fleet.engines import Job
from fleet.engines.failure import ShardError
from fleet.engines.ledger import Ledger, LostError
from fleet.engines.processes import Workers, simulate_shard
from fleet.progress import Progress, Reached, tell_nobody
from fleet.stored.manifest import Receipt
from fleet.stored.plan import Shard
from node_sim.errors import PolicyError, SimError, TransientError


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

    def run(self, job: Job, shards: Sequence[Shard], tell: Progress = tell_nobody) -> Generator[Receipt, None, None]:
        """Simulate shards; see ``Engine.run``."""
        ledger = Ledger(shards, tell)
        if self.workers == 1 or len(shards) <= 1:
            yield from _in_this_process(job, ledger, tell)
        else:
            with Workers(job, min(self.workers, len(shards))) as workers:
                yield from _on_workers(workers, ledger, tell)
        ledger.raise_first()


def _in_this_process(job: Job, ledger: Ledger, tell: Progress) -> Generator[Receipt, None, None]:
    while ledger.is_open():
        shard = ledger.take()
        try:
            answer: Receipt | SimError = simulate_shard(job, shard, tell)
        except SimError as error:
            answer = error
        if (receipt := _entered(ledger, shard, answer)) is not None:
            yield receipt


def _on_workers(workers: Workers, ledger: Ledger, tell: Progress) -> Generator[Receipt, None, None]:
    """Keep all workers busy; one that is lost is replaced."""
    while ledger.is_open():
        while ledger.has_more() and (worker := workers.free()) is not None:
            worker.give(ledger.take())
        for worker in workers.wait():
            shard, answer = worker.take()
            if isinstance(answer, Reached):
                tell(answer)
                continue
            if isinstance(answer, LostError):
                workers.dismiss(worker)
            if shard is not None and (receipt := _entered(ledger, shard, answer)) is not None:
                yield receipt


def _entered(ledger: Ledger, shard: Shard, answer: Receipt | SimError) -> Receipt | None:
    """Enter what became of a shard; return its receipt, if there is one.

    Raises:
        SimError: It ends the run.
    """
    if isinstance(answer, Receipt):
        ledger.finish(shard)
        return answer
    if isinstance(answer, TransientError):
        ledger.retry(shard, answer)
    elif isinstance(answer, PolicyError | ShardError):
        ledger.fail(shard, answer)
    else:
        raise answer
    return None
