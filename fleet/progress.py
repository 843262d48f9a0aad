"""What the driver of a run tells while it goes on; a bar, lines of a log and the exporter are made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fleet.stored.manifest import Receipt


class Kept(NamedTuple):
    """A shard that was committed before the driver began; these come first."""

    receipt: Receipt


class Committed(NamedTuple):
    """A shard that was simulated and committed."""

    receipt: Receipt


class Reached(NamedTuple):
    """How far the attempt at a shard is; nothing is done when it begins.

    Attributes:
        shard_id: Of the shard, which is in flight from now on until it is committed, retried or given up.
        nodes: Nodes whose rows are simulated.
        rows: Their rows, over all tables; those that no arm changes count once.
    """

    shard_id: int
    nodes: int
    rows: int


class Retried(NamedTuple):
    """A shard that will be tried again, as an attempt at it failed for a reason outside of it."""

    shard_id: int


class GivenUp(NamedTuple):
    """A shard that has failed for good."""

    shard_id: int


Event = Kept | Committed | Reached | Retried | GivenUp
Progress = Callable[[Event], None]


def tell_nobody(_event: Event) -> None:
    """Hear of an event, and do nothing."""
