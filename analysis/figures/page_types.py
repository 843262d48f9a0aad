"""What did memory_failure() make of which pages?

**Models.** Calls by the page type and result of the kernel's action line; the counts are of one arm at a time. The
figure shows the first of the arms asked for.

**Leaves out.** An interval: the calls of a node are of few faults, and a count is what it is.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.figures.arms import chosen
from analysis.figures.bars import height_of, legend_above, stacked
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.style import own_axes
from analysis.figures.tables import arms_in, column_of, tidy, where
from analysis.figures.views import read_shards
from analysis.figures.words import counted, listed, percent
from node_sim.codes import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_LINE: Final = "no action line"
"""What stands for the page type and result of calls that print none."""
RESULTS: Final = (Result.RECOVERED, Result.DELAYED, Result.FAILED, Result.IGNORED)
TYPES_DRAWN: Final = 10


def page_types_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return calls by arm, page type and result, the most frequent types of each arm first."""
    names = chosen(run, arms)
    counts: dict[str, Counter[tuple[str, str]]] = {arm: Counter() for arm in names}
    for shard in read_shards(run, names, {"memory_failures": ("page_type", "result")}):
        shared = _count(shard.shared["memory_failures"])
        for arm in names:
            counts[arm] += shared + _count(shard.own[arm]["memory_failures"])
    rows = []
    for arm, found in counts.items():
        of_type: Counter[str] = Counter()
        for (page_type, _), n in found.items():
            of_type[page_type] += n
        places = {name: place for place, (name, _) in enumerate(sorted(of_type.items(), key=lambda i: (-i[1], i[0])))}
        order = sorted(found, key=lambda key: (places[key[0]], key[1]))
        rows += [(arm, *key, found[key]) for key in order]
    return tidy(rows, arm="", page_type="", result="", calls="1")


def _count(table: pa.Table) -> Counter[tuple[str, str]]:
    """Count the rows by page type and result."""
    plain = table.cast(pa.schema([pa.field(name, pa.utf8()) for name in table.column_names]))
    found = plain.group_by(plain.column_names).aggregate([([], "count_all")]).to_pylist()
    return Counter({(row["page_type"] or NO_LINE, row["result"] or NO_LINE): row["count_all"] for row in found})


def _first(table: pa.Table) -> pa.Table:
    """Return the rows of the arm that is drawn."""
    return where(table, arm=arms_in(table)[0]) if table.num_rows else table


def _types(table: pa.Table) -> list[str]:
    return list(dict.fromkeys(column_of(table, "page_type")))


def _paint(ax: Axes, table: pa.Table) -> None:
    mine = _first(table)
    types = _types(mine)[:TYPES_DRAWN]
    calls = {(row["page_type"], row["result"]): float(row["calls"]) for row in mine.to_pylist()}
    results = [*(result.text for result in RESULTS), NO_LINE]
    parts = {result: np.asarray([calls.get((name, result), 0.0) for name in types]) for result in results}
    stacked(ax, types, {result: width for result, width in parts.items() if width.any()})
    left = len(_types(mine)) - len(types)
    note = f"{counted(left, 'rarer page type')} left out; the table has all" if left else ""
    label_x(ax, "calls of memory_failure()", f"in {arms_in(table)[0]}" if table.num_rows else "", note)
    legend_above(ax)


def results_by_page_type(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw the results of memory_failure() by page type.

    >>> ax, table = results_by_page_type(run)
    >>> table.column_names
    ['arm', 'page_type', 'result', 'calls']
    """
    table = page_types_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(_run: Run, table: pa.Table) -> Caption:
    mine = _first(table)
    total = sum(column_of(mine, "calls"))
    if not total:
        return Caption("memory_failure() was never called", "There is nothing to count.", "No calls.")
    arm = arms_in(table)[0]
    by_type, by_result = Counter[str](), Counter[str]()
    for row in mine.to_pylist():
        by_type[row["page_type"]] += row["calls"]
        by_result[row["result"]] += row["calls"]
    (top, of_top), *_ = by_type.most_common(1)
    recovered = percent(by_result[Result.RECOVERED.text] / total)
    title = f"{arm}: {recovered} of {counted(total, 'call')} recovered the page; {percent(of_top / total)} found {top}"
    sentence = (
        f"Bars: calls of memory_failure() in {arm} by the page type that the kernel prints, cut by result; counts of "
        f"{counted(total, 'call')}, which have no interval."
    )
    described = listed([f"{name} {n:,}" for name, n in by_type.most_common(TYPES_DRAWN)])
    return Caption(title, sentence, f"Calls by page type in {arm}: {described}.")


FIGURE = RunFigure(
    "results_by_page_type",
    results_by_page_type,
    page_types_table,
    _paint,
    lambda run: any(part.table == "memory_failures" and part.rows for part in run.parts),
    _explain,
    lambda table: height_of(len(_types(_first(table))[:TYPES_DRAWN])),
)
