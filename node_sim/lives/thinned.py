"""What is known of a lane once its policy has had pages taken offline, without running the lane again.

**Models.** A page on which no uncorrected error can come decides about nothing but its own corrected errors: those that
come after it has gone offline, up to the next boot, are missing from the records, whichever fault has them. The records
are corrected one by one as they come to be known.

**Leaves out.** Pages on which uncorrected errors can come, huge pages that have such a page, and arms that replace
DIMMs by their corrected errors: ``decisions.py`` runs these lanes again.

**Assumes.** Pages go offline at ends of epochs, so that no record is cut.

**Sources.** None.
"""

from __future__ import annotations

import numpy as np

from node_sim.corrected.live_errors import go_through
from node_sim.corrected.marks import Poisoned
from node_sim.corrected.windows import error_time_ns
from node_sim.lives.kernel_answers import KernelAnswers, ask_kernel
from node_sim.lives.known import Known
from node_sim.memory.pages import HUGE_PAGES
from node_sim.orders import OFFLINES, RecordArray
from node_sim.records import Ints, join
from node_sim.units import FOREVER


class Thinned:
    """Records of one lane without the errors of pages that have been taken offline since it was run."""

    def __init__(self, known: Known, lane: int, shown: Ints) -> None:
        """Start with the records of a lane that are known, as positions in ``Known.every``; nothing is missing yet."""
        self.known, self.lane = known, lane
        self.first, end = np.searchsorted(known.every.lane, (lane, lane + 1)).tolist()
        every, windows = known.every.take(slice(self.first, end)), known.store.windows
        span = every.parts.span
        era, window = known.spans.era[span], known.spans.window[span]
        self.rows, self.parts, self.fault = every.errors.copy(), every.parts, every.fault
        self.from_ns = known.eras.from_ns[era]
        self.turn, self.page, self.scrub = windows.n_pages[window], windows.page[window], windows.scrub[window]
        _, self.window = np.unique(  # errors of a soft fault are parts of their own, and count together
            np.stack((era, windows.window[window], self.scrub)), axis=1, return_inverse=True
        )
        self.ends_gone = np.zeros(self.rows.size, np.bool_)
        self.numbers: dict[int, list[tuple[int, int]]] = {}
        """Pages offline by number in each fault, and since when [ns]."""
        frames, marked = known.state.frames, known.poisoned
        self.listed = frames.pfn[frames.lane == lane]
        self.poisoned = marked.take(marked.lane == lane)
        self.places = np.flatnonzero(known.eras.lane == lane)
        self.shown, self.which = self.rows.copy(), np.empty(self.rows.size, np.int64)
        self.count = shown.size
        self.shown[: shown.size], self.which[: shown.size] = known.every.errors[shown], shown

    @property
    def errors(self) -> RecordArray:
        """``ERRORS`` known so far."""
        return self.shown[: self.count]

    @property
    def of(self) -> Ints:
        """Position of each in ``Known.every``."""
        return self.which[: self.count]

    def take_offline(self, pfn: Ints, now_ns: int, boot_ns: int) -> RecordArray | None:
        """Ask the kernel to take pages offline, if nothing but their corrected errors depends on it.

        Args:
            pfn: Pages, each once.
            now_ns: When [ns].
            boot_ns: When the node has booted for the last time [ns].

        Returns:
            The answers (``OFFLINES``), or nothing if more depends on it.
        """
        state = self.known.state
        entries = self.poisoned.take((self.poisoned.since_ns >= boot_ns) & (self.poisoned.since_ns <= now_ns))
        lane = np.full(pfn.size, self.lane)
        answers = ask_kernel(state, entries, lane, pfn)
        if self._matters(answers, pfn):
            return None
        gone, never = pfn[answers.gone], np.full(np.count_nonzero(answers.gone), FOREVER)
        now, one = np.full(gone.size, now_ns), np.ones(gone.size, np.int64)
        self.poisoned = join([self.poisoned, Poisoned(lane[: gone.size], gone, never, now, one)])
        self._number(gone, now_ns)
        found = np.zeros(pfn.size, OFFLINES)
        found["time_ns"], found["pfn"], found["errno"], found["offlined"] = now_ns, pfn, answers.errno, answers.gone
        return found[np.argsort(pfn)]

    def _matters(self, answers: KernelAnswers, pfn: Ints) -> bool:
        """Whether uncorrected errors can come on pages that go offline, or in the huge pages they are part of."""
        sizes = np.where(answers.gone, HUGE_PAGES[answers.kind], 1)
        return any(
            bool(np.isin(pfn[answers.gone & (sizes == size)] // size, self.listed // size).any())
            for size in np.unique(sizes).tolist()
        )

    def _number(self, pfn: Ints, now_ns: int) -> None:
        """Take the errors of pages out of all records to come, under the numbers that the faults of the lane have."""
        eras, store = self.known.eras, self.known.store
        mine = self.places
        here = np.unique(eras.fault[mine[(eras.from_ns[mine] <= now_ns) & (eras.to_ns[mine] > now_ns)]])
        fault, asked = np.repeat(here, pfn.size), np.tile(pfn, here.size)
        which, number = store.faults.numbers(self.known.state.world.address_map, fault, asked)
        for one in np.unique(fault[which]).tolist():
            pages = number[fault[which] == one]
            self.numbers.setdefault(one, []).extend((page, now_ns) for page in pages.tolist())
            self._take_out(one, pages, now_ns)

    def _take_out(self, fault: int, pages: Ints, now_ns: int) -> None:
        """Take the errors of pages of a fault out of its records to come in this boot."""
        begins = self.rows["first_ns"] >= now_ns
        some = np.flatnonzero((self.fault == fault) & begins & (self.from_ns <= now_ns) & ~self.scrub)
        columns = self.parts.after, self.parts.last, self.turn, self.page
        after, last, turn, page = (part[some, None] for part in columns)
        in_turn = np.where(pages < turn, (last - pages - 1 + turn) // turn - (after - pages - 1 + turn) // turn, 0)
        missing = np.where(page >= 0, page == pages, in_turn)
        self.rows["count"][some] -= missing.sum(axis=1)
        self.rows["n_pages"][some] -= np.count_nonzero(missing, axis=1)
        ends = np.isin(after[:, 0] % turn[:, 0], pages) | np.isin((last[:, 0] - 1) % turn[:, 0], pages)
        self.ends_gone[some] |= ends & (page[:, 0] < 0)
        order = np.argsort(self.window[some], kind="stable")
        total, window = np.cumsum(missing.sum(axis=1)[order]), self.window[some][order]
        start = np.searchsorted(window, window)
        self.rows["in_window"][some[order]] -= total - np.where(start > 0, total[start - 1], 0)

    def counts(self, end: Ints) -> list[int]:
        """Return of how many records any error is left between each of ascending ends and the one before it.

        Args:
            end: Positions in ``Known.every``, shape ``(n,)``.
        """
        left = np.concatenate(([0], np.cumsum(self.rows["count"] > 0)))
        counts: list[int] = np.diff(left[np.maximum(end - self.first, 0)], prepend=0).tolist()
        return counts

    def add(self, first: int, end: int) -> bool:
        """Add what is left of records to what is known, if it may matter; return whether any of it may.

        Args:
            first: First of them in ``Known.every``.
            end: End of them.
        """
        left = first - self.first + np.flatnonzero(self.rows["count"][first - self.first : end - self.first])
        for position in left[self.ends_gone[left]].tolist():
            self._mend_ends(position)
        left = left[self.known.matters(self.rows[left])]
        begin, self.count = self.count, self.count + left.size
        self.shown[begin : self.count], self.which[begin : self.count] = self.rows[left], self.first + left
        return bool(left.size)

    def _gone(self, position: int) -> Ints:
        """Return the numbers of the pages of a record's fault that are offline when its errors come."""
        from_ns, until_ns = self.from_ns[position], self.parts.first_ns[position]
        entries = () if self.scrub[position] else self.numbers.get(int(self.fault[position]), ())
        return np.asarray([page for page, since_ns in entries if from_ns <= since_ns <= until_ns], np.int64)

    def _mend_ends(self, position: int) -> None:
        """Let a record begin and end with errors of pages that are not offline."""
        known, which, row = self.known, self.first + position, self.rows[position]
        part = self.parts.take(slice(position, position + 1))
        seen = go_through(known.spans, part.span, known.store.index, known.counted)
        inside = (seen.number > part.after[0]) & (seen.number <= part.last[0])
        ends = np.flatnonzero(inside & ~np.isin(seen.page, self._gone(position)))[[0, -1]]
        windows = known.store.windows.take(np.repeat(known.spans.window[part.span], 2))
        row["first_ns"], row["last_ns"] = error_time_ns(windows, seen.number[ends])
        for name, cell in known.place(which, int(seen.page[ends[0]])).items():
            row[name] = cell

    def pages(self, position: int) -> RecordArray:
        """Return the pages of an element of ``errors``."""
        which = int(self.which[position])
        return self.known.pages(which, self._gone(which - self.first))
