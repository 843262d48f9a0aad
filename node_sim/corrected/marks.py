"""Pages of eras that somebody else has poisoned or taken out of use: ``memory_failure()``, or counting another fault.

**Models.** A page has one state, whichever fault hits it and under whichever number that fault knows it. From its mark
on a page is poisoned; from the time it is out of use nobody but the patrol scrubber reads it. The other 4 KiB pages of
a huge page of a pool go with it, unless it has been broken up.

**Leaves out.** What else becomes of a bad page; the lives know that.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from node_sim.corrected.eras import Eras
from node_sim.dram.faults import FaultTable
from node_sim.dram.geometry import AddressMap
from node_sim.errors import ModelError
from node_sim.records import Flags, Index, Ints, R, expand_counts, join, take
from node_sim.units import FOREVER

Pairs = tuple[Ints, Ints]
"""Positions in two lists that belong together."""
_PAGE_BITS = 40
"""Numbers of pages are below 2**40, so that (era, page) fits one word."""
PAIRS_AT_ONCE: Final = 1 << 15
"""Pages compared with eras together."""
PAIRS_PER_LANE_MAX: Final = 20_000_000
"""Some 10 s of comparing."""


class Poisoned(NamedTuple):
    """Pages that ``memory_failure()`` has marked in lanes; arrays of shape ``(n,)``.

    Attributes:
        lane: Lane.
        pfn: Page.
        poisoned_ns: When it was marked [ns]; ``FOREVER`` if it was not, but a policy has had it taken offline.
        out_ns: When it went out of use [ns], ``FOREVER`` if it stays in use.
        pages: 4 KiB pages of the huge page that it is still part of, 1 if of none.
    """

    lane: Ints
    pfn: Ints
    poisoned_ns: Ints
    out_ns: Ints
    pages: Ints

    @classmethod
    def none(cls) -> Poisoned:
        """Return an empty list."""
        empty = np.empty(0, np.int64)
        return cls(empty, empty, empty, empty, empty)

    def take(self, index: Index) -> Poisoned:
        """Select some pages."""
        return take(self, index)

    @property
    def since_ns(self) -> Ints:
        """Since when anything is known of each [ns]."""
        return np.minimum(self.poisoned_ns, self.out_ns)


class Marks(NamedTuple):
    """What others have done to pages of eras, each (era, page) once, in order; ``FOREVER`` where nothing.

    Attributes:
        name: Era and number of the page in one word.
        asked_ns: When counting another fault (or another number of the page) led to asking for its offlining [ns].
        poisoned_ns: When ``memory_failure()`` marked it [ns].
        out_ns: Since when it is out of use [ns].
        neighbour_ns: When it marked another 4 KiB page of the same huge page [ns].
    """

    name: Ints
    asked_ns: Ints
    poisoned_ns: Ints
    out_ns: Ints
    neighbour_ns: Ints

    @classmethod
    def none(cls) -> Marks:
        """Return no marks."""
        return cls(*(np.empty(0, np.int64) for _ in cls._fields))

    def take(self, index: Index) -> Marks:
        """Select some marks."""
        return take(self, index)

    def touched(self, n_eras: int) -> Flags:
        """Return which eras have marked pages, shape ``(n_eras,)``."""
        found = np.zeros(n_eras, np.bool_)
        found[self.name >> _PAGE_BITS] = True
        return found

    @property
    def era(self) -> Ints:
        """Eras of the pages."""
        return self.name >> _PAGE_BITS

    @property
    def page(self) -> Ints:
        """Numbers of the pages in their eras."""
        return page_of(self.name)

    def first_of(self, era: Ints) -> Ints:
        """Return the position of the first mark of eras."""
        return np.searchsorted(self.name, name_page(era, np.zeros_like(era)))

    def in_era(self, era: Ints) -> Ints:
        """Count the marks of eras."""
        return self.first_of(era + 1) - self.first_of(era)

    def first_out_ns(self, n_eras: int) -> Ints:
        """Return since when each era has a page out of use [ns], ``FOREVER`` if it has none, shape ``(n_eras,)``."""
        found = np.full(n_eras, FOREVER)
        np.minimum.at(found, self.name >> _PAGE_BITS, self.out_ns)
        return found

    def look_up(self, era: Ints, page: Ints) -> Marks:
        """Return the marks of pages, each of shape ``(n,)``."""
        asked = name_page(era, page)
        hit, at = find_names(self.name, asked)
        found = Marks(asked, *(np.full(asked.size, FOREVER) for _ in self[1:]))
        for column, cells in zip(found[1:], self[1:], strict=True):
            column[hit] = cells[at]
        return found


def find_names(names: Ints, asked: Ints) -> tuple[Ints, Ints]:
    """Return which of some names are among others, which are ascending, and where."""
    if not names.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = np.minimum(np.searchsorted(names, asked), names.size - 1)
    hit = np.flatnonzero(names[at] == asked)
    return hit, at[hit]


def name_page(era: Ints, page: Ints) -> Ints:
    """Name pages of eras, in the order of (era, page)."""
    name: Ints = (era << _PAGE_BITS) | page
    return name


def page_of(name: Ints) -> Ints:
    """Return the numbers of named pages in their eras."""
    page: Ints = name & ((1 << _PAGE_BITS) - 1)
    return page


def merge_marks(lists: Sequence[R]) -> R:
    """Put lists of named pages together, in order; of several entries of one page the least of each column counts."""
    every = join(lists)
    every = take(every, np.argsort(every[0], kind="stable"))
    first = np.flatnonzero(np.diff(every[0], prepend=-1))
    if not first.size:
        return every
    return type(every)(every[0][first], *(np.minimum.reduceat(part, first) for part in every[1:]))


def _eras_at(eras: Eras, lane: Ints, time_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Find the eras of the boot that each time falls into; all eras of a lane that begin together are of one boot.

    Args:
        eras: Eras in any order.
        lane: Lane of each time, shape ``(n,)``.
        time_ns: The times [ns], shape ``(n,)``.

    Returns:
        The eras in an order of their own; in it, first and number of the eras of each boot asked for.
    """
    order = np.lexsort((eras.from_ns, eras.lane))
    of_lane, from_ns = eras.lane[order], eras.from_ns[order]
    begin = np.flatnonzero((np.diff(of_lane, prepend=-1) != 0) | (np.diff(from_ns, prepend=-1) != 0))
    length = np.diff(begin, append=order.size)
    asked = np.repeat([False, True], [begin.size, lane.size])
    mixed = np.lexsort((asked, np.concatenate((from_ns[begin], time_ns)), np.concatenate((of_lane[begin], lane))))
    last = np.maximum.accumulate(np.where(asked[mixed], -1, mixed))
    boot = np.empty(mixed.size, np.int64)
    boot[mixed] = last
    boot = boot[begin.size :]
    mine = np.flatnonzero(boot >= 0)
    mine = mine[of_lane[begin[boot[mine]]] == lane[mine]]
    first, size = np.zeros(lane.size, np.int64), np.zeros(lane.size, np.int64)
    first[mine], size[mine] = begin[boot[mine]], length[boot[mine]]
    return order, first, size


