"""Recordings of real kernels: what each column holds, and those that come with the program."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

from node_sim.catalog.kernels import PROFILE_NAMES
from node_sim.errors import ConfigError
from node_sim.guesses import one_of
from node_sim.hwpoison.filters import KPF
from node_sim.hwpoison.process import Disposition
from node_sim.one_page.player import COMPARED

BUILTIN: Final = "builtin:"
"""Stands before the name of a recording that comes with the program, where one of a file could be."""
NAME, INPUT, RECORDED, NOTE = "name", "input", "recorded", "note"
_FLAG: Final = "|".join(KPF)


class RecordedColumn(NamedTuple):
    """A column of a recording.

    Attributes:
        name: Its name.
        kind: A name, an input of the prediction, or an outcome.
        means: What it holds.
        values: Regular expression of the cells that are taken; empty where others say what is wrong with one.
    """

    name: str
    kind: str
    means: str
    values: str = ""


COLUMNS: Final = (
    RecordedColumn("id", NAME, "Name of the scenario; a row without one is called by its line."),
    RecordedColumn("group", NAME, "What the scenario was recorded for."),
    RecordedColumn("page_type", INPUT, "What the page is, such as 'anonymous', 'page cache ext4', 'hugetlb 2M'."),
    RecordedColumn("state_details", INPUT, "Its state: dirty or clean, mapped by how many, who finds the error."),
    RecordedColumn("processes", INPUT, "Processes that use the page, P0 first.", "[0-9]"),
    RecordedColumn(
        "kpageflags_before",
        INPUT,
        "Flags of /proc/kpageflags before the error, with + between them; - where not read.",
        rf"|-|\(no such pfn\)|({_FLAG})(\+({_FLAG}))*",
    ),
    RecordedColumn("mapcount", INPUT, "/proc/kpagecount before the error; empty where not read."),
    RecordedColumn(
        "filter",
        INPUT,
        "Files corrupt-filter-* of debugfs: enable, dev-major, dev-minor, flags-mask, flags-value, memcg; - as found.",
        r"|0( \S+){5}|1( -| \d+){2}( -| 0x[0-9a-f]+){2}( -| in| out)",
    ),
    RecordedColumn(
        "injection",
        INPUT,
        "How the error came: madvise() or its soft form, debugfs, sysfs, or a machine check.",
        "madvise|corrupt-pfn|hard_offline|soft_offline|madvise_soft|mce|mce-msr|mce-inject",
    ),
    RecordedColumn(
        "mce",
        INPUT,
        "The machine check: by which way (msr, sw, hw), bank, IA32_MCi_STATUS, MCG_STATUS, MISC; b for all CPUs, @ "
        "where the reader was.",
        r"|((msr|sw|hw) )?\d+( 0x[0-9a-f]{1,16}){2,3}( b| @[a-z-]+)*",
    ),
    RecordedColumn("boot", INPUT, "What was special about the boot; empty if nothing."),
    RecordedColumn("early_kill", INPUT, "vm.memory_failure_early_kill.", "[01]"),
    RecordedColumn("recovery", INPUT, "vm.memory_failure_recovery.", "[01]"),
    RecordedColumn(
        "proc_policy", INPUT, "prctl(PR_MCE_KILL) of the processes.", "unset|EARLY|LATE|DEFAULT|EARLY then CLEAR|n/a"
    ),
    RecordedColumn(
        "sigbus_disposition",
        INPUT,
        "What the processes do on SIGBUS; n/a without processes.",
        "|".join(member.value for member in Disposition) + "|n/a",
    ),
    RecordedColumn(
        "plan",
        INPUT,
        "What happens in turn, a letter each: ! the error, R W r x accesses, Y system calls, P page table entries, V U "
        "pending signals and unblocking, k counters, u unpoison, q exit; the others are in node_sim/one_page.",
        r"\S+",
    ),
    RecordedColumn("call_errno", "compared", "What the call that injected returned; several with ; between them."),
    RecordedColumn("action_log", "compared", "The kernel's name of what it found, from the action line."),
    RecordedColumn("result", "compared", "Ignored, Failed, Delayed or Recovered; none without an action line."),
    RecordedColumn("signals", "compared", "Each signal: process@phase:signal/code lsb addr."),
    RecordedColumn("process_outcome", "compared", "What became of each process."),
    RecordedColumn("later_access", "compared", "What each access after the error gave."),
    RecordedColumn("later_syscalls", "compared", "What each system call after the error gave."),
    RecordedColumn("hw_corrupted_kb_delta", "compared", "By how much HardwareCorrupted of /proc/meminfo rose [kB]."),
    RecordedColumn("kpageflags_after", RECORDED, "Flags after the error."),
    RecordedColumn("unpoison", RECORDED, "What unpoisoning gave, and whether the page was still poisoned."),
    RecordedColumn("hw_corrupted_kb_after_unpoison", RECORDED, "HardwareCorrupted after it, less that before [kB]."),
    RecordedColumn("racy", RECORDED, "Column whose value is a matter of timing, which is not compared; no if none."),
    RecordedColumn("unpoison_log", RECORDED, "Kernel log of unpoisoning."),
    RecordedColumn("kernel_log", RECORDED, "Kernel log, with / between lines, addresses replaced."),
    RecordedColumn("notes", NOTE, "Remarks of whoever recorded it."),
)
"""Columns of a recording in order: names and inputs must be there, of those compared one at least."""
INPUTS: Final = tuple(column.name for column in COLUMNS if column.kind in (NAME, INPUT))
NEVER_READ: Final = tuple(column.name for column in COLUMNS if column.kind == NAME)
OUTCOMES: Final = (*COMPARED, *(column.name for column in COLUMNS if column.kind == RECORDED))
ALLOWED: Final = {column.name: column.values for column in COLUMNS if column.values}


def builtin_names() -> list[str]:
    """Return the names of the recordings that come with the program."""
    folder = resources.files("fleet") / "recordings"
    return sorted(entry.name.removesuffix(".csv") for entry in folder.iterdir() if entry.name.endswith(".csv"))


def find_recording(named: Path) -> Path:
    """Return the file of a recording, given itself or ``builtin:NAME``.

    Raises:
        ConfigError: None of that name comes with the program.
    """
    text = str(named)
    if not text.startswith(BUILTIN):
        return named
    name = text.removeprefix(BUILTIN)
    if name not in builtin_names():
        msg = f"{text}: no such recording, {one_of(name, builtin_names())}; a file of that name is ./{text}"
        raise ConfigError(msg)
    return Path(str(resources.files("fleet") / "recordings" / f"{name}.csv"))


def profile_of(named: Path) -> str | None:
    """Return the kernel profile that a recording of ``builtin:NAME`` was made on; None of any other."""
    text = str(named)
    if not text.startswith(BUILTIN):
        return None
    release = ".".join(text.removeprefix(BUILTIN).split(".")[:2])
    return release if release in PROFILE_NAMES else None


def columns_document() -> dict[str, Any]:
    """Return what the columns of a recording are."""
    return {"columns": [column._asdict() for column in COLUMNS]}


def column_lines() -> list[str]:
    """List the columns of a recording."""
    width = max(len(column.name) for column in COLUMNS)
    lines = ["columns of a recording: CSV, UTF-8, first line their names, in any order"]
    for kind, about in (
        (NAME, "names, never read for a prediction"),
        (INPUT, "inputs, which must all be there"),
        ("compared", "outcomes that are compared; one at least must be there"),
        (RECORDED, "outcomes that are not compared; they may be missing"),
        (NOTE, "remarks, which may be missing"),
    ):
        lines += [f"{about}:"]
        for column in (one for one in COLUMNS if one.kind == kind):
            allowed = f" Values: {column.values}" if column.values else ""
            lines.append(f"  {column.name:<{width}}  {column.means}{allowed}")
    return [*lines, f"recordings that come with the program: {', '.join(f'{BUILTIN}{one}' for one in builtin_names())}"]
