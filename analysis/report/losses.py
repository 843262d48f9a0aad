"""Processes lost, event by event: what ended them, who they were, what the page was used for, on which node.

**Models.** A loss is a row of ``signals`` whose process died, or a panic with the processes that went down with it.
What the page was used for is what the call of ``memory_failure()`` found that caused the row; if the server went down
before any, what one found on the same page of the server in another arm.

**Leaves out.** The use of pages that no arm looked up: read by the kernel or a device, with a panic in every arm.

**Assumes.** A page that several arms look up is used for the same; it may have been used anew in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.dataset.run import Run
from fleet.stored.causes import row_names
from fleet.stored.manifest import COMMON_ARM, Receipt
from fleet.stored.schema import empty_table
from node_sim.codes import (
    Code,
    Fate,
    LifecycleKind,
    LifecycleReason,
    PageUse,
    ProcessClass,
    SignalName,
    Timing,
)
from node_sim.records import Floats, Ints

COLUMNS: Final = {
    "signals": ("node_id", "cause_seq", "process_class", "signal", "timing", "fate"),
    "lifecycle": ("node_id", "cause_seq", "kind", "reason", "processes_lost"),
    "memory_failures": ("node_id", "seq", "pfn", "page_use"),
    "machine_checks": ("node_id", "seq", "pfn"),
}
"""Tables and columns that are read."""
CAUSES: Final = (
    *(f"killed: SIGBUS, {timing.text}" for timing in Timing),
    "killed: SIGKILL",
    *(f"panic: {reason.text}" for reason in LifecycleReason),
)
_SIGKILL: Final = len(Timing)
_PANIC: Final = _SIGKILL + 1
CLASSES: Final = (*ProcessClass.vocabulary(), "all of the server, by a panic")
_ALL: Final = len(ProcessClass)
USES: Final = (
    *PageUse.vocabulary(),
    "not looked up: the server went down first, in every policy",
    "no page: a wrong command or address",
)
_UNKNOWN: Final = len(PageUse)
_NO_PAGE: Final = _UNKNOWN + 1
_PFN_BITS: Final = 45
"""Bits of a page number, above which the number of a node within its shard has room."""
KINDS: Final = {"cause": CAUSES, "process class": CLASSES, "page use": USES}
"""What losses are told apart by, and the names of the kinds."""


class LossRows(NamedTuple):
    """Losses in one arm, each of shape ``(n,)``.

    Attributes:
        node: Server.
        processes: How many it took.
        cause: Position in ``CAUSES``.
        process_class: Position in ``CLASSES``.
        page_use: Position in ``USES``.
    """

    node: Ints
    processes: Ints
    cause: Ints
    process_class: Ints
    page_use: Ints

    def by(self, kind: str) -> Ints:
        """Return the positions of losses among the names of a kind."""
        return {"cause": self.cause, "process class": self.process_class, "page use": self.page_use}[kind]

    def counted(self, kind: str) -> Floats:
        """Return processes lost by kind."""
        return np.bincount(self.by(kind), self.processes, len(KINDS[kind])).astype(np.float64)

    def of_node(self, node: int) -> LossRows:
        """Return those of one node."""
        mine = self.node == node
        return LossRows(*(part[mine] for part in self))


def read_losses(run: Run) -> dict[str, LossRows]:
    """Return the losses of each arm."""
    pieces: dict[str, list[LossRows]] = {arm: [] for arm in run.arms}
    for receipt in run.receipts:
        parts = {arm: _complete(tables) for arm, tables in _parts(run, receipt).items()}
        found = _looked_up(receipt.shard.first_node, parts)
        none = _complete({})
        common = _losses(parts.get(COMMON_ARM, none), found)
        for arm in run.arms:
            pieces[arm] += [common, _losses(parts.get(arm, none), found)]
    return {arm: LossRows(*(np.concatenate(part) for part in zip(*some, strict=True))) for arm, some in pieces.items()}


def _parts(run: Run, receipt: Receipt) -> dict[str, dict[str, pa.Table]]:
    """Read what counts of one shard, by the arm it is stored for."""
    found: dict[str, dict[str, list[pa.Table]]] = {}
    for part in receipt.parts:
        if part.table in COLUMNS:
            rows = run.read_part(part, COLUMNS[part.table])
            found.setdefault(part.arm, {}).setdefault(part.table, []).append(rows)
    return {arm: {name: pa.concat_tables(some) for name, some in tables.items()} for arm, tables in found.items()}


def _complete(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Add the tables that have no rows."""
    return {name: tables.get(name, empty_table(name).select(list(columns))) for name, columns in COLUMNS.items()}


class LookedUp(NamedTuple):
    """What pages of a shard were found to be used for in any arm; each page once, ascending."""

    first_node: int
    page: Ints
    use: Ints

    def use_of(self, node: Ints, pfn: Ints) -> Ints:
        """Return the uses of pages; those of no page have a negative number."""
        page = _pages(self.first_node, node, pfn)
        if not self.page.size:
            return np.where(pfn < 0, _NO_PAGE, _UNKNOWN)
        at = np.minimum(np.searchsorted(self.page, page), self.page.size - 1)
        return np.where(pfn < 0, _NO_PAGE, np.where(self.page[at] == page, self.use[at], _UNKNOWN))


