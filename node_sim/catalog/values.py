"""Two kinds of numbers: ``Published`` has a source, ``Assumed`` has a range and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Published(Generic[T]):
    """A number read in a source.

    Attributes:
        value: The number.
        unit: Its unit.
        source: Paper and table, or program and file.
        confidence: ``read``, ``read-secondary``, ``measured``, ``computed`` or ``recalled-unverified``.
    """

    value: T
    unit: str
    source: str
    confidence: str


@dataclass(frozen=True)
class Assumed(Generic[T]):
    """A number nobody published.

    Attributes:
        value: The number used.
        low: Lower end of what is plausible; sensitivity runs use it.
        high: Upper end.
        why: Reason for the value and the range.
        unit: Unit.
        headline: Whether kill, recovery or panic rates hang on it directly.
    """

    value: T
    low: T
    high: T
    why: str
    unit: str = "1"
    headline: bool = False


Number = Published[float] | Published[int] | Assumed[float] | Assumed[int]
