"""The registry of headline metrics: what is counted per node, how, and under which names it is shown.

Tally, exporter, summary, comparison and their tests read it. The few metrics that no count of rows gives are computed
by name in ``counting.py``; ratios of metrics are those of ``analysis/estimators/rates.py``. Every metric has a paired
effect and a JSON key.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from node_sim.codes import Code, ErrorKind, Fate, LifecycleKind, OfflineResult, PageType, Result, SignalName, Timing

ALL_RESULTS: Final = ("mf_ignored", "mf_failed", "mf_delayed", "mf_recovered")
KILLS: Final = ("kills_early_ao", "kills_late_ar", "kills_direct_ar", "kills_sigkill")


class Count(NamedTuple):
    """Rows of a table that are counted, or whose cells are added up.

    Attributes:
        table: Table.
        where: Codes that enumeration columns must have.
        unless: Codes that they must not have.
        weight: Column that is added up; None counts rows.
    """

    table: str
    where: tuple[tuple[str, Code], ...] = ()
    weight: str | None = None
    unless: tuple[tuple[str, Code], ...] = ()


class Family(NamedTuple):
    """Metrics that the exporter shows as one counter.

    Attributes:
        help: What it counts.
        label: Label that tells its metrics apart, beside arm and group; empty if it has one metric.
    """

    help: str
    label: str = ""


FAMILIES: Final = {
    "kills": Family("Processes killed by a signal for bad memory, by cause.", "cause"),
    "memory_failures": Family("Pages handled by memory_failure(), by result.", "result"),
    "errors": Family(
        "Memory errors: logged corrected errors, uncorrected and silent ones (first sight of a page per boot).", "kind"
    ),
    "faults": Family("DRAM faults."),
    "machine_checks": Family("Machine checks of uncorrected errors."),
    "losses": Family("Processes lost: killed, or gone with a panic."),
    "panics": Family("Kernel panics."),
    "io_errors": Family("I/O errors returned for lost data."),
    "ue_survived": Family("UEs after which no process died, no data was lost and the node stayed up."),
    "page_offlines": Family("Attempts to soft-offline a page.", "result"),
    "ecs_reports": Family("Passes of error check and scrub whose count reaches the threshold."),
    "dimm_replacements": Family("DIMMs replaced."),
    "cordons": Family("Nodes cordoned."),
    "node_years": Family("Node-years simulated, without time down."),
    "memory_lost_byte_years": Family("Memory out of use, integrated over simulated time."),
    "pool_lost_byte_years": Family(
        "Huge pages that pools have lost, broken up or kept, integrated over simulated time."
    ),
}
"""Counters of the exporter by name, without prefix and suffix, in the order of its output."""


class Metric(NamedTuple):
    """A number per node that adds up over nodes.

    Attributes:
        key: Name in tallies, effects and rates.
        path: Where it stands in the JSON document of an arm; a total names the section of its parts.
        family: Counter of the exporter; empty for a total, which is the sum over the label.
        value: Value of the family's label.
        counts: Rows it counts; none for a total, and for what ``counting.py`` computes by name.
        parts: Metrics it is the total of.
        unit: "1" for counts.
        title: Name in the terminal's tables of rates and effects; empty if it is shown in neither.
    """

    key: str
    path: tuple[str, ...]
    family: str = ""
    value: str = ""
    counts: tuple[Count, ...] = ()
    parts: tuple[str, ...] = ()
    unit: str = "1"
    title: str = ""


def _killed(signal: SignalName, *timing: tuple[str, Code]) -> tuple[Count, ...]:
    return (Count("signals", (("fate", Fate.KILLED), ("signal", signal), *timing)),)


def _handled(result: Result) -> Metric:
    """Count action lines as the kernel's own counters do, which leave out pages that were poisoned before (6.12.48)."""
    name = result.text.lower()
    again = (("page_type", PageType.ALREADY_POISONED),)
    counts = (Count("memory_failures", (("result", result),), unless=again),)
    return Metric(f"mf_{name}", ("memory_failures", name), "memory_failures", name, counts)


