"""Stored enumerations: their order is the stored code, their text is what tables and digests hold.

Kernel strings are used wherever the kernel has one (``include/ras/ras_event.h``, ``mm/memory-failure.c``).
"""

from __future__ import annotations

import enum
from typing import Final, Self


class Code(enum.IntEnum):
    """An integer code with a text; members are written ``NAME = code, "text"``."""

    text: str

    def __new__(cls, value: int, text: str) -> Self:
        """Attach the text to the integer."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    @classmethod
    def vocabulary(cls) -> tuple[str, ...]:
        """Return the texts of all codes in code order."""
        return tuple(member.text for member in cls)

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the code with a text."""
        return next(member for member in cls if member.text == text)


class Mode(Code):
    """Part of a DRAM device or rank that a fault takes in."""

    BIT = 0, "bit"
    WORD = 1, "word"
    COLUMN = 2, "column"
    ROW = 3, "row"
    BANK = 4, "bank"
    MULTI_BANK = 5, "multi_bank"
    MULTI_RANK = 6, "multi_rank"
    COMMAND_ADDRESS = 7, "command_address"
    LANE = 8, "lane"


class Persistence(Code):
    """Whether a fault is gone once its cells are rewritten, stays, or stays and rests for most of the time."""

    SOFT = 0, "soft"
    HARD = 1, "hard"
    INTERMITTENT = 2, "intermittent"


class ErrorKind(Code):
    """What the memory controller made of a wrong word."""

    CE = 0, "CE"
    UE = 1, "UE"
    SDC = 2, "SDC"


class Path(Code):
    """How a fault came to make words uncorrectable."""

    BORN = 0, "born"
    GROWN = 1, "grown"
    SECOND_DEVICE = 2, "second device"
    PAIR = 3, "pair"
    COMMAND_ADDRESS = 4, "command/address"


class Observer(Code):
    """Who read (or wrote) the wrong word."""

    SCRUB = 0, "scrub"
    USER = 1, "user"
    KERNEL = 2, "kernel"
    DEVICE = 3, "device"
    WRITE = 4, "write"
    DEMAND = 5, "demand"
    WRITE_BACK = 6, "write-back"


class EcsUnit(Code):
    """What DDR5's error check and scrub counts (``mode`` of the kernel's ECS control, in its order)."""

    ROWS = 0, "rows"
    CODEWORDS = 1, "codewords"


class Severity(Code):
    """Grade of a machine check; RECOVERABLE is a record of the firmware."""

    UCNA = 0, "UCNA"
    SRAO = 1, "SRAO"
    SRAR = 2, "SRAR"
    FATAL = 3, "FATAL"
    DEFERRED = 4, "DEFERRED"
    RECOVERABLE = 5, "RECOVERABLE"


class CpuContext(Code):
    """What the CPU (or nobody) was doing when the machine check came."""

    NONE = 0, "none"
    USER = 1, "user"
    KERNEL = 2, "kernel"
    KERNEL_COPY = 3, "kernel recoverable copy"


class KernelRead(Code):
    """Which code of the kernel read poison; ``inject --event ar-TEXT`` plays one (``ar-kernel`` other code)."""

    COPY = 0, "copy"
    COW = 1, "cow"
    DO_COW = 2, "do-cow"
    FORK = 3, "fork"
    HUGETLB_COW = 4, "hugetlb-cow"
    KSM = 5, "ksm"
    KSMD = 6, "ksmd"
    KHUGEPAGED = 7, "khugepaged"
    MIGRATION = 8, "migration"
    READ = 9, "read"
    OTHER = 10, "other"


class CheckAction(Code):
    """What the kernel does about a machine check."""

    LOG = 0, "logged"
    QUEUE = 1, "memory_failure queued"
    ACTION_REQUIRED = 2, "memory_failure action required"
    PANIC = 3, "panic"
    QUEUE_FULL = 4, "memory_failure queue full"
    ALREADY_POISONED = 5, "page already poisoned"


class PageUse(Code):
    """What a page is used for when the error hits it; an input of the handler."""

    FREE = 0, "free"
    RESERVED = 1, "reserved"
    SLAB = 2, "slab"
    PAGE_TABLE = 3, "page table"
    ANONYMOUS = 4, "anonymous"
    THP = 5, "THP"
    HUGETLB = 6, "hugetlb"
    FILE_CLEAN = 7, "file clean"
    FILE_CLEAN_MAPPED = 8, "file clean mapped"
    FILE_DIRTY = 9, "file dirty"
    FILE_DIRTY_MAPPED = 10, "file dirty mapped"
    TMPFS = 11, "tmpfs"
    MLOCKED = 12, "mlocked"
    KSM = 13, "KSM"
    SWAPCACHE_DIRTY = 14, "swap cache dirty"
    SWAPCACHE_CLEAN = 15, "swap cache clean"
    HUGETLB_FREE = 16, "hugetlb free"
    HUGETLB_1G = 17, "hugetlb 1G"
    HUGETLB_1G_FREE = 18, "hugetlb 1G free"


