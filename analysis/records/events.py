"""The trace events of a host: what the kernel tells those who record errors, the collector's loss of each beside it.

**Models.** ``mc_event`` of EDAC, ``mce_record``, ``memory_failure_event`` and ``signal_generate``, of which both the
text of ftrace and the database of rasdaemon are made.

**Leaves out.** Events of hosts whose firmware handles errors first other than machine checks: they have none.

**Sources.** Linux: include/ras/ras_event.h, include/trace/events/mce.h and signal.h; what rasdaemon keeps:
``collectors.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from analysis.hosts.corrected import ROWS_PER_WINDOW
from analysis.hosts.kinds import FIRMWARE_FIRST, HostKind
from analysis.hosts.lives import Life, Row
from analysis.records.collectors import (
    FIRMWARE,
    NOT_BUILT,
    OTHER_SIGNAL,
    PANIC,
    Collector,
    schema_of,
    why_no_memory_failures,
)
from analysis.records.edac_lines import EdacEvent, corrected_event, uncorrected_event
from analysis.records.moments import CheckSeen, Corrected, Handled, Moment, Signalled, Spot, moments
from analysis.records.words import CheckWords, words_of_check, words_of_corrected
from node_sim.codes import SignalName

MC_EVENT, MCE_RECORD, MEMORY_FAILURE, SIGNAL = "mc_event", "mce_record", "memory_failure_event", "signal_event"
"""Kinds of events, by the tables of rasdaemon."""
EVENTS: Final = (MC_EVENT, MCE_RECORD, MEMORY_FAILURE, SIGNAL)


class TraceEvent(NamedTuple):
    """An event.

    Attributes:
        time_ns: When.
        kind: One of ``EVENTS``.
        what: Its content: of EDAC, the words of a machine check, or a row of the run.
        lost: Why the collector does not store it; None if it does.
    """

    time_ns: int
    kind: str
    what: EdacEvent | CheckWords | Row
    lost: str | None


def trace_events(
    life: Life, kind: HostKind, seed: int, collector: Collector, at_most: int = ROWS_PER_WINDOW
) -> Iterator[TraceEvent]:
    """Yield the events of a host in order of time.

    Args:
        life: Rows of the host.
        kind: What it is.
        seed: Seed of the run.
        collector: Who records them.
        at_most: Records of a window of corrected errors.
    """
    no_pages = why_no_memory_failures(collector, kind.rules)
    no_signals = NOT_BUILT if SIGNAL not in schema_of(collector.tables) else None
    told, hidden = kind.reporting != FIRMWARE_FIRST, None
    if not told and not collector.everything:
        hidden = FIRMWARE
    made: dict[tuple[int, Spot, int | None], tuple[CheckWords, EdacEvent]] = {}  # most records are like the one before
    for moment in moments(life, kind, seed, at_most):
        if not isinstance(moment, Corrected):
            yield from _events(moment, kind, collector, no_pages, no_signals)
            continue
        if moment[1:] not in made:
            made[moment[1:]] = words_of_corrected(moment, kind), corrected_event(moment, kind)
        words, event = made[moment[1:]]
        if told:
            yield TraceEvent(moment.time_ns, MCE_RECORD, words, None)
        yield TraceEvent(moment.time_ns, MC_EVENT, event, hidden)


def _events(
    moment: Moment, kind: HostKind, collector: Collector, no_pages: str | None, no_signals: str | None
) -> Iterator[TraceEvent]:
    time_ns = moment.time_ns
    hidden = FIRMWARE if kind.reporting == FIRMWARE_FIRST and not collector.everything else None
    if isinstance(moment, CheckSeen):
        yield from _of_check(moment, kind, collector, hidden)
    elif isinstance(moment, Handled):
        if moment.row["page_type"] is not None:
            yield TraceEvent(time_ns, MEMORY_FAILURE, moment.row, no_pages)
        for row in moment.signals:
            yield TraceEvent(time_ns, SIGNAL, row, no_signals or _why_no_signal(row, collector))
    elif isinstance(moment, Signalled):
        yield TraceEvent(time_ns, SIGNAL, moment.row, no_signals or _why_no_signal(moment.row, collector))


def _of_check(moment: CheckSeen, kind: HostKind, collector: Collector, hidden: str | None) -> Iterator[TraceEvent]:
    gone = PANIC if moment.reason is not None and not collector.everything else None
    words = words_of_check(moment, kind)
    if words is not None:
        yield TraceEvent(moment.time_ns, MCE_RECORD, words, gone)
    event = uncorrected_event(moment, kind)
    if event is not None:
        yield TraceEvent(moment.time_ns, MC_EVENT, event, gone or hidden)


def _why_no_signal(row: Row, collector: Collector) -> str | None:
    kept = collector.everything or row["signal"] == SignalName.SIGBUS.text
    return None if kept else OTHER_SIGNAL
