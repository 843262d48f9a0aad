"""What happened after each uncorrected error?

**Models.** Every UE (first sight of a page since the boot) is followed through the rows that name it as their cause:
the machine check, memory_failure(), signals, I/O errors, a panic. The worst of these is what it came to; UEs after
which nothing of this happened are told by whether a page went out of use. Shares have Wilson intervals, nodes being
clusters (``estimators``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.estimators.rates import NodeSums, proportion
from analysis.figures.arms import chosen, drawn, left_out
from analysis.figures.bars import height_of, legend_above, stacked
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.style import own_axes
from analysis.figures.tables import arms_in, tidy, where
from analysis.figures.views import ints, is_code, read_shards
from analysis.figures.words import counted, percent, percents
from fleet.stored.cells import Tables
from node_sim.codes import ErrorKind, Fate, LifecycleKind
from node_sim.records import Flags, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANIC, KILLED, EIO, TAKEN, LEFT = "node panicked", "process killed", "data lost (EIO)", "page taken out", "nothing"
OUTCOMES: Final = (LEFT, TAKEN, EIO, KILLED, PANIC)
"""From harmless to worst."""
LOOKS: Final = (4, 0, 2, 3, 1)
HARMLESS: Final = (LEFT, TAKEN)
COLUMNS: Final = {
    "errors": ("node_id", "seq", "kind"),
    "machine_checks": ("node_id", "seq", "cause_seq"),
    "memory_failures": ("node_id", "seq", "cause_seq", "lost_bytes"),
    "signals": ("node_id", "cause_seq", "fate"),
    "io_errors": ("node_id", "cause_seq"),
    "lifecycle": ("node_id", "cause_seq", "kind"),
}
_SHIFT: Final = 32
"""A row is named by its node and its number, 32 bits each."""


def _names(table: pa.Table, column: str) -> Ints:
    return (ints(table, "node_id") << _SHIFT) | ints(table, column)


def _roots(tables: Tables, cause: Ints) -> Ints:
    """Follow causes through memory_failure() and machine checks to what they began with."""
    for name in ("memory_failures", "machine_checks"):
        own = _names(tables[name], "seq")
        if own.size:
            order = np.argsort(own)
            own, parent = own[order], _names(tables[name], "cause_seq")[order]
            at = np.minimum(np.searchsorted(own, cause), own.size - 1)
            cause = np.where(own[at] == cause, parent[at], cause)
    return cause


def _worst(tables: Tables) -> tuple[Ints, Ints]:
    """Return the node of each UE, and what it came to, as a place among ``OUTCOMES``."""
    ue = _names(tables["errors"], "seq")[is_code(tables["errors"], "kind", ErrorKind.UE)]
    came_to = np.zeros(ue.size, np.int64)
    taken = ints(tables["memory_failures"], "lost_bytes") > 0
    killed = is_code(tables["signals"], "fate", Fate.KILLED)
    panics = is_code(tables["lifecycle"], "kind", LifecycleKind.PANIC)
    every = np.ones(tables["io_errors"].num_rows, np.bool_)
    harms: tuple[tuple[str, str, Flags], ...] = (
        (TAKEN, "memory_failures", taken),
        (EIO, "io_errors", every),
        (KILLED, "signals", killed),
        (PANIC, "lifecycle", panics),
    )
    for outcome, name, some in harms:
        hit = np.isin(ue, _roots(tables, _names(tables[name], "cause_seq")[some]))
        came_to[hit] = OUTCOMES.index(outcome)
    return ue >> _SHIFT, came_to


def _by_node(node: Ints, came_to: Ints) -> npt.NDArray[np.float64]:
    """Count UEs by node and outcome, shape ``(nodes with any, outcomes)``."""
    nodes, at = np.unique(node, return_inverse=True)
    k = len(OUTCOMES)
    return np.bincount(at * k + came_to, minlength=nodes.size * k).reshape(-1, k).astype(np.float64)


def _sums(run: Run, arms: tuple[str, ...]) -> Iterator[tuple[str, NodeSums]]:
    """Add up the UEs of all nodes in each arm."""
    k = len(OUTCOMES)
    total = {arm: np.zeros(k) for arm in arms}
    square = {arm: np.zeros((k, k)) for arm in arms}
    for shard in read_shards(run, arms, COLUMNS):
        shared = _by_node(*_worst(shard.shared))
        for arm in arms:
            x = np.concatenate((shared, _by_node(*_worst(shard.own[arm]))))
            total[arm] += x.sum(axis=0)
            square[arm] += x.T @ x
    nodes = sum(group.nodes for group in run.groups)
    for arm in arms:
        yield arm, NodeSums(nodes, total[arm], square[arm], square[arm], total[arm], square[arm])


def after_ue_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return UEs by arm and what they came to, with the share of all UEs of the arm."""
    rows = []
    for arm, sums in _sums(run, chosen(run, arms)):
        for place, outcome in enumerate(OUTCOMES):
            share = proportion(sums, np.eye(len(OUTCOMES))[place], np.ones(len(OUTCOMES)))
            rows.append((arm, outcome, round(float(sums.total[place])), share.value, share.low, share.high))
    return tidy(rows, arm="", outcome="", ues="1", share="of UEs", share_low="of UEs", share_high="of UEs")


