"""Effects within groups of nodes, and on kills and losses by what was hit: the page's use, the process, the cause.

**Models.** Each kill is a row of ``signals``; its ``cause_seq`` leads to the page that was handled, if one was. What is
found at each level is counted by node and paired as every other effect is. Processes that a panic takes along have no
row of their own, so losses by panics are a level of their own; levels add up to the effect as a whole.

**Assumes.** As ``analysis/estimators/rates.py``: of each level, one more node may lose what a page, or a panic, ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analysis.comparison.effects import Effect, Paired, effect_of, effects_of
from analysis.dataset.groups import GroupInfo
from analysis.dataset.run import Run
from analysis.estimators.rates import Ends, Sums, Vector, ends_of
from fleet.stored.causes import row_names
from fleet.stored.headline import BY_KEY, EXPOSURE, INDEX
from fleet.stored.tally import Tally
from node_sim.codes import Fate, LifecycleKind, SignalName
from node_sim.records import Ints

BY: Final = ("group", "page_use", "process", "cause")
"""What effects can be given by."""
BY_ROWS: Final = ("kills", "losses")
"""Metrics that are given by anything but groups."""
NO_PAGE, PANIC = "no page handled", "panic"
_CAUSES: Final = {"early": "kills_early_ao", "late": "kills_late_ar", "direct": "kills_direct_ar"}

Leveled = dict[str, dict[str, Effect]]
"""Effects by level and metric."""


class Lost(NamedTuple):
    """Processes lost in one arm: node, how many and the level, each shape ``(rows,)``."""

    node: Ints
    amount: Ints
    level: npt.NDArray[np.str_]


def effects_by_group(tally: Tally, position: int, groups: Sequence[GroupInfo]) -> Leveled:
    """Compare an arm of a tally with its first, within each group of nodes."""
    ends = ends_of(group.processes for group in groups)
    return {group.name: effects_of(Sums.of(tally, position, [g], ends)) for g, group in enumerate(groups)}


def effects_on_losses(lost: Lost, base: Lost, sums: Sums) -> Leveled:
    """Compare what two arms with the same faults lost, at each level that any of them has.

    Args:
        lost: What the arm lost.
        base: What its baseline lost.
        sums: Of both, for nodes and exposure.
    """
    exposure = float(sums.base_total[INDEX[EXPOSURE]])
    levels = np.unique(np.concatenate((lost.level, base.level))).tolist()
    ordered = sorted(levels, key=lambda level: (level == PANIC, level))
    return {level: _at(level, (lost, base), sums.nodes, exposure, sums.ends) for level in ordered}


def losses_by(run: Run, arm: str, by: str) -> Lost:
    """Return the processes that an arm lost, with the level of each row."""
    killed = run.table("signals", arm)
    killed = killed.filter(pc.equal(killed.column("fate"), Fate.KILLED.text))
    panics = run.table("lifecycle", arm, columns=["node_id", "kind", "processes_lost"])
    panics = panics.filter(pc.equal(panics.column("kind"), LifecycleKind.PANIC.text))
    level = _texts(killed, "process_class") if by == "process" else _cause(killed) if by == "cause" else None
    if level is None:
        level = _page_use(killed, run.table("memory_failures", arm, columns=["node_id", "seq", "page_use"]))
    return Lost(
        np.concatenate((_ints(killed, "node_id"), _ints(panics, "node_id"))),
        np.concatenate((np.ones(killed.num_rows, np.int64), _ints(panics, "processes_lost"))),
        np.concatenate((level, np.full(panics.num_rows, PANIC))),
    )


def _ints(table: pa.Table, name: str) -> Ints:
    values: Ints = table.column(name).to_numpy().astype(np.int64)
    return values


def _texts(table: pa.Table, name: str) -> npt.NDArray[np.str_]:
    return np.asarray([str(text) for text in table.column(name).to_pylist()], np.str_)


def _cause(killed: pa.Table) -> npt.NDArray[np.str_]:
    """Name the cause of each kill as the table of rates does."""
    timing = [BY_KEY[_CAUSES[text]].title for text in _texts(killed, "timing").tolist()]
    by_signal = _texts(killed, "signal") == SignalName.SIGKILL.text
    return np.where(by_signal, BY_KEY["kills_sigkill"].title, np.asarray(timing, np.str_))


def _page_use(killed: pa.Table, handled: pa.Table) -> npt.NDArray[np.str_]:
    """Name the use of the page whose handling led to each kill."""
    name, use = row_names(handled, "seq"), _texts(handled, "page_use")
    cause, order = row_names(killed, "cause_seq"), np.argsort(name)
    if not name.size:
        return np.full(killed.num_rows, NO_PAGE)
    at = order[np.minimum(np.searchsorted(name[order], cause), name.size - 1)]
    return np.where(name[at] == cause, use[at], NO_PAGE)


def _at(level: str, both: tuple[Lost, Lost], nodes: int, exposure: float, ends: Ends) -> dict[str, Effect]:
    """Compare two arms in what they lost at one level."""
    rows = [(one.node[one.level == level], one.amount[one.level == level]) for one in both]
    known = np.unique(np.concatenate([node for node, _ in rows]))
    arm, base = (_by_node(known, *one) for one in rows)
    most = float(max(1, ends.panic if level == PANIC else ends.page))
    found = effect_of(Paired.by_node(nodes, arm, base, most), exposure)
    return {"losses": found} if level == PANIC else {"kills": found, "losses": found}


def _by_node(known: Ints, node: Ints, amount: Ints) -> Vector:
    return np.bincount(np.searchsorted(known, node), amount, known.size).astype(np.float64)