def eras_open(eras: Eras, lane: Ints, time_ns: Ints) -> tuple[Ints, Ints]:
    """Find the eras of each lane that contain a time: index of the time, and era."""
    order, first, size = _eras_at(eras, lane, time_ns)
    which, step = expand_counts(size)
    era = order[first[which] + step]
    open_ = time_ns[which] < eras.to_ns[era]
    return which[open_], era[open_]


def pages_in_eras(
    eras: Eras, faults: FaultTable, address_map: AddressMap, seen: tuple[Ints, Ints, Ints], unless: Ints | None
) -> tuple[Ints, Ints, Ints]:
    """Find pages in the eras of their lanes.

    Args:
        eras: Eras in any order.
        faults: All faults.
        address_map: Of the nodes.
        seen: Lane, page number and time of each page [ns], shape ``(n,)``: an era that contains the time is meant.
        unless: Era that knows the page already and need not be asked, where its fault has one number for a page.

    Returns:
        Index of the page, era, and the page's number in it.
    """
    lane, pfn, time_ns = seen
    wide = (faults.box.n_banks > 1) | (faults.box.n_ranks > 1)
    found = []
    for which, era in _pairs_open(eras, faults, lane, time_ns):
        if unless is not None:
            asked = (era != unless[which]) | wide[eras.fault[era]]
            which, era = which[asked], era[asked]  # noqa: PLW2901 - fewer of the same
        if which.size:
            pair, page = faults.numbers(address_map, eras.fault[era], pfn[which])
            found.append((which[pair], era[pair], page))
    if not found:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    pages, in_eras, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return pages, in_eras, numbers


