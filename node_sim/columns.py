"""Column registry of the event tables: every stored column, once, with its unit and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from node_sim import codes
from node_sim.codes import Code

Columns = dict[str, npt.NDArray[np.generic]]
"""A table inside the simulator: one array of shape ``(n,)`` per column, codes for enumerations."""


@dataclass(frozen=True)
class Column:
    """One stored column.

    Attributes:
        name: Name in the table.
        dtype: numpy dtype of the values (of the codes for an enumeration).
        unit: Unit, or ``1`` for counts and ``-`` for names.
        sentence: What it holds.
        code: Enumeration whose texts are stored, if any.
        null: When it is unknown or not applicable (null), which kernels carry as a negative number; empty if never.
    """

    name: str
    dtype: str
    unit: str
    sentence: str
    code: type[Code] | None = None
    null: str = ""

    @property
    def nullable(self) -> bool:
        """Whether null occurs."""
        return bool(self.null)

    @property
    def carried(self) -> np.dtype[np.generic]:
        """The dtype of the values before they are stored: the smallest that has -1 for null where that occurs."""
        if self.dtype == "uint64" and self.nullable:
            return np.dtype(np.int64)  # page numbers, far below 2**63; numpy has no integers with both
        return np.promote_types(self.dtype, np.int8) if self.nullable else np.dtype(self.dtype)


def _code(name: str, code: type[Code], sentence: str, null: str = "") -> Column:
    return Column(name, "int8", "-", sentence, code, null)


def _cells(name: str, dtype: str, unit: str, sentence: str) -> Column:
    """Return a column about the faulty cells."""
    return Column(name, dtype, unit, sentence, null=_WRONG_COMMANDS)


_WRONG_COMMANDS: Final = "wrong commands or addresses, which have no cells"
_HEAD: Final = (
    Column("time_ns", "int64", "ns", "When it happened, since the start of the scenario."),
    Column("node_id", "uint32", "-", "Server."),
    Column("fault_id", "uint64", "-", "Fault it comes from: node, DIMM slot, generation, ordinal; equal in all arms."),
    Column("seq", "uint32", "1", "Number of the row among all rows of this node in this arm, over all tables."),
)
_CAUSE: Final = Column("cause_seq", "uint32", "1", "The seq of the row of the same node and arm that caused this one.")
_PFN: Final = Column("pfn", "uint64", "4 KiB", "Physical page number.")

TABLES: Final[dict[str, tuple[Column, ...]]] = {
    "faults": (
        *_HEAD,
        Column("dimm", "uint8", "-", "DIMM slot of the node."),
        Column("generation", "uint8", "1", "How many DIMMs the slot held before this one."),
        _cells("rank", "uint8", "-", "Rank of the DIMM."),
        _cells("device", "uint8", "-", "DRAM device (chip) of the rank."),
        _code("mode", codes.Mode, "Part of the device or rank that is faulty."),
        _code(
            "persistence",
            codes.Persistence,
            "Soft faults vanish once rewritten, hard ones stay, intermittent ones stay and rest.",
        ),
        _cells("bank", "uint8", "-", "First bank of the footprint."),
        _cells("row", "uint32", "-", "First row of the footprint."),
        _cells("line", "uint16", "-", "First 64-byte line of the row in the footprint."),
        _cells("n_banks", "uint8", "1", "Banks in the footprint."),
        _cells("n_rows", "uint32", "1", "Rows of each bank in the footprint."),
        _cells("n_lines", "uint16", "1", "64-byte lines of each row in the footprint."),
        _cells("n_dq", "uint8", "1", "Data pins (DQ) of the device that carry wrong bits."),
        _cells("n_beats", "uint8", "1", "Beats of a line in which they do."),
        Column(
            "n_pages",
            "uint64",
            "1",
            "4 KiB pages the footprint touches; one with lines of several of its banks or ranks counts for each; 0 if "
            "errors belong to no page.",
        ),
        Column(
            "first_pfn",
            "uint64",
            "4 KiB",
            "Physical number of the page of the footprint that shows errors first.",
            null="errors belong to no page",
        ),
    ),
    "errors": (
        *_HEAD,
        _CAUSE,
        _code(
            "kind",
            codes.ErrorKind,
            "CE: a count in a window; UE: first sight of a page per boot; SDC: an unnoticed read.",
        ),
        _code(
            "observer",
            codes.Observer,
            "Who read the wrong words; 'demand' is any CPU or device access, 'write-back' the last-level cache.",
        ),
        Column("ce_count", "uint32", "1", "Logged corrected errors in the window.", null="UE and SDC"),
        Column("n_pages", "uint64", "1", "Distinct pages that showed the errors; 0 of wrong commands or addresses."),
        Column(
            "first_pfn", "uint64", "4 KiB", "Physical page number of the first error.", null="errors belong to no page"
        ),
        Column("first_time_ns", "int64", "ns", "Time of the first error."),
        Column("last_time_ns", "int64", "ns", "Time of the last error."),
        _code("path", codes.Path, "How the fault came to an uncorrected error.", null="CE"),
        Column("first_ce_ns", "int64", "ns", "Time of the DIMM's first CE before it.", null="none before it, and CE"),
        Column("n_ce_before", "uint64", "1", "Corrected errors of the DIMM before it.", null="CE"),
    ),
    "ecs_reports": (
        *_HEAD,
        _CAUSE,
        _code("unit", codes.EcsUnit, "What the device counts: rows with wrong code words, or code words."),
        Column("count", "uint32", "1", "How many the fault makes wrong in this pass, at least the threshold."),
        Column("begin_ns", "int64", "ns", "Begin of the pass."),
    ),
    "machine_checks": (
        *_HEAD,
        _CAUSE,
        _code("severity", codes.Severity, "Grade given by the kernel."),
        Column("bank", "uint8", "-", "Machine-check bank: one per memory channel, then the one of the core that read."),
        _code("cpu_context", codes.CpuContext, "What the CPU was doing."),
        _code("kernel_read", codes.KernelRead, "Which kernel code read the poison.", null="none did"),
        Column("overflow", "bool", "-", "The bank still held an unread record (OVER)."),
        Column("pfn", "uint64", "4 KiB", "Physical page number.", null=_WRONG_COMMANDS),
        _code("action", codes.CheckAction, "What the kernel did about it."),
    ),
    "memory_failures": (
        *_HEAD,
        _CAUSE,
        _PFN,
        _code("page_use", codes.PageUse, "What the page was used for."),
        _code("page_type", codes.PageType, "Page type of the action line.", null="no action line is printed"),
        _code("result", codes.Result, "Result of the action line.", null="no action line is printed"),
        Column("errno", "int16", "-", "Return value of memory_failure(), 0 or a negative errno."),
        Column("latency_ns", "int64", "ns", "From the machine check to the end of handling."),
        Column(
            "duration_ns", "int64", "ns", "Time that memory_failure() takes itself, the walk over mappings included."
        ),
        Column("current_affected", "bool", "-", "It ran for the task that consumed the data, and that maps the page."),
        Column("lost_bytes", "uint64", "byte", "Memory taken out of use until the next boot."),
        Column("pool_lost_bytes", "uint64", "byte", "What the pool of huge pages loses by it, broken up or kept."),
    ),
    "signals": (
        *_HEAD,
        _CAUSE,
        _code("process_class", codes.ProcessClass, "Kind of process."),
        Column("process", "uint16", "-", "Number of the process among those of its node."),
        _code("signal", codes.SignalName, "Signal."),
        _code("code", codes.SignalCode, "si_code: action optional, action required, or plain."),
        _code("timing", codes.Timing, "Early: during handling; late: at a later access; direct: at consumption."),
        Column("lsb", "uint8", "bit", "si_addr_lsb: log2 of the extent of the damage; 0 for a plain SIGBUS."),
        _code("fate", codes.Fate, "Whether the process handled the signal or died."),
    ),
    "io_errors": (
        *_HEAD,
        _CAUSE,
        _PFN,
        _code("call", codes.IoCall, "System call that returned the error."),
        Column("errno", "int16", "-", "Negative errno."),
    ),
    "page_offlines": (
        *_HEAD,
        _CAUSE,
        _PFN,
        _code("trigger", codes.OfflineTrigger, "Why the page, or all pages of its bank, were to be taken out of use."),
        _code(
            "result",
            codes.OfflineResult,
            "Answer of soft_offline_page(), or that there is no interface; of a bank its best one.",
        ),
        Column("errno", "int16", "-", "What the daemon gets from sysfs: 0 or a negative errno."),
        Column("n_pages", "uint64", "1", "Pages that went out of use by it; 0 if it was refused."),
        Column("pool_lost_bytes", "uint64", "byte", "Huge pages that are broken up for it, and lost to their pools."),
    ),
    "lifecycle": (
        *_HEAD,
        _CAUSE,
        _code("kind", codes.LifecycleKind, "Why the node was down; one that drains, or goes on without a DIMM, is up."),
        _code("reason", codes.LifecycleReason, "What brought it down, or led to its cordon."),
        Column("end_ns", "int64", "ns", "End of the interval; may lie beyond the horizon."),
        Column("dimm", "uint8", "-", "DIMM slot replaced, repaired or mapped out.", null="other kinds"),
        Column("processes_lost", "uint16", "1", "Processes that died with the node."),
    ),
}
"""Event tables in causal order: at one time, a row of a later table may be caused by one of an earlier."""

SENTENCES: Final = {
    "faults": "What is physically wrong in DRAM, also on DIMMs that only other arms have installed.",
    "errors": "Wrong words that were read: corrected ones by window, all others one by one.",
    "ecs_reports": "What DDR5 devices report of the errors they count themselves.",
    "machine_checks": "How the CPU reported an uncorrected error, and what the kernel did at once.",
    "memory_failures": "What memory_failure() made of a poisoned page.",
    "signals": "SIGBUS and SIGKILL that processes were sent for bad memory.",
    "io_errors": "System calls that returned an error for bad memory.",
    "page_offlines": "Pages, or all pages of a bank, that somebody asked the kernel to take out of use.",
    "lifecycle": "Times that nodes were down, drained or repaired, and why.",
}
"""What a row of each table is."""
VIEW_COLUMNS: Final = (
    Column("arm", "str", "-", "Arm whose row it is; a row that all arms share is one of each."),
    Column("group", "str", "-", "Node group of the server."),
    Column(
        "ts", "datetime64[us]", "UTC", "When it happened: the start of the scenario and time_ns, to the microsecond."
    ),
)
"""What views and exports put before the stored columns of each table."""

TABLE_NAMES: Final = tuple(TABLES)
TABLE_RANK: Final = {name: rank for rank, name in enumerate(TABLE_NAMES)}
