"""How long after its first corrected error does a DIMM have an uncorrected one?

**Models.** At risk is every DIMM from its first logged corrected error on, at its own time 0. It leaves by its first
uncorrected error (the event), by being replaced or mapped out before (a competing event: it can never have one), or by
the end of the run (censored). The cumulative incidence is Aalen and Johansen's (``analysis/estimators/incidence.py``);
where no DIMM is taken away it is one minus Kaplan and Meier's estimate.

**Leaves out.** DIMMs whose first uncorrected error comes before any corrected one: they were never at risk here. Time
that nodes are down: it counts, and is a thousandth of a node's year.

**Assumes.** DIMMs are independent; the faults of two DIMMs of a node are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from analysis.dataset.run import Run
from analysis.estimators.incidence import CENSORED, COMPETING, OF_INTEREST, cumulative_incidence
from analysis.figures.arms import chosen
from analysis.figures.bars import legend_above
from analysis.figures.figure import Arms, Caption, RunFigure
from analysis.figures.labels import label_x
from analysis.figures.style import COLOURS, DASHES, own_axes
from analysis.figures.tables import arms_in, column_of, tidy, where
from analysis.figures.views import ints, is_code, read_shards
from analysis.figures.words import counted, percent, percents
from fleet.stored.cells import Tables
from node_sim.codes import ErrorKind, LifecycleKind
from node_sim.names import dimm_of_fault, fault_ids, fault_tag, slot_in_fleet
from node_sim.records import Ints
from node_sim.units import FOREVER, NS_PER_DAY, NS_PER_HOUR, NS_PER_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES: Final = 4
COLUMNS: Final = {
    "errors": ("fault_id", "time_ns", "kind", "first_time_ns"),
    "lifecycle": ("node_id", "time_ns", "end_ns", "kind", "dimm"),
}
_TICKS: Final = (
    (NS_PER_S, "1 s"),
    (60 * NS_PER_S, "1 min"),
    (NS_PER_HOUR, "1 h"),
    (NS_PER_DAY, "1 d"),
    (30 * NS_PER_DAY, "30 d"),
    (365 * NS_PER_DAY, "1 y"),
    (3650 * NS_PER_DAY, "10 y"),
)
AT_RISK_DRAWN: Final = 0.1
"""Curves are drawn while so many of the DIMMs are at risk: later each one moves them a lot."""
_POINTS: Final = 400
"""Steps of a curve that are drawn at most."""


class TimeAtRisk(NamedTuple):
    """DIMMs from their first corrected error on: for how long [ns], and what ended it; shape ``(dimms,)``."""

    time_ns: Ints
    end: Ints


def _firsts(dimm: Ints, time_ns: Ints) -> tuple[Ints, Ints]:
    """Return each DIMM once, ascending, with its first time."""
    order = np.lexsort((time_ns, dimm))
    found, at = np.unique(dimm[order], return_index=True)
    return found, time_ns[order][at]


def _look_up(dimm: Ints, known: tuple[Ints, Ints]) -> Ints:
    """Return the times of DIMMs; for ever where none is known."""
    names, time_ns = known
    if not names.size:
        return np.full(dimm.shape, FOREVER, np.int64)
    at = np.minimum(np.searchsorted(names, dimm), names.size - 1)
    return np.where(names[at] == dimm, time_ns[at], FOREVER)


def _taken_away(lifecycle: pa.Table) -> tuple[Ints, Ints]:
    """Return the DIMMs that are replaced or mapped out, and when."""
    swap = is_code(lifecycle, "kind", LifecycleKind.DIMM_REPLACEMENT)
    some = swap | is_code(lifecycle, "kind", LifecycleKind.MAP_OUT)
    node, slot, time_ns = (ints(lifecycle, name)[some] for name in ("node_id", "dimm", "time_ns"))
    done, place = np.where(swap, ints(lifecycle, "end_ns"), 0)[some], slot_in_fleet(node, slot)
    # The generation of a DIMM is how many in its slot were replaced before it was taken away.
    order = np.lexsort((time_ns, place))
    place, done, time_ns, node, slot = (part[order] for part in (place, done, time_ns, node, slot))
    before = np.concatenate(([0], np.cumsum(done > 0)))[:-1]
    generation = before - before[np.searchsorted(place, place)]
    dimm = dimm_of_fault(fault_ids(node, fault_tag(slot, generation, np.zeros_like(slot)))).astype(np.int64)
    return _firsts(dimm, time_ns)


def watch(tables: Tables, horizon_ns: int) -> TimeAtRisk:
    """Watch the DIMMs of some nodes in one arm."""
    errors = tables["errors"]
    dimm = dimm_of_fault(ints(errors, "fault_id"))
    is_ce, is_ue = (is_code(errors, "kind", kind) for kind in (ErrorKind.CE, ErrorKind.UE))
    at_risk, since_ns = _firsts(dimm[is_ce], ints(errors, "first_time_ns")[is_ce])
    ue_ns = _look_up(at_risk, _firsts(dimm[is_ue], ints(errors, "time_ns")[is_ue]))
    gone_ns = np.minimum(_look_up(at_risk, _taken_away(tables["lifecycle"])), FOREVER)
    until_ns = np.minimum(np.minimum(ue_ns, gone_ns), horizon_ns)
    end = np.full(at_risk.size, CENSORED)
    end[gone_ns <= horizon_ns] = COMPETING
    end[(ue_ns <= gone_ns) & (ue_ns <= horizon_ns)] = OF_INTEREST
    mine = ue_ns >= since_ns
    return TimeAtRisk((until_ns - since_ns)[mine], end[mine])


def time_to_ue_table(run: Run, arms: Arms = None) -> pa.Table:
    """Return, by arm and time since the first corrected error, who is at risk and how many have had a UE."""
    names = chosen(run, arms)
    pieces: dict[str, list[TimeAtRisk]] = {arm: [] for arm in names}
    for shard in read_shards(run, names, COLUMNS):
        shared = watch(shard.shared, run.horizon_ns)
        for arm in names:
            pieces[arm] += [shared, watch(shard.own[arm], run.horizon_ns)]
    rows = []
    for arm, found in pieces.items():
        time_ns, end = (np.concatenate(parts) for parts in zip(*found, strict=True))
        rows.append((arm, 0, time_ns.size, 0, 0, 0.0, None, None, 0.0))
        curve = cumulative_incidence(time_ns, end)
        ends = (np.where(np.isnan(part), None, part).tolist() for part in (curve.low, curve.high))  # type: ignore[call-overload]
        counts = (part.tolist() for part in curve[:4])
        rows += zip([arm] * curve.time.size, *counts, curve.value.tolist(), *ends, curve.ended.tolist(), strict=True)
    return tidy(
        rows,
        arm="",
        time_ns="ns",
        at_risk="1",
        ues="1",
        taken_away="1",
        with_ue="of DIMMs",
        with_ue_low="of DIMMs",
        with_ue_high="of DIMMs",
        taken_away_share="of DIMMs",
    )


def _arms_drawn(table: pa.Table) -> list[str]:
    """Return the arms that are drawn: the first, and those that end farthest from it."""
    arms = arms_in(table)
    last = [column_of(where(table, arm=arm), "with_ue")[-1] for arm in arms]
    order = sorted(range(1, len(arms)), key=lambda one: -abs(last[one] - last[0]))[: CURVES - 1]
    return [arms[one] for one in (0, *sorted(order))]


def _well_known(mine: pa.Table) -> pa.Table:
    """Return the rows of one arm up to the last with enough DIMMs at risk."""
    at_risk = np.asarray(column_of(mine, "at_risk"))
    return mine.slice(0, int((at_risk >= AT_RISK_DRAWN * at_risk[0]).sum()))


def _thin(time_ns: Ints) -> Ints:
    """Return which steps are drawn: the last of each of many equal stretches of a logarithmic axis."""
    stretch = np.linspace(0.0, np.log10(max(2.0, float(time_ns[-1]))), _POINTS)
    places = np.searchsorted(stretch, np.log10(np.maximum(1, time_ns)))
    return np.flatnonzero(np.append(np.diff(places) > 0, True))


def _paint(ax: Axes, table: pa.Table) -> None:
    shown = _arms_drawn(table)
    after = np.asarray(column_of(table, "time_ns"))
    first = max(NS_PER_S, int(after[after > 0].min(initial=NS_PER_HOUR)))
    last = max(NS_PER_DAY, *(column_of(_well_known(where(table, arm=arm)), "time_ns")[-1] for arm in shown))
    for place, arm in enumerate(shown):
        mine = _well_known(where(table, arm=arm))
        time_ns = np.maximum(np.asarray(column_of(mine, "time_ns")), first // 2)
        some = _thin(time_ns)
        x = np.append(time_ns[some], last)
        value, low, high = (
            100.0 * np.asarray(mine[f"with_ue{end}"].to_numpy(), np.float64)[[*some, -1]]
            for end in ("", "_low", "_high")
        )
        ax.step(x, value, where="post", color=COLOURS[place], linestyle=DASHES[place], label=arm)
        if place in (0, len(shown) - 1):
            ax.fill_between(x, low, high, step="post", color=COLOURS[place], alpha=0.18, linewidth=0.0)
    ax.set_xscale("log")
    ticks = [(at, text) for at, text in _TICKS if first <= at <= 1.2 * last]
    ax.set_xticks([at for at, _ in ticks], [text for _, text in ticks], minor=False)
    ax.minorticks_off()
    ax.set_xlim(first // 2, last * 1.05)
    ax.set_ylim(bottom=0.0)
    left = len(arms_in(table)) - len(shown)
    note = f"{counted(left, 'arm')} left out; the table has all" if left else ""
    ax.set_ylabel("DIMMs that have had a UE [%]")
    ax.grid()
    label_x(ax, "time since the DIMM's first corrected error", legend_above(ax), note)


def time_from_ce_to_ue(run: Run, arms: Arms = None, ax: Axes | None = None) -> tuple[Axes, pa.Table]:
    """Draw the share of DIMMs that have had an uncorrected error by a time after their first corrected one.

    >>> ax, table = time_from_ce_to_ue(run, arms=run.arms[:1])
    >>> table.to_pylist()[0]["ues"]  # nobody at time 0
    0
    """
    table = time_to_ue_table(run, arms)
    ax = own_axes(ax, FIGURE.height(table))
    _paint(ax, table)
    return ax, table


def _explain(_run: Run, table: pa.Table) -> Caption:
    arm = arms_in(table)[0]
    mine = where(table, arm=arm).to_pylist()
    dimms, ues, gone = mine[0]["at_risk"], *(sum(row[name] for row in mine) for name in ("ues", "taken_away"))
    if not ues:
        return Caption(
            f"{arm}: no DIMM has an uncorrected error after a corrected one",
            f"{counted(dimms, 'DIMM')} with corrected errors were at risk.",
            "No events.",
        )
    last = _well_known(where(table, arm=arm)).to_pylist()[-1]
    days = f"{last['time_ns'] / NS_PER_DAY:,.0f} days"
    day = [row for row in mine if row["time_ns"] <= NS_PER_DAY][-1]
    title = (
        f"{arm}: {percent(day['with_ue'])} of DIMMs have a UE within a day of their first corrected error, "
        f"{percent(last['with_ue'])} within {days}"
    )
    sentence = (
        f"Lines: share of DIMMs with a UE by a time after their first corrected error (Aalen-Johansen); bands: 95 % "
        f"intervals of the first and the last arm shown. {counted(dimms, 'DIMM')} at risk in {arm}, "
        f"{counted(ues, 'UE')}, {gone:,} replaced or mapped out before one; the others were watched to the end. "
        f"Curves end where under {AT_RISK_DRAWN:.0%} of the DIMMs are at risk."
    )
    described = (
        f"{arm}: {percent(day['with_ue'])}{percents(day['with_ue_low'], day['with_ue_high'])} within a day, "
        f"{percent(last['with_ue'])}{percents(last['with_ue_low'], last['with_ue_high'])} within {days}."
    )
    return Caption(title, sentence, described)


FIGURE = RunFigure(
    "time_from_ce_to_ue",
    time_from_ce_to_ue,
    time_to_ue_table,
    _paint,
    lambda run: any(part.table == "errors" and part.rows for part in run.parts),
    _explain,
    lambda _table: 380.0,
)
