"""What your own policy sees of a server, and what it may order: the vocabulary of ``own_policy.function``.

A policy is a function of one ``KnownNode``. It is called at the end of each epoch in which something new is known, and
returns the orders that it gives, or nothing::

    def offline_busy_pages(node):
        errors = node.errors[node.new :]
        return [OfflinePage(int(error["pfn"])) for error in errors if error["in_window"] >= 10]

What it returns must follow from the node alone: it is called again for the same node, in any order of the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

RecordArray = npt.NDArray[Any]
"""Structured array of shape ``(n,)``."""

ERRORS: Final = np.dtype(
    [
        ("first_ns", "i8"),
        ("last_ns", "i8"),
        ("count", "i8"),
        ("in_window", "i8"),
        ("n_pages", "i8"),
        ("pfn", "i8"),
        ("row", "i4"),
        ("column", "i4"),
        ("pins", "u4"),
        ("beats", "u4"),
        ("dimm", "i2"),
        ("rank", "i2"),
        ("device", "i2"),
        ("bank", "i2"),
        ("scrubber", "?"),
    ]
)
"""Corrected errors of one epoch that one device, or its commands, and one observer had; those of a soft fault singly.

``first_ns`` and ``last_ns`` are the times of the first and the last of them [ns since the start of the scenario],
``count`` how many they are, ``in_window`` how many there have been of them in this counting window
(``errors.window_hours``) so far, ``n_pages`` on how many pages these are. ``dimm`` is the slot; ``rank``, ``device``,
``bank``, ``row``, ``column`` (64-byte line of the row) and ``pfn`` are those of the first of them; ``pins`` and
``beats`` are masks of the data pins of the device and the beats of the burst that are wrong. Errors of commands or
addresses have no cells: -1 and no pins. ``scrubber``: the patrol scrubber found them.
"""
PAGES: Final = np.dtype(
    [("pfn", "i8"), ("count", "i8"), ("row", "i4"), ("column", "i4"), ("rank", "i2"), ("bank", "i2")]
)
"""The pages of one element of ``ERRORS``: how many of its errors each had, and where its first wrong line is."""
FAILURES: Final = np.dtype([("time_ns", "i8"), ("pfn", "i8"), ("dimm", "i2")])
"""Uncorrected errors that a log shows; ``pfn`` is -1 where the record names no page."""
OFFLINES: Final = np.dtype([("time_ns", "i8"), ("pfn", "i8"), ("errno", "i4"), ("offlined", "?")])
"""Pages that the kernel was asked to take offline, and whether it did."""
BOOTS: Final = np.dtype([("down_ns", "i8"), ("up_ns", "i8")])
"""Intervals in which the node was down."""
REPAIRS: Final = np.dtype([("time_ns", "i8"), ("dimm", "i2")])
"""DIMMs that were replaced, and since when the new one runs."""


class OfflinePage(NamedTuple):
    """Ask the kernel to soft-offline a page.

    Attributes:
        pfn: The page.
        time_ns: When [ns]; now if left out.
    """

    pfn: int
    time_ns: int | None = None


class OfflineRow(NamedTuple):
    """Ask the kernel to soft-offline all pages with lines of a row of a DIMM.

    Attributes:
        dimm: Slot.
        rank: Rank of the DIMM.
        bank: Bank of the rank.
        row: Row of the bank.
        time_ns: When [ns]; now if left out.
    """

    dimm: int
    rank: int
    bank: int
    row: int
    time_ns: int | None = None


class ReplaceDimm(NamedTuple):
    """CordonNode the node, drain it as ``repair.cordon.drain_hours`` says, and replace a DIMM.

    Attributes:
        dimm: Slot.
        time_ns: When the node is cordoned [ns]; now if left out.
    """

    dimm: int
    time_ns: int | None = None


class CordonNode(NamedTuple):
    """CordonNode the node: no new work comes, the old ends within ``repair.cordon.drain_hours``; then it is repaired.

    DIMMs that had uncorrected errors in a log are replaced; if there are none the node reboots.

    Attributes:
        time_ns: When [ns]; now if left out.
    """

    time_ns: int | None = None


class DrainNode(NamedTuple):
    """Take all work off the node at once, and repair it as after a cordon.

    Attributes:
        time_ns: When [ns]; now if left out.
    """

    time_ns: int | None = None


Order = OfflinePage | OfflineRow | ReplaceDimm | CordonNode | DrainNode
KINDS: Final = (OfflinePage, OfflineRow, ReplaceDimm, CordonNode, DrainNode)
"""The orders there are."""


class Layout(NamedTuple):
    """What the operating system knows of the memory of a node.

    Attributes:
        dimms: DIMM slots.
        ranks: Ranks of a DIMM.
        devices: Devices of a rank.
        banks: Banks of a rank.
        rows: Rows of a bank.
        lines: 64-byte lines of a row.
        pages: 4 KiB pages of the node.
        window_ns: Counting window of ``in_window`` [ns].
    """

    dimms: int
    ranks: int
    devices: int
    banks: int
    rows: int
    lines: int
    pages: int
    window_ns: int


class KnownNode:
    """What the operating system of a node knows now, after all that the policy has done before.

    Attributes:
        node_id: Number of the node, a host name.
        now_ns: Now [ns since the start of the scenario]: the end of an epoch in which the node is up.
        layout: Its memory.
        errors: Corrected errors so far, in order of the epochs (``ERRORS``).
        new: From which element on ``errors`` have come since the policy was called last.
    """

    __slots__ = ("_others", "errors", "layout", "new", "node_id", "now_ns")

    def __init__(
        self, node_id: int, now_ns: int, layout: Layout, errors: RecordArray, new: int, others: Others
    ) -> None:
        """Show a node; ``others`` are all its other records, also those that come later."""
        self.node_id, self.now_ns, self.layout, self.errors, self.new = node_id, now_ns, layout, errors, new
        self._others = others

    def pages(self, error: int) -> RecordArray:
        """Return the pages of one element of ``errors``, by its position (``PAGES``); none if it has no page."""
        return self._others.pages(range(len(self.errors))[error])

    @property
    def failures(self) -> RecordArray:
        """Uncorrected errors so far (``FAILURES``)."""
        return _before(self._others.failures, "time_ns", self.now_ns)

    @property
    def offlines(self) -> RecordArray:
        """Answers of the kernel so far (``OFFLINES``)."""
        return _before(self._others.offlines, "time_ns", self.now_ns)

    @property
    def boots(self) -> RecordArray:
        """Intervals down so far (``BOOTS``)."""
        return _before(self._others.boots, "up_ns", self.now_ns + 1)

    @property
    def repairs(self) -> RecordArray:
        """DIMMs replaced so far (``REPAIRS``)."""
        return _before(self._others.repairs, "time_ns", self.now_ns + 1)

    @property
    def orders(self) -> Sequence[tuple[int, Order]]:
        """What the policy has ordered so far: when it said so [ns], and what."""
        return tuple(self._others.orders)

    @property
    def cordoned(self) -> bool:
        """Whether the node is cordoned and drains."""
        return any(begin_ns < self.now_ns <= end_ns for begin_ns, end_ns in self._others.cordons)


class Others(NamedTuple):
    """RecordArray of a node beside its corrected errors, each in the order of time, those after now among them.

    Attributes:
        failures: As of ``KnownNode``.
        offlines: As of ``KnownNode``.
        boots: As of ``KnownNode``.
        repairs: As of ``KnownNode``.
        cordons: Begin and end of each cordon [ns].
        orders: What the policy has ordered so far.
        pages: Finds the pages of an element of the errors.
    """

    failures: RecordArray
    offlines: RecordArray
    boots: RecordArray
    repairs: RecordArray
    cordons: list[tuple[int, int]]
    orders: list[tuple[int, Order]]
    pages: Callable[[int], RecordArray]


def _before(records: RecordArray, name: str, time_ns: int) -> RecordArray:
    """Return the records, which are ordered by a time, that come before another time."""
    return records[: int(np.searchsorted(records[name], time_ns))] if records.size else records


PolicyFunction = Callable[[KnownNode], Sequence[Order] | None]
Interest = Callable[[RecordArray], npt.NDArray[np.bool_]]
F = TypeVar("F", bound=PolicyFunction)
T = TypeVar("T")


def looks_at(interest: Interest) -> Callable[[F], F]:
    """Tell of a policy which corrected errors can make it act, so that it is not called for the others.

    Args:
        interest: Given ``ERRORS`` of many nodes, shape ``(n,)``, whether each may matter. It is asked about whole
            windows first, and then about each epoch of those that may: what it lets pass for an epoch it must let pass
            for its window, whose ``count``, ``in_window`` and ``n_pages`` are not smaller.

    The policy is shown no other errors. It is called at the end of each epoch that has some, and wherever there are
    other news.
    """

    def mark(policy: F) -> F:
        policy.interest = interest  # type: ignore[attr-defined]
        return policy

    return mark


def interest_of(policy: PolicyFunction) -> Interest | None:
    """Return what a policy looks at, nothing if it looks at all errors."""
    found: Interest | None = getattr(policy, "interest", None)
    return found


def apart_of(policy: PolicyFunction) -> Callable[[Callable[[], T]], T]:
    """Return how work that calls a policy is to be done: as the policy asks for, or just so."""
    found: Callable[[Callable[[], T]], T] = getattr(policy, "apart", lambda work: work())
    return found
