"""What effects hang on, as text: assumptions in the order in which they matter."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from analysis.comparison.effects import unit_of
from analysis.comparison.sensitivity import Bar, Sensitivity
from analysis.text.compared import columns_of_text
from analysis.text.layout import format_estimate
from fleet.printable import WIDTH
from fleet.stored.headline import BY_KEY

_NOTE = (
    "Each assumption is varied alone, with the same draws. A swing far below the intervals' width may be chance.",
    "'turns': better than the baseline at one end, worse at the other.",
)


def tornado_lines(found: Sensitivity, metrics: Sequence[str]) -> list[str]:
    """Lay out a table for each arm and metric, then what was left out and why."""
    lines: list[str] = []
    for arm, effects in found.base.items():
        for metric in metrics:
            effect = format_estimate(effects[metric].difference, signed=True)
            title = BY_KEY[metric].title or metric
            lines.append(f"{arm}: difference in {title} {effect} {unit_of(metric)}, {found.nodes:,} nodes")
            lines += [*_table(found.bars(arm, metric)), ""]
    left_out = [f"not varied: {setting}: {why}" for setting, why in found.left_out.items()]
    return [*lines, *_NOTE, *(line for one in left_out for line in textwrap.wrap(one, WIDTH, subsequent_indent="  "))]


def _table(bars: Sequence[Bar]) -> list[str]:
    """Lay out the assumptions that matter, and name the others in a line."""
    header = ["", "assumption", "low", "effect", "high", "effect", "swing", ""]
    moving = [bar for bar in bars if bar.swing > 0.0]
    idle = ", ".join(bar.ends.setting for bar in bars if bar.swing == 0.0)
    lines = columns_of_text(header, [_cells(bar) for bar in moving], 2) if moving else []
    return [*lines, *(textwrap.wrap(f"no difference by {idle}", WIDTH, subsequent_indent="  ") if idle else ())]


def _cells(bar: Bar) -> list[str]:
    unit = "" if bar.ends.unit == "1" else f" {bar.ends.unit}"
    low, high = (f"{value:g}{unit}" for value in bar.ends.values)
    effects = (format_estimate(one, signed=True) for one in (bar.low, bar.high))
    swing = f"{bar.swing:.3g}"
    return [f"{bar.rank}", bar.ends.setting, low, next(effects), high, next(effects), swing, "turns" * bar.turns]
