"""What the operating system of a node knows of its errors, epoch by epoch, as records for a policy of one's own.

**Models.** Corrected errors as they are logged: those of one fault, observer, window and epoch are one record, for they
come from one device. Whether a record may matter to the policy is asked of whole windows first, so that work is
proportional to the windows that do.

**Leaves out.** Which reads of a fault show which of its pins: a record has all of them.

**Assumes.** A record is known at the end of its epoch.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.codes import LifecycleKind
from node_sim.corrected.eras import Eras, Spans, spans_of
from node_sim.corrected.live_errors import SeenErrors, count_live, go_through
from node_sim.corrected.marked_windows import MANY
from node_sim.corrected.offlining import Counted, find_offlines
from node_sim.corrected.windows import Windows, error_time_ns, errors_before, page_of_error
from node_sim.dram.device_rows import first_lines
from node_sim.lives.physics import Store
from node_sim.lives.places import all_eras
from node_sim.lives.state import LaneState
from node_sim.orders import BOOTS, ERRORS, FAILURES, OFFLINES, PAGES, REPAIRS, Interest, RecordArray
from node_sim.records import NULL, Flags, Index, Ints, expand_counts, join, take

_PLACE = "pfn", "rank", "bank", "row", "column"
"""Columns that say where the first wrong line of a page is, in the order of ``first_lines``."""
FEW = 24
"""Errors of a window that are placed one by one; the others are counted at the ends of epochs."""


class Parts(NamedTuple):
    """Errors of spans that fall into one epoch each, in order; arrays of shape ``(n,)``.

    Attributes:
        span: The span.
        after: Number of the error of the window that comes before the first of them.
        last: Number of the last of them.
        seen: How many of these are seen.
        before: How many of the same span are seen in earlier epochs.
        n_pages: Pages that show them.
        first_page: Page of the first that is seen.
        first_ns: Time of it [ns].
        last_ns: Time of the last [ns].
    """

    span: Ints
    after: Ints
    last: Ints
    seen: Ints
    before: Ints
    n_pages: Ints
    first_page: Ints
    first_ns: Ints
    last_ns: Ints

    def take(self, index: Index) -> Parts:
        """Select some."""
        return take(self, index)


class ToldErrors(NamedTuple):
    """Errors of lanes as a policy is told of them, ordered by (lane, epoch, time); arrays of shape ``(n,)``.

    Attributes:
        parts: Which errors of the spans each is.
        lane: Lane.
        fault: Fault, index into the store.
        told_ns: End of the epoch [ns].
        errors: ``ERRORS``.
    """

    parts: Parts
    lane: Ints
    fault: Ints
    told_ns: Ints
    errors: RecordArray

    def take(self, index: Index) -> ToldErrors:
        """Select some."""
        return take(self, index)


class Known:
    """What is known of the lanes of finished lives.

    Attributes:
        every: Errors of all windows that may matter to the policy.
        index: Which of them may matter themselves.
        told: Those.
        eras: Eras of the lanes' faults.
        spans: Windows as the eras see them.
        counted: Pages out of use.
        poisoned: What is known of pages of the lanes.
        interest: What may matter to the policy (``orders.looks_at``).
    """

    def __init__(self, state: LaneState, epoch_ns: int, interest: Interest | None) -> None:
        """Look at lanes that have come to the horizon.

        Args:
            state: Of the lanes; used up.
            epoch_ns: Length of an epoch [ns].
            interest: As above.
        """
        self.state, self.store, self.interest = state, state.store, interest
        store, world = state.store, state.world
        self.eras = all_eras(state)
        self.spans = spans_of(self.eras, store.index)
        self.poisoned = join(state.poisoned)
        self.counted = find_offlines(self.eras, self.spans, store.index, store.faults, world.ground(), self.poisoned)
        whole = self._whole()
        parts = whole.take(self.matters(self._records(whole)))
        parts = split_by_epochs(parts, self.eras, self.spans, store, self.counted, epoch_ns)
        told_ns = (parts.last_ns // epoch_ns + 1) * epoch_ns
        lane = self.eras.lane[self.spans.era[parts.span]]
        order = np.lexsort((parts.last_ns, told_ns, lane))
        parts = parts.take(order)
        fault = self.eras.fault[self.spans.era[parts.span]]
        self.every = ToldErrors(parts, lane[order], fault, told_ns[order], self._records(parts))
        self.index = np.flatnonzero(self.matters(self.every.errors))
        self.told = self.every.take(self.index)

    def matters(self, errors: RecordArray) -> Flags:
        """Return which errors may matter to the policy."""
        if self.interest is None or not errors.size:
            return np.ones(errors.size, np.bool_)
        return np.asarray(self.interest(errors), np.bool_)

    def _whole(self) -> Parts:
        """Return the errors of each window that are seen as if it were one epoch."""
        spans, index = self.spans, self.store.index
        counts = count_live(self.eras, spans, index, self.counted)
        seen = np.flatnonzero(counts.errors > 0)
        windows = index.windows.take(spans.window[seen])
        first, last = counts.first[seen], counts.last[seen]
        return Parts(
            span=seen,
            after=first - 1,
            last=last,
            seen=counts.errors[seen],
            before=_seen_before(spans, seen, windows),
            n_pages=counts.n_pages[seen],
            first_page=page_of_error(windows, np.arange(seen.size), first),
            first_ns=error_time_ns(windows, first),
            last_ns=error_time_ns(windows, last),
        )

    def _records(self, parts: Parts) -> RecordArray:
        """Lay out parts as ``ERRORS``."""
        store, spans = self.store, self.spans
        fault = self.eras.fault[spans.era[parts.span]]
        faults, address_map = store.faults, self.state.world.address_map
        found = np.zeros(fault.size, ERRORS)
        nowhere = faults.on_wires[fault]
        found["first_ns"], found["last_ns"], found["count"] = parts.first_ns, parts.last_ns, parts.seen
        found["in_window"] = parts.before + parts.seen
        found["n_pages"] = np.where(nowhere, 0, parts.n_pages)
        found["dimm"] = faults.box.slot[fault]
        found["pins"] = np.where(nowhere, 0, faults.cells.pins[fault])
        found["beats"] = np.where(nowhere, 0, faults.cells.beats[fault])
        found["scrubber"] = store.windows.scrub[spans.window[parts.span]]
        lines = first_lines(faults, address_map, fault, parts.first_page)
        for name, cells in zip(_PLACE, lines, strict=True):
            found[name] = np.where(nowhere, NULL, cells)
        found["device"] = np.where(nowhere, NULL, faults.cells.device[fault])
        return found

    def place(self, which: int, page: int) -> dict[str, int]:
        """Return where the first wrong line of a page of an element's fault is, by column of ``ERRORS``.

        Args:
            which: Position in ``every``.
            page: Number of the page in the fault's order.
        """
        fault, number = self.every.fault[which : which + 1], np.asarray([page])
        lines = first_lines(self.store.faults, self.state.world.address_map, fault, number)
        return {name: int(cells[0]) for name, cells in zip(_PLACE, lines, strict=True)}

    def pages(self, which: int, gone: Ints) -> RecordArray:
        """Return the pages of one element (``PAGES``), but for some.

        Args:
            which: Position in ``every``.
            gone: Numbers of pages of its fault that are left out.
        """
        part, store, fault = self.every.parts.take(slice(which, which + 1)), self.store, self.every.fault[which]
        if store.faults.on_wires[fault]:
            return np.zeros(0, PAGES)
        seen = go_through(self.spans, part.span, store.index, self.counted)
        inside = (seen.number > part.after[0]) & (seen.number <= part.last[0]) & ~np.isin(seen.page, gone)
        page, first, count = np.unique(seen.page[inside], return_index=True, return_counts=True)
        order = np.argsort(first)
        lines = first_lines(store.faults, self.state.world.address_map, np.full(page.size, fault), page[order])
        found = np.zeros(page.size, PAGES)
        for name, cells in zip(_PLACE, lines, strict=True):
            found[name] = cells
        found["count"] = count[order]
        return found

    def failures(self) -> tuple[Ints, Ints, RecordArray]:
        """Return uncorrected errors that a log shows: their lanes, their faults, and ``FAILURES``."""
        log, box = self.state.log, self.store.faults.box
        lane, time_ns, fault, pfn = _columns(log.table("machine_checks"), ("lane", "time_ns", "fault", "pfn"))
        order = np.lexsort((time_ns, lane))
        found = np.zeros(lane.size, FAILURES)
        found["time_ns"], found["pfn"], found["dimm"] = time_ns[order], pfn[order], box.slot[fault[order]]
        return lane[order], fault[order], found

    def offlines(self) -> tuple[Ints, RecordArray]:
        """Return the answers of the kernel: their lanes, and ``OFFLINES``."""
        names = "lane", "time_ns", "pfn", "errno", "result"
        lane, time_ns, pfn, errno, result = _columns(self.state.log.table("page_offlines"), names)
        order = np.lexsort((pfn, time_ns, lane))
        found = np.zeros(lane.size, OFFLINES)
        found["time_ns"], found["pfn"], found["errno"] = time_ns[order], pfn[order], errno[order]
        found["offlined"] = result[order] == 0
        return lane[order], found

    def boots(self) -> tuple[Ints, RecordArray]:
        """Return the intervals in which lanes were down, and ``BOOTS``."""
        parts = [(np.empty(0, np.int64),) * 3, *self.state.downs]
        lane, down_ns, up_ns = (np.concatenate(cells) for cells in zip(*parts, strict=True))
        order = np.lexsort((up_ns, lane))
        found = np.zeros(lane.size, BOOTS)
        found["down_ns"], found["up_ns"] = down_ns[order], up_ns[order]
        return lane[order], found

    def repairs(self) -> tuple[Ints, RecordArray]:
        """Return the DIMMs that were replaced: their lanes, and ``REPAIRS``."""
        names = "lane", "kind", "end_ns", "dimm"
        lane, kind, end_ns, dimm = _columns(self.state.log.table("lifecycle"), names)
        mine = np.flatnonzero(kind == LifecycleKind.DIMM_REPLACEMENT)
        order = mine[np.lexsort((dimm[mine], end_ns[mine], lane[mine]))]
        found = np.zeros(order.size, REPAIRS)
        found["time_ns"], found["dimm"] = end_ns[order], dimm[order]
        return lane[order], found

    def cordons(self) -> tuple[Ints, Ints, Ints]:
        """Return the cordons: lane, begin and end [ns]."""
        lane, kind, time_ns, end_ns = _columns(self.state.log.table("lifecycle"), ("lane", "kind", "time_ns", "end_ns"))
        mine = kind == LifecycleKind.CORDON
        return lane[mine], time_ns[mine], end_ns[mine]


def _columns(table: dict[str, np.typing.NDArray[np.generic]], names: tuple[str, ...]) -> list[Ints]:
    """Return columns of a table that may be empty."""
    return [table[name].astype(np.int64) if table else np.empty(0, np.int64) for name in names]


def _seen_before(spans: Spans, some: Ints, windows: Windows) -> Ints:
    """Return how many errors of soft faults are seen in a window before each; those of hard ones are one element."""
    before = np.zeros(some.size, np.int64)
    soft = np.flatnonzero(windows.soft)
    keys = windows.low_ns[soft], windows.window[soft], windows.scrub[soft], spans.era[some[soft]]
    order = np.lexsort(keys)
    new = np.any([np.diff(key[order], prepend=-1) != 0 for key in (windows.window[soft], keys[3])], axis=0)
    new |= np.diff(windows.scrub[soft][order].astype(np.int64), prepend=-1) != 0
    place = np.arange(soft.size)
    start = np.maximum.accumulate(np.where(new, place, 0))
    before[soft[order]] = place - start
    return before


def split_by_epochs(whole: Parts, eras: Eras, spans: Spans, store: Store, counted: Counted, epoch_ns: int) -> Parts:
    """Split the errors of windows at the ends of epochs.

    Args:
        whole: The errors of windows, each as one part.
        eras: Eras of the lanes.
        spans: Windows as they see them.
        store: Faults and windows.
        counted: Pages out of use.
        epoch_ns: Length of an epoch [ns].
    """
    within = whole.first_ns // epoch_ns == whole.last_ns // epoch_ns
    rest = whole.take(~within)
    cut = counted.marks.first_out_ns(eras.lane.size)[spans.era[rest.span]] < rest.last_ns
    few = rest.last - rest.after <= FEW
    pieces = [whole.take(within)]
    for some, split in ((cut, _split_seen), (~cut & few, _split_few), (~cut & ~few, _split_many)):
        if some.any():
            pieces.append(split(rest.take(some), spans, store, counted, epoch_ns))
    return join(pieces)


def _split_few(whole: Parts, spans: Spans, store: Store, counted: Counted, epoch_ns: int) -> Parts:
    """Split windows with few errors, all of which are seen, by the times of the errors."""
    del counted
    owner, step = expand_counts(whole.last - whole.after)
    number = whole.after[owner] + 1 + step
    times = error_time_ns(store.windows.take(spans.window[whole.span[owner]]), number)
    return _group(whole, owner, number, times, spans, store, epoch_ns)


def _split_seen(whole: Parts, spans: Spans, store: Store, counted: Counted, epoch_ns: int) -> Parts:
    """Split windows some of whose errors are not seen, by the times of those that are."""
    seen: SeenErrors = go_through(spans, whole.span, store.index, counted)
    owner = np.searchsorted(whole.span, seen.span)
    times = error_time_ns(store.windows.take(spans.window[seen.span]), seen.number)
    return _group(whole, owner, seen.number, times, spans, store, epoch_ns)


def _group(whole: Parts, owner: Ints, number: Ints, times: Ints, spans: Spans, store: Store, epoch_ns: int) -> Parts:
    """Make a part of the errors of each window and epoch, given one by one in order."""
    epoch = times // epoch_ns
    new = (np.diff(owner, prepend=-1) != 0) | (np.diff(epoch, prepend=-1) != 0)
    begin = np.flatnonzero(new)
    end = np.append(begin[1:], owner.size)
    mine, window = owner[begin], spans.window[whole.span[owner]]
    page = page_of_error(store.windows, window, number)
    name = (np.cumsum(new) - 1) * MANY + page
    first = np.zeros(name.size, np.bool_)
    first[np.unique(name, return_index=True)[1]] = True
    pages = np.concatenate(([0], np.cumsum(first)))
    return Parts(
        span=whole.span[mine],
        after=number[begin] - 1,
        last=number[end - 1],
        seen=end - begin,
        before=whole.before[mine] + begin - np.searchsorted(owner, mine),
        n_pages=pages[end] - pages[begin],
        first_page=page[begin],
        first_ns=times[begin],
        last_ns=times[end - 1],
    )


def _split_many(whole: Parts, spans: Spans, store: Store, counted: Counted, epoch_ns: int) -> Parts:
    """Split windows with many errors, all of which are seen, by how many come before the ends of epochs."""
    del counted
    first_epoch = whole.first_ns // epoch_ns
    owner, step = expand_counts(whole.last_ns // epoch_ns - first_epoch + 1)
    end_ns = (first_epoch[owner] + step + 1) * epoch_ns
    windows = store.windows.take(spans.window[whole.span[owner]])
    last = np.where(end_ns > whole.last_ns[owner], whole.last[owner], 0)
    inner = np.flatnonzero(last == 0)
    last[inner] = errors_before(windows.take(inner), end_ns[inner])
    after = np.where(step == 0, whole.after[owner], np.concatenate(([0], last[:-1])))
    some = np.flatnonzero(last > after)
    owner, last, after, windows = owner[some], last[some], after[some], windows.take(some)
    return Parts(
        span=whole.span[owner],
        after=after,
        last=last,
        seen=last - after,
        before=whole.before[owner] + after - whole.after[owner],
        n_pages=np.minimum(last - after, windows.n_pages),
        first_page=page_of_error(windows, np.arange(some.size), after + 1),
        first_ns=error_time_ns(windows, after + 1),
        last_ns=error_time_ns(windows, last),
    )
