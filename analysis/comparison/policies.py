"""What policies that act on corrected errors are worth: UEs avoided, what that costs, and how good their alarms are.

**Models.** An arm's alarm about a DIMM is the first thing its policy does because of the DIMM's corrected errors: it
asks for a page to go offline, whatever the answer, or a limit of corrected errors or of error check and scrub is
reached. What the DIMM does in the baseline arm, which has the same faults, shows whether the alarm is right: a UE comes
after it (precision), it came before the first UE (recall, lead time). A DIMM is replaced for nothing if it has a UE
neither in the baseline nor in the arm. Costs are what an arm has more than the baseline.

**Leaves out.** DIMMs that the baseline never held, as it replaced none in their slot: an alarm about one is wrong. UEs
that the baseline avoids because it acts on corrected errors itself. Pages that ``memory_failure()`` takes; huge pages
that pools lose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analysis.comparison.effects import Paired, cost_per_avoided, share_avoided
from analysis.dataset.run import Run
from analysis.estimators.rates import Estimate, NodeSums, Vector, median, proportion
from fleet.stored.cells import Tables
from fleet.stored.manifest import COMMON_ARM, Receipt
from fleet.stored.schema import empty_table
from fleet.stored.spans import next_after
from node_sim.codes import UP_KINDS, Code, ErrorKind, LifecycleKind, LifecycleReason
from node_sim.names import dimm_of_fault, fault_ids, fault_tag, node_of_dimm, node_of_fault, slot_in_fleet
from node_sim.records import Flags, Ints
from node_sim.units import FOREVER, NS_PER_DAY, NS_PER_HOUR, NS_PER_YEAR, PAGE_BYTES

ALARM_REASONS: Final = (
    LifecycleReason.CE_LIMIT,
    LifecycleReason.RISKY_PATTERN,
    LifecycleReason.ECS_LIMIT,
    LifecycleReason.OWN_POLICY,
)
"""Reasons of rows of ``lifecycle`` that are due to corrected errors, or to a policy of one's own that saw some error;
every row of ``page_offlines`` is."""
LEADS: Final = (
    ("lead_above_15_min", NS_PER_HOUR // 4),
    ("lead_above_1_h", NS_PER_HOUR),
    ("lead_above_1_day", NS_PER_DAY),
)
COLUMNS: Final = {
    "errors": ("fault_id", "kind", "time_ns", "n_ce_before"),
    "page_offlines": ("fault_id", "time_ns", "n_pages"),
    "lifecycle": ("node_id", "fault_id", "time_ns", "end_ns", "kind", "reason", "dimm"),
}
"""Tables and columns that are read."""
_GIB: Final = 1 << 30


class Seen(NamedTuple):
    """What a table of alarms needs of the nodes of a shard in one arm.

    Attributes:
        ue_dimm: DIMM (node, slot, generation) of each UE, shape ``(n_ue,)``.
        ue_ns: Its time [ns].
        sudden: Whether the DIMM had no CE before it.
        ce_dimm: DIMMs with a CE, each once.
        alarm_dimm: DIMMs about which there is an alarm, each once, ascending.
        alarm_ns: When [ns].
        replaced: DIMMs replaced.
        offline_node: Node of each row by which pages went offline.
        offline_gib: Their size.
        offline_years: From then to the next boot of the node, or to the horizon.
    """

    ue_dimm: Ints
    ue_ns: Ints
    sudden: Flags
    ce_dimm: Ints
    alarm_dimm: Ints
    alarm_ns: Ints
    replaced: Ints
    offline_node: Ints
    offline_gib: npt.NDArray[np.float64]
    offline_years: npt.NDArray[np.float64]


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(pc.fill_null(table.column(name), 0)).astype(np.int64)


def _is(table: pa.Table, name: str, *codes: Code) -> Flags:
    """Return which rows have one of some codes in a column."""
    found = np.zeros(table.num_rows, np.bool_)
    for code in codes:
        found |= np.asarray(pc.equal(table.column(name), code.text)).astype(np.bool_)
    return found


def _firsts(dimm: Ints, time_ns: Ints) -> tuple[Ints, Ints]:
    """Return each DIMM once, ascending, with its first time."""
    order = np.lexsort((time_ns, dimm))
    name, at = np.unique(dimm[order], return_index=True)
    return name, time_ns[order][at]


def _look_up(dimm: Ints, known: Ints, time_ns: Ints, default_ns: int) -> Ints:
    """Return the times of DIMMs, or the default; ``known`` has each DIMM once, ascending."""
    if not known.size:
        return np.full(dimm.shape, default_ns, np.int64)
    at = np.minimum(np.searchsorted(known, dimm), known.size - 1)
    return np.where(known[at] == dimm, time_ns[at], default_ns)


def _replaced(lifecycle: pa.Table) -> Ints:
    """Name the DIMMs replaced: their generation is how many were replaced in their slot before.

    The fault of a row need not be one of the DIMM: a repair replaces all DIMMs of the node that are due.
    """
    rows = lifecycle.filter(pa.array(_is(lifecycle, "kind", LifecycleKind.DIMM_REPLACEMENT)))
    node, slot, end_ns = (_ints(rows, name) for name in ("node_id", "dimm", "end_ns"))
    place = slot_in_fleet(node, slot)
    order = np.lexsort((end_ns, place))
    first = np.searchsorted(place[order], place[order])
    generation = np.arange(order.size) - first
    return dimm_of_fault(fault_ids(node[order], fault_tag(slot[order], generation, np.zeros_like(generation)))).astype(
        np.int64
    )


def see(tables: Tables, horizon_ns: int) -> Seen:
    """Reduce the tables of one arm's view (any nodes, with ``COLUMNS``) to what counts."""
    errors, offlines, lifecycle = (tables[name] for name in COLUMNS)
    is_ue = _is(errors, "kind", ErrorKind.UE)
    dimm = dimm_of_fault(_ints(errors, "fault_id"))
    limits = lifecycle.filter(pa.array(_is(lifecycle, "reason", *ALARM_REASONS)))
    acted_fault = np.concatenate((_ints(offlines, "fault_id"), _ints(limits, "fault_id")))
    acted_ns = np.concatenate((_ints(offlines, "time_ns"), _ints(limits, "time_ns")))
    alarm_dimm, alarm_ns = _firsts(dimm_of_fault(acted_fault), acted_ns)
    gone = offlines.filter(pc.greater(offlines.column("n_pages"), 0))
    node, time_ns = node_of_fault(_ints(gone, "fault_id")), _ints(gone, "time_ns")
    down = lifecycle.filter(pa.array(~_is(lifecycle, "kind", *UP_KINDS)))
    until_ns = next_after(node, time_ns, _ints(down, "node_id"), _ints(down, "time_ns"), horizon_ns)
    return Seen(
        ue_dimm=dimm[is_ue],
        ue_ns=_ints(errors, "time_ns")[is_ue],
        sudden=_ints(errors, "n_ce_before")[is_ue] == 0,
        ce_dimm=np.unique(dimm[_is(errors, "kind", ErrorKind.CE)]),
        alarm_dimm=alarm_dimm,
        alarm_ns=alarm_ns,
        replaced=_replaced(lifecycle),
        offline_node=node,
        offline_gib=(_ints(gone, "n_pages") * (PAGE_BYTES / _GIB)).astype(np.float64),
        offline_years=(until_ns - time_ns) / NS_PER_YEAR,
    )


