"""Processes that map a page: page table entries, PR_MCE_KILL policies and what each does on SIGBUS.

**Models.** One or several mappings of a page in a process; handler, default, blocked and ignored SIGBUS; forced and
queued signals, merged while one is pending.

**Leaves out.** Threads apart from their policies and signal masks; other signals, but for SIGSEGV of a protected
mapping.

**Assumes.** A SIGBUS handler leaves the access that raised the signal.

**Sources.** kernel/signal.c ``force_sig_mceerr()``, ``send_sig_mceerr()``; include/linux/swapops.h.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from node_sim.codes import KillPolicy
from node_sim.units import PAGE_SHIFT

PLAIN = "SI_KERNEL"
"""Code of a forced SIGBUS without machine-check code or address."""


class Pte(enum.Enum):
    """Page table entry for the page; the value says what /proc/self/pagemap shows, the last two as special ones."""

    NONE = "none"
    PRESENT = "same"
    MOVED = "moved"
    HWPOISON = "special-swap-entry"
    SWAP = "swap"
    SWAP_ERROR = "swap error"
    GUARD = "guard"


class Disposition(enum.Enum):
    """What a process has arranged for SIGBUS."""

    HANDLER = "handler"
    DEFAULT = "default"
    BLOCKED = "blocked"
    UNBLOCKED_LATER = "blocked-then-unblocked"
    IGNORED = "ignored"


@dataclass
class Mapping:
    """One place where a process maps the page.

    Attributes:
        pte: Page table entry.
        shared: MAP_SHARED.
        readable: PROT_READ.
        writable: PROT_WRITE.
        private: Data of the process's own copy; None where the data is the file's.
        shift: log2 of the bytes that a hwpoison entry covers.
        offset: Address of the mapping less that of the injected page [bytes].
        locked: mlocked.
        swapped_in: The page that has taken the place of the one mapped before came from swap, and is in the swap cache.
    """

    pte: Pte = Pte.PRESENT
    shared: bool = False
    readable: bool = True
    writable: bool = True
    private: str | None = None
    shift: int = PAGE_SHIFT
    offset: int = 0
    locked: bool = False
    swapped_in: bool = False

    @property
    def huge_entry(self) -> bool:
        """Whether its hwpoison entry covers a hugetlb page."""
        return self.pte is Pte.HWPOISON and self.shift > PAGE_SHIFT


@dataclass
class Received:
    """A signal that a handler recorded, or that killed.

    Attributes:
        phase: What was going on.
        signal: SIGBUS, SIGKILL or SIGSEGV.
        code: ``si_code``.
        lsb: ``si_addr_lsb``; None where the code has none.
        offset: ``si_addr`` less the address of the injected page [bytes]; None for a null address.
        who: Name of the process.
        killed: The process died of it.
    """

    phase: str
    signal: str
    code: str
    lsb: int | None = None
    offset: int | None = None
    who: str = ""
    killed: bool = False


@dataclass
class Task:
    """A process.

    Attributes:
        name: As the kernel log shows it.
        policies: ``PR_MCE_KILL`` policy of each thread, leader first.
        disposition: What it has arranged for SIGBUS; BLOCKED says so of the leader.
        unblocked: Threads that do not block SIGBUS though the leader does, and have a handler.
        blocked: Threads that block it though the leader does not.
        mappings: Where it maps the page.
        unmapped: It has unmapped the injected address; what is left in ``mappings`` is elsewhere.
        pending: Signal that waits because it is blocked.
        died_of: Signal that killed it.
        loops: It raises machine checks without end, and does nothing else.
        received: Signals that it handled.
    """

    name: str
    policies: tuple[KillPolicy, ...] = (KillPolicy.UNSET,)
    disposition: Disposition = Disposition.HANDLER
    unblocked: frozenset[int] = frozenset()
    blocked: frozenset[int] = frozenset()
    mappings: list[Mapping] = field(default_factory=list)
    unmapped: bool = False
    pending: Received | None = None
    died_of: Received | None = None
    loops: bool = False
    received: list[Received] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.died_of is None

    @property
    def first(self) -> Mapping | None:
        """The mapping at the injected address; None where there is none (any more)."""
        return self.mappings[0] if self.mappings and not self.unmapped else None

    def munmap(self) -> None:
        """Remove the mapping at the injected address."""
        if self.first is not None:
            self.mappings, self.unmapped = self.mappings[1:], True

    @property
    def heard(self) -> int:
        """Number of signals it has handled, or died of."""
        return len(self.received) + (self.died_of is not None)

    def maps(self, *entries: Pte) -> bool:
        """Whether it lives and has one of some page table entries for the page."""
        return self.alive and any(mapping.pte in entries for mapping in self.mappings)

    def force(self, received: Received) -> None:
        """Deliver a signal that cannot be blocked or ignored."""
        if self.disposition is Disposition.HANDLER:
            self.received.append(received)
        else:
            self.kill(received)

    def queue(self, received: Received, thread: int = 0) -> None:
        """Deliver a signal to a thread in the ordinary way."""
        if thread in self.blocked:
            self.pending = self.pending or received
        elif self.disposition is Disposition.HANDLER or thread in self.unblocked:
            self.received.append(received)
        elif self.disposition is Disposition.DEFAULT:
            self.kill(received)
        elif self.disposition is not Disposition.IGNORED and self.pending is None:
            self.pending = received

    def kill(self, received: Received) -> None:
        """Let the process die of a signal; the first that does it counts."""
        if self.died_of is None:
            received.killed = True
            self.died_of = received

    def unblock(self, phase: str) -> None:
        """Unblock SIGBUS, if it is blocked, and receive what is pending."""
        if self.disposition in (Disposition.BLOCKED, Disposition.UNBLOCKED_LATER):
            self.disposition = Disposition.HANDLER
        if self.pending is not None:
            self.pending.phase = phase
            self.received.append(self.pending)
        self.pending = None
