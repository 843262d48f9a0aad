"""The processes of a node: who owns memory, alone or together, and what each does about bad memory.

**Models.** Every node runs the processes of its workload; a process has a kind, ``prctl(PR_MCE_KILL)`` policies of its
threads and a reaction to SIGBUS. A block belongs to a process drawn by share. What several processes map belongs to a
set: all processes of a kind (forked memory, programs, shared memory), but for system daemons, which are strangers to
each other, or all of the node (libraries).

**Leaves out.** Start and end of processes other than by a kill; sets of some processes of a kind.

**Assumes.** A killed process is restarted at once under its number and fills the same share of memory again within the
refill time; what it shared with others goes on without it until its use changes. The work of a node that drains ends
evenly over the drain, in the order of the numbers; its system processes run to the end.

**Sources.** None: workloads are assumptions (``catalog/workloads.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from node_sim.catalog.workloads import SHARED_USES
from node_sim.codes import KillPolicy, OnSigbus, PageUse, ProcessClass
from node_sim.draws import Words, below, unit32
from node_sim.records import Flags, Floats, Ints
from node_sim.server.workload import Process, Shared, Workload
from node_sim.units import FOREVER

NOBODY = -1


@dataclass(frozen=True)
class ProcessTable:
    """Processes of a node by number, and the sets of them that own memory.

    A set is a range of numbers. Sets are numbered: first each process by itself, under its own number, then the
    processes of each configured group, then all.

    Attributes:
        kind: ``ProcessClass`` of each process, shape ``(n_processes,)``.
        threads: ``KillPolicy`` of the first thread and of the others, shape ``(n_processes, 2)``.
        on_sigbus: ``OnSigbus`` of each process, shape ``(n_processes,)``.
        share_cdf: Cumulative share of blocks of the groups, without the last.
        leaving: When each leaves a node that drains, as a share of the drain, shape ``(n_processes,)``.
        first: Number of the first process of each set, shape ``(n_sets,)``.
        size: Processes of each set, shape ``(n_sets,)``.
        last_leaving: When the last of each set leaves, as ``leaving``, shape ``(n_sets,)``.
        related: Whether the processes of each group have memory in common: system daemons are strangers.
        sharing_cdf: Shares of pages that all processes own, and these or a group, by use, shape ``(n_uses, 2)``.
    """

    kind: Ints
    threads: Ints
    on_sigbus: Ints
    share_cdf: Floats
    leaving: Floats
    first: Ints
    size: Ints
    last_leaving: Floats
    sharing_cdf: Floats
    related: Flags

    @classmethod
    def of(cls, workload: Workload) -> ProcessTable:
        """Number the processes of a workload."""
        groups = workload.process
        size = np.asarray([group.count for group in groups], np.int64)

        def spread(codes: list[int]) -> Ints:
            return np.repeat(np.asarray(codes, np.int64), size)

        kind = spread([ProcessClass.of(group.kind) for group in groups])
        work = kind != ProcessClass.SYSTEM
        leaving = np.where(work, np.cumsum(work) / max(int(work.sum()), 1), 1.0)
        first = np.concatenate((np.arange(kind.size), np.cumsum(size) - size, [0]))
        sizes = np.concatenate((np.ones(kind.size, np.int64), size, [kind.size]))
        return cls(
            kind=kind,
            threads=np.repeat(
                np.asarray([[int(part) for part in threads_of(group)] for group in groups]), size, axis=0
            ),
            on_sigbus=spread([OnSigbus.of(group.on_sigbus) for group in groups]),
            share_cdf=np.cumsum([group.share for group in groups])[:-1],
            leaving=leaving,
            first=first,
            size=sizes,
            last_leaving=np.asarray([leaving[at : at + n].max() for at, n in zip(first, sizes, strict=True)]),
            sharing_cdf=_sharing_cdf(workload.shared),
            related=np.asarray([ProcessClass.of(group.kind) != ProcessClass.SYSTEM for group in groups]),
        )

    @property
    def count(self) -> int:
        """Processes of a node."""
        return self.kind.size

    def owners(self, by_group: Words, by_member: Words, by_sharing: Words, use: Ints) -> Ints:
        """Turn words drawn for pages of uses into the numbers of the sets that own them."""
        group = np.searchsorted(self.share_cdf, unit32(by_group), side="right")
        together = self.count + group
        alone = self.first[together] + below(by_member, self.size[together])
        shares, drawn = self.sharing_cdf[use], unit32(by_sharing)
        everybody = self.first.size - 1
        share = (drawn < shares[:, 1]) & self.related[group]
        return np.where(drawn < shares[:, 0], everybody, np.where(share, together, alone))

    def leaves_ns(self, process: Ints, drain_ns: Ints, drained_ns: Ints) -> Ints:
        """Return when processes leave a node that drains.

        Args:
            process: Numbers of the processes.
            drain_ns: When the drain begins [ns], ``FOREVER`` if the node does not drain.
            drained_ns: When it ends [ns].

        Returns:
            When each leaves [ns], ``FOREVER`` if it does not; of the shape to which the arguments broadcast.
        """
        return _leaves_ns(self.leaving[process], drain_ns, drained_ns)

    def last_leaves_ns(self, owners: Ints, drain_ns: Ints, drained_ns: Ints) -> Ints:
        """Return when the last of each set leaves a node that drains; as ``leaves_ns``."""
        return _leaves_ns(self.last_leaving[owners], drain_ns, drained_ns)


def _leaves_ns(share: Floats, drain_ns: Ints, drained_ns: Ints) -> Ints:
    """Return the time at a share of each drain [ns], ``FOREVER`` where there is none."""
    drains = drain_ns < FOREVER
    length_ns = np.where(drains, drained_ns - drain_ns, 0)
    return np.where(drains, drain_ns + (share * length_ns).astype(np.int64), FOREVER)


def threads_of(process: Process) -> tuple[KillPolicy, KillPolicy]:
    """Return the policies of the first thread of a process and of the others."""
    leader = KillPolicy.of(process.kill_policy)
    return leader, leader if process.thread_policy == "leader" else KillPolicy.of(process.thread_policy)


def _sharing_cdf(shared: Shared) -> Floats:
    """Return which pages of each use all processes own, and which these or a group."""
    table = np.zeros((len(PageUse), 2))
    for text, name in SHARED_USES.items():
        table[PageUse.of(text)] = 0.0, getattr(shared, name)
    table[PageUse.FILE_CLEAN_MAPPED] += shared.library  # nobody writes to libraries
    table[PageUse.FILE_CLEAN_MAPPED, 0] = shared.library
    return table


def members_of(processes: ProcessTable, owners: Ints) -> tuple[Ints, Ints]:
    """Return index and process number of every member of sets (``NOBODY``: none), in ascending order."""
    some = np.flatnonzero(owners != NOBODY)
    size = processes.size[owners[some]]
    which = np.repeat(some, size)
    step = np.arange(which.size) - np.repeat(np.cumsum(size) - size, size)
    return which, processes.first[owners[which]] + step


def pick(processes: ProcessTable, owners: Ints, word: Words) -> Ints:
    """Pick one member of each set, ``NOBODY`` of none, with one word each."""
    own = np.maximum(owners, 0)
    return np.where(owners == NOBODY, NOBODY, processes.first[own] + below(word, processes.size[own]))