class JudgedAlarms(NamedTuple):
    """The alarms of an arm beside the UEs of the baseline.

    Attributes:
        failed: DIMMs with a UE in the baseline, each once.
        lead_ns: From the alarm to the first UE of each; not above 0 if there is no alarm before it.
        right: Which alarms of the arm come before a UE of the baseline.
    """

    failed: Ints
    lead_ns: Ints
    right: Flags


def judge(arm: Seen, base: Seen) -> JudgedAlarms:
    """Judge the alarms of an arm by the UEs that the same DIMMs have in the baseline."""
    failed, first_ns = _firsts(base.ue_dimm, base.ue_ns)
    _, minus_last_ns = _firsts(base.ue_dimm, -base.ue_ns)
    lead_ns = first_ns - _look_up(failed, arm.alarm_dimm, arm.alarm_ns, FOREVER)
    return JudgedAlarms(failed, lead_ns, -_look_up(arm.alarm_dimm, failed, minus_last_ns, FOREVER) > arm.alarm_ns)


def _of_alarms(arm: Seen, base: Seen, judged: JudgedAlarms) -> dict[str, Ints]:
    """DIMMs by what is counted about them."""
    warned = judged.lead_ns > 0
    return {
        "ue": arm.ue_dimm,
        "sudden_ue": arm.ue_dimm[arm.sudden],
        "failed": judged.failed,
        "spared": judged.failed[~np.isin(judged.failed, arm.ue_dimm)],
        "warned": judged.failed[warned],
        **{name: judged.failed[judged.lead_ns > limit_ns] for name, limit_ns in LEADS},
        "alarmed": arm.alarm_dimm,
        "right": arm.alarm_dimm[judged.right],
        "with_ce": arm.ce_dimm,
        "with_ce_failed": arm.ce_dimm[np.isin(arm.ce_dimm, base.ue_dimm)],
        "with_ce_alarmed": arm.ce_dimm[np.isin(arm.ce_dimm, arm.alarm_dimm)],
        "replaced": arm.replaced,
        "for_nothing": arm.replaced[~np.isin(arm.replaced, np.concatenate((base.ue_dimm, arm.ue_dimm)))],
    }