class PageType(Code):
    """The kernel's name for the page it found (``mf_action_page_type``), as the kernel of the arm prints it."""

    RESERVED_KERNEL = 0, "reserved kernel page"
    SLAB = 1, "kernel slab page"
    HUGE = 2, "huge page"
    UNMAP_FAILED = 3, "unmapping failed page"
    DIRTY_SWAPCACHE = 4, "dirty swapcache page"
    CLEAN_SWAPCACHE = 5, "clean swapcache page"
    DIRTY_MLOCKED_LRU = 6, "dirty mlocked LRU page"
    CLEAN_MLOCKED_LRU = 7, "clean mlocked LRU page"
    DIRTY_UNEVICTABLE_LRU = 8, "dirty unevictable LRU page"
    CLEAN_UNEVICTABLE_LRU = 9, "clean unevictable LRU page"
    DIRTY_LRU = 10, "dirty LRU page"
    CLEAN_LRU = 11, "clean LRU page"
    BUDDY = 12, "free buddy page"
    UNSPLIT_THP = 13, "unsplit thp"
    UNKNOWN = 14, "unknown page"
    HIGH_ORDER_KERNEL = 15, "high-order kernel page"
    FREE_HUGE = 16, "free huge page"
    NON_PMD_HUGE = 17, "non-pmd-sized huge page"
    GET_HWPOISON = 18, "get hwpoison page"
    TRUNCATED_LRU = 19, "already truncated LRU page"
    BUDDY_2ND = 20, "free buddy page (2nd try)"
    DAX = 21, "dax page"
    ALREADY_POISONED = 22, "already poisoned page"
    PFN_MAP = 23, "non struct page pfn"
    # Up to 4.0; MSG_2009 where only 2.6.32 says so.
    OUTSIDE_MSG_2009 = 24, "memory outside kernel control"
    ALREADY_MSG_2009 = 25, "already hardware poisoned"
    FREE_OR_HIGH_ORDER_MSG_2009 = 26, "free or high order kernel"
    SWAPCACHE_MSG_2009 = 27, "swapcache"
    UNEVICTABLE_LRU_MSG_2009 = 28, "unevictable LRU"
    LRU_MSG_2009 = 29, "LRU"
    NON_LRU_MSG = 30, "non LRU"
    HIGH_ORDER_KERNEL_MSG = 31, "high order kernel"
    BUDDY_MSG = 32, "free buddy"
    BUDDY_2ND_MSG = 33, "free buddy, 2nd try"
    FREE_HUGE_MSG = 34, "free huge"
    HUGE_MSG = 35, "huge"
    DIRTY_SWAPCACHE_MSG = 36, "dirty swapcache"
    CLEAN_SWAPCACHE_MSG = 37, "clean swapcache"
    DIRTY_MLOCKED_LRU_MSG = 38, "dirty mlocked LRU"
    CLEAN_MLOCKED_LRU_MSG = 39, "clean mlocked LRU"
    DIRTY_UNEVICTABLE_LRU_MSG = 40, "dirty unevictable LRU"
    CLEAN_UNEVICTABLE_LRU_MSG = 41, "clean unevictable LRU"
    DIRTY_LRU_MSG = 42, "dirty LRU"
    CLEAN_LRU_MSG = 43, "clean LRU"
    TRUNCATED_LRU_MSG = 44, "already truncated LRU"
    # Of kernels between the profiles (switches).
    RESERVED_KERNEL_MSG = 45, "reserved kernel"
    SLAB_MSG = 46, "kernel slab"
    UNKNOWN_STATE_MSG = 47, "unknown page state"
    ALREADY_POISONED_MSG_2024 = 48, "already poisoned"


class Result(Code):
    """Outcome of the handler (``mf_result``), in the kernel's order since 4.2."""

    IGNORED = 0, "Ignored"
    FAILED = 1, "Failed"
    DELAYED = 2, "Delayed"
    RECOVERED = 3, "Recovered"


class SignalName(Code):
    """Signal sent for bad memory."""

    SIGBUS = 0, "SIGBUS"
    SIGKILL = 1, "SIGKILL"


