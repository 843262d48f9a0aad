"""What is said of a run in which a shard failed for good: where, how, and how to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fleet.engines import Job
from fleet.engines.failure import ShardError, find_crash, find_nodes
from fleet.engines.ledger import LostShardError
from fleet.stored.store import RunStore
from node_sim.errors import ExecutionError, PolicyError

_KEPT: Final = "shards that are committed are kept, 'hwpoison-fleet resume' tries the others again"


@contextmanager
def naming_the_replay(job: Job, root: RunStore) -> Iterator[None]:
    """Add to the failure of a shard which node it was, and how to see it again.

    Raises:
        ExecutionError: It has failed.
    """
    try:
        yield
    except PolicyError as error:
        raise ExecutionError(_by_policy(job, root, error)) from error
    except ShardError as error:
        raise ExecutionError(_by_error(job, root, error)) from error
    except LostShardError as error:
        raise ExecutionError(_by_crash(job, root, error)) from error


def _replay(root: RunStore, node_id: int) -> str:
    return f"hwpoison-fleet replay {shlex.quote(str(root))} --node {node_id}"


def _others(error: ExecutionError) -> list[str]:
    """Return what the engine noted on an error: the other shards that have failed."""
    return getattr(error, "__notes__", [])


def _by_policy(job: Job, root: RunStore, error: PolicyError) -> str:
    """Say which node a policy of one's own has failed on, how to see it again, and the way out."""
    arm = job.fleet.arm_of_policy(error.function)
    again = f"; see it again with '{_replay(root, error.node_id)} --arm {arm}'" if error.node_id >= 0 else ""
    way_out = "mend the policy and run anew in another folder (-o), as a run has one version of its policies"
    return "; ".join((f"{error}{again}", *_others(error), way_out))


def _by_error(job: Job, root: RunStore, error: ShardError) -> str:
    """Say what a shard failed with: its last lines, then one line to act on."""
    where, again = _found(root, find_nodes(job, error))
    last = f"shard {error.shard.shard_id}, {where}: {error.lines[-1].strip()}; {again}"
    return "\n".join((*error.lines[:-1], "; ".join((last, *_others(error), _KEPT))))


def _by_crash(job: Job, root: RunStore, error: LostShardError) -> str:
    """Say what ends the workers of a shard: a node, or what is wrong with the machine."""
    nodes = find_crash(job, error.shard)
    if nodes is None:
        return "; ".join((str(error), *_others(error)))
    where, again = _found(root, nodes)
    last = f"shard {error.shard.shard_id}, {where}: {error.what}; simulated alone, it ends its process, too; {again}"
    return "; ".join((last, *_others(error), _KEPT))


def _found(root: RunStore, nodes: range) -> tuple[str, str]:
    """Name the nodes that fail, and what to do about them."""
    if len(nodes) == 1:
        return f"node {nodes.start}", f"see it again with '{_replay(root, nodes.start)}'"
    return f"nodes {nodes.start} to {nodes.stop - 1}", "no fewer of them were found to fail"
