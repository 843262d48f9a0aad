"""Series and families as OpenMetrics text: families together, series in order, samples in order of time.

**Sources.** OpenMetrics 1.0 (names, escapes, ``# EOF``); promtool ``tsdb create-blocks-from openmetrics``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, Final, NamedTuple

from analysis.history.grid import SampleGrid

LINES_AT_ONCE: Final = 8_192
EOF_LINE: Final = b"# EOF\n"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_SUFFIXES: Final = {"counter": "_total", "info": "_info", "gauge": ""}
"""What the samples of a family have after its name, by its type."""


class Segment(NamedTuple):
    """Samples one after the other.

    Attributes:
        first: Number of the first.
        end: Number after the last.
        value: The value of all of them, or one for each; None is the time that they are given.
    """

    first: int
    end: int
    value: float | Sequence[float] | None


class Series(NamedTuple):
    """A series: its labels and its samples in order; samples that are in no segment are not there."""

    labels: Mapping[str, str]
    segments: Iterable[Segment]


class SeriesFamily(NamedTuple):
    """What series of one name have in common: the name without suffix, the type and the sentence."""

    name: str
    kind: str
    help: str

    def head(self) -> bytes:
        """Return the lines above its series."""
        sentence = self.help.translate(_ESCAPES)
        return f"# HELP {self.name} {sentence}\n# TYPE {self.name} {self.kind}\n".encode()

    def sample_name(self) -> str:
        """Return the name of its samples."""
        return self.name + _SUFFIXES[self.kind]


def family_of(sample_name: str, kind: str, sentence: str) -> SeriesFamily:
    """Return the family of samples."""
    return SeriesFamily(sample_name.removesuffix(_SUFFIXES[kind]), kind, sentence)


def write_series(stream: BinaryIO, family: SeriesFamily, series: Series, grid: SampleGrid) -> int:
    """Write the samples of a series; return how many there are."""
    labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(series.labels.items()) if value)
    name, written = f"{family.sample_name()}{{{labels}}}", 0
    for first, end, value in series.segments:
        for begin in range(first, end, LINES_AT_ONCE):
            stamps = grid.stamps_s(begin, min(begin + LINES_AT_ONCE, end))
            some = value[begin - first : begin - first + len(stamps)] if isinstance(value, Sequence) else value
            stream.write("".join(_lines(name, some, stamps)).encode(errors="replace"))
        written += end - first
    return written


def _lines(name: str, value: float | Sequence[float] | None, stamps_s: Sequence[int]) -> list[str]:
    if value is None:
        return [f"{name} {stamp_s} {stamp_s}\n" for stamp_s in stamps_s]
    if isinstance(value, Sequence):
        return [f"{name} {_number(one)} {stamp_s}\n" for one, stamp_s in zip(value, stamps_s, strict=True)]
    head = f"{name} {_number(value)} "
    return [f"{head}{stamp_s}\n" for stamp_s in stamps_s]


def _number(value: float) -> str:
    """Write whole numbers without a point, others with all their digits."""
    return str(int(value)) if int(value) == value else repr(float(value))