class SignalCode(Code):
    """``si_code`` of the signal."""

    MCEERR_AR = 0, "BUS_MCEERR_AR"
    MCEERR_AO = 1, "BUS_MCEERR_AO"
    KERNEL = 2, "SI_KERNEL"


class Timing(Code):
    """When the signal comes relative to the error: during handling, at a later access, at consumption."""

    EARLY = 0, "early"
    LATE = 1, "late"
    DIRECT = 2, "direct"


class Fate(Code):
    """What became of the process that was signalled."""

    HANDLED = 0, "handled"
    KILLED = 1, "killed"


class ProcessClass(Code):
    """Kind of process that owns memory."""

    DATABASE = 0, "database"
    CACHE = 1, "cache"
    WEB = 2, "web"
    BATCH = 3, "batch"
    VM_GUEST = 4, "vm_guest"
    SYSTEM = 5, "system"


class OnSigbus(Code):
    """What a process does when it gets SIGBUS for bad memory."""

    DIE = 0, "die"
    RECOVER = 1, "recover"
    FORWARD = 2, "forward"


class KillPolicy(Code):
    """``prctl(PR_MCE_KILL)`` of a process."""

    UNSET = 0, "unset"
    EARLY = 1, "early"
    LATE = 2, "late"


class IoCall(Code):
    """System call that returned the I/O error."""

    FSYNC = 0, "fsync"


class OfflineTrigger(Code):
    """Why a page, or all pages of a bank, were to be soft-offlined."""

    CE_THRESHOLD = 0, "ce_threshold"
    ROW_THRESHOLD = 1, "row threshold"
    ROW_COLUMNS = 2, "row columns"
    BANK_THRESHOLD = 3, "bank threshold"
    KERNEL_CEC = 4, "kernel CEC"
    OWN_POLICY = 5, "own policy"


class OfflineResult(Code):
    """Answer to a request to soft-offline a page: of ``soft_offline_page()``, or that there is none to ask."""

    OFFLINED = 0, "offlined"
    UNHANDLABLE = 1, "unhandlable page"
    NO_INTERFACE = 2, "no interface"
    DISABLED = 3, "disabled"
    ALREADY_POISONED = 4, "page already poisoned"
    NO_SPARE = 5, "no spare huge page"


class LifecycleKind(Code):
    """Why a node is down, or up with less than all."""

    PANIC = 0, "panic"
    CORDON = 1, "cordon"
    DIMM_REPLACEMENT = 2, "dimm_replacement"
    POST_PACKAGE_REPAIR = 3, "post_package_repair"
    MAP_OUT = 4, "map_out"


UP_KINDS: Final = (LifecycleKind.CORDON, LifecycleKind.MAP_OUT)
"""Intervals in which the node is up: it drains, or goes on without a DIMM."""


class LifecycleReason(Code):
    """What brought the node down; panic messages are the kernel's."""

    UNRECOVERABLE_KERNEL = 0, "Data load in unrecoverable area of kernel"
    LOST_EVENTS = 1, "Action required with lost events"
    UNKNOWN_MCACOD = 2, "Action required: unknown MCACOD"
    CONTEXT_CORRUPT = 3, "Processor context corrupt"
    RECOVERY_OFF = 4, "Memory failure on page"
    DEVICE_POISON = 5, "poisoned data reached a device"
    UE_LIMIT = 6, "uncorrected errors reached the cordon limit"
    DIMM_HAD_UE = 7, "DIMM had uncorrected errors"
    CE_LIMIT = 8, "corrected errors reached the replacement limit"
    OVERFLOWED = 9, "Overflowed uncorrected"
    NO_OVERFLOW_RECOVERY = 10, "Overflowed uncorrected error without MCA Overflow Recovery"
    KERNEL_CONTEXT = 11, "Uncorrected unrecoverable error in kernel context"
    FATAL_HARDWARE = 12, "Fatal hardware error"
    NO_HANDLER = 13, "kernel BUG: MF_ACTION_REQUIRED without CONFIG_MEMORY_FAILURE"
    ECS_LIMIT = 14, "error check and scrub reached its threshold"
    UNRECOVERABLE_PAGE = 15, "unrecoverable page"
    RISKY_PATTERN = 16, "corrected errors in both halves of a device's pins"
    OWN_POLICY = 17, "own policy"


class KillCause(Code):
    """Headline grouping of kills."""

    EARLY_AO = 0, "early_ao"
    LATE_AR = 1, "late_ar"
    DIRECT_AR = 2, "direct_ar"
    SIGKILL = 3, "sigkill"
