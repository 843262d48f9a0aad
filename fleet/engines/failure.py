"""A shard that fails for good: what is kept of the error, and which of its nodes it is about."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.engines import Job
from fleet.engines.descendants import end_with
from fleet.engines.shard import ShardSums, run_shard
from fleet.shortage import naming_shortage
from fleet.stored.plan import Shard
from node_sim.errors import ExecutionError, SimError

LINES_SHOWN: Final = 6
"""Lines of a traceback that are shown: where it was, and what it said."""
SEARCH_S: Final = 60.0
"""How long the node is looked for."""


class ShardError(ExecutionError):
    """Simulating a shard raised what the program does not raise on purpose; it would again."""

    def __init__(self, shard: Shard, first_node: int, lines: tuple[str, ...]) -> None:
        """Say which shard, from which of its nodes on nothing was done, and the last lines of the error."""
        super().__init__(shard, first_node, lines)
        self.shard, self.first_node, self.lines = shard, first_node, lines

    def __str__(self) -> str:
        """Return one line."""
        return f"shard {self.shard.shard_id}: {self.lines[-1]}"


@dataclass
class Position:
    """The node from which on nothing of a shard is done."""

    node: int


@contextmanager
def naming_failure(shard: Shard) -> Iterator[Position]:
    """Turn what an attempt at a shard raises into errors of ours; the caller notes how far it is.

    Raises:
        ShardError: It raised something else than an error of ours or a lack of memory, files or processes.
    """
    reached = Position(shard.first_node)
    try:
        with naming_shortage(f"shard {shard.shard_id}"):
            yield reached
    except SimError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the other shards go on
        raise ShardError(shard, reached.node, last_lines(error)) from None


def last_lines(error: Exception) -> tuple[str, ...]:
    """Return the last lines of an error's traceback."""
    lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    return tuple(lines[-LINES_SHOWN:])


def find_nodes(job: Job, error: ShardError, search_s: float = SEARCH_S) -> range:
    """Find the node on which a shard fails, by simulating halves of what was not done; the others of it are simulated.

    Returns:
        The node; or the fewest nodes known to fail together, if time is over or neither half of them fails.
    """
    shard = error.shard
    nodes = range(error.first_node, shard.first_node + shard.nodes)
    return _narrowed(job, shard.shard_id, nodes, time.monotonic() + search_s, _fails)


def find_crash(job: Job, shard: Shard, search_s: float = SEARCH_S) -> range | None:
    """Find the node on which simulating a shard ends its process, as ``find_nodes`` does, in processes of their own.

    Returns:
        The node, or the fewest nodes known to end a process together; None if the shard alone is known to.
    """
    nodes, until = range(shard.first_node, shard.first_node + shard.nodes), time.monotonic() + search_s
    found = _narrowed(job, shard.shard_id, nodes, until, _crashes)
    return (
        found if len(found) < len(nodes) or (len(nodes) == 1 and _crashes(job, shard.shard_id, found, until)) else None
    )


Fails = Callable[[Job, int, range, float], bool]
"""Whether simulating some nodes of a shard, by its number, fails before a time."""


def _narrowed(job: Job, shard_id: int, nodes: range, until: float, fails: Fails) -> range:
    """Narrow nodes that fail down to one, or until neither half of them fails or time is over."""
    while len(nodes) > 1 and time.monotonic() < until:
        middle = nodes.start + len(nodes) // 2
        halves = range(nodes.start, middle), range(middle, nodes.stop)
        failing = next((half for half in halves if fails(job, shard_id, half, until)), None)
        if failing is None:
            return nodes
        nodes = failing
    return nodes


def _crashes(job: Job, shard_id: int, nodes: range, until: float) -> bool:
    """Return whether simulating some nodes ends the process that does it before a time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_simulate_alone, args=(job, os.getpid(), shard_id, nodes, until), daemon=True)
    process.start()
    try:
        process.join(max(0.0, until - time.monotonic()))
        return process.exitcode not in {None, 0}
    finally:
        process.kill()
        process.join()


def _simulate_alone(job: Job, driver_pid: int, shard_id: int, nodes: range, until: float) -> None:
    """Simulate nodes in a process that only they can end, or the system, which is to choose it if memory is short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(driver_pid)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _fails(job, shard_id, nodes, until)


def _fails(job: Job, shard_id: int, nodes: range, until: float) -> bool:
    """Return whether simulating some nodes fails before a time."""
    sums = ShardSums.zero(job.fleet)
    try:
        for block in run_shard(job.fleet, job.seed, Shard(shard_id, nodes.start, len(nodes))):
            sums = sums.plus(job.fleet, block)
            if time.monotonic() > until:
                return False
    except SimError:
        return False
    except Exception:  # noqa: BLE001 - it is any error that is looked for
        return True
    return False
