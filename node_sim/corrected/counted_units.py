"""Pages and rows of faults as a daemon counts them: which errors of a window are theirs.

**Models.** The errors of a window fall on its pages in turn, so numbers and counts of a row's errors follow from the
numbers of its pages.

**Leaves out.** What is counted together; ``buckets.py`` has it.

**Assumes.** Nothing.

**Sources.** None.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from node_sim.records import Index, Ints, take

PAGE_BITS = 32
"""Pages that one window can show are below 2**32."""
ITEM_BITS = 36
"""Numbers of pages in windows, and names of rows, are below 2**36."""


def name_item(era: Ints, item: Ints) -> Ints:
    """Name pages or rows of eras."""
    name: Ints = (era << ITEM_BITS) | item
    return name


class Units(NamedTuple):
    """Pages or rows of eras, each with its pages; the first two of shape ``(n,)``, the last two of all pages.

    Attributes:
        era: Era.
        item: Number of the page, or name of the row.
        begin: Position of the first of its pages in ``page``.
        page: Numbers of the pages of all units, ascending in each.
        name: Unit and number of the page in one word, ascending.
    """

    era: Ints
    item: Ints
    begin: Ints
    page: Ints
    name: Ints

    @classmethod
    def of(cls, era: Ints, item: Ints, page: Ints) -> tuple[Units, Ints]:
        """Gather pages of units.

        Returns:
            The units, and the unit of each of the pages, which come in any order.
        """
        names, unit = np.unique(name_item(era, item), return_inverse=True)
        order = np.lexsort((page, unit))
        of, page = unit[order], page[order]
        begin = np.searchsorted(of, np.arange(names.size))
        return cls(names >> ITEM_BITS, names & ((1 << ITEM_BITS) - 1), begin, page, (of << PAGE_BITS) | page), unit

    def pages_below(self, unit: Ints, number: Ints) -> Ints:
        """Count the pages of units whose numbers are below others."""
        below: Ints = np.searchsorted(self.name, (unit << PAGE_BITS) | number) - self.begin[unit]
        return below

    def errors_up_to(self, unit: Ints, number: Ints, shown: Ints) -> Ints:
        """Count the errors 1 … ``number`` of windows that fall on units, in turn on so many pages of the fault."""
        turns, rest = np.divmod(number, shown)
        return turns * self.pages_below(unit, shown) + self.pages_below(unit, rest)

    def number_of(self, unit: Ints, nth: Ints, shown: Ints) -> Ints:
        """Return the number in the window of the nth error (1 …) of units; some page of theirs is among the shown."""
        turns, place = np.divmod(nth - 1, self.pages_below(unit, shown))
        return turns * shown + self.page[self.begin[unit] + place] + 1


class Pieces(NamedTuple):
    """Errors of units in windows, ordered by (unit, time); arrays of shape ``(n,)``.

    Attributes:
        unit: Unit.
        span: Span of the window.
        before: Errors of the unit in the window that come before.
        after: … and those until the end of the piece, more.
        number: Number in the window of a single error; 0 where it follows from the pages of the unit.
    """

    unit: Ints
    span: Ints
    before: Ints
    after: Ints
    number: Ints

    def take(self, index: Index) -> Pieces:
        """Select some pieces."""
        return take(self, index)
