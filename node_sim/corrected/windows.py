"""Corrected errors of a fault: how many, in which windows, on which of its pages.

**Models.** A window in which a hard fault is active (``bursts.py``) makes a lognormal count of errors between its first
and last burst; storm polling, saturation and firmware decide how many of them are logged, and the scrubber, if there is
one, finds those of some windows. Each page of a soft fault is seen once at most (``soft_sightings.py``), and its error
is logged by the same rules: those of a fault and window count together.

**Leaves out.** Growth of a fault, temperature and load; rests between the bursts of one window.

**Assumes.** The n errors of a window hit the first K = min(n, pages) pages in the fault's order in turn, so a one-page
fault puts all of them on one page and a column fault touches each page about once. The time of the k-th of n errors is
the Beta quantile of one uniform per window, so every threshold sees the same errors; where reads of the window fail, k
and n count all its reads (``read_order.py``), so errors and failures come in one order. Firmware that reports every
m-th error counts by fault and window. Of a soft fault the first errors of a window are logged until the log is full,
and firmware names the page of every m-th.

**Sources.** Concentration and cap: the Huawei, Google and Facebook rows of ``tests/oracle/catalog/ce_process.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from node_sim.catalog.numbers import CMCI_STORMS
from node_sim.corrected.bursts import Active, active_windows, draw_bursts
from node_sim.corrected.read_order import EVEN, Gaps, LostReads, join_gaps, order_reads
from node_sim.corrected.soft_sightings import SoftSightings
from node_sim.dram.faults import FaultTable
from node_sim.draws import Purpose, Seed, unit32, unit53, words
from node_sim.elementary import exp, expm1, log1p, power
from node_sim.records import Flags, Floats, Index, Ints, take
from node_sim.server.policy import ErrorProcess, Policy
from node_sim.units import NS_PER_HOUR, NS_PER_S, hours_to_ns

_QUARTER_HOUR_NS = NS_PER_HOUR // 4


class Windows(NamedTuple):
    """Active windows, ordered by (fault, window); arrays of shape ``(n,)``.

    A hard fault has one element for each window. A soft one has one for each error, for each has a time and a page of
    its own; those of a window are ordered by (scrub, time).

    Attributes:
        fault: Index into the fault table.
        window: Number of the window since the start of the scenario.
        low_ns: Errors fall at or after this time [ns].
        high_ns: … and before this time [ns].
        errors: Logged corrected errors, >= 1.
        n_pages: Distinct pages that show them.
        u: The uniform that places the errors in the window.
        scrub: Whether the patrol scrubber is the observer.
        page: Number of the one page of a soft fault; -1 of hard ones, whose errors hit the first pages in turn.
        order: Number of the window in ``gaps``; ``EVEN`` if none of its reads is known to fail.
        gaps: Where errors stand among all reads: of these windows and others, as one list.
    """

    fault: Ints
    window: Ints
    low_ns: Ints
    high_ns: Ints
    errors: Ints
    n_pages: Ints
    u: Floats
    scrub: Flags
    page: Ints
    order: Ints
    gaps: Gaps

    @classmethod
    def even(cls, *columns: Ints | Floats | Flags) -> Windows:
        """Return windows none of whose reads fails, from their columns ``fault`` to ``page``."""
        return cls._make((*columns, np.full(columns[0].size, EVEN), Gaps.none()))

    @property
    def soft(self) -> Flags:
        """Which are single errors of soft faults."""
        found: Flags = self.page >= 0
        return found

    def take(self, index: Index) -> Windows:
        """Select some windows; the list of gaps stays as it is."""
        if isinstance(index, np.ndarray) and index.dtype == np.bool_:
            index = np.flatnonzero(index)  # once, not for every column
        return Windows._make((*(column[index] for column in self[:-1]), self.gaps))


def join_windows(parts: Sequence[Windows]) -> Windows:
    """Put windows one behind the other."""
    gaps, orders = Gaps.none(), []
    for part in parts:
        orders.append(np.where(part.order >= 0, part.order + gaps.n_windows, EVEN))
        gaps = join_gaps(gaps, part.gaps)
    columns = zip(*(part._replace(order=order)[:-1] for part, order in zip(parts, orders, strict=True)), strict=True)
    return Windows._make((*map(np.concatenate, columns), gaps))


def page_of_error(windows: Windows, which: Ints, k: Ints) -> Ints:
    """Return on which page of its fault the k-th error (1 … errors) of windows is, by number in the order."""
    page = windows.page[which]
    return np.where(page >= 0, page, (k - 1) % windows.n_pages[which])


def error_time_ns(windows: Windows, k: Ints) -> Ints:
    """Return the time of the k-th error (1 … errors) of each window [ns]: that of its read, where reads fail."""
    return _times_ns(_Places.of(windows), windows.gaps, k)


class _Places(NamedTuple):
    """What places errors in windows; columns of ``Windows``."""

    low_ns: Ints
    high_ns: Ints
    errors: Ints
    u: Floats
    order: Ints

    @classmethod
    def of(cls, windows: Windows) -> _Places:
        """Return those of windows."""
        return cls(windows.low_ns, windows.high_ns, windows.errors, windows.u, windows.order)

    def take(self, index: Index) -> _Places:
        """Select some windows."""
        return take(self, index)


def _times_ns(places: _Places, gaps: Gaps, k: Ints) -> Ints:
    """Return the time of the k-th error of each window [ns].

    Source:
        Order statistics of n uniform times: the k-th is Beta(k, n - k + 1).
    """
    n, u = places.errors, places.u
    ordered = np.flatnonzero(places.order >= 0)
    if ordered.size:
        k, n = k.copy(), n.copy()
        k[ordered], n[ordered] = gaps.places(places.order[ordered], k[ordered])
    share = np.empty(n.size)
    last, inner = k == n, (k > 1) & (k < n)
    # Each error by its own law only: powers and logarithms are most of the work.
    some = np.flatnonzero(last)
    share[some] = power(u[some], 1.0 / n[some])
    some = np.flatnonzero(inner)
    if some.size:
        share[some] = special.betaincinv(k[some], n[some] - k[some] + 1, u[some])
    some = np.flatnonzero(~(last | inner))
    share[some] = -expm1(log1p(-u[some]) / n[some])
    return places.low_ns + (share * (places.high_ns - places.low_ns)).astype(np.int64)


def errors_before(windows: Windows, time_ns: Ints) -> Ints:
    """Count the errors of each window that come before a time: a search on ``error_time_ns``, wider from turn to turn.

    It begins at the normal approximation, corrected for skewness, of the quantile of the binomial count, and halves
    what is left where a step leads out of it.

    Source:
        Fewer than k of n uniform times come before x where the Beta quantile of the k-th is above x.
    """
    low, high = np.zeros_like(windows.errors), windows.errors.copy()
    middle, step = np.clip(_usually_before(windows, time_ns), 1, high), 1
    open_ = np.flatnonzero(low < high)
    places = _Places.of(windows).take(open_)
    least, most, middle, time_ns = low[open_], high[open_], middle[open_], time_ns[open_]
    while open_.size:
        outside = (middle <= least) | (middle > most)
        middle = np.where(outside, (least + most + 1) // 2, middle)
        before = _times_ns(places, windows.gaps, middle) < time_ns
        least, most = np.where(before, middle, least), np.where(before, most, middle - 1)
        low[open_] = least
        left = np.flatnonzero(least < most)
        middle = np.where(before, middle + step, middle - step)[left]
        open_, places, least, most, time_ns = open_[left], places.take(left), least[left], most[left], time_ns[left]
        step *= 2
    return low


def _usually_before(windows: Windows, time_ns: Ints) -> Ints:
    """Guess how many errors of windows come before a time."""
    n, low_ns = windows.errors, windows.low_ns
    x = np.clip((time_ns - low_ns) / (windows.high_ns - low_ns), 0.0, 1.0)
    z = -special.ndtri(windows.u)
    guess: Floats = n * x + z * np.sqrt(n * x * (1.0 - x)) + (1.0 - 2.0 * x) * (z * z - 1.0) / 6.0
    return np.rint(guess).astype(np.int64)


def accepted(errors: Floats, active_ns: Ints, process: ErrorProcess) -> Ints:
    """Return how many of the errors of active windows storms and the log leave to be counted by firmware.

    Args:
        errors: Errors of each window, shape ``(n,)``.
        active_ns: How long bursts lasted in it [ns], > 0.
        process: Rules of kernel, firmware and log.

    Source:
        CMCI storms: arch/x86/kernel/cpu/mce/intel.c and threshold.c; saturation:
        ``tests/oracle/catalog/ce_process.csv``.
    """
    if process.storm != "none":
        rate_per_s, poll_s = CMCI_STORMS[process.storm].value
        active_s = active_ns / NS_PER_S
        polled = np.minimum(errors, 1.0 + active_s / poll_s)
        errors = np.where(errors > np.maximum(rate_per_s * active_s, 1.0), polled, errors)
    cap = process.saturation(-(-active_ns // _QUARTER_HOUR_NS))
    return np.minimum(errors, cap).astype(np.int64)


def logged(errors: Floats, active_ns: Ints, process: ErrorProcess) -> Ints:
    """Return how many of the errors of active windows are logged; arguments as of ``accepted``."""
    return accepted(errors, active_ns, process) // process.firmware_threshold


class Reads(NamedTuple):
    """Erroneous reads of hard faults by active window, ordered by (fault, window); arrays of shape ``(n,)``.

    Attributes:
        active: The windows.
        wrong: Erroneous reads of each, whatever the code makes of them and whoever logs them; the whole part counts.
        u: The uniform that places them in the window.
        scrub: Whether the patrol scrubber reads.
    """

    active: Active
    wrong: Floats
    u: Floats
    scrub: Flags

    @property
    def whole(self) -> Ints:
        """Erroneous reads of each window, >= 1."""
        return self.wrong.astype(np.int64)

    def windows(self, errors: Ints, faults: FaultTable) -> Windows:
        """Return the windows with so many errors each on the pages of their faults."""
        fault, window, low_ns, high_ns, _ = self.active
        n_pages, in_turn = np.minimum(errors, faults.n_pages[fault]), np.full(fault.size, -1)
        return Windows.even(fault, window, low_ns, high_ns, errors, n_pages, self.u, self.scrub, in_turn)

    def take(self, index: Index) -> Reads:
        """Select some windows."""
        return take(self, index)


def simulate_reads(seed: Seed, faults: FaultTable, hard: Ints, policy: Policy, horizon_ns: int) -> Reads:
    """Draw how often the words of hard faults are read wrong, were nothing ever down or taken out.

    Args:
        seed: Of the run.
        faults: Faults.
        hard: Which of them, ascending.
        policy: The arm's settings.
        horizon_ns: End of simulated time [ns].
    """
    process = policy.errors
    window_ns = hours_to_ns(process.window_hours)
    active = active_windows(draw_bursts(seed, faults, hard, process, horizon_ns), window_ns, horizon_ns)
    fault, window = active.fault, active.window
    w0, w1, w2, w3 = words(seed.key(Purpose.WINDOW), faults.node_id[fault], faults.tag[fault], window)
    log_count = process.sigma_fault * faults.habit.level[fault] + process.sigma_window * special.ndtri(unit32(w2))
    median = process.median_ce_per_window * process.level.by_mode()[faults.mode[fault]]
    return Reads(
        active=active,
        wrong=1.0 + median * exp(log_count),
        u=unit53(w0, w1),
        scrub=(unit32(w3) < process.scrub_share) & (policy.detection.scrub_ns > 0),
    )


def _hard_windows(
    reads: Reads, lost: LostReads, faults: FaultTable, corrected: Flags, process: ErrorProcess
) -> tuple[Windows, Flags]:
    """Log the reads that are corrected, all but those that are lost to uncorrected ones; mark windows that show any."""
    counted = accepted(reads.wrong - lost.n_lost, reads.active.active_ns, process)
    errors = counted // process.firmware_threshold
    kept = (errors > 0) & corrected[reads.active.fault]
    order, gaps = order_reads(lost, reads.whole, counted, process.firmware_threshold, kept)
    return reads.windows(errors, faults)._replace(order=order, gaps=gaps), kept


def _soft_windows(seen: SoftSightings, process: ErrorProcess) -> Windows:
    """Log the first reads of pages of soft faults: so many of each fault and window, or every m-th of them."""
    window = seen.time_ns // hours_to_ns(process.window_hours)
    order = np.lexsort((seen.time_ns, window, seen.fault))
    seen, window = seen.take(order), window[order]
    start = np.flatnonzero((np.diff(seen.fault, prepend=-1) != 0) | (np.diff(window, prepend=-1) != 0))
    size = np.diff(start, append=window.size)
    active_ns = seen.time_ns[start + size - 1] - seen.time_ns[start] + 1
    room = np.repeat(logged(size.astype(np.float64), active_ns, process), size)
    report, part = np.divmod(np.arange(window.size) - np.repeat(start, size) + 1, process.firmware_threshold)
    kept = np.flatnonzero((part == 0) & (report <= room))
    kept = kept[np.lexsort((seen.scrub[kept], window[kept], seen.fault[kept]))]
    fault, page, time_ns, scrub = seen.take(kept)
    one = np.ones_like(fault)
    return Windows.even(fault, window[kept], time_ns, time_ns + 1, one, one, np.full(fault.size, 0.5), scrub, page)


def simulate_windows(
    faults: FaultTable, corrected: Flags, policy: Policy, reads: Reads, lost: LostReads, soft: SoftSightings
) -> Windows:
    """Draw the corrected errors of all faults that produce any, were nothing ever down or taken out.

    Args:
        faults: Faults.
        corrected: Which of them show corrected errors under the arm's code, shape ``(n_faults,)``.
        policy: The arm's settings.
        reads: Erroneous reads of the hard ones.
        lost: Those of them that are not corrected.
        soft: First reads of pages of the soft ones.
    """
    hard, kept = _hard_windows(reads, lost, faults, corrected, policy.errors)
    both = join_windows([hard, _soft_windows(soft.take(corrected[soft.fault]), policy.errors)])
    some = np.concatenate((np.flatnonzero(kept), np.arange(kept.size, both.fault.size)))
    return both.take(some[np.argsort(both.fault[some], kind="stable")])
