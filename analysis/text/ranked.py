"""Ranks of arms as text, table and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from analysis.comparison.ranks import Ranking, dominated
from analysis.estimators.rates import Estimate
from analysis.text.compared import columns_of_text
from analysis.text.layout import format_estimate

NOTE_RANKS = "Rank 1 is the best. With 95 % all ranks lie within their brackets, by differences paired node by node."


def ranking_lines(rankings: Sequence[Ranking], *, front: bool) -> list[str]:
    """Lay out ranks, a line an arm, the best by the last objective first; on request with the arms that beat it."""
    last = rankings[-1]
    order = sorted(range(len(last.arms)), key=lambda arm: (last.ranks[arm].value, arm))
    header = ["arm", *(cell for one in rankings for cell in (one.objective.name, "rank"))]
    beaten = dominated(rankings) if front else {}
    rows = []
    for arm in order:
        row = [last.arms[arm]]
        for one in rankings:
            value, low, high = one.ranks[arm]
            row += [format_estimate(Estimate(float(one.totals[arm]), None, None)).partition(" ")[0]]
            row += [f"{value} [{low}, {high}]"]
        rows.append([*row, *([_front(*beaten[last.arms[arm]])] if front else [])])
    units = sorted({f"{one.objective.name} {one.objective.unit}" for one in rankings})
    lines = columns_of_text([*header, *(["front"] if front else [])], rows, 1)
    return [*lines, f"In units: {'; '.join(units)}.", NOTE_RANKS]


def _front(by: Sequence[str], surely: Sequence[str]) -> str:
    """Say whether an arm is on the front: no other has less of one thing and more of none."""
    if not by and not surely:
        return "yes"
    names = ", ".join(surely or by)
    return f"no, {'surely ' if surely else ''}behind {names}"


def rankings_json(rankings: Sequence[Ranking], *, front: bool) -> dict[str, Any]:
    """Return ranks by objective and arm; on request which arms are on the front."""
    found: dict[str, Any] = {
        "ranks": {
            one.objective.name: {
                "unit": one.objective.unit,
                "arms": {
                    arm: {"value": float(total), "rank": rank.value, "ci95": [rank.low, rank.high]}
                    for arm, total, rank in zip(one.arms, one.totals, one.ranks, strict=True)
                },
            }
            for one in rankings
        }
    }
    if front:
        found["front"] = {
            arm: {"on_front": not by, "behind": by, "surely_behind": surely}
            for arm, (by, surely) in dominated(rankings).items()
        }
    return found


def ranking_table(rankings: Sequence[Ranking]) -> pa.Table:
    """Return ranks as a tidy table, a row an objective and arm."""
    rows = [
        {
            "objective": one.objective.name,
            "unit": one.objective.unit,
            "arm": arm,
            "value": float(total),
            "rank": rank.value,
            "rank_low": rank.low,
            "rank_high": rank.high,
        }
        for one in rankings
        for arm, total, rank in zip(one.arms, one.totals, one.ranks, strict=True)
    ]
    return pa.Table.from_pylist(rows)