COUNTED: Final = (
    "ue",
    "sudden_ue",
    "failed",
    "spared",
    "warned",
    *(name for name, _ in LEADS),
    "alarmed",
    "right",
    "with_ce",
    "with_ce_failed",
    "with_ce_alarmed",
    "replaced",
    "for_nothing",
    "offline_gib",
    "offline_gib_years",
)
"""What is counted of each node in an arm."""


def _weights(name: str) -> Vector:
    return np.asarray([float(name == other) for other in COUNTED])


def _count(arm: Seen, base: Seen, judged: JudgedAlarms, nodes: Ints) -> Vector:
    """Count by node, shape ``(nodes, counted)``; ``nodes`` ascend and are all to which something happened."""
    found = _of_alarms(arm, base, judged)
    x = np.zeros((nodes.size, len(COUNTED)))
    for name, dimm in found.items():
        at = np.searchsorted(nodes, node_of_dimm(dimm))
        x[:, COUNTED.index(name)] = np.bincount(at, minlength=nodes.size)
    at, gib = np.searchsorted(nodes, arm.offline_node), arm.offline_gib
    x[:, COUNTED.index("offline_gib")] = np.bincount(at, gib, nodes.size)
    x[:, COUNTED.index("offline_gib_years")] = np.bincount(at, gib * arm.offline_years, nodes.size)
    return x


def _nodes(views: Iterable[Seen]) -> Ints:
    """Return the nodes to which something that counts happened, ascending."""
    found = [node_of_dimm(d) for s in views for d in (s.ue_dimm, s.ce_dimm, s.alarm_dimm, s.replaced)]
    return np.unique(np.concatenate([*found, *(s.offline_node for s in views)]))


def read_views(run: Run, receipt: Receipt) -> dict[str, dict[str, pa.Table]]:
    """Read what counts of one shard: the tables of each arm's view, common rows once."""
    pieces: dict[tuple[str, str], list[pa.Table]] = {}
    for part in receipt.parts:
        if part.table in COLUMNS:
            pieces.setdefault((part.arm, part.table), []).append(run.read_part(part, COLUMNS[part.table]))

    def view(arm: str, table: str) -> pa.Table:
        mine = pieces.get((COMMON_ARM, table), []) + pieces.get((arm, table), [])
        return pa.concat_tables(mine) if mine else empty_table(table).select(list(COLUMNS[table]))

    return {arm: {table: view(arm, table) for table in COLUMNS} for arm in run.arms}


def acts_on_ce(run: Run) -> bool:
    """Whether a policy of some arm acted on corrected errors."""
    if any(part.table == "page_offlines" and part.rows for part in run.parts):
        return True
    limits = (run.read_part(part, ("reason",)) for part in run.parts if part.table == "lifecycle")
    return any(_is(table, "reason", *ALARM_REASONS).any() for table in limits)


class Worth(NamedTuple):
    """Sums over the nodes of an arm and its baseline.

    Attributes:
        sums: What is counted.
        ue: UEs of the same nodes in both.
        lead_hours: Lead times of the alarms [h], shape ``(warned,)``.
    """

    sums: NodeSums
    ue: Paired
    lead_hours: Vector


def weigh_policies(run: Run, baseline: str) -> dict[str, Worth]:
    """Count every arm, the baseline first, against the baseline, shard by shard.

    Raises:
        ConfigError: The run has no such arm.
    """
    run.check_arm(baseline)
    order = (baseline, *(arm for arm in run.arms if arm != baseline))
    k = len(COUNTED)
    total, square, cross = np.zeros((len(order), k)), np.zeros((len(order), k, k)), np.zeros((len(order), k, k))
    ues: list[list[Vector]] = [[] for _ in order]
    leads: list[list[Vector]] = [[] for _ in order]
    for receipt in run.receipts:
        tables = read_views(run, receipt)
        seen = [see(tables[arm], run.horizon_ns) for arm in order]
        nodes = _nodes(seen)
        x0 = np.empty((0, 0))
        for position, mine in enumerate(seen):
            judged = judge(mine, seen[0])
            x = _count(mine, seen[0], judged, nodes)
            x0 = x0 if position else x
            total[position] += x.sum(axis=0)
            square[position] += x.T @ x
            cross[position] += x.T @ x0
            ue = np.stack((x, x0))[:, :, COUNTED.index("ue")]
            ues[position].append(ue[:, ue.any(axis=0)])
            leads[position].append(judged.lead_ns[judged.lead_ns > 0] / NS_PER_HOUR)
    n = sum(group.nodes for group in run.groups)
    return {
        arm: Worth(
            NodeSums(n, total[at], square[at], cross[at], total[0], square[0]),
            Paired.by_node(n, *np.concatenate([*ues[at], np.empty((2, 0))], axis=1)),
            np.concatenate([*leads[at], []]),
        )
        for at, arm in enumerate(order)
    }