def _pairs_open(eras: Eras, faults: FaultTable, lane: Ints, time_ns: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield what ``eras_open`` finds, some times after the other, so that few pairs are in memory at once.

    Raises:
        ModelError: One lane has too many of them.
    """
    _, _, size = _eras_at(eras, lane, time_ns)
    most = np.bincount(lane, size)
    if most.max(initial=0) > PAIRS_PER_LANE_MAX:
        node = int(faults.node_id[eras.fault[np.flatnonzero(eras.lane == most.argmax())[0]]])
        msg = (
            f"node {node}: {most.max():,.0f} times a page that goes offline may be one of another fault, expected at "
            f"most {PAIRS_PER_LANE_MAX:,}; raise page_offline.ce_threshold, or lower years or the rates"
        )
        raise ModelError(msg)
    cuts = np.flatnonzero(np.diff(np.cumsum(size) // PAIRS_AT_ONCE)) + 1
    for first, end in zip([0, *cuts.tolist()], [*cuts.tolist(), lane.size], strict=True):
        which, era = eras_open(eras, lane[first:end], time_ns[first:end])
        yield which + first, era


def marks_of_poisoned(
    eras: Eras, faults: FaultTable, address_map: AddressMap, poisoned: Poisoned, shown: Ints
) -> Marks:
    """Return the marks that ``memory_failure()`` has left on pages of eras.

    Args:
        eras: All eras of some lanes.
        faults: All faults.
        address_map: Of the nodes.
        poisoned: The pages it has marked.
        shown: Pages that each fault shows errors on, shape ``(n_faults,)``.
    """
    if not poisoned.lane.size:
        return Marks.none()
    seen = poisoned.lane, poisoned.pfn, poisoned.since_ns
    which, era, page = pages_in_eras(eras, faults, address_map, seen, None)
    never = np.full(era.size, FOREVER)
    marks = Marks(name_page(era, page), never, poisoned.poisoned_ns[which], poisoned.out_ns[which], never)
    whole = poisoned.take(poisoned.pages > 1)
    return merge_marks([marks, _marks_of_neighbours(eras, faults, address_map, whole, shown)])


def _marks_of_neighbours(
    eras: Eras, faults: FaultTable, address_map: AddressMap, poisoned: Poisoned, shown: Ints
) -> Marks:
    """Return the marks on the other 4 KiB pages of huge pages; arguments as of ``marks_of_poisoned``."""
    if not poisoned.lane.size:
        return Marks.none()
    entry, era = eras_open(eras, poisoned.lane, poisoned.poisoned_ns)
    order = np.argsort(eras.fault[era], kind="stable")
    batch = np.cumsum(shown[eras.fault[era[order]]]) // PAIRS_AT_ONCE
    cuts = np.flatnonzero(np.diff(batch)) + 1
    some = ((entry[part], era[part]) for part in np.split(order, cuts))
    return join([_beside(eras, faults, address_map, poisoned, shown, pairs) for pairs in some])


def _beside(
    eras: Eras, faults: FaultTable, address_map: AddressMap, poisoned: Poisoned, shown: Ints, pairs: Pairs
) -> Marks:
    """Return the marks of ``_marks_of_neighbours`` of some pairs of huge page and era."""
    entry, era = pairs
    fault, of_era = np.unique(eras.fault[era], return_inverse=True)
    of_fault, number = expand_counts(shown[fault])
    mine = faults.take(fault)
    place = mine.order.take(of_fault).place(number, mine.n_pages[of_fault])
    pfn = address_map.page(mine.box, place, of_fault)
    order = np.lexsort((pfn, of_fault))
    name, number = of_fault[order] * address_map.pages + pfn[order], number[order]
    of_node, own, pages = of_era * address_map.pages, poisoned.pfn[entry], poisoned.pages[entry]
    begin = own // pages * pages
    end = np.minimum(begin + pages, address_map.pages)
    first = np.searchsorted(name, of_node + begin)
    which, step = expand_counts(np.searchsorted(name, of_node + end) - first)
    at = first[which] + step
    beside = name[at] != (of_node + own)[which]
    which, at = which[beside], at[beside]
    entry, never = entry[which], np.full(which.size, FOREVER)
    return Marks(name_page(era[which], number[at]), never, never, poisoned.out_ns[entry], poisoned.poisoned_ns[entry])


def entries_of(poisoned: Poisoned, lane: Ints, pfn: Ints, huge: Ints, n_pages: int) -> tuple[Pairs, Pairs]:
    """Find what is known of pages, and of the rest of their huge pages.

    Args:
        poisoned: What is known.
        lane: Lane of each page, shape ``(n,)``.
        pfn: The pages, shape ``(n,)``.
        huge: 4 KiB pages of the page of a pool that each is part of, 1 if of none.
        n_pages: Of a node.

    Returns:
        Positions of pages and of entries about them, and the same of entries about others of a huge page.
    """
    own = _pairs(poisoned.lane * n_pages + poisoned.pfn, lane * n_pages + pfn)
    mine, entries = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for size in np.unique(poisoned.pages[poisoned.pages > 1]).tolist():
        whole, part = np.flatnonzero(poisoned.pages == size), np.flatnonzero(huge == size)
        names = poisoned.lane[whole] * n_pages + poisoned.pfn[whole] // size
        at, entry = _pairs(names, lane[part] * n_pages + pfn[part] // size)
        beside = pfn[part[at]] != poisoned.pfn[whole[entry]]
        mine.append(part[at[beside]])
        entries.append(whole[entry[beside]])
    return own, (np.concatenate(mine), np.concatenate(entries))


def _pairs(names: Ints, asked: Ints) -> Pairs:
    """List which of some names are equal to which of others: positions among the asked ones and the names."""
    order = np.argsort(names, kind="stable")
    begin, end = (np.searchsorted(names[order], asked, side=side) for side in ("left", "right"))
    which, step = expand_counts(end - begin)
    return which, order[begin[which] + step]


def marks_of_asked(
    eras: Eras,
    faults: FaultTable,
    address_map: AddressMap,
    asked: tuple[Ints, Ints, Ints, Ints],
    offlined: Flags,
) -> Marks:
    """Return the marks that asking for the offlining of pages leaves on them under all their other names.

    Args:
        eras: All eras.
        faults: All faults.
        address_map: Of the nodes.
        asked: Era, number in it, page number and time of each page that is asked for [ns].
        offlined: Which of them go out of use.
    """
    own, number, pfn, time_ns = asked
    which, era, page = pages_in_eras(eras, faults, address_map, (eras.lane[own], pfn, time_ns), own)
    other = (era != own[which]) | (page != number[which])
    which, era, page = which[other], era[other], page[other]
    never = np.full(which.size, FOREVER)
    out_ns = np.where(offlined[which], time_ns[which], never)
    return merge_marks([Marks(name_page(era, page), time_ns[which], never, out_ns, never)])
