"""The kernel's log of a host, as ``journalctl -o short-iso-precise`` shows it.

**Models.** EDAC's lines about corrected and uncorrected errors, records of machine checks, the lines of
``memory_failure()`` and of soft offline, kills, panics and the first line of a boot, in the wording of the kernel of
the host; records of the firmware where it handles errors first. ``Machine check events logged`` is rate-limited as the
kernel does it.

**Leaves out.** All other lines of a kernel, debug lines of EDAC drivers, registers and instruction pointers, the
coordinates (rank, bank, row) of EDAC's drivers, wordings of machine-check records before 3.5.

**Assumes.** The driver is skx_edac or its kind on Intel, amd64_edac on AMD; ghes_edac is not loaded (it is for few
platforms on x86). An error's page is all that is known of its address.

**Sources.** Linux: drivers/edac/edac_mc.c (``edac_ce_error``, ``edac_ue_error``, ``edac_raw_mc_handle_error``),
skx_common.c, arch/x86/kernel/cpu/mce/core.c (``__print_mce``, ``mce_panic``, ``mce_notify_irq``), lib/ratelimit.c,
drivers/firmware/efi/cper.c, drivers/acpi/apei/ghes.c, drivers/ras/cec.c; recorded lines in ``fleet/recordings``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from analysis.hosts.corrected import ROWS_PER_WINDOW
from analysis.hosts.kinds import FIRMWARE_FIRST, HostKind
from analysis.hosts.lives import Life
from analysis.records import check_lines, edac_lines
from analysis.records.clock import TimedLines, WallClock
from analysis.records.collectors import COLLECTORS, COMPLETE, FIRMWARE, PANIC, Collector
from analysis.records.handled_lines import handled_lines
from analysis.records.moments import (
    Booted,
    CheckSeen,
    Corrected,
    Handled,
    Moment,
    Offlined,
    Panicked,
    Signalled,
    moments,
)
from analysis.records.offline_lines import offline_lines
from analysis.records.processes import address_of, task_of
from node_sim.hwpoison.access import late_kill_line

LOGGED_EVERY_NS: Final = 60_000_000_000
LOGGED_AT_ONCE: Final = 2
"""Rate limit of "Machine check events logged": as often in a minute."""


KINDS: Final[dict[type[Moment], str]] = {
    Booted: "boots",
    Corrected: "corrected errors",
    CheckSeen: "machine checks",
    Handled: "handled pages, and their signals",
    Signalled: "later kills",
    Offlined: "soft offlines",
    Panicked: "panics",
}
"""What lines tell of."""


class _Limited:
    """A line that is printed a few times in an interval; how many were not is said when the next interval begins."""

    def __init__(self, text: str, function: str) -> None:
        self.text, self.function = text, function
        self.begin_ns, self.printed, self.missed = -LOGGED_EVERY_NS - 1, 0, 0

    def lines(self, now_ns: int) -> Iterator[str]:
        """Yield what is printed if it is to be printed now."""
        if now_ns - self.begin_ns > LOGGED_EVERY_NS:
            if self.missed:
                yield f"{self.function}: {self.missed} callbacks suppressed"
            self.begin_ns, self.printed, self.missed = now_ns, 0, 0
        if self.printed < LOGGED_AT_ONCE:
            self.printed += 1
            yield self.text
        else:
            self.missed += 1


class HostLog(NamedTuple):
    """A log of a host.

    Attributes:
        lines: Its lines.
        written: Lines by what they tell of.
        lost: What the disk of the host does not have, by what it is and the reason; of several lines each.
    """

    lines: TimedLines
    written: Counter[str]
    lost: Counter[tuple[str, str]]


def log_lines(
    life: Life,
    name: str,
    kind: HostKind,
    seed: int,
    start_us: int,
    *,
    collector: Collector = COLLECTORS[COMPLETE],
    at_most: int = ROWS_PER_WINDOW,
) -> HostLog:
    """Return the kernel's log of a host, with what its disk does not have.

    Args:
        life: Rows of the host.
        name: Its name.
        kind: What it is.
        seed: Seed of the run.
        start_us: When the time of the run is 0 [us since 1970].
        collector: What the host records with.
        at_most: Records of a window of corrected errors.
    """
    found = HostLog([], Counter(), Counter())
    clock, end = WallClock(start_us), f"+00:00 {name} kernel:"
    texts = _texts_of(kind)
    for moment in moments(life, kind, seed, at_most):
        if not collector.everything and (reason := lost_reason(moment, kind)):
            found.lost[KINDS[type(moment)], reason] += 1
            continue
        if isinstance(moment, Booted):
            texts = _texts_of(kind)
        us = clock.us(moment.time_ns)
        begin = f"{clock.text(us, 'T')}.{us % 1_000_000:06d}{end}"
        new = [(moment.time_ns, f"{begin} {text}") for text in texts[type(moment)](moment)]
        found.lines.extend(new)
        found.written[KINDS[type(moment)]] += len(new)
    return found


def lost_reason(moment: Moment, kind: HostKind) -> str | None:
    """Return why a moment does not reach the disk of a host; None if it does."""
    if isinstance(moment, Corrected) and kind.reporting == FIRMWARE_FIRST:
        return FIRMWARE
    panics = isinstance(moment, Panicked) or (isinstance(moment, CheckSeen) and moment.reason is not None)
    return PANIC if panics else None


def _texts_of(kind: HostKind) -> dict[type[Any], Callable[[Any], Iterator[str]]]:
    """Return what gives the texts of each kind of moment; limits and numbers go on from one to the next of a boot."""
    logged = _Limited(check_lines.LOGGED, "mce_notify_irq")
    numbers = iter(range(1, 1 << 62))

    made: dict[tuple[Any, ...], str] = {}  # most records are like the one before

    def corrected(moment: Corrected) -> Iterator[str]:
        if kind.reporting == FIRMWARE_FIRST:
            yield from check_lines.firmware_corrected(next(numbers), moment, kind)
            return
        yield from logged.lines(moment.time_ns)
        if moment[1:] not in made:
            made[moment[1:]] = edac_lines.corrected_line(moment, kind)
        yield made[moment[1:]]

    def checked(moment: CheckSeen) -> Iterator[str]:
        if check_lines.is_of_firmware(moment):
            yield from check_lines.firmware_checked(next(numbers), moment, kind)
            return
        if moment.reason is None:
            yield from logged.lines(moment.time_ns)
        if moment.spot is not None and kind.reporting != FIRMWARE_FIRST:
            yield edac_lines.uncorrected_line(moment, kind)
        yield from check_lines.record_lines(moment, kind)

    return {
        Corrected: corrected,
        CheckSeen: checked,
        Handled: lambda moment: handled_lines(moment, kind.rules),
        Signalled: lambda moment: iter([late_kill_line(task_of(moment.row), address_of(moment.row))]),
        Offlined: lambda moment: iter(offline_lines(moment, kind.rules)),
        Panicked: lambda moment: check_lines.panic_lines(moment, kind),
        Booted: lambda _: iter([f"Linux version {kind.kernel}"]),
    }
