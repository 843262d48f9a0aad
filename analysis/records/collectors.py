"""What collectors record, and what they lose.

**Models.** Three collectors. ``complete`` is none that exists: it records all that happened. The others are rasdaemon
with the kernel's log on a disk of the host: what the firmware keeps to itself reaches neither, and nothing of a panic
is written before the machine is gone.

**Leaves out.** Records that a daemon loses while it is not running, logs that are rotated away.

**Assumes.** Distribution kernels number page types as the release of their name does.

**Sources.** rasdaemon v0.8.5 and v0.6.8 (ras-record.c, ras-events.c, ras-memory-failure-handler.c,
ras-signal-handler.c: SIGBUS with a code from 3 on); the binary of Debian 12 (built without memory failures, devlink,
Arm and disk errors). The tables of ``rasdaemon_tables.csv`` are those of these releases; ``rasdaemon_page_types.csv``
has, for ranges of kernels, which text each release stores for a page type, from the texts of its handler.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from node_sim.catalog.profile import Profile
from node_sim.errors import ConfigError
from node_sim.guesses import one_of

COMPLETE: Final = "complete"


class Collector(NamedTuple):
    """A collector.

    Attributes:
        name: Its name.
        tables: Version in ``rasdaemon_tables.csv`` whose tables its database has.
        texts: Column of ``rasdaemon_page_types.csv`` with the texts that it stores; empty is as the kernel means.
        everything: It records what reaches no daemon, too.
    """

    name: str
    tables: str
    texts: str = ""
    everything: bool = False


COLLECTORS: Final = {
    COMPLETE: Collector(COMPLETE, "0.8.5", everything=True),
    "rasdaemon-0.8.5": Collector("rasdaemon-0.8.5", "0.8.5", "stored_by_0.8.1_to_0.8.5"),
    "rasdaemon-0.6.8-debian12": Collector("rasdaemon-0.6.8-debian12", "0.6.8-debian12", "stored_by_0.6.5_to_0.8.0"),
}
"""Collectors by name."""
FIRMWARE: Final = "kept by the firmware, which handles errors first"
PANIC: Final = "of a panic: the machine was gone before they were written"
NO_EVENT: Final = "the kernel has no trace event for them (before 4.2)"
MOVED: Final = "the kernel's trace event is of a group that the collector does not know (since 6.19)"
NOT_BUILT: Final = "the collector is built without a table for them"
OTHER_SIGNAL: Final = "signals other than SIGBUS"
OTHER_TEXT: Final = "stored, but with the text of another page type"
LOST: Final = (FIRMWARE, PANIC, NO_EVENT, MOVED, NOT_BUILT, OTHER_SIGNAL, OTHER_TEXT)
"""Reasons for which records are lost or wrong, in the order in which they are told."""
_RANGES: Final = {"4.18": "4.18", "5.10": "5.10-5.16", "6.1": "6.0-6.10", "6.12": "6.11-6.18", "7.1": "6.19+"}
"""Range of kernels in ``rasdaemon_page_types.csv`` of each profile that has the trace event."""
TRACE_TEXTS: Final = {"already poisoned page": "already poisoned"}
"""Page types that the trace event calls otherwise than the log does (6.17)."""
RasdaemonTables = dict[str, dict[str, str]]
"""Type of each column, by table."""


def collector_of(name: str) -> Collector:
    """Return a collector.

    Raises:
        ConfigError: There is none of the name.
    """
    if name not in COLLECTORS:
        msg = f"--collector {name}: {one_of(name, COLLECTORS)}"
        raise ConfigError(msg)
    return COLLECTORS[name]


def _read(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((resources.files("analysis.records") / name).read_text().splitlines()))


@cache
def schema_of(version: str) -> RasdaemonTables:
    """Return the tables of a release of rasdaemon, in the order in which it makes them."""
    rows = [row for row in _read("rasdaemon_tables.csv") if row["version"] == version]
    return {row["table"]: dict(column.split(":") for column in row["columns"].split()) for row in rows}


@cache
def _texts(kernels: str, column: str) -> dict[str, str]:
    return {row["kernel_means"]: row[column] for row in _read("rasdaemon_page_types.csv") if row["kernel"] == kernels}


def stored_page_type(collector: Collector, rules: Profile, page_type: str) -> str:
    """Return the text that a collector stores for a page type of the kernel's log."""
    means = TRACE_TEXTS.get(page_type, page_type)
    if not collector.texts or rules.name not in _RANGES:
        return means
    return _texts(_RANGES[rules.name], collector.texts).get(means, means)


def why_no_memory_failures(collector: Collector, rules: Profile) -> str | None:
    """Return why a collector stores no handled pages of a kernel; None if it does."""
    if collector.everything:
        return None
    if "memory_failure_event" not in schema_of(collector.tables):
        return NOT_BUILT
    if not rules.trace_event:
        return NO_EVENT
    return None if rules.trace_event.startswith("ras:") else MOVED
