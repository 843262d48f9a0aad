"""Frozen dataclasses of a workload: which processes a node runs, and what its memory is used for."""

from __future__ import annotations

from dataclasses import dataclass, field

from node_sim.catalog import numbers
from node_sim.catalog.file_systems import DEFAULT_FILE_SYSTEM, FILE_SYSTEMS
from node_sim.catalog.workloads import BLOCK_USES
from node_sim.codes import KillPolicy, OnSigbus, ProcessClass
from node_sim.errors import ConfigError
from node_sim.server.settings import Checked, check_settings, setting

PROCESSES_MAX = 65_535
"""Processes that fit their column."""
SHARE_TOLERANCE = 1e-6
"""How far from 1 shares may add up to."""


@dataclass(frozen=True)
class Process(Checked):
    """Processes of one kind on a node."""

    kind: str = setting("web", "Kind.", choices=ProcessClass.vocabulary())
    count: int = setting(1, "Processes of this kind per node.", "1", low=1, high=4096)
    share: float = setting(1.0, "Share of the owned 2 MiB blocks.", "1", low=0.0, high=1.0)
    kill_policy: str = setting("unset", "prctl(PR_MCE_KILL).", choices=KillPolicy.vocabulary())
    thread_policy: str = setting(
        "leader",
        "prctl(PR_MCE_KILL) of its other threads; leader = as the first. Kernels differ in whose counts.",
        choices=("leader", *KillPolicy.vocabulary()),
    )
    on_sigbus: str = setting("die", "What it does on SIGBUS.", choices=OnSigbus.vocabulary())


@dataclass(frozen=True)
class Use(Checked):
    """Shares of the 2 MiB blocks of a node by use; they add up to 1."""

    free: float = setting(0.12, "Free.", "1", low=0.0, high=1.0)
    kernel: float = setting(numbers.KERNEL_SHARE, "Kernel: slab, page tables, reserved.", low=0.0, high=1.0)
    anonymous: float = setting(0.30, "Anonymous 4 KiB pages.", "1", low=0.0, high=1.0)
    thp: float = setting(0.17, "Transparent huge pages.", "1", low=0.0, high=1.0)
    hugetlb: float = setting(0.0, "2 MiB hugetlb pages.", "1", low=0.0, high=1.0)
    file: float = setting(0.30, "Page cache of files.", "1", low=0.0, high=1.0)
    tmpfs: float = setting(0.03, "tmpfs, memfd and SysV shared memory.", "1", low=0.0, high=1.0)
    hugetlb_1g: float = setting(0.0, "1 GiB hugetlb pages.", "1", low=0.0, high=1.0)

    def shares(self) -> tuple[float, ...]:
        """Return the shares in the order of ``BLOCK_USES``."""
        return tuple(getattr(self, name) for name in BLOCK_USES)


@dataclass(frozen=True)
class Shared(Checked):
    """Shares of the pages of a use that several processes map: all of one kind, or (libraries) all of the node."""

    forked: float = setting(
        numbers.FORKED_SHARE, "Of anonymous memory, huge pages among it: since a fork.", low=0.0, high=1.0
    )
    mapped_file: float = setting(numbers.MAPPED_FILE_SHARE, "Of mapped files.", low=0.0, high=1.0)
    library: float = setting(numbers.LIBRARY_SHARE, "Of mapped files, by all processes of the node.", low=0.0, high=1.0)
    tmpfs: float = setting(numbers.TMPFS_SHARE, "Of tmpfs, memfd and SysV shared memory.", low=0.0, high=1.0)
    hugetlb: float = setting(numbers.HUGETLB_SHARE, "Of huge pages of a pool (then of hugetlbfs).", low=0.0, high=1.0)
    merged: float = setting(numbers.MERGED_SHARE, "Of pages merged by KSM.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        """Check that shares of one use do not add up to more than all of it."""
        check_settings(self)
        if self.mapped_file + self.library > 1.0 + SHARE_TOLERANCE:
            msg = (
                f"mapped_file = {self.mapped_file:g} and library = {self.library:g} add up to "
                f"{self.mapped_file + self.library:g}, expected at most 1 (lower one of them)"
            )
            raise ConfigError(msg)


@dataclass(frozen=True)
class Workload(Checked):
    """What the memory of a node is used for, and by whom."""

    tenancy_days: float = setting(numbers.TENANCY_DAYS, "Mean time one use keeps a block.", low=0.001, high=36500.0)
    refill_minutes: float = setting(
        numbers.REFILL_MINUTES, "Time that memory stays free after a kill or a boot.", low=0.0, high=525960.0
    )
    file_system: str = setting(
        DEFAULT_FILE_SYSTEM,
        "File system of the page cache; some cannot take a bad page out of a file.",
        choices=tuple(FILE_SYSTEMS),
    )
    large_folio_share: float = setting(
        numbers.LARGE_FOLIO_SHARE,
        "Share of the page cache's pages of files that are part of large folios (XFS from 5.18, NFS and CIFS by 6.12, "
        "ext4 from 6.16).",
        low=0.0,
        high=1.0,
    )
    spare_huge_page_share: float = setting(
        numbers.SPARE_HUGE_PAGE_SHARE,
        "Share of the huge pages of a pool for which it has a spare one when they are soft-offlined.",
        low=0.0,
        high=1.0,
    )
    use: Use = field(default_factory=Use)
    shared: Shared = field(default_factory=Shared)
    process: tuple[Process, ...] = (Process(),)

    def __post_init__(self) -> None:
        """Check that shares add up."""
        check_settings(self)
        problems = []
        for name, total in (("use", sum(self.use.shares())), ("process share", sum(p.share for p in self.process))):
            if abs(total - 1.0) > SHARE_TOLERANCE:
                problems.append(f"{name}: shares add up to {total:g}, expected 1")
        if self.processes > PROCESSES_MAX:
            problems.append(f"process: counts add up to {self.processes}, expected at most {PROCESSES_MAX}")
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def processes(self) -> int:
        """Processes per node."""
        return sum(process.count for process in self.process)
