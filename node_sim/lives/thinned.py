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
from node_sim.lives.kernel_answers import Answers, ask_kernel
from node_sim.lives.known import Known
from node_sim.memory.pages import HUGE_PAGES
from node_sim.orders import OFFLINES, RecordArray
from node_sim.records import Ints, join
from node_sim.units import FOREVER


class Thinned:
    """Records of one lane without the errors of pages that have been taken offline since it was run.

    Attributes:
        errors: ``ERRORS`` known so far.
        of: Element of ``Known.errors`` that each is of.
    """

    def __init__(self, known: Known, lane: int, first: int, end: int) -> None:
        """Start with the records ``first`` to ``end`` of a lane, from which nothing is missing yet."""
        self.known, self.lane = known, lane
        self.errors, self.of = known.errors[first:end], np.arange(first, end)
        frames, marked = known.state.frames, known.poisoned
        self.listed = frames.pfn[frames.lane == lane]
        self.poisoned = marked.take(marked.lane == lane)
        self.places = np.flatnonzero(known.eras.lane == lane)
        self.numbers: dict[int, list[tuple[int, int]]] = {}
        """Pages offline by number in each fault, and since when [ns]."""
        self.missing: dict[tuple[int, ...], int] = {}
        """Errors missing so far of each window of an era."""

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

    def _matters(self, answers: Answers, pfn: Ints) -> bool:
        """Whether uncorrected errors can come on pages that go offline, or in the huge pages they are part of."""
        sizes = np.where(answers.gone, HUGE_PAGES[answers.kind], 1)
        return any(
            bool(np.isin(pfn[answers.gone & (sizes == size)] // size, self.listed // size).any())
            for size in np.unique(sizes).tolist()
        )

    def _number(self, pfn: Ints, now_ns: int) -> None:
        """Note under which numbers the faults of the lane know pages."""
        eras, store = self.known.eras, self.known.store
        mine = self.places
        here = np.unique(eras.fault[mine[(eras.from_ns[mine] <= now_ns) & (eras.to_ns[mine] > now_ns)]])
        fault, asked = np.repeat(here, pfn.size), np.tile(pfn, here.size)
        which, number = store.faults.numbers(self.known.state.world.address_map, fault, asked)
        for of, page in zip(fault[which].tolist(), number.tolist(), strict=True):
            self.numbers.setdefault(of, []).append((page, now_ns))

    def add(self, first: int, end: int) -> RecordArray:
        """Add the records ``first`` to ``end`` of all lanes, all of this one; return what is left of them."""
        fresh = [(which, row) for which in range(first, end) if (row := self._left_of(which)) is not None]
        rows = np.concatenate([row for _, row in fresh]) if fresh else self.errors[:0]
        self.errors = np.concatenate((self.errors, rows))
        self.of = np.concatenate((self.of, np.asarray([which for which, _ in fresh], np.int64)))
        return rows

    def _gone(self, which: int) -> Ints:
        """Return the numbers of the pages of a record's fault that are offline when its errors come."""
        known = self.known
        from_ns = known.eras.from_ns[known.spans.era[known.parts.span[which]]]
        entries = self.numbers.get(int(known.fault[which]), ())
        last_ns = known.parts.first_ns[which]
        return np.asarray([page for page, since_ns in entries if from_ns <= since_ns <= last_ns], np.int64)

    def _left_of(self, which: int) -> RecordArray | None:
        """Return what is left of a record, nothing if no error is."""
        known, span = self.known, int(self.known.parts.span[which])
        era, window = int(known.spans.era[span]), int(known.spans.window[span])
        windows, row = known.store.windows, known.errors[which : which + 1]
        soft, scrub = windows.page[window] >= 0, bool(windows.scrub[window])
        name = (era, int(windows.window[window]), int(scrub)) if soft else (span,)
        gone = self._gone(which)
        before = self.missing.get(name, 0)
        if scrub or not (gone.size or before):
            return row
        part = known.parts.take(slice(which, which + 1))
        turn = windows.n_pages[window]
        if soft:
            missing = (gone == windows.page[window]).astype(np.int64)
        else:
            gone = gone[gone < turn]
            missing = (part.last - gone - 1 + turn) // turn - (part.after - gone - 1 + turn) // turn
        total = int(missing.sum())
        self.missing[name] = before + total
        row = row.copy()
        row["count"] -= total
        row["in_window"] -= before + total
        row["n_pages"] -= np.count_nonzero(missing)
        if not row["count"][0]:
            return None
        if total and not soft and np.isin((part.first_page[0], (part.last[0] - 1) % turn), gone).any():
            self._mend_ends(which, row, gone)
        return row

    def _mend_ends(self, which: int, row: RecordArray, gone: Ints) -> None:
        """Let a record begin and end with errors of pages that are not offline."""
        known, part = self.known, self.known.parts.take(slice(which, which + 1))
        seen = go_through(known.spans, part.span, known.store.index, known.counted)
        left = (seen.number > part.after[0]) & (seen.number <= part.last[0]) & ~np.isin(seen.page, gone)
        ends = np.flatnonzero(left)[[0, -1]]
        windows = known.store.windows.take(np.repeat(known.spans.window[part.span], 2))
        row["first_ns"], row["last_ns"] = error_time_ns(windows, seen.number[ends])
        for name, cell in known.place(which, int(seen.page[ends[0]])).items():
            row[name] = cell

    def pages(self, position: int) -> RecordArray:
        """Return the pages of an element of ``errors``."""
        which = int(self.of[position])
        gone = self._gone(which)
        return self.known.pages(which, None if self.known.store.windows.scrub[self._window(which)] else gone)

    def _window(self, which: int) -> int:
        """Return the window of a record."""
        return int(self.known.spans.window[self.known.parts.span[which]])
