"""How few DIMMs have most of the corrected errors?

**Models.** DIMMs with logged corrected errors, those with most first, and the share of all corrected errors of the arm
that the first k of them have (a Lorenz curve from the top), at about 200 k and at the first ten. Its Gini coefficient
is over DIMMs that have any.

**Leaves out.** An interval: one DIMM may have most, and a run says nothing of the next such DIMM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.figures.arms import chosen
from analysis.figures.bars import legend_above
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.style import COLOURS, DASHES, ink, own_axes
from analysis.figures.tables import arms_in, column_of, tidy, where
from analysis.figures.views import ints, is_code, read_shards
from analysis.figures.words import counted, percent
from node_sim.codes import ErrorKind
from node_sim.names import dimm_of_fault
from node_sim.records import Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS: Final = 200
FIRST: Final = 10
CURVES: Final = 4
_TICKS: Final = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0)
COLUMNS: Final = {"errors": ("fault_id", "kind", "ce_count")}


def _per_dimm(errors: pa.Table) -> Ints:
    """Return the corrected errors of each DIMM that has any."""
    some = is_code(errors, "kind", ErrorKind.CE)
    dimm, count = dimm_of_fault(ints(errors, "fault_id"))[some], ints(errors, "ce_count")[some]
    _, at = np.unique(dimm, return_inverse=True)
    # Integers as floats are exact below 2**53.
    found: Ints = np.bincount(at, count).astype(np.int64)
    return found[found > 0]


def _ranks(dimms: int) -> Ints:
    """Return how many of the DIMMs with most are looked at."""
    spread = -(-dimms * np.arange(1, POINTS + 1) // POINTS)
    found: Ints = np.unique(np.concatenate((np.arange(1, min(FIRST, dimms) + 1), spread)))
    return found[found > 0]


def gini(counts: npt.NDArray[np.float64]) -> float:
    """Return Gini's coefficient of counts, descending, shape ``(n,)``, n > 0: 0 if all are alike.

    Source:
        Half the mean difference of two, as a share of the mean.
    """
    n = counts.size
    return float(((n + 1 - 2 * np.arange(1, n + 1)) * counts).sum() / (n * counts.sum()))


def concentration_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return, by arm, the corrected errors of the k DIMMs that have most, and their share of all."""
    names = chosen(run, arms)
    pieces: dict[str, list[Ints]] = {arm: [] for arm in names}
    for shard in read_shards(run, names, COLUMNS):
        shared = _per_dimm(shard.shared["errors"])
        for arm in names:
            pieces[arm] += [shared, _per_dimm(shard.own[arm]["errors"])]
    rows = []
    for arm, found in pieces.items():
        counts = np.sort(np.concatenate(found))[::-1]
        if not counts.size:
            continue
        ranks, sums = _ranks(counts.size), np.cumsum(counts)
        coefficient = gini(counts.astype(np.float64))
        for k in ranks.tolist():
            top = int(sums[k - 1])
            rows.append((arm, k, counts.size, k / counts.size, top, top / int(sums[-1]), coefficient))
    return tidy(
        rows, arm="", top_dimms="1", dimms="1", share_of_dimms="of DIMMs", ce="1", share_of_ce="of CEs", gini="share"
    )


def _arms_drawn(table: pa.Table) -> list[str]:
    """Return the arms that are drawn: the first, and those whose curves differ most from it."""
    arms = arms_in(table)
    ginis = [column_of(where(table, arm=arm), "gini")[0] for arm in arms]
    order = sorted(range(1, len(arms)), key=lambda one: -abs(ginis[one] - ginis[0]))[: CURVES - 1]
    return [arms[one] for one in (0, *sorted(order))] if arms else []


def _paint(ax: Axes, table: pa.Table) -> None:
    shown = _arms_drawn(table)
    least = 100.0 * min(column_of(table, "share_of_dimms"), default=0.01)
    alike = np.geomspace(least, 100.0)
    ax.plot(alike, alike, color=ink(), linewidth=0.8, linestyle=":")
    for place, arm in enumerate(shown):
        mine = where(table, arm=arm)
        x, y = (100.0 * np.asarray(column_of(mine, f"share_of_{what}")) for what in ("dimms", "ce"))
        ax.plot(x, y, color=COLOURS[place], linestyle=DASHES[place], label=arm)
    ax.set_xscale("log")
    ticks = [tick for tick in _TICKS if tick >= 0.9 * least]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim(min(least, 50.0), 100.0)
    ax.set_ylim(0.0, 100.5)
    left = len(arms_in(table)) - len(shown)
    note = f"{counted(left, 'arm')} left out; the table has all" if left else ""
    ax.set_ylabel("of all corrected errors [%]")
    ax.grid()
    label_x(ax, "DIMMs with CEs, those with most first [%]", legend_above(ax), note)


def concentration_of_ce(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw how much of all corrected errors the DIMMs with most have.

    >>> ax, table = concentration_of_ce(run, arms=run.arms[:1])
    >>> table.to_pylist()[-1]["share_of_ce"]
    1.0
    """
    table = concentration_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(_run: Run, table: pa.Table) -> Caption:
    if not table.num_rows:
        return Caption("No corrected errors", "There is nothing to share out.", "No corrected errors.")
    arm = arms_in(table)[0]
    mine = where(table, arm=arm).to_pylist()
    dimms, ce = mine[-1]["dimms"], mine[-1]["ce"]
    tenth = min(mine, key=lambda row: (row["share_of_dimms"] < 0.1, row["share_of_dimms"]))
    half = next(row for row in mine if row["share_of_ce"] >= 0.5)
    title = (
        f"{percent(tenth['share_of_dimms'])} of the DIMMs with corrected errors have "
        f"{percent(tenth['share_of_ce'])} of them ({arm})"
    )
    sentence = (
        f"Lines: share of the {ce:,} corrected errors that the DIMMs with most have, of {counted(dimms, 'DIMM')} that "
        "have any; dotted: all alike. There is no interval, as one DIMM may have most."
    )
    described = (
        f"In {arm} {counted(half['top_dimms'], 'DIMM')} of {dimms:,} have half of all corrected errors; Gini "
        f"coefficient {mine[0]['gini']:.3f}."
    )
    return Caption(title, sentence, described)


FIGURE = RunFigure(
    "concentration_of_ce",
    concentration_of_ce,
    concentration_table,
    _paint,
    lambda run: any(part.table == "errors" and part.rows for part in run.parts),
    _explain,
    lambda _table: 380.0,
)