def _pages(first_node: int, node: Ints, pfn: Ints) -> Ints:
    """Name pages of a shard by one number each."""
    return ((node - first_node) << _PFN_BITS) | np.maximum(pfn, 0)


def _looked_up(first_node: int, parts: dict[str, dict[str, pa.Table]]) -> LookedUp:
    handled = [tables["memory_failures"] for tables in parts.values()]
    page = [_pages(first_node, _ints(one, "node_id"), _ints(one, "pfn")) for one in handled]
    use = [codes_of(one, "page_use", PageUse) for one in handled]
    none = np.empty(0, np.int64)
    name, at = np.unique(np.concatenate([none, *page]), return_index=True)
    return LookedUp(first_node, name, np.concatenate([none, *use])[at])


def _losses(tables: dict[str, pa.Table], found: LookedUp) -> LossRows:
    signals, lifecycle = tables["signals"], tables["lifecycle"]
    killed = signals.filter(pa.array(codes_of(signals, "fate", Fate) == Fate.KILLED))
    panics = lifecycle.filter(pa.array(codes_of(lifecycle, "kind", LifecycleKind) == LifecycleKind.PANIC))
    by_sigkill = codes_of(killed, "signal", SignalName) == SignalName.SIGKILL
    cause_of_kill = np.where(by_sigkill, _SIGKILL, codes_of(killed, "timing", Timing))
    cause_of_panic = _PANIC + codes_of(panics, "reason", LifecycleReason)
    n = killed.num_rows
    return LossRows(
        node=np.concatenate((_ints(killed, "node_id"), _ints(panics, "node_id"))),
        processes=np.concatenate((np.ones(n, np.int64), _ints(panics, "processes_lost"))),
        cause=np.concatenate((cause_of_kill, cause_of_panic)),
        process_class=np.concatenate(
            (codes_of(killed, "process_class", ProcessClass), np.full(panics.num_rows, _ALL, np.int64))
        ),
        page_use=np.concatenate((_uses(killed, tables, found), _uses(panics, tables, found))),
    )


def _uses(rows: pa.Table, tables: dict[str, pa.Table], found: LookedUp) -> Ints:
    """Return what the pages were used for to which some rows are due."""
    use = np.full(rows.num_rows, _UNKNOWN, np.int64)
    cause = row_names(rows, "cause_seq")
    for name in ("machine_checks", "memory_failures"):
        known = row_names(tables[name], "seq")
        if not known.size:
            continue
        order = np.argsort(known)
        at = order[np.minimum(np.searchsorted(known[order], cause), known.size - 1)]
        mine = known[at] == cause
        if name == "memory_failures":
            there = codes_of(tables[name], "page_use", PageUse)[at]
        else:
            pfn = np.asarray(pc.fill_null(pc.cast(tables[name].column("pfn"), pa.int64()), -1))
            there = found.use_of(_ints(rows, "node_id"), pfn[at])
        use = np.where(mine, there, use)
    return use


def codes_of(table: pa.Table, column: str, code: type[Code]) -> Ints:
    """Return the codes of a column of texts."""
    texts = pc.cast(table.column(column), pa.string())
    found = pc.fill_null(pc.index_in(texts, value_set=pa.array(code.vocabulary())), -1)
    return np.asarray(found).astype(np.int64)


def _ints(table: pa.Table, column: str) -> Ints:
    return np.asarray(table.column(column)).astype(np.int64)


class Changed(NamedTuple):
    """A node, and what it lost in the baseline and in an arm."""

    node: int
    arm: str
    was: int
    now: int


def most_changed(losses: dict[str, LossRows], arms: Sequence[str], most: int) -> list[Changed]:
    """Return the nodes whose losses differ most from those in the first of some arms, each in the arm where they do.

    If there is no other arm, they are the nodes that lost most.
    """
    base_node, base_lost = _by_node(losses[arms[0]])
    found: dict[int, Changed] = {}
    for arm in arms[1:] or arms:
        node, lost = (base_node[:0], base_lost[:0]) if len(arms) == 1 else _by_node(losses[arm])
        every = np.union1d(node, base_node)
        was, now = _look_up(every, base_node, base_lost), _look_up(every, node, lost)
        for at in np.lexsort((every, -np.abs(now - was)))[:most]:
            one = Changed(int(every[at]), arm, int(was[at]), int(now[at]))
            if one.was != one.now and abs(one.now - one.was) > _gap(found.get(one.node)):
                found[one.node] = one
    return sorted(found.values(), key=lambda one: (-_gap(one), one.node))[:most]


def _gap(one: Changed | None) -> int:
    return abs(one.now - one.was) if one else 0


def _by_node(losses: LossRows) -> tuple[Ints, Ints]:
    node, at = np.unique(losses.node, return_inverse=True)
    return node, np.bincount(at, losses.processes, node.size).astype(np.int64)


def _look_up(node: Ints, known: Ints, value: Ints) -> Ints:
    if not known.size:
        return np.zeros(node.shape, np.int64)
    at = np.minimum(np.searchsorted(known, node), known.size - 1)
    return np.where(known[at] == node, value[at], 0)
