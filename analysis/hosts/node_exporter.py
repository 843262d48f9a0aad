"""What a host shows under the names of node_exporter.

**Models.** The collectors edac, meminfo, stat (boot time), time and uname, and what a textfile collector would show of
``/sys/devices/system/node/nodeN/memory_failure`` (kernels since 6.3), which no exporter reads.

A host without an EDAC driver has no series of it, and a collector that succeeds all the same.

**Leaves out.** All other series of a host; memory that the kernel keeps for itself is part of MemTotal.

**Sources.** node_exporter 1.5 (collector/edac_linux.go) and 1.12 (series per channel, of corrected errors only, as the
kernel has no file for others).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

from analysis.hosts.changes import CORRECTED, HANDLED, POISONED, UNCORRECTED, HostCounter
from analysis.hosts.counters import HostState
from analysis.hosts.kinds import FIRMWARE_FIRST, HostKind
from node_sim.units import NS_PER_S, PAGE_BYTES

LAYOUTS: Final = ("legacy", "dimm", "none")
"""What sysfs has of DIMMs: csrow directories and dimm directories, the latter only, or no EDAC driver at all."""
COMPATIBLE: Final = ("1.5", "1.12")
"""Versions of node_exporter whose series are shown."""
WRAP: Final = 1 << 32
"""Counters of the EDAC core are 32 bits wide."""
RESULTS: Final = ("ignored", "failed", "delayed", "recovered")
FAMILIES: Final = {
    "node_boot_time_seconds": ("gauge", "Node boot time, in unixtime."),
    "node_edac_channel_correctable_errors_total": ("counter", "Total correctable memory errors for this channel."),
    "node_edac_correctable_errors_total": ("counter", "Total correctable memory errors."),
    "node_edac_csrow_correctable_errors_total": ("counter", "Total correctable memory errors for this csrow."),
    "node_edac_csrow_uncorrectable_errors_total": ("counter", "Total uncorrectable memory errors for this csrow."),
    "node_edac_uncorrectable_errors_total": ("counter", "Total uncorrectable memory errors."),
    "node_memory_HardwareCorrupted_bytes": ("gauge", "Memory information field HardwareCorrupted_bytes."),
    "node_memory_MemTotal_bytes": ("gauge", "Memory information field MemTotal_bytes."),
    "node_scrape_collector_success": ("gauge", "node_exporter: Whether a collector succeeded."),
    "node_time_seconds": ("gauge", "System time in seconds since epoch (1970)."),
    "node_uname_info": ("gauge", "Labeled system information as provided by the uname system call."),
    "hwpoison_node_memory_failures_total": ("counter", "Pages that memory_failure() handled since boot, by result."),
}
"""Type and sentence of each family, in the order in which they are shown."""


class ExporterView(NamedTuple):
    """How hosts show themselves.

    Attributes:
        start_s: When the time of the run is 0 [s since 1970].
        layout: One of ``LAYOUTS``; empty is what suits the host: none where the firmware handles errors first.
        compatible: One of ``COMPATIBLE``.
    """

    start_s: float
    layout: str = ""
    compatible: str = "1.5"

    def layout_of(self, kind: HostKind) -> str:
        """Return the layout of a host."""
        return self.layout or ("none" if kind.reporting == FIRMWARE_FIRST else "legacy")


class HostSample(NamedTuple):
    """One value of a series of a host.

    Attributes:
        family: One of ``FAMILIES``.
        labels: Pairs of name and value.
        value: The value.
    """

    family: str
    labels: tuple[tuple[str, str], ...]
    value: float


def host_samples(
    name: str, kind: HostKind, state: HostState, now_ns: int, shown: ExporterView, families: Container[str] = FAMILIES
) -> Iterator[HostSample]:
    """Yield what a host that is up shows, families together and in order; every series exists from the boot on.

    Args:
        name: Host name.
        kind: What it is.
        state: Its counters at that time.
        now_ns: Time [ns since the start].
        shown: How it shows itself.
        families: Families to show.
    """
    every = [*_system(name, kind, state, now_ns, shown), *_edac(kind, state, shown, families), *_handled(kind, state)]
    found = [one for one in every if one.family in families]
    order = {family: n for n, family in enumerate(FAMILIES)}
    yield from sorted(found, key=lambda one: (order[one.family], one.labels))


def _system(name: str, kind: HostKind, state: HostState, now_ns: int, shown: ExporterView) -> Iterator[HostSample]:
    yield HostSample("node_boot_time_seconds", (), float(int(shown.start_s + state.boot_ns / NS_PER_S)))
    yield HostSample("node_time_seconds", (), shown.start_s + now_ns / NS_PER_S)
    yield HostSample("node_memory_MemTotal_bytes", (), kind.memory_bytes)
    poisoned = state.counts[HostCounter(POISONED)] * PAGE_BYTES
    yield HostSample("node_memory_HardwareCorrupted_bytes", (), poisoned)
    yield HostSample("node_uname_info", (("nodename", name), ("release", kind.kernel)), 1)
    for collector in ("edac", "meminfo", "stat", "time", "uname"):
        yield HostSample("node_scrape_collector_success", (("collector", collector),), 1)


def edac_total(state: HostState, what: str, controller: int) -> int:
    """Return a counter of a memory controller, errors of unknown DIMMs included."""
    return sum(n for one, n in state.counts.items() if (one.what, one.unit) == (what, controller)) % WRAP


def csrow_total(state: HostState, what: str, controller: int, csrow: int | None) -> int:
    """Return a counter of a csrow, of all its channels; None are the errors of unknown DIMMs."""
    mine = (what, controller, csrow)
    return sum(n for one, n in state.counts.items() if (one.what, one.unit, one.csrow) == mine) % WRAP


def _edac(kind: HostKind, state: HostState, shown: ExporterView, families: Container[str]) -> Iterator[HostSample]:
    """Yield the counters of EDAC; sums of families that nobody wants are not taken."""
    layout = shown.layout_of(kind)
    if layout == "none":
        return
    csrows = range(kind.dimms_per_channel) if layout == "legacy" else ()
    for controller in range(kind.controllers):
        of = (("controller", str(controller)),)
        for what, word in ((CORRECTED, "correctable"), (UNCORRECTED, "uncorrectable")):
            family, by_csrow = f"node_edac_{word}_errors_total", f"node_edac_csrow_{word}_errors_total"
            if family in families:
                yield HostSample(family, of, edac_total(state, what, controller))
            for csrow in (*csrows, None) if by_csrow in families else ():
                label = ("csrow", "unknown" if csrow is None else str(csrow))
                total = csrow_total(state, what, controller, csrow)
                yield HostSample(by_csrow, (*of, label), total)
    if csrows and shown.compatible == "1.12":
        yield from _channels(kind, state)


def _dimm_label(label: str) -> str:
    """Return the label of a DIMM as node_exporter writes it: mc#0csrow#1channel#2 is mc0_csrow1_channel2."""
    return label.replace("#", "").replace("csrow", "_csrow").replace("channel", "_channel")


def _channels(kind: HostKind, state: HostState) -> Iterator[HostSample]:
    for slot in range(kind.dimms):
        place = kind.place(slot)
        labels = (
            ("channel", str(place.channel)),
            ("controller", str(place.controller)),
            ("csrow", str(place.csrow)),
            ("dimm_label", _dimm_label(place.label)),
        )
        counter = HostCounter(CORRECTED, place.controller, place.channel, place.csrow)
        yield HostSample("node_edac_channel_correctable_errors_total", labels, state.counts[counter] % WRAP)


def _handled(kind: HostKind, state: HostState) -> Iterator[HostSample]:
    if not kind.rules.statistics:
        return
    for socket in range(kind.sockets):
        for result in RESULTS:
            labels = (("node", str(socket)), ("result", result))
            yield HostSample(
                "hwpoison_node_memory_failures_total", labels, state.counts[HostCounter(HANDLED, socket, result=result)]
            )
