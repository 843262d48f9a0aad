"""What happens to a host, moment by moment, as all of its records tell it.

**Models.** Records of corrected errors, machine checks with their bank, pages that ``memory_failure()`` handled with
the signals it sent, later signals, soft offlines, panics and boots, in order of time and cause.

**Leaves out.** I/O errors that system calls return: neither the kernel's log nor a trace event tells of them.

**Assumes.** The machine check of a wrong command or address is of the memory controller of its channel.

**Sources.** ``analysis.hosts``: places of DIMMs, records of windows, boots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from analysis.hosts.changes import Down, changes
from analysis.hosts.corrected import ROWS_PER_WINDOW, corrected_records
from analysis.hosts.counters import FIRST_BOOT_NS
from analysis.hosts.kinds import DimmPlace, HostKind
from analysis.hosts.lives import Life, Row
from node_sim.codes import CheckAction, ErrorKind, LifecycleKind, Timing
from node_sim.names import slot_of_fault


class Spot(NamedTuple):
    """Where an error is.

    Attributes:
        controller: Memory controller of the host.
        place: DIMM; None is unknown.
    """

    controller: int
    place: DimmPlace | None


class Corrected(NamedTuple):
    """The memory controller reports corrected errors."""

    time_ns: int
    errors: int
    spot: Spot
    pfn: int | None


class CheckSeen(NamedTuple):
    """A machine check, or a record of the firmware in its place.

    Attributes:
        time_ns: When.
        row: Its row of ``machine_checks``.
        observer: Who read the wrong word.
        spot: Where it is, if the memory controller reports it; None is a bank of a core.
        reason: Of the panic that it leads to at once; None where the kernel goes on.
    """

    time_ns: int
    row: Row
    observer: str
    spot: Spot | None
    reason: str | None


class Handled(NamedTuple):
    """``memory_failure()`` has handled a page.

    Attributes:
        time_ns: When.
        row: Its row of ``memory_failures``.
        check: The machine check behind it.
        signals: Rows of the signals that it led to at once, in order.
        known: Whether this boot had a row about the page before.
    """

    time_ns: int
    row: Row
    check: Row
    signals: tuple[Row, ...]
    known: bool


class Signalled(NamedTuple):
    """A process is signalled when it touches a page later."""

    time_ns: int
    row: Row


class Offlined(NamedTuple):
    """Somebody asks the kernel to take a page out of use, or all pages of a bank."""

    time_ns: int
    row: Row


class Panicked(NamedTuple):
    """The kernel stops.

    Attributes:
        time_ns: When.
        reason: Its reason.
        pfn: Page whose error led to it; None is unknown.
    """

    time_ns: int
    reason: str
    pfn: int | None


class Booted(NamedTuple):
    """The kernel starts."""

    time_ns: int


Moment = Corrected | CheckSeen | Handled | Signalled | Offlined | Panicked | Booted


def moments(life: Life, kind: HostKind, seed: int, at_most: int = ROWS_PER_WINDOW) -> list[Moment]:
    """Return the moments of a host in order of time, causes before what they cause.

    Args:
        life: Its rows.
        kind: What it is.
        seed: Seed of the run.
        at_most: Records of a window of corrected errors, as ``corrected_records`` has it.
    """
    found: list[tuple[int, int, Moment]] = [(FIRST_BOOT_NS, -1, Booted(FIRST_BOOT_NS))]
    downs = [one for one in changes(_lifecycle(life), kind, seed) if isinstance(one, Down)]
    boots = [down.end_ns for down in downs]
    found += [(end_ns, -1, Booted(end_ns)) for end_ns in boots]
    for seq, moment in _moments(life, kind, seed, at_most, sorted(boots)):
        found.append((moment.time_ns, seq, moment))
    return [moment for _, _, moment in sorted(found, key=lambda one: one[:2])]


def _lifecycle(life: Life) -> Life:
    return [(table, row) for table, row in life if table == "lifecycle"]


def _moments(life: Life, kind: HostKind, seed: int, at_most: int, boots: list[int]) -> Iterator[tuple[int, Moment]]:
    """Yield the moments of rows, each with the number of its row."""
    rows = {row["seq"]: row for _, row in life}
    reasons = {row["cause_seq"]: row["reason"] for table, row in life if _is_panic(table, row)}
    at_once: dict[int, list[Row]] = {}
    for table, row in life:
        if table == "signals" and row["timing"] != Timing.LATE.text:
            at_once.setdefault(row["cause_seq"], []).append(row)
    known: set[tuple[int, int]] = set()
    for table, row in life:
        seq, time_ns = row["seq"], row["time_ns"]
        if table == "errors" and row["kind"] == ErrorKind.CE.text:
            yield from ((seq, one) for one in _corrected(row, kind, seed, at_most))
        elif table == "machine_checks":
            fatal = row["action"] == CheckAction.PANIC.text
            observer = rows[row["cause_seq"]]["observer"]
            yield seq, CheckSeen(time_ns, row, observer, _spot(row, kind), reasons.get(seq) if fatal else None)
        elif table == "memory_failures":
            page = (row["pfn"], sum(boot <= time_ns for boot in boots))
            check = rows[row["cause_seq"]]
            yield seq, Handled(time_ns, row, check, tuple(at_once.get(seq, ())), page in known)
            known.add(page)
        elif table == "signals" and row["timing"] == Timing.LATE.text:
            yield seq, Signalled(time_ns, row)
        elif table == "page_offlines":
            yield seq, Offlined(time_ns, row)
        elif _is_panic(table, row):
            yield seq, Panicked(time_ns, row["reason"], rows[row["cause_seq"]].get("pfn"))


def _corrected(row: Row, kind: HostKind, seed: int, at_most: int) -> Iterator[Corrected]:
    place = kind.place(slot_of_fault(row["fault_id"]))
    known, unknown = Spot(place.controller, place), Spot(place.controller, None)
    for time_ns, errors, slot, pfn in corrected_records(row, seed, at_most):
        yield Corrected(time_ns, errors, unknown if slot is None else known, pfn)


def _is_panic(table: str, row: Row) -> bool:
    return table == "lifecycle" and bool(row["kind"] == LifecycleKind.PANIC.text)


def _spot(row: Row, kind: HostKind) -> Spot | None:
    """Return where a machine check of a memory controller is; without a page, the DIMM is unknown, too."""
    channel = kind.channel_of_bank(row["bank"])
    if channel is None:
        return None
    return Spot(channel[0], None if row["pfn"] is None else kind.place(slot_of_fault(row["fault_id"])))
