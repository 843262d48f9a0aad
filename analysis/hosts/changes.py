"""Everything that changes what a host shows, in order of time: errors that it counts, pages it loses, boots.

**Models.** Counters of the EDAC core count what reaches the operating system: corrected errors by record, uncorrected
ones that the memory controller reports unless the machine check ends in a panic. A boot sets all of them to zero.

**Leaves out.** Errors that the firmware tells of after a panic (BERT).

**Sources.** Linux: drivers/edac/edac_mc.c (``edac_raw_mc_handle_error``: what is not corrected is uncorrected),
skx_common.c (only machine checks of memory controllers are decoded).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from analysis.hosts.corrected import corrected_records
from analysis.hosts.kinds import HostKind
from analysis.hosts.lives import Life, Row
from analysis.hosts.poisoned import is_counted, poisoned_pages
from node_sim.codes import UP_KINDS, CheckAction, ErrorKind, LifecycleKind
from node_sim.names import slot_of_fault
from node_sim.units import PAGE_BYTES, PAGES_PER_GIGANTIC_PAGE, PAGES_PER_HUGE_PAGE

CORRECTED: Final = "ce"
UNCORRECTED: Final = "ue"
POISONED: Final = "pages"
HANDLED: Final = "handled"


class HostCounter(NamedTuple):
    """A counter of a host.

    Attributes:
        what: ``ce`` or ``ue`` of EDAC, ``pages`` of HardwareCorrupted, or ``handled`` by ``memory_failure()``.
        unit: Memory controller, or NUMA node of what is handled; 0 for pages.
        channel: Channel of the controller; None is unknown (``noinfo``), or not of EDAC.
        csrow: Slot of the channel; the same.
        result: What became of a handled page: ``ignored``, ``failed``, ``delayed`` or ``recovered``.
    """

    what: str
    unit: int = 0
    channel: int | None = None
    csrow: int | None = None
    result: str = ""


class CounterRise(NamedTuple):
    """A counter rises."""

    time_ns: int
    counter: HostCounter
    amount: int


class Down(NamedTuple):
    """The host goes down, and has booted at the end."""

    time_ns: int
    end_ns: int


Change = CounterRise | Down


def changes(life: Life, kind: HostKind, seed: int) -> list[Change]:
    """Return the changes of a host in order of time.

    Args:
        life: Its rows.
        kind: What it is.
        seed: Seed of the run.
    """
    found: list[Change] = list(_downs(life, kind))
    for table, row in life:
        if table == "errors" and row["kind"] == ErrorKind.CE.text:
            found += _corrected(row, kind, seed)
        elif table == "machine_checks" and row["action"] != CheckAction.PANIC.text:
            found += _uncorrected(row, kind)
        elif table == "page_offlines" and row["n_pages"]:
            found.append(CounterRise(row["time_ns"], HostCounter(POISONED), row["n_pages"]))
    found += _handled(life, kind, [one for one in found if isinstance(one, Down)])
    return sorted(found, key=lambda one: (one.time_ns, isinstance(one, Down)))


def _edac(what: str, kind: HostKind, slot: int | None, controller: int) -> HostCounter:
    """Return the EDAC counter of a DIMM slot, or of errors whose DIMM is unknown."""
    if slot is None:
        return HostCounter(what, controller)
    place = kind.place(slot)
    return HostCounter(what, place.controller, place.channel, place.csrow)


def _corrected(row: Row, kind: HostKind, seed: int) -> Iterator[CounterRise]:
    """Count the records of a row, which are all of one DIMM."""
    records = corrected_records(row, seed)
    if records:
        controller = kind.place(slot_of_fault(row["fault_id"])).controller
        counter = _edac(CORRECTED, kind, records[0].slot, controller)
        yield from (CounterRise(record.time_ns, counter, record.errors) for record in records)


def _uncorrected(row: Row, kind: HostKind) -> Iterator[CounterRise]:
    """Count a machine check of a memory controller; without a page, the DIMM is unknown, too."""
    channel = kind.channel_of_bank(row["bank"])
    if channel is not None:
        slot = None if row["pfn"] is None else slot_of_fault(row["fault_id"])
        yield CounterRise(row["time_ns"], _edac(UNCORRECTED, kind, slot, channel[0]), 1)


def _handled(life: Life, kind: HostKind, downs: list[Down]) -> Iterator[CounterRise]:
    """Count what ``memory_failure()`` did: pages by what is known of them since the boot."""
    boots, known, bad = iter(sorted(down.end_ns for down in downs)), set[int](), dict[tuple[str, int], set[int]]()
    next_boot = next(boots, None)
    for table, row in life:
        if table != "memory_failures":
            continue
        while next_boot is not None and next_boot <= row["time_ns"]:
            known.clear()
            bad.clear()
            next_boot = next(boots, None)
        pfn, huge = row["pfn"], _huge_page(row)
        of_huge = bad.setdefault(huge, set()) if huge else set[int]()
        pages = poisoned_pages(kind.rules, row, known=pfn in known, beside=bool(of_huge - {pfn}))
        known.add(pfn)
        of_huge.add(pfn)
        if huge and row["lost_bytes"] == PAGE_BYTES:
            of_huge.clear()  # it was broken up: the rest of it are ordinary pages
        if pages:
            yield CounterRise(row["time_ns"], HostCounter(POISONED), pages)
        if kind.rules.statistics and is_counted(row):
            socket = kind.place(slot_of_fault(row["fault_id"])).socket
            yield CounterRise(row["time_ns"], HostCounter(HANDLED, socket, result=row["result"].lower()), 1)


def _huge_page(row: Row) -> tuple[str, int] | None:
    """Return the hugetlb page of a row: its size and number; None is none."""
    if not row["page_use"].startswith("hugetlb"):
        return None
    size, pages = ("1G", PAGES_PER_GIGANTIC_PAGE) if "1G" in row["page_use"] else ("2M", PAGES_PER_HUGE_PAGE)
    return size, row["pfn"] // pages


def _downs(life: Life, kind: HostKind) -> Iterator[Down]:
    """Yield the times down; a cordon that no repair and no panic follows ends in a boot."""
    rows = [row for table, row in life if table == "lifecycle"]
    up = {one.text for one in UP_KINDS}
    spans = {(row["time_ns"], row["end_ns"]) for row in rows if row["kind"] not in up}
    edges = {edge for span in spans for edge in span}
    spans |= {
        (row["end_ns"], row["end_ns"] + kind.reboot_ns)
        for row in rows
        if row["kind"] == LifecycleKind.CORDON.text and row["end_ns"] not in edges
    }
    yield from (Down(*span) for span in sorted(spans))