def _kill(cause: str, title: str, counts: tuple[Count, ...]) -> Metric:
    return Metric(f"kills_{cause}", ("kills", cause), "kills", cause, counts, title=title)


def _rows(key: str, count: Count, family: str = "", value: str = "", title: str = "") -> Metric:
    return Metric(key, (key,), family or key, value, (count,), title=title)


REGISTRY: Final = (
    Metric("node_years", ("node_years",), "node_years", unit="node-year"),
    _rows("faults", Count("faults")),
    _rows("ce", Count("errors", weight="ce_count"), "errors", "ce"),
    _rows("ue", Count("errors", (("kind", ErrorKind.UE),)), "errors", "ue", "UEs"),
    _rows("sdc", Count("errors", (("kind", ErrorKind.SDC),)), "errors", "sdc", "silent corruptions"),
    _rows("machine_checks", Count("machine_checks")),
    *(_handled(result) for result in (Result.IGNORED, Result.FAILED, Result.DELAYED, Result.RECOVERED)),
    _kill("early_ao", "early AO", _killed(SignalName.SIGBUS, ("timing", Timing.EARLY))),
    _kill("late_ar", "late AR", _killed(SignalName.SIGBUS, ("timing", Timing.LATE))),
    _kill("direct_ar", "direct AR", _killed(SignalName.SIGBUS, ("timing", Timing.DIRECT))),
    _kill("sigkill", "SIGKILL", _killed(SignalName.SIGKILL)),
    Metric(
        "losses",
        ("losses",),
        "losses",
        counts=(
            Count("signals", (("fate", Fate.KILLED),)),
            Count("lifecycle", (("kind", LifecycleKind.PANIC),), "processes_lost"),
        ),
        title="losses",
    ),
    _rows("panics", Count("lifecycle", (("kind", LifecycleKind.PANIC),)), title="panics"),
    _rows("io_errors", Count("io_errors"), title="I/O errors (EIO)"),
    Metric("ue_survived", ("ue_survived",), "ue_survived"),
    _rows("pages_offlined", Count("page_offlines", weight="n_pages"), "page_offlines", "offlined", "pages offlined"),
    _rows(
        "pages_not_offlined",
        Count("page_offlines", unless=(("result", OfflineResult.OFFLINED),)),
        "page_offlines",
        "failed",
    ),
    _rows("ecs_reports", Count("ecs_reports")),
    _rows("cordons", Count("lifecycle", (("kind", LifecycleKind.CORDON),))),
    _rows(
        "dimm_replacements",
        Count("lifecycle", (("kind", LifecycleKind.DIMM_REPLACEMENT),)),
        title="DIMMs replaced",
    ),
    Metric("memory_lost_byte_years", ("memory_lost_byte_years",), "memory_lost_byte_years", unit="byte-year"),
    Metric("pool_lost_byte_years", ("pool_lost_byte_years",), "pool_lost_byte_years", unit="byte-year"),
    Metric("kills", ("kills",), parts=KILLS, title="kills"),
)
"""All metrics; those that are no total in the order in which tallies store them."""

BY_KEY: Final = {metric.key: metric for metric in REGISTRY}
METRICS: Final = tuple(metric.key for metric in REGISTRY if not metric.parts)
"""Keys of the stored metrics, in stored order."""
INDEX: Final = {key: position for position, key in enumerate(METRICS)}
POSITION: Final = {metric.key: position for position, metric in enumerate(REGISTRY)}
"""Places of all metrics, totals among them."""

EXPOSURE: Final = "node_years"
"""The metric that all others are given per."""
RATES_SHOWN: Final = ("ue", "kills", *KILLS, "losses", "panics", "io_errors", "sdc")
"""Rows of the terminal's table of rates, in order."""
EFFECTS_SHOWN: Final = (
    "kills",
    "losses",
    "panics",
    "ue",
    "sdc",
    "io_errors",
    "pages_offlined",
    "dimm_replacements",
)
"""Rows of the terminal's table of effects, in order."""
