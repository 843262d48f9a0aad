"""What comparing a run gives: effects by arm and metric, and how they show themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Final, Protocol, TypeVar

from analysis.estimators.rates import Estimate
from fleet.stored.headline import BY_KEY

_METRICS: Final = ("kills", "losses", "panics", "ue")
"""Metrics that are shown."""
_LINES, _ROWS, _NAME_MAX = 6, 40, 60
"""Arms that are shown as text and as HTML, and characters of their names."""


class Compared(Protocol):
    """An effect, as far as it is shown."""

    @property
    def difference(self) -> Estimate:
        """To the baseline."""


EffectT = TypeVar("EffectT", bound=Compared)


class EffectsByArm(dict[str, dict[str, EffectT]]):
    """Effects on each metric by arm, without the baseline.

    Attributes:
        baseline: Arm that all others are compared with.
    """

    def __init__(self, effects: Mapping[str, dict[str, EffectT]], baseline: str) -> None:
        """Keep effects and what they are measured against."""
        super().__init__(effects)
        self.baseline = baseline

    def _title(self) -> str:
        return f"differences to {_cut(self.baseline)} per 1,000 node-years, with 95 % intervals"

    def _more(self, shown: int) -> Iterator[str]:
        if len(self) > shown:
            yield f"and {len(self) - shown:,} more arms"

    def _cells(self, shown: int) -> Iterator[list[str]]:
        for arm in list(self)[:shown]:
            yield [_cut(arm), *(str(self[arm][metric].difference) for metric in _METRICS)]

    def __repr__(self) -> str:
        """Show the first arms as text."""
        lines = [
            f"{arm}: {', '.join(f'{BY_KEY[key].title} {text}' for key, text in zip(_METRICS, texts, strict=True))}"
            for arm, *texts in self._cells(_LINES)
        ]
        return "\n  ".join([self._title(), *lines, *self._more(_LINES)])

    def _repr_html_(self) -> str:
        """Show the first arms as a table."""
        heads = "".join(f"<th>{escape(head)}</th>" for head in ("arm", *(BY_KEY[key].title for key in _METRICS)))
        rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self._cells(_ROWS))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        more = "".join(f"<p>{line}</p>" for line in self._more(_ROWS))
        return f"<table><caption>{escape(self._title())}</caption><tr>{heads}</tr>{body}</table>{more}"


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_MAX else f"{name[:38]}...{name[-19:]}"
