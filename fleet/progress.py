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


class Retried(NamedTuple):
    """A shard that is tried again, as an attempt at it failed for a reason outside of it."""


Event = Kept | Committed | Retried
Progress = Callable[[Event], None]