def _number(name: str) -> Callable[[Worth], int]:
    return lambda worth: round(float(_weights(name) @ worth.sums.total))


def _share(part: str, whole: str) -> Callable[[Worth], Estimate]:
    return lambda worth: proportion(worth.sums, _weights(part), _weights(whole))


def _per_ue(cost: str) -> Callable[[Worth], Estimate]:
    return lambda worth: cost_per_avoided(worth.sums, _weights(cost), _weights("ue"))


def _memory_per_ue(cost: str) -> Callable[[Worth], Estimate]:
    """Leave out the interval: a few nodes have most of the memory, so that it would rarely hold the truth."""
    found = _per_ue(cost)
    return lambda worth: Estimate(found(worth).value, None, None)


FIGURES: Final[dict[str, Callable[[Worth], int | Estimate]]] = {
    "ue": _number("ue"),
    "ue_avoided": lambda worth: round(float(_weights("ue") @ (worth.sums.base_total - worth.sums.total))),
    "ue_avoided_share": lambda worth: share_avoided(worth.ue),
    "dimms_spared": _number("spared"),
    "dimms_spared_share": _share("spared", "failed"),
    "dimms_replaced": _number("replaced"),
    "dimms_replaced_for_nothing": _number("for_nothing"),
    "more_dimms_replaced_per_ue_avoided": _per_ue("replaced"),
    "more_dimms_replaced_for_nothing_per_ue_avoided": _per_ue("for_nothing"),
    "memory_offlined_gib_per_ue_avoided": _memory_per_ue("offline_gib"),
    "memory_offlined_gib_years_per_ue_avoided": _memory_per_ue("offline_gib_years"),
    "dimms_alarmed": _number("alarmed"),
    "dimms_with_ce_alarmed_share": _share("with_ce_alarmed", "with_ce"),
    "precision": _share("right", "alarmed"),
    "recall": _share("warned", "failed"),
    "lead_median_hours": lambda worth: median(worth.lead_hours),
    **{f"{name}_share": _share(name, "warned") for name, _ in LEADS},
}
"""Figures of an arm against its baseline."""
BASELINE_FIGURES: Final[dict[str, Callable[[Worth], int | Estimate]]] = {
    "dimms_with_ce": _number("with_ce"),
    "dimms_with_ce_that_have_ue_share": _share("with_ce_failed", "with_ce"),
    "dimms_with_ue": _number("failed"),
    "ue": _number("ue"),
    "ue_without_ce_before_share": _share("sudden_ue", "ue"),
    "dimms_replaced": _number("replaced"),
    "dimms_alarmed": _number("alarmed"),
}
"""Figures of the baseline; UEs of DIMMs that had no CE before are those that no policy on CEs can avoid."""


class PolicyTable(NamedTuple):
    """Figures of the baseline, and of every other arm against it."""

    baseline: dict[str, int | Estimate]
    arms: dict[str, dict[str, int | Estimate]]


def compare_policies(run: Run, baseline: str | None = None) -> PolicyTable | None:
    """Compare what policies on corrected errors are worth; None if no arm of the run acted on them.

    Raises:
        ConfigError: The run has no such arm.
    """
    if not acts_on_ce(run):
        return None
    (_, base), *others = weigh_policies(run, baseline or run.arms[0]).items()
    return PolicyTable(
        {name: figure(base) for name, figure in BASELINE_FIGURES.items()},
        {arm: {name: figure(worth) for name, figure in FIGURES.items()} for arm, worth in others},
    )


def policies_json(found: PolicyTable | None) -> dict[str, Any] | None:
    """Return all figures, those with intervals as value and ``ci95``."""

    def plain(figures: dict[str, int | Estimate]) -> dict[str, Any]:
        return {name: item.to_json() if isinstance(item, Estimate) else item for name, item in figures.items()}

    if found is None:
        return None
    return {"baseline": plain(found.baseline), "arms": {arm: plain(figures) for arm, figures in found.arms.items()}}
