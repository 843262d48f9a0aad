"""How much the effects of arms hang on assumptions: what they are at both ends of each, and which matters most.

**Models.** Every end of an assumption's range is a run of its own with the same seed, so the same draws decide all that
the assumption does not touch. The swing of an effect is by how much it differs between the ends; assumptions are ranked
by it. It is a difference of estimates from one sample of nodes: one well below the interval's width may be chance.

**Leaves out.** Assumptions that act together: each is varied alone, all others as the run has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from analysis.comparison.effects import Effect, unit_of
from analysis.estimators.rates import Estimate

Effects = dict[str, dict[str, Effect]]
"""By arm and metric."""


class BothEnds(NamedTuple):
    """Effects at both ends of an assumption's range.

    Attributes:
        setting: What is assumed.
        unit: Its unit.
        values: Low and high.
        low: Effects at the low end.
        high: Effects at the high end.
    """

    setting: str
    unit: str
    values: tuple[float, float]
    low: Effects
    high: Effects


class Bar(NamedTuple):
    """One effect at both ends of an assumption's range; ``rank`` is 1 where the swing is largest."""

    arm: str
    metric: str
    rank: int
    ends: BothEnds
    base: Estimate
    low: Estimate
    high: Estimate
    swing: float

    @property
    def turns(self) -> bool:
        """Whether the effect is for the better at one end and for the worse at the other."""
        signs = {value > 0.0 for one in (self.low, self.high) if (value := one.value)}
        return len(signs) > 1


@dataclass(frozen=True)
class Sensitivity:
    """Effects as the run has them, and at the ends of each assumption that could be varied.

    Attributes:
        nodes: Nodes of each run.
        base: Effects with all assumptions as they are.
        ends: At the ends of each.
        left_out: Assumptions that could not be varied, and why.
    """

    nodes: int
    base: Effects
    ends: tuple[BothEnds, ...]
    left_out: dict[str, str]

    def bars(self, arm: str, metric: str) -> list[Bar]:
        """Return the assumptions in the order in which they matter to one effect."""
        found = []
        for one in self.ends:
            base, low, high = (effects[arm][metric].difference for effects in (self.base, one.low, one.high))
            swing = abs(high.value - low.value) if high.value is not None and low.value is not None else 0.0
            found.append(Bar(arm, metric, 0, one, base, low, high, swing))
        ordered = sorted(found, key=lambda bar: (-bar.swing, bar.ends.setting))
        return [bar._replace(rank=position) for position, bar in enumerate(ordered, start=1)]


def tornado_table(found: Sensitivity, metrics: Sequence[str]) -> pa.Table:
    """Return the bars of a tornado figure as a tidy table: a row an arm, metric and assumption, the widest first."""
    rows: list[dict[str, Any]] = []
    for arm in found.base:
        for metric in metrics:
            rows += [_row(bar) for bar in found.bars(arm, metric)]
    names = ("arm", "metric", "unit", "setting", "setting_unit")
    types = {name: pa.string() for name in names} | {"rank": pa.int64()}
    numbers = (*("setting_low", "setting_high", "swing"), *_columns("base"), *_columns("at_low"), *_columns("at_high"))
    types |= {name: pa.float64() for name in numbers} | {"turns": pa.bool_()}
    return pa.Table.from_pylist(rows, pa.schema(list(types.items())))


def _columns(name: str) -> tuple[str, str, str]:
    return name, f"{name}_ci_low", f"{name}_ci_high"


def _row(bar: Bar) -> dict[str, Any]:
    row: dict[str, Any] = {
        "arm": bar.arm,
        "metric": bar.metric,
        "unit": unit_of(bar.metric),
        "setting": bar.ends.setting,
        "setting_unit": bar.ends.unit,
        "rank": bar.rank,
        "setting_low": bar.ends.values[0],
        "setting_high": bar.ends.values[1],
        "swing": bar.swing,
        "turns": bar.turns,
    }
    for name, one in (("base", bar.base), ("at_low", bar.low), ("at_high", bar.high)):
        row |= dict(zip(_columns(name), (one.value, one.low, one.high), strict=True))
    return row


def sensitivity_json(found: Sensitivity, metrics: Sequence[str]) -> dict[str, Any]:
    """Return nodes, the bars by arm and metric, and what was left out."""

    def plain(bar: Bar) -> dict[str, Any]:
        return {
            "setting": bar.ends.setting,
            "unit": bar.ends.unit,
            "low": {"at": bar.ends.values[0], **bar.low.to_json()},
            "high": {"at": bar.ends.values[1], **bar.high.to_json()},
            "swing": bar.swing,
            "turns": bar.turns,
        }

    arms = {
        arm: {
            metric: {
                "unit": unit_of(metric),
                **effects[metric].difference.to_json(),
                "assumptions": [plain(bar) for bar in found.bars(arm, metric)],
            }
            for metric in metrics
        }
        for arm, effects in found.base.items()
    }
    return {"nodes": found.nodes, "sensitivity": arms, "left_out": found.left_out}
