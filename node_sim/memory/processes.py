"""The processes of a node: who owns memory, and what each does about bad memory.

**Models.** Every node runs the processes of its workload; a process has a kind, a ``prctl(PR_MCE_KILL)`` policy
and a reaction to SIGBUS. Owners of blocks are drawn by share.

**Leaves out.** Start and end of processes other than by a kill; memory shared between processes.

**Assumes.** A killed process is restarted at once under its number and fills the same share of memory again
within the refill time. The work of a node that drains ends evenly over the drain, in the order of the numbers; its
system processes run to the end.

**Sources.** None: workloads are assumptions (``catalog/workloads.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from node_sim.codes import KillPolicy, OnSigbus, ProcessClass
from node_sim.draws import Words, below, unit32
from node_sim.records import Floats, Ints
from node_sim.server.workload import Workload
from node_sim.units import FOREVER

NOBODY = -1


@dataclass(frozen=True)
class ProcessTable:
    """Processes of a node, by number; arrays of shape ``(n_processes,)`` unless said otherwise.

    Attributes:
        kind: ``ProcessClass`` of each process.
        kill_policy: ``KillPolicy`` of each process.
        on_sigbus: ``OnSigbus`` of each process.
        first: Number of the first process of each configured group.
        size: Processes of each group.
        share_cdf: Cumulative share of blocks of the groups, without the last.
        leaving: When each leaves a node that drains, as a share of the drain.
    """

    kind: Ints
    kill_policy: Ints
    on_sigbus: Ints
    first: Ints
    size: Ints
    share_cdf: Floats
    leaving: Floats

    @classmethod
    def of(cls, workload: Workload) -> ProcessTable:
        """Number the processes of a workload."""
        groups = workload.process
        size = np.asarray([group.count for group in groups], np.int64)

        def spread(codes: list[int]) -> Ints:
            return np.repeat(np.asarray(codes, np.int64), size)

        kind = spread([ProcessClass.of(group.kind) for group in groups])
        work = kind != ProcessClass.SYSTEM
        return cls(
            kind=kind,
            kill_policy=spread([KillPolicy.of(group.kill_policy) for group in groups]),
            on_sigbus=spread([OnSigbus.of(group.on_sigbus) for group in groups]),
            first=np.cumsum(size) - size,
            size=size,
            share_cdf=np.cumsum([group.share for group in groups])[:-1],
            leaving=np.where(work, np.cumsum(work) / max(int(work.sum()), 1), 1.0),
        )

    @property
    def count(self) -> int:
        """Processes of a node."""
        return self.kind.size

    def leaves_ns(self, process: Ints, drain_ns: Ints, drained_ns: Ints) -> Ints:
        """Return when processes leave a node that drains.

        Args:
            process: Numbers of the processes.
            drain_ns: When the drain begins [ns], ``FOREVER`` if the node does not drain.
            drained_ns: When it ends [ns].

        Returns:
            When each leaves [ns], ``FOREVER`` if it does not; of the shape to which the arguments broadcast.
        """
        drains = drain_ns < FOREVER
        length_ns = np.where(drains, drained_ns - drain_ns, 0)
        return np.where(drains, drain_ns + (self.leaving[process] * length_ns).astype(np.int64), FOREVER)

    def owner(self, by_group: Words, by_member: Words) -> Ints:
        """Turn two words into the number of the owning process."""
        group = np.searchsorted(self.share_cdf, unit32(by_group), side="right")
        return self.first[group] + below(by_member, self.size[group])