def _harmless(table: pa.Table) -> npt.NDArray[np.float64]:
    """Return the UEs of each arm that did no harm."""
    found: npt.NDArray[np.float64] = sum(
        (np.asarray(where(table, outcome=name)["ues"], np.float64) for name in HARMLESS), np.zeros(len(arms_in(table)))
    )
    return found


def _paint(ax: Axes, table: pa.Table) -> None:
    rows = drawn(_harmless(table))
    parts = {name: np.asarray(where(table, outcome=name)["ues"], np.float64)[rows] for name in OUTCOMES}
    named = stacked(ax, [arms_in(table)[row] for row in rows], parts, LOOKS)
    label_x(ax, "UEs", named, left_out(len(rows), len(arms_in(table))))
    legend_above(ax)


def what_followed_ues(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw what uncorrected errors came to, by arm.

    >>> ax, table = what_followed_ues(run, arms=run.arms[:1])
    >>> table["outcome"].to_pylist()
    ['nothing', 'page taken out', 'data lost (EIO)', 'process killed', 'node panicked']
    """
    table = after_ue_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(_run: Run, table: pa.Table) -> Caption:
    arm = arms_in(table)[0]
    mine = where(table, arm=arm).to_pylist()
    n = sum(row["ues"] for row in mine)
    if not n:
        return Caption(f"{arm}: no uncorrected error", "There is nothing to follow.", "No UEs.")
    harmless = sum(row["ues"] for row in mine if row["outcome"] in HARMLESS)
    worst = next(row for row in mine if row["outcome"] == PANIC)
    title = (
        f"{arm}: {percent(harmless / n)} of {counted(n, 'UE')} did no harm, {percent(worst['share'])} ended in a panic"
    )
    described = "; ".join(
        f"{row['outcome']} {row['ues']:,} ({percent(row['share'])}{percents(row['share_low'], row['share_high'])})"
        for row in mine
    )
    sentence = (
        f"Bars: UEs by the worst that followed, {counted(n, 'UE')} in {arm}; a panic counts before a kill, a kill "
        f"before lost data. {percent(worst['share'])}{percents(worst['share_low'], worst['share_high'])} ended in a "
        "panic (95 % interval, nodes being clusters)."
    )
    return Caption(title, sentence, f"UEs in {arm}: {described}.")


FIGURE = RunFigure(
    "what_followed_ues",
    what_followed_ues,
    after_ue_table,
    _paint,
    lambda _run: True,
    _explain,
    lambda table: height_of(len(drawn(_harmless(table)))),
)
