"""Trace events of a host, as text of ftrace.

**Models.** ``ras:mc_event``, ``mce:mce_record``, ``memory_failure_event`` (of the group of the kernel's version, where
it has one) and ``signal:signal_generate``, as ``trace_pipe`` prints them while a collector has them enabled.

**Leaves out.** What runs when an event is written: all are those of the idle task.

**Assumes.** Times are seconds since 1970, as ``trace-cmd record --date`` makes them.

**Sources.** Linux: include/ras/ras_event.h (``mc_event``, ``memory_failure_event``), include/trace/events/mce.h,
signal.h, memory-failure.h (6.19); kernel/trace/trace_output.c.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from analysis.hosts.corrected import ROWS_PER_WINDOW
from analysis.hosts.kinds import HostKind
from analysis.hosts.lives import Life, Row
from analysis.records.check_lines import PROCESSOR, PROCESSOR_INTEL
from analysis.records.clock import TimedLines
from analysis.records.collectors import COLLECTORS, COMPLETE, NO_EVENT, TRACE_TEXTS, Collector
from analysis.records.edac_lines import EdacEvent
from analysis.records.events import MEMORY_FAILURE, SIGNAL, TraceEvent, trace_events
from analysis.records.processes import comm_of, pid_of
from analysis.records.signal_codes import CODES, NUMBERS
from analysis.records.words import CheckWords

_US = 1_000_000
MCG_CAP: Final = 0xF00_0814
GROUPS: Final = ("ras:mc_event", "mce:mce_record", "signal:signal_generate")
"""Events that kernels since 3.10 have, with their groups."""
NAMES: Final = {SIGNAL: "signal_generate"}
"""Names of events that rasdaemon's tables call otherwise."""


class HostTrace(NamedTuple):
    """The trace of a host.

    Attributes:
        lines: Its lines.
        written: Events in it, by kind.
        lost: Events that the collector lost, by kind and reason.
    """

    lines: TimedLines
    written: Counter[str]
    lost: Counter[tuple[str, str]]


def header_lines(kind: HostKind) -> list[str]:
    """Return what stands at the beginning: the tracer, and the events that are enabled with their groups."""
    events = [*GROUPS, *([kind.rules.trace_event] if kind.rules.trace_event else [])]
    return ["# tracer: nop", "#", f"# events: {' '.join(events)}", "#"]


def trace_lines(
    life: Life,
    kind: HostKind,
    seed: int,
    start_us: int,
    *,
    collector: Collector = COLLECTORS[COMPLETE],
    at_most: int = ROWS_PER_WINDOW,
) -> HostTrace:
    """Return the trace events of a host as lines with their times.

    Args:
        life: Rows of the host.
        kind: What it is.
        seed: Seed of the run.
        start_us: When the time of the run is 0 [us since 1970].
        collector: Who has the events enabled.
        at_most: Records of a window of corrected errors.
    """
    found = HostTrace([], Counter(), Counter())
    for event in trace_events(life, kind, seed, collector, at_most):
        if event.kind == MEMORY_FAILURE and not kind.rules.trace_event:
            found.lost[event.kind, NO_EVENT] += 1
            continue
        if event.lost is not None:
            found.lost[event.kind, event.lost] += 1
            continue
        second, us = divmod(start_us + event.time_ns // 1000, _US)
        name = NAMES.get(event.kind, event.kind)
        line = f"          <idle>-0       [000] ..... {second}.{us:06d}: {name}: {text_of(event, kind)}"
        found.lines.append((event.time_ns, line))
        found.written[event.kind] += 1
    return found


def text_of(event: TraceEvent, kind: HostKind) -> str:
    """Return the text of an event after its name."""
    what = event.what
    if isinstance(what, EdacEvent):
        return _mc_event(what)
    if isinstance(what, CheckWords):
        return _mce_record(what, kind)
    return _memory_failure(what) if event.kind == MEMORY_FAILURE else _signal(what)


def _mc_event(what: EdacEvent) -> str:
    plural = "s" if what.errors > 1 else ""
    message = f" {what.message}" if what.message else ""
    place = ":".join(str(layer) for layer in what.layers)
    detail = f" {what.detail}" if what.detail else ""
    where = f"mc:{what.controller} location:{place} address:0x{what.address:08x} grain:{what.grain}"
    return f"{what.errors} {what.kind} error{plural}:{message} on {what.label} ({where} syndrome:0x{0:08x}{detail})"


def _mce_record(what: CheckWords, kind: HostKind) -> str:
    word = what.word
    processor = PROCESSOR.get(kind.reporting, PROCESSOR_INTEL)
    registers = f"IPID: {0:016x}, ADDR: {what.address:016x}, MISC: {word.misc:016x}, SYND: {0:016x}"
    return (
        f"CPU: {what.socket}, MCGc/s: {MCG_CAP:x}/{word.mcgstatus:x}, MC{what.bank}: {word.status:016x}, {registers}, "
        f"RIP: 00:<{0:016x}>, TSC: 0, PROCESSOR: {processor}, TIME: 0, SOCKET: {what.socket}, APIC: {what.socket:x}"
    )


def _memory_failure(row: Row) -> str:
    page_type = TRACE_TEXTS.get(row["page_type"], row["page_type"])
    return f"pfn {row['pfn']:#x}: recovery action for {page_type}: {row['result']}"


def _signal(row: Row) -> str:
    number, code = NUMBERS[row["signal"]], CODES[row["code"]]
    return f"sig={number} errno=0 code={code} comm={comm_of(row)} pid={pid_of(row)} grp=0 res=0"
